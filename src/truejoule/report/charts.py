"""All figures of a report, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from truejoule.errors import InputError, did_you_mean
from truejoule.report.activity import activity_chart
from truejoule.report.bars import accuracy_chart, area_chart, latency_chart
from truejoule.report.chart import Chart as Chart
from truejoule.report.chart import theme as theme
from truejoule.report.energy import energy_chart, layers_chart, steps_chart
from truejoule.report.maps import tiles_chart, wires_chart
from truejoule.report.numbers import Evaluation
from truejoule.report.over_time import over_time_chart
from truejoule.report.proxy import proxy_chart

SHARED: dict[str, Callable[[Sequence[Evaluation]], Chart]] = {
    "accuracy": accuracy_chart,
    "energy": energy_chart,
    "proxy": proxy_chart,
}
"""Figures that can show several evaluations together."""

SINGLE: dict[str, Callable[[Evaluation], Chart]] = {
    "layers": layers_chart,
    "latency": latency_chart,
    "steps": steps_chart,
    "over_time": over_time_chart,
    "area": area_chart,
    "activity": activity_chart,
    "wires": wires_chart,
    "tiles": tiles_chart,
}
"""Figures of one evaluation."""

NAMES = (*SHARED, *SINGLE)
"""Names of all figures."""


def chart(evaluations: Evaluation | Sequence[Evaluation], name: str) -> Chart:
    """One figure by name.

    Raises
    ------
    InputError : for an unknown name, for several evaluations where the figure shows one, or where the evaluation has no such data.
    """
    several = [evaluations] if isinstance(evaluations, dict) else list(evaluations)
    if name not in NAMES:
        raise InputError(
            f"unknown figure {name!r}", got=name, expected="one of " + ", ".join(NAMES), fix=did_you_mean(name, NAMES)
        )
    if not several:
        raise InputError("no evaluation to show", where=f"figure {name!r}", expected="at least one evaluation")
    if name in SHARED:
        return SHARED[name](several)
    if len(several) > 1:
        raise InputError(
            f"figure {name!r} shows one evaluation",
            got=f"{len(several)} evaluations",
            fix="draw it for each one, or choose one of " + ", ".join(SHARED),
        )
    missing = absent(several[0], name)
    if missing:
        raise InputError(
            f"no data for figure {name!r}",
            where=several[0]["title"],
            got=missing,
            fix="choose one of " + ", ".join(available(several[0])),
        )
    return SINGLE[name](several[0])


def available(evaluation: Evaluation) -> list[str]:
    """Names of the figures that this evaluation has data for."""
    return [name for name in NAMES if not absent(evaluation, name)]


def absent(evaluation: Evaluation, name: str) -> str:
    """Why a figure cannot be drawn, or an empty text."""
    if name == "wires" and not any(d["loss"] for d in evaluation["drops"]):
        return "this machine has no crossbar wires, or they were not measured"
    if name == "latency" and not evaluation["schedule"]["slots"]:
        return "the schedule has no slots"
    if name == "activity" and not evaluation["activity"]["hardware"] and not evaluation["activity"]["ideal"]:
        return "no activity was measured"
    if name == "over_time" and not evaluation["over_time"]:
        return "this network has no spiking neurons"
    if name == "tiles" and not evaluation["mapping"]["placements"]:
        return "nothing is placed"
    if name == "area" and not evaluation["floorplan"]:
        return "the floorplan is empty"
    if name == "layers" and not evaluation["by_layer"]:
        return "the ledger is empty"
    return ""
