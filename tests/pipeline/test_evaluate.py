"""One run gives accuracy and cost, of the activity that the hardware measured; bad input gives one clear message."""

import json
import math

import pytest
import torch
from torch import nn

import truejoule as tj
from small_networks import ReluNet, SpikingNet, images
from truejoule.evaluation import Accuracy, p_value
from truejoule.mitigation.plan import STAGES

PERFECT = dict(adc_bits=None, r_wl="0 ohm", r_bl="0 ohm", programming_variation=0.0)


def labelled(n=24, batch=8, seed=0):
    """Images with the network's own answers as labels, so that the ideal accuracy is 100 %."""
    x = images(n, seed)
    y = SpikingNet()(x).argmax(1)
    return [(x[i : i + batch], y[i : i + batch]) for i in range(0, n, batch)]


@pytest.fixture(scope="module")
def noisy():
    return tj.evaluate(
        SpikingNet(),
        tj.accelerator("spikeflow", programming_variation=0.6, adc_bits=4),
        labelled(),
        seeds=(0, 1),
        name="noisy",
    )


def test_perfect_hardware_changes_nothing():
    e = tj.evaluate(SpikingNet(), tj.accelerator("spikeflow", **PERFECT), labelled())
    assert e.ideal_accuracy.value == e.accuracy.value == 1.0
    assert e.chips[0].agreement == 1.0
    assert e.cost.energy_j == pytest.approx(e.ideal_cost.energy_j, rel=1e-12)
    assert all(snr == math.inf for snr in e.chips[0].snr_db.values())


def test_what_is_costed_is_what_the_hardware_measured(noisy):
    """Strong noise changes spike counts, and the cost follows them; the ideal activity stands beside."""
    ideal, measured = noisy.workload.activity, noisy.activity
    assert ideal.origin == "measured (ideal)" and measured.origin == "measured on spikeflow"
    assert measured.layers["conv2"].nonzero_inputs != ideal.layers["conv2"].nonzero_inputs
    assert noisy.cost.energy_j != noisy.ideal_cost.energy_j
    counted = {e.action: e.count for e in noisy.cost.ledger if e.layer == "conv2" and e.component == "diff"}[
        "input counted for the R_off floor"
    ]
    network = tj.read(SpikingNet(), images(8))
    deployed = tj.accelerator("spikeflow", programming_variation=0.6, adc_bits=4).deploy(
        network, [x for x, _ in labelled()]
    )
    for x, _ in labelled():
        deployed(x)
    assert counted == pytest.approx(sum(deployed.measurement().work["conv2"]["driven_rows"]), rel=1e-9)


def test_json_is_the_same_numbers(noisy):
    data = json.loads(json.dumps(noisy.to_json(), allow_nan=False))
    assert data["energy_j"] == noisy.cost.energy_j
    for key in ("by_component", "by_layer"):
        assert math.fsum(data[key].values()) == pytest.approx(data["energy_j"], rel=1e-12)
    assert math.fsum(r["total_j"] for r in data["ledger"]) == pytest.approx(data["energy_j"], rel=1e-12)
    assert data["accuracy"]["samples"] == 24 and len(data["chips"]) == 2
    assert data["energy_band_j"][0] <= data["energy_j"] <= data["energy_band_j"][1]
    assert data["assumptions"] and all(a["source"] for a in data["assumptions"])


def test_explain_gives_the_arithmetic_of_every_row(noisy):
    text = noisy.explain("energy", layer="conv2")
    rows = [r for r in noisy.cost.ledger if r.layer == "conv2"]
    lines = text.splitlines()
    assert len(lines) == len(rows) + 1
    for row, line in zip(rows, lines, strict=False):
        assert row.action in line and row.source[:40] in line
    assert lines[-1].startswith("sum: ")
    assert "total" not in noisy.explain("area") and "sum: " in noisy.explain("area")
    with pytest.raises(tj.InputError, match="did you mean 'conv2'"):
        noisy.explain("energy", layer="cnv2")


def test_alternative_accountings_stand_beside(noisy):
    assert len(noisy.alternatives) == 3
    again = next(c for text, c in noisy.alternatives.items() if "every time step" in text)
    conversions = [
        sum(e.count for e in c.ledger if e.layer == "conv1" and e.component == "adc") for c in (again, noisy.cost)
    ]
    assert conversions[0] == pytest.approx(3 * conversions[1])
    per_pe = next(c for text, c in noisy.alternatives.items() if "per PE" in text)
    assert per_pe.energy_j < noisy.cost.energy_j


def test_chips_differ_and_are_repeatable(noisy):
    again = tj.evaluate(
        SpikingNet(),
        tj.accelerator("spikeflow", programming_variation=0.6, adc_bits=4),
        labelled(batch=5),
        seeds=(1,),
        calibration=[x for x, _ in labelled()],
    )
    one = tj.evaluate(
        SpikingNet(),
        tj.accelerator("spikeflow", programming_variation=0.6, adc_bits=4),
        labelled(),
        seeds=(1,),
        calibration=[x for x, _ in labelled()],
    )
    assert again.chips[0].ledger.total_j == pytest.approx(one.chips[0].ledger.total_j, rel=1e-9)
    assert noisy.chips[0].snr_db != noisy.chips[1].snr_db


def test_relu_networks_on_the_same_machine():
    x = images(16)
    y = ReluNet()(x).argmax(1)
    e = tj.evaluate(ReluNet(), tj.accelerator("spikeflow", input_bits=16, **PERFECT), [(x, y)])
    assert e.accuracy.value == 1.0 and not e.workload.spiking
    components = e.cost.ledger.by("component")
    assert "activation" in components and "neuron unit" not in components


class Remedy:
    """Records that it was asked, and changes what its stage may change."""

    def __init__(self, stage):
        self.name, self.stage, self.plans = f"remedy-{stage}", stage, []

    def apply(self, plan):
        from dataclasses import replace

        self.plans.append(plan)
        if self.stage == "accelerator":
            return replace(plan, accelerator=tj.accelerator("spikeflow", **PERFECT))
        return plan


def test_remedies_act_at_their_stage():
    remedies = [Remedy(stage) for stage in reversed(STAGES)]
    e = tj.evaluate(
        SpikingNet(), tj.accelerator("spikeflow", programming_variation=0.6), labelled(), mitigations=remedies
    )
    assert e.remedies == ("remedy-network", "remedy-accelerator", "remedy-deployed")
    assert e.accuracy.value == 1.0
    deployed, accelerator, network = (r.plans[0] for r in remedies)
    assert network.deployed is None and accelerator.deployed is None and deployed.deployed is not None


@pytest.mark.parametrize(
    "right, n, low, high",
    [(50, 100, 0.4038, 0.5962), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_interval(right, n, low, high):
    """81 of 263 is Newcombe's example, Statistics in Medicine 17 (1998) 857, table I."""
    a = Accuracy.of(right, n)
    assert (a.low, a.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("lost, gained, p", [(0, 0, 1.0), (10, 0, 2 / 1024), (1, 7, 18 / 256), (5, 5, 1.0)])
def test_paired_test_of_accuracy(lost, gained, p):
    """Binomial tails by hand."""
    assert p_value(lost, gained) == pytest.approx(p) == p_value(gained, lost)


class Broken(SpikingNet):
    def forward(self, x):
        return self.fc(self.conv1(x))


class Adaptive(nn.Module):
    """A neuron whose threshold moves: no machine has it."""

    def __init__(self):
        super().__init__()
        self.reset()

    def reset(self):
        self.v, self.a = None, None

    def forward(self, x):
        v = x if self.v is None else 0.5 * self.v + x
        a = torch.zeros_like(x) if self.a is None else self.a
        s = (v >= 1 + a).float()
        self.v, self.a = v * (1 - s), 0.9 * a + 0.3 * s
        return s


def with_nan():
    net = SpikingNet()
    net.conv2.weight.data[0, 0, 0, 0] = float("nan")
    return net


def adaptive():
    net = SpikingNet()
    net.spike2 = Adaptive()
    return net


DATA = labelled(8)


@pytest.mark.parametrize(
    "net, data, options, words",
    [
        (Broken, DATA, {}, ["forward pass failed", "fc"]),
        (with_nan, DATA, {}, ["conv2", "finite"]),
        (adaptive, DATA, {}, ["spike2"]),
        (SpikingNet, [], {}, ["no data", "empty loader"]),
        (SpikingNet, DATA, {"samples": 0}, ["no samples"]),
        (SpikingNet, [x for x, _ in DATA], {}, ["not labelled batches"]),
        (SpikingNet, [(x, y.float()) for x, y in DATA], {}, ["class numbers"]),
        (SpikingNet, [(images(4, channels=3), torch.zeros(4, dtype=torch.long))], {}, ["forward pass failed", "conv1"]),
        (SpikingNet, DATA, {"calibration": []}, ["no calibration data"]),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 3)).eval(), DATA, {}, ["not a score per class"]),
        (lambda: nn.Sequential(nn.ReLU()).eval(), DATA, {}, ["without a layer"]),
    ],
    ids=[
        "forward",
        "nan",
        "neuron",
        "empty",
        "zero",
        "unlabelled",
        "labels",
        "shapes",
        "calibration",
        "output",
        "no layers",
    ],
)
def test_bad_input_gives_one_clear_message(net, data, options, words):
    with pytest.raises(tj.InputError) as error:
        tj.evaluate(net(), tj.accelerator("spikeflow"), data, **options)
    for word in words:
        assert word in str(error.value)
