"""Wires, routers and the geometry of meshes and H-trees.

Energy of a wire is per bit and metre, of a router per bit and hop. Wires hardly scale with the node at a fixed length
(they get cheaper because blocks get smaller), so there is no node law here: two classes with wide bands, the sources
behind them by name, and 1/4 C V^2 for a sweep over voltage. Numbers count random bits (half of which switch), not
transitions: the two differ by 2.
"""

from __future__ import annotations

import math

from truejoule.components.coefficient import Coefficient
from truejoule.components.technology import Node, scale, widened
from truejoule.errors import InputError, did_you_mean

_FJ_PER_MM = 1e-15 / 1e-3


def _wire(name: str, value: float, low: float, high: float, source: str, node_nm: float | None) -> Coefficient:
    node_m = None if node_nm is None else node_nm / 1e9
    return Coefficient(
        name, value * _FJ_PER_MM, "J/bit/m", source, "published", low * _FJ_PER_MM, high * _FJ_PER_MM, node_m
    )


WIRES: dict[str, Coefficient] = {
    "default": _wire(
        "wire",
        50,
        20,
        100,
        "50 fJ/bit/mm, band 20 (VLSI 2018, 16 nm) to 100 (Dally, Turakhia, Han, CACM 2020); NOCS 2022 keynote ~50",
        None,
    ),
    "keckler-40": _wire(
        "wire, 40 nm",
        121,
        40.4,
        121,
        "Keckler, Dally et al., IEEE Micro 2011: 40 nm 0.9 V, random bits; "
        "low end: low-swing mesh, 45 nm SOI (Park et al., DATE 2013)",
        40,
    ),
    "vlsi-16": _wire(
        "wire, 16 nm", 30, 20, 40, "Dally et al., VLSI 2018, typical 16 nm: 20 to 40 fJ/bit/mm, middle taken", 16
    ),
    "cacm-2020": _wire(
        "wire, 14 nm setting", 100, 100, 100, "Dally, Turakhia, Han, CACM 2020, block-to-block budget", None
    ),
    "nocs-5": _wire("wire, 5 nm", 50, 50, 50, "NOCS 2022 keynote, 5 nm chip", 5),
    "et-soc-7": _wire(
        "wire, 7 nm at 0.485 V", 50.5, 43, 58, "ET-SoC-1, 7 nm at 0.485 V, measured: 43 to 58 fJ/bit/mm", 7
    ),
    "low-swing-45": _wire("low-swing wire, 45 nm SOI", 40.4, 40.4, 40.4, "Park et al., DATE 2013", 45),
}
"""Wire energy by source, J/bit/m."""
CAPACITANCE = Coefficient(
    "wire capacitance", 200e-15 / 1e-3, "F/m", "Dally et al., VLSI 2018 and AccelForge Wire: 200 fF/mm", "published"
)
HOP = Coefficient(
    "mesh hop, router and link of 0.75 to 1.5 mm",
    0.15e-12 / 8,
    "J/bit",
    "FlooNoC, GF 12 nm 0.8 V, post-layout: 0.15 pJ/B per hop",
    "published",
    node_m=12e-9,
)
"""One hop of a mesh with its link included, J/bit."""
_HOP_NODE = Node(12, 0.8, "HP")
ROUTER_SHARE, ROUTER_SHARE_LOW = 0.5, 0.2


def wire_energy(node: Node, source: str = "auto") -> Coefficient:
    """Energy of one bit over one metre of on-chip wire, J/bit/m.

    Parameters
    ----------
    source : a key of ``WIRES``; ``"auto"`` takes Keckler's 40 nm measurement from 28 nm up and the default of 50
      fJ/bit/mm (band 20 to 100) below.

    Raises
    ------
    InputError : for an unknown source.
    """
    key = source if source != "auto" else ("keckler-40" if node.nm >= 28 else "default")
    if key not in WIRES:
        raise InputError(f"unknown wire source {source!r}", where="interconnect", fix=did_you_mean(key, WIRES))
    wire = WIRES[key]
    if source != "auto" or 28 <= node.nm <= 45 or key == "default":
        return wire
    return widened(wire, 1.5, f"40 nm value used at {node.nm:g} nm")


def wire_energy_from_voltage(supply_v: float, activity: float = 0.5) -> Coefficient:
    """Energy of one bit over one metre, J/bit/m, as 1/2 C V^2 per transition times ``activity`` transitions per bit;
    200 fF/mm.

    Raises
    ------
    InputError : for a supply that is not positive or an activity outside 0 to 1.
    """
    if not (supply_v > 0 and 0 <= activity <= 1):
        raise InputError(
            "a wire with an impossible swing",
            got=f"{supply_v} V, activity {activity}",
            expected="a positive supply, activity 0 to 1",
        )
    return CAPACITANCE.scaled(
        0.5 * supply_v**2 * activity, f"1/2 C V^2 at {supply_v:g} V, activity {activity:g}", name="wire", unit="J/bit/m"
    )


def router_energy(node: Node) -> Coefficient:
    """Energy of one bit through a router without its link, J/bit: half of FlooNoC's hop (assumed), moved like logic."""
    value = HOP.value
    router = Coefficient(
        "router",
        value * ROUTER_SHARE,
        "J/bit",
        f"{HOP.source}; router share {ROUTER_SHARE:g} assumed, band {ROUTER_SHARE_LOW:g} to 1 (the rest is the link)",
        "assumed",
        value * ROUTER_SHARE_LOW,
        value,
        HOP.node_m,
    )
    return scale(router, _HOP_NODE, node)


def manhattan(a: tuple[int, int], b: tuple[int, int]) -> int:
    """Hops of a mesh between two tiles (row, column): |Δrow| + |Δcolumn|."""
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def mesh_side(tiles: int) -> int:
    """Side of the smallest square mesh that holds ``tiles``: ceil(sqrt(tiles)).

    Raises
    ------
    InputError : for no tiles.
    """
    if tiles < 1:
        raise InputError("a mesh without tiles", got=tiles, expected="at least 1")
    return math.isqrt(tiles - 1) + 1


def mean_hops(side: int) -> float:
    """Mean hops of uniform traffic in a ``side`` x ``side`` mesh, all ordered pairs with self included: 2 (n^2 - 1) /
    (3 n).

    Raises
    ------
    InputError : for a side below 1.
    """
    if side < 1:
        raise InputError("a mesh without tiles", got=side, expected="a side of at least 1")
    return 2 * (side**2 - 1) / (3 * side)


def hop_length(tile_area_m2: float) -> float:
    """Length in m of a link between neighbouring square tiles: the side of a tile.

    Raises
    ------
    InputError : for a negative area.
    """
    if tile_area_m2 < 0:
        raise InputError("a negative area", got=tile_area_m2, expected="m2, at least 0")
    return math.sqrt(tile_area_m2)


def h_tree_length(area_m2: float, leaves: int) -> float:
    """Wire length in m from the root of an H-tree, in the middle of a square, to any of its leaves.

    Every two binary branchings halve the side, so with side s the branches are s/4, s/4, s/8, s/8, ... and
    ceil(log2(leaves)) of them are walked; 4^k leaves give s (1 - 2^-k), and no tree is longer than s.

    Raises
    ------
    InputError : for a negative area or no leaves.
    """
    if leaves < 1 or area_m2 < 0:
        raise InputError(
            "an impossible H-tree",
            got=f"{leaves} leaves on {area_m2} m2",
            expected="at least one leaf, an area of at least 0",
        )
    side, levels = math.sqrt(area_m2), (leaves - 1).bit_length()
    return math.fsum(side / 4 / 2 ** (level // 2) for level in range(levels))
