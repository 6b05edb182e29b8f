"""Inputs of a layer as integers, and sums of integers as values again: the way in and out of every machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.numerics.quantise import Grid

SLACK = 0.05
"""Distance from the grid, in steps, up to which a value lies on it: rounding of a few floating-point operations."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How a batch of inputs went onto its grid.

    Attributes
    ----------
    values : how many there were.
    clipped : how many lay more than half a step outside the range.
    rounded : how many of the others lay off a grid that they were expected on.
    """

    values: int
    clipped: int
    rounded: int


def integers(x: Tensor, grid: Grid) -> tuple[Tensor, Taken]:
    """Nearest codes of a grid for values of any shape, clipped to it; whole numbers, float32."""
    wide = x if x.dtype == torch.float64 else x.float()
    steps = wide / grid.step
    nearest = steps.round()
    low, high = (float(v) for v in torch.aminmax(nearest)) if nearest.numel() else (0.0, 0.0)
    clipped = rounded = 0
    if low < grid.low or high > grid.high:
        clipped = int(((nearest < grid.low) | (nearest > grid.high)).sum())
        nearest = nearest.clamp_(grid.low, grid.high)
    if grid.exact:
        slack = max(SLACK, torch.finfo(x.dtype).eps * grid.top) if x.is_floating_point() else SLACK
        rounded = max(int(((steps - nearest).abs_() > slack).sum()) - clipped, 0)
    return nearest.float(), Taken(x.numel(), clipped, rounded)


def values(sums: Tensor, scale: Tensor, like: Tensor) -> Tensor:
    """Integer sums times a scale that broadcasts against them, in the dtype of ``like``.

    Narrow floating-point types cannot hold the sums, so the product is computed in float32 at least and rounded once.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    return (sums.to(dtype) * scale.to(dtype)).to(like.dtype)
