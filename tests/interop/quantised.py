"""A network with integer weights and inputs, written for tests alone: what an undisturbed machine must compute.

Imports nothing of truejoule, so that no mistake can be on both sides.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


class IntegerLayer(nn.Module):
    """A conv or linear layer: inputs and weights become integers, their products are summed exactly, one scale per channel leads back.

    Weights lie on ``2^bits - 1`` symmetric levels of their channel; inputs on whole multiples of ``step`` from ``low`` to ``high``.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, bits: int, step: float, low: int, high: int) -> None:
        super().__init__()
        self.layer, self.step, self.low, self.high = layer, step, low, high
        flat = layer.weight.detach().double().flatten(1)
        scale = flat.abs().amax(1) / (2 ** (bits - 1) - 1)
        self.codes = (flat / scale[:, None]).round().view(layer.weight.shape)
        self.scale = (scale * step).float()

    def forward(self, x: Tensor) -> Tensor:
        codes = torch.round(x / self.step).clamp(self.low, self.high).double()
        layer = self.layer
        if isinstance(layer, nn.Linear):
            out = functional.linear(codes, self.codes).float() * self.scale
            return out if layer.bias is None else out + layer.bias
        sums = functional.conv2d(codes, self.codes, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        out = sums.float() * self.scale.view(-1, 1, 1)
        return out if layer.bias is None else out + layer.bias.view(-1, 1, 1)


def quantised(
    net: nn.Module, samples: Tensor, weight_bits: int, input_bits: int, known: Mapping[str, tuple[float, int, int]] = {}
) -> nn.Module:
    """A copy of the network with integer layers.

    Parameters
    ----------
    samples : real-valued inputs of a layer reach from 0 (or minus the largest magnitude) to the largest value on these.
    input_bits : of real-valued inputs, sign included.
    known : per layer whose inputs are multiples of a step by themselves: step, lowest and highest multiple.
    """
    layers = {name: m for name, m in net.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    low, high = dict.fromkeys(layers, 0.0), dict.fromkeys(layers, 0.0)

    def look(name: str):
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            low[name], high[name] = min(low[name], float(args[0].min())), max(high[name], float(args[0].max()))

        return hook

    handles = [layer.register_forward_pre_hook(look(name)) for name, layer in layers.items()]
    with torch.no_grad():
        net(samples)
    for handle in handles:
        handle.remove()
    twin = copy.deepcopy(net)
    for name, layer in layers.items():
        if name in known:
            step, lowest, highest = known[name]
        else:
            signed = low[name] < 0
            highest = 2 ** (input_bits - signed) - 1
            lowest, step = -highest if signed else 0, max(high[name], -low[name]) / highest
        parent, _, attribute = name.rpartition(".")
        setattr(
            twin.get_submodule(parent),
            attribute,
            IntegerLayer(copy.deepcopy(layer), weight_bits, step, lowest, highest),
        )
    return twin.eval()
