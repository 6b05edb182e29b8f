"""The energy account: every joule is ``count x energy per action`` with a source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from truejoule.errors import InputError, InvariantError, did_you_mean

Key = Literal["layer", "component", "action", "when", "kind", "source"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of action of one component for one layer.

    Attributes
    ----------
    layer : layer name, or ``"chip"`` for what belongs to none.
    component, action : for example ``"adc"``, ``"conversion"``.
    when : ``"each step"`` or ``"once"`` per inference; together they give E(T) = E0 + sum of steps.
    counts : actions per inference, one number per time step, or a single one for ``"once"``. Means over samples, so not always whole.
    energy_j, low_j, high_j : energy of one action and its band.
    source, kind : where the energy per action comes from, see ``Coefficient``.
    """

    layer: str
    component: str
    action: str
    when: Literal["each step", "once"]
    counts: tuple[float, ...]
    energy_j: float
    low_j: float
    high_j: float
    source: str
    kind: str

    @property
    def count(self) -> float:
        return math.fsum(self.counts)

    @property
    def total_j(self) -> float:
        return self.count * self.energy_j


@dataclass(frozen=True, slots=True)
class Ledger:
    """Entries of one inference (mean over the samples that were measured).

    Raises
    ------
    InvariantError : if a count or an energy is negative or not finite, or a band does not enclose its value.
    """

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        for e in self.entries:
            if e.when == "once" and len(e.counts) != 1:
                raise InvariantError(
                    "what happens once has one count", f"{e.layer} {e.component} {e.action}: {e.counts}"
                )
            if not all(math.isfinite(c) and c >= 0 for c in e.counts):
                raise InvariantError(
                    "counts are finite and non-negative", f"{e.layer} {e.component} {e.action}: {e.counts}"
                )
            if not (math.isfinite(e.high_j) and 0 <= e.low_j <= e.energy_j <= e.high_j):
                raise InvariantError(
                    "0 <= low <= energy <= high",
                    f"{e.layer} {e.component} {e.action}: {e.low_j}, {e.energy_j}, {e.high_j}",
                )

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(self.entries + other.entries)

    @property
    def total_j(self) -> float:
        return math.fsum(e.total_j for e in self.entries)

    @property
    def band_j(self) -> tuple[float, float]:
        """Total with every coefficient at its low, and at its high value: the widest band, not a standard deviation."""
        return math.fsum(e.count * e.low_j for e in self.entries), math.fsum(e.count * e.high_j for e in self.entries)

    @property
    def fixed_j(self) -> float:
        """What is charged once per inference, at this number of time steps (passes over weights may grow with it)."""
        return math.fsum(e.total_j for e in self.entries if e.when == "once")

    def step_j(self) -> tuple[float, ...]:
        """Energy of each time step, without E0."""
        steps = max((len(e.counts) for e in self.entries if e.when == "each step"), default=0)
        return tuple(
            math.fsum(e.counts[t] * e.energy_j for e in self.entries if e.when == "each step" and t < len(e.counts))
            for t in range(steps)
        )

    def by(self, key: Key) -> dict[str, float]:
        """Joules per value of ``key`` (``"layer"``, ``"component"``, ``"action"``, ``"when"``, ``"kind"``, ``"source"``), in order of first appearance."""
        return {name: math.fsum(e.total_j for e in group) for name, group in self._groups(key).items()}

    def table(self, rows: Key = "layer", columns: Key = "component") -> dict[str, dict[str, float]]:
        """Joules per ``rows`` and ``columns``, missing combinations left out."""
        return {name: Ledger(tuple(group)).by(columns) for name, group in self._groups(rows).items()}

    def settled(self, steps: int) -> Ledger:
        """The same account; what layers outside a loop over ``steps`` time steps do in their one step happens once."""
        if steps == 1:
            return self
        return Ledger(tuple(replace(e, when="once") if len(e.counts) == 1 else e for e in self.entries))

    def where(self, keep: Callable[[Entry], bool]) -> Ledger:
        return Ledger(tuple(e for e in self.entries if keep(e)))

    def _groups(self, key: Key) -> dict[str, list[Entry]]:
        if key not in Key.__args__:  # type: ignore[attr-defined]
            raise InputError(f"the ledger has no column {key!r}", fix=did_you_mean(key, Key.__args__))  # type: ignore[attr-defined]
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(getattr(entry, key), []).append(entry)
        return groups
