"""Membranes that never fire and are the answer: no neuron layer, listed as what they are, and refused in front of a layer with weights."""

import pytest
import torch
from nets import Spiking
from sequence_neurons import Loop
from torch import nn

from truejoule.network import drift, probe, read
from truejoule.network.probe import examine
from truejoule.workload import Neuron


class Integrator(nn.Module):
    """A leaky state that is the answer, and no threshold."""

    def __init__(self, beta=0.9, gain=1.0):
        super().__init__()
        self.beta, self.gain, self.v = beta, gain, 0.0

    def reset(self):
        self.v = 0.0

    def forward(self, x):
        self.v = self.beta * self.v + self.gain * x
        return self.v


class Unreachable(nn.Module):
    """Answers (spikes, membrane); the threshold is out of reach, or there is none."""

    def __init__(self, threshold=1e5, beta=0.9):
        super().__init__()
        self.threshold, self.beta = threshold, beta

    def forward(self, x, v):
        v = self.beta * v + x
        s = (v > self.threshold).to(x.dtype)
        return s, v - s * self.threshold if self.threshold < float("inf") else v


class Accumulator(nn.Module):
    """Adds up a whole sequence in one call, and answers the sum after every step."""

    def forward(self, x):
        return x.cumsum(1)


@pytest.mark.parametrize(
    ("make", "shape", "time"),
    [
        (Integrator, (2, 6), None),
        (lambda: Integrator(1.0, 0.5), (2, 6, 4, 4), None),
        (Unreachable, (2, 6), None),
        (lambda: Unreachable(float("inf")), (2, 6), None),
        (Accumulator, (2, 5, 6), 1),
    ],
)
def test_they_are_told_from_neurons(make, shape, time):
    found = examine(make(), shape=shape)
    assert found is not None and found.neuron is None and found.form.time == time
    assert probe(make(), shape=shape) is None


def test_a_neuron_that_answers_its_membrane_too_stays_a_neuron():
    assert probe(Unreachable(1.0)) == Neuron(1.0, 0.9, fires_at_equality=False)


@pytest.mark.parametrize("module", [nn.Identity(), nn.Dropout(), nn.ReLU(), nn.BatchNorm2d(6)])
def test_a_module_without_memory_is_no_read_out(module):
    assert examine(module.eval(), shape=(2, 6, 4, 4)) is None


class Net(nn.Module):
    def __init__(self, last, steps=4, after=None):
        super().__init__()
        self.fc1, self.lif, self.fc2, self.last, self.steps = nn.Linear(8, 6), Spiking(), nn.Linear(6, 3), last, steps
        self.after = after

    def forward(self, x):
        v = None
        for _ in range(self.steps):
            current = self.fc2(self.lif(self.fc1(x)))
            if isinstance(self.last, Unreachable):
                _, v = self.last(current, torch.zeros_like(current) if v is None else v)
            else:
                v = self.last(current)
        return v if self.after is None else self.after(v)


@pytest.mark.parametrize("last", [Integrator, Unreachable, lambda: Unreachable(float("inf"))])
def test_a_read_out_at_the_end_is_listed_and_not_refused(last):
    network = read(Net(last()), torch.rand(3, 8) * 3)
    drift(network)
    w = network.workload
    assert not w.not_understood and w.time_steps == 4 and w.macs == 4 * (48 + 18)
    assert [(x.name, x.op, x.note) for x in w.layers if x.op in ("neuron", "host")] == [
        ("lif", "neuron", ""),
        ("last", "host", "membrane read-out"),
    ]
    assert ("fc2", "last") in {(e.source, e.target) for e in w.edges}


def test_a_read_out_in_front_of_weights_is_refused_by_name():
    network = read(Net(Integrator(), after=nn.Linear(3, 2)), torch.rand(3, 8))
    (refused,) = network.workload.not_understood
    assert (refused.where, refused.operation) == ("last", "membrane read-out")
    assert "in front of a layer with weights" in refused.reason


def test_a_last_sequence_neuron_is_still_a_neuron():
    found = examine(Loop(1), shape=(2, 5, 6))
    assert found is not None and found.neuron is not None
