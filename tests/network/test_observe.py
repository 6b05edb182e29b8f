"""Layers, MACs, edges and steps of hand-written networks against counting on paper."""

import itertools

import pytest
import torch
from nets import (
    PLAIN_MACS,
    Functional,
    Looped,
    MultiStep,
    OneStep,
    OverSequence,
    OverSequenceBatchFirst,
    Plain,
    Recurrent,
    Residual,
    Sequenced,
    Spiking,
    StaticEncoder,
)
from torch import nn

from truejoule.errors import InputError
from truejoule.network import drift, observe, read
from truejoule.workload import Edge


def edges(workload):
    return {(e.source, e.target) for e in workload.edges}


def chain(*names):
    return set(itertools.pairwise(names))


def test_plain_network():
    w = observe(Plain(), torch.randn(2, 3, 8, 8))
    assert [(x.name, x.op) for x in w.layers] == [
        ("a", "conv"),
        ("bn", "norm"),
        ("act", "relu"),
        ("pool", "max_pool"),
        ("dw", "conv"),
        ("gr", "conv"),
        ("fc", "linear"),
    ]
    assert w.macs == PLAIN_MACS and w.time_steps == 1 and not w.not_understood
    assert w.weights == 8 * 27 + 8 * 9 + 16 * 4 * 3 + 1280
    assert edges(w) == chain("input", "a", "bn", "act", "pool", "dw", "gr", "fc")
    gr = w["gr"]
    assert (gr.kernel, gr.stride, gr.padding, gr.groups, gr.bias) == ((3, 1), (2, 1), (1, 0), 2, True)
    assert gr.input_shape == (8, 4, 4) and gr.output_shape == (16, 2, 4)
    assert not w["a"].bias and w["a"].inputs_signed and not w["dw"].inputs_signed


def test_residual_edges_with_an_add_in_place():
    w = observe(Residual(), torch.randn(2, 2, 8, 8))
    assert edges(w) == chain("input", "stem", "relu", "left", "add", "relu#2", "avg_pool", "fc") | chain(
        "relu", "right", "add"
    )
    assert w["avg_pool"].kernel == (4, 4) and w["avg_pool"].output_shape == (8, 1, 1)


def test_functional_one_dimensional_network_is_named_after_its_parameters():
    w = observe(Functional(), torch.randn(2, 1, 16))
    assert [x.name for x in w.multiplying] == ["w1", "w2", "more.0", "more.1"]
    assert w.macs == 4 * 16 * 5 + 6 * 6 * 12 + 2 * 36
    assert w["w1"].input_shape == (1, 1, 16) and w["w1"].kernel == (1, 5) and w["w1"].padding == (0, 2)
    assert (w["w1"].weight_bits, w["w1"].weight_levels) == (1, "binary") and w["w2"].weight_levels == "float"
    assert edges(w) == chain(
        "input", "w1", "relu", "max_pool", "w2", "relu#2", "avg_pool", "more.0", "relu#3", "more.1", "relu#4"
    )
    assert w["max_pool"].kernel == (1, 2) and w["max_pool"].stride == (1, 2)


VARIANTS = {
    "loop": (lambda: Looped(4), lambda x: x, {}),
    "multi-step, repeated inside": (lambda: MultiStep(4, repeat=True), lambda x: x, {}),
    "multi-step, time in the example": (lambda: MultiStep(4), lambda x: x.repeat(4, 1, 1, 1, 1), {}),
    "loop over the example": (lambda: OverSequence(4), lambda x: x.repeat(4, 1, 1, 1, 1), {}),
    "loop over the example, batch first": (
        lambda: OverSequenceBatchFirst(4),
        lambda x: x.unsqueeze(1).repeat(1, 4, 1, 1, 1),
        {},
    ),
    "loop outside": (lambda: OneStep(4), lambda x: x, {"time_steps": 4}),
    "loop outside, time in the example": (
        lambda: OneStep(4),
        lambda x: x.repeat(4, 1, 1, 1, 1),
        {"time_steps": 4, "time_axis": 0},
    ),
}


def spiking(variant, samples=3):
    make, shape, options = VARIANTS[variant]
    torch.manual_seed(1)
    net = make()
    weights = {k.replace("cell.", ""): v for k, v in Looped(4).state_dict().items()}
    net.load_state_dict(weights)
    return net, shape(torch.randn(samples, 3, 8, 8)), options


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_way_to_write_time_gives_the_same_workload(variant):
    torch.manual_seed(1)
    reference, x, _ = spiking("loop")
    want = observe(reference, x)
    net, example, options = spiking(variant)
    w = observe(net, example, **options)
    assert w.time_steps == 4 and not w.not_understood
    assert [(a.name, a.op, a.steps, a.input_shape, a.output_shape, a.neuron) for a in w.layers] == [
        (a.name, a.op, a.steps, a.input_shape, a.output_shape, a.neuron) for a in want.layers
    ]
    assert (
        edges(w)
        == edges(want)
        == chain("input", "conv", "bn", "lif1", "mid", "lif2", "add", "pool", "fc") | {("lif1", "add")}
    )
    assert not any(e.recurrent for e in w.edges)
    assert w.macs == 4 * (6 * 64 * 27 + 6 * 64 * 54 + 96 * 5)
    assert w["mid"].input_bits == 1 and not w["mid"].inputs_signed


@pytest.mark.parametrize("samples", [1, 4])
def test_ambiguous_sizes(samples):
    """One sample, or as many samples as steps: still the same."""
    for variant in VARIANTS:
        net, example, options = spiking(variant, samples)
        w = observe(net, example, **options)
        assert {x.name: x.steps for x in w.layers} == dict.fromkeys(
            ["conv", "bn", "lif1", "mid", "lif2", "add", "pool", "fc"], 4
        ), variant


def test_layers_outside_the_time_loop_run_once():
    w = observe(StaticEncoder(3), torch.randn(2, 7))
    assert {x.name: x.steps for x in w.layers} == {"encode": 1, "lif": 3, "hidden": 3, "head": 1}
    assert edges(w) == chain("input", "encode", "lif", "hidden", "head") and not any(e.recurrent for e in w.edges)
    assert w.macs == 63 + 3 * 54 + 24


def test_recurrent_edges_are_marked():
    w = observe(Recurrent(), torch.randn(2, 8))
    assert {e for e in w.edges if e.recurrent} == {Edge("lif", "back", True)}
    assert edges(w) - {("lif", "back")} == chain("input", "inp", "add", "lif", "out") | {("back", "add")}


def test_a_pre_trained_network_is_left_as_it_was():
    net = Looped(4).train()
    net.conv.eval()
    net.lif1.v = torch.ones(3, 6, 8, 8)
    flags, weights = [m.training for m in net.modules()], {k: v.clone() for k, v in net.state_dict().items()}
    random = torch.get_rng_state()
    example = torch.randn(3, 3, 8, 8)
    torch.set_rng_state(random)
    network = read(net, example)
    observe(net, example)
    assert torch.equal(net.lif1.v, torch.ones(3, 6, 8, 8))
    drift(network)
    assert net.lif1.v is None  # running it leaves it reset
    assert [m.training for m in net.modules()] == flags and torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, weights[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert not example.__dict__ and not any(p.__dict__ for p in net.parameters())


def test_state_without_a_reset_method_is_put_back():
    class NoReset(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.v = nn.Linear(4, 4), None
            self.lif = Hidden()

        def forward(self, x):
            return sum(self.lif(self.fc(x)) for _ in range(3))

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.v = 0.0

        def forward(self, x):
            v = self.v + x
            s = (v >= 1.0).float()
            self.v = v - s
            return s

    net, x = NoReset(), torch.rand(2, 4) * 3
    network = read(net, x)
    assert network.workload["lif"].neuron.reset == "subtract"
    assert torch.equal(network.run(x), network.run(x)) and net.lif.v == 0.0


def test_tokens_are_positions():
    w = observe(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(2, 5, 8))
    assert w["0"].input_shape == (8, 5) and w.macs == 5 * 48 + 5 * 18 and w.time_steps == 1


def test_same_padding_of_an_even_kernel():
    net = nn.Sequential(nn.Conv2d(2, 3, 4, padding="same"))
    network = read(net, torch.randn(1, 2, 8, 8))
    drift(network)
    layer = network.workload["0"]
    assert layer.input_shape == (2, 11, 11) and layer.padding == (0, 0) and layer.output_shape == (3, 8, 8)
    assert edges(network.workload) == {("input", "0")}


class Vectors(nn.Module):
    """linear → neuron → linear; one step per call, although it also accepts (T, N, F)."""

    def __init__(self, neuron):
        super().__init__()
        self.a, self.lif, self.b = nn.Linear(6, 5), neuron, nn.Linear(5, 3)

    def forward(self, x):
        return self.b(self.lif(self.a(x)))


def test_time_is_not_taken_for_samples():
    """A one-step neuron accepts (T, N, F) and would silently treat time as batch."""
    x = torch.randn(4, 2, 6)
    with pytest.raises(InputError, match="runs a single time step"):
        read(Vectors(Spiking()), x)
    network = read(Vectors(Spiking()), x, time_axis=0, time_steps=4)
    assert network.timing.outer and network.time_steps == 4 and network.workload["lif"].steps == 4
    network = read(Vectors(Spiking()), x, time_axis=0)
    assert network.timing.outer and network.workload.macs == 4 * (30 + 15)
    network = read(Vectors(Sequenced(Spiking())), x)  # this one says that it is a multi-step neuron
    assert not network.timing.outer and network.time_steps == 4 and network.workload["lif"].input_shape == (5,)
    tokens = read(Vectors(Spiking()), x, time_steps=1).workload
    assert tokens.time_steps == 1 and tokens["lif"].input_shape == (2, 5)


def test_a_neuron_fed_with_flattened_time_is_refused():
    class Flattened(Looped):
        def forward(self, x):
            return self.step(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(0)

    with pytest.raises(InputError, match=r"say time_steps= .* or time_axis="):
        read(Flattened(), torch.randn(4, 2, 3, 8, 8))
    with pytest.raises(InputError, match="takes time steps for samples"):
        read(Flattened(), torch.randn(4, 2, 3, 8, 8), time_axis=0)


def test_a_concatenation_joins_edges():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.c = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 1))
            self.d, self.f = nn.Dropout(), nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2))

        def forward(self, x):
            a = torch.relu(self.a(x))
            x = self.c(torch.cat([a, self.b(a).relu_()], 1))
            return self.f(self.d(x).mean((2, 3)))

    w = observe(Dense(), torch.randn(2, 3, 8, 8))
    assert edges(w) == chain("input", "a", "relu", "b", "relu#2", "c", "avg_pool", "f") | {("relu", "c")}
    assert not w.not_understood


def test_a_random_encoder_is_no_neuron():
    class Encoded(Looped):
        def step(self, x):
            return super().step((torch.rand_like(x) < x).float())

    network = read(Encoded(), torch.rand(2, 3, 8, 8))
    assert not network.workload.not_understood and network.workload["conv"].input_bits == 1
    drift(network)
