"""Names of the weight encodings and the columns they need; separate from ``encoding`` so that mapping and cost need no torch."""

from __future__ import annotations

import math
from typing import Literal

Scheme = Literal["twos_complement", "aware_offset", "full_offset", "differential"]
SCHEMES: tuple[str, ...] = Scheme.__args__  # type: ignore[attr-defined]


def slices_of(scheme: str, bits: int, cell_bits: int) -> int:
    """Physical columns per weight, without looking at the weights."""
    if scheme == "differential":
        return 2 * math.ceil(max(bits - 1, 1) / cell_bits)
    return math.ceil(bits / cell_bits)


def count_planes(bits: int, signed: bool) -> int:
    """Reads per input vector of bit-serial inputs; signed inputs are applied as a positive and a negative pass."""
    return bits * (2 if signed else 1)


def count_row_blocks(channels: int, kernel: tuple[int, int], rows: int, order: str) -> int:
    """Crossbars that hold the rows of one weight matrix: ``len(slicing.row_blocks(...))`` without building it."""
    area = kernel[0] * kernel[1]
    return area * math.ceil(channels / rows) if order == "kernel" and area > 1 else math.ceil(channels * area / rows)
