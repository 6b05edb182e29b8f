"""Integer codes of weights and inputs: read off the grid that they lie on, or laid over real values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from truejoule.errors import InputError
from truejoule.workload.grid import common_step


@dataclass(frozen=True, slots=True)
class Grid:
    """Values ``step * integer`` with integers of ``bits`` magnitude bits, and a sign if ``signed``."""

    step: float
    bits: int
    signed: bool = False

    @property
    def top(self) -> int:
        """Largest integer."""
        return 2**self.bits - 1

    def codes(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Nearest integers, clipped to the grid, in the dtype of ``x``."""
        return torch.round(x / self.step).clamp_(min=-self.top if self.signed else 0, max=self.top)

    def overflow(self, x: Tensor) -> float:
        """Share of values that the grid clips."""
        edge = (self.top + 0.5) * self.step
        outside = x.abs() > edge if self.signed else (x > edge) | (x < -0.5 * self.step)
        return float(outside.float().mean()) if x.numel() else 0.0


def known_grid(step: float, bits: int, signed: bool) -> Grid | None:
    """The grid that inputs were seen to lie on, ``bits`` with the sign; ``None`` for real-valued inputs (more than 8 bits)."""
    return Grid(step, max(bits - int(signed), 1), signed) if bits <= 8 else None


def range_grid(largest: float, bits: int, signed: bool) -> Grid:
    """A grid of ``bits`` bits (sign included) that ends at ``largest``."""
    magnitude = max(bits - int(signed), 1)
    return Grid(largest / (2**magnitude - 1) if largest > 0 else 1.0, magnitude, signed)


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """``weight = codes * scale`` with whole ``codes`` (up to rounding, for weights that were real).

    Attributes
    ----------
    codes : ``(K, fan_in)`` whole numbers, float32.
    scale : ``(K,)`` float64, one per output channel.
    bits : width of the codes; 1 stands for the two values -1 and +1.
    """

    codes: Float[Tensor, "K fan_in"]
    scale: Float[Tensor, " K"]
    bits: int


def integer_weights(
    weight: Tensor, bits: int, levels: Literal["signed", "binary", "float"], *, where: str
) -> IntegerWeights:
    """Integers and scale of a weight tensor ``(K, ...)``.

    Parameters
    ----------
    bits : width of the integers.
    levels : ``"signed"``: the weights are integers of that width times a scale, per layer or per channel; ``"binary"``: plus or minus a scale
        per channel; ``"float"``: they are rounded to the nearest of ``2^bits - 1`` symmetric levels per channel.

    Raises
    ------
    InputError : for NaN or infinite weights, or weights that are not what ``levels`` says.
    """
    flat = weight.detach().reshape(weight.shape[0], -1).double()
    if not bool(torch.isfinite(flat).all()):
        count = int((~torch.isfinite(flat)).sum())
        raise InputError(
            "weights that are not finite",
            where=where,
            got=f"{count} of {flat.numel()} weights are NaN or infinite",
            fix="check the training run or the checkpoint",
        )
    if levels == "binary" or bits == 1:
        return IntegerWeights(torch.where(flat >= 0, 1.0, -1.0).float(), flat.abs().mean(1), 1)
    if levels == "float":
        peak = flat.abs().amax(1)
        scale = torch.where(peak > 0, peak / (2 ** (bits - 1) - 1), 1.0)
    else:
        scale = _scale(flat, 2 ** (bits - 1), where)
    codes = torch.round(flat / scale[:, None])
    return IntegerWeights(codes.float(), scale, bits)


def _scale(flat: Tensor, most: int, where: str) -> Tensor:
    """One step for all channels if there is one, else one per channel."""
    shared = common_step(_magnitudes(flat), most)
    if shared is not None:
        return torch.full((len(flat),), shared, dtype=torch.float64, device=flat.device)
    steps = [common_step(found, most) if (found := _magnitudes(row)) else 1.0 for row in flat]
    if any(step is None for step in steps):
        raise InputError(
            "weights that are not integers times a scale",
            where=where,
            got="real values",
            expected=f"whole multiples up to {most} of one step per channel",
        )
    return torch.tensor(steps, dtype=torch.float64, device=flat.device)


def _magnitudes(values: Tensor) -> list[float]:
    return torch.unique(values[values != 0].abs()).tolist()
