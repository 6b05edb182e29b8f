"""Gated arrays with non-linear cells, such as saturating 8T-SRAM read stacks: exact currents with a proven error bound.

1. *Tangents.* Each cell is replaced by its tangent at the voltage it sees when a share of the inputs is on, and groups
   of rows are tabulated as in `truejoule.circuit.gated_chain`: with ``I = y v + s`` of all rows above a point,
   ``y <- b + f² y / (1 + c y)`` and ``s <- (f s + j₀ + j₁ y) / (1 + c y)``. Five numbers a group and input pattern.
2. *Shooting.* From that current ``I`` the real column is marched from the sense input to the far end, by Kirchhoff's
   laws and with derivatives in ``I``. The current left over there, ``ρ``, should be 0: one Newton step in ``I``. Repeat.
3. Columns that this does not certify (wires so bad that the march amplifies rounding) go through Newton's method on all
   voltages, `truejoule.circuit.gated_newton`.

*The bound.* A march meets every law exactly but for ``ρ``, as if ``ρ`` were drawn from the far end. In a network of
monotone cells, injecting a current changes the sensed current by at most as much and in its direction; hence the error
of the last current before correction is at most ``|ρ|``, that of the corrected one too (it is about ``ρ²``). The
relative error of the tabulated law (`truejoule.circuit.gated_law`) is added.

Source: shooting for two-point boundary value problems (H. B. Keller, 1968). Derived here, checked against ngspice in
tests/physics.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from truejoule.circuit import gated_chain as chain
from truejoule.circuit.cells import Cell, evaluate
from truejoule.circuit.gated_inputs import (
    Inputs,
    Tiles,
    are_bits,
    as_machine_bits,
    bit_planes,
    compiled,
    read_voltage,
    require_bits,
)
from truejoule.circuit.gated_law import LawTable, law_table
from truejoule.circuit.gated_newton import implicit, newton
from truejoule.circuit.topology import GATED_SAME_END, Rails, Topology, rails
from truejoule.circuit.wires import Wires
from truejoule.errors import InputError

_PASSES = 5
_GROUP = 4
_WORK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class GatedSolution:
    """Column currents and how far they can be off."""

    currents_a: Tensor
    """Out of the sense inputs, ``(..., N, columns)`` in A."""
    residual: Tensor
    """Upper bound of the relative error of each current, same shape; rounding comes on top."""


@final
class GatedNonlinearColumns:
    """A stack of gated arrays with non-linear cells, ready to be read: ``i = columns(bits)``.

    Parameters
    ----------
    g_siemens : state of each cell, ``(..., rows, columns)`` in S; leading dimensions are tiles.
    cell : law of the cell with its gate on, any `Cell`; ``v`` is bit line minus source line.
    wires, v_read, topology, g_off_siemens : as in `GatedColumns`; cells with their gate off are ohmic. ``v_read`` is not
        0.
    tolerance : relative error to certify; passes go on until the bound is below it, and the result is then better.
    activity : share of inputs that are on, 0 to 1, at which tangents are taken. It changes speed and `approximate`
        only.

    Compiled by numba on CPUs for source lines fed at the same end or ideally; all else, and all gradients, by Newton's
    method in plain torch, which is some 40 times slower. Tables are kept: make a new object after changing a state in
    place.

    Raises
    ------
    InputError : as `GatedColumns`; or tolerance and activity are out of range.
    """

    def __init__(
        self,
        g_siemens: Tensor | np.ndarray,
        cell: Cell,
        wires: Wires,
        v_read: float,
        *,
        topology: Topology = GATED_SAME_END,
        g_off_siemens: float | Tensor | np.ndarray = 0.0,
        tolerance: float = 1e-6,
        activity: float = 0.5,
    ) -> None:
        self.v_read = read_voltage(v_read)
        if self.v_read == 0.0:
            raise InputError("non-linear cells need a read voltage", where="v_read", got=v_read, expected="not 0 V")
        if not 0.0 < tolerance < 1.0:
            raise InputError("this is no tolerance", where="tolerance", got=tolerance, expected="above 0, below 1")
        if not 0.0 <= activity <= 1.0:
            raise InputError("an activity is a share", where="activity", got=activity, expected="0 to 1")
        self.cell, self.topology, self.tolerance, self.activity = cell, topology, tolerance, activity
        self._tiles = tiles = Tiles.of(g_siemens, g_off_siemens)
        shape = (*tiles.lead, *tiles.g_on.shape[1:])
        self._rails = rails(wires, topology, shape, tiles.g_on.device, "GatedNonlinearColumns")
        self._kept: _Prepared | None = None

    def __call__(self, bits: Tensor | np.ndarray) -> Tensor:
        """Currents ``(..., N, columns)`` in A for ``bits (..., N, rows)``, or ``(..., columns)`` for ``(rows,)``; see
        `solve` for their error bound. Gradients flow to states and wires.

        Raises
        ------
        InputError : the shape does not fit, or a value is neither 0 nor 1.
        """
        return self.solve(bits).currents_a

    def solve(self, bits: Tensor | np.ndarray) -> GatedSolution:
        """Currents with a bound of their relative error, which is below ``tolerance`` unless rounding forbids it."""
        inputs = self._tiles.inputs(bits)
        require_bits(are_bits(inputs.bits.detach()))
        gradient = torch.is_grad_enabled() and (self._tiles.tracked or self._rails.tracked)
        loops = compiled("gated_nonlinear_kernels") if self._compilable and not gradient else None
        parts = [
            self._shot(loops, inputs, first, last) if loops is not None else self._by_newton(inputs, first, gradient)
            for first, last in self._chunks(1 if loops is None else self._step())
        ]
        empty = torch.zeros(0, inputs.bits.shape[1], self._tiles.g_on.shape[-1], dtype=torch.float64)
        currents, residual = (torch.cat(x) for x in zip(*parts, strict=True)) if parts else (empty, empty)
        return GatedSolution(
            inputs.restore(currents.to(self._tiles.dtype)), inputs.restore(residual.to(self._tiles.dtype))
        )

    def approximate(self, bits: Tensor | np.ndarray) -> Tensor:
        """Currents from tangents alone, without a bound: some 20 times faster; errors of 1e-4 to 1e-2 where wires take
        2 to 20 % of the current.

        Raises
        ------
        InputError : as calling this object; or the source line is fed at the opposite end, which has no tables.
        """
        if self._rails.before is not None:
            raise InputError("there are no tables for a source line fed at the opposite end", where="topology")
        inputs = self._tiles.inputs(bits)
        require_bits(are_bits(inputs.bits))
        loops = compiled("gated_nonlinear_kernels") if self._compilable else None
        parts = [
            self._tangents(loops, inputs, first, last, self._ready(first, last, loops))
            for first, last in self._chunks(self._step())
        ]
        empty = torch.zeros(0, inputs.bits.shape[1], self._tiles.g_on.shape[-1], dtype=torch.float64)
        return inputs.restore((torch.cat(parts) if parts else empty).to(self._tiles.dtype))

    def bit_serial(self, codes: Tensor | np.ndarray, bits: int) -> Tensor:
        """As `GatedColumns.bit_serial`: currents ``(bits, ..., N, columns)``, least significant bit first."""
        return torch.stack([self(plane) for plane in bit_planes(codes, bits)])

    def power_w(self, currents_a: Tensor) -> Tensor:
        """Power drawn while the inputs are applied, ``(...)`` in W for ``currents_a (..., columns)``: ``v_read · Σ I``."""
        return self.v_read * currents_a.sum(-1)

    @property
    def _compilable(self) -> bool:
        return self._rails.before is None and self._tiles.g_on.device.type == "cpu"

    def _step(self) -> int:
        """Tiles whose tables fit into the working memory, all of them where they are kept."""
        tiles, rows, columns = self._tiles.g_on.shape
        size = rows * columns * 8 * (5 * (1 << _GROUP) // _GROUP + self._law.pivots_v.numel() + 4)
        return max(1, tiles if tiles * size <= 8 * _WORK_BYTES else _WORK_BYTES // size)

    def _chunks(self, step: int) -> list[tuple[int, int]]:
        tiles = self._tiles.g_on.shape[0]
        return [(first, min(tiles, first + step)) for first in range(0, tiles, step)]

    def _tangents(self, loops: Any, inputs: Inputs, first: int, last: int, ready: _Prepared) -> Tensor:
        far = -self._tiles.g_on.shape[1] % _GROUP
        bits = torch.nn.functional.pad(inputs.bits.detach().to(torch.uint8), (far, 0))
        pattern, stack = chain.patterns(bits, _GROUP), inputs.stack_of_tile[first:last]
        if loops is None:
            return chain.run_tangent_tables(pattern[stack.to(pattern.device)], ready.table, self.v_read)
        out = torch.empty(last - first, bits.shape[1], self._tiles.g_on.shape[-1], dtype=torch.float64)
        loops.run_tangents(
            pattern.to(torch.uint8).numpy(), stack.numpy(), ready.table.numpy(), self.v_read, out.numpy()
        )
        return out

    def _shot(self, loops: Any, inputs: Inputs, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Currents and relative error bounds ``(last - first, N, columns)``."""
        ready = self._ready(first, last, loops)
        out = self._tangents(loops, inputs, first, last, ready)
        left = torch.empty_like(out)
        bits = as_machine_bits(inputs.bits.to(torch.uint8))
        stack = inputs.stack_of_tile[first:last]
        arrays = [x.numpy() for x in (ready.states, ready.leak, ready.after, ready.cubics, ready.grid)]
        numbers = (self.v_read, self.tolerance / 2, _PASSES)
        loops.shoot(bits, stack.numpy(), *arrays, *numbers, out.numpy(), left.numpy(), np.zeros(2, dtype=np.int64))
        residual = _relative(left, out) + ready.law_error
        weak = ~(residual <= self.tolerance) | ~torch.isfinite(out)
        if bool(weak.any()):
            tile, n, column = weak.nonzero(as_tuple=True)
            g = self._tiles.g_on[first:last]
            x = inputs.bits[stack[tile], n].to(torch.float64)  # (columns to repeat, rows)
            after = ready.after[tile if ready.after.shape[0] > 1 else 0 * tile, :, column]
            leak = ready.leak[tile if ready.leak.shape[0] > 1 else 0 * tile, :, column] * (1 - x)
            lanes = [y.mT.unsqueeze(0).contiguous() for y in (g.detach()[tile, :, column] * x, leak, after)]
            lines = Rails(lanes[2], None)
            total, bound, _ = newton(self.cell, lanes[0], lanes[1], lines, self.v_read, self.tolerance / 2)
            out[weak], residual[weak] = total[0], _relative(bound, total)[0]
        return out, residual

    def _by_newton(self, inputs: Inputs, tile: int, gradient: bool) -> tuple[Tensor, Tensor]:
        """One tile in plain torch; ``(1, N, columns)`` each."""
        on, off = self._tiles.part(tile, tile + 1)
        bits = inputs.of_tiles(tile, tile + 1)[0].to(torch.float64)
        lines = self._rails.tiles(tile, tile + 1)
        rows, columns = on.shape[1:]
        step = max(1, _WORK_BYTES // (64 * rows * columns))
        parts = []
        for start in range(0, max(bits.shape[0], 1), step):
            x = bits[start : start + step].unsqueeze(-1)
            g, leak = (y.expand(-1, rows, columns) for y in (x * on, (1 - x) * off))
            total, bound, v = newton(
                self.cell, g.detach(), leak.detach(), _detached(lines), self.v_read, self.tolerance
            )
            residual = _relative(bound, total)
            if gradient:
                total = implicit(self.cell, g, leak, lines, self.v_read, v)
            parts.append((total, residual))
        total, residual = (torch.cat(y).unsqueeze(0) for y in zip(*parts, strict=True))
        return total, residual

    @functools.cached_property
    def _law(self) -> LawTable:
        return law_table(self.cell, self._tiles.g_on, self.v_read)

    def _ready(self, first: int, last: int, loops: Any) -> _Prepared:
        """Tables of some tiles; kept where they are all of them."""
        if self._kept is not None:
            return self._kept
        made = self._prepare(first, last, loops)
        if first == 0 and last == self._tiles.g_on.shape[0]:
            self._kept = made
        return made

    @torch.no_grad()
    def _prepare(self, first: int, last: int, loops: Any) -> _Prepared:
        g, off = (x.detach() for x in self._tiles.part(first, last))
        after = _detached(self._rails.tiles(first, last)).after
        rows, columns = g.shape[1:]
        leak = off.expand(off.shape[0], rows, columns).contiguous()
        mean = _Share(self.cell, self.activity)
        spread = Rails(after, None)
        _, _, v = newton(mean, g, ((1 - self.activity) * leak).expand_as(g), spread, self.v_read, 1e-3)
        i, d = evaluate(self.cell, v, g)
        far, lanes = -rows % _GROUP, min(64, -(-columns // 16) * 16)
        side = -columns % lanes if loops is not None else 0

        def padded(x: Tensor) -> Tensor:
            return torch.nn.functional.pad(x.expand(x.shape[0], rows, columns), (0, side, far, 0))

        table = chain.tangent_tables(padded(d), padded(i - d * v), padded(leak), padded(after), _GROUP)
        if loops is not None:
            table = table.unflatten(-1, (-1, lanes)).movedim(-2, 1).contiguous()
        law = self._law
        return _Prepared(
            table=table,
            states=law.states(g).movedim(0, 1).contiguous(),
            leak=leak,
            after=after.expand(after.shape[0], rows, columns).contiguous(),
            cubics=law.cubics,
            grid=torch.tensor([law.low_v, law.step_v], dtype=torch.float64),
            law_error=law.error,
        )


@dataclass(frozen=True)
class _Prepared:
    """What the compiled loops read for a stack of tiles."""

    table: Tensor
    states: Tensor
    """``(tiles, pivots, rows, columns)``."""
    leak: Tensor
    after: Tensor
    cubics: Tensor
    grid: Tensor
    law_error: float


@dataclass(frozen=True)
class _Share:
    """A law with its current multiplied by the share of inputs that are on: the average column."""

    cell: Cell
    share: float

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return self.share * self.cell.current(v, g)

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return self.share * self.cell.conductance(v, g)

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        i, d = evaluate(self.cell, v, g)
        return self.share * i, self.share * d

    def spice(self, g: float, plus: str, minus: str) -> str:
        return f"{self.share:.17g}*({self.cell.spice(g, plus, minus)})"


def _relative(bound: Tensor, currents: Tensor) -> Tensor:
    """``bound / |currents|``, 0 where the bound is."""
    return torch.where(bound == 0, torch.zeros_like(bound), bound / currents.abs())


def _detached(lines: Rails) -> Rails:
    return Rails(lines.after.detach(), None if lines.before is None else lines.before.detach())
