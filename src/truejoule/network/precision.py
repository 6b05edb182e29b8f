"""How many bits an operand has, read from its values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from truejoule.workload.grid import common_step

MOST_LEVELS = 256


@dataclass(frozen=True, slots=True)
class InputCode:
    """The integer code of a layer's inputs: ``x = step * code``.

    Attributes
    ----------
    bits : 1 for spikes and ±1; up to 8 for values on a common grid; 32 for values without one.
    signed : whether negative values occur.
    step : size of one level; for 32-bit inputs the level of an 8-bit code over the largest value seen.
    bipolar : values are -1 and +1 times ``step`` (coded 0 and 1).
    """

    bits: int
    signed: bool
    step: float
    bipolar: bool = False

    def ones(self, x: Tensor) -> Tensor:
        """Ones in the binary code of every element; sign-magnitude for negatives, 8 bit for values without a grid."""
        if self.bipolar:
            return (x > 0).to(torch.int64)
        if self.bits == 1:
            return (x != 0).to(torch.int64)
        code = torch.round(x.abs() / self.step).clamp(0, MOST_LEVELS - 1).to(torch.uint8)
        return popcount(code)


def popcount(code: Tensor) -> Tensor:
    """Ones of every 8-bit code (uint8): adds neighbouring bits, pairs, nibbles; three passes instead of eight."""
    code = code - ((code >> 1) & 0x55)
    code = (code & 0x33) + ((code >> 2) & 0x33)
    return (code + (code >> 4)) & 0x0F


def merge(a: InputCode | None, b: InputCode | None) -> InputCode | None:
    """The code that holds the values of both."""
    if a is None or b is None:
        return a or b
    if a.bipolar and b.bipolar and math.isclose(a.step, b.step, rel_tol=1e-5):
        return a
    signed = a.signed or b.signed
    if max(a.bits, b.bits) > 8:
        return InputCode(32, signed, max(a.step, b.step))
    if a.bits == b.bits == 1 and not signed:
        return a if math.isclose(a.step, b.step, rel_tol=1e-5) or b.step == 1.0 else b
    step = min(a.step, b.step)
    ratio = max(a.step, b.step) / step
    top = max(_top(a), _top(b)) / step
    if abs(ratio - round(ratio)) > 1e-3 or top > MOST_LEVELS - 1:
        return InputCode(32, signed, max(top * step / 255, step))
    return InputCode(_bits(round(top), signed), signed, step)


def _top(code: InputCode) -> float:
    return code.step * (1 if code.bits == 1 else 2 ** (code.bits - code.signed) - 1)


def input_code(x: Tensor) -> InputCode:
    """The smallest code that holds all values of a tensor exactly (within float32 accuracy)."""
    x = x.detach()
    levels = torch.unique(x[:256].float().flatten()[: 1 << 20])
    if levels.numel() == 0 or not bool(torch.isfinite(levels).all()):
        return InputCode(32, True, 1.0)
    signed = bool(levels[0] < 0)
    top = float(levels.abs().max())
    if top == 0:
        return InputCode(1, False, 1.0)
    if levels.numel() == 2 and float(levels[0]) == -float(levels[1]):
        return InputCode(1, True, top, bipolar=True)
    if levels.numel() <= 2 and not signed and float(levels[0]) in (0.0, top):
        return InputCode(1, False, top)
    step = grid(levels, MOST_LEVELS - 1)
    if step is None:
        return InputCode(32, signed, top / (127 if signed else 255))
    return InputCode(_bits(round(top / step), signed), signed, step)


def grid(levels: Tensor, most: int) -> float | None:
    """The largest step of which all values are integer multiples, at most ``most`` in magnitude; ``None`` without."""
    if levels.numel() > 2 * most + 1:
        return None
    values = levels.double()
    return common_step(torch.unique(values[values != 0].abs()).tolist(), most)


def _bits(top: int, signed: bool) -> int:
    return max(1, math.ceil(math.log2(top + 1))) + int(signed)


def weight_precision(weight: Tensor) -> tuple[int, Literal["signed", "binary", "float"]]:
    """Bits and kind of the weights of one layer, shape (K, ...), from their values.

    ``"binary"``: all magnitudes of an output channel are equal. ``"signed"``: integers times one scale, or one scale
    per output channel, with at most 256 levels; bits b is the smallest with every integer in
    ``-2**(b-1) … 2**(b-1)-1``. Otherwise 32-bit ``"float"``.
    """
    channels = weight.detach().float().flatten(1)
    magnitude = channels.abs()
    top = magnitude.amax(1, keepdim=True)
    if channels.shape[1] == 1:  # one weight per channel proves nothing about its channel
        top = top.max().expand_as(top)
    if bool((top > 0).all()) and bool((magnitude >= top * (1 - 1e-6)).all()):
        return 1, "binary"
    step = grid(torch.unique(channels), 128)
    if step is not None:
        return _signed_bits(channels / step), "signed"
    if channels.shape[1] < 4:
        return 32, "float"
    most = 0
    for channel in channels:
        levels = torch.unique(channel)
        if float(levels.abs().max()) == 0:
            continue
        step = grid(levels, 128) if levels.numel() <= MOST_LEVELS else None
        if step is None:
            return 32, "float"
        most = max(most, _signed_bits(channel / step))
    return (most, "signed") if most else (32, "float")


def _signed_bits(codes: Tensor) -> int:
    low, high = round(float(codes.min())), round(float(codes.max()))
    bits = 1
    while high > 2 ** (bits - 1) - 1 or low < -(2 ** (bits - 1)):
        bits += 1
    return max(bits, 2)
