"""A workload as a table: text, CSV, LaTeX, rows, or a data frame."""

from __future__ import annotations

import csv
import io
from typing import Any, Literal, get_args

from truejoule.errors import InputError, did_you_mean
from truejoule.workload.workload import Workload

Row = dict[str, str | int | float | None]
COLUMNS = (
    "layer",
    "op",
    "loops",
    "steps",
    "weights",
    "macs",
    "weight_bits",
    "input_bits",
    "input_density",
    "spikes",
    "neuron",
)
"""Columns in order. ``macs`` per sample and time step, ``spikes`` per sample over all steps; ``None`` if unknown."""
_HEADS = ("layer", "op", "loops", "T", "weights", "MACs", "w", "x", "density", "spikes", "neuron")
Format = Literal["text", "csv", "latex"]
_NUMERIC = frozenset(COLUMNS[3:10])
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "→": r"$\to$",
    "θ": r"$\theta$",
    "·": r"$\cdot$",
}


def table(workload: Workload, format: Format = "text") -> str:
    """The layers of a workload in order of execution.

    Parameters
    ----------
    format : ``"text"`` for reading (a last line has the totals), ``"csv"`` for machines (full numbers), ``"latex"`` for a
        paper (a booktabs tabular).

    Raises
    ------
    InputError : for an unknown format.
    """
    if format not in get_args(Format):
        raise InputError(f"unknown table format {format!r}", where="table", fix=did_you_mean(format, get_args(Format)))
    found = rows(workload)
    if format == "csv":
        return _csv(found)
    return _latex(found) if format == "latex" else _text(workload, found)


def rows(workload: Workload) -> list[Row]:
    """One dict per layer with the keys of ``COLUMNS``."""
    found: list[Row] = []
    for layer in workload.layers:
        activity = workload.activity.layers.get(layer.name) if workload.activity else None
        spikes = None
        if activity is not None and layer.op == "neuron":
            spikes = sum(activity.nonzero_outputs) / activity.samples
        values = (
            layer.name,
            layer.op,
            layer.loops(),
            layer.steps,
            layer.weights if layer.multiplies else None,
            layer.macs if layer.multiplies else None,
            layer.weight_bits if layer.multiplies else None,
            layer.input_bits,
            activity.mean_density() if activity is not None else None,
            spikes,
            layer.neuron.describe() if layer.neuron else None,
        )
        found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


def dataframe(workload: Workload) -> Any:
    """``rows`` as a pandas data frame. Raises ``InputError`` where pandas is not installed."""
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            "a data frame needs pandas, which is not installed",
            where="table",
            expected="pandas",
            fix="pip install pandas, or use rows(...)",
        ) from None
    return pandas.DataFrame(rows(workload), columns=list(COLUMNS))


def _text(workload: Workload, found: list[Row]) -> str:
    grid = [list(_HEADS), *([_cell(row[c]) for c in COLUMNS] for row in found)]
    widths = [max(len(line[i]) for line in grid) for i in range(len(COLUMNS))]

    def pad(line: list[str]) -> str:
        cells = (
            text.rjust(w) if c in _NUMERIC else text.ljust(w) for text, w, c in zip(line, widths, COLUMNS, strict=True)
        )
        return "  ".join(cells).rstrip()

    origin = f", activity {workload.activity.origin}" if workload.activity else ", no activity"
    counts = f"{len(found)} layers, {workload.weights:,} weights, {workload.macs:,} MACs"
    total = f"{counts} in {workload.time_steps} time steps{origin}"
    names = [layer.name for layer in workload.layers if layer.standing and layer.steps > 1]
    still = [f"same input in every time step: {', '.join(names)}"] * bool(names)
    missing = [f"not understood: {n.where}: {n.operation} ({n.reason})" for n in workload.not_understood]
    return "\n".join(
        [workload.name, pad(grid[0]), "  ".join("─" * w for w in widths), *map(pad, grid[1:]), total, *still, *missing]
    )


def _csv(found: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list[str](COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return out.getvalue()


def _latex(found: list[Row]) -> str:
    spec = "".join("r" if c in _NUMERIC else "l" for c in COLUMNS)
    lines = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", " & ".join(_HEADS) + r" \\", r"\midrule"]
    lines += [" & ".join(_escape(_cell(row[c])) for c in COLUMNS) + r" \\" for row in found]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}" if value <= 1 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value


def _escape(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
