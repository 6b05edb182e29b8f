"""Tables for the terminal, from the JSON form of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from truejoule.errors import InputError, did_you_mean
from truejoule.report import numbers
from truejoule.report.colours import HARDWARE, colour
from truejoule.report.numbers import Evaluation
from truejoule.units import format_si

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

BAR = 24
"""Width of the longest bar in characters."""


def summary(evaluations: Sequence[Evaluation]) -> Table:
    """One row per evaluation: accuracy with its interval, energy with its band, latency, area, energy-delay product."""
    table = _table("per inference", "accuracy, ideal → hardware", "energy", "latency", "area", "EDP")
    for name, e in zip(numbers.labels(evaluations), evaluations, strict=True):
        a = e["accuracy"]
        table.add_row(
            _plain(name),
            _two(
                numbers.accuracy_change(e),
                f"{numbers.interval(a)}, {numbers.count(a['samples'])} samples",
            ),
            _two(format_si(e["energy_j"], "J"), numbers.band(e["energy_band_j"], "J")),
            format_si(e["latency_s"], "s"),
            _two(format_si(e["area_m2"], "m2"), numbers.band(e["area_band_m2"], "m2")),
            format_si(e["edp_js"]["mean_per_sample"], "J·s"),
        )
    return table


def breakdown(evaluation: Evaluation, by: Literal["component", "layer"] = "component") -> Table:
    """Energy by component or by layer with shares and small bars; components largest first, layers in network order.

    Raises
    ------
    InputError : for another grouping.
    """
    if by not in ("component", "layer"):
        raise InputError(
            f"cannot group energy by {by!r}",
            got=by,
            expected="component or layer",
            fix=did_you_mean(str(by), ("component", "layer")),
        )
    groups = evaluation[f"by_{by}"]
    rows = numbers.rising(groups) if by == "component" else list(groups.items())
    largest = max(groups.values(), default=0.0)
    table = _table(by, "energy", "share", "", right=(1, 2))
    for name, energy in rows:
        table.add_row(
            _plain(name),
            format_si(energy, "J"),
            numbers.share(energy, evaluation["energy_j"]),
            _bar(energy, largest, colour(name) if by == "component" else HARDWARE),
        )
    table.add_section()
    table.add_row(
        "sum",
        format_si(evaluation["energy_j"], "J"),
        "100 %",
        _plain(numbers.band(evaluation["energy_band_j"], "J"), "dim"),
        style="bold",
    )
    return table


def comparison(evaluations: Sequence[Evaluation]) -> Group:
    """Evaluations side by side, with ratios to the first and verdicts that respect the uncertainty bands."""
    from rich.console import Group

    if not evaluations:
        raise InputError("nothing to compare", expected="at least one evaluation")
    table = _table("per inference", *numbers.labels(evaluations), right=tuple(range(1, len(evaluations) + 1)))
    table.add_row("accuracy, ideal", *(numbers.mark(e["ideal_accuracy"]) for e in evaluations))
    table.add_row(
        "accuracy, hardware",
        *(_two(numbers.mark(e["accuracy"]), numbers.interval(e["accuracy"])) for e in evaluations),
    )
    for title, unit, values, bands in (
        ("energy", "J", [e["energy_j"] for e in evaluations], [e["energy_band_j"] for e in evaluations]),
        ("latency", "s", [e["latency_s"] for e in evaluations], None),
        ("area", "m2", [e["area_m2"] for e in evaluations], [e["area_band_m2"] for e in evaluations]),
        ("energy-delay product", "J·s", [e["edp_js"]["mean_per_sample"] for e in evaluations], None),
    ):
        table.add_row(
            title,
            *(
                _two(_versus(v, values[0], unit, i), numbers.band(bands[i], unit) if bands else "")
                for i, v in enumerate(values)
            ),
        )
    shared = dict.fromkeys(c for e in evaluations for c in e["by_component"])
    table.add_section()
    for component in sorted(shared, key=lambda c: -max(e["by_component"].get(c, 0.0) for e in evaluations)):
        table.add_row(
            _plain(component, "dim"),
            *(
                format_si(e["by_component"][component], "J") if component in e["by_component"] else "–"
                for e in evaluations
            ),
        )
    return Group(table, *(_plain(line) for line in numbers.verdicts(evaluations)))


def against_ann(over_time: Mapping[str, Any]) -> Table:
    """A spiking network beside the ANN of the same topology on the same machine, one row per precision of the ANN."""
    table = _table(
        "ANN", "energy", "SNN / ANN", "the SNN is", "time", "area", "up to T", "up to spikes", right=(1, 4, 5, 6, 7)
    )
    for a in over_time["against_ann"]:
        table.add_row(
            f"{a['bits']} bit" + (f", {a['built']}" if a["built"] else ""),
            format_si(a["ann_j"], "J"),
            f"{a['ratio']:.2f} ({a['ratio_band'][0]:.2f} to {a['ratio_band'][1]:.2f})",
            a["verdict"],
            f"{a['time_ratio']:.2g}×",
            f"{a['area_ratio']:.2g}×",
            str(a["time_steps"] or "never"),
            "never" if a["spike_rate"] is None else numbers.percent(a["spike_rate"]),
        )
    return table


def layers(workload: dict[str, Any]) -> Table:
    """What a network asks: one row per layer, from the ``workload`` of an evaluation."""
    table = _table("layer", "operation", "shape", "weights", "MACs / step", "bits", "neuron", right=(3, 4, 5))
    for x in workload["layers"]:
        weighted = bool(x["weights"])
        table.add_row(
            _plain(x["name"]),
            x["op"],
            _plain(x["loops"]),
            numbers.count(x["weights"]) if weighted else "–",
            numbers.count(x["macs"]) if x["macs"] else "–",
            f"{x['weight_bits']} × {x['input_bits']}" if weighted else "–",
            _plain(x["neuron"] or ""),
        )
    table.add_section()
    table.add_row(
        "sum",
        "",
        f"over {workload['time_steps']} time steps",
        numbers.count(workload["weights"]),
        numbers.count(workload["macs"]),
        "",
        "",
        style="bold",
    )
    for x in workload["not_understood"]:
        table.add_row(
            _plain(x["where"]),
            _plain(x["operation"]),
            _plain("not understood: " + x["reason"], "yellow"),
            "",
            "",
            "",
            "",
        )
    return table


def _table(*titles: str, right: tuple[int, ...] = ()) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for i, title in enumerate(titles):
        table.add_column(_plain(title), justify="right" if i in right else "left")
    return table


def _plain(text: str, style: str = "") -> Text:
    """Text that is never read as markup: names come from the user."""
    from rich.text import Text

    return Text(text, style=style)


def _two(first: str, second: str) -> Text:
    text = _plain(first)
    return text.append(f"\n{second}", style="dim") if second else text


def _versus(value: float, reference: float, unit: str, place: int) -> str:
    return format_si(value, unit) + (f" ({numbers.ratio(value, reference)})" if place else "")


def _bar(value: float, largest: float, tint: str) -> Text:
    eighths = round(8 * BAR * value / largest) if largest else 0
    if value > 0:
        eighths = max(eighths, 1)
    return _plain("█" * (eighths // 8) + ("" if eighths % 8 == 0 else "▏▎▍▌▋▊▉"[eighths % 8 - 1]), tint)
