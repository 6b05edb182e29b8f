"""Training on SATA: the words that all accounts of a training step (BPTT, one sample) share. Pure numbers, no torch.

``training_cost``      the machine itself: its parts, memories and node, so that training can be held against inference.
``training_released``  the released training model of 2022 with its own unit energies and slips (preset ``sata-2022-training``).

Ledger convention: the layer is the layer, the component is the phase and the unit (``"backward dram"``), so that phases add up with ``by_phase``
and never mix with components of an inference.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from truejoule.cost import Ledger
from truejoule.workload import Activity, Layer, LayerActivity, TrainingSparsity, Workload
from truejoule.workload.training import Share

Phase = Literal["forward", "backward", "weight update"]
PHASES: tuple[Phase, ...] = get_args(Phase)
MEMORIES = ("dram", "global buffer", "weight buffer", "input buffer", "output buffer", "membrane memory", "scratchpads")
"""Units of a phase that store; all others compute."""

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


def training_activity(workload: Workload, sparsity: TrainingSparsity) -> Activity:
    """What flows through the layers with weights in the forward pass, as of one sample, for the cost of an inference.

    A non-zero input of several bits has as many ones as in the workload's activity, or in half of its bits if there is none. Windows are taken as
    independent draws, as in ``workload.profiles``.
    """
    known = untrained(workload)
    layers = {}
    for layer in workload.multiplying:
        shares = sparsity.density("spike", layer.name, layer.steps, whole=layer.name not in known)
        ones, patches = _ones(workload, layer), layer.positions if layer.op == "conv" else 0
        layers[layer.name] = LayerActivity(
            samples=1,
            inputs=layer.inputs,
            outputs=layer.outputs,
            patches=patches,
            nonzero_inputs=tuple(layer.inputs * d for d in shares),
            input_ones=tuple(layer.inputs * d * ones for d in shares),
            active_patches=tuple(patches * (1 - (1 - d) ** layer.fan_in) for d in shares),
            nonzero_outputs=(float(layer.outputs),) * layer.steps,
        )
    return Activity(layers, f"training step: {sparsity.origin}")


def summed_over_time(workload: Workload, machine_s: Workload, sparsity: TrainingSparsity) -> TrainingSparsity:
    """Sparsity for a machine that computes standing layers once, as ``machine_s`` has them with one step.

    Their inputs are those of the first step. The gradient at their outputs is the sum over all steps: zero where it is zero in every step, taken as
    independent.
    """
    once = {a.name for a, b in zip(workload.layers, machine_s.layers, strict=True) if a.steps != b.steps}
    if not once:
        return sparsity
    first, last = untrained(workload), outermost(workload)

    def zeros(kind: str, layer: Layer, whole: bool) -> tuple[float, ...]:
        found = tuple(1.0 - d for d in sparsity.density(kind, layer.name, layer.steps, whole=whole))
        if layer.name not in once:
            return found
        return found[:1] if kind == "spike" else (math.prod(found),)

    spike = {x.name: zeros("spike", x, x.name not in first) for x in workload.multiplying}
    gradient = {x.name: zeros("membrane_gradient", x, x.name not in last) for x in workload.multiplying}
    return TrainingSparsity(spike, gradient, sparsity.surrogate, sparsity.origin)


def untrained(workload: Workload) -> frozenset[str]:
    """Layers whose inputs depend on no weight: nothing needs the gradient of their inputs."""
    known, found = {"input"}, set()
    for layer in workload.layers:
        if all(source in known for source in workload.sources(layer.name)):
            found.add(layer.name)
            if not layer.multiplies:
                known.add(layer.name)
    return frozenset(found)


def outermost(workload: Workload) -> frozenset[str]:
    """Layers with weights behind which nothing comes: their gradient is that of the loss."""
    inside = {edge.source for edge in workload.edges}
    return frozenset(layer.name for layer in workload.multiplying if layer.name not in inside)


def not_modelled(workload: Workload) -> tuple[str, ...]:
    """Layers whose backward pass costs nothing here, though it does: norms, pooling, residual additions, what runs on the host."""
    free = ("neuron", "relu", "sign")
    return tuple(layer.name for layer in workload.layers if not layer.multiplies and layer.op not in free)


def by_phase(ledger: Ledger) -> dict[Phase, dict[str, float]]:
    """Joules of each phase: ``{"forward": {"compute": ..., "memory": ...}, ...}``."""
    found: dict[Phase, dict[str, float]] = {}
    for phase in PHASES:
        units = {c.removeprefix(f"{phase} "): e for c, e in ledger.by("component").items() if c.startswith(f"{phase} ")}
        memory = math.fsum(e for unit, e in units.items() if unit in MEMORIES)
        found[phase] = {"compute": math.fsum(e for u, e in units.items() if u not in MEMORIES), "memory": memory}
    return found


def _ones(workload: Workload, layer: Layer) -> float:
    """Ones in the code of a non-zero input."""
    seen = workload.activity.layers.get(layer.name) if workload.activity is not None else None
    if seen is not None and sum(seen.nonzero_inputs):
        return math.fsum(seen.input_ones) / math.fsum(seen.nonzero_inputs)
    if layer.input_bits > 1:
        return 0.5 * layer.input_bits
    return 0.5 if layer.inputs_signed else 1.0
