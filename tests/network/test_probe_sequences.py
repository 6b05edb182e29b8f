"""Neurons that loop over T inside one call, on either time axis, for any or one T: found from behaviour, read right in a network."""

import pytest
import torch
from nets import Spiking
from sequence_neurons import Flat, Known, Loop, Net
from torch import nn

from truejoule.errors import InputError
from truejoule.network import UnknownNeuron, drift, predict, probe, read
from truejoule.network.forms import Form
from truejoule.network.probe import examine
from truejoule.workload import Neuron

HARD = Neuron(1.0, 0.5, "value")
MODULES = {
    "second axis": (lambda: Loop(1), Form(1, neurons=(1, 1, 1)), (2, 3, 6, 4, 4)),
    "first axis": (lambda: Loop(0), Form(0, neurons=(1, 1, 1)), (3, 2, 6, 4, 4)),
    "second axis, T known": (lambda: Known(3, 1), Form(1, steps=3, neurons=(1, 1, 1)), (2, 3, 6, 4, 4)),
    "first axis, T known": (lambda: Known(3, 0), Form(0, steps=3, neurons=(1, 1, 1)), (3, 2, 6, 4, 4)),
    "vectors": (lambda: Loop(1), Form(1, neurons=(1,)), (2, 3, 7)),
    "time-major, T known": (lambda: Flat(0, 3), Form(0, True, 3, neurons=(1, 1, 1)), (6, 6, 4, 4)),
    "sample-major, T known": (lambda: Flat(1, 3), Form(1, True, 3, neurons=(1, 1, 1)), (6, 6, 4, 4)),
    "time-major, N known": (lambda: Flat(0, samples=2), Form(0, True, None, 2, (1, 1, 1)), (6, 6, 4, 4)),
    "sample-major, N known": (lambda: Flat(1, samples=2), Form(1, True, None, 2, (1, 1, 1)), (6, 6, 4, 4)),
    "one step per call": (lambda: Spiking(reset="value"), Form(None, neurons=(1, 1, 1)), (6, 6, 4, 4)),
}


@pytest.mark.parametrize("case", MODULES)
def test_the_time_axis_is_found_from_who_acts_on_whom(case):
    make, form, shape = MODULES[case]
    found = examine(make(), shape=shape)
    assert found is not None and found.form == form and found.neuron == HARD


@pytest.mark.parametrize("axis", [0, 1])
def test_without_a_shape_two_axes_are_tried(axis):
    assert probe(Loop(axis, thresh=0.7, tau=0.25, soft=True)) == Neuron(0.7, 0.25)


def test_a_short_memory_shows_close_to_the_threshold():
    found = examine(Loop(1, tau=0.02), shape=(2, 4, 3, 2, 2))
    assert found is not None and found.form.time == 1 and found.neuron == Neuron(1.0, 0.02, "value")


class Backwards(Loop):
    def forward(self, x):
        return super().forward(x.flip(self.axis)).flip(self.axis)


class Diagonal(Loop):
    """Carries its state to the next step and to the next sample."""

    def forward(self, x):
        mem, out = torch.zeros_like(x[:, 0]), []
        for frame in x.unbind(1):
            mem = mem.roll(1, 0) * 0.5 + frame
            spike = (mem >= 1).float()
            mem = mem * (1 - spike)
            out.append(spike)
        return torch.stack(out, 1)


@pytest.mark.parametrize("make", [Backwards, Diagonal])
def test_what_mixes_more_than_time_steps_is_no_neuron(make):
    assert examine(make(), shape=(2, 4, 3, 2, 2)) is None


@pytest.mark.parametrize(
    "module", [nn.ReLU(), nn.Softmax(1), nn.Softmax(0), nn.LayerNorm(4), nn.Flatten(0), nn.Dropout()]
)
def test_other_modules_are_no_neurons(module):
    assert examine(module.eval(), shape=(2, 3, 4, 4)) is None


NETS = {
    "(N, T, ...)": lambda: Net(Loop(1), Loop(1, soft=True), 1),
    "(T, N, ...)": lambda: Net(Loop(0), Loop(0, soft=True), 0),
    "(N, T, ...), T known": lambda: Net(Known(3, 1), Known(3, 1, soft=True), 1),
    "(T·N, ...)": lambda: Net(Flat(0, 3), Flat(0, 3, soft=True), 0, flat=True),
    "(N·T, ...)": lambda: Net(Flat(1, 3), Flat(1, 3, soft=True), 1, flat=True),
}


@pytest.mark.parametrize(
    ("case", "samples"),  # 3: as many samples as time steps
    [*zip(NETS, (3, 3, 1, 2, 3), strict=True), ("(N, T, ...)", 1), ("(T, N, ...)", 2)],
)
def test_networks_are_read_with_their_time_steps(case, samples):
    net = NETS[case]()
    x = torch.rand(samples, 2, 4, 4) * 2
    network = read(net, x)
    drift(network)
    w = network.workload
    assert (w.time_steps, w.macs, w.not_understood) == (3, 3 * (6 * 16 * 18 + 96 * 5), ())
    assert w["one"].neuron == HARD and w["two"].neuron == Neuron(1.0, 0.5)
    assert w["one"].input_shape == (6, 4, 4) and w["fc"].input_bits == 1
    # spikes per step, against a loop over time written here
    current = net.conv(x).detach()
    want = predict(HARD, current.expand(3, -1, -1, -1, -1))[0]
    activity = network.measure(x).layers["one"]
    assert list(activity.nonzero_outputs) == want.flatten(1).sum(1).tolist()
    assert len(set(activity.nonzero_outputs)) > 1


def test_neurons_along_the_axis_of_the_samples_are_refused():
    """Layers say (T, N, ...) by their example, neurons loop over the other axis."""

    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lif, self.fc = nn.Conv2d(2, 4, 3), Loop(1), nn.Linear(16, 3)

        def forward(self, x):
            y = self.lif(torch.stack([self.conv(frame) for frame in x]))
            return torch.stack([self.fc(frame.flatten(1)) for frame in y])

    with pytest.raises(InputError, match="samples"):
        read(Wrong(), torch.rand(5, 2, 2, 4, 4) * 3)


def test_unknown_sequences_are_refused_by_name():
    class Doubling(Loop):
        def forward(self, x):
            mem, out = 0.0, []
            for frame in x.unbind(1):
                mem = mem * 0.5 + frame
                spike = (mem >= 1).float()
                mem = mem * (1 - spike) + 2 * spike * frame
                out.append(spike)
            return torch.stack(out, 1)

    with pytest.raises(UnknownNeuron, match="fits no reset"):
        probe(Doubling(), where="lif", shape=(2, 4, 3))
