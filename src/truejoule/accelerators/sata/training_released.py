"""The training model of SATA as released (SATA_Sim, training_energy_cal, 2022): counts of 16-bit actions times unit energies, slips included.

Per layer with weights: W weights, P output and H input positions, ``in`` inputs and ``out`` outputs per step, T steps, b bits::

    forward         out T LIF updates, (1 - spikes) W P T accumulates
    backward        out T membrane gradients, (1 - gradients) W H T multiply-accumulates
    weight update   (1 - spikes) W P T accumulates

    words           DRAM                     global buffer                      scratchpads
    forward         W + T (out + in/b)       2 W + 2 T (out + in/b)             2 W + 2 T in/b
    backward        T (out + in/b)           W + T (7 out + 2 in/b)             W + T out
    weight update   2 W                      2 W (1 + T) + T (in/b + out)       2 W (1 + 2 T) + T (in/b + out)

Forward energies scale with b/16. Every slip of that code is a switch of ``ReleasedTraining``. The ANN is not in their code: the same formulas with
multipliers, ReLU and inputs of a whole word. They report no time and no area; those of an inference here are the cycles and parts of the other
released presets.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from truejoule.accelerators.mapping import Mapping as Placed
from truejoule.accelerators.preset import Unit
from truejoule.accelerators.sata.training import PHASES, Phase, outermost, untrained
from truejoule.components.coefficient import Coefficient, charge
from truejoule.cost import Cost, Entry, Ledger, Schedule, Slot, TrainingCost
from truejoule.errors import InputError
from truejoule.workload import Activity, Layer, TrainingSparsity, Workload

if TYPE_CHECKING:
    from truejoule.accelerators.sata.design import Structure

Joule = Annotated[Coefficient, Unit("J")]
MEMORIES = ("dram", "global buffer", "scratchpads")
NOTE = (
    "The training model of SATA as released in 2022: unit energies of 16-bit operations with the memory ratios of Eyeriss, their node not stated; no "
    "idle clocks, no leakage, no time. Training may be divided by inference only on this same preset; hold nothing of it against other machines."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedTraining:
    """What only the released training account knows; sources in the preset."""

    word_bits: int = field(metadata={"meaning": "bits for which the unit energies hold"})
    multiply_energy: Joule = field(metadata={"meaning": "multiplication of words"})
    accumulate_energy: Joule = field(metadata={"meaning": "accumulate of words"})
    add_energy: Joule = field(metadata={"meaning": "addition of words"})
    and_energy: Joule = field(metadata={"meaning": "AND that gates an accumulate by a spike"})
    compare_energy: Joule = field(metadata={"meaning": "comparison of words"})
    mux_energy: Joule = field(metadata={"meaning": "two-way multiplexer"})
    register_energy: Joule = field(metadata={"meaning": "register"})
    shift_energy: Joule = field(metadata={"meaning": "three-stage shifter"})
    dram_word: Joule = field(metadata={"meaning": "a word from or to DRAM"})
    global_buffer_word: Joule = field(metadata={"meaning": "a word from or to the global buffer"})
    scratchpad_word: Joule = field(metadata={"meaning": "a word from or to a scratchpad"})
    linear_replaces: bool = field(
        metadata={"meaning": "slip: a linear layer replaces the forward accumulates counted so far by its own"}
    )
    linear_dense: bool = field(metadata={"meaning": "slip: linear layers use no sparsity"})
    output_layer_missing: bool = field(metadata={"meaning": "slip: the output layer is left out"})
    spikes_scaled_forward_only: bool = field(
        metadata={
            "meaning": "slip: a stored spike is 1/bits of a word in every phase, but only forward energies scale with bits/word_bits"
        }
    )
    surrogate_unused: bool = field(metadata={"meaning": "slip: the sparsity of the surrogate is never used"})
    image_sparse: bool = field(metadata={"meaning": "slip: one sparsity for the network is applied to the image too"})
    image_gradient: bool = field(metadata={"meaning": "slip: the gradient of the image is computed"})

    def prices(self) -> dict[str, Coefficient]:
        """Energy of the actions, which are made of operations of the table."""
        op = {
            "multiply": self.multiply_energy,
            "accumulate": self.accumulate_energy,
            "add": self.add_energy,
            "and": self.and_energy,
            "compare": self.compare_energy,
            "mux": self.mux_energy,
            "register": self.register_energy,
            "shift": self.shift_energy,
        }
        made = {
            "lif": _sum("LIF update", op, add=1, compare=1, mux=2, register=3, shift=1),
            "accumulate": _sum("spike-gated accumulate", op, accumulate=1, **{"and": 1}),
            "mac": _sum("multiply-accumulate", op, multiply=1, accumulate=1),
            "gradient multiply": _sum("membrane gradient, product with the surrogate", op, multiply=1),
            "gradient rest": _sum("membrane gradient without that product", op, add=2, mux=1, shift=2),
            "relu": _sum("ReLU", op, compare=1),
            "mask": _sum("gradient of ReLU", op, mux=1),
        }
        words = (self.dram_word, self.global_buffer_word, self.scratchpad_word)
        return {**made, **dict(zip(MEMORIES, words, strict=True))}

    def in_macs(self, joule: float) -> float:
        """In energies of one multiply-accumulate, the unit in which the released code prints."""
        return joule / (self.multiply_energy.value + self.accumulate_energy.value)


def _sum(name: str, operations: Mapping[str, Coefficient], **parts: int) -> Coefficient:
    """A unit made of operations of the table."""
    value, low, high = (
        math.fsum(getattr(operations[part], end) * count for part, count in parts.items())
        for end in ("value", "low", "high")
    )
    text = " + ".join(f"{count} {part}" if count > 1 else part for part, count in parts.items())
    sources = "; ".join(dict.fromkeys(operations[part].source for part in parts))
    kinds = {operations[part].kind for part in parts}
    kind = "assumed" if "assumed" in kinds else "derived"
    return Coefficient(name, value, "J", f"{sources}; {text}", kind, low, high)


@dataclass(frozen=True, slots=True)
class Count:
    """How often one thing happens in one layer and phase.

    Attributes
    ----------
    unit : where, for example ``"accumulate"``, ``"dram"``.
    amount : actions or words per time step (tuple), or once.
    price, scale : key into ``ReleasedTraining.prices``, and what it is multiplied with for narrower words.
    """

    layer: str
    phase: Phase
    unit: str
    action: str
    amount: tuple[float, ...] | float
    price: str
    scale: float = 1.0

    @property
    def total(self) -> float:
        return math.fsum(self.amount) if isinstance(self.amount, tuple) else self.amount


def released_counts(
    workload: Workload, sparsity: TrainingSparsity, s: Structure, p: ReleasedTraining
) -> tuple[Count, ...]:
    """What one training step does for one sample, at ``weight_bits`` for all weights and potentials."""
    if not 1 <= s.weight_bits <= p.word_bits:
        raise InputError("weight_bits out of range", got=s.weight_bits, expected=f"1 to {p.word_bits}, the word")
    left_out = outermost(workload) if p.output_layer_missing else frozenset()
    layers = [layer for layer in workload.multiplying if layer.name not in left_out]
    linear = [number for number, layer in enumerate(layers) if layer.op == "linear"]
    counted_from = linear[-1] if p.linear_replaces and linear else 0
    first, last = untrained(workload), outermost(workload)
    found: list[Count] = []
    for number, layer in enumerate(layers):
        t, image = layer.steps, layer.name in first
        dense = layer.op == "linear" and p.linear_dense
        spikes = sparsity.density("spike", layer.name, t, whole=p.image_sparse or not image)
        gradients = sparsity.density("membrane_gradient", layer.name, t, whole=layer.name not in last)
        if dense:
            spikes = gradients = (1.0,) * t
        accumulates = spikes if number >= counted_from else (0.0,) * t
        if image and not p.image_gradient:
            gradients = (0.0,) * t
        found += _operations(layer, accumulates, spikes, gradients, s, p, workload.spiking)
        found += _gradient_units(layer, workload, sparsity, p)
        found += _words(layer, s, p, workload.spiking)
    return tuple(found)


def released_training(
    workload: Workload, sparsity: TrainingSparsity, s: Structure, p: ReleasedTraining
) -> TrainingCost:
    """The released account of one training step of one sample; it has no time."""
    if s.training_batch != 1:
        raise InputError("the released training model has no batches", got=s.training_batch, expected="1")
    prices, entries = p.prices(), []
    for c in released_counts(workload, sparsity, s, p):
        entries.append(_charged(c, prices, f"{c.phase} {c.unit}", p))
    return TrainingCost(Ledger(tuple(entries)), NOTE, None)


def released_forward(mapping: Placed, activity: Activity, s: Structure, p: ReleasedTraining) -> Cost:
    """An inference: the forward phase of the account above, with the cycles and parts of the other released presets, which it never printed."""
    from truejoule.accelerators.sata.parts import parts_of
    from truejoule.accelerators.sata.released import cycles
    from truejoule.components import logic
    from truejoule.components.coefficient import place
    from truejoule.cost import Floorplan

    workload, prices, tau = mapping.workload, p.prices(), 1.0 / s.clock
    spikes = {
        layer.name: tuple(1.0 - d for d in activity.layers[layer.name].density()) for layer in workload.multiplying
    }
    sparsity = TrainingSparsity(spikes, 0.0, 0.0, activity.origin)
    counts = [c for c in released_counts(workload, sparsity, s, p) if c.phase == "forward"]
    entries = tuple(_charged(c, prices, c.unit, p) for c in counts)
    slots, now = [], 0.0
    for layer in workload.multiplying:
        each, once = cycles(layer, s)
        for step in range(layer.steps):
            took = (each + (once if step == 0 else 0)) * tau
            slots.append(Slot(layer.name, step, now, now + took, took))
            now += took
    parts = parts_of(s, logic.SATA_NODE)
    areas = (
        (parts.accumulate, "accumulate", s.pes),
        (parts.neuron, "neuron unit", s.pes / s.neurons_per_lif),
        (parts.scratchpads, "scratchpads", s.pes),
    )
    plan = Floorplan(tuple(place(unit.area, name, count) for unit, name, count in areas))
    return Cost(Ledger(entries), Schedule(tuple(slots), now, tau, workload.multiplying[-1].name), plan)


def _charged(c: Count, prices: Mapping[str, Coefficient], component: str, p: ReleasedTraining) -> Entry:
    price = prices[c.price]
    if c.scale != 1.0:
        price = price.scaled(c.scale, f"x {c.scale:g} for operands narrower than {p.word_bits} bit")
    return charge(price, c.layer, component, c.action, c.amount)


def _operations(
    layer: Layer,
    accumulates: tuple[float, ...],
    spikes: tuple[float, ...],
    gradients: tuple[float, ...],
    s: Structure,
    p: ReleasedTraining,
    spiking: bool,
) -> Iterator[Count]:
    name, weights, narrow = layer.name, float(layer.weights * layer.groups), s.weight_bits / p.word_bits
    unit, positions = "accumulate" if spiking else "mac", math.prod(layer.input_shape[1:])
    each = (float(layer.outputs),) * layer.steps

    def products(shares: tuple[float, ...], over: int) -> tuple[float, ...]:
        return tuple(weights * over * d for d in shares)

    yield Count(name, "forward", "neuron unit", "update", each, "lif" if spiking else "relu", narrow)
    yield Count(name, "forward", unit, "product", products(accumulates, layer.positions), unit, narrow)
    yield Count(name, "backward", "mac", "product", products(gradients, positions), "mac")
    yield Count(name, "weight update", unit, "product", products(spikes, layer.positions), unit)


def _gradient_units(
    layer: Layer, workload: Workload, sparsity: TrainingSparsity, p: ReleasedTraining
) -> Iterator[Count]:
    name, each = layer.name, (float(layer.outputs),) * layer.steps
    if not workload.spiking:
        yield Count(name, "backward", "gradient unit", "gradient", each, "mask")
        return
    neuron = None if p.surrogate_unused else _neuron_behind(layer, workload)
    alive = sparsity.density("surrogate", neuron.name, layer.steps) if neuron is not None else (1.0,) * layer.steps
    yield Count(name, "backward", "gradient unit", "gradient", each, "gradient rest")
    products = tuple(n * d for n, d in zip(each, alive, strict=True))
    yield Count(name, "backward", "gradient unit", "surrogate product", products, "gradient multiply")


def _neuron_behind(layer: Layer, workload: Workload) -> Layer | None:
    """The neuron layer that a layer with weights feeds, if no other layer with weights is in between."""
    name = layer.name
    while True:
        after = next((e.target for e in workload.edges if e.source == name and not e.recurrent), None)
        if after is None or workload[after].multiplies:
            return None
        if workload[after].op == "neuron":
            return workload[after]
        name = after


def _words(layer: Layer, s: Structure, p: ReleasedTraining, spiking: bool) -> Iterator[Count]:
    name, bits, out = layer.name, s.weight_bits, float(layer.outputs)
    weights = float(layer.weights * layer.groups)
    maps = layer.inputs / bits if spiking else float(layer.inputs)
    later = layer.inputs / p.word_bits if spiking and not p.spikes_scaled_forward_only else maps
    table: dict[Phase, tuple[tuple[float, float], ...]] = {  # per memory: words per time step, once
        "forward": ((out + maps, weights), (2 * (out + maps), 2 * weights), (2 * maps, 2 * weights)),
        "backward": ((out + later, 0.0), (7 * out + 2 * later, weights), (out, weights)),
        "weight update": (
            (0.0, 2 * weights),
            (2 * weights + later + out, 2 * weights),
            (4 * weights + later + out, 2 * weights),
        ),
    }
    for phase in PHASES:
        scale = bits / p.word_bits if phase == "forward" else 1.0
        for memory, (step, once) in zip(MEMORIES, table[phase], strict=True):
            if step:
                yield Count(name, phase, memory, "map word", (step,) * layer.steps, memory, scale)
            if once:
                yield Count(name, phase, memory, "weight word", once, memory, scale)
