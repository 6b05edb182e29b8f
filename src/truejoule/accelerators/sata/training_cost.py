"""Energy and time of one training step of one sample on the machine itself: forward, backward, weight update.

Same parts, memories, node and bands as its inference, with clocks that run without work, leakage and DRAM. The forward pass *is* an inference
(``corrected_cost``) that also writes down what the backward pass needs. Backward pass and weight update go through the array by the formulas of
inference (``training_loops``), layer by layer in reverse, all time steps of a layer together; each phase of a layer takes the slower of array and
DRAM. A layer that inference computes once (``standing_input``) gets one gradient, the sum over the time steps. Gradient units work on what leaves
the array and hide behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from truejoule.accelerators.sata.cost import corrected_cost
from truejoule.accelerators.sata.dataflow import demand, valid_products, weight_bits
from truejoule.accelerators.sata.design import Structure
from truejoule.accelerators.sata.mapping import check_buffers, memory_prices, place_layers
from truejoule.accelerators.sata.training import outermost, summed_over_time, training_activity, untrained
from truejoule.accelerators.sata.training_forward import forward_stores
from truejoule.accelerators.sata.training_loops import GRADIENT_BITS, backward_loops, multiplied, update_loops
from truejoule.accelerators.sata.training_memory import Pass, gradients_kept, trained_activation, training_moves
from truejoule.accelerators.sata.training_parts import training_parts, training_structure
from truejoule.accelerators.sata.training_phases import (
    Machine,
    array,
    backward_buffers,
    crossing,
    gradients,
    standing,
    summed,
    update_buffers,
    weight_steps,
)
from truejoule.components import dram
from truejoule.cost import Entry, Ledger, TrainingCost
from truejoule.workload import Layer, TrainingSparsity, Workload
from truejoule.workload.standing import computed_once, fitted, held

NOTE = (
    "A training step of one sample on this machine. Its forward pass is the inference account plus what is stored for the backward pass; parts, "
    "memories and node are the same, so training energy may be divided by inference energy. Not modelled: the backward passes of norms, pooling "
    "and residual additions, biases, the loss, optimiser state (plain SGD), a master copy of the weights wider than the machine's, recurrent "
    "connections, and the area of the training hardware."
)
"""What a reader must know."""


def training_cost(workload: Workload, sparsity: TrainingSparsity, s: Structure) -> TrainingCost:
    """Price one training step of one sample.

    Parameters
    ----------
    workload : spiking, or an ANN (no neuron layer). Of its activity only the ones per input of several bits are used.
    sparsity : zeros of the inputs, of the gradients at the outputs, and of the surrogate derivatives.

    Raises
    ------
    InputError : see ``place_layers``; also for a layer without a sparsity.
    """
    trained, given = training_structure(s), workload
    if s.standing_input == "once":
        workload = computed_once(given)
    activity, _ = fitted(workload, training_activity(given, sparsity), {})
    sparsity = summed_over_time(given, workload, sparsity)
    mapping = place_layers(workload, s)
    check_buffers(trained, workload.name)
    inference = corrected_cost(mapping, activity, {}, s)
    entries = [replace(e, component=f"forward {e.component}") for e in inference.ledger]
    stored, waiting = forward_stores(workload, activity, s)
    entries += stored

    machine = Machine(trained, training_parts(s), memory_prices(s), dram.access_energy(s.dram))
    seconds = inference.latency_s + waiting
    for layer, activations in _with_activations(workload):
        for found, spent in (
            _backward(machine, workload, layer, activations, sparsity),
            _update(machine, workload, layer, sparsity),
        ):
            entries += found
            seconds += spent
    return TrainingCost(Ledger(tuple(entries)).settled(workload.time_steps), NOTE, seconds)


def backward_pass(workload: Workload, layer: Layer, s: Structure) -> Pass | None:
    """The gradient of the inputs; ``None`` if they depend on no weight."""
    if layer.name in untrained(workload):
        return None
    nest = backward_loops(layer, s)
    return Pass(nest, demand(nest, s, GRADIENT_BITS))


def update_pass(layer: Layer, s: Structure) -> Pass:
    """The gradient of the weights."""
    nest = update_loops(layer, s)
    return Pass(nest, demand(nest, s, GRADIENT_BITS))


def _backward(
    m: Machine, workload: Workload, layer: Layer, activations: Sequence[Layer], sparsity: TrainingSparsity
) -> tuple[list[Entry], float]:
    """Gradients of the activations behind the layer, and of its inputs."""
    last = layer.name in outermost(workload)
    back = backward_pass(workload, layer, m.s)
    trips = training_moves(layer, m.s, back, update_pass(layer, m.s), last=last)
    rows = {"weight bit read": trips.weights, "gradient bit written": trips.written, "gradient bit read": trips.read}
    entries = crossing(m, layer, "backward", rows) + backward_buffers(m, layer, back, trips)
    bits, cycles = trips.backward, 0.0
    for activation in activations:
        alive = sparsity.density("surrogate", activation.name, activation.steps) if activation.op == "neuron" else ()
        found, more = gradients(m, activation, alive)
        entries += found
        bits += more
    if layer.name in {kept.name for kept in held(workload)}:
        found, more = summed(m, layer, workload.time_steps)
        entries += found
        bits += more
    if back is not None:
        dense = valid_products(layer)
        shares = sparsity.density("membrane_gradient", layer.name, layer.steps, whole=not last)
        operations = tuple(dense * share for share in shares)
        entries += array(m, layer, "backward", m.unit(True), back, operations)
        cycles = back.needs.cycles.total(layer.steps)
    seconds = _slower(m, cycles, bits)
    membranes = any(e.component == "backward membrane memory" for e in entries)
    return entries + standing(m, layer, "backward", seconds, membranes), seconds


def _update(m: Machine, workload: Workload, layer: Layer, sparsity: TrainingSparsity) -> tuple[list[Entry], float]:
    """Gradients of the weights, their sum over a batch, and the new weights."""
    last, first = layer.name in outermost(workload), layer.name in untrained(workload)
    work = update_pass(layer, m.s)
    trips = training_moves(layer, m.s, backward_pass(workload, layer, m.s), work, last=last)
    batch = m.s.training_batch
    new = layer.weights * weight_bits(layer, m.s) / batch
    running = layer.weights * GRADIENT_BITS * (batch - 1) / batch
    on_chip = gradients_kept(workload, m.s)
    rows = {
        "gradient bit read": trips.read_again,
        "stored input bit read": trips.inputs,
        "weight bit read": new,
        "weight bit written": new,
        "running gradient bit read and written": 0.0 if on_chip else 2 * running,
    }
    dense = valid_products(layer)
    operations = tuple(dense * d for d in sparsity.density("spike", layer.name, layer.steps, whole=not first))
    seconds = _slower(m, work.needs.cycles.total(1), sum(rows.values()))
    return [
        *array(m, layer, "weight update", m.unit(multiplied(layer, m.s)), work, operations),
        *update_buffers(m, layer, work.needs, trips, new, running if on_chip else 0.0),
        *crossing(m, layer, "weight update", rows),
        *weight_steps(m, layer),
        *standing(m, layer, "weight update", seconds, False),
    ], seconds


def _slower(m: Machine, cycles: float, bits: float) -> float:
    """Seconds of array or DRAM, whichever takes longer."""
    return max(cycles, bits / m.s.dram_bits_per_cycle) / m.s.clock


def _with_activations(workload: Workload) -> list[tuple[Layer, list[Layer]]]:
    """Every layer with weights, and the activations during which its gradient is made: those up to the next layer with weights."""
    behind: dict[str, list[Layer]] = {layer.name: [] for layer in workload.multiplying}
    current = workload.multiplying[0].name
    for layer in workload.layers:
        current = layer.name if layer.multiplies else current
        if trained_activation(layer, workload):
            behind[current].append(layer)
    return [(layer, behind[layer.name]) for layer in workload.multiplying]
