"""When a spiking network is cheaper than the ANN of the same topology on the same machine.

The ANN has ReLU instead of neurons, one pass instead of T steps, and activations of a few bits; it goes through the same mapper onto the machine's
``ann_twin``. Activity of the ANN is assumed (half of its activations zero), so this answers what the topology allows; a trained ANN is evaluated
like any other network.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from truejoule.accelerators.accelerator import Accelerator
from truejoule.accelerators.over_time import (
    Observed,
    cost_of,
    energy_j,
    spike_layers,
    spike_rate,
    with_spikes,
    with_time_steps,
)
from truejoule.components.logic import PROXY_AC, PROXY_MAC
from truejoule.cost import Comparison, compare
from truejoule.workload import Layer, Workload
from truejoule.workload.layer import REAL
from truejoule.workload.profiles import PROFILES, Profile, with_profile

MOST_STEPS = 64
"""Up to this T a break-even is looked for."""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """An SNN against the ANN of ``bits`` bit on the same machine.

    Attributes
    ----------
    built : how the twin is built if not as ``ann_twin`` says, else empty.
    energy : of the SNN over the ANN, at the SNN's own T.
    snn_s, ann_s, snn_m2, ann_m2 : latencies and areas.
    time_steps : largest T at which the SNN is cheaper, 0 if it never is; at most ``MOST_STEPS``.
    spike_rate : mean input density (by products) up to which the SNN is cheaper at its own T; ``None`` if not even a silent one is, 1 if it always is.
    rate : the SNN's own.
    proxy_snn_j, proxy_ann_j : what the usual proxy says (0.9 pJ per synaptic operation, 4.6 pJ per MAC, no memory).
    """

    bits: int
    built: str
    energy: Comparison
    snn_s: float
    ann_s: float
    snn_m2: float
    ann_m2: float
    time_steps: int
    spike_rate: float | None
    rate: float
    proxy_snn_j: float
    proxy_ann_j: float

    @property
    def proxy(self) -> float:
        """SNN over ANN as operation counts have it."""
        return self.proxy_snn_j / self.proxy_ann_j

    @property
    def opponent(self) -> str:
        """``8-bit ANN``, and how its twin is built if not as usual."""
        return f"{self.bits}-bit ANN" + (f" with {self.built}" if self.built else "")

    def describe(self) -> str:
        """Who wins where, and why."""
        c = self.energy
        steps = f"up to T = {self.time_steps}" if self.time_steps else "at no T"
        if self.time_steps == MOST_STEPS:
            steps = f"at every T up to {MOST_STEPS}"
        if self.spike_rate is None:
            rate = "not even without any spike"
        else:
            rate = f"below {100 * self.spike_rate:.1f} % spikes" if self.spike_rate < 1 else "at any spike rate"
        return (
            f"The SNN takes {c.ratio:.2f} times the energy of the {self.opponent} ({c.verdict}: {c.low:.2f} to {c.high:.2f} over the bands of the "
            f"coefficients), {self.snn_s / self.ann_s:.2g} times the time and {self.snn_m2 / self.ann_m2:.2g} times the area. It {c.why()}. It would be "
            f"cheaper {steps}; at its own T {rate} (it has {100 * self.rate:.1f} %). Operation counts alone would say {self.proxy:.2f} times."
        )


def precisions(steps: int) -> tuple[int, ...]:
    """Widths of the ANN: 8, 4 and ``ceil(log2(T + 1))`` bit, as many levels as T binary steps have (at most 8)."""
    return tuple(dict.fromkeys((8, 4, min(math.ceil(math.log2(steps + 1)), 8))))


def ann_workload(workload: Workload, bits: int, profile: Profile = PROFILES["relu-50"]) -> Workload:
    """The network of the same topology with ReLU instead of neurons, one time step, and activations of ``bits`` bit."""
    image = {layer.name for layer in workload.layers if workload.sources(layer.name) in ((), ("input",))}

    def relu(layer: Layer) -> Layer:
        narrow = layer.input_bits < REAL and layer.name not in image and not layer.inputs_signed
        return replace(
            layer,
            op="relu" if layer.op == "neuron" else layer.op,
            neuron=None,
            state_of="",
            note="" if layer.op == "neuron" else layer.note,
            steps=1,
            input_bits=bits if narrow else layer.input_bits,
        )

    network = replace(
        workload,
        name=f"{workload.name}, {bits}-bit ANN",
        layers=tuple(relu(layer) for layer in workload.layers),
        time_steps=1,
        activity=None,
    )
    return with_profile(network, profile)


def by_steps(machine: Accelerator, seen: Observed) -> Callable[[int], float]:
    """Energy of the SNN as a function of T; each T is computed once."""
    return cache(lambda steps: energy_j(machine, with_time_steps(seen, steps)))


def by_share(machine: Accelerator, seen: Observed) -> Callable[[float], float]:
    """Energy of the SNN as a function of what its spikes are multiplied with; each share is computed once."""
    return cache(lambda share: energy_j(machine, with_spikes(seen, share)))


def largest_cheaper(energy: Callable[[int], float], ann_j: float) -> int:
    """Largest T at which the SNN costs less than ``ann_j``; 0 if it never does. Energy rises with T, so it is found by bisection."""
    return bisect_left(range(1, MOST_STEPS + 1), ann_j, key=energy)


def largest_rate(energy: Callable[[float], float], seen: Observed, ann_j: float) -> float | None:
    """Largest mean spike rate at which the SNN costs at most ``ann_j`` at its own T, all layers and steps scaled alike; see ``BreakEven``."""
    if energy(0.0) >= ann_j:
        return None
    most = max(
        (
            a.samples * a.inputs / n
            for a in (seen.activity.layers[layer.name] for layer in spike_layers(seen.workload))
            for n in a.nonzero_inputs
            if n
        ),
        default=0.0,
    )
    if not most or energy(most) <= ann_j:
        return 1.0
    from scipy.optimize import brentq

    share = float(brentq(lambda s: ann_j - energy(s), 0.0, most))  # pyright: ignore[reportArgumentType]
    return spike_rate(with_spikes(seen, share))


def break_even(machine: Accelerator, seen: Observed, bits: Sequence[int] | None = None) -> tuple[BreakEven, ...]:
    """An SNN against its ANN twin at several precisions.

    Parameters
    ----------
    bits : of the ANN's activations; by default those of ``precisions``.
    """
    workload, snn = seen.workload, cost_of(machine, seen)
    proxy, rate = workload.with_activity(seen.activity).synaptic_operations() * PROXY_AC.value, spike_rate(seen)
    at, with_share = by_steps(machine, seen), by_share(machine, seen)
    found = []
    for width in bits or precisions(workload.time_steps):
        network = ann_workload(workload, width)
        for built, twin in _twins(machine, width).items():
            ann = cost_of(twin, Observed(network))
            found.append(
                BreakEven(
                    width,
                    built,
                    compare(snn.ledger, ann.ledger, shared=True, same_layers=True),
                    snn.latency_s,
                    ann.latency_s,
                    snn.area_m2,
                    ann.area_m2,
                    largest_cheaper(at, ann.energy_j),
                    largest_rate(with_share, seen, ann.energy_j),
                    rate,
                    proxy,
                    network.macs * PROXY_MAC.value,
                )
            )
    return tuple(found)


def _twins(machine: Accelerator, bits: int) -> dict[str, Accelerator]:
    """The twin, and other ways to build it that have no counterpart among those of the spiking machine."""
    twin = machine.ann_twin(bits)
    known = machine.alternatives()
    return {"": twin, **{text: other for text, other in twin.alternatives().items() if text not in known}}
