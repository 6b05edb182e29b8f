"""Names of the weight encodings and the columns they need; separate from ``encoding`` so that mapping and cost need no torch."""

from __future__ import annotations

import math
from typing import Literal

Scheme = Literal["twos_complement", "aware_offset", "full_offset", "differential"]
SCHEMES: tuple[str, ...] = Scheme.__args__  # type: ignore[attr-defined]


def slices_of(scheme: str, bits: int, cell_bits: int, mid_rise: bool = False) -> int:
    """Physical columns per weight, without looking at the weights; ``mid_rise`` for odd codes up to ``2**bits - 1``."""
    if scheme == "differential":
        return 2 * math.ceil(magnitude_bits(bits, mid_rise) / cell_bits)
    return math.ceil(bits / cell_bits)


def magnitude_bits(bits: int, mid_rise: bool) -> int:
    """Width of the magnitudes of weights of ``bits`` bits."""
    return bits if mid_rise else max(bits - 1, 1)


def count_planes(bits: int, signed: bool, full_range: bool = False) -> int:
    """Reads per input vector of bit-serial inputs of ``bits`` bits, the sign included.

    Signed inputs are applied as a positive and a negative pass of their magnitudes; -1 and +1 (1 bit) as one read each. The lowest two's
    complement code (``full_range``) needs one more read in the negative pass.
    """
    if not signed:
        return bits
    return 2 * max(bits - 1, 1) + int(full_range)


def count_row_blocks(channels: int, kernel: tuple[int, int], rows: int, order: str) -> int:
    """Crossbars that hold the rows of one weight matrix: ``len(slicing.row_blocks(...))`` without building it."""
    area = kernel[0] * kernel[1]
    return area * math.ceil(channels / rows) if order == "kernel" and area > 1 else math.ceil(channels * area / rows)
