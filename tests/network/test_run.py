"""Replacing the computation of layers; the light run sees what the careful one saw."""

import pytest
import torch
from nets import Functional, Looped, MultiStep, OneStep, Plain, Recurrent, Residual
from torch import nn

from truejoule.errors import InputError
from truejoule.network import Call, drift, read

NETS = {
    "plain": (Plain, (2, 3, 8, 8), {}),
    "residual": (Residual, (2, 2, 8, 8), {}),
    "functional": (Functional, (2, 1, 16), {}),
    "looped": (Looped, (2, 3, 8, 8), {}),
    "multi-step": (MultiStep, (4, 2, 3, 8, 8), {}),
    "one step": (OneStep, (2, 3, 8, 8), {"time_steps": 4}),
    "recurrent": (Recurrent, (2, 8), {}),
}


def network_of(name):
    make, shape, options = NETS[name]
    return read(make(), torch.randn(*shape), **options)


@pytest.mark.parametrize("name", NETS)
def test_no_drift(name):
    drift(network_of(name))


@pytest.mark.parametrize("name", NETS)
def test_calls_have_the_names_steps_and_values_of_the_workload(name):
    network = network_of(name)
    seen: dict[str, list[Call]] = {}

    def on_call(call: Call):
        seen.setdefault(call.name, []).append(call)
        again = Call(
            call.name,
            call.op,
            call.input,
            call.weight,
            call.bias,
            call.stride,
            call.padding,
            call.dilation,
            call.groups,
        )
        assert torch.allclose(again.compute(), call.compute(), atol=1e-6)
        return call.compute()

    batch = network.example.repeat_interleave(2, dim=0 if network.timing.time_axis is None else 1)
    network.run(batch, on_call)
    assert list(seen) == [layer.name for layer in network.workload.multiplying]
    for layer in network.workload.multiplying:
        calls = seen[layer.name]
        assert [c.step for c in calls] == list(range(0, layer.steps, calls[0].steps)) and sum(
            c.steps for c in calls
        ) == layer.steps
        assert calls[0].samples == network.samples(batch) == 2 * network.timing.samples
        assert (
            calls[0].weight.numel() == layer.weights
            and calls[0].input.numel() == calls[0].steps * calls[0].samples * layer.inputs
        )
        assert layer.op == calls[0].op and (layer.op == "linear" or calls[0].input.dim() == 4)


def test_answers_are_used():
    network = network_of("looped")
    silent = network.run(network.example, lambda call: torch.zeros_like(call.compute()))
    assert not silent.any()
    assert network.run(network.example).any()


@pytest.mark.parametrize("name", NETS)
def test_every_layer_is_reported_in_the_light_run(name):
    network = network_of(name)
    seen: dict[str, int] = {}

    def on_layer(layer, step, steps, x, y):
        seen[layer] = seen.get(layer, 0) + steps
        split = network.timing.layouts[layer].split(x)
        assert split[0, 0].numel() == network.workload[layer].inputs

    network.run(network.example, on_layer=on_layer)
    assert seen == {layer.name: layer.steps for layer in network.workload.layers}


def test_a_changed_copy_can_run():
    import copy

    network = network_of("plain")
    twin = copy.deepcopy(network.module)
    with torch.no_grad():
        twin.fc.bias += 1
    assert torch.allclose(
        network.run(network.example, Call.compute, module=twin), network.run(network.example) + 1, atol=1e-5
    )


def test_other_batch_sizes_and_wrong_inputs():
    network = network_of("multi-step")
    assert network.run(torch.randn(4, 7, 3, 8, 8)).shape == (7, 5)
    with pytest.raises(InputError, match="another size"):
        network.run(torch.randn(4, 2, 3, 9, 9))
    with pytest.raises(InputError, match="NaN"):
        network.run(torch.full((4, 2, 3, 8, 8), torch.nan))
    with pytest.raises(InputError, match="unlike the example"):
        network.run(torch.randn(2, 3, 8, 8))


def test_a_path_not_taken_before_is_an_error():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.a(x) if x.sum() > 0 else self.b(x)

    network = read(Branching(), torch.ones(1, 4))
    with pytest.raises(InputError, match="was not there when the network was read"):
        network.run(-torch.ones(1, 4), Call.compute)


def test_early_stop_is_followed():
    """A run that leaves the time loop early is a prefix of the full one."""

    class Stops(Looped):
        def forward(self, x):
            out = torch.zeros(x.shape[0], 5)
            for _t in range(4 if x.shape[0] == 3 else 2):
                out += self.step(x)
            return out

    network = read(Stops(), torch.randn(3, 3, 8, 8))
    steps = []
    network.run(torch.randn(1, 3, 8, 8), lambda call: (steps.append((call.name, call.step)), call.compute())[1])
    assert steps == [(n, t) for t in range(2) for n in ("conv", "mid", "fc")]


def test_arithmetic_on_parameters_does_not_shift_names():
    """Weights are prepared with the same functions that layers use; the light run must keep step."""

    class Prepared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.mix = (nn.Parameter(torch.randn(4, 4)) for _ in range(3))

        def forward(self, x):
            x = torch.relu(torch.nn.functional.linear(x, torch.relu(self.a) @ self.mix))
            x = torch.relu(torch.nn.functional.linear(x, self.b + torch.relu(self.b)))
            return x + torch.nn.functional.linear(x, self.mix.tanh())

    network = read(Prepared(), torch.randn(2, 4))
    drift(network)
    seen = []
    network.run(network.example, Call.compute, on_layer=lambda name, *_: seen.append(name))
    assert seen == [layer.name for layer in network.workload.layers] and not network.workload.not_understood
    assert [x.op for x in network.workload.layers] == ["linear", "relu", "linear", "relu", "linear", "add"]


def test_weights_made_from_data_are_refused_and_still_run():
    class Dynamic(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            h = self.a(x)
            return self.b(torch.nn.functional.linear(h, h.sum(0).expand(4, 4)))

    network = read(Dynamic(), torch.randn(2, 4))
    assert [(n.operation, n.reason) for n in network.workload.not_understood] == [
        ("linear", "a product of two activations")
    ]
    drift(network)
