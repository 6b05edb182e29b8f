"""Energy against the number of time steps, with the ANN of the same topology beside it."""

from __future__ import annotations

from truejoule.report.chart import Chart, Row, Spec, axis, own, spec, tooltip
from truejoule.report.colours import HARDWARE, IDEAL
from truejoule.report.numbers import Evaluation, format_si, percent, ratio


def over_time_chart(evaluation: Evaluation) -> Chart:
    """E(T) as a line through what was computed, and the energy of the ANN at each precision as a level."""
    o = evaluation["over_time"]
    own_steps, most = evaluation["workload"]["time_steps"], o["points"][-1][0]
    rows: list[Row] = [
        {"part": "SNN", "time_steps": t, "energy_j": e, "energy": format_si(e, "J"), "_kind": "point"}
        for t, e in o["points"]
    ]
    rows += [
        {
            "part": "E0 + e1 T",
            "time_steps": t,
            "energy_j": o["e0_j"] + o["e1_j"] * t,
            "energy": format_si(o["e0_j"] + o["e1_j"] * t, "J"),
            "_kind": "line",
        }
        for t in (0, most)
    ]
    levels = [
        {
            "part": f"{a['bits']}-bit ANN" + (f", {a['built']}" if a["built"] else ""),
            "time_steps": most,
            "energy_j": a["ann_j"],
            "energy": format_si(a["ann_j"], "J"),
            "_kind": "ann",
            "_first": i == 0,
        }
        for i, a in enumerate(sorted(o["against_ann"], key=lambda a: -a["ann_j"]))
    ]
    rows += levels
    rows.append({"part": "this network", "time_steps": own_steps, "energy_j": evaluation["energy_j"],
                 "energy": format_si(evaluation["energy_j"], "J"), "_kind": "own"})  # fmt: skip
    for r in rows:
        r["_colour"] = IDEAL if r["_kind"] == "ann" else HARDWARE
    energies = [r["energy_j"] for r in rows]
    x = {
        "field": "time_steps",
        "type": "quantitative",
        "scale": {"domain": [0, most], "nice": False},
        "axis": {"title": "time steps", "tickMinStep": 1, "tickCount": 8, "grid": False, "format": "d"},
    }
    y = {
        "field": "energy_j",
        "type": "quantitative",
        "scale": {"domainMin": min(0.0, *energies)},
        "axis": axis(energies, "J", "energy per inference", grid=True, tickCount=5),
    }
    tips = tooltip(part="what", time_steps="time steps", energy="energy")

    def only(kind: str) -> list[Spec]:
        return [{"filter": f"datum._kind === '{kind}'"}]

    layers: list[Spec] = [
        {
            "transform": only("ann"),
            "mark": {"type": "rule", "strokeWidth": 1.5, "strokeDash": [5, 3]},
            "encoding": {"y": y, "color": own("_colour"), "tooltip": tips},
        },
        {
            "transform": only("line"),
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {"x": x, "y": y, "color": own("_colour")},
        },
        {
            "transform": only("point"),
            "mark": {"type": "point", "filled": True, "opacity": 1, "size": 45},
            "encoding": {"x": x, "y": y, "color": own("_colour"), "tooltip": tips},
        },
        {
            "transform": only("own"),
            "mark": {"type": "point", "filled": False, "opacity": 1, "size": 190, "strokeWidth": 2},
            "encoding": {"x": x, "y": y, "color": own("_colour"), "tooltip": tips},
        },
        {
            "transform": only("own"),
            "mark": {"type": "text", "align": "left", "baseline": "top", "dx": 12, "dy": 2},
            "encoding": {"x": x, "y": y, "text": {"field": "part"}},
        },
    ]
    ann = ""
    if levels:
        names = "; ".join(r["part"] for r in levels)
        layers.append(
            {
                "transform": [{"filter": "datum._kind === 'ann' && datum._first"}],
                "mark": {"type": "text", "align": "right", "baseline": "bottom", "dy": -4},
                "encoding": {"x": x, "y": y, "text": {"value": "ANN of the same topology"}},
            }
        )
        ann = f" Dashed, from the top: {names}; the same topology on the same machine, half of the activations zero (assumed)."
    offset = ratio(o["e0_j"], o["e1_j"]).rstrip("×") if o["e1_j"] else "–"
    note = (
        f"E(T) = {format_si(o['e0_j'], 'J')} + {format_si(o['e1_j'], 'J')} × T through T = {', '.join(str(t) for t, _ in o['points'])}, at most "
        f"{percent(o['worst'])} off; what is paid once is worth {offset} time steps.{ann}"
    )
    alt = f"Energy against time steps: {format_si(o['e0_j'], 'J')} once and {format_si(o['e1_j'], 'J')} per step; this network runs {own_steps}."
    return Chart("over_time", "Energy against time steps", note, alt, spec(rows, layers, height=260, alt=alt))
