"""Energy of the backward pass and of the weight update: array, buffers, edge of the chip, gradient units, leakage.

The units of a phase are clocked in every cycle of the array, whether or not there is work; their gated parts for operations only. The unit that
the phase does not use stands still and leaks, as does the neuron unit. Gradient units are clocked for gradients only (assumed; SATA's LIF units
are not).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from truejoule.accelerators.sata.cost import Prices
from truejoule.accelerators.sata.dataflow import Demand, valid_products
from truejoule.accelerators.sata.design import Structure
from truejoule.accelerators.sata.training import Phase
from truejoule.accelerators.sata.training_loops import GRADIENT_BITS
from truejoule.accelerators.sata.training_memory import Pass, TrainingMoves, kept_bits
from truejoule.accelerators.sata.training_parts import TrainingParts
from truejoule.components.coefficient import Coefficient, charge
from truejoule.components.neuron_unit import Unit
from truejoule.cost import Entry
from truejoule.workload import Layer

Counts = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """A training machine with its prices: ``s`` has sums as wide as gradients, ``memories`` as in inference, ``edge`` J/bit of DRAM."""

    s: Structure
    parts: TrainingParts
    memories: Prices
    edge: Coefficient

    def unit(self, multiplied: bool) -> tuple[str, Unit]:
        """Name and unit that makes weight gradients."""
        own = self.parts.mac if multiplied else self.parts.accumulate
        assert own is not None
        return ("mac" if multiplied else "accumulate"), own


def array(
    m: Machine, layer: Layer, phase: Phase, unit: tuple[str, Unit], work: Pass, operations: Counts
) -> list[Entry]:
    """The PEs of one phase; ``operations`` per time step of the layer."""
    (name, of), s = unit, m.s
    lanes = s.lanes_clocked(work.nest.steps)
    cycles = work.needs.cycles.total(work.nest.steps) * s.pes
    pads = m.parts.scratchpads
    assert of.gated is not None and pads.gated is not None
    fetched: Counts | float = operations
    if s.lanes > 1 and work.nest.steps > 1:
        passes = math.ceil(work.nest.steps / s.time_window)
        fetched = min(math.fsum(operations), float(valid_products(layer) * passes))
    return [
        charge(of.ungated, layer.name, f"{phase} {name}", "cycle clocked", cycles * lanes),
        charge(of.gated, layer.name, f"{phase} {name}", "operation", operations),
        charge(pads.ungated, layer.name, f"{phase} scratchpads", "cycle clocked", cycles),
        charge(pads.gated, layer.name, f"{phase} scratchpads", "operation", fetched),
    ]


def backward_buffers(m: Machine, layer: Layer, back: Pass | None, trips: TrainingMoves) -> list[Entry]:
    """Weights and gradients in, gradients of the inputs out; without a backward product only what goes to DRAM."""
    rows = [("output buffer", "read", "bit handed on", trips.handed + trips.written)]
    if back is not None:
        needs = back.needs
        rows += [
            ("weight buffer", "read", "bit read", needs.weights.total(layer.steps)),
            ("weight buffer", "written", "bit filled", trips.weights),
            ("input buffer", "read", "bit read", needs.inputs.total(layer.steps)),
            ("input buffer", "written", "bit filled", trips.handed + trips.read),
            *_sums(needs, layer.steps),
        ]
    return _moved(m, layer, "backward", rows)


def update_buffers(
    m: Machine, layer: Layer, needs: Demand, trips: TrainingMoves, new: float, kept: float
) -> list[Entry]:
    """Gradients (in the weight buffer) and stored inputs in, weight gradients out.

    Parameters
    ----------
    new : bits of weights that are read and written per sample.
    kept : bits of running weight gradients that are read and written in the weight buffer per sample.
    """
    return _moved(
        m,
        layer,
        "weight update",
        [
            ("weight buffer", "read", "gradient bit read", needs.weights.once + needs.weights.step),
            ("weight buffer", "written", "gradient bit filled", trips.handed_again + trips.read_again),
            ("weight buffer", "read", "weight bit read", 2 * new),
            ("weight buffer", "written", "weight bit written", 2 * new),
            ("weight buffer", "read", "running gradient bit read", kept),
            ("weight buffer", "written", "running gradient bit written", kept),
            ("input buffer", "read", "bit read", needs.inputs.once + needs.inputs.step),
            ("input buffer", "written", "bit filled", trips.inputs),
            ("output buffer", "read", "bit handed on", trips.handed_again),
            ("output buffer", "read", "weight gradient bit read", float(layer.weights * GRADIENT_BITS)),
            *_sums(needs, 1),
        ],
    )


def _sums(needs: Demand, steps: int) -> list[tuple[str, str, str, float]]:
    partials = needs.partials.total(steps)
    return [
        ("output buffer", "written", "bit written", needs.outputs.total(steps)),
        ("output buffer", "written", "partial-sum bit written", partials),
        ("output buffer", "read", "partial-sum bit read", partials),
    ]


def _moved(m: Machine, layer: Layer, phase: Phase, rows: list[tuple[str, str, str, float]]) -> list[Entry]:
    return [
        charge(m.memories[memory][way], layer.name, f"{phase} {memory}", action, bits)
        for memory, way, action, bits in rows
        if bits
    ]


def crossing(m: Machine, layer: Layer, phase: Phase, rows: dict[str, float]) -> list[Entry]:
    """Bits over the edge of the chip, by action."""
    return [charge(m.edge, layer.name, f"{phase} dram", action, bits) for action, bits in rows.items() if bits]


def gradients(m: Machine, layer: Layer, alive: Counts) -> tuple[list[Entry], float]:
    """The gradient of neurons or of a ReLU, and the bits per sample that it moves over the edge.

    Gradients come from the output buffer and go there, beside the stored potential or mask. With time outermost, the gradient that a neuron
    hands to the step before does not stay in the registers of the array, unless it has as many PEs; it goes to the membrane memory, and beyond it to
    DRAM, as the potential does in inference.

    Parameters
    ----------
    alive : share of non-zero surrogate derivatives per time step.
    """
    name, out, s = layer.name, float(layer.outputs), m.s
    words, stored = layer.steps * out * GRADIENT_BITS, layer.steps * out * kept_bits(layer, s)
    each = (out,) * layer.steps
    if layer.op == "neuron":
        entries = [
            charge(m.parts.gradient, name, "backward gradient unit", "membrane gradient", each),
            charge(
                m.parts.surrogate,
                name,
                "backward gradient unit",
                "product with the surrogate",
                tuple(out * d for d in alive),
            ),
        ]
    else:
        entries = [charge(m.parts.mask, name, "backward gradient unit", "gradient masked", each)]
    entries += crossing(m, layer, "backward", {"activation state bit read": stored})
    rows: list[tuple[str, str, str, float]] = [
        ("output buffer", "written", "activation state bit filled", stored),
        ("output buffer", "read", "activation state bit read", stored),
        ("output buffer", "read", "gradient bit read", words),
        ("output buffer", "written", "gradient bit written", words),
    ]
    entries += _moved(m, layer, "backward", rows)
    if not carries(layer, s):
        return entries, stored
    found, spilled = _between_steps(m, layer, "carried gradient", words)
    return entries + found, stored + spilled


def summed(m: Machine, layer: Layer, steps: int) -> tuple[list[Entry], float]:
    """The gradients at the outputs of a layer that was computed once, added up over the time steps, and the bits that this moves over the edge."""
    more = float(layer.outputs * (steps - 1))
    entries = [charge(m.parts.add, layer.name, "backward gradient unit", "gradient summed over time", more)]
    if not (m.s.time_outermost and layer.outputs > m.s.pes):
        return entries, 0.0
    found, spilled = _between_steps(m, layer, "summed gradient", more * GRADIENT_BITS)
    return entries + found, spilled


def _between_steps(m: Machine, layer: Layer, what: str, bits: float) -> tuple[list[Entry], float]:
    """Gradients that leave the array between two time steps: read and written in the membrane memory, beyond it in DRAM; and the bits that do."""
    share = max(1.0 - m.s.membrane_memory / (layer.outputs * GRADIENT_BITS), 0.0)
    kept = bits * (1 - share)
    rows = [("membrane memory", way, f"{what} bit {way}", kept) for way in ("read", "written")]
    spilled = 2 * bits * share
    entries = _moved(m, layer, "backward", rows) + crossing(m, layer, "backward", {f"{what} bit spilled": spilled})
    return entries, spilled


def carries(layer: Layer, s: Structure) -> bool:
    """Whether the gradients that neurons hand to the step before leave the array."""
    return s.time_outermost and layer.op == "neuron" and layer.steps > 1 and layer.outputs > s.pes


def weight_steps(m: Machine, layer: Layer) -> list[Entry]:
    """Sum over the samples of a batch, and one step of plain SGD per batch."""
    batch, weights = m.s.training_batch, float(layer.weights)
    entries = [charge(m.parts.step, layer.name, "weight update step unit", "SGD step", weights / batch)]
    if batch > 1:
        summed = weights * (batch - 1) / batch
        entries.append(charge(m.parts.add, layer.name, "weight update step unit", "running gradient added", summed))
    return entries


def standing(m: Machine, layer: Layer, phase: Phase, seconds: float, membranes: bool) -> list[Entry]:
    """Leakage of all PEs, with their training hardware, and of all banks."""
    s, parts = m.s, m.parts
    units = s.pes / s.neurons_per_lif
    rows: list[tuple[str, Coefficient, float, str]] = [
        ("mac", parts.mac.leakage, s.pes * s.lanes, "unit x s"),
        ("scratchpads", parts.scratchpads.leakage, s.pes, "unit x s"),
        ("neuron unit", parts.neuron.leakage, units, "unit x s"),
        ("gradient unit", parts.gradient_leakage, units, "unit x s"),
        *(
            (name, of["leakage"], s.banks, "bank x s")
            for name, of in m.memories.items()
            if membranes or name != "membrane memory"
        ),
    ]
    if parts.accumulate is not None:
        rows.append(("accumulate", parts.accumulate.leakage, s.pes * s.lanes, "unit x s"))
    return [
        charge(power, layer.name, f"{phase} {component}", f"leakage, {what}", count * seconds)
        for component, power, count, what in rows
        if seconds
    ]
