"""The distinct values of large tensors, without sorting what is known already."""

from __future__ import annotations

import torch
from torch import Tensor

_SIZES = (256, 1 << 16, 1 << 20)
"""Of the first parts and of all later ones: a few values show a spike train, some ten thousand show real numbers."""


def distinct(x: Tensor, most: int, known: Tensor | None = None) -> Tensor | None:
    """Distinct values of a flat tensor on the CPU and of ``known``, ascending, in float64; ``None`` if there are more than ``most``.

    The answer does not depend on the order of values, nor on how they are split over several calls.
    """
    known = torch.zeros(0, dtype=torch.float64) if known is None else known
    start, part = 0, 0
    while start < x.numel():
        size = _SIZES[min(part, len(_SIZES) - 1)]
        fresh = torch.unique(_unknown(x[start : start + size], known).double())
        start, part = start + size, part + 1
        if fresh.numel():
            known = torch.cat([known, fresh]).sort().values
            if known.numel() > most:
                return None
    return known


def _unknown(x: Tensor, known: Tensor) -> Tensor:
    if known.numel() == 0:
        return x
    if known.numel() <= 4:
        fresh = torch.ones_like(x, dtype=torch.bool)
        for value in known.tolist():
            fresh &= x != value
        return x[fresh]
    there = known.to(x.dtype)
    place = torch.searchsorted(there, x).clamp_(max=there.numel() - 1)
    return x[there[place] != x]
