"""The integer grid that a set of numbers lies on."""

from __future__ import annotations

from collections.abc import Sequence

ROUNDING = 2e-6
"""Relative error that values in float32 may carry after a few operations."""


def common_step(magnitudes: Sequence[float], most: int) -> float | None:
    """The largest step of which all numbers are whole multiples, at most ``most`` times; ``None`` without one.

    Parameters
    ----------
    magnitudes : distinct positive numbers.
    """
    if not magnitudes:
        return None
    top = max(magnitudes)
    step = _common_divisor(magnitudes, top * ROUNDING)
    if step is None or top / step > most + 0.5:
        return None
    step = top / round(top / step)
    if any(abs(v / step - round(v / step)) * step > 4 * top * ROUNDING for v in magnitudes):
        return None
    return step


def _common_divisor(values: Sequence[float], tolerance: float) -> float | None:
    """Euclid's algorithm on numbers that carry rounding errors."""
    divisor = values[0]
    for value in values[1:]:
        a, b = value, divisor
        while b > 8 * tolerance:
            rest = a - b * round(a / b)
            a, b = b, abs(rest)
        divisor = a
        if divisor < 16 * tolerance:
            return None
    return divisor
