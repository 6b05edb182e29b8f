"""The exact column of a gated array, row by row and in groups of rows. Ohmic cells, any device, differentiable.

*Same end or ideal supply.* All rows above a point of the column are one conductance ``G``. A cell adds to it, the lines
stand in series with it:

    G <- (G + c_i) / (1 + r_i (G + c_i)),        I = v_read · G        (far end first)

``k`` rows together are the map ``G <- b + e G / (1 + c G)`` with three numbers ``b, e, c >= 0`` per input pattern (the
conductance of the group alone, its squared attenuation, its loading). Tables of them turn ``k`` rows into one step.

*Opposite ends.* All rows above a point are a network with three ends, the supply, the source line and the bit line.
Written as a star of resistances ``R_t, R_s, R_b``, lines stand in series with its arms, and a cell ``c`` between the
last two makes a triangle, which turns into a star again:

    u = 1 / (1 + c (R_s + R_b)),    R_t += c u R_s R_b,    R_s <- u R_s,    R_b <- u R_b,        I = v_read / (R_t + R_b)

Both recursions only add, multiply and divide positive numbers: they lose no digits, cannot overflow, and need no
special case for perfect wires (0 ohm) and open cells (0 S). Conductances here are relative to one unit (the largest of
the array) and resistances to its inverse, so that fp32 holds all of them.

Source: series and parallel connection; star-triangle transformation (A. E. Kennelly, 1899). Derived here, checked
against ngspice in tests/physics.
"""

from __future__ import annotations

import torch
from torch import Tensor

OPEN = 1e-30
"""Relative conductance that stands for an open bit line, so that no division is by zero; fp32 holds it."""
CLOSED = 1e-25
"""A bit line that conducts less than this carries no current."""


def same_end(bits: Tensor, g_on: Tensor, g_off: Tensor, after: Tensor) -> Tensor:
    """Conductance of columns ``(tiles, N, columns)`` for ``bits (tiles, N, rows)``; the rest ``(tiles, rows, columns)``,
    dimensions may be 1."""
    total = bits.new_zeros(())
    for i in range(bits.shape[-1]):
        total = total + _cells(bits, g_on, g_off, i)
        total = total / (1 + _row(after, i) * total)
    return total


def opposite_end(bits: Tensor, g_on: Tensor, g_off: Tensor, after: Tensor, before: Tensor) -> Tensor:
    """As `same_end`, with the source line fed at the top; the bit-line arm of the star is kept as a conductance."""
    g_b, r_s, r_t = torch.full_like(bits[..., :1], OPEN), bits.new_zeros(()), bits.new_zeros(())
    rows = bits.shape[-1]
    for i in range(rows):
        c = _cells(bits, g_on, g_off, i)
        r_s = r_s + _row(before, i)
        joined = g_b * (1 + c * r_s) + c
        r_t = r_t + c * r_s / joined
        r_s = r_s * (g_b / joined)
        g_b = joined if i == rows - 1 else joined / (1 + _row(after, i) * joined)
    total = g_b / (1 + g_b * (r_t + _row(after, rows - 1)))
    return torch.where(g_b > CLOSED, total, torch.zeros_like(total))


def group_tables(g_on: Tensor, g_off: Tensor, after: Tensor, k: int) -> Tensor:
    """``(b, e, c)`` of every group of ``k`` rows and input pattern, ``(tiles, groups, 2^k, 3, columns)``.

    Bit ``t`` of a pattern is the input of row ``t`` of the group. Rows must be a multiple of ``k``.
    """
    tiles, rows, columns = g_on.shape
    grouped = (x.expand(tiles, rows, columns).unflatten(1, (rows // k, k)) for x in (g_on, g_off, after))
    on, off, r = grouped
    b = torch.zeros_like(on[:, :, :1])
    e, c = torch.ones_like(b), torch.zeros_like(b)
    for t in range(k):
        total = torch.cat([b + off[:, :, t : t + 1], b + on[:, :, t : t + 1]], 2)
        below = r[:, :, t : t + 1]
        divided = 1 + below * total
        e, c = torch.cat([e, e], 2), torch.cat([c, c], 2)
        b, c, e = total / divided, c + below * e / divided, e / divided.square()
    return torch.stack([b, e, c], 3)


def tangent_tables(d_on: Tensor, j_on: Tensor, d_off: Tensor, after: Tensor, k: int) -> Tensor:
    """``(b, f, c, j₀, j₁)`` of groups of cells ``i = d v + j`` (gate on) or ``d v`` (off), ``(tiles, groups, 2^k, 5,
    columns)``; see `truejoule.circuit.gated_nonlinear`."""
    tiles, rows, columns = d_on.shape
    d, j, leak, r = (x.expand(tiles, rows, columns).unflatten(1, (rows // k, k)) for x in (d_on, j_on, d_off, after))
    b = torch.zeros_like(d[:, :, :1])
    f, c, j0, j1 = torch.ones_like(b), torch.zeros_like(b), torch.zeros_like(b), torch.zeros_like(b)
    for t in range(k):
        row = slice(t, t + 1)
        total = torch.cat([b + leak[:, :, row], b + d[:, :, row]], 2)
        divided = 1 + r[:, :, row] * total
        j0 = torch.cat([j0, j0 + j[:, :, row]], 2) / divided
        j1 = torch.cat([j1, j1 + j[:, :, row] * c], 2) / divided
        f, c = torch.cat([f, f], 2), torch.cat([c, c], 2)
        b, c, f = total / divided, c + r[:, :, row] * f * f / divided, f / divided
    return torch.stack([b, f, c, j0, j1], 3)


def patterns(bits: Tensor, k: int) -> Tensor:
    """Input patterns of groups of ``k`` rows, ``(..., groups)``, the index into `group_tables`."""
    weights = 2 ** torch.arange(k, device=bits.device)
    return (bits.unflatten(-1, (-1, k)).to(torch.int64) * weights).sum(-1)


def run_tables(pattern: Tensor, table: Tensor) -> Tensor:
    """Conductance of columns ``(tiles, N, columns)`` from ``pattern (tiles, N, groups)`` in plain torch."""
    tile = torch.arange(table.shape[0], device=table.device).unsqueeze(-1)
    total = table.new_zeros(())
    for a in range(table.shape[1]):
        b, e, c = table[tile, a, pattern[..., a]].unbind(-2)
        total = b + e * total / (1 + c * total)
    return total


def run_tangent_tables(pattern: Tensor, table: Tensor, v_read: float) -> Tensor:
    """Currents ``(tiles, N, columns)`` in plain torch."""
    tile = torch.arange(table.shape[0], device=table.device).unsqueeze(-1)
    y, s = table.new_zeros(()), table.new_zeros(())
    for a in range(table.shape[1]):
        b, f, c, j0, j1 = table[tile, a, pattern[..., a]].unbind(-2)
        divided = 1 + c * y
        s = (f * s + j0 + j1 * y) / divided
        y = b + f * f * y / divided
    return y * v_read + s


def _cells(bits: Tensor, g_on: Tensor, g_off: Tensor, i: int) -> Tensor:
    x = bits[..., i : i + 1]
    return x * _row(g_on, i) + (1 - x) * _row(g_off, i)


def _row(x: Tensor, i: int) -> Tensor:
    """Row ``i`` as ``(tiles, 1, columns)``."""
    return x[:, i : i + 1] if x.shape[1] > 1 else x
