"""Whose fault it is, in one line; and what used to be refused for no reason."""

import pytest
import torch
from nets import Plain, Spiking
from torch import nn
from torch.nn.utils import prune

import truejoule as tj
from small_networks import SpikingNet, images
from truejoule.errors import InputError, in_one_line
from truejoule.network import drift, observe, read

X = torch.rand(2, 3, 8, 8)


class Wrong(Plain):
    def forward(self, x):
        return self.fc(self.act(self.a(x)))


class Picky(Plain):
    """Looks at what a layer returns."""

    def forward(self, x):
        y = self.a(x)
        if hasattr(y, "_truejoule_origins"):
            raise RuntimeError("I do not like this")
        return super().forward(x)


def test_a_module_that_fails_alone_is_told_from_one_that_fails_when_watched():
    with pytest.raises(InputError) as caught:
        read(Wrong(), X)
    assert caught.value.what.startswith("the network's forward pass failed: RuntimeError: mat1 and mat2")
    assert caught.value.where == "fc (Linear)" and "without truejoule" in caught.value.fix
    with pytest.raises(InputError) as caught:
        read(Picky(), X)
    assert (
        caught.value.what
        == "the network runs by itself, but fails when it is watched: RuntimeError: I do not like this"
    )


def test_a_module_that_fails_once_a_layer_is_computed_by_somebody_else():
    network = read(Plain(), X)
    with pytest.raises(InputError, match="runs by itself, but fails when its layers are computed by a machine"):
        network.run(X, lambda call: torch.zeros(1))


def test_long_texts_of_others_become_one_line():
    long = RuntimeError("Error(s) in loading state_dict for Net:\n\tMissing key(s): " + "w, " * 400 + "\n\tmore")
    text = in_one_line(long)
    assert (
        text.startswith("RuntimeError: Error(s) in loading state_dict for Net: Missing key(s): w,") and len(text) < 220
    )
    assert in_one_line(AssertionError()) == "AssertionError" and "\n" not in text


@pytest.mark.parametrize("given", [Plain().state_dict(), Plain, "net.pt", None])
@pytest.mark.parametrize("what", ["read", "observe", "evaluate"])
def test_what_is_no_module(given, what):
    with pytest.raises(InputError, match="not a network") as caught:
        if what == "evaluate":
            tj.evaluate(given, tj.accelerator("sata"), [(X, torch.zeros(2).long())])
        else:
            getattr(tj, what)(given, X)
    if isinstance(given, dict):
        assert caught.value.got == "a state_dict" and "load_state_dict" in caught.value.fix
    if given is Plain:
        assert caught.value.fix == "create it first: Plain()"


def spoiled(path):
    net = Plain()
    values = net.get_parameter(path) if path in dict(net.named_parameters()) else net.get_buffer(path)
    with torch.no_grad():
        values[1] = torch.nan
    return net


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("a.weight", "weights"),
        ("fc.bias", "biases"),
        ("bn.weight", "norm"),
        ("bn.bias", "norm"),
        ("bn.running_mean", "norm"),
        ("bn.running_var", "norm"),
    ],
)
def test_numbers_that_are_none_are_named(path, what):
    with pytest.raises(InputError, match=f"{what} with NaN or infinite values") as caught:
        read(spoiled(path), X)
    assert caught.value.where == path.split(".")[0]


def test_pruned_layers_keep_their_names():
    net = Plain()
    for layer in (net.a, net.fc):
        prune.l1_unstructured(layer, "weight", 0.5)
    assert [x.name for x in observe(net, X).multiplying] == ["a", "dw", "gr", "fc"]


@pytest.mark.parametrize("how", ["whole", "child", "in place"])
def test_compiled_modules_are_read_as_they_were_written(how):
    net = Plain()
    if how == "whole":
        compiled = torch.compile(net)
    elif how == "child":
        net.act, net.a = torch.compile(net.act), torch.compile(net.a)
        compiled = net
    else:
        net.a.compile()
        compiled = net
    network = read(compiled, X)
    drift(network)
    assert [x.name for x in network.workload.layers] == ["a", "bn", "act", "pool", "dw", "gr", "fc"]


class Edits(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x.mul_(2).sub_(1))


def test_a_forward_that_edits_its_input_runs_on_a_copy_and_says_so():
    x = torch.rand(3, 4)
    before = x.clone()
    network = read(Edits(), x)
    assert torch.equal(network.run(x), network.run(x)) and torch.equal(x, before)
    e = tj.evaluate(network.module, tj.accelerator("sata"), [(x, torch.zeros(3).long())])
    assert any("changes its input in place" in warning for warning in e.warnings) and torch.equal(x, before)
    with pytest.raises(InputError, match="changes its input in place"):
        read(Edits(), x, time_steps=3)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_modules_of_every_float(kind):
    net, x = SpikingNet().to(kind), images(2).to(kind)
    network = read(net, x)
    drift(network)
    assert not network.workload.not_understood and network.workload["spike1"].neuron is not None
    for machine in ("sata", "spikeflow"):
        assert tj.accelerator(machine).deploy(network, [x])(x).dtype == kind


def test_an_addition_in_place_in_front_of_a_neuron():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.s, self.b, self.t = nn.Linear(4, 4), Spiking(), nn.Linear(4, 4), Spiking()

        def forward(self, x):
            total = torch.zeros_like(x)
            for _ in range(3):
                identity = self.s(self.a(x))
                out = self.b(identity)
                out += identity
                total += self.t(out)
            return total

    w = observe(Block(), torch.rand(2, 4))
    assert [x.name for x in w.layers] == ["a", "s", "b", "add", "t"] and not w.not_understood


NAMES = ("pop", "values", "items", "type", "half", "to", "update", "keys", "b/c", "training_")


@pytest.mark.parametrize("name", NAMES)
def test_layers_of_any_name_are_deployed(name):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self._modules[name] = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self._modules[name](torch.relu(self.a(x)))

    x = torch.rand(2, 4)
    network = read(Net(), x)
    deployed = tj.accelerator("sata").deploy(network, [x])
    deployed(x)
    assert set(deployed.measurement().work) == {"a", name}


def test_adaptive_pooling_to_a_larger_map():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(196, 3))
    x = torch.randn(3, 2, 6, 6)
    network = read(net, x)
    pool = network.workload["2"]
    assert (pool.input_shape, pool.output_shape, pool.kernel, pool.stride) == ((4, 4, 4), (4, 7, 7), (1, 1), (1, 1))
    seen = network.measure(x).layers["2"]
    with torch.no_grad():
        want = torch.nn.functional.adaptive_max_pool2d((net[1](net[0](x)) != 0).float(), 7).sum() / 4
    assert seen.active_patches == (pytest.approx(float(want)),)


def test_a_softmax_at_the_end_is_no_transfer():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(1))
    for machine in ("sata", "spikeflow"):
        mapping = tj.accelerator(machine).map(observe(net, torch.rand(3, 4)))
        assert all(not isinstance(t, str) for t in mapping.transfers)
        assert sum("runs on the host" in w for w in mapping.warnings) == 1


def test_preparing_the_input_alone_is_the_host_s_work():
    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(torch.relu(self.a(x.abs())))

    w = observe(Normalised(), torch.randn(2, 4))
    assert not w.not_understood and w["abs"].op == "host"
