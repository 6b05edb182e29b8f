"""What exact gated arrays cost: tables and solvers against the plain fp32 matrix product of the same shape.

    python benchmarks/gated.py              64, 128, 256
    python benchmarks/gated.py --ngspice    and ngspice on one non-linear 48x48 array

One thread, ns per cell and input, median of several runs after a warm-up, 512 inputs (256 non-linear), half of them on.
Linear: g uniform in 1 to 100 µS, 2 + 1 ohm a segment, 50 + 100 ohm at the ends. Non-linear: binary 50 µS / 5 nS read stacks
with 5 % spread, saturating at 0.1 V and read at 0.3 V, 5 ohm a segment and 200 ohm at the end. "x" is the ratio to the
matrix product; errors are relative, against fp64 or the certified solution.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from truejoule.circuit import (
    GATED_OPPOSITE_END,
    GatedColumns,
    GatedNonlinearColumns,
    Polynomial,
    ReadStack,
    Wires,
    gated_ngspice_currents,
)

LINES = Wires(r_wl_ohm=1.0, r_bl_ohm=2.0, r_sl_ohm=1.0, r_source_ohm=50.0, r_sense_ohm=100.0)
STACK_LINES = Wires(r_wl_ohm=1.0, r_bl_ohm=5.0, r_sense_ohm=200.0)
STACK = ReadStack(0.1, 0.1)
MILO = Polynomial((1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3), (8.871e-5, 6.792e-4, 1.2968e-3), 50e-6, 225e-6, 0.5)


def seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """Median wall time after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def line(what: str, n: int, count: int, spent: float, product: float, note: str = "") -> str:
    ns = spent / (count * n * n) * 1e9
    return f"{n:>5}  {what:<34}{ns:>8.3f}{ns / product:>8.1f}   {note}"


def linear(n: int) -> tuple[list[str], float]:
    rng = np.random.default_rng(n)
    g = torch.from_numpy(rng.uniform(1e-6, 1e-4, (n, n)))
    bits = torch.from_numpy((rng.random((512, n)) < 0.5).astype(np.float32))
    narrow = g.float()
    product = seconds(lambda: bits @ narrow, 40) / (512 * n * n) * 1e9
    exact = GatedColumns(g, LINES, 0.2)(bits)
    loss = 1 - float((exact / (0.2 * (bits.double() @ g))).mean())
    out = [line("matrix product fp32", n, 512, product * 512 * n * n * 1e-9, product, f"loss by wires {loss:.1%}")]
    for k in (4, 8):
        for given in (narrow, g):
            columns = GatedColumns(given, LINES, 0.2, group_rows=k)
            start = time.perf_counter()
            first = columns(bits)
            build = time.perf_counter() - start
            error = float((first / exact - 1).abs().max())
            spent = seconds(lambda c=columns: c(bits))
            bits_of = str(given.dtype).removeprefix("torch.float")
            note = f"error {error:.0e}, first call {build * 1e3:.0f} ms"
            out.append(line(f"table of {k} rows, fp{bits_of}", n, 512, spent, product, note))
    scan = GatedColumns(narrow, LINES, 0.2, method="scan")
    out.append(line("scan in torch, fp32", n, 512, seconds(lambda: scan(bits), 3), product))
    far = GatedColumns(g, LINES, 0.2, topology=GATED_OPPOSITE_END)(bits)
    for given in (narrow, g):
        columns = GatedColumns(given, LINES, 0.2, topology=GATED_OPPOSITE_END)
        note = f"error {float((columns(bits) / far - 1).abs().max()):.0e}"
        what = f"opposite end, 4 rows, fp{str(given.dtype).removeprefix('torch.float')}"
        out.append(line(what, n, 512, seconds(lambda c=columns: c(bits)), product, note))
    return out, product


def nonlinear(n: int, product: float) -> list[str]:
    rng = np.random.default_rng(n)
    g = np.where(rng.random((n, n)) < 0.5, 50e-6, 5e-9) * rng.lognormal(0, 0.05, (n, n))
    bits = torch.from_numpy((rng.random((256, n)) < 0.5).astype(np.float32))
    out = []
    for name, cell in (("read stack", STACK), ("Milo polynomial", MILO)):
        columns = GatedNonlinearColumns(g, cell, STACK_LINES, 0.3)
        solution, near = columns.solve(bits), columns.approximate(bits)
        miss = (near / solution.currents_a - 1).abs()
        note = f"certified to {float(solution.residual.max()):.0e}"
        out.append(line(f"{name}, certified", n, 256, seconds(lambda c=columns: c.solve(bits), 5), product, note))
        note = f"error max {float(miss.max()):.0e}, mean {float(miss.mean()):.0e}"
        out.append(line(f"{name}, tangents", n, 256, seconds(lambda c=columns: c.approximate(bits)), product, note))
    if n == 64:
        columns = GatedNonlinearColumns(g, STACK, STACK_LINES, 0.3, topology=GATED_OPPOSITE_END)
        solution = columns.solve(bits)
        note = f"certified to {float(solution.residual.max()):.0e}"
        spent = seconds(lambda: columns.solve(bits), 1)
        out.append(line("read stack, opposite end (torch)", n, 256, spent, product, note))
    return out


def tiles(count: int = 1000, n: int = 64) -> str:
    g = 1e-6 + 99e-6 * torch.rand(count, n, n)
    bits = (torch.rand(64, n) < 0.5).float()
    columns = GatedColumns(g, LINES, 0.2)
    spent = seconds(lambda: columns(bits), 3)
    return f"{count} tiles of {n}x{n}, 64 inputs, one call: {spent * 1e3:.0f} ms, {spent / g.numel() / 64 * 1e9:.3f} ns"


def against_ngspice(n: int = 48) -> str:
    rng = np.random.default_rng(n)
    g = rng.uniform(1e-6, 1e-4, (n, n))
    bits = rng.random(n) < 0.5
    start = time.perf_counter()
    expected = gated_ngspice_currents(g, STACK_LINES, bits, 0.3, cell=STACK)
    theirs = time.perf_counter() - start
    columns = GatedNonlinearColumns(g, STACK, STACK_LINES, 0.3, tolerance=1e-9)
    ours = seconds(lambda: columns(bits))
    error = np.abs(columns(bits).numpy() / expected - 1).max()
    return (
        f"read stacks {n}x{n}, one input: ngspice {theirs:.2f} s, ours {ours * 1e3:.2f} ms, they agree to {error:.0e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ngspice", action="store_true", help="compare with ngspice too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(" rows  method                             ns/cell       x")
    for n in (64, 128, 256):
        rows, product = linear(n)
        print("\n".join([*rows, *nonlinear(n, product)]), flush=True)
    print(tiles())
    if asked.ngspice:
        print(against_ngspice())


if __name__ == "__main__":
    main()
