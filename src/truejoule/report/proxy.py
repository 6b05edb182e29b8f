"""The rule of thumb of papers beside what the machine takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from truejoule.report.chart import (
    Chart,
    Row,
    Spec,
    heading,
    own,
    spec,
    tooltip,
)
from truejoule.report.colours import HARDWARE, IDEAL
from truejoule.report.numbers import (
    Evaluation,
    count,
    format_si,
    labels,
    ratio,
)


def proxy_chart(evaluations: Sequence[Evaluation]) -> Chart:
    """The operation count that papers print beside the energy of the machine, on a log scale."""
    rows: list[Row] = []
    for name, e in zip(labels(evaluations), evaluations, strict=True):
        p, low, high = e["proxy"], *e["energy_band_j"]
        tail = "" if len(evaluations) == 1 else f": {name}"
        rows.append(
            {
                "bar": f"{count(p['operations'])} {p['what']} × {format_si(p['per_operation_j'], 'J')}{tail}",
                "energy_j": p["energy_j"],
                "_kind": "proxy",
                "_colour": IDEAL,
                "times": "1×",
            }
        )
        rows.append(
            {
                "bar": f"at ideal activity{tail}",
                "energy_j": e["ideal_activity"]["energy_j"],
                "_kind": "ideal",
                "_colour": IDEAL,
                "times": ratio(e["ideal_activity"]["energy_j"], p["energy_j"]),
            }
        )
        rows.append(
            {
                "bar": f"on this machine{tail}",
                "energy_j": e["energy_j"],
                "low_j": low,
                "high_j": high,
                "_kind": "hardware",
                "_colour": HARDWARE,
                "times": ratio(e["energy_j"], p["energy_j"]),
            }
        )
    for i, r in enumerate(rows):
        r.update(
            _bar=str(i),
            _first=True,
            energy=format_si(r["energy_j"], "J"),
            total=format_si(r["energy_j"], "J") + ("" if r["_kind"] == "proxy" else f" · {r['times']}"),
        )
    rows = [r for r in rows if r["energy_j"] > 0]
    order = [r["_bar"] for r in rows]
    spread = [v for r in rows for v in (r["energy_j"], r.get("low_j", 0.0), r.get("high_j", 0.0)) if v > 0]
    decades = [
        10.0**n
        for n in range(
            math.floor(math.log10(min(spread, default=1.0))), math.ceil(math.log10(max(spread, default=1.0))) + 1
        )
    ]
    y = {"field": "_bar", "type": "ordinal", "sort": order, "axis": None}
    x = {
        "field": "energy_j",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [decades[0], decades[-1]]},
        "axis": {
            "title": "energy per inference (J, log scale)",
            "labelExpr": "replace(format(datum.value, '~s'), regexp('([a-zA-Zµ]?)$'), ' $1J')",
            "values": decades,
        },
    }
    tips = tooltip(bar="what", energy="energy", times="times the proxy")
    layers: list[Spec] = [
        {
            "transform": [{"filter": "isValid(datum.low_j) && datum.low_j > 0"}],
            "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55, "yOffset": 4},
            "encoding": {
                "y": y,
                "x": {**x, "field": "low_j"},
                "x2": {"field": "high_j"},
                "color": own("_colour"),
                "tooltip": tips,
            },
        },
        {
            "mark": {"type": "point", "filled": True, "opacity": 1, "size": 110, "yOffset": 4},
            "encoding": {"y": y, "x": x, "color": own("_colour"), "tooltip": tips},
        },
        *heading(order=order),
    ]
    e = evaluations[0]
    alt = f"The operation count gives {format_si(e['proxy']['energy_j'], 'J')}; the machine takes {format_si(e['energy_j'], 'J')}, {ratio(e['energy_j'], e['proxy']['energy_j'])} of it."
    note = f"For comparison only: papers multiply {e['proxy']['what']} by the energy of one ({e['proxy']['source']}). The line is the uncertainty band of our energy."
    return Chart("proxy", "Operation count and machine", note, alt, spec(rows, layers, height=48 * len(rows), alt=alt))
