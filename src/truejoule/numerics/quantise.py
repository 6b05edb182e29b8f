"""Integer codes of weights and inputs: read off the grid that they lie on, or laid over real values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from truejoule.errors import InputError
from truejoule.workload.grid import step_within
from truejoule.workload.layer import Levels


@dataclass(frozen=True, slots=True)
class Grid:
    """Values ``step * integer`` with integers from ``low`` to ``high``.

    Attributes
    ----------
    exact : whether the values lie on the grid by themselves; otherwise it was laid over real values.
    """

    step: float
    low: int
    high: int
    exact: bool = True

    @property
    def top(self) -> int:
        """Largest magnitude of an integer."""
        return max(self.high, -self.low)


def input_grid(code: InputRange, bits: int) -> Grid:
    """The grid of a layer's inputs: their own where they have one, else ``bits`` bits (sign included) up to the largest magnitude seen."""
    if code.step is not None:
        if code.bits == 1:
            return Grid(code.step, -1 if code.signed else 0, 1)
        if code.signed:
            half = 2 ** (code.bits - 1)
            return Grid(code.step, -half if code.full_range else 1 - half, half - 1)
        return Grid(code.step, 0, 2**code.bits - 1)
    top = 2 ** max(bits - int(code.signed), 1) - 1
    return Grid(code.top / top if code.top > 0 else 1.0, -top if code.signed else 0, top, exact=False)


@runtime_checkable
class InputRange(Protocol):
    """What is known of the inputs of a layer (``network.precision.InputCode``)."""

    @property
    def step(self) -> float | None: ...
    @property
    def bits(self) -> int: ...
    @property
    def signed(self) -> bool: ...
    @property
    def full_range(self) -> bool: ...
    @property
    def top(self) -> float: ...


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """``weight = codes * scale`` with whole ``codes`` (up to rounding, for weights that were real).

    Attributes
    ----------
    codes : ``(K, fan_in)`` whole numbers, float32.
    scale : ``(K,)`` float64, one per output channel.
    bits : width of the codes.
    mid_rise : whether the codes are the odd numbers from ``1 - 2**bits`` to ``2**bits - 1``; with 1 bit, -1 and +1.
    """

    codes: Float[Tensor, "K fan_in"]
    scale: Float[Tensor, " K"]
    bits: int
    mid_rise: bool = False


def integer_weights(weight: Tensor, bits: int, levels: Levels, *, where: str) -> IntegerWeights:
    """Integers and scale of a weight tensor ``(K, ...)``.

    Parameters
    ----------
    bits : width of the integers.
    levels : ``"signed"``: the weights are integers of that width times a scale, per layer or per channel; ``"binary"``: plus or minus a scale
        per channel; ``"mid_rise"``: odd integers times a scale; ``"float"``: they are rounded to the nearest of ``2^bits - 1`` symmetric levels
        per channel.

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
    if levels == "binary":
        return IntegerWeights(torch.where(flat >= 0, 1.0, -1.0).float(), flat.abs().mean(1), 1, True)
    if levels == "float":
        return _rounded(flat, bits)
    accuracy = torch.finfo(weight.dtype).eps if weight.is_floating_point() else 0.0
    odd = levels == "mid_rise"
    scale = _scale(flat, 2**bits - 1 if odd else 2 ** (bits - 1), accuracy, where)
    codes = torch.round(flat / torch.where(scale > 0, scale, 1.0)[:, None])
    # A channel of zeros has no odd code: any one does, times a scale of zero.
    return IntegerWeights(
        torch.where(scale[:, None] > 0, codes, 1.0).float() if odd else codes.float(), scale, bits, odd
    )


def _rounded(flat: Tensor, bits: int) -> IntegerWeights:
    """Real weights on symmetric levels of one scale per channel; with one bit their signs times their mean magnitude."""
    if bits == 1:
        return IntegerWeights(torch.where(flat >= 0, 1.0, -1.0).float(), flat.abs().mean(1), 1, True)
    peak = flat.abs().amax(1)
    scale = torch.where(peak > 0, peak / (2 ** (bits - 1) - 1), 1.0)
    return IntegerWeights(torch.round(flat / scale[:, None]).float(), scale, bits)


def _scale(flat: Tensor, most: int, accuracy: float, where: str) -> Tensor:
    """One step for all channels if there is one, else one per channel; 0 for a channel of zeros."""
    dead = (flat == 0).all(1)
    shared = step_within(_magnitudes(flat), most, accuracy)
    if shared is not None:
        return torch.where(dead, 0.0, torch.full((len(flat),), shared, dtype=torch.float64, device=flat.device))
    steps = [step_within(found, most, accuracy) if (found := _magnitudes(row)) else 0.0 for row in flat]
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
