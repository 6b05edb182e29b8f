"""The report: one HTML file that holds everything and asks the network for nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truejoule.errors import InputError
from truejoule.report import numbers
from truejoule.report.chart import Chart, theme
from truejoule.report.charts import available, chart
from truejoule.report.colours import colour, ordered
from truejoule.report.numbers import Evaluation
from truejoule.units import format_si

if TYPE_CHECKING:
    from jinja2 import Environment

_BREAK = re.compile(r"(?<=\d) (?=(?:[fpnµmkMGT]?[JsWV]|[mµ]m²|%)(?![A-Za-z]))|(?<=\d) (?=→)|(?<=→) (?=\d)")
"""Spaces inside a quantity, where a line must not break."""

TEMPLATES = Path(__file__).parent / "templates"


def page(evaluations: Sequence[Evaluation], title: str = "truejoule report") -> str:
    """A self-contained HTML report of one or more evaluations in their JSON form.

    Raises
    ------
    InputError : when there is nothing to show.
    """
    if not evaluations:
        raise InputError(
            "no evaluation to report",
            expected="at least one evaluation in its JSON form",
            fix="run `truejoule evaluate` first",
        )
    shared: dict[str, Chart] = {}
    if len(evaluations) > 1:
        shared = {name: chart(evaluations, name) for name in ("accuracy", "energy", "proxy")}
    names = numbers.labels(evaluations)
    panels = [_panel(e, name, f"e{i}") for i, (e, name) in enumerate(zip(evaluations, names, strict=True))]
    figures = {f"shared-{name}": _embedded(drawn) for name, drawn in shared.items()}
    for panel in panels:
        figures |= {f"{panel['id']}-{name}": _embedded(drawn) for name, drawn in panel["figures"].items()}
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            several=len(evaluations) > 1,
            panels=panels,
            shared=shared,
            metrics=_metrics(evaluations),
            verdicts=numbers.verdicts(evaluations),
            names=names,
            css=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
            script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
            bundle=_bundle(),
            data=embed({"figures": figures, "themes": {kind: theme(kind) for kind in ("light", "dark")}}),
            evaluations=embed(evaluations),
        )
    )


def embed(value: object) -> str:
    """JSON that cannot end its script element or open a comment, whatever the strings in it say."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed, about 0.9 MB; making it takes a second."""
    import vl_convert

    bundle = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue]
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "si": format_si,
        "percent": numbers.percent,
        "count": numbers.count,
        "share": numbers.share,
        "mark": numbers.mark,
        "interval": numbers.interval,
        "ratio": numbers.ratio,
        "value": _value,
    }
    environment.filters["density"] = numbers.density
    environment.filters["tight"] = lambda text: _BREAK.sub("\u00a0", text)
    environment.globals |= {"span": numbers.span}
    return environment


def _embedded(drawn: Chart) -> dict[str, Any]:
    return {"spec": drawn.spec, "renderer": drawn.renderer, "name": drawn.name}


def _panel(e: Evaluation, name: str, key: str) -> dict[str, Any]:
    """Everything the template shows of one evaluation; the template itself computes nothing."""
    total = e["energy_j"]
    largest = max(e["by_component"].values(), default=0.0)
    ideal = e["ideal_activity"]["by_component"]
    loops = {layer["name"]: layer for layer in e["workload"]["layers"]}
    chips = []
    for chip in e["chips"]:
        heard = {k: v for k, v in chip["snr_db"].items() if v is not None}
        worst = min(heard, key=lambda k: heard[k]) if heard else None
        clipped = max(chip["clipped"], key=lambda k: chip["clipped"][k]) if chip["clipped"] else None
        chips.append(
            {
                **chip,
                "worst": f"{heard[worst]:.1f} dB ({worst})" if worst is not None else "–",
                "worst_db": heard[worst] if worst is not None else None,
                "most_clipped": f"{numbers.percent(chip['clipped'][clipped], 2)} ({clipped})"
                if clipped is not None
                else "–",
                "clipped_share": chip["clipped"][clipped] if clipped is not None else 0.0,
            }
        )
    return {
        "id": key,
        "e": e,
        "name": name,
        "change": numbers.accuracy_change(e),
        "figures": {figure: chart(e, figure) for figure in available(e)},
        "against_ann": numbers.against_ann(e["over_time"]) if e["over_time"] else "",
        "components": [
            {
                "name": c,
                "energy_j": v,
                "bar": v / largest if largest else 0.0,
                "share": numbers.share(v, total),
                "colour": colour(c),
                "ideal_j": ideal.get(c, 0.0),
                "receipt": numbers.receipts((r for r in e["ledger"] if r["component"] == c), layers=True),
            }
            for c, v in numbers.rising(e["by_component"])
        ],
        "layers": [
            {
                "name": layer,
                "energy_j": v,
                "share": numbers.share(v, total),
                "asks": loops.get(layer),
                "stack": _stack(e, layer),
            }
            for layer, v in e["by_layer"].items()
        ],
        "ledger": sorted(e["ledger"], key=lambda r: -r["total_j"]),
        "chips": chips,
        "activity": _activity(e),
        "kinds": sorted({p["kind"] for p in e["parameters"]}),
        "ledger_kinds": sorted({r["kind"] for r in e["ledger"]}),
        "ledger_components": ordered(r["component"] for r in e["ledger"]),
        "ledger_layers": list(dict.fromkeys(r["layer"] for r in e["ledger"])),
    }


def _activity(e: Evaluation) -> list[dict[str, Any]]:
    """Means over the time steps, and spikes per neuron where a layer has neurons; ``None`` where nothing was measured."""
    rows = []
    for layer in e["workload"]["layers"]:
        row: dict[str, Any] = {"name": layer["name"]}
        for run in ("hardware", "ideal"):
            a = ((e["activity"][run] or {}).get("layers") or {}).get(layer["name"])
            steps = len(a["input_density"]) if a else 0
            row[run] = (
                {
                    "input": sum(a["input_density"]) / steps,
                    "windows": sum(a["active_patches"]) / steps,
                    "spikes": sum(a["spikes"]) / layer["outputs"] if layer["neuron"] and layer["outputs"] else None,
                }
                if a and steps
                else None
            )
        if row["hardware"] or row["ideal"]:
            rows.append(row)
    return rows


def _stack(e: Evaluation, layer: str) -> str:
    """The largest component of a layer, in words."""
    parts = numbers.rising(e["by_layer_and_component"].get(layer, {}))
    return f"{parts[0][0]} {numbers.share(parts[0][1], e['by_layer'][layer])}" if parts and parts[0][1] else "–"


def _metrics(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Rows of the side-by-side table: every quantity with its ratio to the first evaluation."""

    def row(
        title: str, texts: list[str], values: list[float] | None = None, notes: list[str] | None = None
    ) -> dict[str, Any]:
        ratios = (
            [numbers.ratio(v, values[0]) if i else "" for i, v in enumerate(values)] if values else ["" for _ in texts]
        )
        return {
            "title": title,
            "cells": [
                {"text": t, "ratio": r, "note": n}
                for t, r, n in zip(texts, ratios, notes or ["" for _ in texts], strict=True)
            ],
        }

    def quantity(title: str, key: str, unit: str, band: str = "") -> dict[str, Any]:
        values = [e[key] for e in evaluations]
        return row(
            title,
            [format_si(v, unit) for v in values],
            values,
            [numbers.band(e[band], unit) for e in evaluations] if band else None,
        )

    edp = [e["edp_js"]["mean_per_sample"] for e in evaluations]
    return [
        row("accuracy, ideal", [numbers.mark(e["ideal_accuracy"]) for e in evaluations]),
        row(
            "accuracy on the hardware",
            [numbers.mark(e["accuracy"]) for e in evaluations],
            None,
            [numbers.interval(e["accuracy"]) for e in evaluations],
        ),
        quantity("energy", "energy_j", "J", "energy_band_j"),
        quantity("latency", "latency_s", "s"),
        quantity("area", "area_m2", "m2", "area_band_m2"),
        row("energy-delay product", [format_si(v, "J·s") for v in edp], edp),
    ]


def _value(parameter: dict[str, Any]) -> str:
    """A parameter with its unit."""
    value, unit = parameter["value"], parameter["unit"]
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return format_si(float(value), unit) if unit else f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return str(value)
