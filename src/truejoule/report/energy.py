"""Figures of the energy account: by component, by layer, by time step."""

from __future__ import annotations

from collections.abc import Sequence
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
from truejoule.report.colours import IDEAL, colour, ink, ordered, ramp
from truejoule.report.numbers import (
    Evaluation,
    band,
    format_si,
    labels,
    receipts,
    share,
)

SMALL = 0.01
"""Components below this share of every bar are drawn, but left out of the legend."""


def energy_chart(evaluations: Sequence[Evaluation]) -> Chart:
    """Energy by component: one bar per evaluation, at ideal activity, and per alternative accounting."""
    bars: list[tuple[str, float, dict[str, float] | None, str, Evaluation]] = []
    for name, e in zip(labels(evaluations), evaluations, strict=True):
        bars.append((name, e["energy_j"], e["by_component"], "measured", e))
        bars.append(
            (
                "at ideal activity" if len(evaluations) == 1 else f"at ideal activity: {name}",
                e["ideal_activity"]["energy_j"],
                e["ideal_activity"]["by_component"],
                "ideal",
                e,
            )
        )
        if len(evaluations) == 1:
            bars += [
                (f"if: {a['description']}", a["energy_j"], a.get("by_component"), "alternative", e)
                for a in e["alternatives"]
            ]
    rows: list[Row] = []
    for number, (name, total, parts, kind, e) in enumerate(bars):
        if parts is None:
            rows.append(
                {
                    "bar": name,
                    "component": "(not split)",
                    "energy_j": total,
                    "_start": 0.0,
                    "_end": total,
                    "_outline": True,
                    "energy": format_si(total, "J"),
                    "share": "100 %",
                    "receipt": "",
                }
            )
        else:
            rows += _segments(
                {"bar": name},
                parts,
                {c: receipts((r for r in e["ledger"] if r["component"] == c), layers=True) for c in parts}
                if kind == "measured"
                else {},
                total,
            )
        for i, r in enumerate(row for row in rows if row["bar"] == name and "_bar" not in row):
            r.update(_bar=number, _quiet=kind != "measured", _first=i == 0, total=format_si(total, "J"))
    order = [str(n) for n in range(len(bars))]
    for r in rows:
        r["_bar"] = str(r["_bar"])
    largest = max(total for _, total, *_ in bars)
    y = {"field": "_bar", "type": "ordinal", "sort": order, "axis": None}
    e = evaluations[0]
    top = max(e["by_component"].items(), key=lambda kv: kv[1])
    alt = f"Stacked bars of the energy per inference by component. {labels(evaluations)[0]}: {format_si(e['energy_j'], 'J')}, of which {top[0]} {share(top[1], e['energy_j'])}."
    layers = _stack(rows, y, largest, "energy per inference", bar={"height": 24, "yOffset": 6}, text_dy=6)
    layers += heading(order=order)
    note = "The first bar is what is costed: the activity measured on the hardware. " + " ".join(
        f"{name}: all coefficients at their low to all at their high give {band(x['energy_band_j'], 'J')}."
        for name, x in zip(labels(evaluations), evaluations, strict=True)
    )
    if any(r.get("_outline") for r in rows):
        note += " Outlined bars are totals of other accountings."
    return Chart("energy", "Where the energy goes", note, alt, spec(rows, layers, height=62 * len(bars), alt=alt))


def layers_chart(evaluation: Evaluation) -> Chart:
    """Energy by layer, stacked by component."""
    rows: list[Row] = []
    for layer, parts in evaluation["by_layer_and_component"].items():
        found = {
            c: receipts(r for r in evaluation["ledger"] if r["component"] == c and r["layer"] == layer) for c in parts
        }
        segments = _segments({"layer": layer}, parts, found, evaluation["energy_j"])
        total = evaluation["by_layer"][layer]
        for i, r in enumerate(segments):
            r.update(
                _first=i == 0,
                _total=total,
                _label=f"{format_si(total, 'J')} · {share(total, evaluation['energy_j'])}",
                total=format_si(total, "J"),
            )
        rows += segments
    order = list(evaluation["by_layer"])
    y = {"field": "layer", "type": "ordinal", "sort": None, "title": None, "axis": {"labelLimit": name_limit()}}
    largest = max(evaluation["by_layer"].values(), default=0.0)
    top = max(evaluation["by_layer"].items(), key=lambda kv: kv[1])
    alt = (
        f"Stacked bars of the energy of each layer by component; the largest is {top[0]} with {format_si(top[1], 'J')}."
    )
    layers = _stack(rows, y, largest, "energy per inference", bar={"height": {"band": 0.72}}, reserve=RESERVE)
    layers.append(
        {
            "transform": [{"filter": "datum._first"}],
            "mark": {"type": "text", "align": "left", "dx": 6},
            "encoding": {"y": y, "x": {"field": "_total", "type": "quantitative"}, "text": {"field": "_label"}},
        }
    )
    note = (
        "Layers in the order of the network; “chip” is what belongs to no layer, such as leakage."
        if "chip" in order
        else "Layers in the order of the network."
    )
    return Chart("layers", "Energy by layer", note, alt, spec(rows, layers, height=30 * len(order), alt=alt))


def steps_chart(evaluation: Evaluation) -> Chart:
    """Energy of each time step, and what is spent once."""
    fixed = evaluation["energy_fixed_j"]
    rows = [{"part": "once", "energy_j": fixed, "energy": format_si(fixed, "J"), "_colour": IDEAL}]
    tints = ramp(len(evaluation["energy_step_j"]))
    rows += [
        {"part": f"{t}", "energy_j": v, "energy": format_si(v, "J"), "_colour": tints[t - 1]}
        for t, v in enumerate(evaluation["energy_step_j"], start=1)
    ]
    values = [r["energy_j"] for r in rows]
    x = {
        "field": "part",
        "type": "ordinal",
        "sort": [r["part"] for r in rows],
        "axis": {"title": "spent once, and in each time step", "labelAngle": 0},
    }
    y = {"field": "energy_j", "type": "quantitative", "axis": axis(values, "J", "energy", grid=True, tickCount=4)}
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "width": {"band": 0.7}},
            "encoding": {
                "x": x,
                "y": y,
                "color": own("_colour"),
                "tooltip": tooltip(part="time step", energy="energy"),
            },
        },
    ]
    if len(rows) <= 13:
        layers.append(
            {
                "mark": {"type": "text", "baseline": "bottom", "dy": -4, "limit": {"expr": f"width / {len(rows)}"}},
                "encoding": {"x": x, "y": y, "text": {"field": "energy"}},
            }
        )
    alt = f"Energy spent once, {format_si(fixed, 'J')}, and in each of {len(rows) - 1} time steps."
    note = "What is spent once per inference, at this number of time steps, stays when a network stops early; the steps that are not run are saved."
    return Chart("steps", "Energy per time step", note, alt, spec(rows, layers, height=210, alt=alt))


def _segments(head: Row, parts: dict[str, float], found: dict[str, str], whole: float) -> list[Row]:
    rows, start = [], 0.0
    for component in ordered(parts):
        value = parts[component]
        rows.append(
            {
                **head,
                "component": component,
                "energy_j": value,
                "energy": format_si(value, "J"),
                "share": share(value, whole),
                "receipt": found.get(component, ""),
                "_start": start,
                "_end": start + value,
                "_colour": colour(component),
                "_ink": ink(colour(component)),
            }
        )
        start += value
    return rows


def _stack(
    rows: list[Row], y: Spec, largest: float, title: str, *, bar: dict[str, Any], text_dy: int = 0, reserve: int = 0
) -> list[Spec]:
    """Stacked bars with labels inside the segments that are wide enough; start and end are in the data, so every engine stacks alike."""
    components = ordered(r["component"] for r in rows if not r.get("_outline"))
    legend = [
        c for c in components if any(r["component"] == c and r["_end"] - r["_start"] >= SMALL * largest for r in rows)
    ]
    tint = {
        "field": "component",
        "type": "nominal",
        "scale": {"domain": components, "range": [colour(c) for c in components]},
        "legend": {
            "title": None,
            "orient": "bottom",
            "direction": "horizontal",
            "values": legend,
            "symbolType": "square",
            "columns": columns(135),
            "encoding": {"symbols": {"update": {"opacity": {"value": 1}, "fillOpacity": {"value": 1}}}},
        },
    }
    x = {
        "field": "_start",
        "type": "quantitative",
        "axis": axis([largest], "J", title, tickCount=5),
        "scale": scale(largest, reserve),
    }
    tips = tooltip(component="component", energy="energy", share="share", receipt="receipt")
    layers: list[Spec] = [
        {
            "transform": [{"filter": "!datum._outline"}],
            "mark": {"type": "bar", **bar},
            "encoding": {
                "y": y,
                "x": x,
                "x2": {"field": "_end"},
                "color": tint,
                "opacity": {"condition": {"test": "datum._quiet", "value": 0.5}, "value": 1},
                "tooltip": tips,
            },
        },
        {
            "transform": [
                {"filter": "!datum._quiet"},
                {"calculate": "(datum._start + datum._end) / 2", "as": "_middle"},
            ],
            "mark": {"type": "text", "dy": text_dy},
            "encoding": {
                "y": y,
                "x": {**x, "field": "_middle"},
                "color": own("_ink"),
                "text": {
                    "condition": {
                        "test": f"(datum._end - datum._start) / {largest or 1.0!r} * (width - {reserve}) > 7.5 * length(datum.component) + 8",
                        "field": "component",
                    },
                    "value": "",
                },
            },
        },
    ]
    if any(r.get("_outline") for r in rows):
        layers.insert(
            1,
            {
                "transform": [{"filter": "datum._outline"}],
                "mark": {
                    "type": "bar",
                    "fillOpacity": 0.12,
                    "fill": IDEAL,
                    "stroke": IDEAL,
                    "strokeDash": [4, 3],
                    **bar,
                },
                "encoding": {"y": y, "x": x, "x2": {"field": "_end"}, "tooltip": tips},
            },
        )
    return layers
