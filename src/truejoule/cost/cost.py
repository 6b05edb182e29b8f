"""Energy, time and area of one inference on one machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from truejoule.cost.floorplan import Floorplan
from truejoule.cost.ledger import Ledger
from truejoule.cost.schedule import Schedule
from truejoule.errors import InvariantError


@dataclass(frozen=True, slots=True)
class Cost:
    """The three accounts.

    Attributes
    ----------
    floor_j : energy that the operations alone need; the ledger can never be below it.
    """

    ledger: Ledger
    schedule: Schedule
    floorplan: Floorplan
    floor_j: float = 0.0

    def __post_init__(self) -> None:
        total = self.ledger.total_j
        if not math.isclose(total, math.fsum(self.ledger.by("component").values()), rel_tol=1e-9, abs_tol=1e-30):
            raise InvariantError("the parts of the ledger sum to the whole", f"{total} J")
        if total < self.floor_j * (1 - 1e-9):
            raise InvariantError(
                "energy is not below the floor of the operations done", f"{total} J < {self.floor_j} J"
            )

    @property
    def energy_j(self) -> float:
        return self.ledger.total_j

    @property
    def latency_s(self) -> float:
        return self.schedule.latency_s

    @property
    def area_m2(self) -> float:
        return self.floorplan.area_m2

    @property
    def edp_js(self) -> float:
        """Energy-delay product of one inference."""
        return self.energy_j * self.latency_s

    @property
    def power_w(self) -> float:
        """Mean power of back-to-back inferences."""
        return self.energy_j / self.schedule.interval_s if self.schedule.interval_s else 0.0


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """Energy and time of one training step of one sample.

    Attributes
    ----------
    note : what a reader must know before comparing it with anything.
    latency_s : ``None`` where the model has no time.
    """

    ledger: Ledger
    note: str
    latency_s: float | None

    @property
    def energy_j(self) -> float:
        return self.ledger.total_j
