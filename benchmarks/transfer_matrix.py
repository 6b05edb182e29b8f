"""What exact wires cost: our transfer matrix against a sparse solve per input and against the plain matrix product.

    python benchmarks/transfer_matrix.py            32 to 256
    python benchmarks/transfer_matrix.py --large    and 512

One thread, fp64, g uniform in 1 to 100 µS, unequal ends. "sparse/inp" assembles, factorises and solves the nodal
equations for one input vector, as a simulator without a transfer matrix must. "break-even" is the number of inputs from
which our matrix is the faster way. The error is that of A against sparse adjoint solves, relative to the largest entry
(their own rounding included).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from truejoule.circuit import Wires, reference, transfer_matrix

WIRES = Wires(r_wl_ohm=2.0, r_bl_ohm=3.0, r_source_ohm=100.0, r_sense_ohm=50.0)
INPUTS = 256


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def row(size: int) -> str:
    rng = np.random.default_rng(size)
    g = rng.uniform(1e-6, 1e-4, (size, size))
    tensor, v = torch.from_numpy(g), torch.from_numpy(rng.uniform(0, 0.3, (INPUTS, size)))
    block = seconds(lambda: transfer_matrix(tensor, WIRES, "block"), 5 if size <= 64 else 1) if size <= 256 else np.nan
    dissection = seconds(lambda: transfer_matrix(tensor, WIRES, "dissection"), 5 if size <= 128 else 1)
    sparse = seconds(lambda: reference.currents(g, WIRES, v[0].numpy()), 3 if size <= 128 else 1)
    product = seconds(lambda: v @ tensor, 50) / INPUTS
    ours = min(x for x in (block, dissection) if x == x)
    a = transfer_matrix(tensor, WIRES).numpy()
    exact = reference.transfer_matrix(g, WIRES) if size <= 256 else None
    error = np.abs(a - exact).max() / exact.max() if exact is not None else np.nan
    return (
        f"{size:>4}  {block * 1e3:>9.1f}  {dissection * 1e3:>10.1f}  {sparse * 1e3:>12.1f}  {product * 1e6:>11.2f}"
        f"  {ours / sparse:>10.2f}  {sparse / product:>14.0f}  {error:>8.1e}"
    )


def batched(size: int, tiles: int) -> str:
    g = 1e-6 + 99e-6 * torch.rand(tiles, size, size, dtype=torch.float64)
    spent = seconds(lambda: transfer_matrix(g, WIRES), 1) / tiles
    return f"{tiles} tiles of {size}x{size} in one call: {spent * 1e3:.2f} ms a tile"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 512x512 (tens of seconds)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("size   block ms  dissect ms  sparse/inp ms   matmul µs  break-even  sparse : matmul     error")
    for size in (32, 64, 128, 256, *((512,) if arguments.large else ())):
        print(row(size), flush=True)
    for size, tiles in ((32, 64), (64, 64), (128, 8)):
        print(batched(size, tiles), flush=True)


if __name__ == "__main__":
    main()
