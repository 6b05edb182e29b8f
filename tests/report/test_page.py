"""The page: safe against names, silent on the network, and true to the JSON."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser

import pytest

from truejoule.errors import InputError
from truejoule.report import page
from truejoule.report.numbers import labels, verdicts
from truejoule.report.page import _bundle, embed
from truejoule.units import format_si


class Reader(HTMLParser):
    """Collects elements, the text with a ``data-value``, and what scripts hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.values: dict[str, list[str]] = {}
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("data-value") or ("<script>" if tag == "script" else "")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "<script>":
            self.scripts.append(data)
        elif self._inside:
            self.values.setdefault(self._inside, []).append(data)


def test_numbers_are_those_of_the_json(evaluation):
    found = Reader(page([evaluation]))
    assert set(found.values["energy_j"]) == {format_si(evaluation["energy_j"], "J")}
    assert found.values["latency_s"] == [format_si(evaluation["latency_s"], "s")]
    assert found.values["area_m2"] == [format_si(evaluation["area_m2"], "m2")]
    assert found.values["accuracy"] == [
        f"{100 * evaluation['ideal_accuracy']['value']:.1f} → {100 * evaluation['accuracy']['value']:.1f} %"
    ]
    totals = [float(a["data-total"]) for tag, a in found.tags if tag == "tr" and "data-total" in a]
    assert len(totals) == len(evaluation["ledger"])
    assert sum(totals) == pytest.approx(evaluation["energy_j"], rel=1e-9)
    assert json.loads(found.scripts[1]) == [evaluation]


def test_figures_carry_the_numbers_of_the_json(evaluation):
    figures = json.loads(Reader(page([evaluation])).scripts[0])["figures"]
    energy = figures["e0-energy"]["spec"]["data"]["values"]
    assert sum(r["energy_j"] for r in energy if r["_bar"] == "0") == pytest.approx(evaluation["energy_j"], rel=1e-9)
    layers = figures["e0-layers"]["spec"]["data"]["values"]
    assert sum(r["energy_j"] for r in layers) == pytest.approx(evaluation["energy_j"], rel=1e-9)
    assert sum(r["energy_j"] for r in figures["e0-steps"]["spec"]["data"]["values"]) == pytest.approx(
        evaluation["energy_j"], rel=1e-9
    )


def test_no_resource_is_loaded(evaluation):
    text = page([evaluation])
    own = text.replace(_bundle(), "")
    assert len(own) < len(text) - 800_000
    for tag, attributes in Reader(own).tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert not re.match(r"\s*(https?:)?//", attributes.get(name) or ""), (tag, attributes)
    assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", own)
    assert "default-src 'none'" in text
    assert len(text) < 1_600_000


def test_hostile_names_stay_text(hostile):
    text = page([hostile], title=hostile["title"])
    assert text.count("</script>") == 4
    found = Reader(text)
    assert not [a for tag, a in found.tags if tag == "img" or "onerror" in a]
    assert "49" not in re.findall(r"<title>(.*?)</title>", text)[0]
    assert json.loads(found.scripts[1]) == [hostile]


def test_embedded_json_round_trips():
    value = {"</script>": ["<!--", "&", "\u2028", "é"]}
    text = embed(value)
    assert "<" not in text and json.loads(text) == value


def test_several_evaluations_are_told_apart(evaluation):
    other = copy.deepcopy(evaluation)
    assert len(set(labels([evaluation, other]))) == 2
    found = Reader(page([evaluation, other]))
    assert len([a for _, a in found.tags if a.get("role") == "tab"]) == 2
    assert len({a["id"] for _, a in found.tags if "id" in a}) == len([a for _, a in found.tags if "id" in a])


def test_a_verdict_respects_the_bands(evaluation):
    """Half of everything on the same kind of machine is certainly less; on another one, whose coefficients are off for themselves, it may not be."""
    half = copy.deepcopy(evaluation)
    half["title"], half["energy_j"] = "Other", evaluation["energy_j"] / 2
    for row in half["ledger"]:
        row["counts"], row["count"] = [n / 2 for n in row["counts"]], row["count"] / 2
    (line,) = verdicts([half, evaluation])
    assert line.startswith("SpikeFlow, corrected (7.8 % right) takes 2.00 times the energy of Other (7.8 % right)")
    assert "outside the uncertainty bands: 2.00 to 2.00 times" in line and "more on adc (conversion)" in line
    (line,) = verdicts([half | {"machine": "another"}, evaluation])
    assert "leave undecided" in line and "more on" not in line
    other = half | {"machine": "another", "network": "another"}
    assert verdicts([other, evaluation]) == [], "neither the network nor the machine is the same"


def test_time_steps_and_the_ann_are_shown(evaluation):
    html = page([evaluation])
    for text in (
        "Time steps, and the ANN",
        "8 bit",
        "never",
        "5.0 %",
        "The SNN takes 1.25 times",
        "with small pads it would take 2.50 times",
    ):
        assert text in html.replace("\u00a0", " ")
    alone = evaluation | {"over_time": evaluation["over_time"] | {"against_ann": []}}
    assert "and the ANN" not in page([alone]) and "e0-over-time" in page([alone])
    assert "e0-over-time" not in page([evaluation | {"over_time": None}])


def test_sections_without_data_are_left_out(evaluation):
    evaluation["drops"], evaluation["alternatives"], evaluation["warnings"] = [], [], []
    evaluation["activity"]["hardware"] = None
    evaluation["mapping"]["placements"] = []
    text = page([evaluation])
    assert 'id="e0-wires"' not in text and 'class="notice" role="note"' not in text


def test_nothing_to_show_is_an_input_error():
    with pytest.raises(InputError):
        page([])


def test_no_verdict_about_an_as_published_account(evaluation):
    released = evaluation | {
        "as_published": True,
        "title": "as released",
        "energy_band_j": [1e-12, 1e-12],
        "energy_j": 1e-12,
    }
    lines = verdicts([evaluation, released])
    assert len(lines) == 1 and "no verdict" in lines[0] and "as released follows a published model" in lines[0]


def test_training_step_is_shown_with_its_note(evaluation):
    training = {
        "origin": "measured on a training step of 5 samples",
        "note": "other unit energies",
        "energy_j": 4e-6,
        "energy_band_j": [4e-6, 4e-6],
        "latency_s": 3e-3,
        "by_component": {"forward dram": 1e-6, "backward mac": 3e-6},
        "by_layer": {"c1": 4e-6},
        "zeros": {"spike": {"c1": [0.5, 0.7]}, "membrane_gradient": {"c1": [0.1, 0.3]}, "surrogate": {}},
    }
    html = page([evaluation | {"training": training}])
    for text in (
        "Training step",
        "4.00 µJ",
        "other unit energies",
        "measured on a training step of 5 samples",
        "75.0",
        "60.0",
        "20.0",
    ):
        assert text in html
    assert "-training" not in page([evaluation])
