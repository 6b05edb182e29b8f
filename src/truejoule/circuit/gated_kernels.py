"""Compiled loops of gated arrays with ohmic cells, for CPUs. Imports numba: about 0.5 s, and seconds on the first run.

The machine code is kept beside this file (or in the user's cache) for the next process. One thread each; they release
the interpreter lock, so that callers may run tiles in parallel. What they compute is said in
`truejoule.circuit.gated_chain`.
"""

from __future__ import annotations

import numba as nb
import numpy as np

LANES = 64
"""Columns of one pass of the scan: a few vector registers."""

# division by zero cannot happen (divisors are 1 + something), and checking for it would keep the loops scalar
_LOOP = nb.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")


@_LOOP
def pack(bits, k, pad, out):  # type: ignore[no-untyped-def]
    """Patterns ``out (stacks, N, groups)`` of ``bits (stacks, N, rows)`` after ``pad`` zero rows; False if another
    value than 0 and 1 occurs."""
    stacks, count, _ = bits.shape
    clean = True
    for s in range(stacks):
        for n in range(count):
            row = bits[s, n]
            i = 0
            for a in range(out.shape[2]):
                code = 0
                for t in range(pad if a == 0 else 0, k):
                    x = row[i]
                    code |= int(x != 0) << t
                    clean &= (x == 1) | (x == 0)
                    i += 1
                out[s, n, a] = code
    return clean


@_LOOP
def run_tables(pattern, stack, table, scale, out):  # type: ignore[no-untyped-def]
    """Currents ``out (tiles, N, columns)`` from ``pattern (stacks, N, groups)``, ``stack (tiles,)`` and ``table (tiles,
    blocks, groups, 2^k, 3, lanes)``."""
    tiles, blocks, groups, _, _, lanes = table.shape
    count, columns = out.shape[1], out.shape[2]
    total = np.empty(lanes, table.dtype)
    one = table.dtype.type(1)
    for t in range(tiles):
        for q in range(blocks):
            for n in range(count):
                row = pattern[stack[t], n]
                total[:] = 0
                for a in range(groups):
                    entry = table[t, q, a, row[a]]
                    b, e, c = entry[0], entry[1], entry[2]
                    for j in range(lanes):
                        total[j] = b[j] + e[j] * total[j] / (one + c[j] * total[j])
                for j in range(min(lanes, columns - q * lanes)):
                    out[t, n, q * lanes + j] = total[j] * scale


@_LOOP
def run_opposite(bits, stack, on, off, after, before, limits, scale, out):  # type: ignore[no-untyped-def]
    """Currents ``out (tiles, N, columns)`` with the source line fed at the top; ``bits (stacks, N, rows)`` uint8,
    the rest ``(tiles | 1, rows, columns)``; ``limits`` are the conductances that stand for open, and count as it."""
    tiles, rows, columns = on.shape
    count = out.shape[1]
    g_b, r_s, r_t = np.empty(LANES, on.dtype), np.empty(LANES, on.dtype), np.empty(LANES, on.dtype)
    one, zero = on.dtype.type(1), on.dtype.type(0)
    for t in range(tiles):
        lines, rails = t % after.shape[0], t % before.shape[0]
        closed = off[t % off.shape[0]]
        for first in range(0, columns, LANES):
            width = min(LANES, columns - first)
            for n in range(count):
                row = bits[stack[t], n]
                g_b[:] = limits[0]
                r_s[:] = 0
                r_t[:] = 0
                for i in range(rows):
                    c = on[t, i, first : first + width] if row[i] else closed[i, first : first + width]
                    up = before[rails, i, first : first + width]
                    down = after[lines, i, first : first + width]
                    for j in range(width):
                        r = r_s[j] + up[j]
                        joined = g_b[j] * (one + c[j] * r) + c[j]
                        share = one / joined
                        r_t[j] += c[j] * r * share
                        r_s[j] = r * (g_b[j] * share)
                        g_b[j] = joined / (one + (down[j] * joined if i < rows - 1 else zero))
                end = after[lines, rows - 1, first : first + width]
                for j in range(width):
                    g = g_b[j] / (one + g_b[j] * (r_t[j] + end[j]))
                    out[t, n, first + j] = g * scale if g_b[j] > limits[1] else zero
