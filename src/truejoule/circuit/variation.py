"""What real cells do to programmed conductances: errors that stay and noise that comes anew with every read.

A `Variation` is data: effects in the order in which they act, each with its source. Effects of the first kind are
drawn once per device (``Variation.program``), those of the second once per read (``Variation.read``).

Randomness comes from outside: ``draw(*key)`` must return a numpy Generator that depends on nothing but a seed and the
key, such as ``functools.partial(truejoule.numerics.draws.stream, seed, "conv2", "tile 3")``. The same draw and key give
the same devices, whatever else is simulated. Every effect takes and returns conductances in S of any shape, ``(...,
rows, columns)``; none becomes negative. No gradients flow through the draws, but they do through ``g``.

Device models with their sources are in `truejoule.circuit.variation_presets`, measured ones in
`truejoule.circuit.variation_measured`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from truejoule.errors import InputError

Draw = Callable[..., np.random.Generator]


class Effect(Protocol):
    """One effect: ``g`` as it becomes, with random numbers from ``random``."""

    def __call__(self, g: Tensor, random: np.random.Generator) -> Tensor: ...


class Spread(Protocol):
    """A standard deviation in S as a function of the conductance in S."""

    def __call__(self, g: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Variation:
    """Effects in the order in which they act."""

    static: tuple[Effect, ...] = ()
    """Once per device: programming, device to device, stuck cells, drift."""
    per_read: tuple[Effect, ...] = ()
    """Once per read: cycle to cycle, read noise."""

    def program(self, g: Tensor, draw: Draw) -> Tensor:
        """The conductances that programming ``g`` leaves in these devices, in S."""
        for k, effect in enumerate(self.static):
            g = effect(g, draw("static", k, type(effect).__name__))
        return g

    def read(self, g: Tensor, draw: Draw, read: int | str) -> Tensor:
        """The conductances that read number ``read`` sees, in S; ``g`` are the programmed ones."""
        for k, effect in enumerate(self.per_read):
            g = effect(g, draw("read", k, type(effect).__name__, read))
        return g

    def then(self, other: Variation) -> Variation:
        """These effects, then those."""
        return Variation(self.static + other.static, self.per_read + other.per_read)


@dataclass(frozen=True)
class PolynomialSpread:
    """``σ = Σ c_k (g / g_ref)^k``, not below 0; beyond the fitted conductances the value at their end."""

    coefficients_s: tuple[float, ...]
    """``c_0``, ``c_1``, ... in S."""
    g_ref_s: float
    g_high_s: float
    """Highest fitted conductance."""
    g_low_s: float = 0.0
    scale: float = 1.0

    def __call__(self, g: Tensor) -> Tensor:
        x = g.clamp(self.g_low_s, self.g_high_s) / self.g_ref_s
        total = torch.zeros_like(x)
        for c in reversed(self.coefficients_s):
            total = total * x + c
        return self.scale * total.clamp_min(0)


@dataclass(frozen=True)
class SaturatingSpread:
    """``σ = a (1 - e^(-g/b))``."""

    a_s: float
    b_s: float

    def __call__(self, g: Tensor) -> Tensor:
        return -self.a_s * torch.expm1(-g / self.b_s)


@dataclass(frozen=True)
class RelativeSpread:
    """``σ = s · g``."""

    share: float

    def __post_init__(self) -> None:
        not_negative("share", self.share)

    def __call__(self, g: Tensor) -> Tensor:
        return self.share * g


@dataclass(frozen=True)
class PiecewiseSpread:
    """Straight lines between points, constant outside."""

    g_s: tuple[float, ...]
    sigma_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.g_s) != len(self.sigma_s) or not self.g_s or list(self.g_s) != sorted(set(self.g_s)):
            raise InputError("the points of a spread must ascend and pair up", where="g_s", got=self.g_s)

    def __call__(self, g: Tensor) -> Tensor:
        return interpolate(g, self.g_s, self.sigma_s)


@dataclass(frozen=True)
class GaussianError:
    """``g + bias(g) + σ(g) · n``: programming error, or white read noise where it is among the ``per_read`` effects."""

    spread: Spread
    source: str
    bias: Spread | None = None

    def __call__(self, g: Tensor, random: np.random.Generator) -> Tensor:
        shifted = g if self.bias is None else g + self.bias(g)
        return (shifted + self.spread(g) * normal(g, random)).clamp_min(0)


@dataclass(frozen=True)
class LogNormalError:
    """``g · exp(σ n - σ² / 2)``: device to device, or cycle to cycle where it is among the ``per_read`` effects. The
    mean is kept, the standard deviation is ``g · sqrt(e^(σ²) - 1)``."""

    sigma: float
    source: str

    def __post_init__(self) -> None:
        not_negative("sigma", self.sigma)

    def __call__(self, g: Tensor, random: np.random.Generator) -> Tensor:
        return g * torch.exp(self.sigma * normal(g, random) - 0.5 * self.sigma**2)


@dataclass(frozen=True)
class StuckCells:
    """A share of the cells stands at ``g_low_s``, another at ``g_high_s``, whatever is programmed."""

    share_low: float
    share_high: float
    g_low_s: float
    g_high_s: float
    source: str

    def __post_init__(self) -> None:
        for name in ("share_low", "share_high", "g_low_s", "g_high_s"):
            not_negative(name, getattr(self, name))
        if self.share_low + self.share_high > 1:
            raise InputError(
                "more than all cells are stuck", where="share_low, share_high", expected="a sum of at most 1"
            )

    def __call__(self, g: Tensor, random: np.random.Generator) -> Tensor:
        luck = uniform(g, random)
        g = torch.where(luck < self.share_low, torch.full_like(g, self.g_low_s), g)
        return torch.where(luck >= 1 - self.share_high, torch.full_like(g, self.g_high_s), g)


@dataclass(frozen=True)
class PowerLawDrift:
    """``g · ((t + t0) / t0)^(-ν)``, ``ν = |mean(g) + sd(g) · n|``, ``mean`` and ``sd`` straight lines in ``ln(g /
    g_max)`` between limits. ``time_s`` counts from ``t0`` after programming."""

    time_s: float
    t0_s: float
    g_max_s: float
    mean: tuple[float, float, float, float]
    """Slope, offset, lowest, highest of the mean exponent."""
    sd: tuple[float, float, float, float]
    """The same of its standard deviation."""
    source: str

    def __post_init__(self) -> None:
        not_negative("time_s", self.time_s)
        if not (self.t0_s > 0 and self.g_max_s > 0):
            raise InputError("drift needs a positive reference time and conductance", where="t0_s, g_max_s")

    def __call__(self, g: Tensor, random: np.random.Generator) -> Tensor:
        x = torch.log((g.detach() / self.g_max_s).clamp_min(1e-7))
        mean, sd = ((line[0] * x + line[1]).clamp(line[2], line[3]) for line in (self.mean, self.sd))
        nu = (mean + sd * normal(g, random)).abs()
        return g * torch.exp(-nu * math.log1p(self.time_s / self.t0_s))


@dataclass(frozen=True)
class FlickerNoise:
    """``g · (1 + q √ln((t + t_read) / (2 t_read)) · n)``, ``q = q0 (g / g_max)^(-p)``, at most ``q_high``: 1/f noise
    accumulated from programming to a read at time ``t``, which lasts ``t_read``. A per-read effect."""

    time_s: float
    t_read_s: float
    q0: float
    power: float
    q_high: float
    g_max_s: float
    source: str

    def __post_init__(self) -> None:
        if not (self.time_s >= self.t_read_s > 0 and self.g_max_s > 0):
            raise InputError(
                "a read happens later than it lasts",
                where="time_s",
                got=self.time_s,
                expected=f"{self.t_read_s} s or more",
            )

    def __call__(self, g: Tensor, random: np.random.Generator) -> Tensor:
        q = (self.q0 * (g.detach() / self.g_max_s).clamp_min(1e-7) ** -self.power).clamp_max(self.q_high)
        spread = q * math.sqrt(math.log((self.time_s + self.t_read_s) / (2 * self.t_read_s)))
        return (g * (1 + spread * normal(g, random))).clamp_min(0)


@dataclass(frozen=True)
class TelegraphNoise:
    """``g · (1 - a)`` while a trap is filled, ``g`` while it is empty: random telegraph noise of a share of the cells.

    As a per-read effect, reads are independent (further apart than the trap's time constants); `sequence` gives reads
    that follow each other.
    """

    amplitude: float
    """Relative change of the conductance, 0 to 1."""
    share_filled: float
    """Of the time, 0 to 1."""
    share_of_cells: float
    source: str

    def __post_init__(self) -> None:
        for name in ("amplitude", "share_filled", "share_of_cells"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError("a share lies between 0 and 1", where=name, got=getattr(self, name))

    def __call__(self, g: Tensor, random: np.random.Generator) -> Tensor:
        filled = uniform(g, random) < self.share_filled * self.share_of_cells
        return torch.where(filled, g * (1 - self.amplitude), g)

    def sequence(self, g: Tensor, random: np.random.Generator, reads: int, switches: float) -> Tensor:
        """``(reads, ...)``: conductances at successive reads; a trap forgets its state with probability ``switches``
        between two reads, 0 (frozen) to 1 (independent)."""
        if not 0.0 <= switches <= 1.0:
            raise InputError("a probability lies between 0 and 1", where="switches", got=switches)
        noisy = uniform(g, random) < self.share_of_cells
        filled = uniform(g, random) < self.share_filled
        steps = []
        for _ in range(reads):
            steps.append(torch.where(filled & noisy, g * (1 - self.amplitude), g))
            fresh = uniform(g, random) < self.share_filled
            filled = torch.where(uniform(g, random) < switches, fresh, filled)
        return torch.stack(steps) if steps else g.new_empty((0, *g.shape))


def normal(like: Tensor, random: np.random.Generator) -> Tensor:
    """Standard normal numbers of the shape, dtype and device of ``like``."""
    return torch.from_numpy(np.asarray(random.standard_normal(tuple(like.shape)))).to(like)


def uniform(like: Tensor, random: np.random.Generator) -> Tensor:
    """Uniform numbers in [0, 1) of the shape of ``like``, fp64, on its device."""
    return torch.from_numpy(np.asarray(random.random(tuple(like.shape)))).to(like.device)


def interpolate(x: Tensor, points: tuple[float, ...], values: tuple[float, ...]) -> Tensor:
    """Straight lines through points, constant outside."""
    at, y = (torch.as_tensor(a, dtype=x.dtype, device=x.device) for a in (points, values))
    if len(points) == 1:
        return torch.full_like(x, values[0])
    k = torch.bucketize(x.detach().contiguous(), at[1:-1].contiguous(), right=True)
    share = ((x - at[k]) / (at[k + 1] - at[k])).clamp(0, 1)
    return y[k] + share * (y[k + 1] - y[k])


def not_negative(name: str, value: float) -> None:
    """Raise InputError unless ``value`` is finite and not negative."""
    if not 0.0 <= value < math.inf:
        raise InputError("this must be finite and not negative", where=name, got=value)
