"""The arithmetic behind a number, from the JSON form of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from truejoule.errors import InputError, did_you_mean
from truejoule.units import format_si

WHAT = ("energy", "area", "latency")


def explain(
    evaluation: Mapping[str, Any], what: str = "energy", layer: str | None = None, component: str | None = None
) -> str:
    """One line per part, ``count x energy of one = total [kind] source``, and the sum.

    Parameters
    ----------
    evaluation : see ``Evaluation.to_json``.
    what : ``"energy"``, ``"area"`` or ``"latency"``.
    layer, component : only this one.

    Raises
    ------
    InputError : unknown quantity, layer or component.
    """
    if what not in WHAT:
        raise InputError(f"cannot explain {what!r}", fix=did_you_mean(what, WHAT))
    if what == "area":
        return _area(evaluation, component)
    if what == "latency":
        return _latency(evaluation, layer)
    rows = evaluation["ledger"]
    _known("layer", layer, (r["layer"] for r in rows))
    _known("component", component, (r["component"] for r in rows))
    chosen = [r for r in rows if layer in (None, r["layer"]) and component in (None, r["component"])]
    lines = []
    for r in chosen:
        where = r["component"] if layer is not None else f"{r['layer']} · {r['component']}"
        lines.append(
            f"{where}: {_count(r['count'])} x {r['action']} x {format_si(r['energy_j'], 'J')} = {format_si(r['total_j'], 'J')}   [{r['kind']}] {r['source']}"
        )
    total = math.fsum(r["total_j"] for r in chosen)
    low, high = (math.fsum(r["count"] * r[end] for r in chosen) for end in ("low_j", "high_j"))
    lines.append(
        f"sum: {format_si(total, 'J')}   (every coefficient at its low: {format_si(low, 'J')}, at its high: {format_si(high, 'J')})"
    )
    return "\n".join(lines)


def _area(evaluation: Mapping[str, Any], component: str | None) -> str:
    rows = evaluation["floorplan"]
    _known("component", component, (r["component"] for r in rows))
    chosen = [r for r in rows if component in (None, r["component"])]
    lines = [
        f"{r['component']}: {_count(r['instances'])} x {format_si(r['area_m2'], 'm2')} = {format_si(r['total_m2'], 'm2')}   [{r['kind']}] {r['source']}"
        for r in chosen
    ]
    return "\n".join([*lines, f"sum: {format_si(math.fsum(r['total_m2'] for r in chosen), 'm2')}"])


def _latency(evaluation: Mapping[str, Any], layer: str | None) -> str:
    slots = evaluation["schedule"]["slots"]
    _known("layer", layer, (s["layer"] for s in slots))
    chosen = [s for s in slots if layer in (None, s["layer"]) and (layer is not None or s["busy_s"] > 0)]
    lines = [
        f"{s['layer']}, step {s['step']}: from {format_si(s['start_s'], 's')} to {format_si(s['end_s'], 's')}, busy {format_si(s['busy_s'], 's')}, waiting {format_si(s['stall_s'], 's')}"
        for s in chosen
    ]
    return "\n".join([*lines, f"last output: {format_si(evaluation['latency_s'], 's')}"])


def _known(kind: str, name: str | None, names: Iterable[str]) -> None:
    options = list(dict.fromkeys(names))
    if name is not None and name not in options:
        raise InputError(f"no {kind} {name!r} in this evaluation", fix=did_you_mean(name, options))


def _count(count: float) -> str:
    return f"{count:,.0f}" if count >= 1000 else f"{count:.4g}"
