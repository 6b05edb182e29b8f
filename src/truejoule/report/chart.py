"""What a figure is, how its axes name their unit, and how it looks on light, dark and paper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from truejoule.report.numbers import unit_of

Spec = dict[str, Any]
Row = dict[str, Any]


CONTAINER = "(containerSize()[0] || 900)"
"""Vega expression: width in pixels of the box that a figure is drawn in."""

LABEL_ROOM = f"max({CONTAINER} - 115, 60)"
"""Vega expression: pixels for the name above a bar, beside its total."""

RESERVE = 120
"""Pixels for the text after a bar."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure.

    Attributes
    ----------
    name, title : short key for file names; what stands above it.
    note : one or two sentences below it: how to read it.
    alt : what it shows, for those who cannot see it.
    spec : Vega-Lite; ``width`` is "container", colours of text and lines are left to the configuration.
    renderer : "svg", or "canvas" where there are thousands of marks.
    max_width : widest useful size in pixels, 0 for no limit.
    """

    name: str
    title: str
    note: str
    alt: str
    spec: Spec
    renderer: str = "svg"
    max_width: int = 0


def spec(rows: list[Row], layers: list[Spec], *, height: int, alt: str, **more: Any) -> Spec:
    """The frame that all figures share. Fields that start with ``_`` are for drawing only and stay out of the CSV."""
    return {
        "width": "container",
        "height": height,
        "description": alt,
        "data": {"values": rows},
        "layer": layers,
        **more,
    }


def axis(values: Iterable[float], unit: str, title: str, **more: Any) -> Spec:
    """A quantitative axis whose title carries the unit that suits the data; the data stay in SI."""
    scale, symbol = unit_of(values, unit)
    return {
        "title": f"{title} ({symbol})" if symbol else title,
        "labelExpr": f"format(datum.value / {scale!r}, '.6~g')",
        **more,
    }


def scale(largest: float, reserve: int) -> Spec:
    """From zero to the largest value, with ``reserve`` pixels left for the text after the bars."""
    return {
        "domain": [0, largest or 1.0],
        "nice": False,
        **({"range": [0, {"expr": f"max(width - {reserve}, 40)"}]} if reserve else {}),
    }


def tooltip(**titles: str) -> list[Spec]:
    """Tooltip lines: field and title."""
    return [{"field": field, "title": title, "type": "nominal"} for field, title in titles.items()]


def columns(pixels: int) -> Spec:
    """As many legend columns as fit; the width of the container is known before the figure is laid out."""
    return {"expr": f"max(1, floor({CONTAINER} / {pixels}))"}


def name_limit() -> Spec:
    """Room for names on an axis: less on a phone."""
    return {"expr": f"{CONTAINER} < 480 ? 105 : 190"}


def own(field: str) -> Spec:
    """A colour that the row itself carries."""
    return {"field": field, "type": "nominal", "scale": None}


def heading(text: str = "bar", value: str = "total", *, order: list[str]) -> list[Spec]:
    """Text above each bar, name left and total right: on a phone, axis labels would eat the width."""
    rows = {"filter": "datum._first"}
    y = {"field": "_bar", "type": "ordinal", "sort": order, "axis": None}
    return [
        {
            "transform": [rows],
            "mark": {
                "type": "text",
                "align": "left",
                "baseline": "bottom",
                "dy": -10,
                "limit": {"expr": LABEL_ROOM},
            },
            "encoding": {"y": y, "x": {"value": 0}, "text": {"field": text}},
        },
        {
            "transform": [rows],
            "mark": {"type": "text", "align": "right", "baseline": "bottom", "dy": -10, "fontWeight": 600},
            "encoding": {"y": y, "x": {"value": "width"}, "text": {"field": value}},
        },
    ]


def theme(kind: str) -> Spec:
    """Vega configuration for ``"light"``, ``"dark"`` or ``"paper"``; backgrounds are transparent except on paper."""
    text, soft, line = {
        "light": ("#1D2128", "#5A6270", "#DCDFE4"),
        "dark": ("#E9EBEE", "#A3ABB8", "#343A45"),
        "paper": ("#000000", "#333333", "#D9D9D9"),
    }[kind]
    size = 7 if kind == "paper" else 12
    axis = {
        "domain": False,
        "ticks": False,
        "labelColor": soft,
        "titleColor": soft,
        "gridColor": line,
        "labelFontSize": size,
        "titleFontSize": size,
        "titleFontWeight": "normal",
        "labelPadding": 6,
        "titlePadding": 8,
        "gridWidth": 0.5 if kind == "paper" else 1,
        "domainColor": line,
        "tickColor": line,
    }
    return {
        "background": "#FFFFFF" if kind == "paper" else "transparent",
        "font": "Helvetica, Arial, sans-serif"
        if kind == "paper"
        else "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
        "padding": {"left": 1, "top": 1, "right": 6, "bottom": 6},
        "view": {"stroke": None},
        "text": {"color": text, "fontSize": size},
        "rule": {"color": soft},
        "axis": axis,
        "axisY": {"grid": False, "labelColor": text},
        "axisBand": {"grid": False},
        "legend": {
            "labelColor": text,
            "titleColor": soft,
            "labelFontSize": size,
            "titleFontSize": size,
            "titleFontWeight": "normal",
            "symbolSize": 30 if kind == "paper" else 90,
            "rowPadding": 4,
            "columnPadding": 12,
            "gradientLength": 120,
            "gradientThickness": 6 if kind == "paper" else 10,
        },
    }
