"""When each layer and time step runs on SATA: one array, layers one after the other, DRAM behind the computation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from truejoule.accelerators.sata.dataflow import Amount
from truejoule.accelerators.sata.design import Structure
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

    With time outermost every step runs through all layers. Otherwise a layer works on all its time steps together before the next one starts:
    one slot, which ends with the last step.
    """
    slots: list[Slot] = []
    now = 0.0
    if s.time_outermost:
        for step in range(workload.time_steps):
            for layer in workload.multiplying:
                if step < layer.steps:
                    spent = times[layer.name]
                    end = now + spent.wall_steps[step]
                    slots.append(Slot(layer.name, step, now, end, min(spent.busy_steps[step], end - now)))
                    now = end
    else:
        for layer in workload.multiplying:
            spent = times[layer.name]
            end = now + spent.wall_s
            slots.append(Slot(layer.name, layer.steps - 1, now, end, min(spent.busy_s, end - now)))
            now = end
    return Schedule(tuple(slots), now, 1.0 / s.clock)
