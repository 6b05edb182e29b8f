"""Layers that no machine runs at the place where they are, though elsewhere they would be harmless."""

from __future__ import annotations

from collections.abc import Sequence

from truejoule.network.recognise import FINAL_ONLY
from truejoule.workload import Edge, Layer, NotUnderstood


def final_only_in_the_middle(layers: Sequence[Layer], edges: Sequence[Edge]) -> list[NotUnderstood]:
    """A softmax and the like are harmless behind the last layer with weights, and on the input alone; between layers they are refused."""
    multiplying = {layer.name for layer in layers if layer.multiplies}
    found = []
    for layer in layers:
        if layer.op != "host" or layer.note not in FINAL_ONLY:
            continue
        before = _reached(layer.name, {(e.target, e.source) for e in edges})
        behind = _reached(layer.name, {(e.source, e.target) for e in edges if not e.recurrent})
        if behind & multiplying and before & multiplying:
            why = "it works on activations in front of a layer with weights; part of a quantiser is understood in a module of its own"
            found.append(NotUnderstood(layer.name, layer.note, why))
    return found


def over_time(layers: Sequence[Layer], edges: Sequence[Edge]) -> list[NotUnderstood]:
    """Layers that take several time steps at once, and answer as many: membranes as a filter over time, which no machine has."""
    known = {layer.name: layer for layer in layers}
    found = []
    for layer in layers:
        if layer.op not in ("conv", "linear", "max_pool", "avg_pool"):
            continue  # element by element, whatever the axes mean
        before = {e.source for e in edges if e.target == layer.name and e.source in known and not e.recurrent}
        stepwise = [known[source].outputs for source in before if known[source].steps > 1]
        behind = any(known[e.target].steps > 1 for e in edges if e.source == layer.name and not e.recurrent)
        if layer.steps == 1 and behind and stepwise and layer.inputs > sum(stepwise):
            why = "it runs once, between layers that run once per time step: it mixes the time steps"
            found.append(NotUnderstood(layer.name, f"{layer.op} over time", why))
    return found


def _reached(start: str, steps: set[tuple[str, str]]) -> set[str]:
    reached, front = set[str](), {start}
    while front:
        front = {end for begin, end in steps if begin in front} - reached
        reached |= front
    return reached
