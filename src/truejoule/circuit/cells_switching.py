"""Cells that saturate or switch: transistor read paths and selectors. See `truejoule.circuit.cells` for the rules.

The state ``g`` of a transistor is its conductance at 0 V with the gate on; a cell whose gate is off is another, small
``g``. The state of a selector is the conductance of the memory above the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.circuit.cells import require_positive, spice_volts
from truejoule.errors import InputError


@dataclass(frozen=True)
class ReadStack:
    """``i = g · v_sat tanh(v / v_sat) · (1 + λ |v|)``: the two stacked transistors of an 8T-SRAM read port. Odd.

    Behaves as a resistor ``1/g`` below ``v_sat`` and saturates at ``i_sat = g · v_sat`` above, with channel-length
    modulation ``λ``. Source of the form: the hyperbolic-tangent MOSFET model (Shichman-Hodges' smooth successor, used
    for GaAs by W. Curtice 1980).
    """

    v_sat_v: float
    """Saturation voltage of the stack, in V."""
    early_per_v: float = 0.0
    """Channel-length modulation ``λ``, in 1/V."""

    def __post_init__(self) -> None:
        require_positive("v_sat_v", self.v_sat_v, "V")
        require_not_negative("early_per_v", self.early_per_v, "1/V")

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return g * (self.v_sat_v * torch.tanh(v / self.v_sat_v) * (1 + self.early_per_v * v.abs()))

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[1]

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.tanh(v / self.v_sat_v)
        early = 1 + self.early_per_v * v.abs()
        slope = (1 - t * t) * early + self.early_per_v * self.v_sat_v * t.abs()
        return g * (self.v_sat_v * t * early), g * slope

    def spice(self, g: float, plus: str, minus: str) -> str:
        v = spice_volts(plus, minus)
        early = f"*(1+{self.early_per_v:.17g}*abs({v}))" if self.early_per_v else ""
        return f"{g * self.v_sat_v:.17g}*tanh({v}/{self.v_sat_v:.17g}){early}"


@dataclass(frozen=True)
class AlphaPower:
    """``i = g v / (1 + |v / v_sat|^n)^(1/n) · (1 + λ |v|)``: saturation without exponentials, knee set by ``n``. Odd.

    The smooth form of Sakurai and Newton's alpha-power law (IEEE JSSC 25(2), 1990): its linear region ``g v`` and its
    saturation ``g · v_sat`` joined as in C. C. Enz's and R. van Langevelde's velocity-saturation terms. ``n = 2`` is the
    algebraic law of fast shooting solvers; larger ``n`` turns more sharply.
    """

    v_sat_v: float
    n: float = 2.0
    """Sharpness of the knee, at least 1."""
    early_per_v: float = 0.0

    def __post_init__(self) -> None:
        require_positive("v_sat_v", self.v_sat_v, "V")
        require_not_negative("early_per_v", self.early_per_v, "1/V")
        if not 1.0 <= self.n <= 20.0:
            raise InputError("the knee must be between 1 and 20", where="n", got=self.n)

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[0]

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[1]

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        base = 1 + (v.abs() / self.v_sat_v) ** self.n
        shape = base ** (-1 / self.n)
        early = 1 + self.early_per_v * v.abs()
        return g * (v * shape * early), g * (shape / base * early + self.early_per_v * v.abs() * shape)

    def spice(self, g: float, plus: str, minus: str) -> str:
        v = spice_volts(plus, minus)
        early = f"*(1+{self.early_per_v:.17g}*abs({v}))" if self.early_per_v else ""
        return f"{g:.17g}*{v}/pow(1+pow(abs({v})/{self.v_sat_v:.17g},{self.n:.17g}),{1 / self.n:.17g}){early}"


@dataclass(frozen=True)
class Ekv:
    """``i = k (F(p) - F(p - |v| / φ)) · (1 + λ |v|)``, ``F(x) = ln²(1 + e^(x/2))``: a transistor from weak to strong
    inversion. Odd: source is whichever terminal is lower.

    ``k`` is chosen so that ``g`` is the conductance at 0 V, ``k = g φ / F'(p)``. Source: C. C. Enz, F. Krummenacher, E.
    A. Vittoz, Analog Integr. Circuits Signal Process. 8, 83 (1995), with drain current ``I_S [F(v_P - v_S) - F(v_P -
    v_D)]``.
    """

    overdrive_v: float
    """Pinch-off voltage above the source, ``(V_G - V_T) / n``, in V; negative in weak inversion."""
    early_per_v: float = 0.0
    thermal_v: float = 0.025852
    """``φ = kT/q``, in V; the default is 300 K."""

    def __post_init__(self) -> None:
        require_positive("thermal_v", self.thermal_v, "V")
        require_not_negative("early_per_v", self.early_per_v, "1/V")
        if not abs(self.overdrive_v) < 100 * self.thermal_v:
            raise InputError("the overdrive is out of range", where="overdrive_v", got=self.overdrive_v, expected="V")

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[0]

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[1]

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        half = self.overdrive_v / (2 * self.thermal_v)
        x = v.abs() / (2 * self.thermal_v)
        source, drain = _softplus(half), torch.nn.functional.softplus(half - x, threshold=100.0)
        # source - drain = -ln(1 - s (1 - e^-x)), s = 1/(1+e^-half): no cancellation at small v
        s = 1 / (1 + math.exp(-half))
        apart = -torch.log1p(s * torch.expm1(-x))
        scale = self.thermal_v / (source * s)
        early = 1 + self.early_per_v * v.abs()
        shape = scale * apart * (source + drain)
        slope = scale / self.thermal_v * drain * torch.sigmoid(half - x) * early + self.early_per_v * shape
        return g * (torch.sign(v) * shape * early), g * slope

    def spice(self, g: float, plus: str, minus: str) -> str:
        v = spice_volts(plus, minus)
        half = self.overdrive_v / (2 * self.thermal_v)
        s = 1 / (1 + math.exp(-half))
        source = _softplus(half)
        x = f"(abs({v})/{2 * self.thermal_v:.17g})"
        drain = f"ln(1+exp({half:.17g}-{x}))"
        apart = f"ln(1-{s:.17g}*(1-exp(-{x})))"
        early = f"*(1+{self.early_per_v:.17g}*abs({v}))" if self.early_per_v else ""
        return f"{-g * self.thermal_v / (source * s):.17g}*sgn({v})*{apart}*({source:.17g}+{drain}){early}"


@dataclass(frozen=True)
class Selector:
    """``i = g · w ln((1 + e^((|v| - v_th)/w)) / (1 + e^(-v_th/w)))``: a threshold switch in series with memory.

    Blocks below ``v_th`` and conducts as ``g (|v| - v_th)`` above; the current grows by e per ``w`` in between, and the
    conductance at 0 V is ``g / (1 + e^(v_th/w))``. Odd, or a diode with ``rectifying=True``: then negative voltages
    see the same formula without the bars, which leaks no more than ``g w e^(-v_th/w)``.

    The threshold is reversible (MIEC, Schottky and tunnel selectors); a snap-back (OTS) has no unique state and is not
    modelled.
    """

    v_th_v: float
    w_v: float
    """Voltage per factor e of subthreshold current, in V; ``w = slope_per_decade / 2.303``."""
    rectifying: bool = False

    def __post_init__(self) -> None:
        require_not_negative("v_th_v", self.v_th_v, "V")
        require_positive("w_v", self.w_v, "V")
        if self.v_th_v / self.w_v > 80.0:
            raise InputError(
                "this selector blocks by more than e^80, which no device does and fp32 cannot hold",
                where="v_th_v / w_v",
                got=self.v_th_v / self.w_v,
                expected="at most 80",
            )

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[0]

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[1]

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        t = (v if self.rectifying else v.abs()) / self.w_v
        s = 1 / (1 + math.exp(self.v_th_v / self.w_v))
        most = 0.9 * math.log(torch.finfo(v.dtype).max)
        # ln(1 - s + s e^t) two ways: exact near 0 V, and without overflow far above the threshold
        near = torch.log1p(s * torch.expm1(t.clamp_max(most)))
        height = torch.where(t < most, near, t + math.log(s))
        current = self.w_v * height
        current = current if self.rectifying else torch.sign(v) * current
        return g * current, g * torch.sigmoid(t - self.v_th_v / self.w_v)

    def spice(self, g: float, plus: str, minus: str) -> str:
        v = spice_volts(plus, minus)
        s = 1 / (1 + math.exp(self.v_th_v / self.w_v))
        size, sign = (v, "") if self.rectifying else (f"abs({v})", f"*sgn({v})")
        return f"{g * self.w_v:.17g}*ln(1+{s:.17g}*(exp({size}/{self.w_v:.17g})-1)){sign}"


def require_not_negative(name: str, value: float, unit: str) -> None:
    """Raise InputError unless ``value`` is finite and not negative."""
    if not 0.0 <= value < math.inf:
        raise InputError("this must be finite and not negative", where=name, got=value, expected=unit)


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
