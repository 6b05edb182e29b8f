"""Passive arrays of non-linear cells: how fast, how many steps, and how far from ngspice.

    python benchmarks/nonlinear.py           speed and steps
    python benchmarks/nonlinear.py --spice   and ngspice beside it, 8x8 to 32x32

One thread, results fp64 and certified to a relative 1e-10. g uniform in 1 to 100 µS, inputs uniform in 0 to 0.3 V, 16
inputs at once. "κ" is rows · columns · r · g_max, "Newton" and "CG" the steps of the slowest input and of all Newton
steps together, "ohmic" the same array of ohmic cells by the same method (`solve_iterative`), "A" the transfer matrix
for comparison: from its price over "ohmic" inputs on, the matrix is the cheaper way.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from truejoule.circuit import (
    Cell,
    ReadStack,
    Selector,
    Series,
    Sinh,
    Wires,
    cell_preset,
    solve_iterative,
    solve_nonlinear,
    spice,
    transfer_matrix,
)
from truejoule.errors import InputError

INPUTS = 16
LAWS: dict[str, Cell] = {
    "sinh, 4/V": Sinh(4.0),
    "sinh, 20/V": Sinh(20.0),
    "Milo RRAM": cell_preset("rram-milo").cell,
    "read stack": ReadStack(0.1, 0.1),
    "selector": Selector(0.15, 0.01),
    "1S1R": Series(Selector(0.15, 0.01), 5e3),
}


def seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """Median wall time after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def draw(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    return rng.uniform(1e-6, 1e-4, (size, size)), rng.uniform(0, 0.3, (INPUTS, size))


def speed(size: int, ohm: float) -> None:
    g, v = draw(size)
    wires = Wires(ohm, ohm)
    per_cell = 1e9 / (INPUTS * size * size)
    linear = seconds(lambda: solve_iterative(g, wires, v, tolerance=1e-10))
    steps = solve_iterative(g, wires, v, tolerance=1e-10)
    matrix = seconds(lambda: transfer_matrix(g, wires), 1)
    head = f"{size:>4} {ohm:>5g} {size * size * ohm * 1e-4:>6.2f}"
    print(f"{head}  {'ohmic':<11} {linear / INPUTS * 1e3:>8.2f} {linear * per_cell:>8.0f} {steps.newton_steps:>7} "
          f"{steps.cg_steps:>4}  A: {matrix * 1e3:.1f} ms, pays from {matrix / linear * INPUTS:.0f} inputs", flush=True)  # fmt: skip
    for name, law in LAWS.items():
        spent = seconds(lambda law=law: solve_nonlinear(g, wires, v, law), 1)
        found = solve_nonlinear(g, wires, v, law)
        print(f"{head}  {name:<11} {spent / INPUTS * 1e3:>8.2f} {spent * per_cell:>8.0f} {found.newton_steps:>7} "
              f"{found.cg_steps:>4}  residual {float(found.residual.max()):.0e}", flush=True)  # fmt: skip


def severity(size: int = 64) -> None:
    g, v = draw(size)
    print(
        f"\nsteps against severity, {size}x{size} (Newton / CG)\n{'κ':>8}  ohmic    "
        + "  ".join(f"{n:<10}" for n in LAWS)
    )
    for kappa in (1e-3, 1e-2, 0.1, 1.0, 10.0, 50.0, 500.0):
        wires = Wires(kappa / (size * size * 1e-4), kappa / (size * size * 1e-4))
        runs = [solve_iterative(g, wires, v, 1e-10), *(solve_nonlinear(g, wires, v, law) for law in LAWS.values())]
        cells = [f"{r.newton_steps:>2} / {r.cg_steps:<5}" for r in runs]
        print(f"{kappa:>8g}  " + "  ".join(cells), flush=True)


def against_ngspice(size: int, name: str, law: Cell) -> None:
    g, v = draw(size)
    wires = Wires(2.0, 3.0, 0.0, 100.0, 50.0)
    start = time.perf_counter()
    try:
        found = spice.ngspice_currents(g, wires, v[0], law)
    except InputError:
        print(f"{size:>4}  {name:<11} ngspice did not converge", flush=True)
        return
    slow = time.perf_counter() - start
    fast = seconds(lambda: solve_nonlinear(g, wires, v[0], law))
    ours = solve_nonlinear(g, wires, v[0], law).currents_a.numpy()
    error = max(abs(ours[j] / found[j] - 1) for j in range(size))
    print(
        f"{size:>4}  {name:<11} {slow * 1e3:>10.0f} {fast * 1e3:>10.2f} {slow / fast:>15.0f} {error:>20.1e}", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spice", action="store_true", help="compare with ngspice (half a minute)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("size     r      κ  law         ms/input  ns/cell  Newton   CG")
    for size, ohm in ((64, 1.0), (64, 5.0), (128, 1.0), (128, 5.0), (256, 1.0)):
        speed(size, ohm)
    severity()
    if arguments.spice:
        print("\n      law          ngspice ms   ours ms (one input)   ratio   largest relative difference")
        for size in (8, 16, 32):
            for name, law in LAWS.items():
                against_ngspice(size, name, law)


if __name__ == "__main__":
    main()
