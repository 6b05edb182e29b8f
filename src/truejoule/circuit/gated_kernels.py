"""Compiled loops of gated arrays with ohmic cells, for CPUs. Imports numba: about 0.5 s, and seconds on the first run.

The machine code is kept beside this file (or in the user's cache) for the next process. One thread each; they release
the interpreter lock, so that callers may run tiles in parallel. What they compute is said in
`truejoule.circuit.gated_chain`.
"""

from __future__ import annotations

import numba as nb
import numpy as np

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
def run_opposite_tables(pattern, stack, table, end, scale, out):  # type: ignore[no-untyped-def]
    """As `run_tables`, with the source line fed at the top: ``table (tiles, blocks, groups, 2^k, 9, lanes)``, ``end
    (tiles, blocks, lanes)`` the bit line after the last row."""
    tiles, blocks, groups, _, _, lanes = table.shape
    count, columns = out.shape[1], out.shape[2]
    y, w, r = np.empty(lanes, table.dtype), np.empty(lanes, table.dtype), np.empty(lanes, table.dtype)
    one = table.dtype.type(1)
    for t in range(tiles):
        for q in range(blocks):
            last = end[t, q]
            for n in range(count):
                row = pattern[stack[t], n]
                y[:] = 0
                w[:] = 1
                r[:] = 0
                for a in range(groups):
                    entry = table[t, q, a, row[a]]
                    b, f, c, w0, w1 = entry[0], entry[1], entry[2], entry[3], entry[4]
                    zz, ww, zw, eta = entry[5], entry[6], entry[7], entry[8]
                    for j in range(lanes):
                        z = one - w[j]
                        share = one / (one + c[j] * y[j])
                        r[j] += (zz[j] * z * z + w[j] * (ww[j] * w[j] + zw[j] * z) + eta[j] * y[j]) * share
                        w[j] = (f[j] * w[j] + w0[j] + w1[j] * y[j]) * share
                        y[j] = b[j] + f[j] * f[j] * y[j] * share
                for j in range(min(lanes, columns - q * lanes)):
                    out[t, n, q * lanes + j] = scale * y[j] / (y[j] * (r[j] + last[j]) + w[j] * w[j])
