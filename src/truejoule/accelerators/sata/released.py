"""The inference model of SATA_Sim as released (September 2023), slips included (docs/sata.md lists them).

Source of every formula: SATA_Sim, inference-energy-cal (energy-cal.py, comp-utils.py) on the result files of the folder icassp, as closed forms
that equal all 68 released layers. ``W = R S C`` products per output, ``e = ceil((H - R + stride)/stride)`` the size of an *unpadded* output map,
``P = e^2`` pixels, array of ``rows x columns``::

    output stationary    F = ceil(P/rows) ceil(K/columns) folds,  F (W + rows + columns - 2) - 1 cycles in every time step
    weight stationary    F_w = ceil(W/rows) ceil(K/columns) folds,  (F_w - 1)(P + 2 rows + columns - 2) + rows - 1 cycles, once
    unit                 (P_ungated + P_leak) PEs cycles tau + P_gated N_op tau
    memory               one pass over DRAM whatever T; 8-bit elements; leakage of one bank of each buffer

Operations are counted on *padded* maps. What their workloads do not contain is filled in as the formulas suggest and said in a warning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from truejoule.accelerators.mapping import Mapping
from truejoule.accelerators.sata.design import Released, Structure
from truejoule.accelerators.sata.parts import parts_of
from truejoule.components import logic
from truejoule.components.coefficient import Coefficient, charge, place
from truejoule.components.neuron_unit import Unit
from truejoule.components.sram import KB
from truejoule.cost import Cost, Entry, Floorplan, Ledger, Schedule, Slot
from truejoule.workload import Activity, Layer

LINEAR_ERROR = 9
"""A linear layer as a convolution with padding 1: a 1 x 1 map becomes (1 + 2 - 1)/1 + 1 = 3 on a side."""
PREFETCH_REMAINDER = 7
"""Outputs that their prefetcher writes too many, for maps of more than half an output buffer."""
MEMORY_WIDTH = 8
"""Bits of an element in the released tables."""

# fmt: off
DRAM_INPUTS: dict[tuple[int, int, int, int, int], int] = {
    # (KB of input buffer, C, K, H, stride) → elements read; cycle-stat.yaml of the released runs, 3x3 kernels (H = 1: linear)
    (32, 3, 64, 32, 1): 3072, (32, 64, 64, 32, 1): 649682, (32, 64, 128, 16, 1): 276832, (32, 128, 128, 8, 1): 8192,
    (32, 128, 256, 4, 1): 2048, (32, 256, 256, 4, 1): 4096, (32, 1024, 1024, 1, 1): 1024, (32, 1024, 512, 1, 1): 1024,
    (32, 3, 128, 32, 1): 3072, (32, 128, 256, 32, 1): 7501612, (32, 256, 512, 16, 1): 6799586,
    (32, 512, 1024, 8, 1): 7320866, (32, 1024, 512, 4, 1): 1058891, (32, 8192, 1024, 1, 1): 8192,
    (32, 128, 128, 32, 1): 3748404, (32, 128, 256, 32, 2): 4721068, (32, 256, 256, 16, 1): 3398786,
    (32, 256, 512, 16, 2): 6273799, (32, 512, 512, 8, 1): 3658466, (32, 8192, 256, 1, 1): 8192,
    (8, 3, 64, 32, 1): 3072, (8, 64, 64, 32, 1): 1814723, (8, 64, 128, 16, 1): 420734, (8, 128, 128, 8, 1): 225922,
    (8, 128, 256, 4, 1): 2048, (8, 256, 256, 4, 1): 135492, (8, 1024, 1024, 1, 1): 1024, (8, 1024, 512, 1, 1): 1024,
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Traffic:
    """Elements that one layer moves, and its operations per time step."""

    sram_inputs: int
    weights: int
    sram_outputs: int
    dram_inputs: int
    dram_outputs: int
    macs: int
    updates: int


def pixels(layer: Layer) -> int:
    """Output positions of the unpadded convolution."""
    if layer.op == "linear":
        return 1
    sides = layer.input_shape[1:]
    unused = 2 - len(sides)
    axes = zip(sides, layer.kernel[unused:], layer.stride[unused:], strict=True)
    return math.prod(max(math.ceil((side - kernel + stride) / stride), 1) for side, kernel, stride in axes)


def cycles(layer: Layer, s: Structure) -> tuple[int, int]:
    """Clock cycles of the array: in every time step (output stationary), and once (weight stationary)."""
    window, columns = layer.fan_in * layer.groups, math.ceil(layer.out_channels / s.columns)
    folds = math.ceil(pixels(layer) / s.rows) * columns
    weight_folds = math.ceil(window / s.rows) * columns
    once = (weight_folds - 1) * (pixels(layer) + 2 * s.rows + s.columns - 2) + s.rows - 1
    return folds * (window + s.rows + s.columns - 2) - 1, once


def in_tables(layer: Layer, s: Structure) -> bool:
    """Whether the released result files hold the DRAM reads of this layer."""
    return _key(layer, s) in DRAM_INPUTS and layer.kernel in ((1, 1), (3, 3)) and layer.groups == 1


def traffic(layer: Layer, s: Structure, linear_as_conv: bool = True) -> Traffic:
    """Elements moved and operations counted."""
    window, size = layer.fan_in * layer.groups, pixels(layer)
    columns = math.ceil(layer.out_channels / s.columns)
    folds = math.ceil(size / s.rows) * columns
    error = LINEAR_ERROR if layer.op == "linear" and linear_as_conv else 1
    reads = window * size * columns
    # Beyond their tables: once if half the buffer holds the map, else once per block of output channels.
    held = layer.inputs * MEMORY_WIDTH <= s.input_buffer / 2
    beyond = layer.inputs if held else min(layer.inputs * columns, reads)
    outputs = size * layer.out_channels
    remainder = PREFETCH_REMAINDER if outputs * MEMORY_WIDTH > s.output_buffer / 2 else 0
    return Traffic(
        reads,
        layer.weights,
        outputs + (s.rows + s.columns) * folds,
        DRAM_INPUTS[_key(layer, s)] if in_tables(layer, s) else beyond,
        outputs + remainder,
        layer.macs * error,
        layer.outputs * error,
    )


def released_cost(mapping: Mapping, activity: Activity, s: Structure, p: Released) -> Cost:
    """Energy of the layers with weights; their code reports no latency and no area, these are the cycles and areas it computes on the way."""
    layers = mapping.workload.multiplying
    parts, tau = parts_of(s, logic.SATA_NODE), 1.0 / s.clock
    entries: list[Entry] = []
    slots: list[Slot] = []
    now = 0.0
    for layer in layers:
        density = activity.layers[layer.name].density()
        moved = traffic(layer, s, p.linear_as_conv)
        each, once = cycles(layer, s)
        operations = [moved.macs * d for d in density]
        for name, unit, counts, count in (
            ("accumulate", parts.accumulate, operations, s.pes),
            ("scratchpads", parts.scratchpads, operations, s.pes),
            ("neuron unit", parts.neuron, [float(moved.updates)] * layer.steps, s.pes / s.neurons_per_lif),
        ):
            entries += _unit(layer, name, unit, counts, (each, once), count, tau)
        entries += _memory(layer, moved, s, p)
        entries += _leakage(layer, (each, once), p, tau)
        first = now + once * tau
        slots += [
            Slot(layer.name, t, first + t * each * tau, first + (t + 1) * each * tau, each * tau)
            for t in range(layer.steps)
        ]
        slots[-layer.steps] = Slot(layer.name, 0, now, first + each * tau, (once + each) * tau)
        now = slots[-1].end_s
    return Cost(
        Ledger(tuple(entries)),
        Schedule(tuple(slots), now, tau, layers[-1].name),
        _floorplan(s, parts.accumulate, parts.neuron, parts.scratchpads),
    )


def _unit(
    layer: Layer, name: str, unit: Unit, operations: Sequence[float], spent: tuple[int, int], count: float, tau: float
) -> list[Entry]:
    """E = (P_ungated + P_leak) PEs cycles tau + P_gated N_op tau, powers rounded to 1 nW as in their code."""
    clocked, leaking = _rounded(unit.ungated, tau), _rounded(unit.leakage, 1.0)
    each, once = (count * c for c in spent)
    entries = [
        charge(clocked, layer.name, name, "cycle clocked", (each,) * layer.steps),
        charge(clocked, layer.name, name, "cycle clocked", once),
        charge(leaking, layer.name, name, "leakage, unit x s", (each * tau,) * layer.steps),
        charge(leaking, layer.name, name, "leakage, unit x s", once * tau),
    ]
    if unit.gated is not None:
        entries.append(charge(_rounded(unit.gated, tau), layer.name, name, "operation", operations))
    return entries


def _rounded(energy: Coefficient, tau: float) -> Coefficient:
    """Their code rounds powers to 6 decimals of a milliwatt; ``tau`` is 1 for what is a power already."""
    nanowatt = energy.value * 1e9 * (1.0 if tau == 1.0 else logic.SATA_CLOCK_HZ)
    value = math.floor(round(nanowatt, 3) + 0.5) * 1e-9 * tau
    source = f"{energy.source.split('; band')[0]}; rounded to 6 decimals of a milliwatt as released"
    return Coefficient(energy.name, value, energy.unit, source, "derived", value, value, logic.SATA_NODE.node_m)


def _memory(layer: Layer, moved: Traffic, s: Structure, p: Released) -> list[Entry]:
    inputs = layer.steps if p.packed_time else s.input_bits
    w, o = s.weight_bits, s.output_bits
    outputs = float(moved.sram_outputs * o)
    return [
        *_weights(layer, "dram", "weight bit read", p.dram_access, moved.weights * w, s),
        charge(p.dram_access, layer.name, "dram", "input bit read", float(moved.dram_inputs * inputs)),
        charge(p.dram_access, layer.name, "dram", "output bit written", float(moved.dram_outputs * o)),
        *_weights(layer, "weight buffer", "bit read", p.weight_read, moved.weights * w, s),
        charge(p.input_read, layer.name, "input buffer", "bit read", float(moved.sram_inputs * inputs)),
        charge(
            p.output_write,
            layer.name,
            "output buffer",
            "bit written",
            (outputs,) * layer.steps if p.packed_time else outputs,
        ),
    ]


def _weights(layer: Layer, component: str, action: str, price: Coefficient, bits: int, s: Structure) -> list[Entry]:
    """Once for all time steps (their dataflow ``sata``), or in every one (``os``)."""
    counts = (float(bits),) * layer.steps if s.dataflow == "output_stationary" else float(bits)
    return [charge(price, layer.name, component, action, counts)]


def _leakage(layer: Layer, spent: tuple[int, int], p: Released, tau: float) -> list[Entry]:
    entries = []
    for component, power in (
        ("weight buffer", p.weight_leakage),
        ("input buffer", p.input_leakage),
        ("output buffer", p.output_leakage),
    ):
        action = "leakage, one bank x s"
        entries.append(charge(power, layer.name, component, action, (spent[0] * tau,) * layer.steps))
        entries.append(charge(power, layer.name, component, action, spent[1] * tau))
    return entries


def _floorplan(s: Structure, *units: Unit) -> Floorplan:
    names = ("accumulate", "neuron unit", "scratchpads")
    counts = (s.pes, s.pes / s.neurons_per_lif, s.pes)
    return Floorplan(tuple(place(u.area, n, c) for u, n, c in zip(units, names, counts, strict=True)))


def _key(layer: Layer, s: Structure) -> tuple[int, int, int, int, int]:
    side = layer.input_shape[1] if layer.op == "conv" else 1
    return round(s.input_buffer / KB), layer.in_channels, layer.out_channels, side, layer.stride[0]
