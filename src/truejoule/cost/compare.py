"""Two energy accounts side by side: which is cheaper, how sure that is, and where the difference comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from truejoule.cost.ledger import Key, Ledger
from truejoule.errors import InputError
from truejoule.units import format_si

NOTABLE = 0.05
"""A component is named in a sentence if it moves the difference by this share of the cheaper account."""
SHOWN = 0.01
"""Layers below this share of both accounts say nothing about who wins where."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A first account over a second.

    Attributes
    ----------
    first_j, second_j : totals.
    low, high : smallest and largest ratio with every coefficient anywhere in its band.
    components : joules of the first minus the second, by component, largest first.
    mainly : the action that moves a component most.
    layers : the same by layer, small ones left out; empty if the two have not the same layers.
    """

    first_j: float
    second_j: float
    low: float
    high: float
    components: Mapping[str, float]
    mainly: Mapping[str, str]
    layers: Mapping[str, float]

    @property
    def ratio(self) -> float:
        return self.first_j / self.second_j

    @property
    def verdict(self) -> Literal["cheaper", "more expensive", "undecided"]:
        """Of the first; undecided while the bands leave it open."""
        return "cheaper" if self.high < 1 else "more expensive" if self.low > 1 else "undecided"

    def why(self) -> str:
        """Where the first pays more and where it saves: the rest of a sentence whose subject is the first."""
        least = NOTABLE * min(self.first_j, self.second_j)
        named = {name: f"{name} ({self.mainly[name]})" for name in self.components}
        more = [f"{format_si(j, 'J')} more on {named[c]}" for c, j in self.components.items() if j > least]
        less = [f"{format_si(-j, 'J')} on {named[c]}" for c, j in reversed(list(self.components.items())) if j < -least]
        found = [f"{verb} {_list(names[:3])}" for verb, names in (("pays", more), ("saves", less)) if names]
        text = " and ".join(found)
        cheap, dear = ([name for name, j in self.layers.items() if sign * j > 0] for sign in (-1, 1))
        where = ""
        if cheap and dear:
            where = f"in {_list(cheap) if len(cheap) <= 3 else f'{len(cheap)} of {len(self.layers)} layers'}"
        elif cheap or dear:
            where = "in every layer"
        if where:
            text += f"{'; it ' if text else ''}is the {'cheaper' if cheap else 'dearer'} one {where}"
        return text or "differs in nothing by more than a twentieth"


def compare(first: Ledger, second: Ledger, *, shared: bool, same_layers: bool) -> Comparison:
    """Compare two accounts.

    Parameters
    ----------
    shared : whether they are of one kind of machine, so that entries of one component and action share the error of their coefficient.
    same_layers : whether layers of one name are the same layer.

    Raises
    ------
    InputError : for a second account without any energy.
    """
    if not second.total_j:
        raise InputError("an account without energy", where="compare", got="0 J", expected="something to compare with")
    if shared:
        low, high = ratio_band(first, second)
    else:
        low, high = first.band_j[0] / second.band_j[1], first.band_j[1] / second.band_j[0]
    components = sorted(_difference(first, second, "component").items(), key=lambda item: -item[1])
    layers = _difference(first, second, "layer", SHOWN) if same_layers else {}
    layers.pop("chip", None)  # what belongs to none
    mainly = {
        name: _mainly(*(side.where(lambda e, c=name: e.component == c) for side in (first, second)))
        for name, _ in components
    }
    return Comparison(first.total_j, second.total_j, low, high, dict(components), mainly, layers)


def _mainly(first: Ledger, second: Ledger) -> str:
    changes = _difference(first, second, "action")
    return max(changes, key=lambda action: abs(changes[action])).partition(",")[0]


def _difference(first: Ledger, second: Ledger, key: Key, least: float = 0.0) -> dict[str, float]:
    """First minus second by ``key``, without what takes less than a share ``least`` of both."""
    here, there = first.by(key), second.by(key)
    small = (least * first.total_j, least * second.total_j)
    names = (n for n in dict.fromkeys([*here, *there]) if here.get(n, 0.0) >= small[0] or there.get(n, 0.0) >= small[1])
    return {name: here.get(name, 0.0) - there.get(name, 0.0) for name in names}


def ratio_band(numerator: Ledger, denominator: Ledger) -> tuple[float, float]:
    """Smallest and largest ratio of two totals of one kind of machine.

    Entries of one component and action whose bands have the same relative width share the error of their coefficient (which may be scaled to other
    sizes), so it moves both sides together; others move independently. The ratio is fractional-linear in each, so its extremes are corners, found by
    Dinkelbach's iteration.
    """
    ends: dict[tuple[str, str, float, float], list[float]] = {}
    for side, ledger in enumerate((numerator, denominator)):
        for e in ledger:
            low, high = (round(end / e.energy_j, 9) if e.energy_j else 0.0 for end in (e.low_j, e.high_j))
            sums = ends.setdefault((e.component, e.action, low, high), [0.0] * 4)
            sums[2 * side] += e.count * e.low_j
            sums[2 * side + 1] += e.count * e.high_j

    def extreme(sign: int) -> float:
        ratio = numerator.total_j / denominator.total_j
        while True:
            top = bottom = 0.0
            for low, high, low_below, high_below in ends.values():
                up = sign * ((high - low) - ratio * (high_below - low_below)) > 0
                top, bottom = top + (high if up else low), bottom + (high_below if up else low_below)
            if not bottom:
                return math.inf
            if sign * (top / bottom - ratio) <= 1e-12 * ratio:
                return ratio
            ratio = top / bottom

    return extreme(-1), extreme(1)


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
