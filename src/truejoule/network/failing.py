"""Whose fault it is when the user's forward pass fails: its own, or that of being watched or computed by somebody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import nn

from truejoule.errors import InputError, TrueJouleError, in_one_line
from truejoule.network.recognise import tensors
from truejoule.network.state import reset


class Running(Protocol):
    """Where a run is: ``current`` is the path of the innermost module, ``inputs`` what each module on the way got."""

    module: nn.Module
    inputs: list[Any]

    @property
    def current(self) -> str: ...


class ForwardFailed(InputError):  # noqa: N818 - reads as what it is
    """The user's module raised an error of its own."""


@contextmanager
def guarded(paths: Running, alone: Callable[[], Any], what_we_did: str) -> Iterator[None]:
    """Turns a failure of the user's module into an error that says where it happened, with which shapes, and whose fault it is.

    Parameters
    ----------
    alone : runs the module without us, from the start; called only after a failure.
    what_we_did : completes "it runs by itself, but fails when …".
    """
    try:
        yield
    except TrueJouleError:
        raise
    except Exception as error:
        found = error
        where = paths.current or "the network's own forward"
        kind = f" ({type(dict(paths.module.named_modules())[paths.current]).__name__})" if paths.current else ""
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors(paths.inputs[-1] if paths.inputs else ()))
        got = f"inputs of shape {shapes}" if shapes else None
        try:
            reset(paths.module)
            alone()
        except Exception as own:
            raise ForwardFailed(
                f"the network's forward pass failed: {in_one_line(own)}",
                where=f"{where}{kind}",
                got=got,
                expected="a module that runs on the example as it is given",
                fix="it fails in the same way without truejoule: call it on the example yourself; check shapes, dtype and device",
            ) from own
        raise InputError(
            f"the network runs by itself, but fails when {what_we_did}: {in_one_line(found)}",
            where=f"{where}{kind}",
            got=got,
            expected="layers that can be watched and computed by somebody else",
            fix="look for code that depends on the exact type, layout or memory of a layer's result",
        ) from found
