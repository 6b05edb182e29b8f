"""Run folders: one evaluation each, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truejoule.errors import InputError, did_you_mean

RESULT = "evaluation.json"


def write(root: Path, evaluation: Mapping[str, Any], files: Mapping[str, str] | None = None) -> Path:
    """Write a run folder below ``root`` and return it.

    The folder is made beside its place and renamed into it, so a kill leaves the old run or none, never half of one. Its name holds a hash of
    the machine's parameters, the samples and the seeds: the same question goes into the same folder.

    Parameters
    ----------
    files : further files by name, for example the report.

    Raises
    ------
    InputError : if ``root`` cannot be written.
    """
    target = root / folder_name(evaluation)
    try:
        root.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    except OSError as error:
        raise InputError(
            "the run folder cannot be written",
            where=str(root),
            got=error.strerror or str(error),
            fix="choose another folder with --out",
        ) from None
    try:
        (fresh / RESULT).write_text(json.dumps(evaluation, indent=1, allow_nan=False), encoding="utf-8")
        for name, text in (files or {}).items():
            (fresh / name).write_text(text, encoding="utf-8")
        fresh.chmod(0o755)
        old = None
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=".replaced-", dir=root)) / "run"
            target.replace(old)
        fresh.replace(target)
        if old is not None:
            shutil.rmtree(old.parent, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def write_page(path: Path, text: str) -> Path:
    """Write one file whole or not at all, with its folder.

    Raises
    ------
    InputError : if it cannot be written.
    """
    fresh = path.with_name(f".writing-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(None, "a folder of that name is there")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise InputError(
            "the file cannot be written",
            where=str(path),
            got=error.strerror or str(error),
            fix="choose another file",
        ) from None
    return path


def read(path: Path) -> dict[str, Any]:
    """The evaluation of a run folder (or of its JSON file).

    Raises
    ------
    InputError : not a run folder, or not an evaluation.
    """
    file = path if path.is_file() else path / RESULT
    if not file.is_file():
        siblings = [p.parent.name for p in path.parent.glob(f"*/{RESULT}")] if path.parent.is_dir() else []
        raise InputError(
            "not a run folder",
            where=str(path),
            expected=f"a folder with {RESULT}",
            fix=did_you_mean(path.name, siblings)
            if siblings
            else "make one with `truejoule evaluate` or `truejoule demo`",
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            "the run cannot be read", where=str(file), got=str(error), expected="the JSON that truejoule wrote"
        ) from None
    if not isinstance(found, dict) or "ledger" not in found or "schema" not in found:
        raise InputError("not an evaluation", where=str(file), expected="the JSON that truejoule wrote")
    return found


def folder_name(evaluation: Mapping[str, Any]) -> str:
    """``<network>-on-<accelerator>-<hash>``."""
    provenance = evaluation["provenance"]
    question = {
        "network": evaluation["network"],
        "layers": evaluation["workload"]["layers"],
        "parameters": [(p["name"], p["value"]) for p in evaluation["parameters"]],
        "remedies": evaluation["remedies"],
        "samples": provenance["samples"],
        "digest": provenance.get("samples_digest"),
        "scored": provenance.get("scored"),
        "seeds": provenance["seeds"],
        "training": evaluation["training"] is not None,
        "accuracy": evaluation["ideal_accuracy"]["value"],
    }
    digest = hashlib.blake2b(json.dumps(question, sort_keys=True, default=str).encode(), digest_size=4).hexdigest()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{evaluation['network']}-on-{evaluation['accelerator']}").strip("-.")
    return f"{name or 'run'}-{digest}"
