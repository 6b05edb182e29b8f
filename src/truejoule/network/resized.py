"""Which sizes inside a network move with which axis of its example: read once more with an example of another size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from truejoule.errors import InputError
from truejoule.network.execution import Execution


class Size(NamedTuple):
    """How often a layer ran, and the shape of its first input."""

    runs: int
    shape: tuple[int, ...]


Sizes = Mapping[str, Size]
"""Layer name → what was seen of it in one run."""


def sizes_of(executions: Sequence[Execution]) -> Sizes:
    found: dict[str, Size] = {}
    for execution in executions:
        known = found.get(execution.name)
        found[execution.name] = Size(known.runs + 1, known.shape) if known else Size(1, execution.input_shape)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Resized:
    """The sizes of all layers for an example that is longer or shorter along one axis.

    Attributes
    ----------
    run : sizes of one run of the module; raises ``InputError`` where the module does not take the input.
    """

    example: Tensor
    run: Callable[[Tensor], Sizes]

    def along(self, axis: int, *avoid: int) -> tuple[int, Sizes] | None:
        """Another size of an axis, and the sizes that go with it; ``None`` if the module takes no other. Small sizes first: they run fast."""
        now = int(self.example.shape[axis])
        for size in dict.fromkeys((*[n for n in (3, 2, 5) if n < now and n not in avoid][:2], now + 1, 2 * now)):
            if size == now or size in avoid:
                continue
            index = torch.arange(size, device=self.example.device).clamp(max=now - 1)
            try:
                return size, self.run(self.example.index_select(axis, index))
            except InputError:
                continue
        return None

    def of_samples(self, time_axis: int | None, time_steps: int) -> Callable[[], tuple[int, Sizes] | None]:
        """``along`` the samples, run when it is first asked for."""
        known: list[tuple[int, Sizes] | None] = []

        def ask() -> tuple[int, Sizes] | None:
            if not known:
                known.append(self.along(0 if time_axis is None else 1 - time_axis, time_steps))
            return known[0]

        return ask


def find_axis(
    example: Tensor, steps_in: Callable[[Sizes], int], runs: Sizes, resized: Resized, told: bool
) -> int | None:
    """The axis of an example that is time, for a network that runs several steps; ``None`` if its steps are made inside.

    An axis along which the number of steps moves is time. Where the network takes so many steps whatever the example holds, nothing at all
    moves with time, while samples move the batch of every layer.

    Raises
    ------
    InputError : if the network takes no other size of either axis, and the user said nothing about time.
    """
    steps, moved = steps_in(runs), []
    for axis in (0, 1):
        other = resized.along(axis)
        if other is None:
            moved.append(None)
            continue
        size, sizes = other
        per_frame, rest = divmod(steps, int(example.shape[axis]))
        follows = (
            not rest and steps_in(sizes) == per_frame * size != steps
        )  # not only fewer, as where a confident network stops early
        if follows or (sizes == runs and example.shape[axis] >= steps):
            return axis
        moved.append(axis)
    if moved == [None, 1] and int(example.shape[0]) == steps:
        return 0  # the samples are in the second axis, and as many frames as steps in front of them
    if moved == [None, None] and not told:
        raise InputError(
            "time and samples of the example cannot be told apart",
            where="example",
            got=f"shape {tuple(example.shape)}; the network takes no other size of its first two axes",
            expected="a network that takes any number of samples",
            fix="say time_axis= if an axis of the example is time, else time_steps=",
        )
    return None
