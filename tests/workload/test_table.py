"""Workloads as tables."""

import csv
import importlib.util
import io
from dataclasses import replace

import pytest

from truejoule.errors import InputError
from truejoule.workload import Neuron, NotUnderstood, shapes
from truejoule.workload.profiles import with_profile
from truejoule.workload.table import COLUMNS, dataframe, rows, table


@pytest.fixture(scope="module")
def workload():
    return with_profile(shapes.network("vgg9", time_steps=4, neuron=Neuron(decay=0.5)), "snn-10")


def test_rows_hold_the_numbers(workload):
    found = {row["layer"]: row for row in rows(workload)}
    conv, act = found["conv2"], found["act2"]
    assert conv["weights"] == 64 * 64 * 9 and conv["macs"] == 64 * 64 * 9 * 1024 and conv["steps"] == 4
    assert conv["input_density"] == pytest.approx(0.1) and conv["weight_bits"] == 4 and conv["input_bits"] == 1
    assert (
        act["spikes"] == pytest.approx(4 * 0.1 * 64 * 1024) and act["weights"] is None and "LIF" in str(act["neuron"])
    )


def test_text_has_every_layer_and_the_totals(workload):
    text = table(workload)
    assert all(layer.name in text for layer in workload.layers)
    assert f"{workload.macs:,} MACs in 4 time steps, activity assumed: snn-10" in text
    assert "no activity" in table(shapes.network("vgg9"))


def test_what_was_not_understood_is_listed(workload):
    odd = replace(workload, not_understood=(NotUnderstood("head.attn", "softmax", "no accelerator runs it"),))
    assert "head.attn: softmax" in table(odd)


def test_csv_reads_back(workload):
    read = list(csv.DictReader(io.StringIO(table(workload, "csv"))))
    assert len(read) == len(workload.layers) and tuple(read[0]) == COLUMNS
    assert sum(int(row["macs"] or 0) * int(row["steps"]) for row in read) == workload.macs


def test_latex_escapes(workload):
    odd = replace(
        workload, layers=(replace(workload.layers[0], name="a_b&c"), *workload.layers[1:]), edges=(), activity=None
    )
    text = table(odd, "latex")
    assert r"a\_b\&c" in text and r"\to" in text and "→" not in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in body} == {len(COLUMNS) - 1}


def test_dataframe_needs_pandas(workload):
    if importlib.util.find_spec("pandas") is None:
        with pytest.raises(InputError, match="pandas"):
            dataframe(workload)
    else:
        assert list(dataframe(workload).columns) == list(COLUMNS)


def test_unknown_format(workload):
    with pytest.raises(InputError, match="did you mean 'latex'"):
        table(workload, "latx")
