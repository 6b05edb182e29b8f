"""Energy of one training step (BPTT) of one sample: forward, backward, weight update; counts times the unit energies of SATA (arXiv 2204.05422).

Ledger convention: the layer is the layer, the component is the phase and the unit (``"backward dram"``), so that phases add up with ``by_phase``
and never mix with components of an inference. Three accounts:

``released``        SATA_Sim, training_energy_cal, last revision. A linear layer replaces the forward accumulates counted so far by its own, uses no
                    sparsity; the output layer is missing; only forward energies scale with ``bits``/16; one sparsity even for the image.
``released-fixed``  the same with forward accumulates added up.
``corrected``       every layer; padding does no work; no gradient of the image; inputs of several bits need multipliers; sparsity in linear layers;
                    spikes are one bit in every phase; weights are fetched again for the backward pass.

A first revision of their code (13ca32c) replaces the products of all three phases at a linear layer; it is not offered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from truejoule.accelerators.sata.dataflow import valid_products
from truejoule.components.coefficient import Coefficient, charge
from truejoule.cost import Ledger
from truejoule.errors import InputError, did_you_mean
from truejoule.workload import Layer, TrainingSparsity, Workload
from truejoule.workload.training import Share

Accounting = Literal["released", "released-fixed", "corrected"]
Phase = Literal["forward", "backward", "weight update"]
PHASES: tuple[Phase, ...] = get_args(Phase)
MEMORIES = ("dram", "global buffer", "scratchpads")
NOTE = (
    "Counts and unit energies are those of SATA's training model (16-bit operations with memory ratios of Eyeriss, node not stated). They are not those of "
    "the inference account: do not divide one by the other."
)
"""What a reader must know."""
WORD = 16
"""Bits that the unit energies hold for."""

_SOURCE = "SATA_Sim, training_energy_cal, energy_configs.py: 16 bit; unit and node not stated, taken as pJ"
_PJ = {"multiply": 0.239, "accumulate": 0.0389, "add": 0.00967, "and": 0.000794, "compare": 0.00309, "mux": 0.00172}
_PJ |= {"register": 0.0301, "shift": 0.00605, "dram": 55.58, "global buffer": 1.95, "scratchpads": 0.2779}


def _sum(name: str, parts: Mapping[str, int]) -> Coefficient:
    """A unit made of operations of the table."""
    value = 1e-12 * math.fsum(_PJ[part] * count for part, count in parts.items())
    made_of = " + ".join(f"{count} {part}" if count > 1 else part for part, count in parts.items())
    return Coefficient(name, value, "J", f"{_SOURCE}; {made_of}", "derived" if len(parts) > 1 else "published")


PRICES: Mapping[str, Coefficient] = {
    "lif": _sum("LIF update", {"add": 1, "compare": 1, "mux": 2, "register": 3, "shift": 1}),
    "accumulate": _sum("spike-gated accumulate", {"accumulate": 1, "and": 1}),
    "mac": _sum("16-bit multiply-accumulate", {"multiply": 1, "accumulate": 1}),
    "gradient": _sum("membrane gradient (PGU)", {"multiply": 1, "add": 2, "mux": 1, "shift": 2}),
    "gradient multiply": _sum("membrane gradient, multiply by the surrogate", {"multiply": 1}),
    "gradient rest": _sum("membrane gradient without the multiply", {"add": 2, "mux": 1, "shift": 2}),
    "relu": _sum("ReLU", {"compare": 1}),
    "mask": _sum("gradient of ReLU", {"mux": 1}),
    **{name: _sum(f"{name}, one word", {name: 1}) for name in MEMORIES},
}
"""Energy per action or 16-bit word."""


RELEASED = TrainingSparsity(
    0.9, 0.7, 0.6, "SATA_Sim, training_energy_cal, energy_cal.py: defaults; the surrogate's is never used"
)
DENSE = TrainingSparsity(0.0, 0.0, 0.0, "no zeros: the upper bound")


def observed_spikes(workload: Workload, membrane_gradient: Share, surrogate: Share, origin: str) -> TrainingSparsity:
    """Spike sparsity per layer and step from the workload's activity, beside given gradient sparsities."""
    spike: dict[str, Share] = {
        layer.name: tuple(1.0 - d for d in workload.activity_of(layer.name).density()) for layer in workload.multiplying
    }
    return TrainingSparsity(spike, membrane_gradient, surrogate, origin)


@dataclass(frozen=True, slots=True)
class Count:
    """How often one thing happens in one layer and phase.

    Attributes
    ----------
    unit : where, for example ``"accumulate"``, ``"dram"``.
    amount : actions, or 16-bit words, per time step (tuple) or once; released forward counts hold ``bits``-wide words.
    price, scale : key into ``PRICES``, and what it is multiplied with for narrower operands.
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


def training_counts(
    workload: Workload,
    sparsity: TrainingSparsity,
    *,
    accounting: Accounting = "corrected",
    bits: int = 8,
    batch: int = 1,
) -> tuple[Count, ...]:
    """What one training step does for one sample.

    Parameters
    ----------
    workload : spiking, or an ANN (no neuron layer): the same formulas with one step, multipliers and activations of ``bits``.
    bits : of weights and membranes in the forward pass; gradients have 16.
    batch : samples that share one trip of the weights over DRAM; the released accounts know 1 only.
    """
    if accounting not in get_args(Accounting):
        raise InputError(f"no account {accounting!r}", fix=did_you_mean(accounting, get_args(Accounting)))
    for name, value, most in (("bits", bits, WORD), ("batch", batch, None)):
        if value < 1 or (most and value > most):
            raise InputError(f"{name} out of range", got=value, expected=f"1 to {most}" if most else "at least 1")
    if accounting == "corrected":
        return tuple(c for c in _corrected(workload, sparsity, bits, batch) if c.total)
    if batch != 1:
        raise InputError("the released account has no batches", got=batch, expected="1", fix="use corrected")
    return tuple(_released(workload, sparsity, bits, fixed=accounting == "released-fixed"))


def training_ledger(
    workload: Workload,
    sparsity: TrainingSparsity,
    *,
    accounting: Accounting = "corrected",
    bits: int = 8,
    batch: int = 1,
) -> Ledger:
    """Energy of one training step of one sample; parameters as in ``training_counts``."""
    counts = training_counts(workload, sparsity, accounting=accounting, bits=bits, batch=batch)
    entries = []
    for c in counts:
        price = PRICES[c.price]
        if c.scale != 1.0:
            price = price.scaled(c.scale, f"x {c.scale:g} for operands narrower than {WORD} bit")
        entries.append(charge(price, c.layer, f"{c.phase} {c.unit}", c.action, c.amount))
    return Ledger(tuple(entries))


def by_phase(ledger: Ledger) -> dict[Phase, dict[str, float]]:
    """Joules of each phase: ``{"forward": {"compute": ..., "memory": ...}, ...}``."""
    found: dict[Phase, dict[str, float]] = {}
    for phase in PHASES:
        units = {c.removeprefix(f"{phase} "): e for c, e in ledger.by("component").items() if c.startswith(f"{phase} ")}
        memory = math.fsum(e for unit, e in units.items() if unit in MEMORIES)
        found[phase] = {"compute": math.fsum(e for u, e in units.items() if u not in MEMORIES), "memory": memory}
    return found


def in_macs(joule: float) -> float:
    """In energies of one 16-bit MAC (0.2779), the unit in which the released code prints."""
    return joule / PRICES["mac"].value


def not_modelled(workload: Workload) -> tuple[str, ...]:
    """Layers that cost nothing here, though training them does: norms, pooling, residual additions."""
    return tuple(layer.name for layer in workload.layers if not layer.multiplies and layer.op not in ("neuron", "relu"))


def _released(workload: Workload, sparsity: TrainingSparsity, bits: int, *, fixed: bool) -> Iterator[Count]:
    layers = [layer for layer in workload.multiplying if any(e.source == layer.name for e in workload.edges)]
    linear = [number for number, layer in enumerate(layers) if layer.op == "linear"]
    counted_from = 0 if fixed or not linear else linear[-1]
    spiking, narrow = workload.spiking, bits / WORD
    for number, layer in enumerate(layers):
        name, t, out = layer.name, layer.steps, float(layer.outputs)
        weights = float(layer.out_channels * layer.in_channels * math.prod(layer.kernel))
        maps = layer.inputs / bits if spiking else float(layer.inputs)
        conv = layer.op == "conv"
        ones = (1.0,) * t
        spikes = sparsity.density("spike", name, t) if conv else ones
        gradients = sparsity.density("membrane_gradient", name, t) if conv else ones
        forward = tuple(weights * layer.positions * d if number >= counted_from else 0.0 for d in spikes)
        backward = tuple(weights * math.prod(layer.input_shape[1:]) * d for d in gradients)
        update = tuple(weights * layer.positions * d for d in spikes)
        each, unit = (out,) * t, "accumulate" if spiking else "mac"
        yield Count(name, "forward", "neuron unit", "update", each, "lif" if spiking else "relu", narrow)
        yield Count(name, "forward", unit, "product", forward, unit, narrow)
        yield Count(name, "backward", "gradient unit", "gradient", each, "gradient" if spiking else "mask")
        yield Count(name, "backward", "mac", "product", backward, "mac")
        yield Count(name, "weight update", unit, "product", update, unit)
        words = {  # per time step, once
            "forward": (
                (out + maps, weights),
                (2 * (out + maps), 2 * weights),
                (2 * maps, 2 * weights),
            ),
            "backward": ((out + maps, 0.0), (7 * out + 2 * maps, weights), (out, weights)),
            "weight update": (
                (0.0, 2 * weights),
                (2 * weights + maps + out, 2 * weights),
                (4 * weights + maps + out, 2 * weights),
            ),
        }
        for phase in PHASES:
            scale = narrow if phase == "forward" else 1.0
            for memory, (step, once) in zip(MEMORIES, words[phase], strict=True):
                if step:
                    yield Count(name, phase, memory, "map word", (step,) * t, memory, scale)
                if once:
                    yield Count(name, phase, memory, "weight word", once, memory, scale)


def _corrected(workload: Workload, sparsity: TrainingSparsity, bits: int, batch: int) -> Iterator[Count]:
    known = {"input"}  # what depends on no weight needs no gradient
    for layer in workload.layers:
        if layer.multiplies:
            first = all(source in known for source in workload.sources(layer.name))
            last = all(e.source != layer.name for e in workload.edges)
            yield from _weights(layer, sparsity, bits, batch, first=first, last=last, spiking=workload.spiking)
        else:
            if layer.op in ("neuron", "relu"):
                yield from _activation(layer, sparsity, bits)
            if all(source in known for source in workload.sources(layer.name)):
                known.add(layer.name)


def _weights(
    layer: Layer, sparsity: TrainingSparsity, bits: int, batch: int, *, first: bool, last: bool, spiking: bool
) -> Iterator[Count]:
    """A layer with weights: products, weights and inputs."""
    name, t = layer.name, layer.steps
    products, held, out = float(valid_products(layer)), float(layer.weights), float(layer.outputs)
    input_bits = min(layer.input_bits if spiking or first else bits, WORD)
    unit = "accumulate" if spiking and input_bits == 1 else "mac"
    narrow = bits / WORD if unit == "accumulate" else bits * input_bits / WORD**2
    maps, stored = layer.inputs * input_bits / WORD, held * bits / WORD
    spikes = tuple(products * d for d in sparsity.density("spike", name, t, whole=not first))
    gradients = tuple(products * d for d in sparsity.density("membrane_gradient", name, t, whole=not last))

    def words(phase: Phase, memory: str, step: float, once: float) -> Iterator[Count]:
        yield Count(name, phase, memory, "map word", (step,) * t, memory)
        yield Count(name, phase, memory, "weight word", once, memory)

    yield Count(name, "forward", unit, "product", spikes, unit, narrow)
    yield from words("forward", "dram", maps + (out if last else 0.0), stored / batch)
    yield from words("forward", "global buffer", 2 * maps, 2 * stored)
    yield from words("forward", "scratchpads", 2 * maps, 2 * stored)
    if not first:
        yield Count(name, "backward", "mac", "product", gradients, "mac")
        yield from words("backward", "dram", 0.0, stored / batch)
        yield from words("backward", "global buffer", 0.0, stored)
        yield from words("backward", "scratchpads", 0.0, stored)
    yield from words("backward", "dram", maps, 0.0)
    yield from words("backward", "global buffer", 2 * maps, 0.0)
    scale = 1.0 if unit == "accumulate" else input_bits / WORD
    yield Count(name, "weight update", unit, "product", spikes, unit, scale)
    yield from words("weight update", "dram", 0.0, 2 * held / batch)
    yield from words("weight update", "global buffer", 2 * held + maps + out, 2 * held)
    yield from words("weight update", "scratchpads", 4 * held + maps + out, 2 * held)


def _activation(layer: Layer, sparsity: TrainingSparsity, bits: int) -> Iterator[Count]:
    """Neurons, whose membranes are kept for the backward pass, or ReLU, whose sign is that of the activation kept anyway."""
    name, t, out = layer.name, layer.steps, float(layer.outputs)
    each, kept = (out,) * t, (out * bits / WORD,) * t
    if layer.op == "relu":
        yield Count(name, "forward", "neuron unit", "update", each, "relu", bits / WORD)
        yield Count(name, "backward", "gradient unit", "gradient", each, "mask")
        yield Count(name, "backward", "global buffer", "gradient word", tuple(3 * n for n in each), "global buffer")
        yield Count(name, "backward", "scratchpads", "gradient word", each, "scratchpads")
        return
    alive = tuple(out * d for d in sparsity.density("surrogate", name, t))
    yield Count(name, "forward", "neuron unit", "update", each, "lif", bits / WORD)
    yield Count(name, "forward", "dram", "membrane word", kept, "dram")
    yield Count(name, "forward", "global buffer", "membrane word", tuple(2 * n for n in kept), "global buffer")
    yield Count(name, "backward", "gradient unit", "gradient", each, "gradient rest")
    yield Count(name, "backward", "gradient unit", "surrogate product", alive, "gradient multiply")
    yield Count(name, "backward", "dram", "membrane word", kept, "dram")
    yield Count(name, "backward", "global buffer", "gradient word", tuple(7 * n for n in each), "global buffer")
    yield Count(name, "backward", "scratchpads", "gradient word", each, "scratchpads")
