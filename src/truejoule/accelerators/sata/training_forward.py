"""What the forward pass of a training step does beyond an inference: it writes down what the backward pass needs, and waits where DRAM is the slower."""

from __future__ import annotations

from truejoule.accelerators.sata.cost import demands_of
from truejoule.accelerators.sata.dataflow import Amount
from truejoule.accelerators.sata.design import Structure
from truejoule.accelerators.sata.mapping import memory_prices
from truejoule.accelerators.sata.memory import at_layers_with_weights, beside, kept_sums, moves, stored_states
from truejoule.accelerators.sata.parts import parts_of
from truejoule.accelerators.sata.timing import spent
from truejoule.accelerators.sata.training_memory import stores
from truejoule.components import dram
from truejoule.components.coefficient import Coefficient, charge
from truejoule.cost import Entry
from truejoule.workload import Activity, Layer, Workload


def forward_stores(workload: Workload, activity: Activity, s: Structure) -> tuple[list[Entry], float]:
    """Entries of the stores, with the leakage while they hold the array up, and the seconds that they do.

    What is stored passes through the output buffer; maps are there already, potentials and masks come out of the array for it.
    """
    demands = demands_of(workload, s)
    moved = moves(workload, s, demands)
    stored, also = stores(workload, s, moved), beside(workload, s)
    edge, buffer = dram.access_energy(s.dram), memory_prices(s)["output buffer"]
    entries: list[Entry] = []
    for name, bits in stored.items():
        layer = workload[name]
        counts = float(bits) if layer.standing else (bits / layer.steps,) * layer.steps
        what = "input" if layer.multiplies else "activation state"
        entries.append(charge(edge, name, "forward dram", f"{what} bit stored", counts))
        entries.append(charge(buffer["read"], name, "forward output buffer", f"{what} bit stored", counts))
        if not layer.multiplies:
            entries.append(charge(buffer["written"], name, "forward output buffer", f"{what} bit kept", counts))
    waiting = 0.0
    carried = at_layers_with_weights(workload, stored)
    for layer in workload.multiplying:
        seen = activity.layers[layer.name]
        shares = seen.patch_density() if s.skip_silent and layer.op == "conv" else (1.0,) * layer.steps
        crossing = moved[layer.name].dram
        step = crossing.step + also.get(layer.name, 0.0)
        without, with_them = (
            spent(demands[layer.name].cycles, Amount(crossing.once, step + more), shares, s)
            for more in (0.0, carried.get(layer.name, 0.0))
        )
        longer = max(with_them.wall_s - without.wall_s, 0.0)
        if longer:
            entries += _leaking(layer, longer, workload, s)
            waiting += longer
    return entries, waiting


def _leaking(layer: Layer, seconds: float, workload: Workload, s: Structure) -> list[Entry]:
    """Leakage of everything that an inference keeps switched on."""
    parts, membranes = parts_of(s, s.at), bool(stored_states(workload, s)[0] or kept_sums(workload, s))
    standing: list[tuple[str, Coefficient, float, str]] = [
        ("accumulate", parts.accumulate.leakage, s.pes * s.lanes, "unit x s"),
        ("scratchpads", parts.scratchpads.leakage, s.pes, "unit x s"),
        ("neuron unit", parts.neuron.leakage, s.pes / s.neurons_per_lif, "unit x s"),
        *(
            (name, of["leakage"], s.banks, "bank x s")
            for name, of in memory_prices(s).items()
            if membranes or name != "membrane memory"
        ),
    ]
    return [
        charge(power, layer.name, f"forward {component}", f"leakage while storing, {what}", count * seconds)
        for component, power, count, what in standing
    ]
