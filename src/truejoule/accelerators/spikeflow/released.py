"""The energy-latency-area formulas of SpikeSim as released, slips included (facts and slips: docs/spikeflow.md).

Source of every formula: SpikeSim repository, revision c2627bc, ela_spikesim.py. ``x`` is the crossbar size, ``k`` the kernel. What the released
code cannot do is filled in as its formulas suggest, and said here: kernels other than 3x3 use their own k; the latency list is not limited to
twelve layers; PE counts need not rise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from truejoule.accelerators.mapping import Mapping
from truejoule.accelerators.spikeflow.design import Prices, Structure
from truejoule.components.coefficient import Coefficient, charge, place
from truejoule.cost import Cost, Entry, Floorplan, Ledger, Schedule, Slot
from truejoule.workload import Layer, Workload

NEURON_WORD_BITS = 22
SUBTRACTORS_PER_ROW_OF_PES = 16
START_AFTER = 0.75
"""A layer starts when this share of the one before is done."""
MEMORY_LAYERS = 5
"""The released area counts the membrane memory of the first five layers only."""


def pe_cycle(k: int, structure: Structure, prices: Prices) -> list[tuple[str, str, float, Coefficient]]:
    """Parts of the energy of one PE cycle: (component, action, actions per cycle, energy of one).

    e_PE = k^2 e_xbar + (x/8)(e_adc + e_mux);  E_cycle = e_Htree + e_fetch + e_neuron + (x/8) e_PE + (x/8) 16 e_sub + (x/8) e_temp + e_tile
    """
    steps = structure.crossbar_size / 8
    return [
        ("crossbar", "crossbar read", steps * k * k, prices.crossbar_read),
        ("adc", "conversion", steps * steps, prices.adc_conversion),
        ("column mux", "column switched", steps * steps, prices.mux_switch),
        ("tile buffer", "whole buffer read", 1, prices.input_buffer_read),
        ("h-tree", "partial sum moved", 8 * 8, prices.htree_word),
        ("temporary buffer", "word written and read", 8 * steps, prices.temporary_word),
        ("diff", "subtraction", SUBTRACTORS_PER_ROW_OF_PES * steps, prices.difference),
        ("neuron unit", "update", 1, prices.neuron_update),
        ("global buffer", "fetch", 1, prices.fetch),
    ]


def released_cost(mapping: Mapping, structure: Structure, prices: Prices) -> Cost:
    """Energy, latency and area of the convolutions; the released code knows no FC layers, no sparsity, no leakage and no NoC."""
    layers = [layer for layer in mapping.workload.multiplying if layer.op == "conv"]
    steps = mapping.workload.time_steps
    entries: list[Entry] = []
    for layer in layers:
        cycles = _pes(layer, structure) * _pooled(layer, mapping.workload) ** 2
        for component, action, per_cycle, energy in pe_cycle(layer.kernel[0], structure, prices):
            entries.append(charge(energy, layer.name, component, action, (float(cycles * per_cycle),) * steps))
    return Cost(
        Ledger(tuple(entries)),
        _schedule(layers, mapping.workload, steps, structure),
        _floorplan(layers, mapping.workload, structure, prices),
    )


def _pes(layer: Layer, structure: Structure) -> int:
    x = structure.crossbar_size
    return math.ceil(layer.in_channels / x) * math.ceil(layer.out_channels / x)


def _pooled(layer: Layer, workload: Workload) -> int:
    """Side of the output map after the pooling that follows: what the released lists call the output dimension."""
    side, name = layer.output_shape[-1], layer.name
    while True:
        after = next((e.target for e in workload.edges if e.source == name and not workload[e.target].multiplies), None)
        if after is None:
            return side
        if workload[after].op in ("max_pool", "avg_pool"):
            side = workload[after].output_shape[-1]
        name = after


def _schedule(layers: Sequence[Layer], workload: Workload, steps: int, structure: Structure) -> Schedule:
    """n_l = D_out^2 C_out T PE cycles per layer; a layer starts when 75 % of the one before is done (rounded down before multiplying by T)."""
    slots, start = [], 0.0
    for layer in layers:
        cycles = _pooled(layer, workload) ** 2 * layer.out_channels
        step = cycles * structure.pe_cycle_s
        slots += [Slot(layer.name, t, start + t * step, start + (t + 1) * step, step) for t in range(steps)]
        start += math.floor(START_AFTER * cycles) * steps * structure.pe_cycle_s
    return Schedule(
        tuple(slots),
        max(sum(s.busy_s for s in slots if s.layer == layer.name) for layer in layers),
        1.0 / structure.clock,
        layers[-1].name,
    )


def _floorplan(layers: Sequence[Layer], workload: Workload, structure: Structure, p: Prices) -> Floorplan:
    """A = tiles [ (x/8) A_sub + A_temp + A_tile + 8 A_PE + A_Htree ] + A_bit 22 sum C_in D_in^2 + A_bit 22 sum_5 C_out D_out^2."""
    x = structure.crossbar_size
    tiles = math.ceil(sum(_pes(layer, structure) for layer in layers) / structure.pes_per_tile)
    pes = tiles * structure.pes_per_tile
    k = layers[0].kernel[0]
    inputs = sum(layer.in_channels * layer.input_shape[-1] ** 2 for layer in layers)
    outputs = sum(layer.out_channels * _pooled(layer, workload) ** 2 for layer in layers[:MEMORY_LAYERS])
    return Floorplan(
        (
            place(p.area_cell, "crossbar", pes * k * k * x * x),
            place(p.area_adc, "adc", pes * x / 8),
            place(p.area_mux, "column mux", pes * x / 8),
            place(p.area_difference, "diff", tiles * x / 8),
            place(p.area_temporary, "temporary buffer", tiles),
            place(p.area_sram_bit, "tile buffer", tiles * p.input_buffer),
            place(p.area_htree, "h-tree", 2 * tiles),
            place(p.area_sram_bit, "membrane memory", NEURON_WORD_BITS * (inputs + outputs)),
        )
    )
