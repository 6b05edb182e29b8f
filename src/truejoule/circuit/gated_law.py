"""Any cell law as a short table, so that one compiled loop serves all of them: separated, interpolated, measured.

A law ``i(v, g)`` is written as a sum of products of state and voltage,

    i(v, g) ≈ Σ_p i(v_p, g) · L_p(v),

with few pivot voltages ``v_p`` (one for every law proportional to its state, a handful for the others): each cell
needs its exact currents at the pivots only, and the functions ``L_p`` are common to the array. They are tabulated as
piecewise cubics through values and slopes on an even grid, which has a point at 0 V and at the read voltage. The number
of pivots and of grid points grows until the law is met to the tolerance at voltages and states in between; what is left
is reported, and belongs to every error bound.

Source: interpolative decomposition, in the greedy form of the empirical interpolation method (M. Barrault et al., C. R.
Acad. Sci. Paris 339, 2004); cubic Hermite interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from truejoule.circuit.cells import Cell, evaluate

TOLERANCE = 1e-9
"""Relative error of currents at which refinement stops."""
_PIVOTS = 12
_STATES = 48
"""Sampled states of each kind."""
_MARGIN = 4
"""Share of the read voltage, one over this, that the table extends beyond 0 and the read voltage: iterates stray."""
_FIRST_GRID, _LAST_GRID = 64, 4096
"""Intervals between 0 and the read voltage; multiples of `_MARGIN`."""


@dataclass(frozen=True)
class LawTable:
    """A cell law between ``low_v`` and ``low_v + intervals · step_v`` (``step_v < 0`` for a negative read voltage)."""

    cell: Cell
    pivots_v: Tensor
    """``(pivots,)``."""
    cubics: Tensor
    """``(intervals, pivots, 4)``: ``L_p`` as a cubic of the position 0 to 1 in the interval, lowest power first."""
    low_v: float
    step_v: float
    error: float
    """Largest relative error of the current between 0 and the read voltage, at sampled states."""

    def states(self, g: Tensor) -> Tensor:
        """``i(v_p, g)`` of cells ``g (...)`` in S: ``(pivots, ...)`` in A."""
        shape = (-1, *(1,) * g.ndim)
        return torch.stack([self.cell.current(v, g) for v in self.pivots_v.reshape(shape)])


def law_table(cell: Cell, g: Tensor, v_read: float) -> LawTable:
    """The table of a law for the states that occur in ``g`` (fp64) and voltages from 0 to ``v_read``, in V."""
    states, others = _sampled(g)
    pivots, error = _pivots(cell, states, v_read)
    size, best = _FIRST_GRID, None
    while True:
        found = LawTable(cell, pivots, *_tabulated(cell, states, pivots, v_read, size), error=0.0)
        miss = max(_error(found, x, size) for x in (states, others))
        if best is None or miss < best.error:
            best = replace(found, error=miss)
        if miss <= TOLERANCE or size >= _LAST_GRID or miss < 2 * error:
            return best
        size *= 2


def _sampled(g: Tensor) -> tuple[Tensor, Tensor]:
    """States to fit and others to check: by rank, because fits may change where cells are, and by magnitude."""
    positive = torch.unique(g.detach()[g.detach() > 0])
    if positive.numel() == 0:
        one = torch.ones(1, dtype=torch.float64, device=g.device)
        return one, one
    if positive.numel() <= _STATES:
        return positive, positive
    rank = torch.linspace(0, positive.numel() - 1, 2 * _STATES + 1, device=g.device).round().long()
    ends = positive[[0, -1]].log()
    even = torch.linspace(float(ends[0]), float(ends[1]), _STATES, dtype=torch.float64, device=g.device).exp()
    between = torch.sqrt(even[1:] * even[:-1])
    return torch.cat([positive[rank[::2]], even]), torch.cat([positive[rank[1::2]], between])


def _pivots(cell: Cell, states: Tensor, v_read: float) -> tuple[Tensor, float]:
    """Pivot voltages, each where those before it leave most, and the relative error that is left."""
    v = torch.linspace(0, 1, 193, dtype=torch.float64, device=states.device)[1:] * v_read
    per_volt = cell.current(v.unsqueeze(-1), states) / v.unsqueeze(-1)
    per_volt = per_volt / per_volt.abs().amax(0)
    chosen, best, least = [v.numel() - 1], 0, float("inf")
    while True:
        fitted = _combined(per_volt, per_volt[chosen]) @ per_volt[chosen]
        left = (fitted - per_volt).abs() / per_volt.abs().clamp_min(torch.finfo(torch.float64).tiny)
        if float(left.max()) < least:
            best, least = len(chosen), float(left.max())
        if least <= TOLERANCE / 10 or len(chosen) in (_PIVOTS, states.numel(), best + 2):
            return v[chosen[:best]], least
        gap = (fitted - per_volt).square().sum(1)
        gap[chosen] = 0
        chosen.append(int(gap.argmax()))


def _combined(of: Tensor, rows: Tensor) -> Tensor:
    """``L`` with ``L @ rows ≈ of``, by least squares."""
    return torch.linalg.lstsq(rows.mT, of.mT).solution.mT


def _tabulated(cell: Cell, states: Tensor, pivots: Tensor, v_read: float, size: int) -> tuple[Tensor, float, float]:
    """Cubics on ``size`` intervals between 0 and the read voltage, and a margin on both sides."""
    margin = size // _MARGIN
    step = v_read / size
    v = torch.arange(-margin, size + margin + 1, dtype=torch.float64, device=states.device) * step
    at_pivots = cell.current(pivots.unsqueeze(-1), states)
    norm = at_pivots.abs().amax(0)
    value, slope = (_combined(x / norm, at_pivots / norm) for x in evaluate(cell, v.unsqueeze(-1), states))
    slope = slope * step
    a, b, da, db = value[:-1], value[1:], slope[:-1], slope[1:]
    cubics = torch.stack([a, da, 3 * (b - a) - 2 * da - db, 2 * (a - b) + da + db], -1)
    return cubics.contiguous(), -margin * step, step


def _error(table: LawTable, states: Tensor, size: int) -> float:
    """Largest relative error of the current at three points inside each interval from 0 to the read voltage."""
    inside = torch.tensor([0.2113, 0.5, 0.7887], dtype=torch.float64, device=states.device)
    margin = size // _MARGIN
    cubics = table.cubics[margin : margin + size]
    powers = torch.stack([inside**n for n in range(4)])
    v = (torch.arange(size, dtype=torch.float64, device=states.device).unsqueeze(-1) + inside) * table.step_v
    basis = (cubics @ powers).movedim(1, -1)
    found = basis @ table.states(states)
    exact = table.cell.current(v.unsqueeze(-1), states)
    return float(((found - exact).abs() / exact.abs().clamp_min(torch.finfo(torch.float64).tiny)).max())
