"""The house: arrows between rooms run one way, no torch where none belongs, the package imports fast."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "truejoule"
GROUND = {"units", "errors"}
NUMBERS = {"workload", "components", "cost"} | GROUND
MAY_IMPORT = {
    "units": {"errors"},
    "errors": set(),
    "workload": GROUND,
    "cost": GROUND,
    "components": {"cost"} | GROUND,
    "circuit": NUMBERS,
    "numerics": NUMBERS | {"circuit"},
    "network": {"workload"} | GROUND,
    "accelerators": NUMBERS | {"circuit", "numerics", "network"},
    "training": NUMBERS | {"network", "numerics", "circuit"},
    "zoo": GROUND | {"training"},
    "mitigation": NUMBERS | {"accelerators", "network", "numerics", "training", "circuit"},
    "evaluation": NUMBERS | {"accelerators", "evaluation_json", "receipt"},
    "evaluation_json": NUMBERS | {"evaluation"},
    "receipt": GROUND,
    "pipeline": NUMBERS
    | {"entry", "gathering", "readout", "scoring", "evaluation", "mitigation", "accelerators", "network", "numerics"},
    "entry": GROUND | {"gathering", "readout", "accelerators", "network", "scoring"},
    "gathering": GROUND,
    "readout": GROUND,
    "scoring": GROUND | {"evaluation"},
    "experiment": GROUND | {"pipeline", "evaluation"},
    "reproduce": NUMBERS | {"accelerators", "pipeline", "zoo", "network"},
    "report": {*GROUND, "cost"},
}
OUTSIDE = {"cli", "cli_hardware", "terminal", "crossbar", "__init__"}
NO_TORCH = ("workload", "components", "cost", "units", "errors", "report", "experiment", "receipt")


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module == "truejoule":
                yield from (f"truejoule.{a.name}" for a in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names)


FILES = sorted(SRC.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_arrows_run_one_way(path):
    here = room(path)
    if here in OUTSIDE:
        return
    for name in imports(path):
        if name.startswith("truejoule."):
            there = name.split(".")[1]
            assert there == here or there in MAY_IMPORT[here], f"{here} must not import {there}"
        if here in NO_TORCH:
            assert name.split(".")[0] != "torch", f"{here} must not import torch"


def test_every_room_has_its_arrows():
    assert {room(p) for p in FILES} == set(MAY_IMPORT) | OUTSIDE


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_stay_small(path):
    assert sum(1 for _ in path.open(encoding="utf-8")) <= 350


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(m for m in sys.modules)))"
    return set(
        json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    )


@pytest.mark.parametrize(
    "statement",
    [
        "import truejoule",
        "import truejoule.cli",
        "import truejoule.workload.shapes, truejoule.components.sram, truejoule.cost",
    ],
)
def test_importing_stays_light(statement):
    heavy = {"torch", "scipy", "numba", "matplotlib", "pandas", "vl_convert"}
    assert not heavy & loaded_by(statement)


def test_public_names_resolve():
    import truejoule

    for name in truejoule.__all__:
        assert getattr(truejoule, name) is not None
    assert callable(truejoule.evaluate) and callable(truejoule.observe)


def test_style():
    top = SRC.parents[1]
    for command in (["ruff", "check"], ["ruff", "format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", *command, "src", "tests", "benchmarks"], cwd=top, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-3000:]


def test_types():
    done = subprocess.run([sys.executable, "-m", "pyright", "src"], cwd=SRC.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
