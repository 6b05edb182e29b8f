"""Digital neuron units: what one membrane update costs, and what the unit burns while it waits.

SATA composition (SATA_Sim, inference): a 16-bit comparator and a 16-bit subtractor that switch in every cycle
(un-gated), a 4-bit threshold register and an 8-bit membrane register that switch only for an update (gated). In the
released runs 99.8 % of the LIF energy is the un-gated part while idle, so the two are kept apart. SpikeSim charges
1.274 pJ x 4 per update at 65 nm and keeps a 22-bit membrane word per neuron in SRAM, which is charged with
``membrane_access``.
"""

from __future__ import annotations

from dataclasses import dataclass

from truejoule.components import logic, sram
from truejoule.components.coefficient import Coefficient
from truejoule.components.technology import Node, scale
from truejoule.errors import InputError

MEMBRANE_BITS_SATA, MEMBRANE_BITS_SPIKESIM = 8, 22
SPIKESIM_NODE = Node(65, 1.0)
SPIKESIM_UPDATE = Coefficient(
    "neuron update (SpikeSim)",
    5.096e-12,
    "J",
    "SpikeSim ela_spikesim.py: 1.274 pJ x 4 at 65 nm, taken at 1.0 V; low end: one of the four",
    "published",
    1.274e-12,
    5.096e-12,
    SPIKESIM_NODE.node_m,
)
"""One update of SpikeSim's neuronal module at 65 nm, J; membrane memory not included."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One neuron (or activation) unit.

    Attributes
    ----------
    ungated : J per clock cycle, burned whether or not there is work, unless the unit is clock-gated as a whole.
    gated : J more per update; ``None`` if the unit has no gated part.
    leakage : W.
    area : m2.
    """

    ungated: Coefficient
    gated: Coefficient | None
    leakage: Coefficient
    area: Coefficient

    @property
    def update(self) -> Coefficient:
        """J of one update of a unit that is idle at no cost: un-gated plus gated part."""
        return (
            self.ungated
            if self.gated is None
            else logic.together(f"{self.ungated.name} and state", [self.ungated, self.gated])
        )


def lif_unit(
    node: Node,
    *,
    datapath_bits: int = 16,
    threshold_bits: int = 4,
    membrane_bits: int = MEMBRANE_BITS_SATA,
    leak: bool = False,
) -> Unit:
    """The LIF (or IF) unit of SATA: comparator, subtractor (soft reset), threshold and membrane registers.

    Parameters
    ----------
    leak : adds a second subtractor for a decay by shift and subtract, ``v - (v >> k)``; SATA's released unit has none.

    Raises
    ------
    InputError : for widths outside the logic tables.
    """
    always: list[tuple[logic.Kernel, int]] = [("comparator", datapath_bits), ("adder", datapath_bits)]
    if leak:
        always.append(("adder", datapath_bits))
    return _compose(
        "LIF datapath" if leak else "IF datapath",
        always,
        [("register", threshold_bits), ("register", membrane_bits)],
        node,
    )


def relu_unit(node: Node, *, datapath_bits: int = 16) -> Unit:
    """The ReLU of SATA's ANN counterpart: one comparator, no state, un-gated."""
    return _compose("ReLU", [("comparator", datapath_bits)], [], node)


def spikesim_update(node: Node) -> Coefficient:
    """Energy of one neuron update, J: SpikeSim's published value moved from 65 nm (1.0 V assumed) like logic; membrane
    memory not included.

    Raises
    ------
    InputError : for low-power against high-performance nodes and supplies outside the fits, see ``technology``.
    """
    return scale(SPIKESIM_UPDATE, SPIKESIM_NODE, node)


def membrane_access(
    neurons: float, node: Node, *, membrane_bits: int = MEMBRANE_BITS_SPIKESIM, word_bits: int = 64
) -> Coefficient:
    """Energy of fetching and storing one membrane potential, J: ``membrane_bits`` read and written in an SRAM that
    holds all ``neurons``.

    Words are packed, so only the useful bits are charged. Below 512 B the state sits in a register, clocked once.

    Raises
    ------
    InputError : for no neurons, or more state than one SRAM of the tables holds.
    """
    if neurons <= 0 or membrane_bits < 1:
        raise InputError(
            "a membrane memory without neurons",
            got=f"{neurons} neurons of {membrane_bits} bits",
            expected="both at least 1",
        )
    capacity = neurons * membrane_bits
    if capacity < sram.SMALLEST_BITS:
        return logic.register(membrane_bits, node)
    word = min(word_bits, capacity)
    both = logic.together(
        "membrane read and write", [sram.read_energy(capacity, word, node), sram.write_energy(capacity, word, node)]
    )
    return both.scaled(membrane_bits, f"x {membrane_bits} bits", unit="J")


def _compose(
    name: str, always: list[tuple[logic.Kernel, int]], on_update: list[tuple[logic.Kernel, int]], node: Node
) -> Unit:
    parts = always + on_update
    return Unit(
        ungated=_energy(name, always, node),
        gated=_energy(f"{name} state", on_update, node) if on_update else None,
        leakage=logic.together(f"{name} leakage", [logic.kernel_leakage(k, b, node) for k, b in parts]),
        area=logic.together(f"{name} area", [logic.kernel_area(k, b, node) for k, b in parts]),
    )


def _energy(name: str, parts: list[tuple[logic.Kernel, int]], node: Node) -> Coefficient:
    """Summed where the kernels were measured, so that the scaling appears once."""
    total = logic.together(name, [logic.kernel_energy(k, b, logic.SATA_NODE) for k, b in parts])
    return scale(total, logic.SATA_NODE, node)
