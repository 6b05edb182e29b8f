"""Neuron semantics measured on neurons whose equation we wrote ourselves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Sequenced, Spiking
from torch import nn

from truejoule.network import UnknownNeuron, predict, probe
from truejoule.network.calling import Caller
from truejoule.network.forms import Form
from truejoule.network.lanes import Lanes
from truejoule.network.verify import disagreement
from truejoule.workload import Neuron

CASES = {
    "IF soft": (dict(beta=1.0), Neuron(1.0)),
    "LIF soft": (dict(beta=0.9), Neuron(1.0, 0.9)),
    "LIF soft, strict": (dict(beta=0.5, equal=False), Neuron(1.0, 0.5, fires_at_equality=False)),
    "LIF soft, late": (
        dict(beta=0.9, delay=True, equal=False),
        Neuron(1.0, 0.9, reset_delay=1, fires_at_equality=False),
    ),
    "LIF hard": (dict(beta=0.75, reset="value"), Neuron(1.0, 0.75, "value")),
    "LIF hard to a value": (dict(beta=0.75, reset="value", value=-0.25), Neuron(1.0, 0.75, "value", -0.25)),
    "LIF swallowing": (dict(beta=0.75, reset="value", swallow=True), Neuron(1.0, 0.75, "value", reset_delay=1)),
    "no reset": (dict(beta=0.6, reset="none"), Neuron(1.0, 0.6, "none")),
    "threshold": (dict(theta=0.7, beta=0.9), Neuron(0.7, 0.9)),
    "gain": (dict(theta=2.0, beta=0.5, gain=0.5), Neuron(2.0, 0.5, gain=0.5)),
    "multi-spike": (dict(beta=0.5, most=4), Neuron(1.0, 0.5, max_spikes=4)),
    "floor": (dict(beta=0.9, floor=-0.5), Neuron(1.0, 0.9, lower_bound=-0.5)),
    "floor at zero": (dict(beta=0.9, floor=0.0), Neuron(1.0, 0.9, lower_bound=0.0)),
}


@pytest.mark.parametrize("case", CASES)
def test_record_is_recovered(case):
    options, want = CASES[case]
    got = probe(Spiking(**options))
    assert got is not None
    assert got == want


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.integers(1, 40),
    st.integers(0, 20),
    st.sampled_from(["subtract", "value", "none"]),
    st.booleans(),
    st.sampled_from([0.25, 0.5, 1.0]),
)
def test_any_round_constants_are_recovered(theta, beta, reset, equal, gain):
    options = dict(theta=theta / 10, beta=beta / 20, reset=reset, equal=equal, gain=gain)
    if beta == 0:
        return  # no memory
    got = probe(Spiking(**options))
    assert (
        got is not None and math.isclose(got.threshold, theta / 10) and math.isclose(got.decay, beta / 20, rel_tol=1e-6)
    )
    assert (got.reset, got.gain, got.fires_at_equality) == (reset, gain, equal)


def test_unround_constants_are_measured_to_float_accuracy():
    net = Spiking(theta=0.7310585, beta=0.8807971, gain=1.0)
    got = probe(net)
    assert (
        got is not None
        and math.isclose(got.decay, 0.8807971, rel_tol=1e-6)
        and math.isclose(got.threshold, 0.7310585, rel_tol=1e-6)
    )


def test_without_attributes_the_threshold_is_a_round_number():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.v = 0.0

        def reset(self):
            self.v = 0.0

        def forward(self, x):
            v = 0.5 * self.v + x
            s = (v > 0.3).float()
            self.v = v * (1 - s)
            return s

    assert probe(Bare()) == Neuron(0.3, 0.5, "value", fires_at_equality=False)


def test_state_passed_by_hand():
    class Explicit(nn.Module):
        threshold = 1.0

        def forward(self, x, v):
            v = 0.5 * v + x
            s = (v >= 1.0).float()
            return s, v - s

    assert probe(Explicit()) == Neuron(1.0, 0.5)


def test_multi_step_modules_are_probed_step_by_step_and_not_touched():
    module = Sequenced(Spiking(beta=0.5))
    module.cell.v = torch.ones(3)
    assert probe(module) == Neuron(1.0, 0.5)
    assert module.step_mode == "m" and torch.equal(module.cell.v, torch.ones(3))


@pytest.mark.parametrize("module", [nn.ReLU(), nn.Identity(), nn.Sigmoid(), nn.Conv2d(1, 1, 1), nn.Linear(3, 3)])
def test_modules_without_state_are_no_neurons(module):
    assert probe(module) is None


class Adaptive(Spiking):
    def __init__(self):
        super().__init__()
        self.a = None

    def reset(self):
        super().reset()
        self.a = None

    def forward(self, x):
        a = torch.zeros_like(x) if self.a is None else self.a
        s = super().forward(x - 0.5 * a)
        self.a = 0.8 * a + s
        return s


class Refractory(Spiking):
    def __init__(self):
        super().__init__(reset="value")
        self.wait = None

    def reset(self):
        super().reset()
        self.wait = None

    def forward(self, x):
        wait = torch.zeros_like(x) if self.wait is None else self.wait
        s = super().forward(x * (wait == 0))
        self.wait = torch.where(s > 0, torch.full_like(x, 2.0), (wait - 1).clamp(min=0))
        return s


class Ternary(Spiking):
    """Negative spikes that have nothing to do with the state."""

    def forward(self, x):
        return super().forward(x) - (x < -3).float()


@pytest.mark.parametrize("make", [Adaptive, Refractory, Ternary])
def test_neurons_beyond_the_record_are_refused(make):
    with pytest.raises(UnknownNeuron) as caught:
        probe(make(), where="net.lif")
    assert "net.lif" in str(caught.value) and caught.value.reason


def test_prediction_follows_the_written_equation():
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(-4, 10, (40, 64), generator=generator) / 4
    for options, neuron in CASES.values():
        if options.get("beta") not in (0.5, 0.75, 1.0):
            continue  # exact in binary, so that the comparison is exact
        module = Spiking(**options)
        got = torch.stack([module(row) for row in x.float()])
        assert torch.equal(predict(neuron, x)[0], got.double()), options


def test_a_wrong_comparison_at_the_threshold_is_no_rounding():
    lanes, at = Lanes(Caller(Spiking(beta=0.5)), Form(neurons=(1,))), torch.ones(1)
    assert not disagreement(Neuron(1.0, 0.5), lanes, at, exact=True)
    assert disagreement(Neuron(1.0, 0.5, fires_at_equality=False), lanes, at, exact=True)
