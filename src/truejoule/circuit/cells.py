"""Cell laws: the current through one memory cell as a function of its voltage and of what is programmed into it.

A law is a frozen dataclass of numbers; the programmed state is a tensor ``g`` in S beside it, so that one law serves a
whole array. Everywhere ``v`` is the voltage from the cell's plus terminal (word line of a passive array, bit line of a
gated one) to its minus terminal, and ``v (..., rows, columns)`` and ``g`` broadcast against each other.

Every law here is passive and monotone, ``v · i >= 0`` and ``di/dv >= 0``, is zero at 0 V, and gives exactly no current
at ``g = 0``. Odd laws (``i(-v) = -i(v)``) say so. The solvers rely on nothing else: write your own law by giving the
three methods of `Cell`.

This file holds smooth two-terminal laws and series resistance; transistors and selectors are in
`truejoule.circuit.cells_switching`, measured curves in `truejoule.circuit.cells_measured`, and numbers for real
devices in `truejoule.circuit.cell_presets`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from truejoule.errors import InputError

_NEWTON_STEPS = 200
"""Far more than a safeguarded scalar Newton iteration takes; bisection alone would need about 60."""


@runtime_checkable
class Cell(Protocol):
    """A cell law. A law may also have ``both(v, g)``, which returns current and conductance for one price, and
    ``trusted_v``, the voltages ``(lowest, highest)`` it was measured at; solvers use them where they exist."""

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        """Current in A at ``v`` in V, in the state ``g`` in S; shapes broadcast."""
        ...

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        """Differential conductance ``di/dv`` in S, never negative."""
        ...

    def spice(self, g: float, plus: str, minus: str) -> str:
        """The current from node ``plus`` to node ``minus`` as an ngspice expression, for ``B1 plus minus I=...``."""
        ...


def evaluate(cell: Cell, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Current in A and differential conductance in S of a law at ``v`` in V."""
    both = getattr(cell, "both", None)
    return both(v, g) if both is not None else (cell.current(v, g), cell.conductance(v, g))


def low_field(cell: Cell, g: Tensor) -> Tensor:
    """``di/dv`` at 0 V, in S: ``g`` itself for most laws, less with series resistance or a selector."""
    return cell.conductance(torch.zeros((), dtype=g.dtype, device=g.device), g)


def spice_cards(cell: Cell, name: str, g: float, plus: str, minus: str) -> list[str]:
    """Netlist lines of one cell between two nodes; ``name`` makes element and inner node names unique.

    No lines at all for an open cell. Series resistances become resistors, ohmic cells too, every other law a
    behavioural source.
    """
    if g == 0:
        return []
    if isinstance(cell, Series) and cell.r_ohm > 0:
        inner = f"{name}_s{plus}"
        return [f"R{name}s {plus} {inner} {cell.r_ohm:.17g}", *spice_cards(cell.cell, name, g, inner, minus)]
    law = cell.cell if isinstance(cell, Series) else cell
    if isinstance(law, Ohmic):
        return [f"RC{name} {plus} {minus} {1 / g:.17g}"]
    return [f"B{name} {plus} {minus} I={law.spice(g, plus, minus)}"]


def spice_volts(plus: str, minus: str) -> str:
    """The voltage between two nodes in an ngspice expression."""
    return f"V({plus})" if minus == "0" else f"(V({plus})-V({minus}))"


@dataclass(frozen=True)
class Ohmic:
    """``i = g v``. Odd."""

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return g * v

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return g + torch.zeros_like(v)

    def spice(self, g: float, plus: str, minus: str) -> str:
        return f"{g:.17g}*{spice_volts(plus, minus)}"


@dataclass(frozen=True)
class Sinh:
    """``i = g sinh(b v) / b``: hopping and trap-assisted tunnelling in oxide RRAM. Odd; ``g`` is the conductance at
    0 V.

    Source of the form: S. Yu, H.-S. P. Wong et al., compact RRAM models ``i ~ exp(-gap/g0) sinh(v/v0)`` (ASU and
    Stanford); ``b = 1 / v0``.
    """

    b_per_v: float
    """Sharpness, in 1/V; the current at ``v`` is ``sinh(b v) / (b v)`` times the ohmic one."""

    def __post_init__(self) -> None:
        require_positive("b_per_v", self.b_per_v, "1/V")

    @classmethod
    def of_nonlinearity(cls, ratio: float, v: float) -> Sinh:
        """The law whose current at ``v`` is ``ratio`` times that at ``v / 2``, as data sheets state it.

        Raises
        ------
        InputError : the ratio is not above 2 (an ohmic cell), or ``v`` not positive.
        """
        require_positive("v", v, "V")
        if not 2.0 < ratio < math.inf:
            raise InputError("a non-linearity must be above 2, which is ohmic", where="ratio", got=ratio, fix="Ohmic()")
        return cls(2.0 / v * math.acosh(ratio / 2.0))

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return g * (torch.sinh(self.b_per_v * v) / self.b_per_v)

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return g * torch.cosh(self.b_per_v * v)

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        s = torch.sinh(self.b_per_v * v)
        # cosh from sinh: one exponential instead of two, and no cancellation
        return g * (s / self.b_per_v), g * torch.hypot(s, torch.ones((), dtype=s.dtype, device=s.device))

    def spice(self, g: float, plus: str, minus: str) -> str:
        return f"{g / self.b_per_v:.17g}*sinh({self.b_per_v:.17g}*{spice_volts(plus, minus)})"


@dataclass(frozen=True)
class Polynomial:
    """``i = g v + c2(x) v² + c3(x) v³`` with ``c2`` and ``c3`` polynomials of ``x = log10(g / 1 S)``.

    Outside the fitted conductances the shape of the nearest fitted curve is kept, scaled by ``g``. Beyond ``v_max_v``,
    and from where a fitted curve would bend back, the law goes on as a straight line, so that it stays monotone. Not
    odd where ``c2`` is not zero.

    Raises
    ------
    InputError : the limits are not positive and in order, or there is no coefficient.
    """

    c2: tuple[float, ...]
    """Coefficients in A/V², highest power of ``x`` first."""
    c3: tuple[float, ...]
    """Coefficients in A/V³, highest power of ``x`` first."""
    g_low_s: float
    g_high_s: float
    v_max_v: float

    def __post_init__(self) -> None:
        require_positive("v_max_v", self.v_max_v, "V")
        require_positive("g_low_s", self.g_low_s, "S")
        if not self.g_low_s <= self.g_high_s < math.inf:
            raise InputError("the fitted conductances are out of order", where="g_high_s", got=self.g_high_s)
        if not all(map(math.isfinite, (*self.c2, *self.c3))) or not (self.c2 and self.c3):
            raise InputError("coefficients must be finite, one at least", where="c2, c3", got=(self.c2, self.c3))

    @classmethod
    def relative(cls, c2_per_v: float, c3_per_v2: float, v_max_v: float) -> Polynomial:
        """``i = g (v + c2 v² + c3 v³)``: one shape for all states."""
        return cls((c2_per_v,), (c3_per_v2,), 1.0, 1.0, v_max_v)

    @property
    def trusted_v(self) -> tuple[float, float]:
        return -self.v_max_v, self.v_max_v

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[0]

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[1]

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self._shape(g)
        low, high = self._ends(a, b)
        u = torch.minimum(torch.maximum(v, low), high)
        slope = (1 + u * (2 * a + 3 * b * u)).clamp_min(0)
        return g * (u * (1 + u * (a + b * u)) + slope * (v - u)), g * slope

    def spice(self, g: float, plus: str, minus: str) -> str:
        state = torch.tensor(float(g), dtype=torch.float64)
        a, b = self._shape(state)
        low, high = (float(x) for x in self._ends(a, b))
        a, b = float(a), float(b)
        v = spice_volts(plus, minus)
        u = f"max(min({v},{high:.17g}),{low:.17g})"
        inside = f"{u}*(1+{u}*({a:.17g}+{b:.17g}*{u}))"
        return f"{float(g):.17g}*({inside}+(1+{u}*({2 * a:.17g}+{3 * b:.17g}*{u}))*({v}-{u}))"

    def _shape(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """``c2 / g`` and ``c3 / g``."""
        fitted = g.clamp(self.g_low_s, self.g_high_s)
        x = torch.log10(fitted)
        return _horner(self.c2, x) / fitted, _horner(self.c3, x) / fitted

    def _ends(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Where the straight lines begin: ``±v_max_v``, or the nearest voltage of zero slope, if that comes first.

        The slope ``1 + 2 a v + 3 b v²`` vanishes at ``v = -1 / (a ± sqrt(a² - 3 b))``, a form without cancellation.
        """
        root = torch.sqrt((a * a - 3 * b).clamp_min(0))
        turns = a * a - 3 * b >= 0
        limit = torch.full_like(a, self.v_max_v)
        first, second = -1 / (a + root), -1 / (a - root)
        high, low = limit, -limit
        for turn in (first, second):
            real = turns & torch.isfinite(turn)
            high = torch.where(real & (turn > 0), torch.minimum(high, turn), high)
            low = torch.where(real & (turn < 0), torch.maximum(low, turn), low)
        return low, high


@dataclass(frozen=True)
class Series:
    """A cell behind a resistance that is always there, such as an access transistor that is fully on.

    ``i = f(v - r i)`` with the inner law ``f``, solved for the inner voltage to the last digit by Newton's method,
    bracketed between 0 and ``v``. ``g`` is the state of the inner cell. Odd if the inner law is.
    """

    cell: Cell
    r_ohm: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.r_ohm < math.inf:
            raise InputError(
                "a series resistance must be finite and not negative", where="r_ohm", got=self.r_ohm, expected="ohm"
            )

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[0]

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[1]

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        r = self.r_ohm
        if isinstance(self.cell, Ohmic):
            whole = g / (1 + r * g)
            return whole * v, whole + torch.zeros_like(v)
        if r == 0:
            return evaluate(self.cell, v, g)
        u = inner_voltage(self.cell, v, g, r)
        i, d = evaluate(self.cell, u, g)
        slope = d / (1 + r * d)
        if torch.is_grad_enabled() and (v.requires_grad or g.requires_grad):
            # one Newton step that autograd sees: the value stays, the gradient is that of the implicit function
            i = (i + d.detach() * (v - u)) / (1 + r * d.detach())
        return i, slope

    def spice(self, g: float, plus: str, minus: str) -> str:
        if self.r_ohm == 0:
            return self.cell.spice(g, plus, minus)
        if isinstance(self.cell, Ohmic):
            return self.cell.spice(g / (1 + self.r_ohm * g), plus, minus)
        raise InputError(
            "a cell with series resistance has an inner node, which one expression cannot hold",
            where="Series.spice",
            fix="spice_cards(cell, name, g, plus, minus) writes the resistor and the inner cell",
        )


def inner_voltage(cell: Cell, v: Tensor, g: Tensor, r_ohm: float | Tensor, most_steps: int = _NEWTON_STEPS) -> Tensor:
    """The ``u`` with ``u + r · i(u) = v``, elementwise: the voltage left for a cell behind a resistance.

    Newton's method between brackets. ``r_ohm`` broadcasts. Fewer ``most_steps`` give a rough answer, between 0 and ``v`` still. No gradient flows through
    the result.
    """
    with torch.no_grad():
        v, g, r = torch.broadcast_tensors(v, g, torch.as_tensor(r_ohm, dtype=v.dtype, device=v.device))
        low, high = v.clamp_max(0), v.clamp_min(0)
        u = v / (1 + r * low_field(cell, g))
        close = 2 * torch.finfo(v.dtype).eps * v.abs()
        before = torch.full_like(v, math.inf)
        for _ in range(most_steps):
            i, d = evaluate(cell, u, g)
            miss = u + r * i - v
            low, high = torch.where(miss < 0, u, low), torch.where(miss > 0, u, high)
            # where the cell would take far more than is left, the logarithms are compared: exponential laws are straight
            left = v - u
            straight = -torch.log(r * i / left) / (d / i + 1 / left)
            steep = ((r * i).abs() > 4 * v.abs()) & torch.isfinite(straight)
            newton = u + torch.where(steep, straight, -miss / (1 + r * d))
            arrived = (
                newton - u
            ).abs() <= 4 * close  # from here on rounding decides, and bisection would throw it away
            sound = (newton >= low) & (newton <= high) & ((miss.abs() < 0.5 * before) | arrived)
            step = torch.where(miss == 0, u, torch.where(sound, newton, 0.5 * (low + high)))
            before, moved = miss.abs(), (step - u).abs()
            u = step
            if bool((arrived | (moved <= close)).all()):
                break
        return u


def require_positive(name: str, value: float, unit: str) -> None:
    """Raise InputError unless ``value`` is positive and finite."""
    if not 0.0 < value < math.inf:
        raise InputError("this must be positive and finite", where=name, got=value, expected=unit)


def _horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    total = torch.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total = total * x + c
    return total
