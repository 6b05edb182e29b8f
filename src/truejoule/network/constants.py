"""From measured numbers back to the constants somebody wrote: attributes of the module, or round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

THRESHOLDS = ("v_threshold", "threshold", "v_th", "vth", "thresh", "theta", "v_thr")
RESETS = ("v_reset", "reset_value", "v_rest")
MEASURED = 3e-6  # relative accuracy of a float32 measurement


def scalars(module: nn.Module) -> Iterator[tuple[str, float]]:
    """Every scalar attribute, buffer and parameter."""
    pools = (vars(module), module._parameters, module._buffers)
    for pool in pools:
        for name, value in pool.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield name, float(value)
            elif (
                isinstance(value, Tensor)
                and value.numel() >= 1
                and value.is_floating_point()
                and bool((value == value.flatten()[0]).all())
            ):
                number = value.detach().flatten()[0]
                yield name, float(_decimal(float(number))) if value.dtype == torch.float32 else float(number)


def threshold_attribute(module: nn.Module) -> float | None:
    named = dict(scalars(module))
    return next((named[n] for n in THRESHOLDS if n in named and named[n] > 0), None)


def start_attribute(module: nn.Module) -> float:
    named = dict(scalars(module))
    return next((named[n] for n in RESETS if n in named), 0.0)


def candidates(module: nn.Module) -> list[float]:
    """Numbers that decays and gains are usually made of, from the module's attributes."""
    made: list[float] = []
    for _, a in scalars(module):
        if not math.isfinite(a):
            continue
        made += [a, 1 - a, -a]
        if abs(a) > 1e-6:
            made += [1 / a, 1 - 1 / a]
            if abs(a) < 50:
                made += [math.exp(-1 / a) if a > 0.02 else 0.0, 1 - math.exp(-1 / a) if a > 0.02 else 1.0]
        if abs(a) < 50:
            made += [math.exp(-a) if a > 0 else 1.0, 1 / (1 + math.exp(-a)), 1 - 1 / (1 + math.exp(-a))]
    return made


def round_to(value: float, module: nn.Module, *, low: float, high: float, scale: float) -> float:
    """The constant behind a measured value: 0, 1, a function of an attribute, or the shortest decimal close enough."""
    tolerance = MEASURED * max(abs(value), scale)
    options = [o for o in (0.0, 1.0, *candidates(module)) if low <= o <= high]
    close = [o for o in options if abs(o - value) <= tolerance]
    if close:
        return min(close, key=lambda o: (abs(o - value) > tolerance / 4, len(repr(o)), abs(o - value)))
    for digits in range(1, 8):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= tolerance / 3:
            return min(max(short, low), high)
    return min(max(value, low), high)


def gain_of(module: nn.Module, at: float, below: float, threshold: float | None) -> tuple[float, float | None]:
    """Gain and threshold (above the start of the state) from the smallest firing input."""
    if threshold is None:
        return 1.0, shortest(below, at)
    start = start_attribute(module)
    levels = [threshold - start, threshold] if start and threshold > start else [threshold]
    for level in levels:
        gain = round_to(level / at, module, low=0.0, high=math.inf, scale=0.0)
        if gain == 1.0 or any(abs(gain - c) < 1e-12 for c in candidates(module)):
            return gain, level
    return round_to(levels[0] / at, module, low=0.0, high=math.inf, scale=0.0), levels[0]


def shortest(below: float, at: float) -> float:
    """The rounder of two adjacent float32 numbers, as the decimal it was written as."""
    return float(_decimal(min((at, below), key=_digits)))


def _digits(value: float) -> int:
    return len(_decimal(value))


def _decimal(value: float) -> str:
    return np.format_float_positional(np.float32(value), unique=True, trim="-")


def equality(below: float, at: float, level: float, gain: float) -> bool:
    """Whether a state exactly at the threshold fires: on which side of the exact input the first spike lies."""
    exact = torch.tensor(level / gain, dtype=torch.float64).to(torch.float32).item()
    if exact == at:
        return True
    if exact == below:
        return False
    return _digits(at) <= _digits(below)
