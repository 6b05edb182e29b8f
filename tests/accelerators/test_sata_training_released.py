"""The released training model of SATA: printed numbers, layers counted by hand, slips one by one (facts: snn_accelerators 3.10, 3.11)."""

import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sata_training import small, vgg5

import truejoule as tj
from truejoule.accelerators.sata.released import cycles
from truejoule.accelerators.sata.training import DENSE, PHASES, RELEASED, by_phase
from truejoule.accelerators.sata.training_released import released_counts
from truejoule.errors import InputError
from truejoule.reproduce import claims
from truejoule.reproduce.sata_training import NO_SLIPS
from truejoule.workload import TrainingSparsity
from truejoule.workload.profiles import Profile, with_profile


def machine(bits=2, **switches):
    return tj.accelerator("sata-2022-training", weight_bits=bits, **switches)


def totals(workload, layer, bits=4, sparsity=RELEASED, **switches):
    """Actions and words by phase and unit."""
    m, found = machine(bits, **switches), {}
    for c in released_counts(workload, sparsity, m.structure, m.released_training):
        if c.layer == layer:
            found[c.phase, c.unit] = found.get((c.phase, c.unit), 0.0) + c.total
    return found


REFERENCE = [  # replaces, T, bits, total, forward, forward compute, forward memory
    (True, 4, 2, 4.79899e9, 2.50573e8, 6.25845e5, 2.49947e8),
    (False, 4, 2, 4.79940e9, None, 1.04287e6, 2.49947e8),
    (False, 8, 8, 6.46301e9, 1.05815e9, 8.34298e6, None),
]


@pytest.mark.parametrize("replaces, steps, bits, total, forward, compute, memory", REFERENCE)
def test_reference_numbers(replaces, steps, bits, total, forward, compute, memory):
    m = machine(bits, linear_replaces=replaces)
    ledger = m.training(vgg5(steps), RELEASED).ledger
    found = by_phase(ledger)["forward"]
    numbers = (ledger.total_j, found["compute"] + found["memory"], found["compute"], found["memory"])
    for ours, theirs in zip(numbers, (total, forward, compute, memory), strict=True):
        if theirs is not None:
            assert float(f"{m.released_training.in_macs(ours):.5e}") == pytest.approx(theirs, rel=6e-6)


def test_unit_energies():
    p = machine().released_training
    prices = p.prices()
    for name, pj in (("lif", 0.11255), ("accumulate", 0.039694), ("mac", 0.2779), ("relu", 0.00309)):
        assert prices[name].value == pytest.approx(pj * 1e-12, rel=1e-12)
    both = prices["gradient multiply"].plus(prices["gradient rest"], "both")
    assert both.value == pytest.approx(0.27216e-12, rel=1e-12)
    assert prices["dram"].value / prices["mac"].value == pytest.approx(200, rel=1e-5)
    assert all("energy_configs.py" in price.source for price in prices.values())


def test_a_convolution_by_hand():
    # W = 54, outputs 48, inputs 32, T = 2, b = 4: 8 words of inputs; products 54 * 16 = 864 per step
    assert totals(small(), "conv", linear_replaces=False) == pytest.approx(
        {
            ("forward", "neuron unit"): 96,
            ("forward", "accumulate"): 0.1 * 864 * 2,
            ("backward", "gradient unit"): 2 * 96,  # product with the surrogate, and the rest
            ("backward", "mac"): 0.3 * 864 * 2,
            ("weight update", "accumulate"): 0.1 * 864 * 2,
            ("forward", "dram"): 54 + 2 * (48 + 8),
            ("forward", "global buffer"): 2 * (54 + 2 * (48 + 8)),
            ("forward", "scratchpads"): 2 * (54 + 2 * 8),
            ("backward", "dram"): 2 * (48 + 8),
            ("backward", "global buffer"): 7 * 2 * 48 + 2 * 2 * 8 + 54,
            ("backward", "scratchpads"): 54 + 2 * 48,
            ("weight update", "dram"): 2 * 54,
            ("weight update", "global buffer"): 2 * 3 * 54 + 2 * (8 + 48),
            ("weight update", "scratchpads"): 2 * 3 * 54 + 2 * (8 + 48) + 2 * 2 * 54,
        }
    )


def test_a_linear_layer_by_hand():
    # 48 → 5, W = 240, T = 2, b = 4: no sparsity
    found = totals(small(), "fc1")
    assert found["forward", "accumulate"] == found["backward", "mac"] == found["weight update", "accumulate"] == 480
    assert found["forward", "dram"] == 240 + 2 * (5 + 12)
    assert found["backward", "global buffer"] == 7 * 2 * 5 + 2 * 2 * 12 + 240
    assert found["weight update", "dram"] == 480


def test_every_slip_is_a_switch():
    assert len(NO_SLIPS) == 7
    m = machine(**NO_SLIPS)
    assert all(
        getattr(machine().released_training, name) and not getattr(m.released_training, name) for name in NO_SLIPS
    )
    # Forward accumulates of the convolution are replaced by the linear layer behind it.
    assert totals(small(), "conv")["forward", "accumulate"] == 0
    assert totals(small(), "conv", linear_replaces=False)["forward", "accumulate"] > 0
    assert totals(small(), "fc1", linear_dense=False)["backward", "mac"] == pytest.approx(0.3 * 480)
    assert not totals(small(), "fc2") and totals(small(), "fc2", output_layer_missing=False)
    # One bit is 1/16 of a word: 48 spikes are 3 words, in 2 steps.
    assert totals(small(), "fc1", spikes_scaled_forward_only=False)["backward", "dram"] == 2 * (5 + 3)
    assert totals(small(), "lif1") == {}
    used = totals(small(), "fc1", surrogate_unused=False)["backward", "gradient unit"]
    assert used == pytest.approx(10 + 0.4 * 10)
    dense = totals(small(), "conv", image_sparse=False, linear_replaces=False)
    assert dense["forward", "accumulate"] == dense["weight update", "accumulate"] == 2 * 864
    assert totals(small(), "conv", image_gradient=False)["backward", "mac"] == 0


def test_sums_and_no_time():
    cost = machine().training(vgg5(), RELEASED)
    phases = by_phase(cost.ledger)
    assert tuple(phases) == PHASES and cost.latency_s is None
    assert math.fsum(e for of in phases.values() for e in of.values()) == pytest.approx(cost.energy_j, rel=1e-12)
    assert cost.ledger.band_j == pytest.approx((cost.energy_j, cost.energy_j))
    assert "as released" in cost.note


def test_an_inference_is_the_forward_phase():
    m = machine()
    workload = with_profile(vgg5(), Profile("p", 0.1, 0.1))
    cost = m.cost(m.map(workload), workload.activity)
    forward = by_phase(m.training(workload, RELEASED).ledger)["forward"]
    assert cost.energy_j == pytest.approx(sum(forward.values()))
    assert cost.ledger.by("component")["dram"] > 0.9 * forward["memory"]
    steps = [cycles(layer, m.structure) for layer in workload.multiplying]
    assert cost.latency_s == pytest.approx(sum(4 * each + once for each, once in steps) / 400e6)
    table = tj.accelerator("sata-2023-table", operand_bits=16, adder_bits=16)
    workload = with_profile(small(), Profile("p", 0.1, 1.0))
    areas = [x.cost(x.map(workload), workload.activity).area_m2 for x in (m, table)]
    assert areas[0] == pytest.approx(areas[1])
    assert m.as_published and not m.alternatives()


share = st.floats(0.0, 1.0)


@pytest.mark.parametrize("switches", [{}, {"linear_replaces": False}, NO_SLIPS], ids=["released", "fixed", "no slips"])
@settings(max_examples=20, deadline=None)
@given(low=st.tuples(share, share, share), more=st.tuples(share, share, share))
def test_more_sparsity_is_never_more_energy(switches, low, more):
    high = tuple(a + (1 - a) * b for a, b in zip(low, more, strict=True))
    m = machine(4, **switches)
    before, after = (m.training(small(), TrainingSparsity(*s, "drawn")).energy_j for s in (low, high))
    assert after <= before * (1 + 1e-12)


def test_an_ann_takes_the_same_formulas():
    ann = vgg5(1, ann=True)
    units = {e.component for e in machine(16).training(ann, DENSE).ledger}
    assert "forward mac" in units and "forward accumulate" not in units and "weight update mac" in units
    assert totals(ann, "conv2", 16, DENSE)["forward", "dram"] == 64 * 128 * 9 + 128 * 256 + 64 * 256


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: machine(training_batch=2).training(small(), DENSE), "no batches"),
        (lambda: machine(0), "weight_bits must be positive"),
        (lambda: machine(word_bits=1).training(small(), DENSE), "weight_bits out of range"),
        (lambda: machine().training(small(), TrainingSparsity((0.5, 0.5, 0.5), 0, 0, "x")), "time steps"),
        (lambda: machine(linear_replaced=False), "linear_replaces"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_claims():
    *reference, gain, ann = claims("sata_training")
    assert len(reference) == 3 and all(c.verdict == "reproduced" and c.corrected is None for c in reference)
    assert gain.verdict == "differs" and gain.released == pytest.approx(2.650, abs=1e-3)
    assert 1 < gain.corrected < 2 and "clocks and leakage do not" in gain.reason
    assert ann.verdict == "reproduced" and ann.released == pytest.approx(1.272, abs=1e-3)
    assert 1 < ann.corrected < 3 and "undecided" in ann.reason


def test_command_line(tmp_path):
    net = """
from torch.nn import functional
from truejoule import zoo
net = zoo.load("fashion_snn")
def loader():
    return list(zoo.loader(batch_size=4, n=4))
def loss(outputs, labels):
    return functional.cross_entropy(outputs, labels)
"""
    (tmp_path / "net.py").write_text(net)
    names = ("sata-2022-training", "sata")
    command = "evaluate net.py:net --data net.py:loader --training-loss net.py:loss --json".split()
    command += [word for name in names for word in ("--on", name)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "truejoule.cli", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    found = {e["accelerator"]: e for e in (json.loads(f.read_text()) for f in tmp_path.glob("*/*/evaluation.json"))}
    released, corrected = (found[name] for name in names)
    assert released["as_published"] and not corrected["as_published"]
    assert released["training"]["energy_j"] > released["energy_j"] and released["training"]["latency_s"] is None
    assert corrected["training"]["energy_j"] > 2 * corrected["energy_j"]
    assert corrected["training"]["latency_s"] > 2 * corrected["latency_s"]
