"""``my_net.py:net`` → the object; runs the user's own code, by design."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from truejoule.errors import InputError, did_you_mean


def load_object(reference: str) -> Any:
    """The object that ``path/to/file.py:name`` names.

    A class of ``nn.Module`` or a function without required arguments is called; anything else is returned as it is.
    The folder of the file is on the import path while it runs, so that it can import its neighbours.

    Raises
    ------
    InputError : for a malformed reference, a missing file or name, or an exception in the user's code (with its line).
    """
    found, name, path = _find(reference)
    if isinstance(found, nn.Module) or not callable(found):
        return found
    try:
        return found()
    except Exception as error:
        raise InputError(
            f"{name}() failed: {type(error).__name__}: {error}",
            where=_line(error, path),
            expected="a module, or a function without arguments that makes one",
            fix=f"run it alone: python -c 'from {path.stem} import {name}; {name}()'",
        ) from error


def load_function(reference: str) -> Callable[..., Any]:
    """The function (or other callable) that ``path/to/file.py:name`` names, not called. Errors as for ``load_object``."""
    found, _, _ = _find(reference)
    if not callable(found):
        raise InputError("not a function", where=reference, got=type(found).__name__, expected="a callable")
    return found


def load_module(reference: str) -> nn.Module:
    """``load_object`` for a network: the object must be, or make, an ``nn.Module``."""
    found = load_object(reference)
    if not isinstance(found, nn.Module):
        raise InputError(
            "not a network",
            where=reference,
            got=type(found).__name__,
            expected="a torch.nn.Module, or a function that returns one",
        )
    return found


def _find(reference: str) -> tuple[Any, str, Path]:
    """Object, name and file of a reference; runs the file."""
    path_text, colon, name = reference.rpartition(":")
    if not colon or not path_text.endswith(".py") or not name.isidentifier():
        raise InputError(
            "not a reference to an object in a file",
            where="argument",
            got=reference,
            expected="file.py:name",
            fix="for example my_net.py:net",
        )
    path = Path(path_text).expanduser()
    if not path.is_file():
        neighbours = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise InputError(
            "no such file",
            where=reference,
            got=str(path),
            expected="an existing Python file",
            fix=did_you_mean(path.name, neighbours) if neighbours else "",
        )
    module = _run(path, reference)
    public = [n for n in vars(module) if not n.startswith("_")]
    if not hasattr(module, name):
        raise InputError(
            f"no {name!r} in this file",
            where=str(path),
            expected="a name defined at its top level",
            fix=did_you_mean(name, public),
        )
    return getattr(module, name), name, path


def _run(path: Path, reference: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"truejoule_user_{path.stem}", path.resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pickling and dataclasses look modules up by name
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(spec.name, None)
        raise InputError(
            f"the file failed while it was read: {type(error).__name__}: {error}",
            where=_line(error, path),
            got=reference,
            expected="a file that runs",
            fix=f"run it alone: python {path}",
        ) from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _line(error: Exception, path: Path) -> str:
    """File and line of the innermost frame in the user's file."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{path}, line {error.lineno}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() == path.resolve()
    ]
    return f"{path}, line {lines[-1]}" if lines else str(path)
