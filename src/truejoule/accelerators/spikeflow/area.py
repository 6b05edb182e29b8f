"""The silicon of SpikeFlow (corrected account)."""

from __future__ import annotations

import math

from truejoule.accelerators.mapping import Mapping
from truejoule.accelerators.spikeflow.design import Prices, Structure
from truejoule.components import adc
from truejoule.components.coefficient import Coefficient, place
from truejoule.cost import Floorplan
from truejoule.workload.standing import held


def corrected_floorplan(mapping: Mapping, s: Structure, p: Prices) -> Floorplan:
    """Area of every tile that the mapping occupies, its converters as ``adc_scope`` says, and the membrane memory of all neuron layers."""
    tiles = mapping.units
    pes = tiles * s.pes_per_tile
    crossbars = pes * s.crossbars_per_pe
    return Floorplan(
        (
            place(p.area_cell, "crossbar", crossbars * s.crossbar_size**2),
            place(adc_area(s, p), "adc", _converters(s) * pes),
            place(p.area_mux, "column mux", _converters(s) * pes),
            place(p.area_difference, "diff", pes),
            place(p.area_temporary, "temporary buffer", tiles),
            place(p.area_sram_bit, "tile buffer", tiles * p.input_buffer),
            place(p.area_htree, "h-tree", 2 * tiles),
            place(p.area_sram_bit, "membrane memory", membrane_bits(mapping, s)),
            place(p.area_sram_bit, "global buffer", p.global_buffer),
        )
    )


def adc_area(s: Structure, p: Prices) -> Coefficient:
    """One converter at the machine's resolution."""
    return adc.scaled_by_bits(p.area_adc, 4, max(s.adc_bits or 8, 4), what="area")


def tile_area(s: Structure, p: Prices) -> Coefficient:
    """One tile without membrane memory."""
    parts = [
        p.area_cell.scaled(s.pes_per_tile * s.crossbars_per_pe * s.crossbar_size**2, "cells of a tile"),
        adc_area(s, p).scaled(s.pes_per_tile * _converters(s), "converters of a tile"),
        p.area_mux.scaled(s.pes_per_tile * _converters(s), "multiplexers of a tile"),
        p.area_difference.scaled(s.pes_per_tile, "DIFF units of a tile"),
        p.area_temporary,
        p.area_sram_bit.scaled(p.input_buffer, "tile buffer", unit="m2"),
        p.area_htree.scaled(2, "two H-trees"),
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part, "tile")
    return total


def logic_area(mapping: Mapping, s: Structure, p: Prices) -> float:
    """Digital logic that leaks, in m2: DIFF units and accumulators. H-trees are wires; their repeaters are not known and left out."""
    return mapping.units * s.pes_per_tile * p.area_difference.value


def memory_bits(mapping: Mapping, s: Structure, p: Prices) -> float:
    """Bits of all memories: membranes of every neuron layer, tile buffers, global buffer."""
    return membrane_bits(mapping, s) + mapping.units * p.input_buffer + p.global_buffer


def membrane_bits(mapping: Mapping, s: Structure) -> float:
    """Bits of the memory for what neurons keep: their potentials (and synaptic currents), and the sums of layers that are computed once for all time steps."""
    potentials = sum(layer.own_states * s.membrane_bits for layer in mapping.workload.layers)
    return potentials + sum(layer.outputs * s.partial_sum_bits for layer in held(mapping.workload))


def _converters(s: Structure) -> int:
    """Converters of a PE."""
    return math.ceil(s.crossbar_size / s.column_mux) * (s.crossbars_per_pe if s.adc_scope == "crossbar" else 1)
