"""How long mapping and costing take after a network is known, for every network by shape alone.

python benchmarks/mapping_cost.py
"""

from __future__ import annotations

import statistics
import time

import truejoule as tj
from truejoule.workload import Neuron, shapes
from truejoule.workload.profiles import with_profile


def main() -> None:
    machine = tj.accelerator("spikeflow")
    print(f"{'network':<22}{'layers':>8}{'tiles':>8}{'map + cost':>14}")
    for name in shapes.names():
        workload = with_profile(shapes.network(name, time_steps=4, neuron=Neuron()), "snn-10")
        assert workload.activity is not None
        times = []
        for _ in range(5):
            start = time.perf_counter()
            mapping = machine.map(workload)
            machine.cost(mapping, workload.activity)
            times.append(time.perf_counter() - start)
        print(f"{name:<22}{len(workload.layers):>8}{mapping.units:>8}{1e3 * statistics.median(times):>11.1f} ms")


if __name__ == "__main__":
    main()
