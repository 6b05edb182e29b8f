"""Layers onto the array, one after the other: folds, utilisation, and what the user should know."""

from __future__ import annotations

import math

from truejoule.accelerators.mapping import Mapping, Placement
from truejoule.accelerators.sata.dataflow import demand, loops, planes, weight_bits
from truejoule.accelerators.sata.design import Structure
from truejoule.components import sram
from truejoule.components.coefficient import Coefficient
from truejoule.errors import InputError, some
from truejoule.workload import Layer, Workload


def place_layers(workload: Workload, s: Structure) -> Mapping:
    """Cut every layer with weights into folds of the array; there is one array, so layers follow each other.

    ``arrays`` of a placement counts folds, ``utilisation`` is the share of PE cycles that hold a product.

    Raises
    ------
    InputError : for a network without weights, weights wider than a PE, buffers that cannot feed one fold, sizes beyond the memory tables.
    """
    if not workload.multiplying:
        raise InputError(
            "nothing to place",
            where=workload.name,
            got="no layer with weights",
            expected="at least one conv or linear layer",
        )
    check_buffers(s, workload.name)
    placements = []
    for layer in workload.multiplying:
        if weight_bits(layer, s) > s.operand_bits:
            raise InputError(
                "weights wider than a PE takes",
                where=layer.name,
                got=f"{weight_bits(layer, s)} bits",
                expected=f"at most operand_bits, {s.operand_bits}",
                fix="quantise the weights, or override operand_bits",
            )
        needs = demand(loops(layer, s), s)
        used = layer.macs * planes(layer, s) * layer.steps
        share = used / (s.pes * s.lanes * needs.cycles.total(layer.steps))
        placements.append(Placement(layer.name, (0,), needs.folds, *_blocks(layer, s), share))
    return Mapping(workload, tuple(placements), (), 1, (1, 1), "array", "fold", "PE cycles", _warnings(workload, s))


def check_buffers(s: Structure, where: str) -> None:
    """Half of every buffer must hold one word for each edge PE, and half the output buffer the sums of one fold."""
    for name, needed, why in (
        ("input_buffer", s.rows * s.buffer_word, "one word for every row of the array"),
        ("weight_buffer", s.columns * s.buffer_word, "one word for every column of the array"),
        ("output_buffer", s.pes * s.accumulator_bits, "the sums of one fold"),
    ):
        if getattr(s, name) < 2 * needed:
            raise InputError(
                f"{name} too small for one tile",
                where=where,
                got=f"{getattr(s, name) / 8:g} B",
                expected=f"at least {2 * needed / 8:g} B: {why} in half of it",
                fix=f"enlarge {name}, or use a smaller array or buffer_word",
            )


def memory_prices(s: Structure) -> dict[str, dict[str, Coefficient]]:
    """Energy of a bit ``"read"`` and ``"written"`` (J/bit) and leakage of one bank (W) of every global buffer."""
    found = {}
    for name in ("weight buffer", "input buffer", "output buffer", "membrane memory"):
        size = getattr(s, "membrane_memory" if name == "membrane memory" else name.replace(" ", "_"))
        if size:
            leak = sram.leakage(size, s.at)
            found[name] = {
                "read": sram.read_energy(size, s.buffer_word, s.at),
                "written": sram.write_energy(size, s.buffer_word, s.at),
                "leakage": leak.scaled(size / s.banks, f"x {size:g} bits in {s.banks} banks", unit="W"),
            }
    return found


def _blocks(layer: Layer, s: Structure) -> tuple[int, int]:
    """How the rows and the columns of the array cut the layer."""
    channels = layer.out_channels // layer.groups
    down, across = {
        "weight_stationary": (layer.fan_in, channels),
        "parallel_time_batching": (channels, math.ceil(layer.steps / s.time_window)),
    }.get(s.dataflow, (layer.positions, channels))
    return math.ceil(down / s.rows), math.ceil(across / s.columns)


def _warnings(workload: Workload, s: Structure) -> tuple[str, ...]:
    if s.accounting == "released":
        return _released_warnings(workload, s)
    real = [layer.name for layer in workload.multiplying if layer.weight_levels == "float"]
    host = [layer.name for layer in workload.layers if layer.op == "host"]
    other = "relu" if s.pe == "spike" else "neuron"
    strange = [layer.name for layer in workload.layers if layer.op == other]
    shared = [layer.name for layer in workload.layers if layer.state_of and layer.steps > 1 and not s.time_outermost]
    in_turn = f"goes on with the state of another neuron in every time step, which {s.dataflow} cannot do (output_stationary can), so it is costed as if it kept a state of its own"
    keeps = s.time_outermost and workload.time_steps > 1
    used = {name: of for name, of in memory_prices(s).items() if keeps or name != "membrane memory"}
    beyond = [f"{name} ({key})" for name, of in used.items() for key, c in of.items() if "extrapolated" in c.source]
    if not 22 <= s.at.nm <= 45:
        beyond += [f"leakage of {name}" for name in used]
    found = [
        (real, f"real-valued weights are rounded to {s.weight_bits} bits: {some(real)}"),
        (host, f"runs on the host and is not costed: {some(host)}"),
        (strange, f"the PEs have no {other} unit, these layers are computed beside the array: {some(strange)}"),
        (shared, f"{in_turn}: {some(shared)}"),
        (beyond, f"coefficients beyond their tables, with a wider band: {some(beyond)}"),
    ]
    return tuple(text for names, text in found if names)


def _released_warnings(workload: Workload, s: Structure) -> tuple[str, ...]:
    from truejoule.accelerators.sata.released import in_tables

    beyond = [layer.name for layer in workload.multiplying if not in_tables(layer, s)]
    other, mine = ("relu", "LIF") if s.pe == "spike" else ("neuron", "ReLU")
    strange = [layer.name for layer in workload.layers if layer.op == other]
    found = [
        (beyond, f"DRAM input reads are not in the released files and follow a simple buffer rule: {some(beyond)}"),
        (strange, f"the released account charges every output as one of its {mine} units: {some(strange)}"),
    ]
    return tuple(text for names, text in found if names)
