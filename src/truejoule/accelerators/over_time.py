"""Energy as a function of the number of time steps, on any machine.

``E(T) = E0 + e1 T``: what is paid once (weights, image) and what every time step adds. The fit is a straight line through evaluations at several
T with the mean activity of the workload in every step; ``worst`` says how far from a line the machine is (passes over the weights are whole).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import linear_regression

from truejoule.accelerators.accelerator import Accelerator
from truejoule.cost import Cost
from truejoule.errors import InputError
from truejoule.workload import Activity, Layer, Work, Workload

FITTED = (2, 4, 8, 16)
"""Without T=1, where nothing has to be kept between steps."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A workload with its activity, and what a deployed network measured of the machine's own quantities (empty: estimated from densities)."""

    workload: Workload
    work: Work = field(default_factory=dict)

    @property
    def activity(self) -> Activity:
        if self.workload.activity is None:
            self.workload.activity_of(self.workload.layers[0].name)  # refuses with the reason
        assert self.workload.activity is not None
        return self.workload.activity


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


def cost_of(machine: Accelerator, seen: Observed) -> Cost:
    """Map and cost one inference."""
    return machine.cost(machine.map(seen.workload), seen.activity, seen.work)


def energy_j(machine: Accelerator, seen: Observed) -> float:
    """Energy of one inference."""
    return cost_of(machine, seen).energy_j


def energy_line(machine: Accelerator, seen: Observed, steps: Sequence[int] = FITTED) -> EnergyLine:
    """Least-squares line through the energies at ``steps``."""
    if len(set(steps)) < 2:
        raise InputError("a line needs two points", where="energy_line", got=tuple(steps), expected="two different T")
    points = tuple((t, energy_j(machine, with_time_steps(seen, t))) for t in sorted(set(steps)))
    slope, start = linear_regression(*zip(*points, strict=True))
    return EnergyLine(start, slope, points, max(abs(start + slope * t - e) / e for t, e in points))


def with_time_steps(seen: Observed, steps: int) -> Observed:
    """The workload run for another number of time steps, each with the mean activity of those it has.

    Raises
    ------
    InputError : for no steps, or a network without time.
    """
    workload = seen.workload
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
    longer = {layer.name: layer.steps for layer in layers}
    activities = {
        name: a.over_steps(lambda values, n=longer[name]: mean(values, n)) for name, a in seen.activity.layers.items()
    }
    work = {
        name: {quantity: mean(values, longer[name]) for quantity, values in quantities.items()}
        for name, quantities in seen.work.items()
    }
    changed = replace(workload, layers=layers, time_steps=steps, activity=None)
    return Observed(changed.with_activity(Activity(activities, f"{seen.activity.origin}, mean over time steps")), work)


def with_spikes(seen: Observed, share: float) -> Observed:
    """The workload with every spike rate scaled, at most to 1 per step: inputs made of spikes, and what the machine counted of them.

    Windows with any spike (``active_patches``) are scaled alike, which is exact only for spikes that come or go in whole windows.
    """
    activities, work = dict(seen.activity.layers), {name: dict(values) for name, values in seen.work.items()}
    for layer in spike_layers(seen.workload):
        a = activities[layer.name]
        most = float(a.samples * a.inputs)
        factors = tuple(min(share, most / n) if n else 0.0 for n in a.nonzero_inputs)
        patches = float(a.samples * a.patches)
        activities[layer.name] = replace(
            a,
            nonzero_inputs=tuple(n * f for n, f in zip(a.nonzero_inputs, factors, strict=True)),
            input_ones=tuple(n * f for n, f in zip(a.input_ones, factors, strict=True)),
            active_patches=tuple(min(n * share, patches) for n in a.active_patches),
        )
        for quantity, values in work.get(layer.name, {}).items():
            work[layer.name][quantity] = tuple(v * f for v, f in zip(values, factors, strict=False))
    origin = f"{seen.activity.origin}, spikes x {share:.3g}"
    return Observed(replace(seen.workload, activity=None).with_activity(Activity(activities, origin)), work)


def spike_rate(seen: Observed) -> float:
    """Mean input density, weighted by products, of the layers that see spikes."""
    layers = spike_layers(seen.workload)
    products = sum(layer.macs * layer.steps for layer in layers)
    active = sum(layer.macs * sum(seen.activity.layers[layer.name].density()) for layer in layers)
    return active / products if products else 0.0


def spike_layers(workload: Workload) -> tuple[Layer, ...]:
    """Layers with weights whose inputs are spikes, or what pools and residual additions make of them."""
    spikes: set[str] = set()
    for layer in workload.layers:
        sources = workload.sources(layer.name)
        passed = layer.op in ("max_pool", "avg_pool", "add") and bool(sources) and spikes.issuperset(sources)
        if layer.op == "neuron" or passed:
            spikes.add(layer.name)
    sources_of = {layer.name: workload.sources(layer.name) for layer in workload.multiplying}
    return tuple(x for x in workload.multiplying if sources_of[x.name] and spikes.issuperset(sources_of[x.name]))


def mean(values: tuple[float, ...], steps: int) -> tuple[float, ...]:
    """The mean of the values, ``steps`` times."""
    return (math.fsum(values) / len(values),) * steps
