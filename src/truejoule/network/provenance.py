"""Where a tensor's value came from: the last layers on every path to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from truejoule.network.recognise import tensors

Origins = dict[str, int]
"""Layer name → index of its latest execution that contributed. Parameters have names that begin with ``PARAMETER``."""

PARAMETER = "\0"
_ATTRIBUTE = "_truejoule_origins"
_VALUELESS = (
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "rand_like",
    "randn_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
    "new_empty_strided",
    "empty_strided",
    "zero_",
)


class Provenance(TorchDispatchMode):
    """Gives every result the union of the origins of its operands.

    Origins hang on the tensor objects themselves, so they live exactly as long as the tensor does. Storage that was
    written in place is looked up by storage instead, so that a write through a view is seen by all other views.
    """

    def __init__(self, parameters: Mapping[int, str]) -> None:
        super().__init__()
        self._parameters = parameters
        self._written: dict[int, tuple[Origins, Tensor]] = {}

    def mark(self, tensor: Tensor, origins: Origins) -> None:
        if id(tensor) in self._parameters:
            return
        key = _storage(tensor)
        if key in self._written:
            self._written[key] = (dict(origins), tensor)
        setattr(tensor, _ATTRIBUTE, dict(origins))

    def of(self, tensor: Tensor) -> Origins:
        name = self._parameters.get(id(tensor))
        if name is not None:
            return {PARAMETER + name: 0}
        written = self._written.get(_storage(tensor)) if self._written else None
        if written is not None:
            return written[0]
        found = getattr(tensor, _ATTRIBUTE, None)
        if found is None and tensor._base is not None:  # a view we took ourselves, unseen
            return self.of(tensor._base)
        return found or {}

    def unseen(self, tensor: Tensor) -> bool:
        """Whether a tensor was neither there before the run nor made by anything we saw."""
        return (
            id(tensor) not in self._parameters
            and tensor._base is None
            and not hasattr(tensor, _ATTRIBUTE)
            and _storage(tensor) not in self._written
        )

    def of_all(self, tree: Any) -> Origins:
        return union(self.of(t) for t in tensors(tree))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket.__name__
        origins = {} if packet in _VALUELESS else self.of_all((args, kwargs))
        result = func(*args, **kwargs)
        if packet.endswith("_") and not packet.startswith("_") and args and isinstance(args[0], Tensor):
            self._write(args[0], origins if packet != "copy_" else self.of_all(args[1:]), packet)
            return result
        if (
            packet == "lift_fresh"
        ):  # made from Python or numpy data: stays unseen, until somebody says where it comes from
            return result
        for tensor in tensors(result):
            if id(tensor) not in self._parameters:
                key = _storage(tensor) if self._written else 0
                if key not in self._written:  # a view of written storage keeps the storage's origins
                    setattr(tensor, _ATTRIBUTE, origins)
        return result

    def _write(self, tensor: Tensor, origins: Origins, packet: str) -> None:
        key = _storage(tensor)
        whole = tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes()
        before: Origins = {} if whole and packet in ("copy_", "zero_", "fill_") else self.of(tensor)
        self._written[key] = (union([before, origins]), tensor)


def union(many: Iterable[Origins]) -> Origins:
    merged: Origins = {}
    for origins in many:
        for name, index in origins.items():
            if merged.get(name, -1) < index:
                merged[name] = index
    return merged


def layers(origins: Origins) -> Origins:
    """Origins without the parameters."""
    return {name: index for name, index in origins.items() if not name.startswith(PARAMETER)}


def parameters(origins: Origins) -> list[str]:
    return [name[len(PARAMETER) :] for name in origins if name.startswith(PARAMETER)]


def clear(tree: Any) -> None:
    """Takes our mark off tensors that outlive the run."""
    for tensor in tensors(tree):
        if hasattr(tensor, _ATTRIBUTE):
            delattr(tensor, _ATTRIBUTE)


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without storage
        return id(tensor)


@contextmanager
def no_tracking() -> Iterator[None]:
    """Context in which neither dispatch nor function modes see what we compute ourselves, hooks included."""
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """torch tells every user of dispatch modes on a CPU that Triton is missing; nobody here needs it."""
    logger = logging.getLogger("torch._library.triton")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
