"""What flows through the layers, per time step: on the hardware and in the ideal network."""

from __future__ import annotations

from truejoule.report.chart import Chart, Row, Spec, name_limit, own, spec, tooltip
from truejoule.report.colours import HARDWARE, IDEAL
from truejoule.report.numbers import Evaluation, density


def activity_chart(evaluation: Evaluation) -> Chart:
    """Input density per layer and time step, hardware and ideal side by side; spikes per neuron in the tooltip."""
    outputs = {x["name"]: x["outputs"] for x in evaluation["workload"]["layers"]}
    spiking = {x["name"] for x in evaluation["workload"]["layers"] if x["neuron"]}
    measured = {run: (evaluation["activity"][run] or {}).get("layers") or {} for run in ("hardware", "ideal")}
    steps = max((len(a["input_density"]) for found in measured.values() for a in found.values()), default=0)
    gap = 0.04 * steps + 0.15
    rows: list[Row] = []
    heads: list[Row] = []
    for run, tint, start in (("hardware", HARDWARE, 0.0), ("ideal", IDEAL, steps + gap)):
        if measured[run]:
            heads.append({"_x": start, "label": "hardware (costed)" if run == "hardware" else "ideal"})
        for layer, a in measured[run].items():
            fired = sum(a["spikes"]) / outputs[layer] if layer in spiking and outputs.get(layer) else None
            for step, share in enumerate(a["input_density"], start=1):
                output, patches = a["output_density"][step - 1], a["active_patches"][step - 1]
                rows.append(
                    {
                        "run": run,
                        "layer": layer,
                        "step": step,
                        "input_density": share,
                        "output_density": output,
                        "active_patches": patches,
                        "spikes": a["spikes"][step - 1],
                        "spikes_per_neuron": fired,
                        "_input": density(share),
                        "_output": density(output),
                        "_patches": density(patches),
                        "_fired": f"{fired:.3g}" if fired is not None else "–",
                        "_x": start + step - 1,
                        "_x2": start + step,
                        "_middle": start + step - 0.5,
                        "_colour": tint,
                    }
                )
    end = 2 * steps + gap
    order = list(dict.fromkeys(r["layer"] for r in rows))
    every = max(1, -(-steps // 8))
    marks = [
        {"_x": start + t - 0.5, "label": str(t)}
        for start in (0.0, steps + gap)
        for t in range(1, steps + 1)
        if t % every == 0 or t == 1
    ]
    x: Spec = {"field": "_x", "type": "quantitative", "scale": {"domain": [0, end], "nice": False}, "axis": None}
    y: Spec = {
        "field": "layer",
        "type": "ordinal",
        "sort": None,
        "title": None,
        "scale": {"paddingInner": 0.08},
        "axis": {"labelLimit": name_limit()},
    }
    body = {"x": x, "x2": {"field": "_x2"}, "y": y}
    tips = tooltip(
        run="activity",
        layer="layer",
        step="time step",
        _input="inputs that are not zero",
        _output="outputs that are not zero",
        _patches="windows with any input",
        spikes="outputs per sample",
        _fired="spikes per neuron, all steps",
    )
    edge = 1 if steps <= 16 else 0
    shape = {"type": "rect", "xOffset": edge, "x2Offset": -edge}
    layers: list[Spec] = [
        {"mark": {**shape, "fill": IDEAL, "opacity": 0.14}, "encoding": body},
        {
            "mark": shape,
            "encoding": {
                **body,
                "fill": own("_colour"),
                "fillOpacity": {
                    "field": "input_density",
                    "type": "quantitative",
                    "scale": {"type": "sqrt", "domain": [0, 1], "range": [0, 1]},
                    "legend": None,
                },
                "tooltip": tips,
            },
        },
    ]
    if 0 < steps <= 8:
        layers.append(
            {
                "mark": {"type": "text", "opacity": {"expr": f"width / {end!r} > 52 ? 1 : 0"}},
                "encoding": {
                    "x": {**x, "field": "_middle"},
                    "y": y,
                    "text": {"field": "_input"},
                    "color": {"condition": {"test": "datum.input_density > 0.3", "value": "#FFFFFF"}},
                },
            }
        )
    layers.append(
        {
            "data": {"values": heads},
            "mark": {"type": "text", "align": "left", "baseline": "bottom", "y": -22, "fontWeight": 600, "dx": 1},
            "encoding": {"x": x, "text": {"field": "label"}},
        }
    )
    layers.append(
        {
            "data": {"values": marks},
            "mark": {"type": "text", "baseline": "bottom", "y": -5, "opacity": 0.7},
            "encoding": {"x": x, "text": {"field": "label"}},
        }
    )
    alt = f"Share of inputs that are not zero for {len(order)} layers and {steps} time steps, measured on the hardware and on the ideal network."
    note = "Share of inputs that are not zero, by layer and time step. Blue is measured on the hardware and is what is costed; grey is the ideal network."
    return Chart(
        "activity", "Activity per layer and time step", note, alt, spec(rows, layers, height=28 * len(order), alt=alt)
    )
