"""Cells of real technologies: law, states, read voltage and wires, each number with its source and band.

``cell_preset("rram-milo")``, ``cell_preset("8t-sram", node_nm=7)``. Numbers come from papers, from open code under
permissive licences, or from the reasoning that the source states; ``assumed`` ones are meant to be swept. NeuroSim's
fitted technology tables (CC BY-NC) are not used: where there is nothing else, the bands enclose what it gives.

Wire resistance per cell is derived for every node from the published metal pitch and SRAM bit-cell area,

    ρ(w) = ρ₀ [ 3/8 (1 - p) (1 + 1/A) λ/w + 1 / (1 - 3α/2 + 3α² - 3α³ ln(1 + 1/α)) ],   α = λ/w · R/(1 - R),

the surface and grain-boundary scattering of Fuchs, Sondheimer, Mayadas and Shatzkes with ``p = 0.52``, ``R = 0.43``,
``λ = 39 nm`` (T. Sun et al., J. Vac. Sci. Technol. A 26, 605 (2008); K. Barmak et al., ibid. 32, 061503 (2014), who find
that they describe wires of 2002 to 2010), in a trench of aspect ratio ``A = 2`` whose barrier takes a tenth of the width
on each side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from truejoule.circuit.cells import Cell, Ohmic, Polynomial, Series, Sinh
from truejoule.circuit.cells_switching import ReadStack, Selector
from truejoule.circuit.variation import Variation
from truejoule.circuit.variation_presets import milo_2021, pcm_nandakumar_2019, sonos_agrawal_2022, wan_2022
from truejoule.circuit.wires import Wires
from truejoule.components.coefficient import Coefficient, Kind
from truejoule.errors import InputError, did_you_mean

# node: metal pitch nm, 6T-SRAM cell µm², supply V
_NODES = {
    65: (210.0, 0.57, 1.2), 45: (160.0, 0.346, 1.0), 32: (112.5, 0.171, 0.95), 28: (90.0, 0.127, 0.9),
    22: (80.0, 0.092, 0.8), 14: (52.0, 0.0499, 0.8), 10: (36.0, 0.0312, 0.75), 7: (40.0, 0.027, 0.75),
    5: (28.0, 0.021, 0.7), 3: (23.0, 0.0199, 0.65),
}  # fmt: skip
_NODE_SOURCE = (
    "minimum metal pitch and high-density SRAM cell as their makers published them: Intel IEDM 2004, 2007, 2009, 2012, "
    "2014, 2017 (65, 45, 32, 22, 14, 10 nm) and TSMC IEDM 2010, 2016, 2019, 2022 (28, 7, 5, 3 nm)"
)
NODES_NM = tuple(_NODES)


@dataclass(frozen=True)
class CellPreset:
    """A cell that exists, with what is known of its array."""

    name: str
    what: str
    cell: Cell
    gated: bool
    """Whether the input is a gate (word line) and the current flows from bit line to source line."""
    g_on: Coefficient
    """State of an on-cell, or the largest programmed state, in S."""
    g_off: Coefficient
    """State of an off-cell, or the smallest, in S."""
    v_read: Coefficient
    """Voltage across the cell at which it is read, in V."""
    law: tuple[Coefficient, ...] = ()
    """Parameters of the cell law."""
    r_wl: Coefficient | None = None
    """Word line, ohm per cell; None where the technology is known only as a device."""
    r_bl: Coefficient | None = None
    """Bit line, and source line if it runs beside it, ohm per cell."""
    variation: Variation = field(default_factory=Variation)

    def wires(self) -> Wires:
        """Wires of these resistances; the source line of a gated array is as the bit line.

        Raises
        ------
        InputError : the technology has no node; choose wires.
        """
        if self.r_wl is None or self.r_bl is None:
            raise InputError(
                "this cell is not tied to a node, so its wires are unknown",
                where=self.name,
                fix="give Wires(r_wl_ohm=..., r_bl_ohm=...); crosspoint_wires(node_nm) for a bare crosspoint",
            )
        return Wires(self.r_wl.value, self.r_bl.value, self.r_bl.value if self.gated else 0.0)

    def coefficients(self) -> tuple[Coefficient, ...]:
        """Every number of the preset with its source."""
        every = (self.g_on, self.g_off, self.v_read, *self.law, self.r_wl, self.r_bl)
        return tuple(c for c in every if c is not None)


def cell_preset(name: str, node_nm: int | None = None) -> CellPreset:
    """A preset by name; ``8t-sram`` and ``1t1r`` need a node.

    Raises
    ------
    InputError : unknown name or node, a node where none belongs, or none where one is needed.
    """
    if name in _AT_NODE:
        if node_nm is None:
            raise InputError("this cell needs a node", where="node_nm", expected=_nodes())
        return _AT_NODE[name](node_nm)
    if name not in _DEVICES:
        raise InputError("unknown cell preset", where="name", got=name, fix=did_you_mean(name, preset_names()))
    if node_nm is not None:
        raise InputError(
            "this device was measured at its own node", where="node_nm", got=node_nm, fix="leave node_nm out"
        )
    return _DEVICES[name]()


def preset_names() -> tuple[str, ...]:
    """All names that `cell_preset` takes."""
    return (*_DEVICES, *_AT_NODE)


def crosspoint_wires(node_nm: int) -> tuple[Coefficient, Coefficient]:
    """Word and bit line of a bare crosspoint, one metal pitch per cell, in ohm per cell."""
    pitch = _node(node_nm)[0] * 1e-9
    word, bit = (_wire(f"{line} line per crosspoint", pitch, node_nm, "one pitch") for line in ("word", "bit"))
    return word, bit


def wire_ohm_per_m(node_nm: int) -> float:
    """Resistance of a minimum-pitch copper wire of the node, in ohm per metre; the formula is in the module."""
    w = 0.5e-9 * _node(node_nm)[0]
    rho_0, length, p, reflection, aspect, barrier = 1.72e-8, 39e-9, 0.52, 0.43, 2.0, 0.1 * w
    alpha = length / w * reflection / (1 - reflection)
    grains = 1 - 1.5 * alpha + 3 * alpha**2 - 3 * alpha**3 * math.log1p(1 / alpha)
    rho = rho_0 * (0.375 * (1 - p) * (1 + 1 / aspect) * length / w + 1 / grains)
    return rho / ((w - 2 * barrier) * (aspect * w - barrier))


def _node(node_nm: int) -> tuple[float, float, float]:
    if node_nm not in _NODES:
        raise InputError("no data for this node", where="node_nm", got=node_nm, expected=_nodes())
    return _NODES[node_nm]


def _nodes() -> str:
    return "one of " + ", ".join(map(str, NODES_NM)) + " nm"


def _wire(name: str, length_m: float, node_nm: int, reasoning: str) -> Coefficient:
    value = wire_ohm_per_m(node_nm) * length_m
    source = f"{_NODE_SOURCE}; copper with size effects as in cell_presets.py; length: {reasoning}"
    return Coefficient(name, value, "ohm", source, "derived", 0.25 * value, 3 * value, node_nm * 1e-9)


def _siemens(
    name: str, value: float, source: str, kind: Kind, low: float = math.nan, high: float = math.nan
) -> Coefficient:
    return Coefficient(name, value, "S", source, kind, low, high)


def _volt(
    name: str, value: float, source: str, kind: Kind, low: float = math.nan, high: float = math.nan
) -> Coefficient:
    return Coefficient(name, value, "V", source, kind, low, high)


def _rram_milo() -> CellPreset:
    source = "V. Milo et al., IRPS 2021; I-V fit in CrossSim RRAM_Milo.py (BSD-3), trusted from 62.5 to 110 µS"
    law = Polynomial(
        (1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3), (8.8710e-5, 6.7919e-4, 1.2968e-3), 50e-6, 225e-6, v_max_v=0.5
    )
    return CellPreset(
        "rram-milo",
        "HfO2 RRAM, 50 to 225 µS, current with a square and a cubic part",
        law,
        False,
        _siemens("largest state", 225e-6, source, "published", 110e-6, 225e-6),
        _siemens("smallest state", 50e-6, source, "published", 50e-6, 62.5e-6),
        _volt("read voltage", 0.2, "within the measured ±0.5 V", "assumed", 0.1, 0.5),
        variation=milo_2021(),
    )


def _rram_wan() -> CellPreset:
    source = "W. Wan et al., Nature 608, 504 (2022): NeuRRAM, 130 nm, 1 to 40 µS"
    return CellPreset(
        "rram-wan",
        "HfOx RRAM of the NeuRRAM chip, ohmic at its read voltage",
        Ohmic(),
        True,
        _siemens("largest state", 40e-6, source, "published"),
        _siemens("smallest state", 1e-6, source, "published"),
        _volt("read voltage", 0.5, "amplitude of the read pulses; the same paper", "assumed", 0.1, 0.5),
        variation=wan_2022(),
    )


def _rram_isaac() -> CellPreset:
    source = "ISAAC and RAELLA cells as in CiMLoop's presets (MIT): 1333 ohm and 20 kohm"
    return CellPreset(
        "rram-isaac",
        "The strong RRAM of ISAAC and RAELLA, where wires matter most; ohmic",
        Ohmic(),
        True,
        _siemens("on-cell", 1 / 1333, source, "published"),
        _siemens("off-cell", 1 / 20e3, source, "published"),
        _volt("read voltage", 0.2, source, "published"),
    )


def _rram_1s1r() -> CellPreset:
    source = "generic bidirectional (MIEC or tunnel) selector; no single device"
    threshold = _volt("threshold", 0.4, source, "assumed", 0.2, 1.2)
    per_e = _volt(
        "voltage per factor e", 0.026, f"{source}; 60 mV per decade, ideal exponential", "assumed", 0.01, 0.05
    )
    return CellPreset(
        "rram-1s1r",
        "RRAM behind a threshold selector, for passive crosspoints",
        Series(Selector(threshold.value, per_e.value), 1e3),
        False,
        _siemens("on-cell", 1e-4, source, "assumed", 1e-5, 1e-3),
        _siemens("off-cell", 1e-6, source, "assumed", 1e-7, 1e-5),
        _volt("read voltage", 0.8, "twice the threshold, so that half-selected cells block", "assumed", 0.4, 1.6),
        law=(threshold, per_e, Coefficient("series resistance", 1e3, "ohm", source, "assumed", 0.0, 1e4)),
    )


def _rram_sinh() -> CellPreset:
    b = Coefficient(
        "sharpness", 4.0, "1/V", "i ~ sinh(v / v0), v0 of 0.25 V in the Stanford and ASU compact RRAM models "
        "(range over devices)", "assumed", 1.0, 8.0,
    )  # fmt: skip
    return CellPreset(
        "rram-sinh",
        "Generic filamentary RRAM with an exponential current",
        Sinh(b.value),
        False,
        _siemens("on-cell", 1e-4, "generic filamentary RRAM", "assumed", 1e-5, 1e-3),
        _siemens("off-cell", 1e-6, "generic filamentary RRAM", "assumed", 1e-8, 1e-5),
        _volt("read voltage", 0.2, "generic filamentary RRAM", "assumed", 0.1, 0.5),
        law=(b,),
    )


def _pcm() -> CellPreset:
    source = "V. Joshi et al., Nat. Commun. 11, 2473 (2020); S. R. Nandakumar et al., ICECS 2019: up to 25 µS"
    return CellPreset(
        "pcm",
        "Doped-GST phase-change memory, 90 nm; ohmic at its read voltage",
        Ohmic(),
        True,
        _siemens("largest state", 25e-6, source, "published"),
        _siemens("smallest state", 0.25e-6, f"{source}; on/off 100 as CrossSim PCM_Joshi.py suggests", "published"),
        _volt("read voltage", 0.2, "reads far below the threshold of amorphous GST", "assumed", 0.1, 0.3),
        variation=pcm_nandakumar_2019(),
    )


def _fefet() -> CellPreset:
    source = (
        "28 nm FeFET: on-resistance 240 kohm, on/off 100, second-hand (facts of the project); no measured I-V curve"
    )
    knee = _volt("saturation voltage", 0.3, "overdrive of the FeFET; no measured curve", "assumed", 0.1, 0.8)
    return CellPreset(
        "fefet-28nm",
        "28 nm FeFET read in its linear region",
        ReadStack(knee.value, 0.1),
        True,
        _siemens("on-cell", 1 / 240e3, source, "assumed", 1e-6, 2e-5),
        _siemens("off-cell", 1 / 24e6, source, "assumed", 1e-12, 2e-7),
        _volt("read voltage", 0.1, "inside the linear region", "assumed", 0.05, 0.3),
        law=(knee,),
        r_wl=_wire("word line per cell", 8 * 28e-9, 28, "8 F wide, assumed"),
        r_bl=_wire("bit line per cell", 4 * 28e-9, 28, "4 F high, assumed"),
    )


def _sonos() -> CellPreset:
    source = "V. Agrawal et al., IEDM 2022, 21.7: 0 to 1.6 µA at 0.1 V, as in CrossSim SONOS.py (BSD-3)"
    knee = _volt("saturation voltage", 0.078, "3 kT/q: subthreshold operation saturates there", "derived", 0.05, 0.2)
    return CellPreset(
        "sonos-40nm",
        "40 nm SONOS in subthreshold",
        ReadStack(knee.value, 0.0),
        True,
        _siemens("largest state", 16e-6, source, "published"),
        _siemens("smallest state", 1.6e-12, f"{source}; on/off 1e7", "published"),
        _volt("read voltage", 0.1, source, "published"),
        law=(knee,),
        variation=sonos_agrawal_2022(),
    )


def _sram(node_nm: int) -> CellPreset:
    _, area_um2, supply = _node(node_nm)
    high = math.sqrt(area_um2 * 1e-12 / 2.15)
    wide = 1.3 * 2.15 * high
    shape = "6T cell 2.15 times as wide as high (TSMC 7 nm: 241 x 112 nm); 8T 1.3 times as wide"
    r_on = {65: 20e3, 45: 20e3, 32: 20e3, 28: 20e3, 22: 30e3}.get(node_nm, 40e3)
    reason = f"two minimum transistors in series, about {r_on / 1e3:g} kohm"
    knee = _volt(
        "saturation voltage", 0.5 * supply, "overdrive at a threshold of half the supply", "assumed", 0.2, supply
    )
    early = Coefficient("channel-length modulation", 0.1, "1/V", "short channel, stacked", "assumed", 0.0, 0.5)
    return CellPreset(
        f"8t-sram at {node_nm} nm",
        "Read port of an 8T-SRAM cell: two transistors in series, saturating",
        ReadStack(knee.value, early.value),
        True,
        _siemens("on-cell", 1 / r_on, reason, "assumed", 0.4 / r_on, 2.5 / r_on),
        _siemens("off-cell", 1e-10, "leakage of an off stack, on/off above 1e5", "assumed", 1e-12, 1e-8),
        _volt("read voltage", 0.1, "inside the linear region", "assumed", 0.05, supply),
        law=(knee, early),
        r_wl=_wire("word line per cell", wide, node_nm, shape),
        r_bl=_wire("bit line per cell", high, node_nm, shape),
    )


def _1t1r(node_nm: int) -> CellPreset:
    _node(node_nm)
    source = "generic HfOx RRAM between ISAAC's 1.3 kohm and NeuRRAM's 25 kohm"
    access = Coefficient(
        "access transistor", 5e3, "ohm", "a quarter of the on-cell, the usual sizing", "assumed", 1e3, 20e3
    )
    shape = "4 F x 12 F, between ISAAC's 16 F² and NeuRRAM's 126 F² (CiMLoop presets, MIT); F is the name of the node"
    return CellPreset(
        f"1t1r at {node_nm} nm",
        "RRAM behind an access transistor that is fully on",
        Series(Ohmic(), access.value),
        True,
        _siemens("on-cell", 1 / 20e3, source, "assumed", 1 / 100e3, 1 / 1.3e3),
        _siemens("off-cell", 1 / 2e6, f"{source}; on/off 100", "assumed", 1 / 20e6, 1 / 20e3),
        _volt("read voltage", 0.1, "far below the switching voltage", "assumed", 0.05, 0.3),
        law=(access,),
        r_wl=_wire("word line per cell", 12e-9 * node_nm, node_nm, shape),
        r_bl=_wire("bit line per cell", 4e-9 * node_nm, node_nm, shape),
    )


_DEVICES = {
    "rram-milo": _rram_milo, "rram-wan": _rram_wan, "rram-isaac": _rram_isaac, "rram-sinh": _rram_sinh,
    "rram-1s1r": _rram_1s1r, "pcm": _pcm, "fefet-28nm": _fefet, "sonos-40nm": _sonos,
}  # fmt: skip
_AT_NODE = {"8t-sram": _sram, "1t1r": _1t1r}
