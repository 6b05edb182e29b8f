"""Machines as files: every entry is checked, and every error says where and what to do."""

import pytest

import truejoule as tj
from truejoule.accelerators import preset


@pytest.mark.parametrize("name", preset.names())
def test_every_parameter_has_a_source(name):
    machine = tj.accelerator(name)
    assert machine.parameters
    for p in machine.parameters:
        assert p.source and p.meaning and p.kind in ("published", "derived", "calibrated", "assumed")


def changed(tmp_path, old, new):
    text = preset.path_of("spikeflow").read_text()
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_a_file_of_ones_own(tmp_path):
    machine = tj.accelerator(changed(tmp_path, 'value: "19.139 kohm"', 'value: "10 kohm"'))
    assert machine.structure.r_on == 10e3


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('value: "19.139 kohm"', "value: 19139", ["r_on", "mine.yaml:", "without a unit", "kohm"]),
        ('value: "19.139 kohm"', 'value: "19.139 kV"', ["r_on", "wrong kind"]),
        ('value: "19.139 kohm"', 'value: "0 ohm"', ["r_on", "0 < r_on < r_off"]),
        ('value: "1.11 ohm"', 'value: "-1 ohm"', ["negative r_wl", "mine.yaml:"]),
        ("  adc_bits:", "  adc_bit:", ["unknown parameter 'adc_bit'", "did you mean 'adc_bits'"]),
        ("machine: spikeflow", "machine: spikflow", ["no machine", "did you mean 'spikeflow'"]),
        ("machine: spikeflow", "machin: spikeflow", ["not an accelerator file"]),
        ("machine: spikeflow", "machine: spikeflow\nfoo: 1", ["unknown key 'foo'"]),
        ("parameters:", "parameters: [", ["not valid YAML"]),
        ('low: "0.271 pJ"', 'low: "5 pJ"', ["band does not enclose", "adc_conversion"]),
        ('low: "0.271 pJ"', 'lo: "5 pJ"', ["unknown key 'lo'", "did you mean 'low'"]),
    ],
)
def test_errors_teach(tmp_path, old, new, words):
    with pytest.raises(tj.InputError) as error:
        tj.accelerator(changed(tmp_path, old, new))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "overrides, words",
    [
        (dict(adc_bit=4), ["did you mean 'adc_bits'"]),
        (dict(adc_bits=0), ["1 to 16"]),
        (dict(adc_bits="four"), ["whole number or null"]),
        (dict(encoding="offset"), ["not a value of encoding"]),
        (dict(r_on=10000), ["without a unit"]),
        (dict(clock="0 Hz"), ["clock must be positive"]),
        (dict(crossbar_size=-64), ["negative crossbar_size"]),
        (dict(stuck_on=0.7, stuck_off=0.7), ["more stuck cells"]),
        (dict(share_tiles="yes"), ["true or false"]),
    ],
)
def test_overrides_are_checked(overrides, words):
    with pytest.raises(tj.InputError) as error:
        tj.accelerator("spikeflow", **overrides)
    for word in words:
        assert word in str(error.value)


def test_overrides_are_marked():
    source = {p.name: p for p in tj.accelerator("spikeflow", adc_bits=6).parameters}["adc_bits"]
    assert source.source == "set by the user" and source.value == 6


def test_unknown_names():
    with pytest.raises(tj.InputError, match="did you mean 'spikeflow'"):
        tj.accelerator("spikflow")
    with pytest.raises(tj.InputError, match="cannot be read"):
        tj.accelerator("nowhere/chip.yaml")
