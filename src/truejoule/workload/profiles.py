"""Activity for workloads without data: named, assumed, meant to be swept.

A profile says how many activations are not zero; everything else follows. It is marked ``assumed: <name>`` wherever the
numbers are used.

* Activations (neuron and ReLU outputs) have the density of the profile, and pools pass it on, so that every layer that
  multiplies sees it, the first one excepted; a global average over n elements is 1 − (1 − d)^n; sums of two sparse maps
  have 1 − (1 − d)(1 − d); accumulators, norms and sign outputs are dense.
* Windows are taken as independent draws: a window of ``n`` elements has any non-zero input with probability 1 − (1 −
  d)^n, where n is the fan-in. Real spikes cluster, so real windows are emptier; zero padding is not counted.
* Half of the bits of a non-zero input are ones if it has more than one bit; ±1 inputs are ones half of the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from truejoule.errors import InputError, did_you_mean
from truejoule.workload.activity import Activity, LayerActivity
from truejoule.workload.layer import Layer
from truejoule.workload.workload import Workload

Density = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """An assumed activity.

    Attributes
    ----------
    name : printed as ``assumed: <name>``.
    density : share of non-zero activations; one number, or one per time step.
    first_input_density : share of non-zero inputs of the network; 1 for images.
    source : who assumed it.

    Raises
    ------
    InputError : for a density outside 0 to 1.
    """

    name: str
    density: Density
    first_input_density: Density = 1.0
    source: str = "chosen by the user"

    def __post_init__(self) -> None:
        for label in ("density", "first_input_density"):
            value = getattr(self, label)
            if isinstance(value, Sequence):
                object.__setattr__(self, label, tuple(value))
            shares = value if isinstance(value, Sequence) else (value,)
            if not shares or not all(0 <= d <= 1 for d in shares):
                raise InputError(
                    "a density outside 0 to 1",
                    where=f"profile {self.name}, {label}",
                    got=value,
                    expected="shares of non-zero values, 0 to 1",
                )


PROFILES: Mapping[str, Profile] = {
    p.name: p
    for p in (
        Profile("snn-10", 0.1, 1.0, "90 % spike sparsity, as arXiv 2309.03388 assumes for S-BP and Direct"),
        Profile(
            "relu-50",
            0.5,
            1.0,
            "half of the activations zero after ReLU, as arXiv 2309.03388 assumes for its ANN baselines",
        ),
        Profile("dense", 1.0, 1.0, "no zeros: the upper bound"),
    )
}
"""The named profiles."""


def names() -> tuple[str, ...]:
    """Names of the profiles."""
    return tuple(PROFILES)


def with_profile(workload: Workload, profile: Profile | str) -> Workload:
    """The workload with assumed activity for every layer, as of one sample.

    Parameters
    ----------
    profile : a name, or a ``Profile`` of your own (to sweep a density).

    Raises
    ------
    InputError : for an unknown name, or densities per step whose number is not that of the time steps.
    """
    if isinstance(profile, str):
        if profile not in PROFILES:
            raise InputError(
                f"no activity profile called {profile!r}", where="with_profile", fix=did_you_mean(profile, PROFILES)
            )
        profile = PROFILES[profile]
    steps = workload.time_steps
    active = _per_step(profile.density, steps, f"profile {profile.name}, density")
    outputs: dict[str, tuple[float, ...]] = {
        "input": _per_step(profile.first_input_density, steps, f"profile {profile.name}, first_input_density")
    }
    activities: dict[str, LayerActivity] = {}
    for layer in workload.layers:
        entering = [outputs[source] for source in workload.sources(layer.name)] or [outputs["input"]]
        inputs = tuple(1 - math.prod(1 - d for d in step) for step in zip(*entering, strict=True))
        outputs[layer.name] = _output(layer, inputs, active)
        activities[layer.name] = _activity(layer, _fit(inputs, layer.steps), _fit(outputs[layer.name], layer.steps))
    return workload.with_activity(Activity(activities, f"assumed: {profile.name}"))


def _output(layer: Layer, inputs: tuple[float, ...], active: tuple[float, ...]) -> tuple[float, ...]:
    if layer.op in ("neuron", "relu"):
        return active
    if layer.op == "avg_pool" and layer.positions == 1:
        return tuple(1 - (1 - d) ** math.prod(layer.kernel) for d in inputs)
    if layer.op in ("max_pool", "avg_pool", "add"):
        return inputs
    return (1.0,) * len(inputs)


def _activity(layer: Layer, inputs: tuple[float, ...], outputs: tuple[float, ...]) -> LayerActivity:
    patches = layer.positions if layer.op == "conv" else 0
    nonzero = tuple(layer.inputs * d for d in inputs)
    ones = nonzero
    if layer.input_bits > 1:
        ones = tuple(n * layer.input_bits * 0.5 for n in nonzero)
    elif layer.inputs_signed:
        ones = tuple(n * 0.5 for n in nonzero)
    return LayerActivity(
        samples=1,
        inputs=layer.inputs,
        outputs=layer.outputs,
        patches=patches,
        nonzero_inputs=nonzero,
        input_ones=ones,
        active_patches=tuple(patches * (1 - (1 - d) ** layer.fan_in) for d in inputs),
        nonzero_outputs=tuple(layer.outputs * d for d in outputs),
    )


def _per_step(density: Density, steps: int, where: str) -> tuple[float, ...]:
    if not isinstance(density, tuple):
        return (density,) * steps
    if len(density) != steps:
        raise InputError(
            "densities per time step that do not fit the time steps",
            where=where,
            got=f"{len(density)} numbers",
            expected=f"{steps}",
        )
    return density


def _fit(densities: tuple[float, ...], steps: int) -> tuple[float, ...]:
    """Per-step densities of a layer; their mean if it runs another number of times than the network has steps."""
    return densities if len(densities) == steps else (math.fsum(densities) / len(densities),) * steps
