"""A module as a function of many independent scalar sequences, and where its answer changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from truejoule.network.calling import NotElementwise
from truejoule.network.forms import Form

LANES = 2048
ELEMENTS = 2**21  # of one trial: fewer lanes where many neurons have to be told apart


class Answering(Protocol):
    """What is tried: a module behind a ``Caller``, or a replayed program."""

    @property
    def dtype(self) -> torch.dtype: ...

    def answers(self, inputs: list[Tensor]) -> list[Tensor]:
        """One output for each input, in the shape of the input, from the fresh state."""
        ...


@dataclass(frozen=True, slots=True)
class Lanes:
    """Trials of a module: ``lanes`` independent sequences for each of its different neurons."""

    caller: Answering
    form: Form

    @property
    def neurons(self) -> int:
        return self.form.different if self.form.samples is None else 1

    def run(self, x: Tensor) -> Tensor:
        """Outputs over time for inputs (T, lanes, neurons), from the fresh state.

        Raises
        ------
        NotElementwise : if the module does not take so many steps, or answers something else.
        """
        steps, lanes, _ = x.shape
        longest = self.form.steps
        if longest is not None and steps > longest:
            raise NotElementwise(f"it takes {longest} time steps and not {steps}")
        if longest is not None and steps < longest:  # what comes later cannot change what was answered before
            x = torch.cat([x, torch.zeros(longest - steps, *x.shape[1:], dtype=x.dtype)])
        outputs = self.caller.answers(self.form.arrange(x))
        return self.form.collect(outputs, len(x), lanes)[:steps]

    def last(self, *inputs: Tensor | float, later: int = 0) -> Tensor:
        """Outputs (lanes, neurons) of the last step for inputs that are scalars or (lanes, neurons), then ``later`` zeros."""
        given = [torch.as_tensor(x).to(self.precision) for x in (*inputs, *[0.0] * later)]
        shape = torch.broadcast_shapes((1, self.neurons), *(x.shape for x in given))
        return self.run(torch.stack([x.expand(shape) for x in given]))[-1]

    @property
    def precision(self) -> torch.dtype:
        return torch.float64 if self.caller.dtype == torch.float64 else torch.float32


def onset(
    fires: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, precision: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Adjacent numbers between which ``fires`` turns from false to true, for each of many columns.

    Parameters
    ----------
    fires : (lanes, columns) numbers → whether they fire.
    low, high : (columns,) where to look.

    Returns
    -------
    below, at : (columns,); NaN where nothing fires up to ``high``; equal where ``low`` fires already.

    Raises
    ------
    NotMonotone : when more input can mean fewer spikes.
    """
    low, high = low.to(precision), high.to(precision)
    lanes = max(min(LANES, ELEMENTS // len(low)), 16)
    never = torch.zeros(len(low), dtype=torch.bool)
    first = True
    while True:
        grid = low + (high - low) * torch.linspace(0, 1, lanes, dtype=torch.float64)[:, None]
        grid = grid.to(precision)
        if first:
            grid = torch.cat([grid, magnitudes(high), -magnitudes(-low)]).clamp(low, high)
        grid = torch.cat([low[None], grid, high[None]]).sort(0).values
        fired = fires(grid) > 0
        fewer = fired[:-1] & ~fired[1:] & ~never
        if bool(fewer.any()):
            raise NotMonotone(float(grid[1:][fewer][0]))
        if first:
            never = ~fired.any(0)
        index = fired.to(torch.int8).argmax(0)
        start = (index == 0) & ~never
        columns = torch.arange(len(low))
        at = torch.where(never, high, grid[index, columns])
        below = torch.where(start | never, at, grid[(index - 1).clamp(min=0), columns])
        if bool((start | never | (torch.nextafter(below, torch.full_like(below, float("inf"))) >= at)).all()):
            nothing = torch.full_like(at, float("nan"))
            return torch.where(never, nothing, below), torch.where(never, nothing, at)
        low, high, first = below, at, False


class NotMonotone(Exception):  # noqa: N818 - internal signal
    """A larger input gave fewer spikes."""


def magnitudes(top: Tensor) -> Tensor:
    """(lanes, columns): from tiny to ``top``, so that small thresholds are resolved as well as large ones."""
    share = torch.logspace(-10, 0, 300, dtype=torch.float64)[:, None]
    return (share * top.clamp(min=0)).to(top.dtype)
