"""What an evaluation is about to do, and how a remedy changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from truejoule.accelerators.accelerator import Accelerator
from truejoule.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from truejoule.network import Network
    from truejoule.numerics.deployed import Deployed

Stage = Literal["network", "accelerator", "deployed"]
STAGES: tuple[Stage, ...] = ("network", "accelerator", "deployed")
"""The order in which stages are passed; a remedy acts at exactly one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a remedy may change.

    Attributes
    ----------
    network : what runs.
    accelerator : on which machine.
    calibration : input batches without labels, for ranges and adaptation.
    seed : of the physical chip.
    deployed : the network on the machine; ``None`` before the stage ``deployed``.
    """

    network: Network
    accelerator: Accelerator
    calibration: tuple[Tensor, ...]
    seed: int
    deployed: Deployed | None = None


class Mitigation(Protocol):
    """A remedy.

    Attributes
    ----------
    name : as in reports and on the command line.
    stage : when it acts: before anything is mapped (``network``), on the machine (``accelerator``), or on the programmed chip (``deployed``).
    """

    name: str
    stage: Stage

    def apply(self, plan: Plan) -> Plan:
        """The changed plan; the given one is left as it is."""
        ...


def apply(plan: Plan, mitigations: Sequence[Mitigation], stage: Stage) -> Plan:
    """Apply the remedies of one stage in their order.

    Raises
    ------
    InputError : for a remedy with an unknown stage.
    """
    for mitigation in mitigations:
        if mitigation.stage not in STAGES:
            raise InputError(
                "a remedy with an unknown stage",
                where=mitigation.name,
                got=mitigation.stage,
                expected=", ".join(STAGES),
            )
        if mitigation.stage == stage:
            plan = mitigation.apply(plan)
    return plan
