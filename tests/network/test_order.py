"""Order, places and time steps: what runs again is read at its place, and in an order that machines can walk."""

import pytest
import torch
from nets import Sequenced, Spiking
from torch import nn

import truejoule as tj
from truejoule.errors import InputError
from truejoule.network import drift, read
from truejoule.workload import Edge, Layer, Workload


def edges(workload, recurrent=False):
    return {(e.source, e.target) for e in workload.edges if e.recurrent == recurrent}


def is_sorted(workload):
    order = {layer.name: i for i, layer in enumerate(workload.layers)}
    return all(order[a] < order[b] for a, b in edges(workload) if a != "input")


class NormPerStep(nn.Module):
    """One batch norm per time step behind each layer with weights, as in batch-norm through time."""

    def __init__(self, steps=3, summed=False):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.Linear(32, 3)
        self.norms = nn.ModuleList(nn.BatchNorm2d(2) for _ in range(steps))
        self.heads = nn.ModuleList(nn.BatchNorm1d(3) for _ in range(steps)) if summed else [nn.Identity()] * steps
        self.spike = Spiking()

    def forward(self, x):
        total = torch.zeros(len(x), 3)
        for norm, head in zip(self.norms, self.heads, strict=True):
            total = total + head(self.fc(self.spike(norm(self.conv(x))).flatten(1)))
        return total


def test_one_norm_per_time_step():
    x = torch.rand(2, 1, 4, 4)
    network = read(NormPerStep(), x)
    drift(network)
    w = network.workload
    assert is_sorted(w) and {x.name: x.steps for x in w.layers} == {
        "conv": 3, "norms.0": 1, "norms.1": 1, "norms.2": 1, "spike": 3, "fc": 3,
    }  # fmt: skip
    assert edges(w) == {("input", "conv"), ("spike", "fc")} | {
        pair for i in range(3) for pair in (("conv", f"norms.{i}"), (f"norms.{i}", "spike"))
    }
    assert not edges(w, recurrent=True) and not w.not_understood


@pytest.mark.parametrize("machine", ["sata", "spikeflow"])
def test_norms_per_time_step_cost_three_times_one_norm_whose_result_stands_still(machine):
    torch.manual_seed(0)
    x, chip = torch.rand(2, 1, 4, 4), tj.accelerator(machine)
    labels = torch.tensor([0, 1])
    one = NormPerStep()
    same = NormPerStep()
    same.load_state_dict(one.state_dict())
    same.norms = nn.ModuleList([same.norms[0]] * 3)
    a, b = (tj.evaluate(net, chip, [(x, labels)]).cost.ledger.by("component") for net in (one, same))
    assert a.pop("batch norm") == pytest.approx(3 * b.pop("batch norm"))
    assert a == pytest.approx(b)


def test_norms_that_are_summed_over_time_are_no_residual_additions():
    w = read(NormPerStep(summed=True), torch.rand(2, 1, 4, 4)).workload
    assert not [x for x in w.layers if x.op == "add"] and w["heads.2"].op == "norm"


def test_two_norms_of_one_layer_that_meet_are_an_addition():
    class Both(NormPerStep):
        def forward(self, x):
            y = self.conv(x)
            return self.fc(torch.relu(self.norms[0](y) + self.norms[1](y)).flatten(1))

    w = read(Both(), torch.rand(2, 1, 4, 4)).workload
    assert ("norms.0", "add") in edges(w) and ("norms.1", "add") in edges(w)


class FedBack(nn.Module):
    """Spikes come back through a norm of their own in each time step."""

    def __init__(self, steps=3):
        super().__init__()
        self.inp, self.back, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.norms, self.spike = nn.ModuleList(nn.BatchNorm1d(4) for _ in range(steps)), Spiking()

    def forward(self, x):
        h, total = torch.zeros(len(x), 4), 0.0
        for norm in self.norms:
            h = self.spike(self.inp(x) + norm(self.back(h)))
            total = total + self.out(h)
        return total


def test_recurrence_through_norms_per_step_is_no_circle():
    w = read(FedBack(), torch.rand(2, 4)).workload
    assert is_sorted(w) and edges(w, recurrent=True) == {("spike", "back")}


def test_a_workload_is_sorted_by_its_edges():
    layers = [Layer(name=n, op="linear", input_shape=(2,), output_shape=(2,)) for n in ("c", "a", "side", "b")]
    w = Workload("w", tuple(layers), (Edge("input", "a"), Edge("a", "b"), Edge("b", "c"), Edge("c", "a", True)))
    assert [x.name for x in w.layers] == ["a", "side", "b", "c"]
    with pytest.raises(InputError, match="wait for each other"):
        Workload("w", tuple(layers), (Edge("a", "b"), Edge("b", "a")))


class Twice(nn.Module):
    """One activation or neuron object at two places."""

    def __init__(self, act, steps=1, sizes=(4, 6, 5)):
        super().__init__()
        a, b, c = sizes
        self.act, self.steps = act, steps
        self.a, self.b, self.c = nn.Linear(a, b), nn.Linear(b, c), nn.Linear(c, 2)

    def forward(self, x):
        total = torch.zeros(len(x), 2)
        for _ in range(self.steps):
            total = total + self.c(self.act(self.b(self.act(self.a(x)))))
        return total


class Own(nn.Module):
    """An activation of the user's own making."""

    def forward(self, x):
        return torch.where(x >= 0, 1.0, -1.0)


@pytest.mark.parametrize("steps", [1, 3])
def test_one_activation_object_at_two_places(steps):
    network = read(Twice(Own(), steps), torch.randn(2, 4))
    drift(network)
    w = network.workload
    assert [(x.name, x.op, x.steps) for x in w.layers] == [
        ("a", "linear", steps), ("act", "sign", steps), ("b", "linear", steps), ("act#2", "sign", steps), ("c", "linear", steps),
    ]  # fmt: skip
    assert w["act"].input_shape == (6,) and w["act#2"].input_shape == (5,)
    measured = network.measure(torch.randn(3, 4))
    assert measured.layers["act#2"].nonzero_outputs == (15.0,) * steps


def test_one_neuron_with_a_state_of_its_own_at_two_places_is_two_layers():
    network = read(Twice(Spiking(), 3, (4, 4, 4)), torch.rand(2, 4))
    drift(network)
    w = network.workload
    assert [(x.name, x.op, x.steps, x.note) for x in w.layers] == [
        ("a", "linear", 3, ""), ("act", "neuron", 3, ""), ("b", "linear", 3, ""),
        ("act#2", "neuron", 3, "shares its state with act"), ("c", "linear", 3, ""),
    ]  # fmt: skip
    assert w["act#2"].state_of == "act" and not w["act"].state_of and w["act#2"].own_states == 0
    assert edges(w) == {("input", "a"), ("a", "act"), ("act", "b"), ("b", "act#2"), ("act#2", "c")}


class Passed(nn.Module):
    """A neuron whose membrane is passed in and out."""

    def forward(self, x, mem):
        mem = 0.5 * mem + x
        spike = (mem >= 1.0).to(x.dtype)
        return spike, mem - spike


class TwoStates(Twice):
    def forward(self, x):
        first, second, total = torch.zeros(len(x), 6), torch.zeros(len(x), 5), torch.zeros(len(x), 2)
        for _ in range(self.steps):
            spike, first = self.act(self.a(x), mem=first)
            spike, second = self.act(self.b(spike), mem=second)
            total = total + self.c(spike)
        return total


def test_one_neuron_object_with_two_states_is_two_layers():
    network = read(TwoStates(Passed(), 4), torch.rand(2, 4))
    drift(network)
    w = network.workload
    assert [(x.name, x.op, x.steps) for x in w.layers] == [
        ("a", "linear", 4), ("act", "neuron", 4), ("b", "linear", 4), ("act#2", "neuron", 4), ("c", "linear", 4),
    ]  # fmt: skip
    assert w["act"].neuron == w["act#2"].neuron


@pytest.mark.parametrize("samples", [2, 4])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("inside", [True, False])
def test_time_in_tensors_of_vectors_whatever_the_batch(samples, flat, axis, inside):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)
            self.spike = Sequenced(Spiking()) if axis == 0 else SampleFirst()

        def forward(self, x):
            if inside:
                x = torch.stack([x] * 4, axis)
            lead = x.shape[:2]
            if flat:
                return self.b(self.spike(self.a(x.flatten(0, 1)).unflatten(0, lead)).flatten(0, 1)).unflatten(0, lead)
            return self.b(self.spike(self.a(x)))

    x = torch.rand(samples, 6) if inside else torch.rand(*((4, samples) if axis == 0 else (samples, 4)), 6)
    network = read(Net(), x)
    assert network.timing.time_axis == (None if inside else axis) and network.samples(x) == samples
    assert {x.name: x.steps for x in network.workload.layers} == {"a": 4, "spike": 4, "b": 4}
    measured = network.measure(x)
    assert all(layer.samples == samples for layer in measured.layers.values())
    with torch.no_grad():
        currents = network.module.a(torch.stack([x] * 4, axis) if inside else x)
        spikes = network.module.spike(currents)
    want = spikes.sum((1, 2) if axis == 0 else (0, 2)).tolist()
    assert list(measured.layers["b"].nonzero_inputs) == want


class SampleFirst(Sequenced):
    """Loops over the second axis."""

    def __init__(self):
        super().__init__(Spiking())

    def forward(self, x):
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


@pytest.mark.parametrize("samples", [2, 4])
def test_time_in_tensors_of_one_dimensional_maps(samples):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.spike, self.b = nn.Conv1d(2, 4, 3, padding=1), Sequenced(Spiking()), nn.Linear(32, 3)

        def forward(self, x):
            x = x.unsqueeze(0).repeat(4, 1, 1, 1)
            y = self.spike(self.a(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
            return self.b(y.flatten(2)).mean(0)

    w = read(Net(), torch.rand(samples, 2, 8)).workload
    assert {x.name: (x.steps, x.input_shape) for x in w.layers} == {
        "a": (4, (2, 1, 8)), "spike": (4, (4, 8)), "b": (4, (32,)),
    }  # fmt: skip


class Frames(nn.Module):
    """A loop over the frames of (T, N, F) or (N, T, F), with a one-step neuron."""

    def __init__(self, axis, fixed=None):
        super().__init__()
        self.a, self.spike, self.b, self.axis, self.fixed = nn.Linear(6, 5), Spiking(), nn.Linear(5, 3), axis, fixed

    def forward(self, x):
        steps = self.fixed or x.shape[self.axis]
        return sum(self.b(self.spike(self.a(x.select(self.axis, t)))) for t in range(steps))


@pytest.mark.parametrize("fixed", [None, 4])
@pytest.mark.parametrize("axis", [0, 1])
def test_as_many_samples_as_frames(axis, fixed):
    x = torch.rand(4, 4, 6)
    assert read(Frames(axis, fixed), x).timing.time_axis == axis
    assert read(Frames(axis, fixed), x, time_axis=axis).timing.time_axis == axis
    with pytest.raises(InputError, match="is another one"):
        read(Frames(axis), x, time_axis=1 - axis)


def test_one_step_of_a_neuron_with_a_state_must_be_said():
    net, x = nn.Sequential(nn.Linear(4, 4), Spiking(), nn.Linear(4, 2)), torch.rand(3, 4)
    with pytest.raises(InputError, match="runs a single time step") as caught:
        read(net, x)
    assert "time_steps=" in caught.value.fix
    assert read(net, x, time_steps=1).time_steps == 1 and read(net, x, time_steps=5).time_steps == 5


def test_a_network_that_takes_one_batch_size_only_must_say_where_time_is():
    class Fixed(Frames):
        def forward(self, x):
            assert x.shape[:2] == (4, 2)
            return super().forward(x)

    with pytest.raises(InputError, match="cannot be told apart"):
        read(Fixed(0), torch.rand(4, 2, 6))
    assert read(Fixed(0), torch.rand(4, 2, 6), time_axis=0).samples(torch.rand(4, 2, 6)) == 2
