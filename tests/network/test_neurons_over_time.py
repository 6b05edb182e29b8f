"""Neurons whose membrane is a filter over time or a sum of several steps: read as neurons, or refused by name; they never vanish."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import truejoule as tj
from truejoule.errors import InputError
from truejoule.network import drift, read
from truejoule.workload import Neuron

T, N = 4, 3


class Filter(nn.Module):
    """A membrane without a reset, computed as a causal convolution with the powers of its decay; (T, N, F)."""

    def __init__(self, decay):
        super().__init__()
        self.decay = nn.Parameter(torch.as_tensor(decay))

    def forward(self, x):
        steps, _, neurons = x.shape
        powers = self.decay.expand(neurons).unsqueeze(1) ** torch.arange(steps)
        padded = F.pad(x.permute(1, 2, 0), (steps - 1, 0))
        membrane = F.conv1d(padded, powers.flip(1).unsqueeze(1), groups=neurons).permute(2, 0, 1)
        return (membrane > 1).to(x.dtype), membrane


class Net(nn.Module):
    """linear → neuron → linear → neuron, and the mean over time."""

    def __init__(self, neuron):
        super().__init__()
        self.fc1, self.one, self.fc2, self.two = nn.Linear(12, 7), neuron(7), nn.Linear(7, 5), neuron(5)
        with torch.no_grad():
            self.fc1.weight *= 4
            self.fc2.weight *= 4

    def forward(self, x):
        x = self.one(self.fc1(x))
        x = self.two(self.fc2(x[0] if isinstance(x, tuple) else x))
        return (x[0] if isinstance(x, tuple) else x).mean(0)


def example():
    return torch.rand(T, N, 12, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("options", [{}, {"time_axis": 0}, {"time_axis": 0, "time_steps": T}])
@pytest.mark.parametrize("decay", [0.875, [0.5, 0.75, 0.875, 1.0, 0.5]])
def test_a_filter_over_time_is_a_neuron_without_a_reset(decay, options):
    torch.manual_seed(0)
    net = Net(lambda width: Filter(decay if isinstance(decay, float) else torch.tensor((decay * 2)[:width])))
    spikes = {}
    for name in ("one", "two"):
        net.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: spikes.__setitem__(name, int(out[0].sum()))
        )
    net(example())
    right = dict(spikes)
    assert all(right.values())
    network = read(net, example(), **options)
    drift(network)
    workload = network.workload
    assert not workload.not_understood and workload.time_steps == T
    assert [(x.name, x.op, x.steps) for x in workload.layers] == [
        ("fc1", "linear", T),
        ("one", "neuron", T),
        ("fc2", "linear", T),
        ("two", "neuron", T),
    ]
    assert workload["fc1"].macs == 12 * 7 and workload.macs == T * (12 * 7 + 7 * 5)  # the filter is the neuron's own
    neuron = workload["one"].neuron
    assert isinstance(neuron, Neuron) and neuron.reset == "none"
    assert neuron.decay == pytest.approx(decay if isinstance(decay, float) else tuple((decay * 2)[:7]), abs=1e-3)
    activity = network.measure(example())
    assert {name: sum(activity.layers[name].nonzero_outputs) for name in right} == right
    for machine in ("sata", "spikeflow"):
        chip = tj.accelerator(machine)
        try:
            assert chip.cost(chip.map(workload.with_activity(activity)), activity).energy_j > 0
        except InputError as refusal:
            assert "one" in str(refusal)


WEIGHTS = torch.linspace(0.2, 1.1, T * T).reshape(T, T)
RULES = {
    "matrix from the left": lambda w, x: ((torch.addmm(-torch.ones(T, 1), w, x.flatten(1))) >= 0).float().view(x.shape),
    "matrix of the last axis": lambda w, x: (F.linear(x.movedim(0, -1), w).movedim(-1, 0) >= 1).float(),
    "product and sum": lambda w, x: ((w[:, :, None, None] * x).sum(1) >= 1).float(),
    "einsum": lambda w, x: (torch.einsum("ts,snf->tnf", w, x) >= 1).float(),
    "windows": lambda w, x: ((F.pad(x, (0, 0, 0, 0, 3, 0)).unfold(0, 4, 1) * w[0]).sum(-1) >= 1).float(),
    "shifted": lambda w, x: ((x + 0.5 * torch.cat([torch.zeros_like(x[:1]), x[:-1]])) >= 1).float(),
    "shifted by slices": lambda w, x: ((lambda y: 0.5 * y[:-1] + y[1:])(F.pad(x, (0, 0, 0, 0, 1, 0))) >= 1).float(),
    "in a circle": lambda w, x: ((0.5 * x.roll(1, 0) + x) >= 1).float(),
    "running sum": lambda w, x: (x.cumsum(0) >= 1).float(),
    "convolution": lambda w, x: (
        F.conv1d(F.pad(x.permute(1, 2, 0), (2, 1)), w[:1].expand(x.shape[2], 1, T), groups=x.shape[2]).permute(2, 0, 1)
        >= 1
    ).float(),
    "pool over time": lambda w, x: (
        F.avg_pool1d(F.pad(x.permute(1, 2, 0), (0, 1)), 2, 1).permute(2, 0, 1) >= 0.3
    ).float(),
}


class Over(nn.Module):
    def __init__(self, rule):
        super().__init__()
        self.w, self.rule = nn.Parameter(WEIGHTS.clone()), rule

    def forward(self, x):
        return self.rule(self.w, x)


class Inline(nn.Module):
    """As ``Net``, with one neuron, written in the forward pass."""

    def __init__(self, rule):
        super().__init__()
        self.fc1, self.fc2, self.w, self.rule = nn.Linear(12, 7), nn.Linear(7, 5), nn.Parameter(WEIGHTS.clone()), rule

    def forward(self, x):
        return self.fc2(self.rule(self.w, self.fc1(x))).mean(0)


@pytest.mark.parametrize("written", ["module", "forward"])
@pytest.mark.parametrize("options", [{}, {"time_axis": 0}])
@pytest.mark.parametrize("rule", RULES)
def test_a_decision_over_several_time_steps_is_read_or_refused(rule, options, written):
    net = Net(lambda width: Over(RULES[rule])) if written == "module" else Inline(RULES[rule])
    try:
        workload = read(net, example(), **options).workload
    except InputError as refusal:
        assert refusal.where and refusal.fix
        return
    if rule == "running sum" and written == "module":  # integrate-and-fire without a reset
        assert [x.neuron.reset for x in workload.layers if x.neuron] == ["none", "none"]
        assert not workload.not_understood
    else:
        assert workload.not_understood


@pytest.mark.parametrize(
    "rule",
    [
        lambda w, x: (x[..., :3] + x[..., 3:6] > 0).float().repeat(1, 1, 3)[..., :7],  # two groups of features
        lambda w, x: (torch.stack([x, 2 * x]).sum(0) > 0).float(),  # a sum of bases
        lambda w, x: (x.transpose(0, 1) + 0.5 * x.transpose(0, 1) > 0).float().transpose(0, 1),
        lambda w, x: torch.cat([(x[..., :3] > 0).float(), (x[..., 3:] > 0.5).float()], -1),  # thresholds of two parts
        lambda w, x: (x * w[0, :, None, None] > 0).float(),  # a scale per step
    ],
)
def test_comparisons_of_single_elements_are_no_filters(rule):
    workload = read(Inline(rule), example(), time_axis=0).workload
    assert not any("several elements" in x.reason or "weighted" in x.reason for x in workload.not_understood)
