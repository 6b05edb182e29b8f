"""One module at several places of one time step: which call is which place, and where that is not certain."""

import pytest
import torch
from nets import Sequenced, Spiking
from torch import nn

import truejoule as tj
from truejoule.errors import InputError
from truejoule.network import drift, read


def steps_of(workload, op):
    return {x.name: x.steps for x in workload.layers if x.op == op}


def outputs(network, x, op):
    """Non-zero outputs per layer of a kind, in all steps."""
    measured = network.measure(x)
    return {
        layer.name: sum(measured.layers[layer.name].nonzero_outputs)
        for layer in network.workload.layers
        if layer.op == op
    }


class Net(nn.Module):
    """``spike(self, a(x), step)`` in each step of a loop, between two linear layers; ``a`` in the loop or in front of it."""

    def __init__(self, spike, steps=4, still=False, cell=None):
        super().__init__()
        self.a, self.b, self.spike, self.steps, self.still = nn.Linear(6, 6), nn.Linear(6, 3), spike, steps, still
        self.lif, self.pool = cell or Spiking(), nn.MaxPool1d(2)
        self.a.weight.data *= 6

    def forward(self, x):
        still, total = self.a(x) if self.still else None, 0.0
        for step in range(self.steps):
            total = total + self.b(self.spike(self, still if self.still else self.a(x), step))
        return total


def halves(net, x, step):
    return torch.cat([net.lif(x[:, :3]), net.lif(x[:, 3:])], 1)


def thirds(net, x, step):
    return torch.cat([net.lif(part) for part in x.split(2, 1)], 1)


@pytest.mark.parametrize("samples", [1, 2, 4])
@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize(("spike", "groups"), [(halves, 2), (thirds, 3)])
@pytest.mark.parametrize("steps", [2, 3, 4])
def test_groups_of_channels(steps, spike, groups, still, samples):
    network = read(Net(spike, steps, still), torch.rand(samples, 6))
    drift(network)
    names = ["lif", "lif#2", "lif#3"][:groups]
    assert steps_of(network.workload, "neuron") == dict.fromkeys(names, steps)
    x, net = torch.rand(5, 6), network.module  # another batch size than that of the example
    seen: list[int] = []
    handle = net.lif.register_forward_hook(lambda _m, _i, out: seen.append(int(out.sum())))
    net.lif.reset()
    with torch.no_grad():
        net(x)
    handle.remove()
    net.lif.reset()
    assert sum(seen) > 0
    assert outputs(network, x, "neuron") == {name: sum(seen[k::groups]) for k, name in enumerate(names)}


def test_groups_of_channels_where_no_layer_with_weights_is_in_the_loop():
    class Between(Net):
        def forward(self, x):
            x = self.a(x)
            return self.b(sum(halves(self, x, step) for step in range(4)))

    assert steps_of(read(Between(None), torch.rand(2, 6)).workload, "neuron") == {"lif": 4, "lif#2": 4}


@pytest.mark.parametrize("over", ["channels", "layers"])
def test_one_step_per_call(over):
    class Step(Net):
        def forward(self, x):
            y = self.a(x)
            return self.b(halves(self, y, 0) if over == "channels" else self.lif(self.c(self.lif(y))))

    net = Step(None)
    net.c = nn.Linear(6, 6)
    network = read(net, torch.rand(2, 6), time_steps=5)
    drift(network)
    assert steps_of(network.workload, "neuron") == {"lif": 5, "lif#2": 5}
    assert steps_of(read(net, torch.rand(2, 6), time_steps=1).workload, "neuron") == {"lif": 1, "lif#2": 1}


def uneven(net, x, step):
    """1, 3, 1, 3 calls: two per step only on average."""
    x = net.lif(x)
    return net.lif(net.lif(x)) if step % 2 else x


def swapped(net, x, step):
    """The places change their order from step to step."""
    parts = (x, net.b2(x)) if step % 2 else (net.b2(x), x)
    return sum(net.lif(part) for part in parts)


def seldom(net, x, step):
    """One place is left out in the last step."""
    return net.lif(net.lif(x)) if step < 3 else net.lif(x)


@pytest.mark.parametrize("spike", [uneven, swapped, seldom])
def test_calls_that_differ_from_step_to_step_are_refused_by_name(spike):
    net = Net(spike)
    net.b2 = nn.Linear(6, 6)
    with pytest.raises(InputError) as caught:
        read(net, torch.rand(2, 6))
    assert "lif" in caught.value.where


class Passed(nn.Module):
    """A neuron whose membrane is passed in and out."""

    def forward(self, x, mem):
        mem = 0.5 * mem + x
        spike = (mem >= 1.0).to(x.dtype)
        return spike, mem - spike


@pytest.mark.parametrize("handed_on", [False, True])
def test_a_membrane_that_is_passed_in_is_shared_only_if_it_is_handed_on(handed_on):
    class Carried(Net):
        def forward(self, x):
            first = second = torch.zeros(len(x), 3)
            total = 0.0
            for _ in range(4):
                y = self.a(x)
                one, first = self.lif(y[:, :3], first)
                two, second = self.lif(y[:, 3:], first if handed_on else second)
                first = second if handed_on else first
                total = total + self.b(torch.cat([one, two], 1))
            return total

    w = read(Carried(None, cell=Passed()), torch.rand(2, 6)).workload
    assert steps_of(w, "neuron") == {"lif": 4, "lif#2": 4}
    assert w["lif#2"].state_of == ("lif" if handed_on else "")


class Forgetful(nn.Module):
    """Takes (T, N, F) in one call, and keeps nothing."""

    def forward(self, x):
        mem, spikes = torch.zeros_like(x[0]), []
        for frame in x:
            mem = 0.5 * mem + frame
            spikes.append((mem >= 1.0).to(x.dtype))
            mem = mem - spikes[-1]
        return torch.stack(spikes)


class Sequence(Net):
    def forward(self, x):
        y = self.a(torch.stack([x] * 4))
        return self.b(torch.cat([self.lif(y[..., :3]), self.lif(y[..., 3:])], -1)).mean(0)


def test_groups_of_channels_of_a_neuron_that_takes_whole_sequences():
    w = read(Sequence(None, cell=Forgetful()), torch.rand(2, 6)).workload
    assert steps_of(w, "neuron") == {"lif": 4, "lif#2": 4} and not w["lif#2"].state_of
    with pytest.raises(InputError, match="each starts with what the other leaves"):
        read(Sequence(None, cell=Sequenced(Spiking())), torch.rand(2, 6))


def test_a_pooling_that_runs_twice_on_the_same_input():
    class Pools(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool, self.fc = nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Linear(8, 3)

        def forward(self, x):
            x = self.conv(x)
            return self.fc((self.pool(x) * 2 + self.pool(x)).flatten(1))

    network = read(Pools(), torch.rand(2, 1, 4, 4))
    drift(network)
    assert steps_of(network.workload, "max_pool") == {"pool": 1, "pool#2": 1}
    assert network.measure(torch.rand(3, 1, 4, 4)).layers["pool#2"].samples == 3


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("inside", [False, True])
def test_one_function_on_both_signs_of_the_same_values(steps, inside):
    """Concatenated ReLU, with neurons behind it that run ``steps`` times."""

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.lif, self.relu = nn.Linear(4, 4), nn.Linear(8, 3), Spiking(), nn.ReLU()

        def both(self, x):
            return torch.cat([self.relu(x), self.relu(-x)], 1)

        def forward(self, x):
            y = self.a(x)
            z = None if inside else self.both(y)
            return sum(self.b(self.lif(self.both(y) if inside else z)) for _ in range(steps))

    network = read(Both(), torch.rand(2, 4), time_steps=1 if steps == 1 else None)
    drift(network)
    found = steps_of(network.workload, "relu")
    runs = 2 * steps if inside else 2
    assert sum(found.values()) == runs, "as many executions as there are"
    if steps != 2 or inside:  # two calls in two steps are one place in the loop as well as two in front of it
        assert found == dict.fromkeys(("relu", "relu#2"), steps if inside else 1)


def test_an_activation_of_the_users_own_on_two_halves():
    class Own(nn.Module):
        def forward(self, x):
            return torch.where(x >= 0, 1.0, -1.0)

    network = read(Net(halves, 3, cell=Own()), torch.randn(2, 6))
    drift(network)
    assert steps_of(network.workload, "sign") == {"lif": 3, "lif#2": 3}
    assert outputs(network, torch.randn(5, 6), "sign") == {"lif": 45.0, "lif#2": 45.0}


def in_turn(net, x, step):
    first = net.lif(x)
    return (net.lif if net.shares else net.other)(net.c(first))


@pytest.mark.parametrize("shares", [False, True])
def test_a_pipeline_waits_until_a_shared_state_has_come_back(shares):
    """Layers in front of the loop are ready long before; only the state holds the first neurons back."""
    net = Net(in_turn, 3, still=True)
    net.c, net.other, net.shares = nn.Linear(6, 6), Spiking(), shares
    network, chip = read(net, torch.rand(2, 6)), tj.accelerator("spikeflow")
    last = "lif#2" if shares else "other"
    cost = chip.cost(chip.map(network.workload), network.measure(torch.rand(2, 6)))
    end = {(x.layer, x.step): x.end_s for x in cost.schedule.slots}
    waits = [end["lif", step + 1] >= end[last, step] > end["lif", step] for step in range(2)]
    assert waits == [shares, shares]
