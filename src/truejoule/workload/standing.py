"""Layers whose input stands still over the time steps: an image that is shown directly, and what depends on it alone.

A machine that keeps their sums computes them once per inference, as EfficientLIF-Net's code does with its first convolution and norm.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from truejoule.workload.activity import Activity, Work
from truejoule.workload.layer import Layer
from truejoule.workload.workload import Workload

STATEFUL = ("neuron", "host")


def with_standing(workload: Workload, moving: Collection[str]) -> Workload:
    """The workload with its standing layers marked: those that depend on the input alone, without state, and did not see it change.

    In a single time step nothing can be seen to stand still; an image of several bits is then taken to be shown directly.

    Parameters
    ----------
    moving : layers that saw another input in another time step.
    """
    looped = {edge.target for edge in workload.edges if edge.recurrent}
    still = {"input"}
    layers = []
    for layer in workload.layers:
        sources = workload.sources(layer.name)
        alone = bool(sources) and layer.name not in looped and all(source in still for source in sources)
        standing = alone and layer.op not in STATEFUL and layer.name not in moving
        if workload.time_steps == 1:
            standing = standing and workload.spiking and layer.input_bits > 1
        if standing:
            still.add(layer.name)
        layers.append(replace(layer, standing=standing and layer.steps == workload.time_steps))
    return replace(workload, layers=tuple(layers))


def computed_once(workload: Workload) -> Workload:
    """The workload with its standing layers outside the time loop, without activity."""

    def once(layer: Layer) -> Layer:
        return replace(layer, steps=1) if layer.standing else layer

    return replace(workload, layers=tuple(once(layer) for layer in workload.layers), activity=None)


def standing_layers(workload: Workload) -> frozenset[str]:
    """Names of the layers with weights that stand still."""
    return frozenset(layer.name for layer in workload.multiplying if layer.standing)


def held(workload: Workload) -> tuple[Layer, ...]:
    """Layers with weights outside the time loop whose sums are needed in several time steps."""
    return tuple(layer for layer in workload.multiplying if readers(workload, layer))


def readers(workload: Workload, source: Layer) -> list[str]:
    """Layers with more time steps that take the sums of a layer with weights, in the order of the workload."""
    found: set[str] = set()
    front = {source.name}
    while front:
        behind = {e.target for e in workload.edges if e.source in front and not e.recurrent}
        found |= {name for name in behind if workload[name].steps > source.steps}
        front = {name for name in behind - found if not workload[name].multiplies}
    return [layer.name for layer in workload.layers if layer.name in found]


def fitted(workload: Workload, activity: Activity, work: Work) -> tuple[Activity, Work]:
    """Activity and work with as many time steps per layer as the workload has: those of the first steps, or of one step again and again."""
    steps = {layer.name: layer.steps for layer in workload.layers}
    layers = {
        name: seen.over_steps(lambda values, n=steps[name]: _first(values, n)) for name, seen in activity.layers.items()
    }
    quantities = {
        name: {quantity: _first(values, steps[name]) for quantity, values in of.items()} for name, of in work.items()
    }
    return Activity(layers, activity.origin), quantities


def _first(values: tuple[float, ...], steps: int) -> tuple[float, ...]:
    return values * steps if len(values) == 1 else values[:steps]
