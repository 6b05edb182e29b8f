"""What exact wires cost: deployed inference with wires against the same bit-sliced network without, and against plain torch, in one run.

    python benchmarks/deployed_inference.py [samples]

Set-up (solving every crossbar) and inference are timed apart; ratios are medians over interleaved rounds, so that drift of the machine cancels.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

import truejoule as tj
from truejoule import zoo

ROUNDS = 5


def clock(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    net = zoo.load("fashion_snn")
    batches = [x for x, _ in zoo.loader(batch_size=50, n=samples)]
    network = tj.read(net, batches[0])
    without = dict(r_wl="0 ohm", r_bl="0 ohm", programming_variation=0.0)
    chips = {"without wires": tj.accelerator("spikeflow", **without), "with exact wires": tj.accelerator("spikeflow")}
    setup, deployed = {}, {}
    for name, chip in chips.items():
        start = time.perf_counter()
        deployed[name] = chip.deploy(network, zoo.calibration())
        setup[name] = time.perf_counter() - start
    rounds = {name: [] for name in (*chips, "plain torch")}
    for _ in range(ROUNDS):
        rounds["plain torch"].append(clock(lambda: [network.run(x) for x in batches]))
        for name in chips:
            rounds[name].append(clock(lambda name=name: [deployed[name](x) for x in batches]))
    print(f"{samples} images, T = 4, {torch.get_num_threads()} threads, median of {ROUNDS} rounds")
    print(f"{'':<20}{'set-up':>10}{'inference':>12}{'per image':>12}")
    for name, times in rounds.items():
        median = statistics.median(times)
        print(f"{name:<20}{setup.get(name, 0.0):>8.2f} s{median:>10.2f} s{1e3 * median / samples:>9.2f} ms")
    pairs = list(zip(rounds["with exact wires"], rounds["without wires"], strict=True))
    print(f"with / without wires, inference: {statistics.median(a / b for a, b in pairs):.2f}")
    both = statistics.median((a + setup["with exact wires"]) / (b + setup["without wires"]) for a, b in pairs)
    print(f"with / without wires, set-up included: {both:.2f}")


if __name__ == "__main__":
    main()
