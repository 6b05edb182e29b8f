"""Neurons that a forward pass computes by itself: their record, their place, their spikes and their work."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import truejoule as tj
from truejoule.errors import InputError
from truejoule.network import read
from truejoule.workload import Neuron

SPIKES: dict[str, list[torch.Tensor]] = {}


def note(layer, spikes):
    """What a hook on the value would see."""
    SPIKES.setdefault(str(layer), []).append(spikes.detach().clone())
    return spikes


class Above(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        spikes = torch.zeros_like(x)
        spikes[x > 0] = 1.0
        return spikes

    @staticmethod
    def backward(ctx, grad):
        return grad


class AtLeast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad


# One step of a neuron each: (state or None, input) → (state, spikes). Threshold 0.75, decay 0.5 unless the name says so.


def soft_by_mask(v, x):
    v = 0.5 * v + x if v is not None else x
    u = v / 0.75 - 1.0
    spikes, reset = Above.apply(u), torch.zeros_like(v)
    reset[u > 0] = 0.75
    return v - reset, spikes


def hard_by_product(v, x):
    v = (torch.zeros_like(x) if v is None else v) * 0.5 + x
    spikes = (v > 0.75).float().to(x.dtype)
    return v * (1 - spikes), spikes


def hard_by_choice(v, x):
    v = (torch.zeros_like(x) if v is None else v) * 0.5 + x
    spikes = AtLeast.apply(v - 0.75)
    return torch.where(spikes.bool(), torch.full_like(v, 0.25), v), spikes


def hard_by_filling(v, x):
    v = torch.add(x, torch.zeros_like(x) if v is None else v, alpha=0.5)
    fired = v.ge(0.75)
    return v.masked_fill(fired, 0.0), fired.type_as(x)


def integrate_in_place(v, x):
    v = torch.zeros_like(x) if v is None else v
    v.add_(x)
    spikes = torch.heaviside(v - 0.75, torch.ones((), dtype=x.dtype))
    v.sub_(spikes * 0.75)
    return v, spikes


def late_reset(v, x):
    reset = 0.0 if v is None else torch.logical_not(v <= 0.75).to(x.dtype) * 0.75
    v = x if v is None else 0.5 * v + x - reset
    return v, (v > 0.75).to(x.dtype)


def spikes_before_it_integrates(v, x):
    """The order of hybrid conversion: the spike of a step does not know the input of this step."""
    v = torch.zeros_like(x) if v is None else v
    spikes = Above.apply(v / 0.75 - 1.0)
    return 0.5 * v + x - 0.75 * (v / 0.75 - 1.0 > 0).to(x.dtype), spikes


def with_gain(v, x):
    v = x / 2.0 if v is None else v + (x - v) / 2.0
    spikes = (v >= 0.75).to(x.dtype)
    return v - spikes * 0.75, spikes


def two_a_step(v, x):
    v = x if v is None else 0.5 * v + x
    spikes = (v >= 0.75).to(x.dtype) + (v >= 1.5).to(x.dtype)
    return v - 0.75 * spikes, spikes


def straight_through(v, x):
    """Hard forward, soft backward, written with detach."""
    v = x if v is None else 0.5 * v + x
    hard, soft = (v > 0.75).to(x.dtype), torch.clamp(v, 0.0, 1.0)
    spikes = (hard - soft).detach() + soft
    return v - 0.75 * hard, spikes


def without_reset(v, x):
    v = x if v is None else 0.5 * v + x
    return v, v.gt(0.75) * torch.ones_like(x)


def floored(v, x):
    v = (x if v is None else v + x).clamp(min=-0.5)
    spikes = (v >= 0.75).to(x.dtype)
    return v - spikes * 0.75, spikes


LEAKY = dict(threshold=0.75, decay=0.5)
STYLES = {
    soft_by_mask: Neuron(**LEAKY, fires_at_equality=False),
    hard_by_product: Neuron(**LEAKY, reset="value", fires_at_equality=False),
    hard_by_choice: Neuron(**LEAKY, reset="value", reset_value=0.25),
    hard_by_filling: Neuron(**LEAKY, reset="value"),
    integrate_in_place: Neuron(threshold=0.75),
    late_reset: Neuron(**LEAKY, reset_delay=1, fires_at_equality=False),
    spikes_before_it_integrates: Neuron(**LEAKY, reset_delay=1, fires_at_equality=False),
    with_gain: Neuron(threshold=1.5, decay=0.5),
    two_a_step: Neuron(**LEAKY, max_spikes=2),
    straight_through: Neuron(**LEAKY, fires_at_equality=False),
    without_reset: Neuron(**LEAKY, reset="none", fires_at_equality=False),
    floored: Neuron(threshold=0.75, lower_bound=-0.5),
}


class Net(nn.Module):
    """Two convolutions with norms in a time loop, states in a list; nothing is a module but the layers."""

    def __init__(self, style, steps=4):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.pool, self.fc = nn.AvgPool2d(2), nn.Linear(4 * 9, 3)
        self.style, self.steps = style, steps
        for norm in (self.norm1, self.norm2):
            nn.init.constant_(norm.bias, 0.3)

    def forward(self, x):
        states, total = [None, None], 0.0
        for _ in range(self.steps):
            states[0], a = self.style(states[0], self.norm1(self.conv1(x)))
            states[1], b = self.style(states[1], self.norm2(self.conv2(note(0, a))))
            total = total + self.fc(self.pool(note(1, b)).flatten(1))
        return total / self.steps


def counted_macs(net, x):
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net.eval()(x)
    return counter.get_total_flops() // 2


def measured(network, x):
    """Spike counts per layer and step, against those that the values themselves show; and the output, against the module."""
    SPIKES.clear()
    with torch.no_grad():
        alone = network.module.eval()(x)
    want = {layer: [int((s != 0).sum()) for s in spikes] for layer, spikes in SPIKES.items()}
    assert torch.equal(network.run(x), alone)
    return network.measure(x), want


@pytest.mark.parametrize("style", STYLES, ids=lambda s: s.__name__)
def test_styles(style):
    net, x = Net(style), torch.randn(3, 2, 6, 6) * 1.5
    network = read(net, x)
    workload = network.workload
    assert not workload.not_understood
    neurons = [layer for layer in workload.layers if layer.op == "neuron"]
    assert [n.name for n in neurons] == ["norm1.neuron", "norm2.neuron"]
    assert [n.neuron for n in neurons] == [STYLES[style]] * 2
    assert {layer.op for layer in workload.layers} == {"conv", "norm", "neuron", "avg_pool", "linear"}
    assert workload.macs * 3 == counted_macs(net, x)
    edges = {(e.source, e.target) for e in workload.edges}
    assert edges == {
        ("input", "conv1"),
        ("conv1", "norm1"),
        ("norm1", "norm1.neuron"),
        ("norm1.neuron", "conv2"),
        ("conv2", "norm2"),
        ("norm2", "norm2.neuron"),
        ("norm2.neuron", "pool"),
        ("pool", "fc"),
    }
    lag = style is spikes_before_it_integrates
    for batch in (x, torch.randn(1, 2, 6, 6) * 2, torch.randn(7, 2, 6, 6)):
        activity, want = measured(network, batch)
        for k, n in enumerate(neurons):
            assert list(activity.layers[n.name].nonzero_outputs) == want[str(k)][lag:]
            assert activity.layers[n.name].samples == len(batch)
            assert not lag or want[str(k)][0] == 0


class State(nn.Module):
    """One dense layer and its neuron, with the state kept in different ways."""

    def __init__(self, steps=5, inside=True):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.thresholds = nn.ParameterDict(
            {"a": nn.Parameter(torch.tensor(0.5)), "b": nn.Parameter(torch.tensor(0.25))}
        )
        self.leak = nn.Parameter(torch.tensor(0.875))
        self.steps, self.inside = steps, inside

    def fire(self, v, x, key):
        v = self.leak * v + x
        spikes = Above.apply(v / self.thresholds[key] - 1.0)
        return v - self.thresholds[key] * spikes, note(key, spikes)


class InADict(State):
    def forward(self, x):
        memory = {"a": torch.zeros(len(x), 8), "b": torch.zeros(len(x), 8)}
        total = torch.zeros(len(x), 3)
        for _ in range(self.steps):
            h = x
            for key, layer in (("a", self.fc1), ("b", self.fc2)):
                memory[key], h = self.fire(memory[key], layer(h), key)
            total += self.out(h)
        return total


class InAttributes(State):
    """State lives on the module; made anew at the start of every forward pass, as hybrid conversion does."""

    def start(self, x):
        self.memory = {"a": torch.zeros(len(x), 8), "b": torch.zeros(len(x), 8)}

    def step(self, x):
        self.memory["a"], a = self.fire(self.memory["a"], self.fc1(x), "a")
        self.memory["b"], b = self.fire(self.memory["b"], self.fc2(a), "b")
        return self.out(b)

    def forward(self, x):
        self.start(x)
        return torch.stack([self.step(x) for _ in range(self.steps)]).sum(0)


class OneStepPerCall(InAttributes):
    """The loop is the caller's; the state is whatever the last call left."""

    def __init__(self, clears=True):
        super().__init__()
        self.va = self.vb = None
        self.clears = clears
        if clears:
            self.reset = self.clear

    def clear(self):
        self.va = self.vb = None

    def forward(self, x):
        va, vb = (torch.zeros(len(x), 8) if v is None else v for v in (self.va, self.vb))
        self.va, a = self.fire(va, self.fc1(x), "a")
        self.vb, b = self.fire(vb, self.fc2(a), "b")
        return self.out(b)


SLOW = [Neuron(threshold=t, decay=0.875, fires_at_equality=False) for t in (0.5, 0.25)]


@pytest.mark.parametrize("make", [InADict, InAttributes])
def test_where_the_state_is_kept(make):
    x = torch.randn(4, 6) * 2
    network = read(make(), x)
    neurons = [layer for layer in network.workload.layers if layer.op == "neuron"]
    assert [n.neuron for n in neurons] == SLOW and [n.steps for n in neurons] == [5, 5]
    activity, want = measured(network, x)
    assert [list(activity.layers[n.name].nonzero_outputs) for n in neurons] == [want["a"], want["b"]]


@pytest.mark.parametrize("clears", [True, False])
def test_one_step_per_call(clears):
    net, x = OneStepPerCall(clears), torch.randn(4, 6) * 2
    network = read(net, x, time_steps=5)
    neurons = [layer for layer in network.workload.layers if layer.op == "neuron"]
    assert [n.neuron for n in neurons] == SLOW and network.time_steps == 5
    SPIKES.clear()
    net.clear()
    with torch.no_grad():
        want = sum(net(x) for _ in range(5)) / 5
    counts = {key: [int(s.sum()) for s in spikes] for key, spikes in SPIKES.items()}
    net.clear()
    for _ in range(2):
        assert torch.allclose(sum(network.run(x)) / 5, want)
        activity = network.measure(x)
        assert [list(activity.layers[n.name].nonzero_outputs) for n in neurons] == [counts["a"], counts["b"]]


def test_one_time_step_does_not_show_a_memory():
    workload = read(InADict(steps=1), torch.randn(4, 6)).workload
    assert [n.operation for n in workload.not_understood] == ["threshold"]
    assert "3 or more" in workload.not_understood[0].reason
    workload = read(OneStepPerCall(), torch.randn(4, 6)).workload
    assert "3 or more" in workload.not_understood[0].reason


@pytest.mark.parametrize(
    ("style", "dtype"),
    [
        (soft_by_mask, torch.float64),
        (soft_by_mask, torch.float16),
        (hard_by_choice, torch.bfloat16),
        (integrate_in_place, torch.bfloat16),
    ],
)
def test_other_dtypes(style, dtype):
    net, x = Net(style, steps=3).to(dtype), torch.randn(2, 2, 6, 6).to(dtype)
    network = read(net, x)
    assert [n.neuron for n in network.workload.layers if n.neuron] == [STYLES[style]] * 2
    activity, want = measured(network, x)
    assert list(activity.layers["norm2.neuron"].nonzero_outputs) == want["1"]


class Still(Net):
    """The first convolution runs once; its neuron sees the same input in every step."""

    def forward(self, x):
        current, v, w, total = self.norm1(self.conv1(x)), None, None, 0.0
        for _ in range(self.steps):
            v, a = self.style(v, current)
            w, b = self.style(w, self.norm2(self.conv2(note(0, a))))
            total = total + self.fc(self.pool(note(1, b)).flatten(1))
        return total


STILL = [soft_by_mask, hard_by_filling, late_reset, spikes_before_it_integrates, without_reset]


@pytest.mark.parametrize("style", STILL, ids=lambda s: s.__name__)
def test_an_input_that_stands_still(style):
    x = torch.randn(2, 2, 6, 6)
    network = read(Still(style), x)
    neurons = [layer for layer in network.workload.layers if layer.op == "neuron"]
    assert [n.neuron for n in neurons] == [STYLES[style]] * 2
    assert network.workload["conv1"].steps == 1 and neurons[0].steps == 4
    activity, want = measured(network, x)
    for k, n in enumerate(neurons):
        assert list(activity.layers[n.name].nonzero_outputs) == want[str(k)][style is spikes_before_it_integrates :]


class Residual(nn.Module):
    """A spiking block: a sum of a norm and earlier spikes enters the second neuron."""

    def __init__(self, style=soft_by_mask, steps=3):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.head, self.style, self.steps = nn.Linear(4, 3), style, steps

    def forward(self, x):
        v = w = None
        total = 0.0
        for _ in range(self.steps):
            v, a = self.style(v, self.conv1(x))
            w, b = self.style(w, self.norm(self.conv2(a)) + a)
            total = total + self.head(note(0, b + a).mean((2, 3)))
        return total


@pytest.mark.parametrize("style", [soft_by_mask, late_reset, straight_through], ids=lambda s: s.__name__)
def test_residual_blocks(style):
    x = torch.randn(2, 2, 5, 5) * 2
    network = read(Residual(style), x)
    workload = network.workload
    assert not workload.not_understood
    neurons = [layer for layer in workload.layers if layer.op == "neuron"]
    assert [n.neuron for n in neurons] == [STYLES[style]] * 2
    assert sum(layer.op == "add" for layer in workload.layers) == 2
    assert set(workload.sources(neurons[1].name)) == {"add"}
    activity, _ = measured(network, x)
    assert activity.layers["conv2"].nonzero_inputs == activity.layers[neurons[0].name].nonzero_outputs


class AllToAll(nn.Module):
    """A recurrent neuron that holds its own weights, as snnTorch's RLeaky does."""

    def __init__(self):
        super().__init__()
        self.recurrent = nn.Linear(6, 6)

    def forward(self, x, spikes, v):
        v = 0.75 * v + x + self.recurrent(spikes) - 0.5 * (v > 0.5).float()
        return (v > 0.5).float(), v


class Recurrent(nn.Module):
    def __init__(self, steps=5):
        super().__init__()
        self.fc1, self.cell, self.fc2, self.steps = nn.Linear(4, 6), AllToAll(), nn.Linear(6, 2), steps

    def forward(self, x):
        spikes, v, outs = torch.zeros(len(x), 6), torch.zeros(len(x), 6), []
        for _ in range(self.steps):
            spikes, v = self.cell(self.fc1(x), note(0, spikes), v)
            outs.append(self.fc2(spikes))
        return torch.stack(outs).mean(0)


def test_a_recurrent_neuron_with_weights():
    net, x = Recurrent(), torch.randn(3, 4)
    network = read(net, x)
    workload = network.workload
    assert not workload.not_understood
    neuron = workload["cell"]
    assert neuron.neuron == Neuron(threshold=0.5, decay=0.75, reset_delay=1, fires_at_equality=False)
    edges = {(e.source, e.target): e.recurrent for e in workload.edges}
    assert edges[("cell", "cell.recurrent")] and not edges[("cell.recurrent", "cell")] and not edges[("fc1", "cell")]
    assert workload.macs * 3 == counted_macs(net, x)
    activity, want = measured(network, x)
    assert list(activity.layers["cell"].nonzero_outputs)[:-1] == want["0"][1:]
    assert activity.layers["cell"].nonzero_outputs == activity.layers["fc2"].nonzero_inputs


class OverTime(nn.Module):
    """Convolution on all steps at once, the neuron in a loop over slices of what it gave."""

    def __init__(self, axis):
        super().__init__()
        self.conv, self.head, self.axis = nn.Conv2d(2, 4, 3), nn.Linear(4 * 9, 2), axis

    def forward(self, x):
        y = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        v, spikes = None, []
        for step in range(x.shape[self.axis]):
            v, s = soft_by_mask(v, y.select(self.axis, step))
            spikes.append(note(0, s))
        return self.head(torch.stack(spikes, self.axis).flatten(2)).mean(self.axis)


@pytest.mark.parametrize("axis", [0, 1])
def test_slices_of_one_tensor(axis):
    x = torch.randn(*((4, 3) if axis == 0 else (3, 4)), 2, 5, 5) * 2
    network = read(OverTime(axis), x, time_axis=axis)
    neuron = next(layer for layer in network.workload.layers if layer.op == "neuron")
    assert neuron.neuron == STYLES[soft_by_mask] and neuron.steps == 4
    activity, want = measured(network, x)
    assert list(activity.layers[neuron.name].nonzero_outputs) == want["0"]


@pytest.mark.parametrize("maps", [False, True])
def test_constants_per_channel(maps):
    class PerChannel(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(2, 4, 3) if maps else nn.Linear(6, 4)
            self.levels = nn.Parameter(
                torch.tensor([0.25, 0.5, 0.75, 1.0]).reshape(4, 1, 1) if maps else torch.arange(1, 5) / 4
            )
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            v, total = 0.0, 0.0
            for _ in range(4):
                v = 0.5 * v + self.layer(x)
                s = (v > self.levels).float()
                v = v - s * self.levels
                total = total + self.head(note(0, s).mean((2, 3)) if maps else note(0, s))
            return total

    x = torch.randn(3, 2, 5, 5) * 2 if maps else torch.randn(3, 6)
    network = read(PerChannel(), x)
    found = network.workload["layer.neuron"].neuron
    assert found == Neuron(threshold=(0.25, 0.5, 0.75, 1.0), decay=0.5, fires_at_equality=False)
    activity, want = measured(network, x)
    assert list(activity.layers["layer.neuron"].nonzero_outputs) == want["0"]


def test_spikes_that_come_too_late_for_the_output_are_counted():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            states, total = [None] * 3, 0.0
            for _ in range(4):
                h = x
                for k, layer in enumerate(self.layers):
                    states[k], spikes = spikes_before_it_integrates(states[k], layer(h))
                    h = note(k, spikes)
                total = total + self.head(h)
            return total

    network = read(Deep(), torch.randn(4, 6) * 2)
    activity, want = measured(network, torch.randn(4, 6) * 4)
    for k in range(3):
        assert list(activity.layers[f"layers.{k}.neuron"].nonzero_outputs) == want[str(k)][1:]
    edges = {(e.source, e.target) for e in network.workload.edges}
    assert ("layers.0.neuron", "layers.1") in edges and ("layers.0", "layers.1") not in edges


# what no record can say


class Adaptive(State):
    """The threshold rises with every spike."""

    def forward(self, x):
        v, extra, total = torch.zeros(len(x), 8), torch.zeros(len(x), 8), 0.0
        for _ in range(6):
            v = 0.9 * v + self.fc1(x)
            s = (v > 0.5 + extra).float()
            extra = 0.5 * extra + 0.5 * s
            v = v - 0.5 * s
            total = total + self.out(s)
        return total


class PerSample(State):
    """Every sample has a threshold of its own."""

    def forward(self, x):
        v, total = torch.zeros(len(x), 8), 0.0
        levels = torch.arange(1.0, len(x) + 1)[:, None]
        for _ in range(4):
            v = v + self.fc1(x)
            s = (v > levels).float()
            v, total = v - s * levels, total + self.out(s)
        return total


class OneBuffer(State):
    """All states in one tensor, written in parts."""

    def forward(self, x):
        v, total = torch.zeros(2, len(x), 8), 0.0
        for _ in range(4):
            v[0] = v[0] + self.fc1(x)
            s = (v[0] > 0.5).float()
            v[0] = v[0] - 0.5 * s
            total = total + self.out(s)
        return total


class Potential(State):
    """The membrane goes on to the next layer beside the spikes."""

    def forward(self, x):
        v, total = torch.zeros(len(x), 8), 0.0
        for _ in range(4):
            v = 0.5 * v + self.fc1(x)
            s = (v > 0.5).float()
            total = total + self.out(s) + self.fc2(v).sum(1, keepdim=True)
            v = v - 0.5 * s
        return total


class Coupled(State):
    """A neuron is reset when its neighbour fires."""

    def forward(self, x):
        v, total = torch.zeros(len(x), 8), 0.0
        for _ in range(4):
            v = v + self.fc1(x)
            s = (v > 0.5).float()
            v, total = v - s.roll(1, 1), total + self.out(s)
        return total


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Adaptive, "nearest record"),
        (PerSample, "from sample to sample"),
        (OneBuffer, "not elementwise"),
        (Potential, "membrane potential is used as data"),
        (Coupled, ""),
    ],
)
def test_what_no_record_can_say_is_refused(make, why):
    workload = read(make(), torch.randn(3, 6)).workload
    reasons = [n.reason for n in workload.not_understood if n.operation == "threshold"]
    assert reasons and all(why in r for r in reasons), reasons
    assert not any(layer.op == "neuron" for layer in workload.layers)


def test_another_path_than_with_the_example_is_refused():
    class Moody(State):
        def forward(self, x):
            v, total = torch.zeros(len(x), 8), 0.0
            for _ in range(3):
                v = v + self.fc1(x)
                if x.max() > 50:
                    v = v * 0.5
                    w = v - 0.25 * (v > 1.0).float()
                    v = torch.where(w > v, w, v)
                s = (v > 0.5).float()
                v, total = v - 0.5 * s, total + self.out(s)
            return total

    network = read(Moody(), torch.randn(3, 6))
    assert not network.workload.not_understood
    with pytest.raises(InputError, match="another path"):
        network.measure(torch.full((3, 6), 100.0))


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = None

    def reset(self):
        self.v = None

    def forward(self, x):
        self.v, spikes = soft_by_mask(self.v, x)
        return spikes


class Dense(nn.Module):
    """The same network with a neuron module or without."""

    def __init__(self, cell):
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b, self.cell = nn.Linear(6, 8), nn.Linear(8, 3), Cell() if cell else None

    def forward(self, x):
        v, total = None, 0.0
        for _ in range(4):
            if self.cell is not None:
                spikes = self.cell(self.a(x))
            else:
                v, spikes = soft_by_mask(v, self.a(x))
            total = total + self.b(spikes)
        return total


@pytest.mark.parametrize("machine", ["sata", pytest.param("spikeflow", marks=pytest.mark.slow)])
def test_it_costs_what_the_same_neuron_in_a_module_costs(machine):
    x = torch.randint(0, 2, (8, 6)).float()
    data = [(x, torch.zeros(8, dtype=torch.long))]
    one, other = (tj.evaluate(Dense(cell), tj.accelerator(machine), data=data) for cell in (False, True))
    assert one.cost.energy_j == pytest.approx(other.cost.energy_j, rel=1e-9)
    assert one.cost.latency_s == pytest.approx(other.cost.latency_s, rel=1e-9)
    assert one.accuracy == other.accuracy


def test_a_neuron_behind_a_relu_and_a_scale():
    class Scaled(State):
        def forward(self, x):
            v, total = torch.zeros(len(x), 8), 0.0
            for _ in range(4):
                v = v + F.relu(self.fc1(x)) * 0.5
                s = (v >= 1.0).float()
                v, total = v - s, total + self.out(s)
            return total

    workload = read(Scaled(), torch.randn(3, 6)).workload
    assert [(layer.name, layer.op) for layer in workload.layers] == [
        ("fc1", "linear"),
        ("relu", "relu"),
        ("relu.neuron", "neuron"),
        ("out", "linear"),
    ]
    assert workload["relu.neuron"].neuron == Neuron(threshold=1.0)
