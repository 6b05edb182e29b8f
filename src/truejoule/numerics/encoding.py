"""Signed integer weights as non-negative cell codes, with the exact digital correction that gives the integers back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from truejoule.errors import InputError
from truejoule.numerics.schemes import SCHEMES, magnitude_bits


@dataclass(frozen=True, slots=True)
class Encoded:
    """Integers ``w`` written as ``w = sum_s radix[s] * codes[s] - offset * mask``.

    Attributes
    ----------
    codes : ``(slices, rows, columns)``, whole numbers from 0 to ``2**cell_bits - 1`` stored as float32: what the cells hold.
    radix : ``(slices,)`` digital weight of each slice; negative for the sign slice and for the minus column of a pair.
    offset, mask : digital correction. ``mask`` is ``(rows, columns)`` of 0/1, or ``None`` when the offset applies to every weight, so that the
        correction is ``offset`` times the sum of the inputs and one counter serves all columns.
    """

    scheme: str
    codes: Float[Tensor, "slices rows columns"]
    radix: Float[Tensor, slices]
    offset: float
    mask: Float[Tensor, "rows columns"] | None

    @property
    def slices(self) -> int:
        return int(self.codes.shape[0])


def encode(
    weights: Float[Tensor, "rows columns"], bits: int, cell_bits: int, scheme: str, mid_rise: bool = False
) -> Encoded:
    """Encode signed integers of ``bits`` bits.

    ``twos_complement``: code = w mod 2^b. With one bit per cell the sign slice counts -2^(b-1); with more bits per cell the sign shares a cell
    with other bits and the DIFF unit subtracts 2^b for every input on a negative weight, as SpikeSim does.
    ``aware_offset``: code = w + 2^p for negative w only, with the smallest p that makes all codes non-negative (SpikeSim, Algorithm 1): fewer
    low-resistance cells. ``full_offset``: code = w + 2^(b-1) for all. ``differential``: positive and negative parts in two columns.

    Mid-rise weights have neither a zero nor a sign bit: all schemes but ``differential`` store the number of the level, u = (w + 2^b - 1) / 2,
    and w = 2 u - (2^b - 1). One bit is -1 and +1 as the bits 0 and 1.

    Parameters
    ----------
    weights : ``(rows, columns)`` whole numbers in [-2^(b-1), 2^(b-1) - 1].
    mid_rise : the numbers are odd instead, in [1 - 2^b, 2^b - 1].

    Raises
    ------
    InputError : for an unknown scheme, numbers that are not whole, or out of range.
    """
    if scheme not in SCHEMES:
        raise InputError(f"unknown weight encoding {scheme!r}", expected=", ".join(SCHEMES))
    low, high = (1 - 2**bits, 2**bits - 1) if mid_rise else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    whole = weights.to(torch.float32)
    _check(whole, low, high, bits, mid_rise)
    negative = whole < 0
    if scheme == "differential":
        if not mid_rise and whole.numel() and float(whole.min()) == low:
            raise InputError(
                "a weight that a differential pair of this width cannot hold",
                got=f"{low}",
                expected=f"whole numbers from {-high} to {high}",
                fix="use symmetric weights, or another encoding",
            )
        magnitude = magnitude_bits(bits, mid_rise)
        plus, minus = (_split(part.clamp(min=0), magnitude, cell_bits) for part in (whole, -whole))
        return Encoded(scheme, torch.cat([plus[0], minus[0]]), torch.cat([plus[1], -minus[1]]), 0.0, None)
    if mid_rise:
        codes, radix = _split((whole + high) / 2, bits, cell_bits)
        return Encoded(scheme, codes, 2 * radix, float(high), None)
    if scheme == "full_offset":
        codes, radix = _split(whole - low, bits, cell_bits)
        return Encoded(scheme, codes, radix, float(-low), None)
    if scheme == "aware_offset":
        smallest = float(-whole.min()) if bool(negative.any()) else 0.0
        offset = float(2 ** math.ceil(math.log2(smallest))) if smallest > 0 else 0.0
        codes, radix = _split(torch.where(negative, whole + offset, whole), bits, cell_bits)
        return Encoded(scheme, codes, radix, offset, negative.to(torch.float32) if offset else None)
    codes, radix = _split(torch.where(negative, whole + 2**bits, whole), bits, cell_bits)
    if cell_bits == 1:
        radix[-1] = -radix[-1]
        return Encoded(scheme, codes, radix, 0.0, None)
    return Encoded(scheme, codes, radix, float(2**bits), negative.to(torch.float32))


def _check(whole: Tensor, low: int, high: int, bits: int, mid_rise: bool) -> None:
    if not whole.numel():
        return
    wrong = bool((whole.remainder(2) != 1).any()) if mid_rise else bool((whole != whole.round()).any())
    if wrong or float(whole.min()) < low or float(whole.max()) > high:
        raise InputError(
            "weights that do not fit their bit width",
            got=f"{float(whole.min()):g} to {float(whole.max()):g}",
            expected=f"{'odd' if mid_rise else 'whole'} numbers from {low} to {high} ({bits} bit)",
        )


def decode(encoded: Encoded) -> Float[Tensor, "rows columns"]:
    """The integers again, ``(rows, columns)``."""
    value = torch.einsum("s,src->rc", encoded.radix, encoded.codes)
    if encoded.offset == 0.0:
        return value
    return value - encoded.offset * (1.0 if encoded.mask is None else encoded.mask)


def _split(
    codes: Float[Tensor, "rows columns"], bits: int, cell_bits: int
) -> tuple[Float[Tensor, "slices rows columns"], Float[Tensor, " slices"]]:
    """Least significant slice first: ``(slices, rows, columns)`` and the radix of each slice."""
    count = math.ceil(bits / cell_bits)
    base = float(2**cell_bits)
    slices = torch.stack([torch.floor(codes / base**k) % base for k in range(count)])
    return slices, torch.tensor([base**k for k in range(count)])
