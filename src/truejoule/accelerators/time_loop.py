"""Where in the time loop a layer runs that has fewer time steps than the network."""

from __future__ import annotations

from truejoule.workload import Workload


def first_steps(workload: Workload) -> dict[str, int]:
    """The time step in which every layer runs first; it runs in ``layer.steps`` consecutive ones.

    A layer with fewer steps than a layer before it (a head that is applied once to what was summed over time) waits for that one's last step;
    what is computed once before the loop (an image that stands still) runs in step 0.
    """
    first: dict[str, int] = {}
    for layer in workload.layers:
        before = [workload[name] for name in workload.sources(layer.name) if name in first]
        first[layer.name] = max(
            (first[x.name] + (x.steps - 1 if layer.steps < x.steps else 0) for x in before),
            default=0,
        )
    return first
