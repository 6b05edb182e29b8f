"""Stateless activations read from their values: ReLU, sign, staircases; thresholds may differ from channel to channel."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from truejoule.network.calling import own_dtype
from truejoule.network.execution import Leaf
from truejoule.network.recognise import first_tensor
from truejoule.network.state import fresh_copy

MOST_LEVELS = 300
MOST_VALUES = 1 << 22
"""Values in one trial, so that per-neuron constants of large maps stay affordable."""
MOST_PIECES = 4
GRID = 400
"""Steps of 1/50 to either side of zero in which slopes are measured."""
FINER = 32
"""Trials between two neighbouring inputs with different answers."""


def activation(module: nn.Module, shape: tuple[int, ...]) -> Leaf | None:
    """What a stateless elementwise module does; ``None`` if it is none of the known kinds.

    Parameters
    ----------
    module : copied, never touched.
    shape : of the input that it was seen with, ``(N, ...)``. The first axis becomes that of the trials.
    """

    twin = fresh_copy(module)  # one for all trials, so that memory would show
    dtype = own_dtype(module)

    def answer(x: Tensor) -> Tensor | None:
        try:
            with torch.no_grad():
                found = first_tensor(twin(x.to(dtype)))
        except Exception:  # any failure of foreign code just means: not this way
            return None
        return None if found is None else found.detach().float()

    return stateless(answer, shape)


def stateless(answer: Callable[[Tensor], Tensor | None], shape: tuple[int, ...]) -> Leaf | None:
    """What an elementwise function does, from its answers to float32 inputs like ``shape`` with any first size.

    Returns
    -------
    ``sign`` : two values of opposite sign, or several that do not approximate the input (comparisons with thresholds).
    ``relu`` : no negative inputs pass: identity above zero, or a staircase from zero.
    No operation : the identity, or a staircase that rounds its input (a quantiser).
    ``norm`` : straight pieces of different positive slopes (a leaky ReLU, a leaky clip).
    ``None`` : anything else, also one value for all inputs, and a step from 0 (a threshold that may belong to a neuron).
    """
    trials = _trials()
    for rest in _smaller(shape[1:]):
        found = _Function.over(answer, trials, rest)
        if found is not None:
            return found.kind()
    return None


def _trials() -> Tensor:
    """Ascending inputs: fine around zero, all integers that sums of binary products commonly reach, powers beyond."""
    wide = torch.logspace(-4, 6, 201)
    parts = (torch.linspace(-8, 8, 1601), torch.linspace(-1.5, 1.5, 601), torch.arange(-512.0, 513.0), wide, -wide)
    return torch.cat(parts).unique()


def _smaller(rest: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Sizes of one trial: maps shrunk to one position where the function lets us, else as they are."""
    full, one = rest, (*rest[:1], *(1 for _ in rest[1:]))
    return [one, full] if one != full else [full]


class _Function:
    """A function of scalars, one for each of ``elements``: ``x`` (trials,) ascending, ``y`` (trials, elements)."""

    def __init__(self, answer: Callable[[Tensor], Tensor | None], rest: tuple[int, ...], x: Tensor, y: Tensor) -> None:
        self._answer, self._rest, self.x, self.y = answer, rest, x, y

    @staticmethod
    def over(answer: Callable[[Tensor], Tensor | None], x: Tensor, rest: tuple[int, ...]) -> _Function | None:
        """Its answers to all trials; ``None`` if they are not those of a function of scalars."""
        elements = math.prod(rest)
        if elements * len(x) > 16 * MOST_VALUES:
            return None
        y = _run(answer, x[:, None].expand(-1, elements), rest)
        if y is None:
            return None
        # The same inputs in another order for each element must give the same answers.
        first = torch.randint(len(x), (elements,), generator=torch.Generator().manual_seed(0))
        order = (torch.arange(len(x))[:, None] + first) % len(x)
        again = _run(answer, x[order], rest)
        return _Function(answer, rest, x, y) if again is not None and torch.equal(again, y.gather(0, order)) else None

    def kind(self) -> Leaf | None:
        x = self.x[:, None]
        if bool((self.y == x).all()):
            return Leaf(None, "identity")
        if bool((self.y == x.clamp(min=0)).all()):
            return Leaf("relu")
        if slopes := self._slopes():
            return Leaf("norm", f"{slopes} slopes")  # scales every value, as a leaky ReLU does
        changes = self.y[1:] != self.y[:-1]
        most = int(changes.sum(0).max()) + 1
        if not 2 <= most <= MOST_LEVELS or not self._monotone():
            return None
        levels = torch.cat([self.y[0], self.y[1:][changes]]).unique()
        if not self._stairs(changes, levels):
            return None
        low, high = self.y.amin(0), self.y.amax(0)
        signs = bool((self.y == x.sign() * high)[self.x != 0].all())
        if signs or (most == 2 and bool(((low == -high) | (low == high)).all())):
            top = self.y.abs().amax(0)
            one = float(top.max()) if bool((top == top.max()).all()) else None
            return Leaf("sign", "times a scale per channel" if one is None else "" if one == 1 else f"times {one:g}")
        if most == 2:
            return None
        note = f"quantised to {most} levels"
        if bool((low >= 0).all()):
            return Leaf("relu", note)
        return Leaf(None if self._rounds(low, high, levels) else "sign", note)

    def _slopes(self) -> int:
        """The most straight pieces of any element if all rise everywhere and nowhere jump, some with a bend; else 0."""
        columns = self.y.unique(dim=1).T
        if len(columns) > MOST_LEVELS:
            return 0
        found = [_pieces(self.x, column) for column in columns]
        return max(found) if min(found) > 0 and max(found) > 1 else 0

    def _monotone(self) -> bool:
        """Each element rises or falls; which of the two may differ (a batch norm with negative gains, folded)."""
        slope = self.y[1:] - self.y[:-1]
        slack = 1e-6 * float(self.y.abs().max())
        return bool(((slope.amin(0) >= -slack) | (slope.amax(0) <= slack)).all())

    def _stairs(self, changes: Tensor, levels: Tensor) -> bool:
        """Whether only ``levels`` lie between two inputs with different answers: a steep slope would show other values."""
        element, at = changes.T.nonzero(as_tuple=True)  # of one element after the other
        counts = changes.sum(0)
        rank = torch.arange(len(at)) - (counts.cumsum(0) - counts)[element]
        below = self.x[:1].repeat(int(counts.max()), len(counts))
        above = below.clone()
        below[rank, element], above[rank, element] = self.x[at], self.x[at + 1]
        share = torch.linspace(0, 1, FINER)[:, None, None]
        between = _run(self._answer, (below + (above - below) * share).flatten(0, 1), self._rest)
        return between is not None and bool(torch.isin(between, levels).all())

    def _rounds(self, low: Tensor, high: Tensor, levels: Tensor) -> bool:
        """Whether inputs within the range of the levels stay where they are, up to one step."""
        x = self.x[:, None]
        inside = (x >= low) & (x <= high)
        return bool(((self.y - x).abs() <= float(levels.diff().max()))[inside].all())


def _pieces(x: Tensor, y: Tensor) -> int:
    """Straight pieces of a function that rises everywhere without jumps; 0 if it has other parts."""
    grid = torch.arange(-GRID, GRID + 1, dtype=torch.float64) / 50  # so far apart that rounding hardly shows
    at = torch.searchsorted(x.double(), grid).clamp(max=len(x) - 1).unique()
    slopes = (y[at].double().diff() / x[at].double().diff()).tolist()
    near = 1e-3 * max(abs(s) for s in slopes)
    runs = [[slopes[0]]]
    for slope in slopes[1:]:
        if abs(slope - runs[-1][0]) <= near:
            runs[-1].append(slope)
        else:
            runs.append([slope])
    pieces = [run[0] for run in runs if len(run) > 2]
    bends = [run[0] for run in runs if len(run) <= 2]  # the piece changes within a step of the grid
    rises = bool(pieces) and min(pieces) > near and all(min(pieces) <= b <= max(pieces) for b in bends)
    return len(pieces) if rises and len(pieces) <= MOST_PIECES and len(bends) < len(pieces) else 0


def _run(answer: Callable[[Tensor], Tensor | None], x: Tensor, rest: tuple[int, ...]) -> Tensor | None:
    """Answers to ``(trials, elements)``, the same shape; ``None`` where it answers another one, or none."""
    rows = max(1, MOST_VALUES // max(x.shape[1], 1))
    parts = []
    for part in x.split(rows):
        found = answer(part.reshape(len(part), *rest).clone())
        if found is None or found.shape != (len(part), *rest) or not bool(torch.isfinite(found).all()):
            return None
        parts.append(found.flatten(1) if rest else found[:, None])
    return torch.cat(parts)
