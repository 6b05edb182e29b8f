"""Runs copies of a module on many scalar inputs at once, and finds where its answer changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.network.recognise import first_tensor
from truejoule.network.state import fresh_copy

LANES = 2048


class NotElementwise(Exception):  # noqa: N818 - internal signal, never leaves the room
    """The module does not take a row of scalars, or answers with another shape."""


class Lanes:
    """A module as a function of scalar sequences: every lane of a (1, P) tensor is an independent trial."""

    longest = 50
    """Time steps of the longest sequence that is tried."""

    def __init__(self, module: nn.Module) -> None:
        # One copy is kept clean, so that probing can never touch the user's module.
        self._clean = fresh_copy(module)
        for child in self._clean.modules():
            if getattr(child, "step_mode", None) == "m":
                child.step_mode = "s"  # type: ignore[assignment]
        self._start: tuple[Any, ...] | None = None

    def run(self, x: Tensor) -> Tensor:
        """Outputs over time for inputs (T, P); each run begins from the fresh state."""
        module = fresh_copy(self._clean)
        rows, state = [], self._first_state(module, x[:1])
        if state is not None and self._needs_copy:
            module = fresh_copy(self._clean)
        with torch.no_grad():
            for row in x.to(torch.float32):
                spikes, state = self._call(module, row.unsqueeze(0).clone(), state)
                if spikes.shape != (1, x.shape[1]):
                    raise NotElementwise(f"answers {tuple(spikes.shape)} to {(1, x.shape[1])}")
                rows.append(spikes[0].to(torch.float32))
        return torch.stack(rows)

    def _first_state(self, module: nn.Module, x: Tensor) -> tuple[Any, ...]:
        """Which extra arguments the first call needs: none, ``None``s, or zeros (a membrane passed by hand)."""
        self._needs_copy = self._start is None
        if self._start is None:
            problem: Exception = NotElementwise("no way to call it was found")
            for state in ((), (None,), (torch.zeros_like(x),), (None, None), (torch.zeros_like(x),) * 2):
                try:
                    with torch.no_grad():
                        output = fresh_copy(module)(x.clone(), *state)
                    if first_tensor(output) is None:
                        raise NotElementwise("answers no tensor")
                    self._start = tuple(None if s is None else "zeros" for s in state)
                    break
                except NotElementwise:
                    raise
                except Exception as error:  # any failure of foreign code just means: not this way
                    problem = error
            else:
                raise NotElementwise(f"{type(problem).__name__}: {problem}") from problem
        return tuple(None if s is None else torch.zeros_like(x) for s in self._start)

    def _call(self, module: nn.Module, x: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        try:
            try:
                output = module(x, *state)
            except TypeError:
                if not state:
                    raise
                output = module(x)  # keeps its own state although it also returns it
        except Exception as error:  # any failure of foreign code
            raise NotElementwise(f"{type(error).__name__}: {error}") from error
        spikes = first_tensor(output)
        assert spikes is not None
        if isinstance(output, (tuple, list)) and len(output) > 1:
            rest = output[1:]
            return spikes, tuple(rest)
        return spikes, ()

    def last(self, *inputs: Tensor | float) -> Tensor:
        """Outputs of the last step for a sequence of inputs, each a scalar or one value per lane."""
        width = max((t.numel() for t in inputs if isinstance(t, Tensor)), default=1)
        rows = [t.flatten().expand(width) if isinstance(t, Tensor) else torch.full((width,), float(t)) for t in inputs]
        return self.run(torch.stack([r.to(torch.float32) for r in rows]))[-1]


def onset(fires: Callable[[Tensor], Tensor], low: float, high: float) -> tuple[float, float] | None:
    """Adjacent float32 numbers between which ``fires`` turns from false to true; ``None`` if it never does.

    Raises
    ------
    NotMonotone : when more input can mean fewer spikes.
    """
    first = True
    while True:
        grid = torch.linspace(low, high, LANES, dtype=torch.float64).to(torch.float32).unique()
        if first:
            grid = torch.cat([grid, magnitudes(high), -magnitudes(-low)]).unique()
            grid = grid[(grid >= low) & (grid <= high)]
        fired = fires(grid) > 0
        if bool((fired[:-1] & ~fired[1:]).any()):
            raise NotMonotone(float(grid[int((fired[:-1] & ~fired[1:]).nonzero()[0]) + 1]))
        if not bool(fired.any()):
            return None if first else (high, high)
        index = int(fired.to(torch.int8).argmax())
        if index == 0:
            return (float(grid[0]), float(grid[0]))
        below, above = float(grid[index - 1]), float(grid[index])
        if float(torch.nextafter(torch.tensor(below), torch.tensor(float("inf")))) >= above:
            return below, above
        low, high, first = below, above, False


class NotMonotone(Exception):  # noqa: N818 - internal signal
    """A larger input gave fewer spikes."""


def magnitudes(top: float) -> Tensor:
    """Geometric grid from tiny to ``top``, so that small thresholds are resolved as well as large ones."""
    if top <= 0:
        return torch.zeros(0)
    return torch.logspace(-6, torch.log10(torch.tensor(top)).item(), 400, dtype=torch.float64).to(torch.float32)
