"""Values that leave torch (as numpy arrays, lists, numbers, through dlpack) and come back as new tensors without a history."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from truejoule.network.provenance import Origins, union

ARRAYS = frozenset({"numpy", "__array__", "tolist", "__dlpack__"})
NUMBERS = frozenset({"item", "__float__"})
FILLING = frozenset({"full", "full_like", "new_full", "scalar_tensor"})
_COMMON = (0.0, 1.0, -1.0)  # constants that prove nothing about where they come from

WHY = "values of the network left torch and came back changed, or something was made from them; nobody can see what was done to them"


class Outside:
    """Remembers what left, and recognises it when it comes back unchanged."""

    def __init__(self) -> None:
        self._arrays: list[tuple[Tensor, Origins]] = []
        self._numbers: dict[float, Origins] = {}

    def __bool__(self) -> bool:
        return bool(self._arrays or self._numbers)

    @property
    def latest(self) -> Origins:
        """Origins of everything that left as a whole tensor."""
        return union(origins for _, origins in self._arrays)

    def left(self, title: str, tensor: Tensor, origins: Origins) -> None:
        """A tensor was turned into something that is no tensor."""
        if title in ARRAYS:
            self._arrays.append((tensor.detach().double().flatten().clone(), origins))
        elif float(tensor) not in _COMMON:
            self._numbers[float(tensor)] = origins

    def back(self, tensor: Tensor) -> Origins | Literal["unknown"] | None:
        """Origins of a new tensor whose values left before; ``"unknown"`` if they may be what became of such values."""
        if not tensor.numel() or tensor.is_complex():
            return None
        values = tensor.detach().double().flatten()
        for known, origins in reversed(self._arrays):
            if known.numel() == values.numel() and torch.equal(known, values):
                return origins
        numbers = values.unique()
        for known, origins in reversed(self._arrays):
            if len(numbers) > 2 and bool(torch.isin(numbers, known).all()):  # parts of it, or in another order
                return origins
        numbers = numbers.tolist()
        if self._numbers and all(number in self._numbers for number in numbers):
            return union(self._numbers[number] for number in numbers)
        return "unknown" if self._arrays and len(numbers) > 1 else None
