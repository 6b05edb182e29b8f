"""When each layer and time step runs on SpikeFlow: a pipeline over layers and time steps."""

from __future__ import annotations

import math

from truejoule.accelerators.mapping import Mapping
from truejoule.accelerators.spikeflow.design import Structure
from truejoule.accelerators.spikeflow.mapping import input_bits
from truejoule.accelerators.time_loop import first_steps
from truejoule.cost import Schedule, Slot
from truejoule.numerics.schemes import count_planes
from truejoule.workload import Layer, Workload


def pipeline(mapping: Mapping, structure: Structure) -> Schedule:
    """Every layer has its own crossbars, so layers work at the same time on different rows of a map and on different time steps.

    A layer with weights reads its PEs once per output position and input bit plane, 64 columns in one PE cycle. It starts when the first
    window of its input is there, and its last window is read only after the last input has come. What lies between two such layers passes
    on without delay; values on the mesh take as long as the narrowest link needs. Layers outside the time loop run in its first or in its last
    step (``first_steps``). A state that neurons at several places share passes from place to place like an input, and then to the next step.
    """
    workload, first_of = mapping.workload, first_steps(mapping.workload)
    last_of = {layer.name: first_of[layer.name] + layer.steps - 1 for layer in workload.layers}
    slots: dict[tuple[str, int], Slot] = {}
    handed = _handed_on(workload)
    for step in range(max(last_of.values()) + 1):
        for layer in workload.layers:
            if not first_of[layer.name] <= step <= last_of[layer.name]:
                continue
            busy = _busy(layer, mapping, structure)
            made = [(s, min(step, last_of[s])) for s in workload.sources(layer.name) if s != "input"]
            if layer.name in handed:
                owner, steps_ago = handed[layer.name]
                made.append((owner, step - steps_ago))
            before = [slots[of] for of in made if of in slots]
            first = max((b.start_s + _first_window(layer) * (b.end_s - b.start_s) for b in before), default=0.0)
            start = max(first, slots[layer.name, step - 1].end_s if step > first_of[layer.name] else 0.0)
            last = max((b.end_s for b in before), default=0.0)
            end = max(start + busy, last + busy * _last_window(layer)) if layer.multiplies else max(start, last)
            slots[layer.name, step] = Slot(layer.name, step, start, end, min(busy, end - start))
    interval = max(sum(x.busy_s for x in slots.values() if x.layer == layer.name) for layer in workload.multiplying)
    return Schedule(tuple(slots.values()), interval, 1.0 / structure.clock, workload.multiplying[-1].name)


def _handed_on(workload: Workload) -> dict[str, tuple[str, int]]:
    """Neuron layer that shares its state → who has had it just before, and how many time steps ago."""
    places: dict[str, list[str]] = {}
    for layer in workload.layers:
        if layer.state_of:
            places.setdefault(layer.state_of, [layer.state_of]).append(layer.name)
    return {
        name: (names[k - 1], 1 if k == 0 else 0) for names in places.values() for k, name in enumerate(names)
    }


def planes_of(layer: Layer, structure: Structure) -> int:
    """Bit planes in which the inputs of a layer are applied."""
    return count_planes(input_bits(layer, structure), layer.inputs_signed, layer.inputs_full_range)


def _busy(layer: Layer, mapping: Mapping, structure: Structure) -> float:
    """Seconds of work per time step: reads, or the transfer of its inputs where that takes longer."""
    if not layer.multiplies:
        return 0.0
    reading = layer.positions * planes_of(layer, structure) * structure.pe_cycle_s
    arriving = (
        sum(math.ceil(t.elements * t.bits / structure.link_bits) for t in mapping.transfers if t.target == layer.name)
        / structure.clock
    )
    return max(reading, arriving)


def _first_window(layer: Layer) -> float:
    """Share of the input that the first output window needs."""
    if layer.op == "linear":
        return 1.0
    if layer.op == "conv" or layer.op.endswith("pool"):
        width = layer.input_shape[-1]
        whole = layer.input_shape[-2] * width if len(layer.input_shape) > 2 else width
        rows = min(
            (layer.kernel[0] - 1) * layer.dilation[0] - layer.padding[0],
            layer.input_shape[-2] - 1 if len(layer.input_shape) > 2 else 0,
        )
        columns = (layer.kernel[1] - 1) * layer.dilation[1] + 1 - layer.padding[1]
        return min(max(max(rows, 0) * width + columns, 1) / whole, 1.0)
    return 1.0 / max(math.prod(layer.input_shape[1:]), 1)


def _last_window(layer: Layer) -> float:
    """Share of a layer's work that is left when its last input arrives: its last window."""
    return 1.0 / layer.positions
