"""Compiled loops of gated arrays with non-linear cells, for CPUs; fp64, one thread. Imports numba.

What they compute is said in `truejoule.circuit.gated_nonlinear`.
"""

from __future__ import annotations

import numba as nb
import numpy as np

LANES = 64
_LOOP = nb.njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")


@_LOOP
def run_tangents(pattern, stack, table, v_read, out):  # type: ignore[no-untyped-def]
    """Currents ``out (tiles, N, columns)`` from ``pattern (stacks, N, groups)`` and tables ``(tiles, blocks, groups,
    2^k, 5, lanes)`` of columns whose cells are replaced by tangents."""
    tiles, blocks, groups, _, _, lanes = table.shape
    count, columns = out.shape[1], out.shape[2]
    y, s = np.empty(lanes), np.empty(lanes)
    for t in range(tiles):
        for q in range(blocks):
            for n in range(count):
                row = pattern[stack[t], n]
                y[:] = 0
                s[:] = 0
                for a in range(groups):
                    entry = table[t, q, a, row[a]]
                    b, f, c, j0, j1 = entry[0], entry[1], entry[2], entry[3], entry[4]
                    for j in range(lanes):
                        divided = 1.0 / (1.0 + c[j] * y[j])
                        s[j] = (f[j] * s[j] + j0[j] + j1[j] * y[j]) * divided
                        y[j] = b[j] + f[j] * f[j] * y[j] * divided
                for j in range(min(lanes, columns - q * lanes)):
                    out[t, n, q * lanes + j] = y[j] * v_read + s[j]


@_LOOP
def shoot(bits, stack, states, leak, after, cubics, law, v_read, tolerance, passes, out, bound, worst):  # type: ignore[no-untyped-def]
    """March from the sense input to the far end; Newton on the current. ``out (tiles, N, columns)`` holds guesses on
    entry and currents at the end, ``bound`` the current left at the far end before the last correction.

    ``bits (stacks, N, rows)`` uint8; ``states (tiles, pivots, rows, columns)``; ``leak`` and ``after`` ``(tiles | 1,
    rows, columns)``; ``cubics (intervals, pivots, 4)``; ``law`` is the lower end and the step of their grid, in V.
    ``worst[0]`` returns the passes of all blocks of lanes, ``worst[1]`` their number.
    """
    tiles, pivots, rows, columns = states.shape
    count = out.shape[1]
    intervals = cubics.shape[0]
    low, per_step = law[0], 1.0 / law[1]
    top = float(intervals)
    v, dv, di, i_at, d_at = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for t in range(tiles):
        lines, off = after[t % after.shape[0]], leak[t % leak.shape[0]]
        leaks = off.max() > 0.0
        for first in range(0, columns, LANES):
            last = min(columns, first + LANES)
            width = last - first
            for n in range(count):
                row = bits[stack[t], n]
                guess, left = out[t, n, first:last], bound[t, n, first:last]
                for _ in range(passes):
                    worst[0] += 1
                    r = lines[rows - 1, first:last]
                    for j in range(width):
                        left[j] = guess[j]
                        v[j] = v_read - r[j] * guess[j]
                        dv[j] = -r[j]
                        di[j] = 1.0
                    for i in range(rows - 1, -1, -1):
                        if row[i]:
                            if pivots == 1:
                                state = states[t, 0, i, first:last]
                                for j in range(width):
                                    x = (v[j] - low) * per_step
                                    inside = min(max(x, 0.0), top)
                                    k = min(int(inside), intervals - 1)
                                    x -= k
                                    u = inside - k
                                    c0, c1, c2, c3 = cubics[k, 0, 0], cubics[k, 0, 1], cubics[k, 0, 2], cubics[k, 0, 3]
                                    slope = c1 + u * (2.0 * c2 + 3.0 * c3 * u)
                                    value = c0 + u * (c1 + u * (c2 + u * c3)) + (x - u) * slope
                                    i_at[j] = state[j] * value
                                    d_at[j] = state[j] * slope * per_step
                            else:
                                for j in range(width):
                                    x = (v[j] - low) * per_step
                                    inside = min(max(x, 0.0), top)
                                    k = min(int(inside), intervals - 1)
                                    x -= k
                                    u = inside - k
                                    c0, c1, c2, c3 = 0.0, 0.0, 0.0, 0.0
                                    for p in range(pivots):
                                        state_p = states[t, p, i, first + j]
                                        c0 += state_p * cubics[k, p, 0]
                                        c1 += state_p * cubics[k, p, 1]
                                        c2 += state_p * cubics[k, p, 2]
                                        c3 += state_p * cubics[k, p, 3]
                                    slope = c1 + u * (2.0 * c2 + 3.0 * c3 * u)
                                    i_at[j] = c0 + u * (c1 + u * (c2 + u * c3)) + (x - u) * slope
                                    d_at[j] = slope * per_step
                            for j in range(width):
                                left[j] -= i_at[j]
                                di[j] -= d_at[j] * dv[j]
                        elif leaks:
                            g = off[i, first:last]
                            for j in range(width):
                                left[j] -= g[j] * v[j]
                                di[j] -= g[j] * dv[j]
                        if i > 0:
                            r = lines[i - 1, first:last]
                            for j in range(width):
                                v[j] -= r[j] * left[j]
                                dv[j] -= r[j] * di[j]
                    good = True
                    for j in range(width):
                        guess[j] -= left[j] / di[j]
                        good &= abs(left[j]) <= tolerance * abs(guess[j])
                    if good:
                        break
                worst[1] += 1
                for j in range(width):
                    left[j] = abs(left[j])
