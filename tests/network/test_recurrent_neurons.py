"""Recurrent neurons: a layer inside reads the neuron's own last spikes; it is a layer of its own, with its products and a recurrent edge."""

import pytest
import torch
from torch import nn

from truejoule.network import drift, predict, read
from truejoule.workload import Edge, Neuron


class AllToAll(nn.Module):
    """State passed by hand: (spikes, last spikes, membrane)."""

    def __init__(self, features=6, beta=0.75, threshold=1.0):
        super().__init__()
        self.recurrent, self.beta, self.threshold = nn.Linear(features, features), beta, threshold

    def forward(self, x, spikes=None, v=None):
        if v is None:
            spikes, v = torch.zeros_like(x), torch.zeros_like(x)
        v = self.beta * v + x + self.recurrent(spikes)
        s = (v >= self.threshold).float()
        return s, s, v - s * self.threshold


class InLoop(nn.Module):
    """The same over a whole sequence (N, T, F) in one call; with a convolution for maps."""

    def __init__(self, inner, beta=0.75):
        super().__init__()
        self.inner, self.beta, self.threshold = inner, beta, 1.0

    def forward(self, x):
        v, s, out = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0]), []
        for frame in x.unbind(1):
            v = self.beta * v + frame + self.inner(s)
            s = (v >= self.threshold).float()
            v = v - s * self.threshold
            out.append(s)
        return torch.stack(out, 1)


class FromMembrane(AllToAll):
    """The inner layer reads the membrane: no spikes travel, and no record holds that."""

    def forward(self, x, spikes=None, v=None):
        v = torch.zeros_like(x) if v is None else v
        v = self.beta * v + x + self.recurrent(v)
        s = (v >= self.threshold).float()
        return s, s, v - s * self.threshold


class Scaled(AllToAll):
    """The inner layer changes the threshold instead of the input."""

    def forward(self, x, spikes=None, v=None):
        if v is None:
            spikes, v = torch.zeros_like(x), torch.zeros_like(x)
        v = self.beta * v + x
        s = (v >= self.threshold + self.recurrent(spikes).abs()).float()
        return s, s, v - s * self.threshold


WANT = Neuron(1.0, 0.75)


class Stepped(nn.Module):
    def __init__(self, steps=4):
        super().__init__()
        self.steps, self.fc, self.lif, self.out = steps, nn.Linear(8, 6), AllToAll(), nn.Linear(6, 3)

    def forward(self, x):
        state, total = (), 0.0
        for _ in range(self.steps):
            s, *state = self.lif(self.fc(x), *state)
            total = total + self.out(s)
        return total


class Sequence(nn.Module):
    def __init__(self, steps=4):
        super().__init__()
        self.steps, self.fc, self.lif, self.out = steps, nn.Linear(8, 6), InLoop(nn.Linear(6, 6)), nn.Linear(6, 3)

    def forward(self, x):
        x = x.unsqueeze(1).expand(-1, self.steps, -1)
        return self.out(self.lif(self.fc(x))).sum(1)


@pytest.mark.parametrize(("inner", "samples"), [("lif.recurrent", 2), ("lif.inner", 5)])
def test_the_inner_layer_is_there_with_its_products_and_a_recurrent_edge(inner, samples):
    net = Stepped() if inner == "lif.recurrent" else Sequence()
    network = read(net, torch.randn(samples, 8) * 3)
    drift(network)
    w = network.workload
    assert not w.not_understood and w.time_steps == 4
    assert w.macs == 4 * (48 + 36 + 18) and w[inner].macs == 36 and w[inner].steps == 4 and w[inner].input_bits == 1
    assert w["lif"].neuron == WANT and w["lif"].steps == 4
    assert {Edge(inner, "lif"), Edge("lif", inner, recurrent=True), Edge("fc", "lif"), Edge("lif", "out")} <= set(
        w.edges
    )
    # activity of the inner layer: the spikes of the step before
    layers = network.measure(network.example).layers
    spikes = list(layers["lif"].nonzero_outputs)
    assert list(layers[inner].nonzero_inputs) == [0, *spikes[:-1]] and sum(spikes) > 0


@pytest.mark.parametrize("make", [FromMembrane, Scaled])
def test_a_layer_that_reads_or_changes_something_else_is_refused(make):
    class Net(Stepped):
        def __init__(self):
            super().__init__()
            self.lif = make()

    assert read(Net(), torch.randn(3, 8)).workload.not_understood


def test_the_inner_layer_can_be_computed_by_somebody_else():
    network = read(Stepped(), torch.randn(2, 8) * 3)
    calls = []

    def twice(call):
        calls.append(call.name)
        return call.compute() * (2.0 if call.name == "lif.recurrent" else 1.0)

    changed = network.run(network.example, twice)
    assert calls.count("lif.recurrent") == 4
    with torch.no_grad():
        network.module.lif.recurrent.weight.mul_(2.0)
        network.module.lif.recurrent.bias.mul_(2.0)
    assert torch.equal(changed, network.run(network.example))


def test_prediction_with_the_feedback_added():
    net = AllToAll()
    x, state, got, total = torch.randn(10, 5, 6), (), [], []
    with torch.no_grad():
        for frame in x:
            total.append(frame + net.recurrent(got[-1] if got else torch.zeros(5, 6)))
            s, *state = net(frame, *state)
            got.append(s)
    assert torch.equal(predict(WANT, torch.stack(total))[0], torch.stack(got).double())
