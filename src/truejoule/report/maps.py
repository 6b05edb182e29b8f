"""Figures that are maps: activity over layers and time steps, loss over a crossbar, layers over the tiles."""

from __future__ import annotations

from typing import Any

from truejoule.report.chart import Chart, Row, Spec, own, spec, tooltip
from truejoule.report.colours import HARDWARE, IDEAL, ink, ramp
from truejoule.report.numbers import Evaluation, percent


def activity_chart(evaluation: Evaluation) -> Chart:
    """Input density per layer and time step, hardware and ideal side by side, with the spikes per neuron."""
    outputs = {x["name"]: x["outputs"] for x in evaluation["workload"]["layers"]}
    spiking = {x["name"] for x in evaluation["workload"]["layers"] if x["neuron"]}
    rows: list[Row] = []
    for run, tint in (("hardware", HARDWARE), ("ideal", IDEAL)):
        for layer, a in ((evaluation["activity"][run] or {}).get("layers") or {}).items():
            fired = sum(a["spikes"]) / outputs[layer] if layer in spiking and outputs.get(layer) else None
            for step, density in enumerate(a["input_density"], start=1):
                rows.append({"run": run, "layer": layer, "step": step, "input_density": density, "output_density": a["output_density"][step - 1], "active_patches": a["active_patches"][step - 1],
                             "spikes": a["spikes"][step - 1], "spikes_per_neuron": fired, "input": percent(density, 2), "output": percent(a["output_density"][step - 1], 2), "patches": percent(a["active_patches"][step - 1], 2),
                             "_x": f"{run[0]}{step}", "_colour": tint, "_fired": f"{fired:.3g}" if fired is not None else "", "_first": step == 1})  # fmt: skip
    steps = max((r["step"] for r in rows), default=0)
    columns = [f"h{t}" for t in range(1, steps + 1)] + ["gap"] + [f"i{t}" for t in range(1, steps + 1)]
    layers_order = list(dict.fromkeys(r["layer"] for r in rows))
    shown_steps = max(1, steps // 8)
    label_expr = f"datum.value == 'gap' ? '' : (toNumber(substring(datum.value, 1)) % {shown_steps} == 0 || datum.value == 'h1' || datum.value == 'i1' ? substring(datum.value, 1) : '')"
    x = {"field": "_x", "type": "ordinal", "sort": columns, "scale": {"domain": columns, "paddingInner": 0.04 if steps <= 16 else 0}, "axis": {"orient": "top", "title": " ", "labelExpr": label_expr, "labelAngle": 0, "labelOverlap": False}}
    y = {"field": "layer", "type": "ordinal", "sort": layers_order, "title": None, "scale": {"paddingInner": 0.08}, "axis": {"labelLimit": 110}}
    tips = tooltip(run="activity", layer="layer", step="time step", input="inputs that are not zero", output="outputs that are not zero", patches="windows with any input", spikes="spikes per sample", _fired="spikes per neuron, all steps")
    layers: list[Spec] = [
        {"mark": {"type": "rect", "style": "plain", "opacity": 0.35}, "encoding": {"x": x, "y": y}},
        {"mark": "rect", "encoding": {"x": x, "y": y, "fill": own("_colour"), "fillOpacity": {"field": "input_density", "type": "quantitative", "scale": {"type": "sqrt", "domain": [0, 1], "range": [0, 1]}, "legend": None}, "tooltip": tips}},
    ]  # fmt: skip
    if steps <= 6:
        layers.append({"mark": {"type": "text", "style": "strong", "opacity": {"expr": f"width / {len(columns) or 1} > 40 ? 1 : 0"}}, "encoding": {"x": x, "y": y, "text": {"field": "input"},
                       "color": {"condition": {"test": "datum.input_density > 0.3", "value": "#FFFFFF"}}}})  # fmt: skip
    heads = [{"_x": "h1", "label": "hardware (costed)"}, {"_x": "i1", "label": "ideal"}]
    layers.append({"data": {"values": heads if rows else []}, "mark": {"type": "text", "align": "left", "baseline": "bottom", "y": -22, "fontWeight": 600, "xOffset": {"expr": f"-width / {2 * len(columns)!r} + 1"}}, "encoding": {"x": x, "text": {"field": "label"}}})
    alt = f"Share of inputs that are not zero for {len(layers_order)} layers and {steps} time steps, measured on the hardware and on the ideal network."
    note = "Share of inputs that are not zero, by time step; the tooltip has outputs, windows and spikes. Blue is measured on the hardware and is what is costed; grey is the ideal network."
    return Chart("activity", "Activity per layer and time step", note, alt, spec(rows, layers, height={"step": 28}, alt=alt, padding={"top": 8, "left": 1, "right": 6, "bottom": 1}))


def wires_chart(evaluation: Evaluation, layer: str = "") -> Chart:
    """Loss of cell current over one crossbar; the layer is chosen below the figure (or with ``layer``)."""
    drops: dict[str, Any] = {d["layer"]: {"rows": len(d["loss"]), "columns": len(d["loss"][0]) if d["loss"] else 0, "loss": [v for row in d["loss"] for v in row]} for d in evaluation["drops"]}
    names = list(drops)
    chosen = layer or next((d["layer"] for d in evaluation["drops"] if d["worst"] == max(x["worst"] for x in evaluation["drops"])), "")
    largest = max((d["rows"] * d["columns"] for d in drops.values()), default=0)
    bind = {"input": "select", "options": names, "name": "layer "}
    params: list[Spec] = [{"name": "drops", "value": drops}, {"name": "layer", "value": chosen, **({"bind": bind} if len(names) > 1 else {})}]
    rows_of, columns_of = "drops[layer].rows", "drops[layer].columns"
    ticks = {"labelExpr": f"datum.value % ({rows_of} > 16 ? {rows_of} / 4 : 4) == 0 ? datum.value : ''", "labelOverlap": False, "labelAngle": 0}
    encoding = {
        "x": {"field": "column", "type": "ordinal", "scale": {"padding": 0}, "axis": {"title": "column, sensed at the bottom", **ticks}},
        "y": {"field": "row", "type": "ordinal", "scale": {"padding": 0}, "axis": {"title": "row, driven from the left", **ticks}},
        "color": {"field": "loss", "type": "quantitative", "scale": {"scheme": "viridis", "zero": True}, "legend": {"title": "loss (%)", "labelExpr": "format(100 * datum.value, '.3~g')"}},
        "stroke": {"field": "loss", "type": "quantitative", "scale": {"scheme": "viridis", "zero": True}, "legend": None},
        "tooltip": [{"field": "row", "type": "ordinal"}, {"field": "column", "type": "ordinal"}, {"field": "loss", "type": "quantitative", "title": "current that does not arrive", "format": ".2%"}],
    }  # fmt: skip
    alt = "Heat map of the share of each cell's current that does not arrive at the sense end, rows by columns. " + " ".join(f"{d['layer']}: mean {percent(d['mean'])}, worst {percent(d['worst'])}." for d in evaluation["drops"])
    found: Spec = {
        "width": "container", "height": 380, "autosize": {"type": "fit-x", "contains": "padding"}, "description": alt, "params": params,
        "data": {"sequence": {"start": 0, "stop": largest, "as": "i"}},
        "transform": [{"filter": f"datum.i < {rows_of} * {columns_of}"}, {"calculate": f"floor(datum.i / {columns_of})", "as": "row"}, {"calculate": f"datum.i % {columns_of}", "as": "column"}, {"calculate": "drops[layer].loss[datum.i]", "as": "loss"}],
        "mark": {"type": "rect", "strokeWidth": 0.6}, "encoding": encoding,
    }  # fmt: skip
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
        y, x = divmod(unit, width)
        found = homes.get(unit, [])
        for i, p in enumerate(found):
            left, right = x + i / len(found), x + (i + 1) / len(found)
            rows.append({mapping["unit_name"]: unit, "layer": p["layer"], "utilisation": p["utilisation"], "used": percent(p["utilisation"]), "_x": left, "_x2": right, "_y": y, "_y2": y + 1, "_fill": y + 1 - p["utilisation"], "_middle": (left + right) / 2,
                         "_row": y + 0.5, "_colour": tints[p["layer"]], "_ink": ink(tints[p["layer"]]), "where": f"{mapping['unit_name']} {unit} (row {y}, column {x})", "arrays": p["arrays"]})  # fmt: skip
        if not found:
            rows.append({mapping["unit_name"]: unit, "layer": "unused", "utilisation": 0.0, "used": "unused", "_x": x, "_x2": x + 1, "_y": y, "_y2": y + 1, "_fill": y + 1, "_middle": x + 0.5, "_row": y + 0.5, "where": f"{mapping['unit_name']} {unit} (row {y}, column {x})", "arrays": 0, "_empty": True})  # fmt: skip
    x: Spec = {"field": "_x", "type": "quantitative", "axis": None, "scale": {"domain": [0, width], "nice": False}}
    y: Spec = {"field": "_y", "type": "quantitative", "axis": None, "scale": {"domain": [0, height], "nice": False, "reverse": True}}
    # A quantitative y axis grows upwards; reversed, unit 0 stands at the top left as on the chip.
    gap = 3 if width <= 16 else 1
    tips = tooltip(where="where", layer="layer", used="cells in use", arrays="arrays of the layer")
    body = {"x2": {"field": "_x2"}, "y2": {"field": "_y2"}, "tooltip": tips}
    shape = {"type": "rect", "cornerRadius": 4 if width <= 16 else 0, "xOffset": gap / 2, "x2Offset": -gap / 2, "yOffset": gap / 2, "y2Offset": -gap / 2}
    layers: list[Spec] = [
        {"transform": [{"filter": "datum._empty"}], "mark": {**shape, "style": "plain", "opacity": 0.5}, "encoding": {"x": x, "y": y, **body}},
        {"transform": [{"filter": "!datum._empty"}], "mark": {**shape, "opacity": 0.35}, "encoding": {"x": x, "y": y, "color": own("_colour"), **body}},
        {"transform": [{"filter": "!datum._empty"}], "mark": {**shape}, "encoding": {"x": x, "y": {**y, "field": "_fill"}, "color": own("_colour"), **body}},
    ]
    if width <= 8:
        layers += [
            {"mark": {"type": "text", "dy": -8, "fontWeight": 600, "limit": {"expr": f"width / {width} - 10"}}, "encoding": {"x": {**x, "field": "_middle"}, "y": {**y, "field": "_row"}, "text": {"field": "layer"}, "opacity": {"condition": {"test": "datum._empty", "value": 0.6}, "value": 1}}},
            {"transform": [{"filter": "!datum._empty"}], "mark": {"type": "text", "dy": 9}, "encoding": {"x": {**x, "field": "_middle"}, "y": {**y, "field": "_row"}, "text": {"field": "used"}}},
        ]  # fmt: skip
    else:
        domain = [p["layer"] for p in placed]
        layers[2]["encoding"]["color"] = {"field": "layer", "type": "nominal", "scale": {"domain": domain, "range": [tints[d] for d in domain]}, "legend": {"title": None, "orient": "bottom", "direction": "horizontal", "symbolType": "square", "columns": {"expr": "max(1, floor(width / 110))"}}}  # fmt: skip
    cell = min(84, max(10, 520 // max(width, 1)))
    alt = f"Grid of {height} by {width} {mapping['unit_name']}s, coloured by layer; {percent(mapping['utilisation'])} of the cells are in use."
    note = f"The solid part of a {mapping['unit_name']} is the share of its cells in use. In all {percent(mapping['utilisation'])} of {mapping['arrays']} arrays."
    return Chart("tiles", f"Layers on the {mapping['unit_name']}s", note, alt, spec(rows, layers, height=max(cell * height, 60), alt=alt), max_width=max(300, min(620, width * 150)))
