"""The area account."""

from __future__ import annotations

import math
from dataclasses import dataclass

from truejoule.errors import InvariantError


@dataclass(frozen=True, slots=True)
class Block:
    """``instances`` equal blocks of one component.

    Attributes
    ----------
    area_m2, low_m2, high_m2 : silicon area of one instance and its band.
    source, kind : see ``Coefficient``.
    """

    component: str
    instances: float
    area_m2: float
    low_m2: float
    high_m2: float
    source: str
    kind: str

    @property
    def total_m2(self) -> float:
        return self.instances * self.area_m2


@dataclass(frozen=True, slots=True)
class Floorplan:
    """Blocks of a chip."""

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        for b in self.blocks:
            if not (
                math.isfinite(b.high_m2)
                and 0 <= b.low_m2 <= b.area_m2 <= b.high_m2
                and math.isfinite(b.instances)
                and b.instances >= 0
            ):
                raise InvariantError("areas and instances are finite and non-negative", repr(b))

    @property
    def area_m2(self) -> float:
        return math.fsum(b.total_m2 for b in self.blocks)

    @property
    def band_m2(self) -> tuple[float, float]:
        """Area with every coefficient at its low, and at its high value."""
        return math.fsum(b.instances * b.low_m2 for b in self.blocks), math.fsum(
            b.instances * b.high_m2 for b in self.blocks
        )

    def by_component(self) -> dict[str, float]:
        areas: dict[str, float] = {}
        for b in self.blocks:
            areas[b.component] = areas.get(b.component, 0.0) + b.total_m2
        return areas
