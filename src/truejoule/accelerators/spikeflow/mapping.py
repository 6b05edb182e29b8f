"""Layers onto crossbars, PEs and tiles."""

from __future__ import annotations

import math
from collections import Counter

from truejoule.accelerators.mapping import Mapping, Placement, Transfer
from truejoule.accelerators.spikeflow.design import Structure
from truejoule.errors import InputError, some
from truejoule.numerics.schemes import count_row_blocks, slices_of
from truejoule.workload import Layer, Workload
from truejoule.workload.layer import REAL


def place_layers(workload: Workload, structure: Structure) -> Mapping:
    """Place every layer with weights; layers do not share a tile unless ``share_tiles`` says so.

    A weight matrix of C·R·S rows and K·slices columns is cut into ``row_blocks x column_blocks`` crossbars. The row blocks of one column
    block fill PEs of ``crossbars_per_pe``; PEs fill tiles. The groups of a convolution lie on the diagonal of their crossbars, and crossbars
    without any weight are left out.

    Raises
    ------
    InputError : for a network without weights, or one that needs more tiles than ``max_tiles``.
    """
    if not workload.multiplying:
        raise InputError(
            "nothing to place",
            where=workload.name,
            got="no layer with weights",
            expected="at least one conv or linear layer",
        )
    placements, next_pe = [], 0
    for layer in workload.multiplying:
        rows, columns = blocks(layer, structure)
        pes = pes_of(layer, structure)
        if not structure.share_tiles:
            next_pe = math.ceil(next_pe / structure.pes_per_tile) * structure.pes_per_tile
        first, last = next_pe // structure.pes_per_tile, (next_pe + pes - 1) // structure.pes_per_tile
        next_pe += pes
        cells = rows * columns * structure.crossbar_size**2
        placements.append(
            Placement(
                layer.name,
                tuple(range(first, last + 1)),
                rows * columns,
                rows,
                columns,
                layer.weights * slices(layer, structure) / cells,
            )
        )
    tiles = math.ceil(next_pe / structure.pes_per_tile)
    if tiles > structure.max_tiles:
        largest = max(placements, key=lambda p: len(p.units))
        raise InputError(
            "the network does not fit on the chip",
            where=f"{workload.name}; largest layer {largest.layer} with {len(largest.units)} tiles",
            got=f"{tiles} tiles",
            expected=f"at most {structure.max_tiles}",
            fix="raise max_tiles, use larger crossbars, or a smaller network",
        )
    side = math.ceil(math.sqrt(tiles))
    grid = (math.ceil(tiles / side), side)
    where = {p.layer: p.units for p in placements}
    return Mapping(
        workload,
        tuple(placements),
        _transfers(workload, where, side, structure),
        tiles,
        grid,
        "tile",
        "crossbar",
        "cells",
        _warnings(workload, placements, structure),
    )


def weight_bits(layer: Layer, structure: Structure) -> int:
    """Integer weights keep their own width; real ones are rounded to the machine's."""
    return layer.weight_bits if layer.weight_levels != "float" else structure.weight_bits


def input_bits(layer: Layer, structure: Structure) -> int:
    """Integer inputs keep their width; real ones are rounded to the machine's."""
    return layer.input_bits if layer.input_bits < REAL else structure.input_bits


def slices(layer: Layer, structure: Structure) -> int:
    """Physical columns per weight of a layer."""
    return slices_of(
        structure.encoding, weight_bits(layer, structure), structure.cell_bits, layer.weight_levels == "mid_rise"
    )


def blocks(layer: Layer, structure: Structure) -> tuple[int, int]:
    """Row blocks per column block, and column blocks, of a layer."""
    per_crossbar = outputs_per_crossbar(layer, structure)
    together = groups_together(layer, structure)
    channels, rows = layer.in_channels // layer.groups * together, structure.crossbar_size
    columns = math.ceil(layer.groups / together) * repeats(layer, per_crossbar)
    return count_row_blocks(channels, layer.kernel, rows, structure.row_order), columns


def outputs_per_crossbar(layer: Layer, structure: Structure) -> int:
    """Output channels whose columns fit side by side in a crossbar."""
    needed = slices(layer, structure)
    if needed > structure.crossbar_size:
        raise InputError(
            "a weight does not fit in a crossbar row",
            where=layer.name,
            got=f"{needed} columns per weight",
            expected=f"at most {structure.crossbar_size}",
            fix="use more bits per cell",
        )
    return structure.crossbar_size // needed


def groups_together(layer: Layer, structure: Structure) -> int:
    """Groups of a convolution that share a column block: as many as need no further crossbar for their rows."""
    if layer.groups == 1:
        return 1
    inner = layer.in_channels // layer.groups
    rows = inner if structure.row_order == "kernel" else inner * math.prod(layer.kernel)
    side = outputs_per_crossbar(layer, structure) // (layer.out_channels // layer.groups)
    return min(max(min(side, structure.crossbar_size // rows), 1), layer.groups)


def repeats(layer: Layer, per_crossbar: int) -> int:
    """Column blocks that read the same inputs: those of one group."""
    return math.ceil(layer.out_channels // layer.groups / per_crossbar)


def pes_of(layer: Layer, structure: Structure) -> int:
    """Processing elements of a layer."""
    rows, columns = blocks(layer, structure)
    return math.ceil(rows / structure.crossbars_per_pe) * columns


def _transfers(
    workload: Workload, where: dict[str, tuple[int, ...]], side: int, structure: Structure
) -> tuple[Transfer, ...]:
    """Every edge whose ends live on different tiles; a helper layer lives where its last-computed operand is made."""
    order = {"input": -1} | {layer.name: i for i, layer in enumerate(workload.layers)}
    home: dict[str, str] = {"input": "input"}
    bits: dict[str, int] = {"input": structure.image_bits or structure.input_bits}
    for layer in workload.layers:
        sources = workload.sources(layer.name)
        last = max(sources, key=order.__getitem__, default="input")
        home[layer.name] = layer.name if layer.multiplies else home.get(last, "input")
        seen = workload.bits_behind(layer.name) if layer.op in ("sign", "relu") else None
        bits[layer.name] = seen or _output_bits(layer, bits.get(last, bits["input"]), structure)
    found = []
    for layer in workload.layers:
        for source in workload.sources(layer.name):
            start, end = home.get(source, "input"), home[layer.name]
            if start == end or end == "input":
                continue
            elements = layer.inputs if source == "input" else workload[source].outputs
            width = input_bits(layer, structure) if source == "input" and layer.multiplies else bits[source]
            found.append(Transfer(start, layer.name, elements, width, _hops(where.get(start), where[end], side)))
    return tuple(found)


def _output_bits(layer: Layer, before: int, structure: Structure) -> int:
    if layer.op == "neuron" and layer.neuron is not None:
        return layer.neuron.spike_bits
    if layer.op == "avg_pool":
        return min(before + math.ceil(math.log2(math.prod(layer.kernel))), structure.partial_sum_bits)
    return {"sign": 1, "relu": structure.input_bits, "max_pool": before}.get(layer.op, structure.partial_sum_bits)


def _hops(source: tuple[int, ...] | None, target: tuple[int, ...], side: int) -> float:
    """Mean Manhattan distance between two sets of tiles; the chip's input enters beside tile 0."""
    if source is None:
        return 1.0 + sum(sum(_at(t, side)) for t in target) / len(target)
    distance = 0.0
    for axis in (0, 1):
        a, b = Counter(_at(t, side)[axis] for t in source), Counter(_at(t, side)[axis] for t in target)
        distance += sum(n * m * abs(p - q) for p, n in a.items() for q, m in b.items())
    return distance / (len(source) * len(target))


def _at(tile: int, side: int) -> tuple[int, int]:
    """Row and column of a tile; rows run to and fro, so that neighbours in order are neighbours on the mesh."""
    row, column = divmod(tile, side)
    return row, column if row % 2 == 0 else side - 1 - column


def _warnings(workload: Workload, placements: list[Placement], structure: Structure) -> tuple[str, ...]:
    empty = [f"{p.layer} {100 * p.utilisation:.1f} %" for p in placements if p.utilisation < 0.05]
    real = [layer.name for layer in workload.multiplying if layer.weight_levels == "float"]
    host = [layer.name for layer in workload.layers if layer.op == "host"]
    found = [
        (empty, f"crossbars that are nearly empty: {some(empty)}"),
        (real, f"real-valued weights are rounded to {structure.weight_bits} bits: {some(real)}"),
        (host, f"runs on the host and is not costed: {some(host)}"),
    ]
    return tuple(text for names, text in found if names)
