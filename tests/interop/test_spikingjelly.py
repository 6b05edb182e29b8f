"""SpikingJelly: neuron variants, single- and multi-step networks, residual (SEW) blocks."""

import math

import pytest
import torch
from torch import nn

from truejoule.network import UnknownNeuron, drift, observe, probe, read
from truejoule.workload import Neuron

pytest.importorskip("spikingjelly", reason="spikingjelly is not installed (pip install --no-deps spikingjelly loguru)")
pytest.importorskip("loguru", reason="spikingjelly needs loguru")
from spikingjelly.activation_based import functional, layer, neuron


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.5, 0.2])
@pytest.mark.parametrize("threshold", [1.0, 0.7])
def test_if(v_reset, threshold, mode):
    got = probe(neuron.IFNode(v_threshold=threshold, v_reset=v_reset, step_mode=mode))
    assert got is not None and math.isclose(
        got.threshold, threshold - (v_reset or 0.0)
    )  # the record's state starts at 0
    assert (
        got.decay == 1.0
        and got.gain == 1.0
        and got.reset == ("subtract" if v_reset is None else "value")
        and got.fires_at_equality
    )


@pytest.mark.parametrize("kind", ["LIF", "PLIF"])
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("v_reset", [None, 0.0, -0.5])
@pytest.mark.parametrize("tau", [2.0, 3.0, 1.5, 2.5])
def test_lif(tau, v_reset, decay_input, kind):
    make = neuron.LIFNode if kind == "LIF" else neuron.ParametricLIFNode
    got = probe(make(tau, decay_input=decay_input, v_reset=v_reset))
    assert got is not None
    assert math.isclose(got.decay, 1 - 1 / tau, rel_tol=1e-6) and math.isclose(
        got.gain, 1 / tau if decay_input else 1.0, rel_tol=1e-6
    )
    assert (
        math.isclose(got.threshold, 1.0 - (v_reset or 0.0))
        and got.reset == ("subtract" if v_reset is None else "value")
        and got.reset_value == 0.0
    )


def test_neurons_outside_the_record():
    for name in ("QIFNode", "EIFNode", "IzhikevichNode"):
        with pytest.raises(UnknownNeuron):
            probe(getattr(neuron, name)())


def test_a_neuron_that_turns_out_to_fit():
    """KLIF with its initial k = 1 is a LIF whose membrane cannot be negative."""
    assert probe(neuron.KLIFNode()) == Neuron(1.0, 0.5, "value", gain=0.5, lower_bound=0.0)


class Sew(nn.Module):
    def __init__(self, mode="m"):
        super().__init__()
        self.conv0, self.bn0, self.sn0 = (
            layer.Conv2d(2, 8, 3, padding=1, bias=False),
            layer.BatchNorm2d(8),
            neuron.IFNode(),
        )
        self.conv1, self.bn1, self.sn1 = (
            layer.Conv2d(8, 8, 3, padding=1, bias=False),
            layer.BatchNorm2d(8),
            neuron.LIFNode(v_reset=None),
        )
        self.pool, self.flat, self.fc = layer.MaxPool2d(2, 2), layer.Flatten(), layer.Linear(8 * 16, 10)
        functional.set_step_mode(self, mode)

    def forward(self, x):
        a = self.sn0(self.bn0(self.conv0(x)))
        b = self.sn1(self.bn1(self.conv1(a))) + a
        return self.fc(self.flat(self.pool(b)))


class Static(Sew):
    def forward(self, x):
        return super().forward(x.unsqueeze(0).repeat(4, 1, 1, 1, 1)).mean(0)


EDGES = {
    ("input", "conv0"),
    ("conv0", "bn0"),
    ("bn0", "sn0"),
    ("sn0", "conv1"),
    ("conv1", "bn1"),
    ("bn1", "sn1"),
    ("sn1", "add"),
    ("sn0", "add"),
    ("add", "pool"),
    ("pool", "fc"),
}


def variants():
    torch.manual_seed(0)
    weights = Sew().state_dict()
    x = torch.rand(3, 2, 8, 8) * 3
    for make, example, options in (
        (Sew, x.repeat(4, 1, 1, 1, 1), {}),
        (Static, x, {}),
        (lambda: Sew("s"), x, {"time_steps": 4}),
        (lambda: Sew("s"), x.repeat(4, 1, 1, 1, 1), {"time_steps": 4, "time_axis": 0}),
    ):
        net = make()
        net.load_state_dict(weights)
        yield net, example, options


def test_single_step_and_multi_step_give_the_same_workload_and_activity():
    seen = []
    for net, example, options in variants():
        network = read(net, example, **options)
        drift(network)
        w = network.workload
        assert {(e.source, e.target) for e in w.edges} == EDGES and w.time_steps == 4 and not w.not_understood
        assert w.macs == 4 * (8 * 64 * 18 + 8 * 64 * 72 + 1280)
        seen.append((w.layers, network.measure(example).layers))
    for layers, activity in seen[1:]:
        assert [(a.name, a.op, a.input_shape, a.output_shape, a.steps, a.neuron, a.input_bits) for a in layers] == [
            (a.name, a.op, a.input_shape, a.output_shape, a.steps, a.neuron, a.input_bits) for a in seen[0][0]
        ]
        for name in ("conv1", "sn0", "sn1", "pool", "fc"):
            assert activity[name].nonzero_inputs == seen[0][1][name].nonzero_inputs or name.startswith("sn")
            assert activity[name].nonzero_outputs == seen[0][1][name].nonzero_outputs or name == "fc"
            assert activity[name].active_patches == seen[0][1][name].active_patches


def test_the_framework_state_is_left_alone():
    net, example, _ = next(variants())
    net(example)
    before = net.sn0.v.clone()
    observe(net, example)
    assert torch.equal(net.sn0.v, before) and net.sn0.step_mode == "m"
