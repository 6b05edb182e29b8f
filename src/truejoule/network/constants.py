"""From measured numbers back to the constants somebody wrote: attributes of the module, or round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from truejoule.workload.neuron import Constant

THRESHOLDS = ("v_threshold", "threshold", "v_th", "vth", "thresh", "theta", "v_thr", "spike_threshold", "thre", "Vth")
RESETS = ("v_reset", "reset_value", "v_rest")
MEASURED = 3e-6  # relative accuracy of a float32 measurement


def numbers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every attribute, buffer and parameter of a module and its parts that is one number or several; its own first."""
    for part in module.modules():
        for pool in (vars(part), part._parameters, part._buffers):
            for name, value in pool.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    yield name, torch.tensor([float(value)], dtype=torch.float64)
                elif isinstance(value, Tensor) and value.numel() >= 1 and value.is_floating_point():
                    found = written(value.detach().flatten())
                    yield name, found[:1] if bool((found == found[0]).all()) else found


def written(value: Tensor) -> Tensor:
    """Numbers in double precision as the decimals that they were written as."""
    if value.dtype != torch.float32 or value.numel() > 4096:
        return value.to(torch.float64)
    return torch.tensor([float(_decimal(v)) for v in value], dtype=torch.float64)


def exact(module: nn.Module) -> bool:
    """Whether all constants are short binary fractions, with which small inputs are computed without rounding."""
    found = [v[v.isfinite()] * 256 for _, v in numbers(module)]
    return all(bool(((v == v.round()) & (v.abs() < 2**16)).all()) for v in found)


def threshold_attribute(module: nn.Module, neurons: int = 1) -> Tensor | None:
    """Positive number(s) that the module itself calls its threshold, shape (1,) or (neurons,)."""
    named = [(n.lower(), v) for n, v in numbers(module) if v.numel() in (1, neurons) and bool((v > 0).all())]
    for wanted in THRESHOLDS:
        for name, value in named:
            if name == wanted.lower() and bool(value.isfinite().all()):
                return value
    return None


def start_attribute(module: nn.Module) -> float:
    named = {name: float(value[0]) for name, value in numbers(module) if value.numel() == 1}
    return next((named[n] for n in RESETS if n in named), 0.0)


def candidates(module: nn.Module, neurons: int = 1) -> list[Tensor]:
    """Numbers (one or one per neuron) that decays and gains are usually made of, from the module's attributes."""
    made: list[Tensor] = [torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)]
    for _, a in numbers(module):
        if a.numel() not in (1, neurons) or not bool(a.isfinite().all()):
            continue
        made += [a, 1 - a, -a, 2 * a, a / 2, -a / 2]
        if bool((a.abs() > 1e-6).all()):
            made += [1 / a, 1 - 1 / a]
            if bool((a > 0.02).all()):
                made += [torch.exp(-1 / a), 1 - torch.exp(-1 / a)]
        if bool((a.abs() < 50).all()):
            made += [torch.exp(-a.clamp(min=0)), torch.sigmoid(a), 1 - torch.sigmoid(a)]
        if bool((a > 0).all()):
            made += [a / 1000, 1 - a / 1000]  # rates per second, at the usual step of a millisecond
    return made


def constant(
    measured: Tensor,
    module: nn.Module,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    scale: Tensor | float = 0.0,
    accuracy: float = MEASURED,
) -> Constant:
    """The constants behind measured values (neurons,): 0, 1, functions of an attribute, or the shortest decimals close enough."""
    measured = measured.to(torch.float64)
    tolerance = accuracy * torch.maximum(measured.abs(), torch.as_tensor(scale, dtype=torch.float64))
    close = []
    for option in candidates(module, len(measured)):
        distance = (option - measured).abs()
        if bool(((distance <= tolerance) & (option >= low) & (option <= high)).all()):
            close.append((float((distance / tolerance.clamp(min=1e-300)).max()), option))
    if close:
        best = min(
            close, key=lambda found: (found[0] > 0.25, found[1].numel(), len(repr(found[1][0].item())), found[0])
        )
        return _one(best[1])
    middle = measured.median()
    if bool(((measured - middle).abs() <= tolerance).all()):
        measured, tolerance = middle[None], tolerance.min()[None]
    return _one(
        torch.tensor(
            [_shortest(float(v), float(t) / 3, low, high) for v, t in zip(measured, tolerance, strict=True)],
            dtype=torch.float64,
        )
    )


def _shortest(value: float, tolerance: float, low: float, high: float) -> float:
    if not math.isfinite(value):
        return value
    for digits in range(1, 8):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= tolerance:
            return min(max(short, low), high) + 0.0
    return min(max(value, low), high)


def _one(found: Tensor) -> Constant:
    return float(found[0]) + 0.0 if bool((found == found[0]).all()) else tuple(found.tolist())


def levels_of(module: nn.Module, at: Tensor) -> tuple[Constant, Constant]:
    """(gain, threshold above the start of the state) from the smallest firing inputs (neurons,) of neurons that start at 0."""
    threshold = threshold_attribute(module, len(at))
    if threshold is None:
        return 1.0, _one(at)
    start = start_attribute(module)
    levels = [threshold - start, threshold] if start and bool((threshold > start).all()) else [threshold]
    known = candidates(module, len(at))
    for level in levels:
        gain = constant(level / at, module, low=0.0)
        if gain == 1.0 or any(_one(c) == gain for c in known):
            return gain, _one(level)
    return constant(levels[0] / at, module, low=0.0), _one(levels[0])


def rounder(below: Tensor, at: Tensor) -> Tensor:
    """The rounder of two adjacent numbers, elementwise."""
    return torch.stack([a if _digits(a) <= _digits(b) else b for a, b in zip(at, below, strict=True)])


def equality(below: Tensor, at: Tensor, level: Tensor) -> bool:
    """Whether a state exactly at the threshold fires: on which side of the exact input ``level`` the first spike lies."""
    exact = level.to(at.dtype).expand_as(at)
    yes, no = int((exact == at).sum()), int((exact == below).sum())
    if yes != no:
        return yes > no
    return sum(map(_digits, at)) <= sum(map(_digits, below))


def _digits(value: Tensor) -> int:
    return len(_decimal(value))


def _decimal(value: Tensor) -> str:
    number = value.item() if value.dtype == torch.float64 else np.float32(value.item())
    return np.format_float_positional(number, unique=True, trim="-")
