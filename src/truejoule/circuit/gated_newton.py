"""Gated columns with non-linear cells in plain torch: Newton's method on all cell voltages, any device, differentiable.

Each step replaces the cells by their tangents ``i = d v + j`` and solves the linear column exactly. All rows above a
point are, seen from below, a conductance and a current, ``I = Y v + J`` (far end first):

    cell:  Y += d,  J += j        line:  Y <- Y / (1 + r Y),  J <- J / (1 + r Y)

and, where the source line is fed at the opposite end and the whole column carries ``β``, ``I = Y v + Z β + J`` with
``Z <- (Z + r_sl Y) / (1 + r Y)``, kept as ``W = 1 - Z <- (W + r_bl Y) / (1 + r Y)`` as well, so that nothing cancels.
Cell voltages follow on the way back.

The mismatch of a solution is what cells and their tangents differ by. In a network of monotone cells a current injected
anywhere changes the current at the sense input by at most as much, so that the sum of mismatches *bounds* the error.

Source: Newton's method; current dividers never amplify (Rayleigh's monotonicity law). Derived here, checked against
ngspice in tests/physics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from truejoule.circuit.cells import Cell, evaluate
from truejoule.circuit.topology import Rails

_STEPS = 100
_OPEN = 1e-30
"""Conductance of the open end relative to the largest cell, so that a column without a closed cell has a voltage."""

_CLOSED = 1e-25
"""A column that conducts less than this carries no current."""


def newton(
    cell: Cell, g: Tensor, leak: Tensor, lines: Rails, v_read: float, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Currents, bounds of their absolute errors ``(batch, columns)`` in A, and cell voltages ``(batch, rows,
    columns)``, for cells ``g`` behind a leak, same shape; ``lines`` broadcast to it.

    Ends when the bound is below ``tolerance`` times the current, and then refines once more; or when it stops falling.
    """

    def tangent(v: Tensor) -> tuple[Tensor, Tensor]:
        i, d = evaluate(cell, v, g)
        return i + leak * v, d + leak

    with torch.no_grad():
        v = torch.full_like(g, v_read)
        low, high = min(0.0, v_read) - 0.01 * abs(v_read), max(0.0, v_read) + 0.01 * abs(v_read)
        i, d = tangent(v)
        best = done = None
        for _ in range(_STEPS):
            j = i - d * v
            total, v = solve_tangents(d, j, lines, v_read)
            i, slope = tangent(v)
            bound = (i - (d * v + j)).abs().sum(-2)
            found = v
            if bool(((v < low) | (v > high)).any()):  # strayed: take the next tangents where the solution can be
                v = v.clamp(low, high)
                i, slope = tangent(v)
            d = slope
            worse = best is not None and bool((bound >= best[1]).all())
            if best is None:
                best = total, bound, found
            else:
                better = bound < best[1]
                best = (
                    torch.where(better, total, best[0]),
                    torch.where(better, bound, best[1]),
                    torch.where(better.unsqueeze(-2), found, best[2]),
                )
            certified = bool((best[1] <= tolerance * best[0].abs()).all())
            if worse or (certified and done):
                break
            done = certified
        assert best is not None
    return best


def implicit(cell: Cell, g: Tensor, leak: Tensor, lines: Rails, v_read: float, v: Tensor) -> Tensor:
    """Currents ``(batch, columns)`` at the solution ``v``, with the gradient of the implicit function: one tangent
    solve in which only states and wires vary."""
    fixed = v.detach()
    with torch.no_grad():
        _, d = evaluate(cell, fixed, g)
    j = cell.current(fixed, g) - d * fixed
    return solve_tangents(d + leak, j, lines, v_read)[0]


def solve_tangents(d: Tensor, j: Tensor, lines: Rails, v_read: float) -> tuple[Tensor, Tensor]:
    """Currents ``(batch, columns)`` and cell voltages ``(batch, rows, columns)`` of the column of tangents."""
    if lines.before is None:
        return _same_end(d, j, lines.after, v_read)
    return _opposite_end(d, j, lines.after, lines.before, v_read)


def _same_end(d: Tensor, j: Tensor, after: Tensor, v_read: float) -> tuple[Tensor, Tensor]:
    rows = d.shape[-2]
    after = after.expand(after.shape[0], rows, after.shape[-1])
    y, s = torch.zeros_like(d[..., 0, :]), torch.zeros_like(d[..., 0, :])
    seen = []
    for i in range(rows):
        r = after[..., i, :]
        y, s = y + d[..., i, :], s + j[..., i, :]
        divided = 1 + r * y
        seen.append((r * s, divided))
        y, s = y / divided, s / divided
    v = torch.full_like(y, v_read)
    voltages = []
    for drop, divided in reversed(seen):
        v = (v - drop) / divided
        voltages.append(v)
    return y * v_read + s, torch.stack(voltages[::-1], -2)


def _opposite_end(d: Tensor, j: Tensor, after: Tensor, before: Tensor, v_read: float) -> tuple[Tensor, Tensor]:
    """Cell voltages and currents are affine in ``β``, which the loop from supply to sense input fixes at the end."""
    rows = d.shape[-2]
    after, before = (x.expand(x.shape[0], rows, x.shape[-1]) for x in (after, before))
    largest = d.amax((-1, -2), keepdim=True).squeeze(-2)
    y = torch.zeros_like(d[..., 0, :]) + _OPEN * torch.where(largest > 0, largest, torch.ones_like(largest))
    z, w, s = torch.zeros_like(y), torch.ones_like(y), torch.zeros_like(y)
    seen = []
    for i in range(rows):
        y, s = y + d[..., i, :], s + j[..., i, :]
        seen.append((y, z, s))
        if i < rows - 1:
            bit, line = after[..., i, :], before[..., i + 1, :]
            divided = 1 + (bit + line) * y
            z, w = (z + line * y) / divided, (w + bit * y) / divided
            y, s = y / divided, s / divided
    closed = y > _CLOSED * torch.where(largest > 0, largest, torch.ones_like(largest))
    v = (w / y, -s / y)  # the whole current has passed the last cell
    parts = [v]
    drop = (torch.zeros_like(y), torch.zeros_like(y))
    for i in range(rows - 2, -1, -1):
        y, z, s = seen[i]
        bit, line = after[..., i, :], before[..., i + 1, :]
        divided = 1 + (bit + line) * y
        v = ((v[0] + line - (bit + line) * z) / divided, (v[1] - (bit + line) * s) / divided)
        drop = (drop[0] + line * (1 - y * v[0] - z), drop[1] - line * (y * v[1] + s))
        parts.append(v)
    ends = after[..., rows - 1, :] + before[..., 0, :]
    beta = (v_read - parts[0][1] - drop[1]) / (ends + parts[0][0] + drop[0])
    current = torch.where(closed, beta, torch.zeros_like(beta))
    return current, torch.stack([a * beta + b for a, b in reversed(parts)], -2)
