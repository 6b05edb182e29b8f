"""Figures as files for a paper, drawn without a browser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from truejoule.errors import InputError, did_you_mean
from truejoule.report.chart import CONTAINER, LABEL_ROOM, RESERVE, theme
from truejoule.report.charts import NAMES as NAMES
from truejoule.report.charts import chart
from truejoule.report.maps import wires_chart
from truejoule.report.numbers import Evaluation

FORMATS = ("svg", "pdf", "png")
WIDTHS = {"single": 252, "double": 504}
"""Column widths in points: 3.5 in and 7 in."""


def figure(
    evaluation: Evaluation | Sequence[Evaluation],
    name: str,
    path: str | Path,
    *,
    column: str = "single",
    layer: str = "",
) -> Path:
    """Write one figure of an evaluation (or of several, where it can show them) as SVG, PDF or PNG after the ending of ``path``.

    Parameters
    ----------
    column : "single" (3.5 in wide) or "double" (7 in).
    layer : for ``wires``: whose crossbar; without it the one with the largest loss.

    Raises
    ------
    InputError : for an unknown figure, format, column or layer.
    """
    target = Path(path)
    kind = target.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError(
            f"cannot write a figure as {kind or 'a file without an ending'!r}",
            where=str(target),
            got=kind or None,
            expected="a name that ends in .svg, .pdf or .png",
            fix=did_you_mean(kind, FORMATS),
        )
    if column not in WIDTHS:
        raise InputError(
            f"unknown column width {column!r}",
            got=column,
            expected="single (3.5 in) or double (7 in)",
            fix=did_you_mean(column, WIDTHS),
        )
    drawn = chart(evaluation, name)
    if layer:
        one = evaluation if isinstance(evaluation, dict) else evaluation[0]
        names = [d["layer"] for d in one["drops"]]
        if name != "wires":
            raise InputError(f"figure {name!r} has no layer to choose", got=layer, fix="leave the layer out")
        if layer not in names:
            raise InputError(f"no crossbar of layer {layer!r}", got=layer, fix=did_you_mean(layer, names))
        drawn = wires_chart(one, layer)
    import vl_convert

    width = WIDTHS[column] if not drawn.max_width else min(WIDTHS[column], drawn.max_width)
    # No container here: what the page computes from its width is told the width, at the size of the type on paper.
    spec = json.loads(
        json.dumps(drawn.spec)
        .replace(LABEL_ROOM, f"{width - 62}")
        .replace(CONTAINER, f"{width / 0.6:.0f}")
        .replace(f"width - {RESERVE}", f"width - {0.6 * RESERVE:.0f}")
    )
    spec |= {"width": width, "autosize": {"type": "fit-x", "contains": "padding"}}
    # Type is smaller on paper, so rows are too.
    spec["height"] = round(0.62 * spec["height"])
    for param in spec.get("params", []):
        param.pop("bind", None)
    config = theme("paper")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "svg":
            target.write_text(vl_convert.vegalite_to_svg(spec, config=config), encoding="utf-8")
        elif kind == "pdf":
            target.write_bytes(vl_convert.vegalite_to_pdf(spec, config=config))
        else:
            target.write_bytes(vl_convert.vegalite_to_png(spec, config=config, ppi=300))
    except OSError as error:
        raise InputError(
            "the figure cannot be written",
            where=str(target),
            got=error.strerror or str(error),
            fix="choose another file with --out",
        ) from None
    return target
