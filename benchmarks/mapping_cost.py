"""How long mapping and costing take after a network is known, for every network by shape alone; and the whole comparison with ANNs.

python benchmarks/mapping_cost.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import truejoule as tj
from truejoule.accelerators.against_ann import break_even
from truejoule.accelerators.over_time import Observed, cost_of, energy_line
from truejoule.workload import Neuron, shapes
from truejoule.workload.profiles import with_profile

MACHINES = ("spikeflow", "sata")


def median_ms(work: Callable[[], object], runs: int) -> float:
    """Median wall time in milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    machines = [tj.accelerator(name) for name in MACHINES]
    print(f"{'':<30}" + "".join(f"{name:>28}" for name in MACHINES))
    print(f"{'network':<22}{'layers':>8}" + f"{'map + cost':>12}{'E(T), ANNs':>16}" * len(machines))
    for name in shapes.names():
        seen = Observed(with_profile(shapes.network(name, time_steps=4, neuron=Neuron()), "snn-10"))
        row = f"{name:<22}{len(seen.workload.layers):>8}"
        for m in machines:
            once = median_ms(lambda m=m, seen=seen: cost_of(m, seen), 5)
            whole = median_ms(lambda m=m, seen=seen: (energy_line(m, seen), break_even(m, seen)), 1)
            row += f"{once:>9.1f} ms{whole:>13.0f} ms"
        print(row)


if __name__ == "__main__":
    main()
