"""The time account: when each layer and time step runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from truejoule.errors import InvariantError


@dataclass(frozen=True, slots=True)
class Slot:
    """One layer in one time step, or in all steps up to ``step`` on a machine that works on them together.

    Attributes
    ----------
    start_s, end_s : from the first input to the last output of this layer and step.
    busy_s : time in which the hardware works; the rest of the slot is stall (waiting for inputs).
    """

    layer: str
    step: int
    start_s: float
    end_s: float
    busy_s: float

    @property
    def stall_s(self) -> float:
        return max(self.end_s - self.start_s - self.busy_s, 0.0)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Slots of one inference.

    Attributes
    ----------
    slots : in any order.
    interval_s : time between two inferences when they follow each other without a pause (1 / throughput).
    clock_s : length of one clock cycle.
    last : the layer whose outputs are the answer: the last one with weights, in the order of the workload.
    """

    slots: tuple[Slot, ...]
    interval_s: float
    clock_s: float
    last: str

    def __post_init__(self) -> None:
        for s in self.slots:
            if not (
                math.isfinite(s.end_s)
                and 0 <= s.start_s <= s.end_s
                and 0 <= s.busy_s <= (s.end_s - s.start_s) * (1 + 1e-9) + 1e-18
            ):
                raise InvariantError("0 <= start <= end and busy fits in between", repr(s))
        if self.slots and not 0 < self.interval_s <= self.latency_s * (1 + 1e-9):
            raise InvariantError("0 < interval <= latency", f"{self.interval_s} s, {self.latency_s} s")
        if self.slots and all(s.layer != self.last for s in self.slots):
            raise InvariantError("the last layer has a slot", repr(self.last))

    @property
    def latency_s(self) -> float:
        """From the first input to the last output of the last time step."""
        return max((s.end_s for s in self.slots), default=0.0)

    @property
    def throughput_hz(self) -> float:
        """Inferences per second when they follow each other without a pause."""
        return 1.0 / self.interval_s if self.interval_s else 0.0

    @property
    def first_output_s(self) -> float:
        """When the last layer has finished its first time step: the earliest answer."""
        return min((s.end_s for s in self.slots if s.layer == self.last), default=0.0)

    def by_layer(self) -> dict[str, float]:
        """Busy seconds per layer, all time steps."""
        busy: dict[str, float] = {}
        for s in self.slots:
            busy[s.layer] = busy.get(s.layer, 0.0) + s.busy_s
        return busy
