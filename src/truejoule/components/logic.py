"""Digital logic: adders, multipliers, comparators, registers.

Two anchors, and they disagree by up to four; every band spans both, and every result names the one it used.

``"horowitz-45"``: Horowitz, "Computing's energy problem", ISSCC 2014, 45 nm, 0.9 V, with the width rules: multiplier
proportional to the product of its operand widths (0.2 pJ at 8 x 8), adder proportional to width (0.1 pJ at 32), a MAC
of b-bit operands adds an adder of 2b + 6 bits. An idealisation: a multiplier that can be reconfigured between
precisions costs more at each of them.

``"sata-28"``: synthesised kernels of SATA_Sim (hw_kernels.py) at 400 MHz, taken as 28 nm (the node is stated by third
parties only) and 0.9 V (assumed). Energy per operation is dynamic power times 2.5 ns. Widths between the table's are
log-log interpolated.

Registers, AND gates, FIFOs, leakage and area exist in the second table only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Literal

from truejoule.components.coefficient import Coefficient, Kind
from truejoule.components.technology import Node, scale, widened
from truejoule.errors import InputError, did_you_mean

Anchor = Literal["horowitz-45", "sata-28"]
Kernel = Literal["register", "comparator", "adder", "and", "multiplier", "fifo-2", "fifo-4", "fifo-8"]
HOROWITZ_NODE, SATA_NODE = Node(45, 0.9, "HP"), Node(28, 0.9, "HP")
SATA_CLOCK_HZ = 400e6
WIDEST = 64
_BANDS: dict[str, tuple[float, float]] = {"horowitz-45": (0.8, 4.0), "sata-28": (0.25, 1.25)}
_BAND_REASON = (
    "band spans the two anchors (Aladdin's multiplier over Horowitz's: 4; SATA's kernels over Horowitz's: 2 to 4)"
)
_ISSCC = "Horowitz, ISSCC 2014, 45 nm 0.9 V"


def _horowitz(name: str, picojoule: float, kind: Kind = "published", note: str = "") -> Coefficient:
    return Coefficient(name, picojoule / 1e12, "J", _ISSCC + note, kind, node_m=HOROWITZ_NODE.node_m)


HOROWITZ: dict[str, Coefficient] = {
    "int8 add": _horowitz("int8 add", 0.03),
    "int16 add": _horowitz("int16 add", 0.05),
    "int32 add": _horowitz("int32 add", 0.1),
    "int8 multiply": _horowitz("int8 multiply", 0.2),
    "int16 multiply": _horowitz("int16 multiply", 1.0, "derived", "; an estimate of derived tables, not in the talk"),
    "int32 multiply": _horowitz("int32 multiply", 3.1),
    "fp16 add": _horowitz("fp16 add", 0.4),
    "fp32 add": _horowitz("fp32 add", 0.9),
    "fp16 multiply": _horowitz("fp16 multiply", 1.1),
    "fp32 multiply": _horowitz("fp32 multiply", 3.7),
    "8 KB cache, 64 bit": _horowitz("8 KB cache, 64 bit", 10),
    "1 MB cache, 64 bit": _horowitz("1 MB cache, 64 bit", 100),
    "instruction overhead": _horowitz(
        "instruction overhead", 70, note="; fetch, decode, registers, control; quoted by third parties"
    ),
}
"""The table as printed, J per operation."""

_PROXY = "; the usual proxy: no memory, no state, no leakage"
PROXY_MAC = HOROWITZ["fp32 multiply"].plus(HOROWITZ["fp32 add"], "MAC proxy (FP32 multiply and add)")
PROXY_MAC = replace(PROXY_MAC, source=f"{_ISSCC}, 3.7 + 0.9 pJ{_PROXY}")
PROXY_AC = HOROWITZ["fp32 add"].scaled(1.0, _PROXY[2:], name="synaptic operation proxy (FP32 add)")

# fmt: off
_TABLE: dict[str, dict[int, tuple[float, float, float]]] = {
    # width → dynamic power mW, leakage uW, area um2; the 1-bit multiplier is the AND, extrapolated
    "register": {2: (.003191, .00542, 9.24), 4: (.00637, .0102, 17.47),
        8: (.01249, .0201, 34.27), 16: (.02511, .0402, 68.04), 32: (.04975, .0802, 135.07)},
    "comparator": {2: (.001323, .00156, 2.856), 4: (.00364, .00398, 7.056),
        8: (.00908, .00876, 15.456), 16: (.01955, .0182, 32.424), 32: (.0425, .0371, 66.36)},
    "adder": {2: (.00247, .00307, 4.704), 4: (.00873, .0086, 13.776),
        8: (.01689, .0170, 22.176), 16: (.0367, .0350, 45.024), 32: (.0758, .0708, 90.72)},
    "and": {2: (.000597, .0012, 1.68), 4: (.001181, .00241, 3.36),
        8: (.00235, .00481, 6.72), 16: (.00474, .00962, 13.44), 32: (.00949, .0192, 26.88)},
    "multiplier": {1: (.000302, .0006, .84), 2: (.001551, .00196, 3.528), 4: (.01218, .0129, 23.016),
        8: (.0821, .0613, 101.472), 16: (.511, .279, 441.504), 32: (2.786, 1.166, 1797.264)},
    "fifo-2": {1: (.003109, .00663, 11.088), 2: (.005909, .0105, 18.648), 4: (.01155, .0204, 35.448),
        8: (.02286, .0397, 69.216), 16: (.04504, .0776, 134.904), 32: (.0909, .156, 269.976)},
    "fifo-4": {1: (.005709, .0126, 17.976), 2: (.01104, .0199, 35.112), 4: (.02188, .0389, 68.376),
        8: (.0443, .0793, 137.928), 16: (.0884, .157, 273.0), 32: (.1752, .310, 540.12)},
    "fifo-8": {1: (.0106, .0198, 35.112), 2: (.02113, .0387, 68.376), 4: (.04322, .0788, 137.928),
        8: (.08458, .155, 271.32), 16: (.1699, .309, 540.12), 32: (.3393, .616, 1079.4)},
}
# fmt: on
KERNELS = tuple(_TABLE)


def add(bits: float, node: Node, *, anchor: Anchor = "horowitz-45") -> Coefficient:
    """Energy of one addition (or subtraction) of ``bits`` wide operands, J."""
    if _is_sata(anchor, bits):
        return kernel_energy("adder", bits, node)
    return _from_horowitz(f"add, {bits:g} b", 0.1 * bits / 32, "adder proportional to width, int32 0.1 pJ", node)


def multiply(
    bits: float, node: Node, *, other_bits: float | None = None, anchor: Anchor = "horowitz-45"
) -> Coefficient:
    """Energy of one multiplication of ``bits`` by ``other_bits`` (the same width if not given), J.

    Unequal widths: the product of the widths counts for Horowitz, their geometric mean is looked up for SATA. A 1-bit
    operand with SATA is an AND.
    """
    other = bits if other_bits is None else other_bits
    _is_sata(anchor, other)
    if _is_sata(anchor, bits) and min(bits, other) == 1:
        return and_gate(max(bits, other), node)
    if anchor == "sata-28":
        return kernel_energy("multiplier", math.sqrt(bits * other), node)
    rule = "multiplier proportional to the product of widths, int8 0.2 pJ"
    return _from_horowitz(f"multiply, {bits:g} x {other:g} b", 0.2 * bits * other / 64, rule, node)


def mac(
    bits: float,
    node: Node,
    *,
    other_bits: float | None = None,
    accumulator_bits: float | None = None,
    anchor: Anchor = "horowitz-45",
) -> Coefficient:
    """Energy of one multiply-accumulate without register, J: a multiplier and an adder of ``accumulator_bits``.

    The adder is as wide as both operands and 6 bits more if nothing is given.
    """
    other = bits if other_bits is None else other_bits
    width = bits + other + 6 if accumulator_bits is None else accumulator_bits
    home = SATA_NODE if _is_sata(anchor, bits) else HOROWITZ_NODE
    parts = [multiply(bits, home, other_bits=other, anchor=anchor), add(width, home, anchor=anchor)]
    return scale(together(f"MAC, {bits:g} x {other:g} b into {width:g} b", parts), home, node)


def accumulate(bits: float, node: Node, *, anchor: Anchor = "horowitz-45") -> Coefficient:
    """Energy of adding a ``bits`` wide value when a spike arrives, J: an AND gate per bit and an adder; no register."""
    return together(f"spike accumulate, {bits:g} b", [and_gate(bits, node), add(bits, node, anchor=anchor)])


def compare(bits: float, node: Node, *, anchor: Anchor = "horowitz-45") -> Coefficient:
    """Energy of one comparison, J; Horowitz lists none, so that anchor takes a subtraction (an upper estimate)."""
    if _is_sata(anchor, bits):
        return kernel_energy("comparator", bits, node)
    return _from_horowitz(
        f"compare, {bits:g} b",
        0.1 * bits / 32,
        "a comparison taken as a subtraction; adder proportional to width",
        node,
    )


def register(bits: float, node: Node) -> Coefficient:
    """Energy of clocking one register of ``bits``, J (SATA kernels; Horowitz lists none)."""
    return kernel_energy("register", bits, node)


def and_gate(bits: float, node: Node) -> Coefficient:
    """Energy of one ``bits`` wide AND, J (SATA kernels; Horowitz lists none)."""
    return kernel_energy("and", bits, node)


def floating(operation: Literal["add", "multiply"], bits: Literal[16, 32], node: Node) -> Coefficient:
    """Energy of one floating-point operation, J, from Horowitz's table.

    Raises
    ------
    InputError : for anything but add and multiply at 16 and 32 bits.
    """
    key = f"fp{bits} {operation}"
    if key not in HOROWITZ:
        raise InputError(
            f"no floating-point operation {key!r}",
            where="logic",
            fix=did_you_mean(key, [k for k in HOROWITZ if k.startswith("fp")]),
        )
    return widened(scale(HOROWITZ[key], HOROWITZ_NODE, node), 1.25, "one source")


def kernel_energy(kernel: Kernel, bits: float, node: Node) -> Coefficient:
    """Energy of one operation of a SATA kernel, J: dynamic power x 2.5 ns, log-log between widths, 1 to 64 bits."""
    value = _kernel(kernel, bits, 0) * 1e-3 / SATA_CLOCK_HZ
    low, high = _BANDS["sata-28"]
    source = (
        f"SATA_Sim hw_kernels.py at 400 MHz x 2.5 ns, taken as 28 nm 0.9 V; {kernel} of {bits:g} b, dynamic power; "
        f"{_BAND_REASON}"
    )
    found = Coefficient(
        f"{kernel}, {bits:g} b", value, "J", source, "derived", value * low, value * high, SATA_NODE.node_m
    )
    return scale(found, SATA_NODE, node)


def kernel_leakage(kernel: Kernel, bits: float, node: Node) -> Coefficient:
    """Standing power of a SATA kernel, W; held over nodes for want of a law, band 2 (4 outside 22 to 45 nm)."""
    value = _kernel(kernel, bits, 1) * 1e-6
    band = 2.0 if 22 <= node.nm <= 45 else 4.0
    source = f"SATA_Sim hw_kernels.py, {kernel} of {bits:g} b, leakage, held over nodes, band x/÷ {band:g}"
    return Coefficient(
        f"{kernel} leakage, {bits:g} b", value, "W", source, "derived", value / band, value * band, node.node_m
    )


def kernel_area(kernel: Kernel, bits: float, node: Node) -> Coefficient:
    """Area of a SATA kernel, m2, scaled with the area factors of ``technology``; band 1.5."""
    value = _kernel(kernel, bits, 2) * 1e-12
    source = f"SATA_Sim hw_kernels.py, {kernel} of {bits:g} b, area, taken as 28 nm, band x/÷ 1.5"
    found = Coefficient(
        f"{kernel} area, {bits:g} b", value, "m2", source, "derived", value / 1.5, value * 1.5, SATA_NODE.node_m
    )
    return found if node.nm == SATA_NODE.nm else scale(found, SATA_NODE, node, "area")


def together(name: str, parts: Sequence[Coefficient]) -> Coefficient:
    """The sum of coefficients of one unit and node, bands added, with what their sources have in common said once."""
    total = reduce(lambda a, b: a.plus(b, name), parts)
    clauses = dict.fromkeys(clause for part in parts for clause in part.source.split("; "))
    return replace(total, source="; ".join(clauses))


def _kernel(kernel: str, bits: float, column: int) -> float:
    if kernel not in _TABLE:
        raise InputError(f"unknown logic kernel {kernel!r}", where="logic", fix=did_you_mean(kernel, _TABLE))
    _check_width(bits)
    rows = _TABLE[kernel]
    if bits in rows:
        return rows[int(bits)][column]
    widths = sorted(rows)
    start = max(0, min(sum(w <= bits for w in widths) - 1, len(widths) - 2))
    w0, w1 = widths[start], widths[start + 1]
    share = math.log(bits / w0) / math.log(w1 / w0)
    return rows[w0][column] ** (1 - share) * rows[w1][column] ** share


def _from_horowitz(name: str, picojoule: float, rule: str, node: Node) -> Coefficient:
    low, high = _BANDS["horowitz-45"]
    value = picojoule / 1e12
    found = Coefficient(
        name,
        value,
        "J",
        f"{_ISSCC}, {rule}; {_BAND_REASON}",
        "derived",
        value * low,
        value * high,
        HOROWITZ_NODE.node_m,
    )
    return scale(found, HOROWITZ_NODE, node)


def _is_sata(anchor: str, bits: float) -> bool:
    _check_width(bits)
    if anchor not in _BANDS:
        raise InputError(f"unknown logic anchor {anchor!r}", where="logic", fix=did_you_mean(anchor, _BANDS))
    return anchor == "sata-28"


def _check_width(bits: float) -> None:
    if not 1 <= bits <= WIDEST:
        raise InputError(
            "an operand width outside the logic tables", where="logic bits", got=bits, expected=f"1 to {WIDEST} bits"
        )
