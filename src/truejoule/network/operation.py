"""One recognised torch call in a common form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from truejoule.workload.layer import Op

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One recognised torch call with its arguments in one common form.

    ``lead`` counts the leading axes of ``input`` that are not part of a sample when they are batch only
    (1 for maps, everything but the last axis for ``linear``).
    """

    op: Op
    inputs: tuple[Tensor, ...]
    weight: Tensor | None = None
    bias: Tensor | None = None
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    note: str = ""
    spatial: int = 2
    """Axes that a pool slides over: the last one, or the last two."""
    statistics: tuple[Tensor, ...] = ()
    """Mean, variance, scale and offset of a norm."""
    raw: Tensor | None = None
    """The input as the user passed it, where ``inputs`` holds a padded copy."""

    @property
    def multiplies(self) -> bool:
        return self.weight is not None and self.op in ("conv", "linear")


Parser = Callable[..., Operation | None]


def pair(value: Any, one_dimensional: bool = False) -> Pair:
    """``3`` → ``(3, 3)``; in one dimension ``3`` → ``(1, 3)``."""
    if isinstance(value, (tuple, list)):
        values = [int(v) for v in value]
        return (1, values[0]) if one_dimensional else (values[0], values[-1])
    return (1, int(value)) if one_dimensional else (int(value), int(value))
