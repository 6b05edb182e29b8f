"""What SATA costs when everything it does is counted once, where it happens (the corrected account)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from truejoule.accelerators.mapping import Mapping as Placed
from truejoule.accelerators.sata.area import floorplan
from truejoule.accelerators.sata.dataflow import Amount, Demand, demand, input_bits, loops, planes, valid_products
from truejoule.accelerators.sata.design import Structure
from truejoule.accelerators.sata.mapping import memory_prices
from truejoule.accelerators.sata.memory import (
    Moves,
    beside,
    kept_sums,
    moves,
    residual,
    stored_states,
)
from truejoule.accelerators.sata.parts import Parts, parts_of
from truejoule.accelerators.sata.timing import Spent, neuron_cycles, schedule, spent
from truejoule.components import dram, logic
from truejoule.components.coefficient import Coefficient, charge
from truejoule.cost import Cost, Entry, Ledger
from truejoule.workload import Activity, Layer, LayerActivity, Work, Workload
from truejoule.workload.standing import held

Prices = Mapping[str, Mapping[str, Coefficient]]
Counts = tuple[float, ...]


def corrected_cost(mapping: Placed, activity: Activity, work: Work, s: Structure) -> Cost:
    """Energy, latency and area of one inference.

    Parameters
    ----------
    work : ``accumulates`` per layer and step from the deployed network; estimated from densities where absent.
    """
    workload, parts = mapping.workload, parts_of(s, s.at)
    prices, edge = memory_prices(s), dram.access_energy(s.dram)
    demands = demands_of(workload, s)
    moved = moves(workload, s, demands)
    stored, spilled = stored_states(workload, s)
    also, kept, later = beside(workload, s), kept_sums(workload, s), {layer.name for layer in held(workload)}
    entries: list[Entry] = []
    times: dict[str, Spent] = {}
    floor = 0.0
    for layer in workload.multiplying:
        needs, trips, seen = demands[layer.name], moved[layer.name], activity.layers[layer.name]
        shares = seen.patch_density() if s.skip_silent and layer.op == "conv" else (1.0,) * layer.steps
        operations = work.get(layer.name, {}).get("accumulates") or _operations(layer, seen, s)
        crossing = trips.dram
        crossing = Amount(crossing.once, crossing.step + also.get(layer.name, 0.0))
        times[layer.name] = spent(needs.cycles, crossing, shares, s)
        entries += _array(layer, operations, times[layer.name], parts, s)
        entries += _buffers(layer, needs, trips, shares, prices, workload.time_steps if layer.name in later else 0)
        entries += _kept(layer, kept, spilled, workload.time_steps, prices, edge)
        entries += _edge(layer, trips, workload, s, edge)
        entries += _standing(layer, times[layer.name], parts, prices, bool(stored or kept), s)
        assert parts.accumulate.gated is not None
        floor += math.fsum(operations) * (parts.accumulate.gated.low + parts.accumulate.ungated.low)
    units = _beside(s)
    for layer in workload.layers:
        if not layer.multiplies:
            entries += _digital(layer, s, parts, units)
            entries += _membranes(layer, stored, spilled, s, prices, edge)
            entries += _residual(layer, workload, s, prices, edge)
    plan = schedule(workload, times, s)
    return Cost(Ledger(tuple(entries)).settled(workload.time_steps), plan, floorplan(s, parts), floor)


def demands_of(workload: Workload, s: Structure) -> dict[str, Demand]:
    """What every layer with weights asks of the array and its buffers, in the order of the workload."""
    later = {layer.name for layer in held(workload)}
    found = {}
    for layer in workload.multiplying:
        nest = loops(layer, s)
        needs = demand(nest, s, out_bits(workload, layer, s))
        if layer.name in later:
            more = neuron_cycles(nest, s, workload.time_steps)
            needs = replace(needs, cycles=Amount(needs.cycles.once, needs.cycles.step + more))
        found[layer.name] = needs
    return found


def out_bits(workload: Workload, layer: Layer, s: Structure) -> int:
    """Width of what leaves the array: that of the first neuron, ReLU or sign behind the layer, else of the sums."""
    name = layer.name
    while True:
        after = next((e.target for e in workload.edges if e.source == name and not e.recurrent), None)
        if after is None or workload[after].multiplies:
            return s.output_bits
        found = workload[after]
        if found.op == "neuron":
            assert found.neuron is not None
            return found.neuron.spike_bits
        if found.op in ("relu", "sign"):
            return workload.bits_behind(found.name) or (1 if found.op == "sign" else s.input_bits)
        name = after


def _operations(layer: Layer, seen: LayerActivity, s: Structure) -> Counts:
    """Products with a non-zero input per time step, padding left out; of a multi-bit input on a spike PE, its ones."""
    active = seen.input_ones if s.pe == "spike" else seen.nonzero_inputs
    per_element = [n / (seen.samples * seen.inputs) for n in active]
    each = planes(layer, s) if s.pe == "mac" else 1
    return tuple(valid_products(layer) * each * d for d in per_element)


def _amount(
    price: Coefficient, layer: str, component: str, action: str, amount: Amount, shares: Sequence[float]
) -> list[Entry]:
    """Entries of what happens once and in every step, without empty ones."""
    found = []
    if amount.step:
        found.append(charge(price, layer, component, action, tuple(amount.step * share for share in shares)))
    if amount.once:
        found.append(charge(price, layer, component, action, amount.once))
    return found


def _array(layer: Layer, operations: Counts, time: Spent, parts: Parts, s: Structure) -> list[Entry]:
    """The PEs: clocked in every cycle, their gated parts for operations only."""
    name, steps = layer.name, layer.steps
    clocked = Amount(time.busy_once * s.clock * s.pes, 1.0)
    shares = tuple(t * s.clock * s.pes for t in time.busy_steps)
    accumulate, pads, neuron = parts.accumulate, parts.scratchpads, parts.neuron
    assert accumulate.gated is not None and pads.gated is not None
    lanes = Amount(clocked.once * s.lanes_clocked(steps), s.lanes_clocked(steps))
    entries = _amount(accumulate.ungated, name, "accumulate", "cycle clocked", lanes, shares)
    entries.append(charge(accumulate.gated, name, "accumulate", "operation", operations))
    entries += _amount(pads.ungated, name, "scratchpads", "cycle clocked", clocked, shares)
    if s.lanes == 1:
        entries.append(charge(pads.gated, name, "scratchpads", "operation", operations))
    else:
        passes = math.ceil(steps / s.time_window)
        reads = min(math.fsum(operations), float(valid_products(layer) * planes(layer, s) * passes))
        entries.append(charge(pads.gated, name, "scratchpads", "operation", reads))
    if not s.lif_gated:
        units = Amount(clocked.once / s.neurons_per_lif, 1.0 / s.neurons_per_lif)
        entries += _amount(neuron.ungated, name, "neuron unit", "cycle clocked", units, shares)
    if s.pe == "spike" and planes(layer, s) > 1:
        shift = logic.register(s.accumulator_bits, s.at)
        count = float(layer.macs * planes(layer, s))
        shifts = (count,) * steps if s.lanes == 1 else count * math.ceil(steps / s.time_window)
        entries.append(charge(shift, name, "accumulate", "weight shifted", shifts))
    return entries


def _buffers(layer: Layer, needs: Demand, trips: Moves, shares: Counts, prices: Prices, later: int) -> list[Entry]:
    """Global buffers: what the array reads and writes, what DRAM fills, what is handed over on chip.

    ``later`` time steps in which the neurons behind a layer outside the time loop write outputs; 0 for other layers.
    """
    name, ones = layer.name, (1.0,) * layer.steps
    written, each = (Amount(step=needs.outputs.total(1)), (1.0,) * later) if later else (needs.outputs, ones)
    weights, inputs, outputs = (prices[f"{kind} buffer"] for kind in ("weight", "input", "output"))
    out = Amount(trips.handed.once + trips.maps.once, trips.handed.step + trips.maps.step)
    filled = Amount(trips.handed.once + trips.inputs.once, trips.handed.step + trips.inputs.step)
    return [
        *_amount(weights["read"], name, "weight buffer", "bit read", needs.weights, shares),
        *_amount(weights["written"], name, "weight buffer", "bit filled", trips.weights, ones),
        *_amount(inputs["read"], name, "input buffer", "bit read", needs.inputs, shares),
        *_amount(inputs["written"], name, "input buffer", "bit filled", filled, ones),
        *_amount(outputs["written"], name, "output buffer", "bit written", written, each),
        *_amount(outputs["read"], name, "output buffer", "bit handed on", out, ones),
        *_amount(outputs["written"], name, "output buffer", "partial-sum bit written", needs.partials, ones),
        *_amount(outputs["read"], name, "output buffer", "partial-sum bit read", needs.partials, ones),
    ]


def _edge(layer: Layer, trips: Moves, workload: Workload, s: Structure, edge: Coefficient) -> list[Entry]:
    """Bits over the edge of the chip."""
    name, ones = layer.name, (1.0,) * layer.steps
    last = all(e.source != name for e in workload.edges)
    answer = Amount(step=float(layer.outputs * s.output_bits) if last else 0.0)
    return [
        *_amount(edge, name, "dram", "weight bit read", trips.weights, ones),
        *_amount(edge, name, "dram", "input bit read", trips.inputs, ones),
        *_amount(edge, name, "dram", "map bit written", trips.maps, ones),
        *_amount(edge, name, "dram", "answer bit written", answer, ones),
    ]


def _standing(layer: Layer, time: Spent, parts: Parts, prices: Prices, membranes: bool, s: Structure) -> list[Entry]:
    """Leakage of all PEs and banks for as long as the layer takes; a membrane memory that the dataflow does not use is switched off."""
    standing = [
        ("accumulate", parts.accumulate.leakage, s.pes * s.lanes, "unit x s"),
        ("scratchpads", parts.scratchpads.leakage, s.pes, "unit x s"),
        ("neuron unit", parts.neuron.leakage, s.pes / s.neurons_per_lif, "unit x s"),
        *(
            (name, of["leakage"], s.banks, "bank x s")
            for name, of in prices.items()
            if membranes or name != "membrane memory"
        ),
    ]
    return [
        entry
        for component, power, count, what in standing
        for entry in _amount(
            power,
            layer.name,
            component,
            f"leakage, {what}",
            Amount(count * time.wall_once, float(count)),
            time.wall_steps,
        )
    ]


def _membranes(
    layer: Layer, stored: Mapping[str, int], spilled: float, s: Structure, prices: Prices, edge: Coefficient
) -> list[Entry]:
    """One read and one write of every state per update, beyond the registers of the array."""
    if layer.name not in stored:
        return []
    bits, ones = float(stored[layer.name] * s.membrane_bits), (1.0,) * layer.steps
    entries = _amount(edge, layer.name, "dram", "membrane bit spilled", Amount(step=2 * bits * spilled), ones)
    if "membrane memory" in prices:
        kept, memory = Amount(step=bits * (1.0 - spilled)), prices["membrane memory"]
        entries += _amount(memory["read"], layer.name, "membrane memory", "bit read", kept, ones)
        entries += _amount(memory["written"], layer.name, "membrane memory", "bit written", kept, ones)
    return entries


def _kept(
    layer: Layer, kept: Mapping[str, int], spilled: float, steps: int, prices: Prices, edge: Coefficient
) -> list[Entry]:
    """Sums of a layer outside the time loop: written once, read in every time step."""
    bits = float(kept.get(layer.name, 0))
    if not bits:
        return []
    entries = []
    if spilled:
        entries.append(charge(edge, layer.name, "dram", "kept-sum bit written", bits * spilled))
        entries.append(charge(edge, layer.name, "dram", "kept-sum bit read", (bits * spilled,) * steps))
    if "membrane memory" in prices:
        here, memory = bits * (1.0 - spilled), prices["membrane memory"]
        entries.append(charge(memory["written"], layer.name, "membrane memory", "kept-sum bit written", here))
        entries.append(charge(memory["read"], layer.name, "membrane memory", "kept-sum bit read", (here,) * steps))
    return entries


def _residual(layer: Layer, workload: Workload, s: Structure, prices: Prices, edge: Coefficient) -> list[Entry]:
    """The operand of a residual addition that waits; see ``memory.residual``. One that stands still is written once."""
    if layer.op != "add":
        return []
    waits, steps = residual(layer, workload, s), layer.steps
    memory = prices.get(waits.place, {"read": edge, "written": edge})
    component, ones = waits.place, (1.0,) * steps
    written = Amount(once=waits.written) if waits.written < waits.read else Amount(step=waits.written / steps)
    return [
        *_amount(memory["written"], layer.name, component, "residual bit written", written, ones),
        *_amount(memory["read"], layer.name, component, "residual bit read", Amount(step=waits.read / steps), ones),
        *_amount(edge, layer.name, "dram", "residual bit spilled", Amount(step=waits.spilled / steps), ones),
    ]


def _beside(s: Structure) -> dict[str, Coefficient]:
    """Prices of the units on the way out of the array."""
    wide = s.neuron_bits
    add, compare = (of(wide, s.at, anchor="sata-28") for of in (logic.add, logic.compare))
    return {
        "add": add,
        "compare": compare,
        "norm": logic.multiply(wide, s.at, anchor="sata-28").plus(add, "scale and offset"),
        "merge": logic.and_gate(1, s.at),
        "neuron": add.plus(compare, "neuron update beside the array"),
        "current": add.plus(logic.register(s.membrane_bits, s.at), "synaptic current and its register"),
    }


def _digital(layer: Layer, s: Structure, parts: Parts, prices: Mapping[str, Coefficient]) -> list[Entry]:
    """Norm, neurons, activations, pooling and residual adds, on the way out of the array."""
    counts = (float(layer.outputs),) * layer.steps

    def one(price: Coefficient, component: str, action: str, each: int = 1) -> list[Entry]:
        return [charge(price, layer.name, component, action, tuple(c * each for c in counts))]

    if layer.op == ("neuron" if s.pe == "spike" else "relu"):
        price = parts.neuron.update if s.lif_gated else parts.neuron.gated
        current = (
            one(prices["current"], "neuron unit", "synaptic current updated") if layer.states > layer.outputs else []
        )
        return [*(one(price, "neuron unit", "operation") if price is not None else []), *current]
    if layer.op == "neuron":
        current = one(prices["add"], "neuron unit", "synaptic current updated") if layer.states > layer.outputs else []
        return [*one(prices["neuron"], "neuron unit", "operation"), *current]
    if layer.op in ("relu", "sign"):
        return one(prices["compare"], "activation", "comparison")
    if layer.op == "norm":
        return one(prices["norm"], "batch norm", "scale and offset")
    if layer.op == "add":
        return one(prices["add"], "residual add", "addition")
    window = max(math.prod(layer.kernel) - 1, 1)
    if layer.op == "avg_pool":
        return one(prices["add"], "pooling", "addition", window)
    if layer.op == "max_pool":
        spikes = input_bits(layer, s) == 1
        return one(
            prices["merge" if spikes else "compare"], "pooling", "spike merged" if spikes else "comparison", window
        )
    return []
