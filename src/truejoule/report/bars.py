"""Figures of accuracy, time and area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from truejoule.report.chart import (
    RESERVE,
    Chart,
    Row,
    Spec,
    axis,
    columns,
    heading,
    name_limit,
    own,
    scale,
    spec,
    tooltip,
)
from truejoule.report.colours import HARDWARE, IDEAL, colour, ramp
from truejoule.report.numbers import (
    Evaluation,
    accuracy,
    band,
    count,
    format_si,
    is_share,
    labels,
    mark,
    percent,
    share,
)

PALE = "44"
"""Alpha of the pale part of a bar: in the colour itself, since an opacity would fade the legend too."""


def accuracy_chart(evaluations: Sequence[Evaluation]) -> Chart:
    """Accuracy, ideal to hardware, with confidence intervals; every chip seed has its own row where there is one evaluation."""
    rows: list[Row] = []

    def add(group: str, name: str, a: Mapping[str, Any], kind: str, more: str = "") -> None:
        rows.append(
            {
                "evaluation": group,
                "row": name,
                "_first": True,
                "kind": kind,
                "accuracy": a["value"],
                "low": a["low"],
                "high": a["high"],
                "samples": a["samples"],
                "text": accuracy(a),
                "_value": mark(a),
                "agreement": more,
                "_bar": str(len(rows)),
                "_colour": IDEAL if kind == "ideal" else HARDWARE,
            }
        )

    for name, e in zip(labels(evaluations), evaluations, strict=True):
        add(name, "ideal" if len(evaluations) == 1 else f"ideal network of {name}", e["ideal_accuracy"], "ideal")
        add(name, "hardware" if len(evaluations) == 1 else name, e["accuracy"], "hardware")
        if len(evaluations) == 1:
            for chip in e["chips"]:
                add(name, f"chip, seed {chip['seed']}", chip["accuracy"], "chip", percent(chip["agreement"]))
    order = [r["_bar"] for r in rows]
    y = {"field": "_bar", "type": "ordinal", "sort": order, "axis": None}
    first, second = evaluations[0]["ideal_accuracy"], evaluations[0]["accuracy"]
    title = {"title": "accuracy (%)", "labelExpr": "format(100 * datum.value, '.4~g')"}
    if not is_share(first):
        title = {"title": first["what"], "labelExpr": "format(datum.value, '.4~g')"}
    x = {
        "field": "accuracy",
        "type": "quantitative",
        "scale": {"zero": False, "padding": 12},
        "axis": {**title, "tickCount": 5},
    }
    tips = tooltip(
        evaluation="network on", row="row", text="accuracy", samples="samples", agreement="same answer as ideal"
    )
    shown = {"color": own("_colour"), "y": y, "tooltip": tips}
    alt = f"Accuracy of the ideal network {accuracy(first)} and on the hardware {accuracy(second)}, with one point per simulated chip."
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55, "yOffset": 6},
            "encoding": {**shown, "x": {**x, "field": "low"}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "opacity": 1, "yOffset": 6},
            "encoding": {
                **shown,
                "x": x,
                "size": {"condition": {"test": "datum.kind == 'chip'", "value": 50}, "value": 110},
            },
        },
        *heading("row", "_value", order=order),
    ]
    if len(evaluations) == 1:
        layers.insert(
            0,
            {
                "data": {"values": [{"x": first["value"]}]},
                "mark": {"type": "rule", "strokeDash": [3, 3], "color": IDEAL},
                "encoding": {"x": {"field": "x", "type": "quantitative"}},
            },
        )
    note = "Grey is the ideal network in software. Lines are confidence intervals of the samples; every chip seed is one draw of the devices."
    return Chart(
        "accuracy", "Accuracy, ideal → hardware", note, alt, spec(rows, layers, height=44 * len(rows), alt=alt)
    )


def latency_chart(evaluation: Evaluation) -> Chart:
    """Layers over time, coloured by time step; waiting is light."""
    schedule = evaluation["schedule"]
    rows = [
        {
            "layer": s["layer"],
            "step": s["step"] + 1,
            "start_s": s["start_s"],
            "end_s": s["end_s"],
            "busy_s": s["busy_s"],
            "stall_s": s["stall_s"],
            "_busy_end": s["start_s"] + s["busy_s"],
            "window": f"{format_si(s['start_s'], 's')} to {format_si(s['end_s'], 's')}",
            "busy": format_si(s["busy_s"], "s"),
            "waiting": format_si(s["stall_s"], "s"),
        }
        for s in schedule["slots"]
    ]
    steps = sorted({r["step"] for r in rows})
    tints = dict(zip(steps, ramp(len(steps)), strict=True))
    for r in rows:
        r.update(_colour=tints[r["step"]], _pale=tints[r["step"]] + PALE)
    order = list(dict.fromkeys(r["layer"] for r in rows))
    y = {"field": "layer", "type": "ordinal", "sort": None, "title": None, "axis": {"labelLimit": name_limit()}}
    x = {
        "field": "start_s",
        "type": "quantitative",
        "axis": axis([schedule["latency_s"]], "s", "time", tickCount=5),
        "scale": {"domain": [0, schedule["latency_s"]], "nice": False},
    }
    legend = (
        {
            "title": "time step",
            "orient": "bottom",
            "direction": "horizontal",
            "symbolType": "square",
            "columns": columns(60),
            "encoding": {"symbols": {"update": {"opacity": {"value": 1}, "fillOpacity": {"value": 1}}}},
        }
        if 1 < len(steps) <= 16
        else None
    )
    tint = {
        "field": "step",
        "type": "ordinal",
        "scale": {"domain": steps, "range": list(tints.values())},
        "legend": legend,
    }
    shown = {
        "y": y,
        "color": tint,
        "tooltip": tooltip(layer="layer", step="time step", window="window", busy="busy", waiting="waiting for inputs"),
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "height": {"band": 0.62}},
            "encoding": {**shown, "color": own("_pale"), "x": x, "x2": {"field": "end_s"}},
        },
        {
            "transform": [{"filter": "datum.busy_s > 0"}],
            "mark": {"type": "bar", "height": {"band": 0.62}, "strokeWidth": 1.5},
            "encoding": {**shown, "x": x, "x2": {"field": "_busy_end"}, "stroke": own("_colour")},
        },
        {
            "data": {
                "values": [
                    {
                        "x": schedule["first_output_s"],
                        "label": f"first output {format_si(schedule['first_output_s'], 's')}",
                    }
                ]
            },
            "layer": [
                {
                    "mark": {"type": "rule", "strokeDash": [3, 3]},
                    "encoding": {"x": {"field": "x", "type": "quantitative"}},
                },
                {
                    "mark": {
                        "type": "text",
                        "baseline": "bottom",
                        "y": -4,
                        "align": {
                            "expr": f"{schedule['first_output_s']!r} > {schedule['latency_s'] / 2!r} ? 'right' : 'left'"
                        },
                    },
                    "encoding": {"x": {"field": "x", "type": "quantitative"}, "text": {"field": "label"}},
                },
            ],
        },
    ]
    alt = f"When each layer runs in each time step; the last output comes after {format_si(evaluation['latency_s'], 's')}, the first after {format_si(schedule['first_output_s'], 's')}."
    note = "Pale bars run from a layer's first input to its last output; the solid part is the time its hardware is busy, drawn at the start of the window, and the rest is waiting for inputs."
    return Chart("latency", "When each layer runs", note, alt, spec(rows, layers, height=26 * len(order), alt=alt))


def area_chart(evaluation: Evaluation) -> Chart:
    """Area by component, largest first."""
    blocks = sorted(evaluation["floorplan"], key=lambda b: -b["total_m2"])
    rows = [
        {
            "component": b["component"],
            "instances": b["instances"],
            "area_m2": b["area_m2"],
            "total_m2": b["total_m2"],
            "total": format_si(b["total_m2"], "m2"),
            "share": share(b["total_m2"], evaluation["area_m2"]),
            "receipt": f"{count(b['instances'])} × {format_si(b['area_m2'], 'm2')}",
            "kind": b["kind"],
            "source": b["source"],
            "_colour": colour(b["component"]),
            "_label": f"{format_si(b['total_m2'], 'm2')} · {share(b['total_m2'], evaluation['area_m2'])}",
        }
        for b in blocks
    ]
    largest = max((b["total_m2"] for b in blocks), default=0.0)
    y = {
        "field": "component",
        "type": "ordinal",
        "sort": None,
        "title": None,
        "axis": {"labelLimit": name_limit()},
    }
    x = {
        "field": "total_m2",
        "type": "quantitative",
        "axis": axis([largest], "m2", "area", tickCount=4),
        "scale": scale(largest, RESERVE),
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "height": {"band": 0.72}},
            "encoding": {
                "y": y,
                "x": x,
                "color": own("_colour"),
                "tooltip": tooltip(
                    component="component", total="area", share="share", receipt="receipt", source="source"
                ),
            },
        },
        {"mark": {"type": "text", "align": "left", "dx": 6}, "encoding": {"y": y, "x": x, "text": {"field": "_label"}}},
    ]
    alt = f"Bars of chip area by component; in all {format_si(evaluation['area_m2'], 'm2')}, most of it {rows[0]['component'] if rows else 'nothing'}."
    return Chart(
        "area",
        "Where the area goes",
        f"In all {format_si(evaluation['area_m2'], 'm2')}; coefficients at low and high give {band(evaluation['area_band_m2'], 'm2')}.",
        alt,
        spec(rows, layers, height=30 * len(rows), alt=alt),
    )
