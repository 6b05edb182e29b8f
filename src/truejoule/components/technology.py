"""CMOS scaling between nodes: Stillmaker and Baas 2017, energy, delay, power and area.

A value moves from one node to another by the ratio of two polynomials in the supply voltage::

    scaled = value * f(target, V_target) / f(source, V_source)

    delay   d(V) = a3 V^3 + a2 V^2 + a1 V + a0
    energy  e(V) = b2 V^2 + b1 V + b0
    power   p(V) = c2 V^2 + c1 V + c0      (never together with energy and delay: p d / e drifts by a factor of 2 over
    voltage)

A. Stillmaker, B. Baas, "Scaling equations for the accurate prediction of CMOS device performance from 180 nm to 7 nm",
Integration 58 (2017) 74-81, doi 10.1016/j.vlsi.2017.02.002; coefficients as transcribed in wromaszkan/nodeScale (MIT).

The energy factors hold for logic. SRAM cells, wires and analog blocks scale differently; whoever pushes them through
says so in ``caveat`` and widens the band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from truejoule.components.coefficient import Coefficient
from truejoule.errors import InputError

Family = Literal["HP", "LP", "bulk"]
Quantity = Literal["energy", "delay", "power", "area"]
SOURCE = "Stillmaker and Baas, Integration 58 (2017) 74-81"

# fmt: off
_CURVES: dict[tuple[int, str], tuple[float, ...]] = {  # a3, a2, a1, a0, b2, b1, b0, c2, c1, c0
    (180, "bulk"): (0, 97.09, -356.7, 406.5, 0, 24.64, -17.98, 0, 101000, -79720),
    (130, "bulk"): (-76.65, 334.9, -493.4, 275.8, 7.171, -6.709, 2.904, 27020, -15450, 5630),
    (90, "bulk"): (-60.34, 262.5, -384.2, 210.9, 4.762, -4.781, 2.092, 17320, -11230, 4328),
    (65, "bulk"): (-53.3, 230.4, -333.9, 178.6, 3.755, -4.398, 1.975, 12890, -10510, 4362),
    (45, "HP"): (-501.6, 1567, -1619, 566.1, 1.018, -0.3107, 0.1539, 5462, -1760, 522.4),
    (32, "HP"): (-1047, 2982, -2797, 873.5, 0.8367, -0.4341, 0.1701, 4001, -1733, 533.6),
    (20, "HP"): (0, 34.63, -66.37, 41.15, 0.373, -0.1582, 0.04104, 2922, -1286, 299.9),
    (16, "HP"): (0, 24.8, -47.52, 28.87, 0.2958, -0.1241, 0.03024, 2133, -882.6, 197.7),
    (14, "HP"): (-40.66, 109.2, -100.6, 35.92, 0.2363, -0.09675, 0.02239, 1675, -711, 159),
    (10, "HP"): (-34.95, 93.65, -85.99, 30.4, 0.2068, -0.09311, 0.02375, 1456, -621.6, 143.8),
    (7, "HP"): (-28.58, 76.6, -70.26, 24.69, 0.1776, -0.09097, 0.02447, 1179, -515.7, 123.4),
    (45, "LP"): (-285.7, 1239, -1795, 898.8, 1.103, -0.362, 0.2767, 6297, -3009, 1124),
    (32, "LP"): (-325.9, 1374, -1922, 913.2, 0.9559, -0.7823, 0.471, 4557, -3037, 1323),
    (20, "LP"): (-160.5, 514.1, -558.6, 217.5, 0.2632, -0.14, 0.06841, 2096, -962.4, 287.1),
    (16, "LP"): (-114.6, 366.7, -397.4, 153.6, 0.2139, -0.1187, 0.05639, 1609, -715.5, 205.7),
    (14, "LP"): (-85.37, 271.6, -292.2, 111.4, 0.1556, -0.06472, 0.03066, 1259, -554.1, 152.3),
    (10, "LP"): (-71.76, 228.6, -246.3, 93.91, 0.1261, -0.0518, 0.02769, 1046, -422.7, 118.9),
    (7, "LP"): (-61.79, 196.1, -210.3, 79.55, 0.09365, -0.03409, 0.02043, 815.2, -307.3, 87.54),
}
# The row "from 45 nm" of the area matrix: one row divided keeps round trips exact, the rounded matrix does not.
_AREA = {180: 19.0, 130: 6.4, 90: 2.8, 65: 1.5, 45: 1.0, 32: 0.46, 20: 0.21, 16: 0.19, 14: 0.17, 10: 0.10, 7: 0.059}
# fmt: on
NODES_NM = tuple(_AREA)
"""Nodes with their own coefficients, in nm; others are interpolated."""
LOWEST_V, HIGHEST_V = 0.3, 2.0


@dataclass(frozen=True, slots=True)
class Node:
    """A process node with its supply.

    Attributes
    ----------
    nm : name of the node in nanometres, 7 to 180; nodes between those of the paper (12, 22, 28, 40) are interpolated,
      see ``energy_factor``.
    supply_v : supply voltage in V. Required: a table without voltage is not a table.
    family : ``"HP"`` or ``"LP"`` below 65 nm (``None`` takes ``"HP"``), ``"bulk"`` from 65 nm up, where the paper has
      one curve.

    Raises
    ------
    InputError : for a node outside 7 to 180 nm, a family the node does not have, a supply outside 0.3 to 2 V.
    """

    nm: float
    supply_v: float
    family: Family | None = None

    def __post_init__(self) -> None:
        if not min(NODES_NM) <= self.nm <= max(NODES_NM):
            fix = (
                "is it in metres? Node takes nanometres"
                if 0 < self.nm < 1e-3
                else "state the energies of this node directly"
            )
            raise InputError(
                "a node outside the scaling tables",
                where="Node.nm",
                got=self.nm,
                expected="7 to 180 nm; the paper has no law beyond",
                fix=fix,
            )
        if not LOWEST_V <= self.supply_v <= HIGHEST_V:
            raise InputError(
                "a supply voltage outside the scaling fits",
                where=f"{self.nm:g} nm",
                got=f"{self.supply_v} V",
                expected=f"{LOWEST_V} to {HIGHEST_V} V",
            )
        if self.family is None:
            object.__setattr__(self, "family", "bulk" if self.nm >= 65 else "HP")
        allowed = ("bulk",) if self.nm >= 65 else ("HP", "LP")
        if self.family not in allowed:
            raise InputError(
                "a transistor family that this node does not have",
                where=f"{self.nm:g} nm",
                got=self.family,
                expected=" or ".join(allowed),
                fix="leave family out, or use HP or LP below 65 nm",
            )

    @property
    def node_m(self) -> float:
        """The node in metres, as ``Coefficient.node_m`` has it."""
        return self.nm / 1e9

    def describe(self) -> str:
        """``45 nm HP at 0.9 V``."""
        family = "" if self.family == "bulk" else f" {self.family}"
        return f"{self.nm:g} nm{family} at {self.supply_v:g} V"


def voltage_range(nm: int, family: Family, what: Quantity) -> tuple[float, float]:
    """Supply range, in V, in which a curve of the paper behaves: delay falls and energy or power rises with voltage,
    all positive.

    The fits leave it: the 32 nm HP delay rises above 0.845 V, the 14 nm HP delay is negative above 1.32 V, the 180 nm
    energy below 0.73 V.
    """
    a3, a2, a1, a0, b2, b1, b0, c2, c1, c0 = _CURVES[nm, family]
    if what == "delay":
        low, high = LOWEST_V, min([*(v for v in _roots(3 * a3, 2 * a2, a1) if v > 0), HIGHEST_V])
        if _delay((a3, a2, a1, a0), high) > 0:
            return LOWEST_V, high
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if _delay((a3, a2, a1, a0), middle) > 0 else (low, middle)
        return LOWEST_V, low
    two, one, zero = (b2, b1, b0) if what == "energy" else (c2, c1, c0)
    bottom = -one / (2 * two) if two else 0.0
    return max(LOWEST_V, bottom, *_roots(two, one, zero)), HIGHEST_V


def energy_factor(source: Node, target: Node) -> Coefficient:
    """Ratio of the switching energy of logic at ``target`` to that at ``source``.

    Nodes between those of the paper are interpolated between their two neighbours, linearly in the logarithms of factor
    and node, at the supply of the node; the source says so.

    Raises
    ------
    InputError : for HP against LP, and for a supply at which a curve is not monotone.
    """
    return _factor(source, target, "energy")


def delay_factor(source: Node, target: Node) -> Coefficient:
    """Ratio of gate delays, ``target`` over ``source``; errors and interpolation as in ``energy_factor``."""
    return _factor(source, target, "delay")


def power_factor(source: Node, target: Node) -> Coefficient:
    """Ratio of powers at maximum frequency; use this one or energy and delay, never both."""
    return _factor(source, target, "power")


def area_factor(source: Node, target: Node) -> Coefficient:
    """Ratio of areas, from the 45 nm row of the matrix, so that there and back is 1; supply and family play no part."""
    return _factor(source, target, "area")


def scale(
    coefficient: Coefficient,
    source: Node,
    target: Node,
    what: Quantity = "energy",
    *,
    widen: float = 1.0,
    caveat: str = "",
) -> Coefficient:
    """The coefficient at another node, its factor written into the source; unchanged where ``source == target``.

    Parameters
    ----------
    source : node and supply for which the coefficient holds (``Coefficient`` knows the size only).
    what : which law; leakage has none in the paper, so it is not offered.
    widen : the band grows by this factor at both ends; for parts that the law was not made for.
    caveat : why, for the source.

    Raises
    ------
    InputError : if the coefficient is of another node than ``source``, or from the factor.
    """
    if coefficient.node_m is not None and not math.isclose(coefficient.node_m, source.node_m, rel_tol=1e-9):
        raise InputError(
            "a coefficient scaled from a node that is not its own",
            where=coefficient.name,
            got=source.describe(),
            expected=f"a source node of {coefficient.node_m * 1e9:g} nm",
        )
    if source == target:
        return coefficient
    factor = _factor(source, target, what)
    scaled = coefficient.scaled(factor.value, f"x {factor.value:.4g} ({factor.source})")
    scaled = replace(scaled, node_m=target.node_m)
    return widened(scaled, widen, caveat or "outside the scaling law") if widen != 1.0 else scaled


def widened(coefficient: Coefficient, factor: float, reason: str) -> Coefficient:
    """The same value with its band ``factor`` times wider at both ends."""
    if not factor >= 1:
        raise InputError(
            "a band that would shrink", where=coefficient.name, got=factor, expected="a factor of at least 1"
        )
    return replace(
        coefficient,
        low=coefficient.low / factor,
        high=coefficient.high * factor,
        source=f"{coefficient.source}; band x/÷ {factor:g}: {reason}",
    )


def _factor(source: Node, target: Node, what: Quantity) -> Coefficient:
    families = {source.family, target.family} - {"bulk"}
    if len(families) == 2 and what != "area":
        raise InputError(
            "high-performance and low-power curves cannot be mixed",
            where=f"{what} factor",
            got=f"{source.describe()} → {target.describe()}",
            expected="one family on both sides",
            fix=f"use Node(..., family={source.family!r}) on both sides; mixing them is off by 20 % and more",
        )
    family: Family = next(iter(families), "HP") if len(families) == 1 else "HP"  # type: ignore[assignment]
    below, note_s = _level(source, family, what)
    above, note_t = _level(target, family, what)
    notes = "".join(f"; {note}" for note in dict.fromkeys((note_s, note_t)) if note)
    route = f"{source.nm:g} → {target.nm:g} nm" if what == "area" else f"{source.describe()} → {target.describe()}"
    return Coefficient(f"{what} factor {route}", above / below, "", f"{SOURCE}, {what}, {route}{notes}", "derived")


def _level(node: Node, family: Family, what: Quantity) -> tuple[float, str]:
    """Value of the curve at a node and the note on interpolation."""
    if node.nm in _AREA:
        return _curve(int(node.nm), node, family, what), ""
    upper = min(n for n in NODES_NM if n > node.nm)
    lower = max(n for n in NODES_NM if n < node.nm)
    share = math.log(node.nm / lower) / math.log(upper / lower)
    low, high = (_curve(nm, node, family, what) for nm in (lower, upper))
    return low ** (1 - share) * high**share, f"{node.nm:g} nm log-log interpolated between {lower} and {upper} nm"


def _curve(nm: int, node: Node, family: Family, what: Quantity) -> float:
    if what == "area":
        return _AREA[nm]
    of: Family = "bulk" if nm >= 65 else family
    low, high = voltage_range(nm, of, what)
    inside = low < node.supply_v <= high or (low == LOWEST_V and node.supply_v == LOWEST_V)
    if not inside:
        raise InputError(
            f"the {what} fit of {nm} nm {of} is not monotone at this supply",
            where=node.describe(),
            got=f"{node.supply_v} V",
            expected=f"{low:.3g} to {high:.3g} V",
            fix="choose a supply in this range, or state the value at this node directly",
        )
    a3, a2, a1, a0, b2, b1, b0, c2, c1, c0 = _CURVES[nm, of]
    v = node.supply_v
    if what == "delay":
        return _delay((a3, a2, a1, a0), v)
    return (b2 * v + b1) * v + b0 if what == "energy" else (c2 * v + c1) * v + c0


def _delay(a: tuple[float, float, float, float], v: float) -> float:
    return ((a[0] * v + a[1]) * v + a[2]) * v + a[3]


def _roots(two: float, one: float, zero: float) -> tuple[float, ...]:
    """Real roots of a polynomial of degree at most 2."""
    if two == 0:
        return (-zero / one,) if one else ()
    inner = one * one - 4 * two * zero
    return () if inner < 0 else tuple((-one + sign * math.sqrt(inner)) / (2 * two) for sign in (-1, 1))
