"""Integer grids: recognise the one that values already lie on, or lay one over real values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.errors import InputError

TOLERANCE = 1e-3
"""Values count as lying on a grid when they are within this share of a step; float32 rounding of k/255 is 1e-5 of a step."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Values ``step * integer`` with integers of ``bits`` bits (magnitude bits if ``signed``)."""

    step: float
    bits: int
    signed: bool = False

    @property
    def top(self) -> int:
        """Largest integer."""
        return 2**self.bits - 1

    def codes(self, x: Tensor) -> Tensor:
        """Nearest integers, clipped to the grid, in the dtype of ``x``."""
        return torch.round(x / self.step).clamp_(min=-self.top if self.signed else 0, max=self.top)


def recognise_grid(x: Tensor, max_bits: int = 8) -> Grid | None:
    """The coarsest grid of at most ``max_bits`` bits that all values of ``x`` lie on, or ``None``.

    Spikes of height v give ``Grid(v, 1)``; pixels k/255 give ``Grid(1/255, 8)``.
    """
    values = torch.unique(x.detach().flatten().double())
    magnitudes = torch.unique(values.abs())
    positive = magnitudes[magnitudes > 0]
    signed = bool((values < 0).any())
    if positive.numel() == 0:
        return Grid(1.0, 1, False)
    if positive.numel() > 2**max_bits:
        return None
    gaps = torch.diff(torch.cat([torch.zeros(1, dtype=torch.float64, device=positive.device), positive]))
    # The true step divides the smallest gap; float noise can split one level into two, so tiny gaps are ignored.
    largest = float(positive[-1])
    gap = float(gaps[gaps > largest * 1e-6].min())
    for divisor in range(1, 5):
        step = gap / divisor
        ratio = largest / step
        if ratio > 2**max_bits - 1 + TOLERANCE:
            return None
        step = largest / max(round(ratio), 1)
        if bool(((positive / step - torch.round(positive / step)).abs() < TOLERANCE * max(1.0, ratio / 255)).all()):
            return Grid(step, max(math.ceil(math.log2(round(ratio) + 1)), 1), signed)
    return None


def range_grid(largest: float, bits: int, signed: bool) -> Grid:
    """A grid that ends at ``largest``."""
    return Grid(largest / (2**bits - 1) if largest > 0 else 1.0, bits, signed)


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """``weight = codes * scale`` with whole ``codes``.

    Attributes
    ----------
    codes : ``(K, fan_in)`` whole numbers, float32.
    scale : ``(K,)`` float64, one per output channel.
    bits : width of the codes; 1 stands for the two values -1 and +1.
    exact : whether the given weights already were integers times a scale; otherwise they were rounded here.
    """

    codes: Tensor
    scale: Tensor
    bits: int
    exact: bool


def integer_weights(weight: Tensor, bits: int, *, where: str) -> IntegerWeights:
    """Integers and scale of a weight tensor ``(K, ...)``.

    Weights that are integers times a scale (per layer or per output channel), at most 8 bits wide, are taken as they are: at their own
    width if that exceeds ``bits``. Others are rounded to the nearest of ``2^bits - 1`` symmetric levels per output channel.

    Raises
    ------
    InputError : for NaN or infinite weights.
    """
    flat = weight.detach().reshape(weight.shape[0], -1).double()
    if not bool(torch.isfinite(flat).all()):
        count = int((~torch.isfinite(flat)).sum())
        raise InputError("weights that are not finite", where=where, got=f"{count} of {flat.numel()} weights are NaN or infinite", fix="check the training run or the checkpoint")
    magnitude = flat.abs()
    peak = magnitude.amax(1, keepdim=True)
    if bool((peak > 0).all()) and bool(((magnitude - peak).abs() <= TOLERANCE * peak).all()):
        scale = magnitude.mean(1)
        return IntegerWeights(torch.sign(flat).float(), scale, 1, True)
    shared = recognise_grid(flat, 8)
    if shared is not None:
        codes = torch.round(flat / shared.step)
        return IntegerWeights(codes.float(), torch.full((flat.shape[0],), shared.step, dtype=torch.float64), _width(codes), True)
    grids = [recognise_grid(row, 8) for row in flat]
    if all(g is not None for g in grids):
        scale = torch.tensor([g.step for g in grids if g is not None], dtype=torch.float64)
        codes = torch.round(flat / scale[:, None])
        # One channel with few distinct values looks like a coarse grid; it is still exact, so nothing is lost.
        return IntegerWeights(codes.float(), scale, _width(codes), True)
    if bits == 1:
        scale = magnitude.mean(1)
        return IntegerWeights(torch.where(flat >= 0, 1.0, -1.0).float(), scale, 1, False)
    top = 2 ** (bits - 1) - 1
    scale = torch.where(peak[:, 0] > 0, peak[:, 0] / top, torch.ones_like(peak[:, 0]))
    return IntegerWeights(torch.round(flat / scale[:, None]).float(), scale, bits, False)


def _width(codes: Tensor) -> int:
    low, high = float(codes.min()), float(codes.max())
    bits = 2
    while not (-(2 ** (bits - 1)) <= low and high <= 2 ** (bits - 1) - 1):
        bits += 1
    return bits
