"""How many bits an operand has, read from its values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.network.distinct import distinct
from truejoule.workload.grid import common_step, deviation, step_within
from truejoule.workload.layer import REAL, Levels, two_complement_bits

WIDEST = 4096
"""Largest magnitude of an integer code: 12 bits, and a sign."""
MOST_VALUES = 1 << 15
"""Distinct values that are kept; more are no grid."""
CHANCE = 0.05
"""Expected number of grids that as many random values would lie on by accident, above which a grid is not believed."""


@dataclass(frozen=True, slots=True)
class InputCode:
    """The integer code of a layer's inputs: ``x = step * code``, with codes from ``lowest`` to ``highest``.

    Attributes
    ----------
    step : size of one level; ``None`` for values on no grid.
    low, high : the smallest and the largest value (0 at least, or at most: zero padding is always there).
    """

    step: float | None
    low: float
    high: float

    @property
    def lowest(self) -> int:
        return 0 if self.step is None else round(self.low / self.step)

    @property
    def highest(self) -> int:
        return 0 if self.step is None else round(self.high / self.step)

    @property
    def top(self) -> float:
        """Largest magnitude."""
        return max(self.high, -self.low)

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def silent(self) -> bool:
        """Whether no value but zero was seen, which says nothing about the step."""
        return self.low == self.high == 0

    @property
    def bits(self) -> int:
        """Two's complement width; 1 for spikes and for plus and minus one level; ``REAL`` without a grid."""
        if self.step is None:
            return REAL
        if (self.lowest, self.highest) == (-1, 1) and self.bipolar:
            return 1
        return two_complement_bits(self.lowest, self.highest)

    bipolar: bool = False
    """Whether zero does not occur between -1 and +1."""

    @property
    def full_range(self) -> bool:
        """Whether the lowest two's complement code occurs, which has no positive counterpart."""
        return self.signed and not self.bipolar and self.step is not None and self.lowest == -(2 ** (self.bits - 1))

    def ones(self, x: Tensor) -> Tensor:
        """Ones in the binary code of every element; sign-magnitude for negatives, 8 bit for values without a grid."""
        if self.bipolar:
            return (x > 0).to(torch.int64)
        if self.bits == 1:
            return (x != 0).to(torch.int64)
        step = self.step if self.step is not None else (self.top / (127 if self.signed else 255) or 1.0)
        wide = WIDEST if self.step is not None else 255
        code = torch.round(x.abs() / step).clamp(0, wide).to(torch.int16)
        if self.bits <= 8 or self.step is None:
            return popcount(code.to(torch.uint8))
        return popcount((code & 0xFF).to(torch.uint8)) + popcount((code >> 8).to(torch.uint8))


def popcount(code: Tensor) -> Tensor:
    """Ones of every 8-bit code (uint8): adds neighbouring bits, pairs, nibbles; three passes instead of eight."""
    code = code - ((code >> 1) & 0x55)
    code = (code & 0x33) + ((code >> 2) & 0x33)
    return (code + (code >> 4)) & 0x0F


class Values:
    """The distinct values that a layer's inputs take over many batches; what they are does not depend on order or batches."""

    def __init__(self) -> None:
        self.known: Tensor | None = torch.zeros(0, dtype=torch.float64)
        self.low, self.high, self.accuracy = 0.0, 0.0, 0.0

    def add(self, x: Tensor) -> None:
        """Take in all values of a tensor."""
        x = x.detach().flatten()
        if not x.numel():
            return
        if x.is_floating_point():
            self.accuracy = max(self.accuracy, torch.finfo(x.dtype).eps)
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        low, high = (float(v) for v in torch.aminmax(x))
        self.low, self.high = min(self.low, low), max(self.high, high)
        if self.known is None:
            return
        self.known = distinct(x.cpu(), MOST_VALUES, self.known)

    def code(self) -> InputCode:
        """The smallest code that holds all values exactly (within the accuracy of their dtype)."""
        if self.known is None or not (math.isfinite(self.low) and math.isfinite(self.high)):
            return InputCode(None, self.low, self.high)
        return input_code_of(self.known.tolist(), self.accuracy)


def input_code(x: Tensor) -> InputCode:
    """The code of one tensor; see ``Values``."""
    values = Values()
    values.add(x)
    return values.code()


def input_code_of(values: Iterable[float], accuracy: float) -> InputCode:
    """The code of distinct values, which are accurate to ``accuracy`` of the largest of them."""
    distinct = list(values)
    low, high = min([0.0, *distinct]), max([0.0, *distinct])
    magnitudes = sorted({abs(v) for v in distinct} - {0.0})
    if not magnitudes:
        return InputCode(1.0, 0.0, 0.0)
    bipolar = 0.0 not in distinct and len(magnitudes) == 1 and len(distinct) == 2
    step = grid(magnitudes, WIDEST, accuracy)
    code = InputCode(step, low, high, bipolar=bipolar)
    if step is None or code.highest >= WIDEST:
        return InputCode(None, low, high)
    return code


def grid(magnitudes: list[float], most: int, accuracy: float = 2**-23) -> float | None:
    """The step of which all distinct positive numbers are whole multiples, at most ``most`` times; ``None`` without one, or where
    as few numbers would look like multiples of something anyway."""
    step = step_within(magnitudes, most, accuracy)
    if step is None or len(magnitudes) < 2:
        return step
    levels = max(magnitudes) / step
    off = max(deviation(magnitudes, step), 2**-23)
    return step if levels * min(2 * levels * off, 1.0) ** (len(magnitudes) - 1) < CHANCE else None


def merged(codes: Iterable[InputCode]) -> InputCode:
    """The code that holds the values of all."""
    known = [code for code in codes if not code.silent]
    if not known:
        return InputCode(1.0, 0.0, 0.0)
    low, high = min(c.low for c in known), max(c.high for c in known)
    steps = sorted({c.step for c in known if c.step is not None})
    step = None if any(c.step is None for c in known) else common_step(steps, WIDEST)
    if step is None or max(high, -low) / step > WIDEST:
        return InputCode(None, low, high)
    return InputCode(step, low, high, bipolar=all(c.bipolar for c in known) and len(steps) == 1)


def weight_precision(weight: Tensor) -> tuple[int, Levels]:
    """Bits and kind of the weights of one layer, shape (K, ...), from their values.

    ``"binary"``: all magnitudes of an output channel are equal. ``"signed"``: integers times one scale, or one scale per output channel, with
    at most 256 levels; bits b is the smallest with every integer in ``-2**(b-1) … 2**(b-1)-1``. ``"mid_rise"``: odd multiples of one such
    step, up to ``±(2**b - 1)``, in b bits (quantisers without a zero, as DoReFa's). Otherwise ``REAL`` bits, ``"float"``.
    """
    accuracy = torch.finfo(weight.dtype).eps if weight.is_floating_point() else 0.0
    own = weight.dtype in (torch.float32, torch.float64)
    wide = torch.float32 if weight.is_floating_point() else torch.float64
    channels = (weight.detach() if own else weight.detach().to(wide)).flatten(1).cpu()
    if _binary(channels, accuracy):
        return 1, "binary"
    codes = _codes(channels.flatten(), accuracy)
    if codes is not None:
        return _precision([codes])
    if channels.shape[1] < 4:
        return REAL, "float"
    every = []
    for channel in channels[channels.abs().amax(1) != 0]:
        codes = _codes(channel, accuracy)
        if codes is None:
            return REAL, "float"
        every.append(codes)
    return _precision(every) if every else (REAL, "float")


def _binary(channels: Tensor, accuracy: float) -> bool:
    """Whether all magnitudes of each channel are equal; it is seen from a few channels where they are not."""
    magnitude = channels.abs()
    top = magnitude.amax(1, keepdim=True).double()
    if channels.shape[1] == 1:  # one weight per channel proves nothing about its channel
        top = top.max().expand_as(top)
    least, rows = top * (1 - max(1e-6, 4 * accuracy)), max(1, (1 << 16) // channels.shape[1])
    parts = zip(magnitude.split(rows), least.split(rows), strict=True)
    return bool((top > 0).all()) and all(bool((part.double() >= low).all()) for part, low in parts)


@dataclass(frozen=True, slots=True)
class _Codes:
    """Integer codes of weights: the lowest, the highest, and whether all are odd."""

    low: int
    high: int
    odd: bool


def _codes(weights: Tensor, accuracy: float) -> _Codes | None:
    """Codes of weights of at most 8 bits with one common step: integers up to 128, or odd ones up to 255."""
    magnitudes = distinct(weights.abs(), 257)
    if magnitudes is None:
        return None
    step = step_within(magnitudes[magnitudes > 0].tolist(), 255, accuracy)
    if step is None:
        return None
    codes = torch.round(magnitudes / step)
    odd = bool((codes.remainder(2) == 1).all())
    if not odd and not float(codes.max()) <= 128:
        return None
    low, high = (float(v) for v in torch.aminmax(weights))
    return _Codes(round(low / step), round(high / step), odd)


def _precision(codes: list[_Codes]) -> tuple[int, Levels]:
    low, high = min(c.low for c in codes), max(c.high for c in codes)
    if all(c.odd for c in codes):
        bits = max(high, -low).bit_length()
        return bits, "binary" if bits == 1 else "mid_rise"
    return max(two_complement_bits(min(low, -1), high), 2), "signed"
