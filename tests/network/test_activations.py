"""Stateless activations are read from their values, with other thresholds in every channel and in both directions."""

import pytest
import torch
from torch import nn

import truejoule as tj
from truejoule.network import drift, read
from truejoule.network.activations import activation
from truejoule.network.execution import Leaf

CHANNELS = 4
T = torch.tensor([-311.5, -0.25, 3.0, 127.0]).view(-1, 1, 1)
DIRECTION = torch.tensor([1.0, -1.0, -1.0, 1.0]).view(-1, 1, 1)
STEP = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(-1, 1, 1)
PER_NEURON = torch.linspace(-50, 50, CHANNELS * 9).view(CHANNELS, 3, 3)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Noted(nn.Module):
    """Remembers its last answer."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, x):
        self.seen += 1
        return torch.where(x > self.seen, 1.0, -1.0)


KINDS = {
    "sign": (torch.sign, Leaf("sign")),
    "sign of zero is one": (lambda x: torch.where(x >= 0, 1.0, -1.0), Leaf("sign")),
    "sign times a scale": (lambda x: 0.5 * torch.sign(x), Leaf("sign", "times 0.5")),
    "sign times a scale per channel": (lambda x: STEP * torch.sign(x), Leaf("sign", "times a scale per channel")),
    "above": (lambda x: torch.where(x > T, 1.0, -1.0), Leaf("sign")),
    "at or above, as arithmetic": (lambda x: 2 * (x >= T).float() - 1, Leaf("sign")),
    "below": (lambda x: torch.where(x < T, 1.0, -1.0), Leaf("sign")),
    "either direction": (lambda x: torch.where(DIRECTION * x > DIRECTION * T, 1.0, -1.0), Leaf("sign")),
    "a threshold per neuron": (lambda x: torch.where(x > PER_NEURON, 2.0, -2.0), Leaf("sign", "times 2")),
    "a channel that never switches": (lambda x: torch.where(x > torch.where(T == 3, 1e9, T), 1.0, -1.0), Leaf("sign")),
    "a channel that never switches, and scales": (
        lambda x: STEP * torch.where(x > torch.where(T == 3, 1e9, T), 1.0, -1.0),
        Leaf("sign", "times a scale per channel"),
    ),
    "ternary": (lambda x: (x > T).float() + (x > T + 5).float() - 1, Leaf("sign", "quantised to 3 levels")),
    "four levels by thresholds": (
        lambda x: sum((x > T + k).float() for k in (0, 20, 30)) - 1.5,
        Leaf("sign", "quantised to 4 levels"),
    ),
    "relu": (lambda x: x.clamp(min=0), Leaf("relu")),
    "counts": (lambda x: sum((x > T + k).float() for k in (0, 20, 30)), Leaf("relu", "quantised to 4 levels")),
    "DoReFa, 2 bit": (lambda x: (x.clamp(0, 1) * 3).round() / 3, Leaf("relu", "quantised to 4 levels")),
    "LSQ per channel": (lambda x: (x / STEP).round().clamp(0, 15) * STEP, Leaf("relu", "quantised to 16 levels")),
    "8-bit quantiser": (lambda x: (x * 16).round().clamp(-127, 127) / 16, Leaf(None, "quantised to 255 levels")),
    "ternary quantiser": (lambda x: x.round().clamp(-1, 1), Leaf(None, "quantised to 3 levels")),
    "identity": (lambda x: x, Leaf(None, "identity")),
    "step": (lambda x: (x > 1).float(), None),
    "tanh": (torch.tanh, None),
    "a steep slope": (lambda x: (x * 1e4).clamp(-1, 1), None),
    "a steep slope in one channel": (lambda x: torch.where(T == 3, (x * 1e4).clamp(-1, 1), torch.sign(x)), None),
    "a window": (lambda x: torch.where(x.abs() > 1, 1.0, -1.0), None),
    "mixes channels": (lambda x: torch.sign(x - x.mean(1, keepdim=True)), None),
    "mixes samples": (lambda x: torch.sign(x - x.mean(0, keepdim=True)), None),
    "constant": (torch.ones_like, None),
    "another shape": (lambda x: torch.sign(x).flatten(1), None),
    "not finite": (lambda x: x / 0, None),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_it_is(name):
    function, expected = KINDS[name]
    assert activation(Function(function), (2, CHANNELS, 3, 3)) == expected


@pytest.mark.parametrize("shape", [(2, 4), (1, 4), (2, 4, 5), (6, 4, 2, 2), (3, 2, 4, 2, 2)])
def test_shapes(shape):
    """Vectors, 1-D and 2-D maps, tensors with time; a threshold for each of the four channels, wherever their axis is."""
    axis = shape.index(4)
    threshold = torch.arange(-2.0, 2.0).view([4 if k == axis else 1 for k in range(len(shape))])
    assert activation(Function(lambda x: torch.where(x > threshold, 1.0, -1.0)), shape) == Leaf("sign")


def test_a_module_that_remembers_is_no_stateless_activation():
    module = Noted()
    assert activation(module, (2, 4)) is None
    assert module.seen == 0


class Net(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.conv, self.act, self.fc = nn.Conv2d(1, CHANNELS, 3, bias=False), act, nn.Linear(CHANNELS * 9, 3)
        self.conv.weight.data = self.conv.weight.data.sign()
        self.fc.weight.data = self.fc.weight.data.sign()

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).flatten(1))


@pytest.mark.parametrize("name", ["above", "below", "either direction", "a threshold per neuron", "ternary"])
def test_in_a_network_it_is_a_layer_and_costs_a_comparison_per_output(name):
    net = Net(Function(KINDS[name][0]))
    workload = tj.observe(net, torch.randint(0, 256, (2, 1, 5, 5)).float())
    assert not workload.not_understood
    assert [layer.name for layer in workload.layers] == ["conv", "act", "fc"] and workload["act"].op == "sign"
    assert workload.sources("act") == ("conv",) and workload.sources("fc") == ("act",)


@pytest.mark.parametrize(
    ("name", "bits"), [("above", 1), ("ternary", 2), ("four levels by thresholds", 3), ("counts", 2)]
)
def test_what_leaves_it_is_as_wide_as_its_levels(name, bits):
    """-1.5, -0.5, 0.5 and 1.5 are odd multiples: 3 bits on the grid of their step."""
    from truejoule.accelerators.sata.cost import out_bits

    workload = tj.observe(Net(Function(KINDS[name][0])), torch.randint(-60, 61, (64, 1, 5, 5)).float())
    assert workload["fc"].input_bits == workload.bits_behind("act") == bits
    assert out_bits(workload, workload["conv"], tj.accelerator("sata").ann_twin(8).structure) == bits


class Around(nn.Module):
    """A neuron whose state the network keeps; only its threshold is a module."""

    def __init__(self, spike):
        super().__init__()
        self.fc, self.spike, self.out = nn.Linear(6, 5), spike, nn.Linear(5, 3)

    def forward(self, x):
        v = torch.zeros(())
        total = torch.zeros(())
        for _ in range(4):
            v = v + self.fc(x)
            spikes = self.spike(v)
            v, total = v - spikes, total + self.out(spikes)
        return total


def test_ternary_spikes_of_a_state_around_the_module_are_a_neuron():
    """The threshold alone looks like a quantiser, and a quantiser leaves no layer."""
    workload = tj.observe(Around(Function(lambda v: (v >= 1).float() - (v <= -1).float())), torch.randn(4, 6))
    assert not workload.not_understood
    [neuron] = [layer for layer in workload.layers if layer.op == "neuron"]
    assert neuron.steps == 4 and neuron.neuron.reset == "subtract" and neuron.neuron.threshold == 1


def test_a_state_whose_answers_are_signs_is_refused_by_name():
    workload = tj.observe(Around(Function(lambda v: torch.where(v >= 1, 1.0, -1.0))), torch.randn(4, 6))
    assert [item.where for item in workload.not_understood] == ["spike"]


def test_one_activation_at_two_places_of_a_residual_block():
    """Its answers come back to its own input, but no time passes: two layers, not a neuron."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
            self.act = Function(lambda x: torch.where(x > 0.25, 1.0, -1.0))

        def forward(self, x):
            x = self.act(self.a(x))
            return self.c(self.act(self.b(x) + x))

    workload = tj.observe(Residual(), torch.randn(4, 6))
    assert not workload.not_understood
    assert [layer.op for layer in workload.layers] == ["linear", "sign", "linear", "add", "sign", "linear"]


def leaky_clip(x):
    return torch.where(x < -1, 0.1 * x - 0.9, torch.where(x > 1, 0.1 * x + 0.9, x))


@pytest.mark.parametrize(
    ("function", "slopes"),
    [
        (lambda x: torch.where(x > 0, x, 0.1 * x), 2),
        (lambda x: torch.where(x > 0.0137, x - 0.0137, 0.25 * (x - 0.0137)), 2),
        (lambda x: torch.where(x > 0, x, x * torch.linspace(0.1, 0.5, 3)), 2),
        (leaky_clip, 3),
    ],
)
def test_straight_pieces_scale_values_like_a_leaky_relu(function, slopes):
    assert activation(Function(function), (2, 3)) == Leaf("norm", f"{slopes} slopes")
    net = nn.Sequential(nn.Linear(4, 3), Function(function), nn.Linear(3, 2))
    network = read(net, torch.randn(2, 4))
    drift(network)
    assert not network.workload.not_understood
    assert [x.op for x in network.workload.layers] == ["linear", "norm", "linear"]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 2 * x,
        lambda x: x.clamp(-1, 1),
        lambda x: x + (x > 0).float(),
        lambda x: torch.where(x > 0, x, -0.1 * x),
        lambda x: x - 0.9 * x.tanh(),
        lambda x: x + 0.3 * x.sin(),
        lambda x: x + 0.001 * x * x,
        lambda x: 0.1 * x + nn.functional.softplus(x, 50),
        nn.functional.gelu,
        nn.functional.elu,
    ],
)
def test_curves_jumps_and_flat_parts_are_no_straight_pieces(function):
    assert activation(Function(function), (2, 3)) is None
