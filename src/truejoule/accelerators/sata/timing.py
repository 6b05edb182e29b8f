"""When each layer and time step runs on SATA: one array, layers one after the other, DRAM behind the computation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from truejoule.accelerators.sata.dataflow import Amount, Loops
from truejoule.accelerators.sata.design import Structure
from truejoule.accelerators.time_loop import first_steps
from truejoule.cost import Schedule, Slot
from truejoule.workload import Workload


@dataclass(frozen=True, slots=True)
class Spent:
    """Time of one layer: ``busy`` in the array, ``wall`` with waiting for DRAM; seconds once, and per time step."""

    busy_once: float
    busy_steps: tuple[float, ...]
    wall_once: float
    wall_steps: tuple[float, ...]

    @property
    def wall_s(self) -> float:
        return self.wall_once + sum(self.wall_steps)

    @property
    def busy_s(self) -> float:
        return self.busy_once + sum(self.busy_steps)


def neuron_cycles(nest: Loops, s: Structure, time_steps: int) -> int:
    """Cycles per execution that a layer outside the time loop waits for the neurons behind it, which update ``time_steps`` times on every sum.

    In weight_stationary sums leave a column one per ``planes`` cycles, so in the last row fold of every block of channels T updates hide behind
    the products only for ``T <= planes``. The other dataflows hold the sums of a fold while the next one runs.
    """
    if s.dataflow != "weight_stationary":
        return 0
    blocks = math.ceil(nest.channels / s.columns) * nest.groups
    return blocks * nest.positions * max(time_steps - nest.planes, 0)


def spent(cycles: Amount, dram: Amount, shares: tuple[float, ...], s: Structure) -> Spent:
    """The array computes one tile while DRAM delivers the next, so the slower of the two sets the pace (the first tile's delivery is neglected).

    Parameters
    ----------
    shares : per time step, the share of the windows that is scheduled.
    """
    rate = s.dram_bits_per_cycle * s.clock
    busy = tuple(cycles.step * share / s.clock for share in shares)
    if s.time_outermost:
        first = dram.once / rate
        wall = tuple(max(b, dram.step / rate + (first if t == 0 else 0.0)) for t, b in enumerate(busy))
        return Spent(0.0, busy, 0.0, wall)
    once = cycles.once / s.clock
    if once + sum(busy) >= dram.total(len(shares)) / rate:
        return Spent(once, busy, once, busy)
    return Spent(once, busy, dram.once / rate, (dram.step / rate,) * len(shares))


def schedule(workload: Workload, times: Mapping[str, Spent], s: Structure) -> Schedule:
    """Slots of all layers with weights; neurons, norms and pooling hide behind the array.

    With time outermost every step runs through all layers, those outside the time loop before its first or in its last step (``first_steps``).
    Otherwise a layer works on all its time steps together before the next one starts: one slot, which ends with the last step.
    """
    slots: list[Slot] = []
    first, now = first_steps(workload), 0.0
    if s.time_outermost:
        for step in range(max(first[layer.name] + layer.steps for layer in workload.multiplying)):
            for layer in workload.multiplying:
                own = step - first[layer.name]
                if 0 <= own < layer.steps:
                    spent = times[layer.name]
                    end = now + spent.wall_steps[own]
                    slots.append(Slot(layer.name, step, now, end, min(spent.busy_steps[own], end - now)))
                    now = end
    else:
        for layer in workload.multiplying:
            spent = times[layer.name]
            end = now + spent.wall_s
            slots.append(Slot(layer.name, first[layer.name] + layer.steps - 1, now, end, min(spent.busy_s, end - now)))
            now = end
    return Schedule(tuple(slots), now, 1.0 / s.clock, workload.multiplying[-1].name)
