"""The answer: accuracy, energy, latency and area of one network on one machine, with everything needed to check it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from truejoule.accelerators.against_ann import BreakEven
from truejoule.accelerators.mapping import Mapping as Placed
from truejoule.accelerators.over_time import EnergyLine
from truejoule.accelerators.preset import Parameter
from truejoule.cost import Cost, Ledger, TrainingCost
from truejoule.errors import InputError
from truejoule.units import format_si
from truejoule.workload import Activity, TrainingSparsity, Workload

SCHEMA = 1
"""Version of the JSON form."""
RIGHT = "right answers"
"""What an accuracy is of where each answer is right or wrong."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The mean over samples of how good each answer is, with its 95 % confidence interval.

    Attributes
    ----------
    value, low, high : share of right answers, or the mean in the unit of ``what``.
    what : of which the mean is taken.
    interval : how the interval was found.
    """

    value: float
    low: float
    high: float
    samples: int
    what: str = RIGHT
    interval: str = "Wilson score"

    @classmethod
    def of(cls, right: int, samples: int) -> Accuracy:
        """From ``right`` answers among ``samples``.

        Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
        """
        if samples < 1:
            raise InputError("accuracy of no samples", expected="at least one sample", fix="check the data loader")
        z = 1.959964
        p, n = right / samples, samples
        centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return cls(
            p, max((centre - spread) / (1 + z * z / n), 0.0), min((centre + spread) / (1 + z * z / n), 1.0), samples
        )

    @classmethod
    def mean(cls, marks: Sequence[float], what: str) -> Accuracy:
        """The mean of one real number per sample, with Student's t interval."""
        from scipy.special import stdtrit

        n = len(marks)
        if n < 2:
            raise InputError(
                "a mean score of one sample has no interval", where=what, got=n, expected="at least 2 samples"
            )
        mean = math.fsum(marks) / n
        spread = math.sqrt(math.fsum((m - mean) ** 2 for m in marks) / (n - 1) / n) * float(stdtrit(n - 1, 0.975))
        return cls(mean, mean - spread, mean + spread, n, what, "Student's t")

    @property
    def share(self) -> bool:
        """Whether it is a share of right answers, in per cent."""
        return self.what == RIGHT

    def __str__(self) -> str:
        if not self.share:
            return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}] ({self.what})"
        return f"{100 * self.value:.2f} % [{100 * self.low:.2f}, {100 * self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class ChipRun:
    """What one physical chip (one seed) did.

    Attributes
    ----------
    accuracy : on this chip.
    agreement : share of samples with the same answer as the ideal network: the same class, or outputs equal but for rounding.
    lost, gained : samples that only the ideal network, and only this chip, got right; for other scores, that this chip does worse, and better.
    activity, clipped, overflow, rounded, snr_db : see ``numerics.deployed.Measurement``.
    ledger : energy of this chip's own activity.
    """

    seed: int
    accuracy: Accuracy
    agreement: float
    lost: int
    gained: int
    activity: Activity
    clipped: Mapping[str, float]
    overflow: Mapping[str, float]
    rounded: Mapping[str, float]
    snr_db: Mapping[str, float]
    ledger: Ledger


def p_value(lost: int, gained: int) -> float:
    """How likely a difference at least this large is if both networks are equally accurate: exact two-sided McNemar test on the samples that only
    one of them got right. For samples on which one of them does better than the other it is the sign test.

    Source: McNemar, Psychometrika 12 (1947) 153; exact binomial form.
    """
    n = lost + gained
    tail = sum(math.comb(n, k) for k in range(min(lost, gained) + 1)) / 2**n
    return min(1.0, 2 * tail)


@dataclass(frozen=True, slots=True)
class DropMap:
    """Wire loss of one crossbar: ``loss[row][column]`` is the share of a cell's current that does not arrive; row 0 is far from the sense end."""

    layer: str
    loss: tuple[tuple[float, ...], ...]
    mean: float
    worst: float


@dataclass(frozen=True, slots=True)
class Training:
    """One training step of one sample on the machine: its energy, and the zeros of a real step that it is computed with."""

    cost: TrainingCost
    sparsity: TrainingSparsity


@dataclass(frozen=True, slots=True)
class OverTime:
    """A spiking network's energy as a function of T, and where it meets the ANN of the same topology (none beside an as-published account)."""

    line: EnergyLine
    against_ann: tuple[BreakEven, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One network on one machine.

    Attributes
    ----------
    machine : kind of machine, see ``Accelerator``.
    as_published : whether the machine's account follows a published model with its slips.
    ideal_accuracy : of the network as the user's framework computes it, on the same samples.
    chips : one per seed; all of them ran the same samples.
    cost : of the activity that the first chip measured.
    ideal_cost : of the activity of the ideal network on the same machine.
    alternatives : cost of the same measured activity under other accountings, by description.
    workload, mapping : what was asked and where it went; the workload carries the ideal activity.
    over_time : ``None`` for networks without spiking neurons.
    training : energy of a training step, ``None`` where no loss was given.
    parameters : of the machine, with sources.
    warnings : everything a reader should know, each once.
    provenance : versions, seeds, samples, device, wall time.
    """

    network: str
    accelerator: str
    machine: str
    title: str
    as_published: bool
    remedies: tuple[str, ...]
    ideal_accuracy: Accuracy
    chips: tuple[ChipRun, ...]
    cost: Cost
    ideal_cost: Cost
    alternatives: Mapping[str, Cost]
    workload: Workload
    mapping: Placed
    drops: tuple[DropMap, ...]
    over_time: OverTime | None
    training: Training | None
    parameters: tuple[Parameter, ...]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]

    @property
    def accuracy(self) -> Accuracy:
        """On the first chip when there is one; over all chips the mean, with the interval widened to their spread."""
        first = self.chips[0].accuracy
        if len(self.chips) == 1:
            return first
        values = [c.accuracy.value for c in self.chips]
        return Accuracy(
            sum(values) / len(values),
            min(c.accuracy.low for c in self.chips),
            max(c.accuracy.high for c in self.chips),
            first.samples,
            first.what,
            first.interval,
        )

    @property
    def activity(self) -> Activity:
        """What the first chip measured: what is costed."""
        return self.chips[0].activity

    def explain(self, what: str = "energy", layer: str | None = None, component: str | None = None) -> str:
        """The arithmetic of a number: one line per ledger entry, ``count x energy = total [source]``, and their sum.

        Raises
        ------
        InputError : unknown quantity, layer or component.
        """
        from truejoule.receipt import explain

        return explain(self.to_json(), what, layer, component)

    def verdict(self) -> str:
        """One sentence for people in a hurry."""
        ideal, here = self.ideal_accuracy, self.accuracy
        points = 100 * (ideal.value - here.value)
        chance = p_value(self.chips[0].lost, self.chips[0].gained)
        change = f"loses {points:.1f} points of accuracy" if points > 0 else f"gains {-points:.1f} points of accuracy"
        kept, values = "accuracy", f"{100 * ideal.value:.1f} → {100 * here.value:.1f} %"
        if not ideal.share:
            kept, values = f"mean ({ideal.what})", f"{ideal.value:.4g} → {here.value:.4g}"
            change = f"changes its {kept}"
        if chance > 0.05:
            change = f"keeps its {kept} within chance (p = {chance:.2f})"
        component, energy = max(self.cost.ledger.by("component").items(), key=lambda item: item[1])
        return (
            f"On {self.title} this network {change}, {values}, and takes "
            f"{format_si(self.cost.energy_j, 'J')} and {format_si(self.cost.latency_s, 's')} per inference on {format_si(self.cost.area_m2, 'm2')}; "
            f"{100 * energy / self.cost.energy_j:.0f} % of the energy is {component}."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; the report and every table are made from this and nothing else."""
        from truejoule.evaluation_json import as_json

        return as_json(self)
