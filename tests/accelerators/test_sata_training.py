"""Training energy of SATA: released reference numbers, layers counted by hand, and laws (facts: snn_accelerators 3.10, 3.11)."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.accelerators.sata.training import (
    DENSE,
    MEMORIES,
    PHASES,
    PRICES,
    RELEASED,
    by_phase,
    in_macs,
    not_modelled,
    observed_spikes,
    training_counts,
    training_ledger,
)
from truejoule.errors import InputError
from truejoule.reproduce import claims
from truejoule.workload import Edge, Layer, Neuron, TrainingSparsity, Workload, shapes
from truejoule.workload.profiles import Profile, with_profile

ACCOUNTS = ("released", "released-fixed", "corrected")


def vgg5(steps=4):
    return shapes.network("vgg5", time_steps=steps, neuron=Neuron(), weight_bits=8)


def small(steps=2):
    """conv 2→3 on 4x4 (bits: image), neuron, linear 48→5, neuron, linear 5→4 without."""
    bits = dict(weight_bits=8, weight_levels="signed", steps=steps)
    conv = Layer(name="conv", op="conv", input_shape=(2, 4, 4), output_shape=(3, 4, 4), kernel=(3, 3), padding=(1, 1), input_bits=8, **bits)  # fmt: skip
    lif1 = Layer(name="lif1", op="neuron", input_shape=(3, 4, 4), output_shape=(3, 4, 4), steps=steps, neuron=Neuron())
    fc1 = Layer(name="fc1", op="linear", input_shape=(48,), output_shape=(5,), input_bits=1, **bits)
    lif2 = Layer(name="lif2", op="neuron", input_shape=(5,), output_shape=(5,), steps=steps, neuron=Neuron())
    fc2 = Layer(name="fc2", op="linear", input_shape=(5,), output_shape=(4,), input_bits=1, **bits)
    layers = (conv, lif1, fc1, lif2, fc2)
    names = ("input", *(layer.name for layer in layers))
    return Workload("small", layers, tuple(Edge(a, b) for a, b in pairwise(names)), steps)


def totals(counts, layer):
    found = {}
    for c in counts:
        if c.layer == layer:
            found[c.phase, c.unit] = found.get((c.phase, c.unit), 0.0) + c.total
    return found


REFERENCE = [  # account, T, bits, total, forward, forward compute, forward memory
    ("released", 4, 2, 4.79899e9, 2.50573e8, 6.25845e5, 2.49947e8),
    ("released-fixed", 4, 2, 4.79940e9, None, 1.04287e6, 2.49947e8),
    ("released-fixed", 8, 8, 6.46301e9, 1.05815e9, 8.34298e6, None),
]


@pytest.mark.parametrize("account, steps, bits, total, forward, compute, memory", REFERENCE)
def test_reference_numbers(account, steps, bits, total, forward, compute, memory):
    ledger = training_ledger(vgg5(steps), RELEASED, accounting=account, bits=bits)
    found = by_phase(ledger)["forward"]
    numbers = (ledger.total_j, found["compute"] + found["memory"], found["compute"], found["memory"])
    for ours, theirs in zip(numbers, (total, forward, compute, memory), strict=True):
        if theirs is not None:
            assert float(f"{in_macs(ours):.5e}") == pytest.approx(theirs, rel=6e-6)


def test_unit_energies():
    # facts 3.10, in pJ
    for name, pj in (("lif", 0.11255), ("accumulate", 0.039694), ("gradient", 0.27216), ("mac", 0.2779)):
        assert PRICES[name].value == pytest.approx(pj * 1e-12, rel=1e-12)
    assert PRICES["dram"].value / PRICES["mac"].value == pytest.approx(200, rel=1e-5)
    assert PRICES["gradient multiply"].plus(PRICES["gradient rest"], "both").value == pytest.approx(
        PRICES["gradient"].value
    )
    assert all(p.source and p.kind in ("published", "derived") for p in PRICES.values())


def test_a_convolution_by_hand_as_released():
    # W = 54, outputs 48, inputs 32, T = 2, b = 4: 8 words of inputs; products 54 * 16 = 864 per step
    found = totals(training_counts(small(), RELEASED, accounting="released-fixed", bits=4), "conv")
    assert found == pytest.approx(
        {
            ("forward", "neuron unit"): 96,
            ("forward", "accumulate"): 0.1 * 864 * 2,
            ("backward", "gradient unit"): 96,
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


def test_a_linear_layer_by_hand_as_released():
    # 48 → 5, W = 240, T = 2, b = 4: no sparsity
    found = totals(training_counts(small(), RELEASED, accounting="released", bits=4), "fc1")
    assert found["forward", "accumulate"] == found["backward", "mac"] == found["weight update", "accumulate"] == 480
    assert found["forward", "dram"] == 240 + 2 * (5 + 12)
    assert found["backward", "global buffer"] == 7 * 2 * 5 + 2 * 2 * 12 + 240
    assert found["weight update", "dram"] == 480


def test_the_released_slips():
    released, fixed = (training_counts(small(), RELEASED, accounting=a, bits=4) for a in ACCOUNTS[:2])
    assert totals(released, "conv")["forward", "accumulate"] == 0  # replaced by the linear layer behind it
    assert totals(fixed, "conv")["forward", "accumulate"] > 0
    assert not totals(fixed, "fc2")  # the output layer is missing
    other = training_ledger(small(), replace(RELEASED, surrogate=0.0), accounting="released").total_j
    assert other == training_ledger(small(), RELEASED, accounting="released").total_j  # never used


def test_the_corrected_account_by_hand():
    counts = training_counts(small(), RELEASED, bits=8)
    conv, fc1, fc2, lif = (totals(counts, name) for name in ("conv", "fc1", "fc2", "lif1"))
    # 10 * 10 taps inside the 4x4 map for each of 2 * 3 channel pairs; a dense image needs multipliers, and no gradient
    assert conv["forward", "mac"] == conv["weight update", "mac"] == 2 * 600
    assert ("backward", "mac") not in conv and ("forward", "accumulate") not in conv
    assert conv["forward", "dram"] == 54 * 8 / 16 + 2 * 32 * 8 / 16
    # linear layers are gated; spikes are one bit
    assert fc1["forward", "accumulate"] == pytest.approx(0.1 * 480)
    assert fc1["backward", "mac"] == pytest.approx(0.3 * 480)
    assert fc1["forward", "dram"] == fc1["backward", "dram"] == 240 * 8 / 16 + 2 * 48 / 16
    assert fc1["weight update", "global buffer"] == pytest.approx(2 * 3 * 240 + 2 * (48 / 16 + 5))
    # the loss gradient is dense
    assert fc2["backward", "mac"] == 2 * 20
    assert lif["forward", "neuron unit"] == 96
    assert lif["backward", "gradient unit"] == pytest.approx(96 + 0.4 * 96)
    assert lif["backward", "dram"] == 96 * 8 / 16


@pytest.mark.parametrize("account", ACCOUNTS)
def test_sums(account):
    ledger = training_ledger(vgg5(), RELEASED, accounting=account, bits=2)
    phases = by_phase(ledger)
    assert tuple(phases) == PHASES
    assert math.fsum(e for of in phases.values() for e in of.values()) == pytest.approx(ledger.total_j, rel=1e-12)
    assert ledger.fixed_j + math.fsum(ledger.step_j()) == pytest.approx(ledger.total_j, rel=1e-12)
    assert all(e.component.startswith(PHASES) for e in ledger)
    assert any(e.component.endswith(MEMORIES) for e in ledger)


share = st.floats(0.0, 1.0)


@settings(max_examples=40, deadline=None)
@given(account=st.sampled_from(ACCOUNTS), low=st.tuples(share, share, share), more=st.tuples(share, share, share))
def test_more_sparsity_is_never_more_energy(account, low, more):
    high = tuple(a + (1 - a) * b for a, b in zip(low, more, strict=True))
    before, after = (
        training_ledger(small(), TrainingSparsity(*s, "drawn"), accounting=account, bits=4).total_j for s in (low, high)
    )
    assert after <= before * (1 + 1e-12)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_more_steps_and_bits_cost_more(account):
    energies = [training_ledger(small(t), RELEASED, accounting=account).total_j for t in (1, 2, 3, 8)]
    assert energies == sorted(energies) and len(set(energies)) == 4
    wide = [training_ledger(small(), RELEASED, accounting="corrected", bits=b).total_j for b in (1, 2, 8, 16)]
    assert wide == sorted(wide) and len(set(wide)) == 4


def test_a_batch_shares_weights_from_dram_only():
    one, many = (training_ledger(vgg5(), RELEASED, batch=n) for n in (1, 32))
    for ledger, n in ((one, 1), (many, 32)):
        entries = [e for e in ledger if e.component == "weight update dram"]
        assert math.fsum(e.count for e in entries) == pytest.approx(2 * vgg5().weights / n)
    no_dram = [ledger.where(lambda e: not e.component.endswith("dram")).total_j for ledger in (one, many)]
    assert no_dram[0] == pytest.approx(no_dram[1])


def test_sparsity_per_layer_and_step():
    spikes = {"conv": 0.0, "fc1": (1.0, 0.5), "fc2": 0.25}
    counts = training_counts(small(), TrainingSparsity(spikes, 0.7, 0.6, "made up"))
    (entry,) = (c for c in counts if c.layer == "fc1" and c.phase == "forward" and c.unit == "accumulate")
    assert entry.amount == (0.0, 120.0)
    workload = with_profile(small(), Profile("x", 0.1, 1.0))
    seen = observed_spikes(workload, 0.7, 0.6, "profile")
    assert seen.density("spike", "fc1", 2) == pytest.approx((0.1, 0.1))
    ours, globally = (training_ledger(workload, s).total_j for s in (seen, replace(RELEASED, origin="x")))
    assert ours == pytest.approx(globally)


def test_an_ann_takes_the_same_formulas():
    ann = shapes.network("vgg5", weight_bits=8)
    for account in ACCOUNTS:
        units = {e.component for e in training_ledger(ann, DENSE, accounting=account, bits=16)}
        assert "forward mac" in units and "forward accumulate" not in units and "weight update mac" in units
    counts = training_counts(ann, DENSE, accounting="released", bits=16)
    assert totals(counts, "conv2")["forward", "dram"] == 64 * 128 * 9 + 128 * 256 + 64 * 256


def test_what_is_left_out_is_named():
    assert not_modelled(vgg5()) == ("pool1", "pool3")
    assert not_modelled(small()) == ()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: TrainingSparsity(1.1, 0, 0, "x"), "outside 0 to 1"),
        (lambda: TrainingSparsity({"conv": (0.5, -0.1)}, 0, 0, "x"), "spike conv"),
        (lambda: TrainingSparsity(float("nan"), 0, 0, "x"), "outside 0 to 1"),
        (lambda: TrainingSparsity(0, 0, 0, ""), "origin"),
        (lambda: training_counts(small(), TrainingSparsity({"conv": 0.5, "fc2": 0.1}, 0, 0, "x")), "'fc1'"),
        (
            lambda: training_counts(small(), TrainingSparsity((0.5, 0.5, 0.5), 0, 0, "x"), accounting="released"),
            "time steps",
        ),
        (lambda: training_counts(small(), DENSE, accounting="fixed"), "no account"),
        (lambda: training_counts(small(), DENSE, bits=0), "bits out of range"),
        (lambda: training_counts(small(), DENSE, bits=32), "bits out of range"),
        (lambda: training_counts(small(), DENSE, batch=0), "batch out of range"),
        (lambda: training_counts(small(), DENSE, batch=4, accounting="released"), "no batches"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_claims():
    *reference, gain, ann = claims("sata_training")
    assert len(reference) == 3 and all(c.verdict == "reproduced" for c in reference)
    assert gain.verdict == "differs" and gain.released == pytest.approx(2.650, abs=1e-3)
    assert gain.corrected == pytest.approx(3.671, abs=1e-3)
    assert ann.verdict == "reproduced" and ann.released == pytest.approx(1.272, abs=1e-3)
    assert ann.corrected == pytest.approx(1.206, abs=1e-3)
