"""A physical constant that knows where it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from truejoule.cost import Block, Entry
from truejoule.errors import InputError

Kind = Literal["published", "derived", "calibrated", "assumed"]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One constant in SI units with its band and its origin.

    Attributes
    ----------
    name : what it is, in words.
    value, low, high : in ``unit``; low and high are the range in which the sources put it (equal to value when there is one source).
    unit : SI, for example ``"J"`` or ``"J/bit"``.
    source : paper and table, code and file, or the reasoning.
    kind : ``published`` (printed or in released code), ``derived`` (our arithmetic from published numbers), ``calibrated`` (fitted; the source
        says on which point) or ``assumed`` (nobody published it; can be swept).
    node_m : technology node it holds for, ``None`` if it does not depend on one.
    """

    name: str
    value: float
    unit: str
    source: str
    kind: Kind
    low: float = math.nan
    high: float = math.nan
    node_m: float | None = None

    def __post_init__(self) -> None:
        for field in ("low", "high"):
            if math.isnan(getattr(self, field)):
                object.__setattr__(self, field, self.value)
        if (
            not all(map(math.isfinite, (self.value, self.low, self.high)))
            or not 0 <= self.low <= self.value <= self.high
        ):
            raise InputError(
                "a coefficient whose band does not enclose its value",
                where=self.name,
                got=f"low {self.low}, value {self.value}, high {self.high} {self.unit}",
                expected="0 <= low <= value <= high, all finite",
            )
        if not self.source:
            raise InputError(
                "a coefficient without a source",
                where=self.name,
                expected="a paper, a file of released code, or the reasoning",
            )

    def scaled(self, factor: float, reason: str, *, name: str | None = None, unit: str | None = None) -> Coefficient:
        """The coefficient times ``factor``; the reason is added to the source, and a published value becomes a derived one."""
        kind: Kind = "derived" if self.kind == "published" else self.kind
        return replace(
            self,
            name=name or self.name,
            unit=unit or self.unit,
            value=self.value * factor,
            low=self.low * factor,
            high=self.high * factor,
            source=f"{self.source}; {reason}",
            kind=kind,
        )

    def plus(self, other: Coefficient, name: str) -> Coefficient:
        """The sum of two coefficients of one unit, bands added."""
        if self.unit != other.unit:
            raise InputError(
                "coefficients of different units cannot be added", where=name, got=f"{self.unit} + {other.unit}"
            )
        order: tuple[Kind, ...] = ("published", "derived", "calibrated", "assumed")
        kinds: tuple[Kind, ...] = (self.kind, other.kind, "derived")
        source = self.source if other.source in self.source else f"{self.source} + {other.source}"
        return Coefficient(
            name,
            self.value + other.value,
            self.unit,
            source,
            max(kinds, key=order.index),
            self.low + other.low,
            self.high + other.high,
            self.node_m,
        )


def charge(energy: Coefficient, layer: str, component: str, action: str, counts: Sequence[float] | float) -> Entry:
    """A ledger entry; a sequence of counts is per time step, a single number is charged once per inference."""
    once = isinstance(counts, (int, float))
    return Entry(
        layer=layer,
        component=component,
        action=action,
        when="once" if once else "each step",
        counts=(float(counts),) if once else tuple(map(float, counts)),  # type: ignore[arg-type]
        energy_j=energy.value,
        low_j=energy.low,
        high_j=energy.high,
        source=energy.source,
        kind=energy.kind,
    )


def place(area: Coefficient, component: str, instances: float) -> Block:
    """A floorplan block."""
    return Block(component, float(instances), area.value, area.low, area.high, area.source, area.kind)
