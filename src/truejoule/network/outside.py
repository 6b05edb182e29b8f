"""Values that leave torch (as numpy arrays, lists, numbers, through dlpack) and come back as new tensors without a history."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from truejoule.network.provenance import Origins, Provenance, layers, union
from truejoule.network.recognise import tensors

ARRAYS = frozenset({"numpy", "__array__", "tolist", "__dlpack__"})
NUMBERS = frozenset({"item", "__float__"})
FILLING = frozenset({"full", "full_like", "new_full", "scalar_tensor"})
"""Functions that make a tensor from one number."""
_COMMON = (0.0, 1.0, -1.0)  # constants that prove nothing about where they come from

WHY = "values of the network left torch and came back changed, or something was made from them; nobody can see what was done to them"


class Outside:
    """Remembers what left, and gives it its origins again when it comes back unchanged, whole or in parts."""

    def __init__(self, origins: Provenance) -> None:
        self._origins = origins
        self._arrays: list[tuple[Tensor, Origins]] = []
        self._numbers: dict[float, Origins] = {}
        self._changed: Origins | None = None

    def watch(self, title: str, args: Any, kwargs: Any) -> Tensor | None:
        """One call of a function; the tensor among its operands, if any, that may be what became of values that left."""
        if title in ARRAYS or title in NUMBERS:
            self._leave(title, args[0])
        elif self._arrays or self._numbers:
            for tensor in tensors((args, kwargs)):
                if self._origins.unseen(tensor) and self.back(tensor) is not None:
                    return tensor
        return None

    def known_as(self, origins: Origins) -> None:
        """What changed values are from now on: once is enough to refuse, however many pieces come back."""
        self._changed = origins

    def _leave(self, title: str, tensor: Tensor) -> None:
        origins = layers(self._origins.of(tensor))
        if not origins:
            return
        if title in ARRAYS:
            self._arrays.append((tensor.detach().double().flatten().clone(), origins))
        elif float(tensor) not in _COMMON:
            self._numbers[float(tensor)] = origins

    def back(self, tensor: Any) -> Tensor | None:
        """Marks a new tensor; returns it if what left may have been changed into it."""
        if not isinstance(tensor, Tensor) or not tensor.numel() or tensor.is_complex():
            return None
        if layers(self._origins.of(tensor)):
            return None
        found = self._unchanged(tensor.detach().double().flatten())
        if found is None and self._arrays and tensor.unique().numel() > 1:
            found = self._changed
            if found is None:
                self._origins.mark(tensor, union(origins for _, origins in self._arrays))
                return tensor
        if found is not None:
            self._origins.mark(tensor, found)
        return None

    def _unchanged(self, values: Tensor) -> Origins | None:
        numbers = values.unique()
        for known, origins in reversed(self._arrays):
            if known.numel() == values.numel() and torch.equal(known, values):
                return origins
            if len(numbers) > 2 and bool(torch.isin(numbers, known).all()):  # parts of it, or in another order
                return origins
        if self._numbers and all(number in self._numbers for number in numbers.tolist()):
            return union(self._numbers[number] for number in numbers.tolist())
        return None
