"""Energy as a function of T, and when an SNN is cheaper than the ANN of the same topology on the same array.

``E(T) = E0 + e1 T``: what is paid once (weights, image) and what every time step adds. The fit is a straight line through evaluations at several
T with the mean activity of the workload in every step; ``worst`` says how far from a line the machine is (passes over the weights are whole).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from truejoule.accelerators.sata.design import SATA
from truejoule.components.logic import PROXY_AC, PROXY_MAC
from truejoule.cost import Cost, Ledger
from truejoule.errors import InputError
from truejoule.workload import Activity, Layer, LayerActivity, Workload
from truejoule.workload.profiles import Profile, with_profile

GATED = ("accumulate", "scratchpads")
MOST_STEPS = 64
"""Up to this T a break-even is looked for."""


@dataclass(frozen=True, slots=True)
class EnergyLine:
    """``E(T) = e0_j + e1_j T``.

    Attributes
    ----------
    points : evaluated ``(T, J)``.
    worst : largest relative deviation of a point from the line.
    """

    e0_j: float
    e1_j: float
    points: tuple[tuple[int, float], ...]
    worst: float

    def at(self, steps: float) -> float:
        return self.e0_j + self.e1_j * steps

    @property
    def offset(self) -> float:
        """E0 in units of one time step."""
        return self.e0_j / self.e1_j if self.e1_j else math.inf


@dataclass(frozen=True, slots=True)
class BreakEven:
    """An SNN against the ANN of ``bits`` bit on the same array.

    Attributes
    ----------
    snn_j, ann_j : energies compared, at the workload's own T.
    ratio_low, ratio_high : smallest and largest SNN over ANN with every coefficient anywhere in its band, the same one on both sides.
    time_steps : largest T at which the SNN is cheaper, 0 if it never is; at most ``MOST_STEPS``.
    spike_rate : input density below which the SNN is cheaper at its own T; negative if not even a silent one is, above 1 if it always is.
    proxy_snn_j, proxy_ann_j : what the usual proxy says (0.9 pJ per synaptic operation, 4.6 pJ per MAC, no memory).
    """

    bits: int
    snn_j: float
    ann_j: float
    ratio_low: float
    ratio_high: float
    time_steps: int
    spike_rate: float
    proxy_snn_j: float
    proxy_ann_j: float

    def describe(self) -> str:
        """Who wins, in a sentence."""
        verdict = "cheaper" if self.ratio_high < 1 else "more expensive" if self.ratio_low > 1 else "undecided"
        steps = f"up to T={self.time_steps}" if self.time_steps else "at no T"
        below = f"below {100 * self.spike_rate:.1f} % spikes" if self.spike_rate < 1 else "at any spike rate"
        rate = below if self.spike_rate > 0 else "not even when silent"
        return (
            f"the SNN takes {self.snn_j / self.ann_j:.2f} times the energy of the {self.bits}-bit ANN ({verdict}: {self.ratio_low:.2f} to "
            f"{self.ratio_high:.2f} over the bands of the coefficients); it wins {steps}, at its own T {rate}; "
            f"the SynOps proxy says {self.proxy_snn_j / self.proxy_ann_j:.2f} times"
        )


def energy_j(machine: SATA, workload: Workload) -> float:
    """Energy of one inference of a workload with activity."""
    return _cost(machine, workload).energy_j


def _cost(machine: SATA, workload: Workload) -> Cost:
    if workload.activity is None:
        workload.activity_of(workload.layers[0].name)
    assert workload.activity is not None
    return machine.cost(machine.map(workload), workload.activity)


def with_time_steps(workload: Workload, steps: int) -> Workload:
    """The workload run for another number of time steps, each with the mean activity of those it has.

    Raises
    ------
    InputError : for no steps, or a network without time.
    """
    if steps < 1 or not workload.spiking:
        raise InputError(
            "time steps that this network cannot run",
            where=workload.name,
            got=f"{steps} steps, {'with' if workload.spiking else 'without'} spiking neurons",
            expected="at least 1 step, and spiking neurons",
        )
    before = workload.time_steps

    def again(layer: Layer) -> Layer:
        return replace(layer, steps=steps) if layer.steps == before else layer

    layers = tuple(again(layer) for layer in workload.layers)
    changed = replace(workload, layers=layers, time_steps=steps, activity=None)
    if workload.activity is None:
        return changed
    seen = workload.activity.layers
    activities = {layer.name: _repeated(seen[layer.name], layer.steps) for layer in layers}
    return changed.with_activity(Activity(activities, f"{workload.activity.origin}, mean over time steps"))


def _repeated(seen: LayerActivity, steps: int) -> LayerActivity:
    def mean(values: tuple[float, ...]) -> tuple[float, ...]:
        return (math.fsum(values) / len(values),) * steps

    return replace(
        seen,
        nonzero_inputs=mean(seen.nonzero_inputs),
        input_ones=mean(seen.input_ones),
        active_patches=mean(seen.active_patches),
        nonzero_outputs=mean(seen.nonzero_outputs),
    )


def energy_line(machine: SATA, workload: Workload, steps: Sequence[int] = (2, 4, 8, 16)) -> EnergyLine:
    """Least-squares line through the energies at ``steps``; by default without T=1, where nothing has to be kept between steps."""
    if len(set(steps)) < 2:
        raise InputError("a line needs two points", where="energy_line", got=tuple(steps), expected="two different T")
    points = tuple((t, energy_j(machine, with_time_steps(workload, t))) for t in sorted(set(steps)))
    mt, me = sum(t for t, _ in points) / len(points), sum(e for _, e in points) / len(points)
    slope = sum((t - mt) * (e - me) for t, e in points) / sum((t - mt) ** 2 for t, _ in points)
    start = me - slope * mt
    return EnergyLine(start, slope, points, max(abs(start + slope * t - e) / e for t, e in points))


def ann_workload(workload: Workload, bits: int, density: float = 0.5) -> Workload:
    """The network of the same topology with ReLU instead of neurons, one time step, activations of ``bits`` bit, half of them zero."""
    image = {layer.name for layer in workload.layers if workload.sources(layer.name) in ((), ("input",))}

    def relu(layer: Layer) -> Layer:
        narrow = layer.input_bits <= 8 and layer.name not in image and not layer.inputs_signed
        return replace(
            layer,
            op="relu" if layer.op == "neuron" else layer.op,
            neuron=None,
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
    return with_profile(network, Profile("relu", density, 1.0, "half of the activations zero after ReLU"))


def largest_cheaper(machine: SATA, workload: Workload, ann_j: float) -> int:
    """Largest T at which the SNN costs less than ``ann_j``; 0 if it never does."""
    best = 0
    for steps in range(1, MOST_STEPS + 1):
        if energy_j(machine, with_time_steps(workload, steps)) >= ann_j:
            break
        best = steps
    return best


def break_even(machine: SATA, workload: Workload, bits: Sequence[int] | None = None) -> tuple[BreakEven, ...]:
    """The SNN of a workload with activity against its ANN twin at several precisions.

    Parameters
    ----------
    bits : of the ANN's activations; by default 8, 4 and ``ceil(log2(T + 1))``, as many levels as T binary steps have.
    """
    steps = workload.time_steps
    chosen = bits or tuple(dict.fromkeys((8, 4, math.ceil(math.log2(steps + 1)))))
    snn = _cost(machine, workload)
    proxy = workload.synaptic_operations() * PROXY_AC.value
    gated, rate = _gated(snn, workload)
    found = []
    for width in chosen:
        network = ann_workload(workload, width)
        ann = _cost(machine.ann_twin(width), network)
        spare = ann.energy_j - (snn.energy_j - gated)
        found.append(
            BreakEven(
                width,
                snn.energy_j,
                ann.energy_j,
                *ratio_band(snn.ledger, ann.ledger),
                largest_cheaper(machine, workload, ann.energy_j),
                rate * spare / gated if gated else math.copysign(math.inf, spare),
                proxy,
                network.macs * PROXY_MAC.value,
            )
        )
    return tuple(found)


def ratio_band(numerator: Ledger, denominator: Ledger) -> tuple[float, float]:
    """Smallest and largest ratio of two totals of one kind of machine.

    Entries of one component and action share their coefficient, so its band moves both sides together; different ones move independently. The
    ratio is fractional-linear in each, so its extremes are corners, found by Dinkelbach's iteration.
    """
    ends: dict[tuple[str, str], list[float]] = {}
    for side, ledger in enumerate((numerator, denominator)):
        for e in ledger:
            sums = ends.setdefault((e.component, e.action), [0.0] * 4)
            sums[2 * side] += e.count * e.low_j
            sums[2 * side + 1] += e.count * e.high_j

    def extreme(sign: int) -> float:
        ratio = numerator.total_j / denominator.total_j
        while True:
            top = bottom = 0.0
            for low, high, low_below, high_below in ends.values():
                up = sign * ((high - low) - ratio * (high_below - low_below)) > 0
                top, bottom = top + (high if up else low), bottom + (high_below if up else low_below)
            if sign * (top / bottom - ratio) <= 1e-12 * ratio:
                return ratio
            ratio = top / bottom

    return extreme(-1), extreme(1)


def _gated(cost: Cost, workload: Workload) -> tuple[float, float]:
    """Energy that spikes gate, and the mean input density (by products) of the layers that see spikes."""
    assert workload.activity is not None
    spiking = {layer.name: layer for layer in workload.multiplying if layer.input_bits == 1}
    energy = sum(
        e.total_j for e in cost.ledger if e.layer in spiking and e.component in GATED and e.action == "operation"
    )
    products = sum(layer.macs * layer.steps for layer in spiking.values())
    active = sum(layer.macs * sum(workload.activity.layers[name].density()) for name, layer in spiking.items())
    return energy, active / products if products else 0.0
