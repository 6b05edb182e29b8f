"""How the cost of each array method grows: measured exponent in n, memory per tile, and where the methods cross.

    python benchmarks/scaling.py [--large]

One thread, fp64, n x n arrays. The exponent is the slope of log time over log n between the two largest sizes of a row. Memory is the
largest growth of the resident memory while one array is solved, in a fresh process.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from truejoule.circuit import GatedColumns, Sinh, Wires, solve_iterative, solve_nonlinear, transfer_matrix

WIRES = Wires(r_wl_ohm=1.0, r_bl_ohm=1.0, r_source_ohm=10.0, r_sense_ohm=10.0)


def array(n: int) -> torch.Tensor:
    return 1e-6 + 99e-6 * torch.rand(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def inputs(n: int, count: int) -> torch.Tensor:
    return 0.2 * torch.rand(count, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def method(name: str, n: int) -> Callable[[], object]:
    """One unit of work: a whole matrix, or one input (of 64 at once for gated columns)."""
    g = array(n)
    if name in ("block", "dissection"):
        return lambda: transfer_matrix(g, WIRES, name)  # type: ignore[arg-type]
    if name == "CG, one input":
        return lambda: solve_iterative(g, WIRES, inputs(n, 1))
    if name == "Newton-CG, one input":
        return lambda: solve_nonlinear(g, WIRES, inputs(n, 1), Sinh(4.0))
    columns = GatedColumns(g.float(), WIRES, 0.1)
    bits = (inputs(n, 64) > 0.1).float()
    return lambda: columns(bits)


METHODS = {
    "block": (32, 64, 128, 256),
    "dissection": (32, 64, 128, 256),
    "CG, one input": (32, 64, 128, 256),
    "Newton-CG, one input": (32, 64, 128, 256),
    "gated table, 64 inputs": (64, 128, 256),
}


def seconds(run: Callable[[], object], repeats: int = 5) -> float:
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def growth_mb(run: Callable[[], object]) -> float:
    """Largest resident memory while running, over that before; sampled, because the import of torch hides a high-water mark."""

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

    before, peak, done = resident(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident())
            time.sleep(2e-4)

    watcher = threading.Thread(target=watch)
    watcher.start()
    run()
    done.set()
    watcher.join()
    return max(peak - before, 0.0)


def memory_mb(name: str, n: int) -> float:
    """Peak growth in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory", name, str(n)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="dissection also at 512")
    parser.add_argument("--memory", nargs=2, metavar=("METHOD", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory:
        method(arguments.memory[0], 32)()
        run = method(arguments.memory[0], int(arguments.memory[1]))
        print(growth_mb(run))
        return
    print(
        f"{'method':<24}{'':>4}"
        + "".join(f"{n:>12}" for n in (32, 64, 128, 256, 512))
        + f"{'exponent':>12}{'memory at 256':>16}"
    )
    found: dict[str, dict[int, float]] = {}
    for name, sizes in METHODS.items():
        some = (*sizes, 512) if arguments.large and name == "dissection" else sizes
        found[name] = {n: seconds(method(name, n), 5 if n <= 128 else 2) for n in some}
        times = "".join(
            f"{1e3 * found[name][n]:>12.2f}" if n in found[name] else f"{'':>12}" for n in (32, 64, 128, 256, 512)
        )
        *_, a, b = sorted(found[name])
        exponent = math.log(found[name][b] / found[name][a]) / math.log(b / a)
        print(f"{name:<24}{'ms':>4}{times}{exponent:>12.2f}{memory_mb(name, 256):>13.0f} MB", flush=True)
    crossing = [n for n in found["block"] if found["dissection"][n] < found["block"][n]]
    print(
        f"dissection is faster than the block sweep from n = {min(crossing)}"
        if crossing
        else "the block sweep is faster everywhere"
    )
    for n in (64, 128, 256):
        best = min(found["block"][n], found["dissection"][n])
        print(f"n = {n}: the transfer matrix pays from {math.ceil(best / found['CG, one input'][n])} inputs on")


if __name__ == "__main__":
    main()
