"""Figures that are maps: loss over a crossbar, layers over the tiles."""

from __future__ import annotations

from typing import Any

from truejoule.report.chart import Chart, Row, Spec, columns, own, spec, tooltip
from truejoule.report.colours import IDEAL, ink, ramp
from truejoule.report.numbers import Evaluation, percent


def wires_chart(evaluation: Evaluation, layer: str = "") -> Chart:
    """Loss of cell current over one crossbar; the layer is chosen below the figure (or with ``layer``)."""
    drops: dict[str, Any] = {
        d["layer"]: {
            "rows": len(d["loss"]),
            "columns": len(d["loss"][0]) if d["loss"] else 0,
            "loss": [v for row in d["loss"] for v in row],
        }
        for d in evaluation["drops"]
    }
    names = list(drops)
    chosen = layer or next(
        (d["layer"] for d in evaluation["drops"] if d["worst"] == max(x["worst"] for x in evaluation["drops"])), ""
    )
    largest = max((d["rows"] * d["columns"] for d in drops.values()), default=0)
    bind = {"input": "select", "options": names, "name": "layer "}
    params: list[Spec] = [
        {"name": "drops", "value": drops},
        {"name": "layer", "value": chosen, **({"bind": bind} if len(names) > 1 else {})},
    ]
    rows_of, columns_of = "drops[layer].rows", "drops[layer].columns"
    ticks = {
        "labelExpr": f"datum.value % ({rows_of} > 16 ? {rows_of} / 4 : 4) == 0 ? datum.value : ''",
        "labelOverlap": False,
        "labelAngle": 0,
    }
    encoding = {
        "x": {
            "field": "column",
            "type": "ordinal",
            "scale": {"padding": 0},
            "axis": {"title": "column, sensed at the bottom", **ticks},
        },
        "y": {
            "field": "row",
            "type": "ordinal",
            "scale": {"padding": 0},
            "axis": {"title": "row, driven from the left", **ticks},
        },
        "color": {
            "field": "loss",
            "type": "quantitative",
            "scale": {"scheme": "viridis", "zero": True},
            "legend": {"title": "loss (%)", "labelExpr": "format(100 * datum.value, '.3~g')"},
        },
        "tooltip": [
            {"field": "row", "type": "ordinal"},
            {"field": "column", "type": "ordinal"},
            {"field": "loss", "type": "quantitative", "title": "current that does not arrive", "format": ".2%"},
        ],
    }
    alt = (
        "Heat map of the share of each cell's current that does not arrive at the sense end, rows by columns. "
        + " ".join(
            f"{d['layer']}: mean {percent(d['mean'])}, worst {percent(d['worst'])}." for d in evaluation["drops"]
        )
    )
    found: Spec = {
        "width": "container",
        "height": 380,
        "description": alt,
        "params": params,
        "data": {"sequence": {"start": 0, "stop": largest, "as": "i"}},
        "transform": [
            {"filter": f"datum.i < {rows_of} * {columns_of}"},
            {"calculate": f"floor(datum.i / {columns_of})", "as": "row"},
            {"calculate": f"datum.i % {columns_of}", "as": "column"},
            {"calculate": "drops[layer].loss[datum.i]", "as": "loss"},
        ],
        "mark": {"type": "rect", "stroke": {"expr": "scale('color', datum.loss)"}, "strokeWidth": 0.8},
        "encoding": encoding,
    }
    note = "Share of a cell's current that the wires take, for the crossbar of the layer as it is programmed. Row 0, at the top, is the farthest from the sense end; the drivers stand on the left."
    return Chart("wires", "Loss on the wires of a crossbar", note, alt, found, renderer="canvas", max_width=560)


def tiles_chart(evaluation: Evaluation) -> Chart:
    """Which layer lives on which tile or core, and how full it is."""
    mapping = evaluation["mapping"]
    height, width = mapping["grid"]
    placed = list(mapping["placements"])
    tints = dict(zip((p["layer"] for p in placed), ramp(len(placed)), strict=True))
    homes: dict[int, list[dict[str, Any]]] = {}
    for p in placed:
        for unit in p["units"]:
            homes.setdefault(unit, []).append(p)
    rows: list[Row] = []
    for unit in range(height * width):
        down, across = divmod(unit, width)
        found = homes.get(unit, [])
        for i, p in enumerate(found):
            left, right = across + i / len(found), across + (i + 1) / len(found)
            rows.append(
                {
                    mapping["unit_name"]: unit,
                    "layer": p["layer"],
                    "utilisation": p["utilisation"],
                    "used": percent(p["utilisation"]),
                    "_x": left,
                    "_x2": right,
                    "_y": down,
                    "_y2": down + 1,
                    "_fill": down + 1 - p["utilisation"],
                    "_middle": (left + right) / 2,
                    "_row": down,
                    "_colour": tints[p["layer"]],
                    "_pale": tints[p["layer"]] + "59",
                    "_ink": ink(tints[p["layer"]]),
                    "where": f"{mapping['unit_name']} {unit} (row {down}, column {across})",
                    "arrays": p["arrays"],
                }
            )
        if not found:
            rows.append(
                {
                    mapping["unit_name"]: unit,
                    "layer": "unused",
                    "utilisation": 0.0,
                    "used": "unused",
                    "_x": across,
                    "_x2": across + 1,
                    "_y": down,
                    "_y2": down + 1,
                    "_fill": down + 1,
                    "_middle": across + 0.5,
                    "_row": down,
                    "where": f"{mapping['unit_name']} {unit} (row {down}, column {across})",
                    "arrays": 0,
                    "_empty": True,
                }
            )
    x: Spec = {"field": "_x", "type": "quantitative", "axis": None, "scale": {"domain": [0, width], "nice": False}}
    y: Spec = {
        "field": "_y",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [0, height], "nice": False, "reverse": True},
    }
    # A quantitative y axis grows upwards; reversed, unit 0 stands at the top left as on the chip.
    gap = 3 if width <= 16 else 1
    tips = tooltip(
        where="where",
        layer="layer",
        used=f"{mapping['in_use']} in use",
        arrays=f"{mapping['array_name']}s of the layer",
    )
    body = {"x2": {"field": "_x2"}, "y2": {"field": "_y2"}, "tooltip": tips}
    shape = {
        "type": "rect",
        "cornerRadius": 4 if width <= 16 else 0,
        "xOffset": gap / 2,
        "x2Offset": -gap / 2,
        "yOffset": gap / 2,
        "y2Offset": -gap / 2,
    }
    layers: list[Spec] = [
        {
            "transform": [{"filter": "datum._empty"}],
            "mark": {**shape, "fill": IDEAL, "opacity": 0.16},
            "encoding": {"x": x, "y": y, **body},
        },
        {
            "transform": [{"filter": "!datum._empty"}],
            "mark": shape,
            "encoding": {"x": x, "y": y, "color": own("_pale"), **body},
        },
        {
            "transform": [{"filter": "!datum._empty"}],
            "mark": {**shape},
            "encoding": {"x": x, "y": {**y, "field": "_fill"}, "color": own("_colour"), **body},
        },
    ]
    if width <= 8:
        layers += [
            {
                "mark": {
                    "type": "text",
                    "baseline": "top",
                    "dy": 10,
                    "fontWeight": 600,
                    "limit": {"expr": f"width / {width} - 10"},
                },
                "encoding": {
                    "x": {**x, "field": "_middle"},
                    "y": {**y, "field": "_row"},
                    "text": {"field": "layer"},
                    "opacity": {"condition": {"test": "datum._empty", "value": 0.6}, "value": 1},
                    "color": {
                        "condition": {
                            "test": "datum.utilisation > 0.7",
                            "field": "_ink",
                            "type": "nominal",
                            "scale": None,
                        }
                    },
                },
            },
            {
                "transform": [{"filter": "!datum._empty"}],
                "mark": {"type": "text", "baseline": "top", "dy": 28},
                "encoding": {
                    "x": {**x, "field": "_middle"},
                    "y": {**y, "field": "_row"},
                    "text": {"field": "used"},
                    "color": {
                        "condition": {
                            "test": "datum.utilisation > 0.7",
                            "field": "_ink",
                            "type": "nominal",
                            "scale": None,
                        }
                    },
                },
            },
        ]
    else:
        domain = [p["layer"] for p in placed]
        layers[2]["encoding"]["color"] = {
            "field": "layer",
            "type": "nominal",
            "scale": {"domain": domain, "range": [tints[d] for d in domain]},
            "legend": {
                "title": None,
                "orient": "bottom",
                "direction": "horizontal",
                "symbolType": "square",
                "columns": columns(110),
                "encoding": {"symbols": {"update": {"opacity": {"value": 1}, "fillOpacity": {"value": 1}}}},
            },
        }
    cell = min(84, max(10, 520 // max(width, 1)))
    alt = f"Grid of {height} by {width} {mapping['unit_name']}s, coloured by layer; {percent(mapping['utilisation'])} of the {mapping['in_use']} are in use."
    note = f"The solid part of each {mapping['unit_name']} is the share of its {mapping['in_use']} in use. In all {percent(mapping['utilisation'])} of {mapping['arrays']} {mapping['array_name']}s."
    return Chart(
        "tiles",
        f"Layers on the {mapping['unit_name']}s",
        note,
        alt,
        spec(rows, layers, height=max(cell * height, 60), alt=alt),
        max_width=max(420, min(620, width * 150)),
    )
