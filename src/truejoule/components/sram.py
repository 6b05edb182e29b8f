"""On-chip SRAM: access energy per bit, leakage and area per bit.

Access energy is interpolated between CACTI runs, each family at its own access width. The rule, in this order:

1. inside a family (one width), log energy per bit is linear in log capacity; beyond its smallest and largest array the
   end slope continues, and the source says so;
2. between families, log energy per bit is linear in log width; widths below 8 or above 1024 bits take the end family
   per bit;
3. each family is moved from its own node to the wanted one with ``technology.scale`` at an assumed anchor supply of 0.9
   V before step 2. That law is for logic, so the band grows by 1.5.

The band is a factor of 2: CACTI with 4 to 16 banks and the rule of Dally et al. (CACM 2020) differ by that much.
Scaling the 45 nm runs to 16 and 12 nm by this rule meets the CACTI-based values there within 25 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from truejoule.components.coefficient import Coefficient
from truejoule.components.technology import Family, Node, scale, widened
from truejoule.errors import InputError

KB = 8 * 1024
SMALLEST_BITS, LARGEST_BITS = 0.5 * KB, 32 * 1024 * KB
BAND, SCALING_BAND, EXTRAPOLATION_BAND = 2.0, 1.5, 1.5
ANCHOR_SUPPLY_V = 0.9


@dataclass(frozen=True, slots=True)
class _Family:
    """CACTI runs of one width: capacity in KB → (read, write) in fJ/bit; no write where none was published."""

    nm: int
    runs: dict[int, tuple[float, float | None]]
    source: str


# fmt: off
_FAMILIES: dict[int, _Family] = {
    8: _Family(32, {  # nJ per byte: 8 KB 0.0011764/0.0011289 ... divided by 8
        8: (147.05, 141.11), 32: (343.70, 313.21), 64: (492.05, 432.71), 144: (816.15, 736.60), 256: (1123.85, 986.10)},
        "CACTI 32 nm itrs-lop 360 K, 16 banks, 1-byte words (SATA_Sim SATA_mem)"),
    64: _Family(45, {8: (96.0, None), 32: (266.0, None), 1024: (1461.0, None)},
        "CACTI 45 nm, 64-bit words, run through hwcomponents"),
    256: _Family(28, {  # nJ per 32-byte access: 32 KB 0.0110295/0.012772 ... divided by 256
        8: (26.0076, 27.4738), 32: (43.0840, 49.8906), 144: (111.8418, 110.2332)},
        "CACTI 28 nm itrs-lop 360 K, 32-byte words, 2 banks (SATA_Sim mem-stat.yaml)"),
    1024: _Family(45, {48: (118.0, None), 768: (690.0, None)},
        "CACTI 45 nm, 1024-bit words, 768 KB in 4 banks, run through hwcomponents"),
}
MEASURED_FJ_PER_BIT: dict[tuple[int, int, float], float] = {  # (node nm, width, KB) → read
    (12, 64, 8): 18.4, (16, 64, 8): 21.0, (12, 64, 32): 43.7, (16, 64, 32): 50.0, (12, 64, 1024): 271.0,
    (12, 1024, 48): 21.7, (16, 1024, 48): 25.0, (12, 1024, 768): 128.0, (16, 1024, 768): 147.0,
}
"""CACTI at 22 nm times sqrt(node/22), through hwcomponents; not used by the rule, kept to check it."""
_AREAS_MM2 = {8: 0.0325, 32: 0.1220, 64: 0.2239, 144: 0.5237, 256: 0.8715}  # the 32 nm byte-wide family, capacity in KB
_LEAKAGE_MW = {8: 1.81265, 32: 6.25862, 144: 24.9086}  # per bank, 28 nm, 2 banks, capacity in KB
# fmt: on
CELL = Coefficient(
    "SRAM bit cell",
    0.7391e-12,
    "m2/bit",
    "SpikeSim ela_spikesim.py: 0.7391 um2 at 65 nm (175 F^2); low end 125 F^2 (dense cells, assumed); "
    "high end: macro with periphery, CACTI 32 nm in SATA_Sim, scaled",
    "published",
    0.7391e-12 / 1.4,
    0.7391e-12 * 2.0,
    65e-9,
)
"""Area of one 6T bit at 65 nm, m2/bit."""


def read_energy(capacity_bits: float, word_bits: float, node: Node) -> Coefficient:
    """Energy of one bit read from an array of ``capacity_bits`` that delivers ``word_bits`` per access, J/bit.

    Multiply by the width of the access, not of the useful data: a byte out of a 32-byte word costs 256 bits.

    Raises
    ------
    InputError : for capacities outside 512 B to 32 MB (smaller stores are registers, see ``logic.register``) or widths
      that do not fit.
    """
    return _access(capacity_bits, word_bits, node, "read")


def write_energy(capacity_bits: float, word_bits: float, node: Node) -> Coefficient:
    """Energy of one bit written, J/bit; arguments and errors as for ``read_energy``.

    Families without published writes use the read energy: where both exist they are within 16 % of each other.
    """
    return _access(capacity_bits, word_bits, node, "write")


def leakage(capacity_bits: float, node: Node) -> Coefficient:
    """Standing power of one bit, W/bit, at 360 K.

    CACTI at 28 nm lists leakage per bank; the array has two, so one bank's power is divided by half the bits. The low
    end is that of a chip near room temperature (assumed a tenth of the 360 K value). Nothing is known about scaling, so
    the value is held over nodes and its band grows outside 22 to 45 nm. CACTI's own values at 12 nm are unrealistically
    low and are not used.
    """
    _check(capacity_bits, 1)
    per_bit = {kb: 2 * mw * 1e-3 / (kb * KB) for kb, mw in _LEAKAGE_MW.items()}
    value, _ = _log_interpolate(capacity_bits / KB, per_bit, hold=True)
    found = Coefficient(
        f"SRAM leakage, {_size(capacity_bits)}",
        value,
        "W/bit",
        "CACTI 28 nm itrs-lop 360 K, per bank of two (SATA_Sim mem-stat.yaml), held over nodes; "
        "low end: 300 K, a tenth (assumed); high end x 2",
        "assumed",
        value / 10,
        value * 2,
        node.node_m,
    )
    return found if 22 <= node.nm <= 45 else widened(found, 2.0, f"leakage of 28 nm used at {node.nm:g} nm")


def cell_area(node: Node) -> Coefficient:
    """Area of one bit cell without periphery, m2/bit; from 65 nm with the area factors of ``technology``."""
    home = Node(65, 1.0)
    if node.nm == home.nm:
        return CELL
    return scale(CELL, home, node, "area", widen=1.25, caveat="SRAM cells shrink less than logic at small nodes")


def macro_area(capacity_bits: float, node: Node) -> Coefficient:
    """Area of one bit of an array with its periphery, m2/bit; CACTI 32 nm, 16 banks, interpolated over capacity, scaled
    over nodes.

    Raises
    ------
    InputError : for capacities outside 512 B to 32 MB.
    """
    _check(capacity_bits, 1)
    per_bit = {kb: mm2 * 1e-6 / (kb * KB) for kb, mm2 in _AREAS_MM2.items()}
    value, _ = _log_interpolate(capacity_bits / KB, per_bit, hold=True)
    home = Node(32, 0.8)
    name = f"SRAM macro, {_size(capacity_bits)}"
    found = Coefficient(
        name, value, "m2/bit", f"{_FAMILIES[8].source}; band x/÷ 2", "derived", value / 2, value * 2, home.node_m
    )
    return (
        found
        if node.nm == home.nm
        else scale(found, home, node, "area", widen=1.25, caveat="SRAM shrinks less than logic at small nodes")
    )


def _access(capacity_bits: float, word_bits: float, node: Node, action: Literal["read", "write"]) -> Coefficient:
    _check(capacity_bits, word_bits)
    widths = sorted(_FAMILIES)
    width = min(max(word_bits, widths[0]), widths[-1])
    lower = max(w for w in widths if w <= width)
    upper = min(w for w in widths if w >= width)
    first = _family_energy(lower, capacity_bits, node, action)
    if lower == upper:
        return replace(first, name=_title(action, capacity_bits, word_bits))
    second = _family_energy(upper, capacity_bits, node, action)
    share = math.log(width / lower) / math.log(upper / lower)

    def between(a: float, b: float) -> float:
        return a ** (1 - share) * b**share

    return Coefficient(
        _title(action, capacity_bits, word_bits),
        between(first.value, second.value),
        "J/bit",
        f"log-interpolated at {word_bits:g} bits between [{first.source}] and [{second.source}]",
        "derived",
        between(first.low, second.low),
        between(first.high, second.high),
        node.node_m,
    )


def _family_energy(width: int, capacity_bits: float, node: Node, action: Literal["read", "write"]) -> Coefficient:
    family = _FAMILIES[width]
    column = 0 if action == "read" else 1
    points = {kb: (run[column] if run[column] is not None else run[0]) for kb, run in family.runs.items()}
    femtojoule, beyond = _log_interpolate(capacity_bits / KB, points)  # type: ignore[arg-type]
    note = f"; extrapolated to {_size(capacity_bits)} beyond {min(points):g} to {max(points):g} KB" if beyond else ""
    note += "; read value, no write published" if action == "write" and family.runs[min(points)][1] is None else ""
    band = BAND * (EXTRAPOLATION_BAND if beyond else 1.0)
    value = femtojoule * 1e-15
    found = Coefficient(
        "SRAM",
        value,
        "J/bit",
        f"{family.source}{note}; band x/÷ {band:g}",
        "derived",
        value / band,
        value * band,
        family.nm / 1e9,
    )
    flavour: Family | None = None if node.family == "bulk" else node.family
    home = Node(family.nm, ANCHOR_SUPPLY_V, flavour)
    return scale(
        found, home, node, widen=SCALING_BAND, caveat="SRAM moved with a law for logic, anchor supply assumed 0.9 V"
    )


def _log_interpolate(x: float, points: Mapping[int, float], *, hold: bool = False) -> tuple[float, bool]:
    """Log-log interpolation, and whether x is beyond the points: there the last slope continues, or the end is held."""
    xs = sorted(points)
    beyond = not xs[0] <= x <= xs[-1]
    if hold:
        x = min(max(x, xs[0]), xs[-1])
    start = max(0, min(sum(v <= x for v in xs) - 1, len(xs) - 2))
    x0, x1 = xs[start], xs[start + 1]
    share = math.log(x / x0) / math.log(x1 / x0)
    return points[x0] ** (1 - share) * points[x1] ** share, beyond


def _check(capacity_bits: float, word_bits: float) -> None:
    if not SMALLEST_BITS <= capacity_bits <= LARGEST_BITS:
        small = capacity_bits < SMALLEST_BITS
        raise InputError(
            "an SRAM capacity outside the tables",
            where="sram capacity",
            got=f"{capacity_bits:g} bits",
            expected="512 B to 32 MB (4096 to 268435456 bits)",
            fix="use logic.register for stores this small"
            if small
            else "split the memory into banks and add the wires between them",
        )
    if not 1 <= word_bits <= capacity_bits:
        raise InputError(
            "an SRAM word that does not fit",
            where="sram word",
            got=f"{word_bits:g} bits",
            expected="1 bit up to the capacity",
        )


def _size(bits: float) -> str:
    return f"{bits / KB:g} KB" if bits < 1024 * KB else f"{bits / KB / 1024:g} MB"


def _title(action: str, capacity_bits: float, word_bits: float) -> str:
    return f"SRAM {action}, {_size(capacity_bits)} x {word_bits:g} b"
