"""What SpikeFlow costs when everything it does is counted once, where it happens (the corrected account)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from truejoule.accelerators.mapping import Mapping as Placed
from truejoule.accelerators.mapping import Transfer
from truejoule.accelerators.spikeflow.area import corrected_floorplan, logic_area, memory_bits, tile_area
from truejoule.accelerators.spikeflow.design import Prices, Structure
from truejoule.accelerators.spikeflow.mapping import blocks, input_bits, outputs_per_crossbar, pes_of, repeats, slices
from truejoule.accelerators.spikeflow.timing import pipeline, planes_of
from truejoule.components import adc, interconnect, logic, neuron_unit, sram
from truejoule.components.coefficient import Coefficient, charge
from truejoule.components.technology import Node
from truejoule.cost import Cost, Entry, Ledger, Schedule
from truejoule.workload import Activity, Layer, LayerActivity, Work
from truejoule.workload.standing import held

Counts = tuple[float, ...]

MEAN_CODE = 0.25
"""Mean cell code over the largest, for workloads without weights: assumed; Gaussian 4-bit weights give 0.07 to 0.45, by encoding and width."""
NEGATIVE_SHARE = 0.5
"""Share of negative weights, for workloads without weights: assumed from symmetry."""


def corrected_cost(mapping: Placed, activity: Activity, work: Work, structure: Structure, prices: Prices) -> Cost:
    """Energy, latency and area of one inference.

    Parameters
    ----------
    work : ``driven_conductance`` (siemens), ``driven_rows`` and ``sign_counts`` per layer and step from the deployed network.
    """
    schedule = pipeline(mapping, structure)
    floorplan = corrected_floorplan(mapping, structure, prices)
    node = Node(structure.node * 1e9, structure.supply)
    entries: list[Entry] = []
    for layer in mapping.workload.layers:
        if layer.multiplies:
            entries += _array_layer(
                layer, activity.layers[layer.name], work.get(layer.name, {}), structure, prices, node
            )
        else:
            entries += _digital_layer(layer, structure, prices, node)
    length = interconnect.hop_length(tile_area(structure, prices).value)
    for transfer in mapping.transfers:
        entries += _transfer(transfer, mapping, activity, structure, node, length)
    for layer in held(mapping.workload):
        entries += _held(layer, mapping.workload.time_steps, structure, node)
    entries += _standing(mapping, schedule, structure, prices)
    floor = _floor(mapping, structure, prices)
    return Cost(Ledger(tuple(entries)).settled(mapping.workload.time_steps), schedule, floorplan, floor)


def _floor(mapping: Placed, s: Structure, p: Prices) -> float:
    """What no accounting can go below: one conversion per output of a layer with weights, one update per neuron, at the low ends."""
    conversion = adc.scaled_by_bits(p.adc_conversion, 4, max(s.adc_bits or 8, 4)).low
    per_output = {"conv": 0.0 if s.event_driven else conversion, "linear": conversion, "neuron": p.neuron_update.low}
    return sum(per_output.get(layer.op, 0.0) * layer.outputs * layer.steps for layer in mapping.workload.layers)


def _array_layer(
    layer: Layer, activity: LayerActivity, work: Mapping[str, Counts], s: Structure, p: Prices, node: Node
) -> list[Entry]:
    """Everything that happens in the tiles of one layer with weights."""
    name, steps = layer.name, activity.steps
    rows, _ = blocks(layer, s)
    columns, width = repeats(layer, outputs_per_crossbar(layer, s)), slices(layer, s)
    mid_rise = layer.weight_levels in ("binary", "mid_rise")
    planes = planes_of(layer, s)
    pes = math.ceil(rows / s.crossbars_per_pe)
    # Reads of all crossbars of the layer, per step: one per window and bit plane, unless silent windows are skipped.
    windows = activity.patch_density() if s.event_driven and layer.op == "conv" else (1.0,) * steps
    reads = tuple(layer.positions * planes * share for share in windows)
    ones = _driven_rows(layer, activity, work)
    signs = _signs(layer, ones, work)
    converters = rows if s.adc_scope == "crossbar" else pes
    conversions = tuple(r * converters * layer.out_channels * width for r in reads)
    words = tuple(layer.outputs * pes * share for share in windows)
    conversion = adc.scaled_by_bits(p.adc_conversion, 4, max(s.adc_bits or 8, 4))
    add = logic.add(s.partial_sum_bits, node)
    entries = [
        _crossbars(name, ones, columns, work, s),
        charge(_row_switch(s, node), name, "row driver", "row switched", tuple(n * columns for n in ones)),
        charge(conversion, name, "adc", "conversion", conversions),
        charge(p.mux_switch, name, "column mux", "column switched", conversions),
        charge(add, name, "shift-add", "partial sum added", conversions),
        charge(
            p.input_buffer_access,
            name,
            "tile buffer",
            "input bit read",
            tuple(r * layer.fan_in * layer.groups * columns for r in reads),
        ),
        charge(
            p.input_buffer_access,
            name,
            "tile buffer",
            "input bit written",
            (float(layer.inputs * input_bits(layer, s)),) * steps,
        ),
        charge(p.htree_word, name, "h-tree", "partial sum moved", words),
        charge(add, name, "accumulator", "partial sum added", words),
        charge(p.temporary_word, name, "temporary buffer", "word written and read", words),
    ]
    counter = logic.add(max(math.ceil(math.log2(layer.fan_in * layer.groups + 1)), 2), node)
    if s.adc_bits is not None and s.encoding != "differential":
        entries.append(charge(counter, name, "diff", "input counted for the R_off floor", ones))
    masked = s.encoding == "aware_offset" or (s.encoding == "twos_complement" and s.cell_bits > 1)
    if masked and not mid_rise:
        entries.append(charge(counter, name, "diff", "input on a negative weight counted", signs))
    if s.encoding != "twos_complement" or s.cell_bits > 1 or mid_rise:
        entries.append(
            charge(add, name, "diff", "correction subtracted", tuple(layer.outputs * share for share in windows))
        )
    return entries


def _held(layer: Layer, steps: int, s: Structure, node: Node) -> list[Entry]:
    """Sums of a layer outside the time loop: written once, read in every time step, in a memory beside the membranes."""
    capacity = max(float(layer.outputs * s.partial_sum_bits), sram.SMALLEST_BITS)
    bits = float(layer.outputs * s.partial_sum_bits)
    read, write = (of(capacity, min(64, capacity), node) for of in (sram.read_energy, sram.write_energy))
    return [
        charge(write, layer.name, "membrane memory", "kept sum, bit written", bits),
        charge(read, layer.name, "membrane memory", "kept sum, bit read", (bits,) * steps),
    ]


def _driven_rows(layer: Layer, activity: LayerActivity, work: Mapping[str, Counts]) -> Counts:
    """Rows switched on per step: measured, or the mean number of ones under a window."""
    if "driven_rows" in work:
        return work["driven_rows"]
    per_element = tuple(n / (activity.samples * activity.inputs) for n in activity.input_ones)
    return tuple(layer.positions * layer.fan_in * layer.groups * d for d in per_element)


def _signs(layer: Layer, ones: Counts, work: Mapping[str, Counts]) -> Counts:
    """Inputs on negative weights: measured (none where no weight is negative), or from the share of negative weights."""
    if "driven_rows" in work:
        return work.get("sign_counts", (0.0,) * len(ones))
    return tuple(n * layer.out_channels // layer.groups * NEGATIVE_SHARE for n in ones)


def _crossbars(name: str, ones: Counts, columns: int, work: Mapping[str, Counts], s: Structure) -> Entry:
    """Energy of the arrays: driven conductance times V^2 times the time for which the rows are on.

    Without weights every driven row is taken to see a full row of cells of mean code, wires neglected.
    """
    joule = s.v_read**2 * s.read_time_s
    source = f"({s.v_read:g} V)^2 x {s.read_time_s * 1e9:.3g} ns that the rows are on; low end: on for a third of it"
    price = Coefficient("driven conductance", joule, "J/S", source, "derived", joule / 3, joule, s.node)
    if "driven_conductance" in work:
        measured = price.scaled(1.0, "static power V^T Y V of the programmed arrays with their wires, measured")
        return charge(measured, name, "crossbar", "driven conductance, S", work["driven_conductance"])
    cell = s.g_off_siemens + MEAN_CODE * (s.g_on_siemens - s.g_off_siemens)
    guess = replace(price, kind="assumed", source=f"{source}; mean cell code {MEAN_CODE:g} of the largest assumed")
    counts = tuple(n * columns * s.crossbar_size * cell for n in ones)
    return charge(guess, name, "crossbar", "driven conductance, S", counts)


def _row_switch(s: Structure, node: Node) -> Coefficient:
    """Charging one word line to the digital supply through its switch."""
    pitch = 12 * s.node  # 12F per cell along the word line, as in area_cell
    wire = interconnect.wire_energy_from_voltage(s.supply, 1.0)
    return wire.scaled(
        2 * pitch * s.crossbar_size,
        f"C V^2 of a word line of {s.crossbar_size} cells of 12F",
        name="row switched",
        unit="J",
    )


def _digital_layer(layer: Layer, s: Structure, p: Prices, node: Node) -> list[Entry]:
    """Norm, neurons, activations, pooling and residual adds, in the digital units of the tile that makes their input."""
    counts = (float(layer.outputs),) * layer.steps
    wide = s.partial_sum_bits
    if layer.op == "neuron":
        memory = neuron_unit.membrane_access(layer.states, node, membrane_bits=s.membrane_bits)
        return [
            charge(p.neuron_update, layer.name, "neuron unit", "update", counts),
            charge(memory, layer.name, "membrane memory", "potential read and written", counts),
            *(_current(layer, memory, wide, node) if layer.states > layer.outputs else []),
        ]
    if layer.op == "norm":
        scale = logic.multiply(wide, node).plus(logic.add(wide, node), "scale and offset")
        return [charge(scale, layer.name, "batch norm", "scale and offset", counts)]
    if layer.op in ("relu", "sign"):
        return [charge(logic.compare(wide, node), layer.name, "activation", "comparison", counts)]
    if layer.op == "add":
        return [charge(logic.add(wide, node), layer.name, "residual add", "addition", counts)]
    if layer.op in ("max_pool", "avg_pool"):
        window = max(math.prod(layer.kernel) - 1, 1)
        unit: Callable[..., Coefficient] = logic.compare if layer.op == "max_pool" else logic.add
        return [
            charge(
                unit(wide, node),
                layer.name,
                "pooling",
                "comparison" if layer.op == "max_pool" else "addition",
                tuple(c * window for c in counts),
            )
        ]
    return []


def _current(layer: Layer, memory: Coefficient, wide: int, node: Node) -> list[Entry]:
    """The second state of current-based neurons: one more word read and written, one more addition per update."""
    counts = (float(layer.outputs),) * layer.steps
    return [
        charge(logic.add(wide, node), layer.name, "neuron unit", "synaptic current updated", counts),
        charge(memory, layer.name, "membrane memory", "synaptic current read and written", counts),
    ]


def _transfer(
    transfer: Transfer, mapping: Placed, activity: Activity, s: Structure, node: Node, length: float
) -> list[Entry]:
    """Values on the mesh; spikes of a sparse layer are sent as addresses when that takes fewer bits and silence is skipped."""
    target = mapping.workload[transfer.target]
    dense = float(transfer.elements * transfer.bits)
    bits = (dense,) * target.steps
    if s.event_driven and transfer.bits == 1 and target.multiplies:
        address = math.ceil(math.log2(max(transfer.elements, 2)))
        seen = activity.layers[target.name]
        bits = tuple(min(dense, n / seen.samples * address) for n in seen.nonzero_inputs)
    wire = interconnect.wire_energy(node).scaled(
        length, f"x {length * 1e3:.3g} mm between tiles", name="link", unit="J/bit"
    )
    entries = [
        charge(wire, transfer.target, "noc", "bit x hop on a link", tuple(b * transfer.hops for b in bits)),
        charge(
            interconnect.router_energy(node),
            transfer.target,
            "noc",
            "bit x hop through a router",
            tuple(b * transfer.hops for b in bits),
        ),
    ]
    if transfer.source == "input":
        fetch = sram.read_energy(_input_bits_held(transfer), 64, node)
        entries.append(charge(fetch, transfer.target, "global buffer", "input bit fetched", bits))
    return entries


def _input_bits_held(transfer: Transfer) -> float:
    """Capacity of the memory that holds the network's input: as large as the input, at least the smallest SRAM of the tables."""
    return max(float(transfer.elements * transfer.bits), 8 * 20 * 1024.0)


def _standing(mapping: Placed, schedule: Schedule, s: Structure, p: Prices) -> list[Entry]:
    """Leakage for as long as the inference takes, and the power of PEs that hold weights and wait; unused PEs are switched off."""
    ends = _step_ends(schedule, mapping.workload.time_steps)
    spans = tuple(b - a for a, b in zip((0.0, *ends), ends, strict=False))
    pes = {layer.name: pes_of(layer, s) for layer in mapping.workload.multiplying}
    waiting = tuple(
        max(
            sum(pes.values()) * span
            - sum(x.busy_s * pes[x.layer] for x in schedule.slots if x.step == t and x.layer in pes),
            0.0,
        )
        for t, span in enumerate(spans)
    )
    conversion = adc.scaled_by_bits(p.adc_conversion, 4, max(s.adc_bits or 8, 4))
    full = (s.crossbars_per_pe if s.adc_scope == "crossbar" else 1) * s.crossbar_size * conversion.value / s.pe_cycle_s
    idle = p.idle_share.scaled(
        full, f"x {full * 1e3:.3g} mW, the conversion power of a busy PE", name="waiting PE", unit="W"
    )
    return [
        charge(
            p.leakage_sram, "chip", "leakage", "memory bit x s", tuple(memory_bits(mapping, s, p) * t for t in spans)
        ),
        charge(p.leakage_logic, "chip", "leakage", "logic m2 x s", tuple(logic_area(mapping, s, p) * t for t in spans)),
        charge(idle, "chip", "idle", "PE x s waiting", waiting),
    ]


def _step_ends(schedule: Schedule, steps: int) -> Counts:
    """When each time step has left the last layer."""
    ends = [max((x.end_s for x in schedule.slots if x.step <= t), default=0.0) for t in range(steps)]
    return tuple(ends)
