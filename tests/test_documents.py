"""Documents stay true: links lead somewhere, snippets and examples run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_snippet_of_the_array_engine_runs():
    text = (TOP / "docs" / "circuit.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    exec(code.replace("1000", "3"), {})


@pytest.mark.parametrize("example", sorted((TOP / "examples").glob("*.py")), ids=lambda p: p.name)
def test_examples_run(example, tmp_path):
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": "1", "PATH": ""},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_path_in_the_documents_exists():
    for page in PAGES:
        for path in re.findall(r"`((?:benchmarks|examples|docs|src)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8")):
            assert (TOP / path).exists(), f"{page.name}: {path}"
