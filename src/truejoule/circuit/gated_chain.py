"""The exact column of a gated array, row by row and in groups of rows. Ohmic cells, any device, differentiable.

*Same end or ideal supply.* All rows above a point of the column are one conductance ``G``. A cell adds to it, the lines
stand in series with it:

    G <- (G + c_i) / (1 + r_i (G + c_i)),        I = v_read · G        (far end first)

``k`` rows together are the map ``G <- b + e G / (1 + c G)`` with three numbers ``b, e, c >= 0`` per input pattern (the
conductance of the group alone, its squared attenuation, its loading). Tables of them turn ``k`` rows into one step.

*Opposite ends.* All rows above a point are a network with three ends: the supply, the source line and the bit line. With
``v`` across the lines and ``β`` through the whole column, the bit line carries ``I = Y v + Z β``, ``Z = 1 - W``, and the
resistance from the supply to the joined lines is ``K``. Then a cell adds to ``Y``, and lines ``r_s, r_b`` give

    W <- (W + r_b Y) / D,  Z <- (Z + r_s Y) / D,  K <- K + (r_b Z² + r_s W² + r_s r_b Y) / D,  Y <- Y / D,
    D = 1 + (r_s + r_b) Y,        I = v_read / (K + W² / Y + r_end)

and ``k`` rows together ``W <- (f W + w₀ + w₁ Y) / D``, ``K <- K + (A Z² + B W² + M Z W + η Y) / D``, ``Y`` as above with
``e = f²`` and ``D = 1 + c Y``: nine numbers per input pattern.

All recursions only add, multiply and divide positive numbers: they lose no digits, cannot overflow, and need no special
case for perfect wires (0 ohm) and open cells (0 S). Conductances here are relative to one unit (the largest of the
array) and resistances to its inverse, so that fp32 holds all of them.

Source: series and parallel connection; reciprocity of three-terminal networks. Derived here, checked against ngspice in
tests/physics.
"""

from __future__ import annotations

import torch
from torch import Tensor


def same_end(bits: Tensor, g_on: Tensor, g_off: Tensor, after: Tensor) -> Tensor:
    """Conductance of columns ``(tiles, N, columns)`` for ``bits (tiles, N, rows)``; the rest ``(tiles, rows, columns)``,
    dimensions may be 1."""
    total = bits.new_zeros(())
    for i in range(bits.shape[-1]):
        total = total + _cells(bits, g_on, g_off, i)
        total = total / (1 + _row(after, i) * total)
    return total


def opposite_end(bits: Tensor, g_on: Tensor, g_off: Tensor, after: Tensor, before: Tensor) -> Tensor:
    """As `same_end`, with the source line fed at the top."""
    y, w, z, k = (bits.new_tensor(x) for x in (0.0, 1.0, 0.0, 0.0))
    rows = bits.shape[-1]
    for i in range(rows):
        line = _row(before, i)
        wire = _row(after, i - 1) if i else torch.zeros_like(line)
        divided = 1 + (line + wire) * y
        k = k + (wire * z * z + line * w * w + line * wire * y) / divided
        w, z = (w + wire * y) / divided, (z + line * y) / divided
        y = y / divided + _cells(bits, g_on, g_off, i)
    return y / (y * (k + _row(after, rows - 1)) + w * w)


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


def opposite_tables(g_on: Tensor, g_off: Tensor, after: Tensor, before: Tensor, k: int) -> Tensor:
    """``(b, f, c, w₀, w₁, A, B, M, η)`` of groups of rows, ``(tiles, groups, 2^k, 9, columns)``; as `group_tables`.

    The lines of a row are those above it; what follows the last row is left to `run_opposite_tables`.
    """
    tiles, rows, columns = g_on.shape
    above = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], 1)
    parts = (x.expand(tiles, rows, columns).unflatten(1, (rows // k, k)) for x in (g_on, g_off, above, before))
    on, off, wires, lines = parts
    b = torch.zeros_like(on[:, :, :1])
    f = torch.ones_like(b)
    c, w0, w1, z0, z1, zz, ww, zw, eta = (torch.zeros_like(b) for _ in range(9))
    for t in range(k):
        wire, line = wires[:, :, t : t + 1], lines[:, :, t : t + 1]
        divided = 1 + (wire + line) * b
        loaded = c + (wire + line) * f * f / divided
        # K gains (r_b Z² + r_s W² + r_s r_b Y) / D with the Z, W, Y that the rows so far have made of those above
        zz = zz + (wire * (f + z0).square() + line * w0 * w0 + line * wire * b) / divided
        ww = ww + (line * (f + w0).square() + wire * z0 * z0 + line * wire * b) / divided
        zw = zw + 2 * (wire * (f + z0) * z0 + line * (f + w0) * w0 + line * wire * b) / divided
        reach = b * c + f * f
        steep = wire * z1 * z1 + line * w1 * w1 + line * wire * reach * c
        safe = torch.where(c > 0, c, torch.ones_like(c))
        eta = torch.where(c > 0, (loaded * eta + steep / divided) / safe, line * wire * f * f / divided)
        w0, w1 = (w0 + wire * b) / divided, (w1 + wire * reach) / divided
        z0, z1 = (z0 + line * b) / divided, (z1 + line * reach) / divided
        b, f, c = b / divided, f / divided, loaded
        b = torch.cat([b + off[:, :, t : t + 1], b + on[:, :, t : t + 1]], 2)
        rest = (f, c, w0, w1, z0, z1, zz, ww, zw, eta)
        f, c, w0, w1, z0, z1, zz, ww, zw, eta = (torch.cat([x, x], 2) for x in rest)
    return torch.stack([b, f, c, w0, w1, zz, ww, zw, eta], 3)


def run_opposite_tables(pattern: Tensor, table: Tensor, end: Tensor) -> Tensor:
    """Conductance of columns in plain torch, as `run_tables`; ``end (tiles, 1, columns)`` is the bit line after the last
    row."""
    tile = torch.arange(table.shape[0], device=table.device).unsqueeze(-1)
    y, w, k = (table.new_tensor(x) for x in (0.0, 1.0, 0.0))
    for a in range(table.shape[1]):
        b, f, c, w0, w1, zz, ww, zw, eta = table[tile, a, pattern[..., a]].unbind(-2)
        z = 1 - w
        divided = 1 + c * y
        k = k + (zz * z * z + ww * w * w + zw * z * w + eta * y) / divided
        w = (f * w + w0 + w1 * y) / divided
        y = b + f * f * y / divided
    return y / (y * (k + end) + w * w)


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
