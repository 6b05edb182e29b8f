"""Figures without a browser, colours, and tables of the terminal."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from conftest import HOSTILE
from truejoule.errors import InputError
from truejoule.report import NAMES, available, breakdown, chart, comparison, figure, layers, summary
from truejoule.report.colours import COMPONENTS, FAMILIES, IDEAL, colour, ink
from truejoule.report.numbers import count, density, percent, span, unit_of
from truejoule.report.tables import against_ann
from truejoule.units import format_si


def shown(renderable: object) -> str:
    out = io.StringIO()
    Console(file=out, width=160, color_system=None).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn(evaluation, tmp_path, name):
    text = figure(evaluation, name, tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    assert text.startswith("<svg") and "NaN" not in text and "undefined" not in text
    assert f'width="{252}' in text


def test_figures_survive_hostile_names(hostile, tmp_path):
    for name in available(hostile):
        assert "<script" not in figure(hostile, name, tmp_path / f"{name}.svg").read_text(encoding="utf-8")


def test_other_formats(evaluation, tmp_path):
    assert figure(evaluation, "energy", tmp_path / "e.pdf", column="double").read_bytes().startswith(b"%PDF")
    assert figure(evaluation, "energy", tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "file", "options", "hint"),
    [
        ("enrgy", "a.svg", {}, "did you mean 'energy'"),
        ("energy", "a.svgg", {}, "did you mean 'svg'"),
        ("energy", "a", {}, "choose one of"),
        ("energy", "a.svg", {"column": "singel"}, "did you mean 'single'"),
        ("wires", "a.svg", {"layer": "c22"}, "did you mean 'c2'"),
        ("energy", "a.svg", {"layer": "c2"}, "has no layer"),
    ],
)
def test_wrong_input_is_explained(evaluation, tmp_path, name, file, options, hint):
    with pytest.raises(InputError, match=hint):
        figure(evaluation, name, tmp_path / file, **options)


def test_a_figure_without_data_is_refused(evaluation):
    evaluation["drops"] = []
    assert "wires" not in available(evaluation)
    with pytest.raises(InputError, match="no data"):
        chart(evaluation, "wires")
    with pytest.raises(InputError, match="one evaluation"):
        chart([evaluation, evaluation], "area")


def test_one_colour_per_component():
    known = [c for members in COMPONENTS.values() for c in members]
    assert set(COMPONENTS) == set(FAMILIES)
    assert len(set(known)) == len(known)
    assert len({colour(c) for c in known}) == len(known)
    assert IDEAL not in {colour(c) for c in known}
    assert colour("something new") == colour("something new")
    assert (ink("#000000"), ink("#FFFFFF")) == ("#FFFFFF", "#14171C")


def test_numbers_in_words():
    assert (percent(0.0781), percent(0.0), percent(1e-6)) == ("7.8 %", "0.0 %", "< 0.1 %")
    assert (density(1.0), density(0.0489), density(1e-7)) == ("100 %", "4.89 %", "< 0.01 %")
    assert (count(451584.0), count(72.994), count(4.23e-9)) == ("451,584", "72.99", "4.23e-09")
    assert (span(6.71e-6, 1.89e-4, "J"), span(5e-9, 2e-6, "J")) == ("6.71 to 189 µJ", "5.00 nJ to 2.00 µJ")
    assert (
        unit_of([3.6e-5, 1e-9], "J") == (1e-6, "µJ")
        and unit_of([3e-6], "m2") == (1e-6, "mm²")
        and unit_of([], "s") == (1.0, "s")
    )


def test_tables_show_the_numbers_of_the_json(evaluation):
    assert format_si(evaluation["energy_j"], "J") in shown(summary([evaluation]))
    by_layer = shown(breakdown(evaluation, "layer"))
    assert all(format_si(v, "J") in by_layer for v in evaluation["by_layer"].values())
    assert "█" in shown(breakdown(evaluation))
    assert "take the same energy" in shown(comparison([evaluation, evaluation])).replace("\n", " ")
    assert all(
        f"{a['ann_j'] * 1e6:.1f} µJ" in shown(against_ann(evaluation["over_time"]))
        for a in evaluation["over_time"]["against_ann"]
    )
    assert f"{evaluation['workload']['macs']:,}" in shown(layers(evaluation["workload"]))
    with pytest.raises(InputError, match="did you mean 'layer'"):
        breakdown(evaluation, "layers")  # type: ignore[arg-type]


def test_names_are_not_markup(hostile):
    assert "[red]" in shown(layers(hostile["workload"])).replace("\n", "")
    assert "[red]" in HOSTILE


def test_importing_the_report_is_light():
    code = "import sys, truejoule.report; print([m for m in ('torch', 'matplotlib', 'vl_convert', 'jinja2', 'rich') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
