"""What crosses the chip's edge, from the sizes of the buffers.

A stated double-buffer model: half of a buffer is worked on while the other half is filled, so a working set has half a buffer. Whichever order
of loops moves fewer bits is taken::

    a map that fits in half the input buffer stays on chip: written by the layer before, read by this one, no DRAM
    else, weights outermost:  weights once, inputs ceil(weight bits / half the weight buffer) times
    or    inputs outermost:   inputs once,  weights ceil(input bits / half the input buffer) times

Rows that overlap between two tiles of inputs stay in the buffer. With time outermost (output_stationary) this happens in every time step with
one step's map, and weights are fetched again in every step unless those of the whole network fit in the weight buffer; otherwise once per
inference with the maps of all time steps; an input that stands still is fetched once. Membranes and kept sums beyond their memory spill to
DRAM, as do residual operands that half the output buffer cannot hold.

Partial sums never do: weight_stationary cuts positions and steps into n tiles that the output buffer holds, and goes through the folds of a block of
channels once per tile. If half the weight buffer holds such a block (all of the window, one array width of channels), its weights stay from tile
to tile and the rule above is unchanged; if not, each tile streams them from DRAM::

    weights outermost:  weights n times, inputs as above
    inputs outermost:   inputs once,     weights max(n, ceil(input bits / half the input buffer)) times

Not exact: where this takes weight_stationary through more runs of inputs than n, the array's own fetches and fills stay those of n tiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from truejoule.accelerators.sata.dataflow import Amount, Demand, input_bits, weight_bits
from truejoule.accelerators.sata.design import Structure
from truejoule.workload import Layer, Workload
from truejoule.workload.standing import held, readers

NONE = Amount()


@dataclass(frozen=True, slots=True)
class Moves:
    """Bits that one layer moves between DRAM and the buffers, or between the buffers.

    Attributes
    ----------
    weights, inputs : read from DRAM.
    maps : the map that this layer reads, written to DRAM by the layer before.
    handed : the map that this layer reads, handed over on chip: read from the output buffer, written to the input buffer.
    """

    weights: Amount = NONE
    inputs: Amount = NONE
    maps: Amount = NONE
    handed: Amount = NONE

    @property
    def dram(self) -> Amount:
        """All bits over the edge of the chip."""
        parts = (self.weights, self.inputs, self.maps)
        return Amount(sum(a.once for a in parts), sum(a.step for a in parts))


def moves(workload: Workload, s: Structure, demands: Mapping[str, Demand]) -> dict[str, Moves]:
    """The moves of every layer with weights."""
    resident = sum(layer.weights * weight_bits(layer, s) for layer in workload.multiplying) <= s.weight_buffer
    written: set[tuple[str, ...]] = set()
    found = {}
    for layer in workload.multiplying:
        made_by = workload.sources(layer.name)
        first = not made_by or made_by == ("input",)
        found[layer.name] = _layer(layer, s, resident, first, made_by in written, demands[layer.name].tiles)
        written.add(made_by)
    return found


def _layer(layer: Layer, s: Structure, resident: bool, first: bool, written: bool, tiles: int) -> Moves:
    weights = layer.weights * weight_bits(layer, s)
    one_map = layer.inputs * input_bits(layer, s)
    still = layer.standing and layer.steps > 1
    maps = one_map * (1 if s.time_outermost or still else layer.steps)

    def spread(bits: float) -> Amount:
        """Bits of maps: in every step, or once for an image that stands still."""
        if s.time_outermost:
            return Amount(step=bits)
        return Amount(once=bits) if still else Amount(step=bits / layer.steps)

    fits = maps <= 0.5 * s.input_buffer
    by_weights, by_inputs = math.ceil(weights / (0.5 * s.weight_buffer)), math.ceil(maps / (0.5 * s.input_buffer))
    block = layer.fan_in * min(layer.out_channels // layer.groups, s.columns) * weight_bits(layer, s)
    again = 1 if resident or block <= 0.5 * s.weight_buffer else tiles
    orders = ((again, by_weights), (max(again, by_inputs), 1))
    outer = min(orders, key=lambda times: times[0] * weights + times[1] * maps)
    weight_times, map_times = (again, 1) if fits or resident else outer
    if s.time_outermost and not resident:
        fetched = Amount(step=float(weights * weight_times))
    else:
        fetched = Amount(once=float(weights * weight_times))
    if first and fits and still and s.time_outermost:
        return Moves(fetched, Amount(once=float(maps)), NONE, NONE)
    if fits and not first:
        return Moves(fetched, NONE, NONE, spread(float(maps)))
    return Moves(
        fetched,
        spread(float(maps * map_times)),
        NONE if first or written else spread(float(maps)),
    )


def stored_states(workload: Workload, s: Structure) -> tuple[dict[str, int], float]:
    """States per neuron layer (potentials, and synaptic currents where there are) that do not stay in the registers of the array from one time
    step to the next, and the share of all their bits that the membrane memory cannot hold (DRAM does).

    Only with time outermost: the other dataflows take a fold through all time steps before the next. A layer of no more states than PEs stays
    in the registers only if the array computes nothing else in between. The memory also holds the sums that are kept.
    """
    if not s.time_outermost:
        return {}, 0.0
    alone = len(workload.multiplying) == 1
    layers = [layer for layer in workload.layers if layer.op == "neuron" and layer.steps > 1]
    stored = {layer.name: layer.states for layer in layers if not (alone and layer.states <= s.pes)}
    bits = sum(layer.own_states for layer in layers if layer.name in stored) * s.membrane_bits + sum(kept_sums(workload, s).values())
    return stored, max(1.0 - s.membrane_memory / bits, 0.0) if bits else 0.0


def kept_sums(workload: Workload, s: Structure) -> dict[str, int]:
    """Bits of the sums of layers outside the time loop that wait in the membrane memory for the time steps to come.

    Only with time outermost: otherwise a fold's sums stay in the PEs, and the neuron units take them once per time step.
    """
    return {layer.name: layer.outputs * s.accumulator_bits for layer in held(workload)} if s.time_outermost else {}


@dataclass(frozen=True, slots=True)
class Waiting:
    """The operand of a residual addition that waits while the other one is computed.

    Attributes
    ----------
    place : where it does.
    written, read : its bits that go there and come back, in all time steps.
    spilled : bits of the same operand that DRAM holds in place of the membrane memory, all time steps.
    """

    place: Literal["output buffer", "dram", "membrane memory"]
    written: float
    read: float
    spilled: float = 0.0

    @property
    def dram(self) -> float:
        """Bits over the edge of the chip, all time steps."""
        return self.written + self.read if self.place == "dram" else self.spilled


def residual(layer: Layer, workload: Workload, s: Structure) -> Waiting:
    """Where the operand of a residual addition waits, and what that moves.

    The narrower one waits, in the output buffer if half of it holds that (of all time steps, if time is not outermost), else in DRAM. One that
    stands still is there once and read in every step. With time outermost its sums wait in the membrane memory anyway (``kept_sums``), and what
    is read there for the addition comes on top only if another layer reads them too.
    """
    operands = [workload[name] for name in workload.sources(layer.name) if name != "input"]
    still = [x for x in operands if x.steps < layer.steps]
    sums = kept_sums(workload, s)
    taken_by = {name: readers(workload, workload[name]) for name in sums}
    if mine := [name for name in sums if layer.name in taken_by[name]]:
        again = [sums[name] for name in mine if layer.name != taken_by[name][0]]
        share, bits = stored_states(workload, s)[1], float(sum(again) * layer.steps)
        return Waiting("membrane memory", 0.0, bits * (1.0 - share), bits * share)
    widths = {"neuron": 1, "sign": 1, "relu": s.input_bits}
    seen = {x.name: workload.bits_behind(x.name) for x in operands if x.op in ("sign", "relu")}
    width = min(
        (seen.get(x.name) or widths.get(x.op, s.accumulator_bits) for x in still or operands),
        default=s.accumulator_bits,
    )
    one_map = float(layer.outputs * width)
    every = one_map * layer.steps
    at_once = one_map if still or s.time_outermost else every
    return Waiting("output buffer" if at_once <= 0.5 * s.output_buffer else "dram", one_map if still else every, every)


def beside(workload: Workload, s: Structure) -> dict[str, float]:
    """Bits per time step that cross the edge beside weights and maps (spilled membranes, kept sums, residual operands, the answer), at the layer
    with weights during which they do; see ``at_layers_with_weights``."""
    stored, spilled = stored_states(workload, s)
    total = {name: bits * (1.0 + workload.time_steps) * spilled for name, bits in kept_sums(workload, s).items()}
    for layer in workload.layers:
        bits = 2.0 * stored.get(layer.name, 0) * layer.steps * s.membrane_bits * spilled
        if layer.op == "add":
            bits += residual(layer, workload, s).dram
        if layer.multiplies and all(e.source != layer.name for e in workload.edges):
            bits += layer.outputs * layer.steps * s.output_bits
        total[layer.name] = total.get(layer.name, 0.0) + bits
    return at_layers_with_weights(workload, total)


def at_layers_with_weights(workload: Workload, total: Mapping[str, float]) -> dict[str, float]:
    """Bits of every layer, all time steps, as bits per time step of the layers with weights during which they cross the edge.

    That is the one before; if that one is outside the time loop and the layer is not, the next one that runs in every step, else the last one.
    """
    found: dict[str, float] = {}
    current, waiting = workload.multiplying[0], 0.0
    for layer in workload.layers:
        bits = total.get(layer.name, 0.0)
        if layer.multiplies:
            current = layer
            if layer.steps == workload.time_steps:
                bits, waiting = bits + waiting, 0.0
        elif current.steps < layer.steps:
            waiting += bits
            continue
        found[current.name] = found.get(current.name, 0.0) + bits / current.steps
    found[current.name] = found.get(current.name, 0.0) + waiting / current.steps
    return found
