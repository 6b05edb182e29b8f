"""Zeros of a training step, counted again by hand with plain autograd."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import truejoule as tj
from truejoule.errors import InputError
from truejoule.network import training_step
from truejoule.training.neurons import LIF


class Net(nn.Module):
    """Two layers and a neuron, three steps."""

    def __init__(self, neuron):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.spike, self.b = nn.Linear(6, 20), neuron, nn.Linear(20, 3)

    def forward(self, x):
        return sum(self.b(self.spike(self.a(x))) for _ in range(3)) / 3


X = torch.rand(5, 6, generator=torch.Generator().manual_seed(1))
X[:, 2] = 0.0
Y = torch.tensor([0, 1, 2, 0, 1])


def test_zeros_by_hand():
    net = Net(LIF())
    found = training_step(tj.read(net, X), X, Y, functional.cross_entropy)
    net.spike.reset()
    currents, spikes = [], []
    for _ in range(3):
        currents.append(net.a(X))
        spikes.append(net.spike(currents[-1]))
    outputs = [net.b(s) for s in spikes]
    loss = functional.cross_entropy(sum(outputs) / 3, Y)
    gradients = torch.autograd.grad(loss, [*currents, *outputs], retain_graph=True)
    net.spike.reset()

    def share(values):
        return tuple(float((v == 0).float().mean()) for v in values)

    assert found.spike["a"] == pytest.approx(share([X] * 3))
    assert found.spike["b"] == pytest.approx(share(spikes))
    assert found.membrane_gradient["a"] == pytest.approx(share(gradients[:3]))
    assert found.membrane_gradient["b"] == pytest.approx(share(gradients[3:]))
    derivatives = [torch.autograd.grad(s.sum(), c, retain_graph=True)[0] for s, c in zip(spikes, currents, strict=True)]
    assert found.surrogate["spike"] == pytest.approx(share(derivatives))
    assert "5 samples" in found.origin


def test_the_network_is_left_alone():
    net = Net(LIF()).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    training_step(tj.read(net, X), X, Y, functional.cross_entropy)
    assert not net.training and all(p.grad is None for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Hard(nn.Module):
    """A neuron without a surrogate gradient."""

    def __init__(self):
        super().__init__()
        self.reset()

    def reset(self):
        self.v = None

    def forward(self, x):
        v = x if self.v is None else 0.5 * self.v + x
        s = (v >= 1.0).float()
        self.v = (v - s).detach()
        return s


@pytest.mark.parametrize(
    "neuron, loss, words",
    [
        (Hard(), functional.cross_entropy, ["no gradient reaches", "a"]),
        (LIF(), lambda out, y: out, ["not a finite number"]),
        (LIF(), lambda out, y: out.sum() * float("nan"), ["not a finite number"]),
        (LIF(), lambda out, y: out.detach().sum(), ["no gradient"]),
    ],
)
def test_errors(neuron, loss, words):
    with pytest.raises(InputError) as error:
        training_step(tj.read(Net(neuron), X), X, Y, loss)
    for word in words:
        assert word in str(error.value)
