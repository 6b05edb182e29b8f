"""The integer grid that a set of numbers lies on."""

from __future__ import annotations

from collections.abc import Sequence

ROUNDING = 2e-6
"""Relative error that values in float32 may carry after a few operations."""


def common_step(magnitudes: Sequence[float], most: int, rounding: float = ROUNDING) -> float | None:
    """The largest step of which all numbers are whole multiples, at most ``most`` times; ``None`` without one.

    Parameters
    ----------
    magnitudes : distinct positive numbers.
    rounding : error of a number, relative to the largest.
    """
    if not magnitudes:
        return None
    top = max(magnitudes)
    step = _common_divisor(magnitudes, top * rounding)
    if step is None or top / step > most + 0.5:
        return None
    step = top / round(top / step)
    return step if deviation(magnitudes, step) <= 4 * rounding else None


def step_within(magnitudes: Sequence[float], most: int, accuracy: float) -> float | None:
    """``common_step`` of numbers in a floating-point type of relative accuracy ``accuracy``.

    Whole numbers are exact in every type, so they are tried first; multiples of other steps carry its rounding.
    """
    found = common_step(magnitudes, most)
    return found if found is not None or accuracy / 8 <= ROUNDING else common_step(magnitudes, most, accuracy / 8)


def deviation(magnitudes: Sequence[float], step: float) -> float:
    """Largest distance of a number from a whole multiple of ``step``, relative to the largest number."""
    return max(abs(v / step - round(v / step)) for v in magnitudes) * step / max(magnitudes)


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
