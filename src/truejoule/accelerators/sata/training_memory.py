"""What a training step moves over the edge of the chip, in bits per sample.

Forward, the inputs of every layer with weights are kept for the weight update, and what every neuron layer needs for its own gradient: the
potential of each step (``membrane_bits``), or one bit of mask for a ReLU. They go to DRAM, unless inference has sent that map there already.

Backward, layers follow each other in reverse, each with all its time steps. The gradient at a layer's outputs (16 bits per output and step) stays
on chip if half the output buffer and half the input buffer hold it, else it is written to DRAM, and read from there for the backward pass and
for the weight update. The gradient of the loss comes from outside. Of these orders the one with the fewest bits is taken::

    gradients on chip      weights once per m samples, as many as half a buffer holds gradients of (at most training_batch)
    weights outermost      weights once per training_batch samples, gradients ceil(weights / half the weight buffer) times
    gradients outermost    weights ceil(gradients / half the input buffer) times, gradients once

In the weight update, gradients take the weight buffer's place: they are fetched once and the stored inputs ceil(gradients / half the weight buffer)
times, or the other way round. Weights are read and written once per batch. The weight gradients of the samples of a batch are added up in half the
weight buffer if it holds those of the whole network, else in DRAM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from truejoule.accelerators.sata.dataflow import Demand, Loops, input_bits, weight_bits
from truejoule.accelerators.sata.design import Structure
from truejoule.accelerators.sata.memory import Moves
from truejoule.accelerators.sata.training import untrained
from truejoule.accelerators.sata.training_loops import GRADIENT_BITS
from truejoule.workload import Layer, Workload


@dataclass(frozen=True, slots=True)
class TrainingMoves:
    """Bits that the backward pass and the weight update of one layer move.

    Attributes
    ----------
    weights : read from DRAM for the backward pass.
    written, read, read_again : gradients at the outputs, to DRAM, from there for the backward pass, from there for the weight update.
    handed, handed_again : the same gradients from the output buffer, where they stay on chip.
    inputs : stored inputs read from DRAM for the weight update.
    """

    weights: float
    written: float
    read: float
    read_again: float
    handed: float
    handed_again: float
    inputs: float

    @property
    def backward(self) -> float:
        """Bits over the edge in the backward pass."""
        return self.weights + self.written + self.read

    @property
    def update(self) -> float:
        """Bits over the edge in the weight update, without the weights."""
        return self.read_again + self.inputs


@dataclass(frozen=True, slots=True)
class Pass:
    """A phase of one layer: its loops and what they ask of the array."""

    nest: Loops
    needs: Demand

    def rounds(self, s: Structure) -> int:
        """Times that the operand in the weight buffer is fetched, because half of it does not keep a block from tile to tile (see ``memory``)."""
        block = self.nest.window * min(self.nest.channels, s.columns) * self.nest.weight_bits
        return self.needs.tiles if block > 0.5 * s.weight_buffer else 1


def training_moves(layer: Layer, s: Structure, back: Pass | None, update: Pass, *, last: bool) -> TrainingMoves:
    """The moves of one layer with weights; ``back`` is ``None`` if nothing needs the gradient of its inputs, ``last`` if its gradient is the loss's."""
    half_weights, half_inputs, half_outputs = (0.5 * b for b in (s.weight_buffer, s.input_buffer, s.output_buffer))
    g = float(layer.outputs * layer.steps * GRADIENT_BITS)
    w = float(layer.weights * weight_bits(layer, s)) if back is not None else 0.0
    x = float(stored_inputs(layer, s))
    again, renewed = (p.rounds(s) if p is not None else 1 for p in (back, update))
    batch = s.training_batch if again == 1 else 1

    # Of the weight update: how often the gradients, how often the stored inputs.
    orders = ((renewed, math.ceil(g / half_weights)), (max(renewed, math.ceil(x / half_inputs)), 1))
    options = []
    fitting = 0 if last else int(min(half_outputs, half_inputs) // g)
    if fitting:
        times, input_times = min(orders, key=lambda o: o[1])
        handed = g if back is not None else 0.0
        weights = w * again / min(fitting, batch)
        options.append(TrainingMoves(weights, 0.0, 0.0, 0.0, handed, times * g, input_times * x))
    times, input_times = min(orders, key=lambda o: o[0] * g + o[1] * x)
    by_weights, by_gradients = math.ceil(w / half_weights), math.ceil(g / half_inputs)
    for weights, reads in ((w * again / batch, by_weights), (w * max(again, by_gradients), 1)):
        read = reads * g if back is not None else 0.0
        options.append(TrainingMoves(weights, 0.0 if last else g, read, times * g, 0.0, 0.0, input_times * x))
    return min(options, key=lambda m: m.backward + m.update)


def kept_bits(layer: Layer, s: Structure) -> int:
    """Bits per output and step that the gradient of an activation needs from the forward pass."""
    return s.membrane_bits if layer.op == "neuron" else 1


def trained_activation(layer: Layer, workload: Workload) -> bool:
    """Whether a layer is a neuron, ReLU or sign through which a gradient has to pass."""
    return layer.op in ("neuron", "relu", "sign") and layer.name not in untrained(workload)


def stored_inputs(layer: Layer, s: Structure) -> int:
    """Bits of the inputs of all time steps; what stands still is there once."""
    return layer.inputs * input_bits(layer, s) * (1 if layer.standing else layer.steps)


def stores(workload: Workload, s: Structure, moved: Mapping[str, Moves]) -> dict[str, int]:
    """Bits that the forward pass writes to DRAM for the backward pass beyond what an inference does, by layer, all time steps.

    A map that several layers read is written once; the image is there already.
    """
    there: set[tuple[str, ...]] = set()
    for layer in workload.multiplying:
        maps = moved[layer.name].maps
        if _image(layer, workload) or maps.once or maps.step:
            there.add(workload.sources(layer.name))
    found = {}
    for layer in workload.layers:
        made_by = workload.sources(layer.name)
        if layer.multiplies and made_by not in there:
            found[layer.name] = stored_inputs(layer, s)
            there.add(made_by)
        elif trained_activation(layer, workload):
            found[layer.name] = layer.outputs * layer.steps * kept_bits(layer, s)
    return found


def gradients_kept(workload: Workload, s: Structure) -> bool:
    """Whether half the weight buffer holds the running weight gradients of the whole network."""
    return workload.weights * GRADIENT_BITS <= 0.5 * s.weight_buffer


def _image(layer: Layer, workload: Workload) -> bool:
    return workload.sources(layer.name) in ((), ("input",))
