"""Exact wires against badcrossbar and against a sparse solve per input, in one run.

    pip install badcrossbar            (needs the system packages libcairo2-dev and pkg-config)
    python benchmarks/peers_crossbar.py [--large]

One thread, fp64, g uniform in 1 to 100 µS, r_wl = 2 ohm, r_bl = 3 ohm, no driver or sense resistance (badcrossbar has none). "ours" solves the
array once; after that an input costs a matrix product. badcrossbar solves at every call, for one or a few inputs; the sparse solve is one
factorisation and one input. The difference is that of the currents of the same inputs, relative to the largest.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from truejoule.circuit import Wires, reference, transfer_matrix

R_WL, R_BL = 2.0, 3.0
INPUTS = 16


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time after one warm-up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 512x512 (a minute)")
    sizes = (64, 128, 256, *((512,) if parser.parse_args().large else ()))
    try:
        import badcrossbar
    except ImportError:
        sys.exit("badcrossbar is not installed; see the head of this file")
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    wires = Wires(r_wl_ohm=R_WL, r_bl_ohm=R_BL)
    print(
        f"{'size':>5}{'ours ms':>10}{'badcrossbar ms':>16}{'sparse ms':>11}{'badcrossbar : ours':>20}{'sparse : ours':>15}{'16 inputs µs':>14}{'difference':>12}"
    )
    for size in sizes:
        rng = np.random.default_rng(size)
        g, v = rng.uniform(1e-6, 1e-4, (size, size)), rng.uniform(0, 0.3, (INPUTS, size))
        tensor, volts = torch.from_numpy(g), torch.from_numpy(v)

        def peer(g: np.ndarray = g, v: np.ndarray = v) -> np.ndarray:
            return badcrossbar.compute(v.T, 1 / g, r_i_word_line=R_WL, r_i_bit_line=R_BL).currents.output

        repeats = 5 if size <= 128 else 1
        ours = seconds(lambda tensor=tensor: transfer_matrix(tensor, wires), 2 * repeats)
        theirs = seconds(peer, repeats)
        sparse = seconds(lambda g=g, v=v: reference.currents(g, wires, v[0]), repeats)
        product = seconds(lambda tensor=tensor, volts=volts: volts @ tensor, 50)
        currents = (volts @ transfer_matrix(tensor, wires)).numpy()
        difference = np.abs(currents - peer()).max() / currents.max()
        print(
            f"{size:>5}{1e3 * ours:>10.1f}{1e3 * theirs:>16.0f}{1e3 * sparse:>11.0f}{theirs / ours:>20.1f}{sparse / ours:>15.1f}{1e6 * product:>14.1f}{difference:>12.0e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
