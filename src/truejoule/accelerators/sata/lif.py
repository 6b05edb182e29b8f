"""What neurons cost: the share of LIF units in the compute energy, and how much of it is spent idle."""

from __future__ import annotations

from dataclasses import dataclass

from truejoule.cost import Cost, Entry

COMPUTE = ("accumulate", "neuron unit")


@dataclass(frozen=True, slots=True)
class LifAccount:
    """Energy of the neuron units of one inference.

    Attributes
    ----------
    useful_j : gated part: registers clocked for an update.
    ungated_j, leakage_j : datapath clocked in every cycle; standing power.
    updates : neuron updates of the inference.
    alone_j : one update of a unit that costs nothing while idle.
    compute_share : neuron units over neuron units and accumulators, without scratchpads.
    """

    useful_j: float
    ungated_j: float
    leakage_j: float
    updates: float
    alone_j: float
    compute_share: float

    @property
    def total_j(self) -> float:
        return self.useful_j + self.ungated_j + self.leakage_j

    @property
    def per_update_j(self) -> float:
        """What one update is charged, idle cycles included."""
        return self.total_j / self.updates if self.updates else 0.0


def lif_account(cost: Cost) -> LifAccount:
    """The neuron units in a ledger of this machine (either account)."""
    lif = [e for e in cost.ledger if e.component == "neuron unit"]

    def of(action: str) -> list[Entry]:
        return [e for e in lif if e.action.startswith(action)]

    updates, clocked = of("operation"), of("cycle clocked")
    total = sum(e.total_j for e in lif)
    compute = sum(e.total_j for e in cost.ledger if e.component in COMPUTE)
    return LifAccount(
        sum(e.total_j for e in updates),
        sum(e.total_j for e in clocked),
        sum(e.total_j for e in of("leakage")),
        sum(e.count for e in updates),
        max((e.energy_j for e in updates), default=0.0) + max((e.energy_j for e in clocked), default=0.0),
        total / compute if compute else 0.0,
    )
