"""Brevitas: weight and activation bits come out of the values."""

import warnings

import pytest
import torch
from torch import nn

from truejoule.network import drift, read

pytest.importorskip(
    "brevitas", reason="brevitas is not installed (pip install --no-deps brevitas unfoldNd dependencies==2.0.1)"
)
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import brevitas.nn as qnn
        from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
except ImportError as error:  # a half-installed brevitas
    pytest.skip(f"brevitas cannot be imported: {error}", allow_module_level=True)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weight_bits(bits):
    net = nn.Sequential(
        qnn.QuantConv2d(3, 8, 3, weight_bit_width=bits),
        nn.ReLU(),
        nn.Flatten(),
        qnn.QuantLinear(8 * 36, 5, bias=True, weight_bit_width=bits),
    ).eval()
    network = read(net, torch.randn(2, 3, 8, 8))
    drift(network)
    assert [(x.name, x.op, x.weight_levels) for x in network.workload.multiplying] == [
        ("0", "conv", "signed"),
        ("3", "linear", "signed"),
    ]
    assert (
        all(x.weight_bits <= bits for x in network.workload.multiplying) and network.workload["3"].weight_bits == bits
    )
    assert not network.workload.not_understood


def test_binary_weights_and_activations():
    net = nn.Sequential(
        qnn.QuantConv2d(3, 8, 3, weight_quant=SignedBinaryWeightPerTensorConst),
        nn.BatchNorm2d(8),
        qnn.QuantIdentity(act_quant=SignedBinaryActPerTensorConst),
        nn.Flatten(),
        qnn.QuantLinear(8 * 36, 5, bias=False, weight_quant=SignedBinaryWeightPerTensorConst),
    ).eval()
    network = read(net, torch.randn(2, 3, 8, 8))
    drift(network)
    w = network.workload
    assert [(x.weight_bits, x.weight_levels) for x in w.multiplying] == [(1, "binary")] * 2
    assert w["2"].op == "sign" and (w["4"].input_bits, w["4"].inputs_signed) == (1, True)
    assert not w.not_understood


@pytest.mark.parametrize("bits", [2, 4])
def test_quantised_activations(bits):
    act = qnn.QuantReLU(bit_width=bits, max_val=2.0)
    net = nn.Sequential(
        qnn.QuantConv2d(1, 6, 3, weight_bit_width=4),
        act,
        nn.Flatten(),
        qnn.QuantLinear(216, 5, bias=False, weight_bit_width=4),
    ).eval()
    network = read(net, torch.randn(4, 1, 8, 8) * 3)
    drift(network)
    assert network.workload["1"].op == "relu" and network.workload["3"].input_bits == bits
    assert [(e.source, e.target) for e in network.workload.edges] == [("input", "0"), ("0", "1"), ("1", "3")]
    assert not network.workload.not_understood


class Wrapped(nn.Module):
    """Values travel with their scale, through layers, pooling and a residual addition."""

    def __init__(self):
        super().__init__()
        self.image = qnn.QuantIdentity(bit_width=8, return_quant_tensor=True)
        self.a = qnn.QuantConv2d(1, 4, 3, padding=1, weight_bit_width=4, return_quant_tensor=True)
        self.act = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        self.b = qnn.QuantConv2d(4, 4, 3, padding=1, weight_bit_width=4)
        self.again = qnn.QuantIdentity(bit_width=4, return_quant_tensor=True)
        self.fc = qnn.QuantLinear(4 * 16, 3, bias=False, weight_bit_width=4)

    def forward(self, x):
        x = self.act(self.a(self.image(x)))
        y = self.again(self.b(x)) + self.again(x)
        return self.fc(nn.functional.max_pool2d(y.value, 2).flatten(1))


def test_quantised_tensors_count_as_their_values():
    x = torch.rand(3, 1, 8, 8)
    network = read(Wrapped().eval(), x)
    drift(network)
    w = network.workload
    assert not w.not_understood and {(e.source, e.target) for e in w.edges} == {
        ("input", "a"), ("a", "act"), ("act", "b"), ("b", "add"), ("act", "add"), ("add", "max_pool"), ("max_pool", "fc"),
    }  # fmt: skip
    with torch.no_grad():
        alone = network.module(x)
    same = network.run(x, lambda call: call.compute().clone())  # plain tensors as answers
    assert torch.equal(alone, same)
    assert network.measure(x).layers["fc"].samples == 3
