"""A layer as SATA computes it: integers in, an accumulator of stated width, one scale per channel on the way out."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from truejoule.accelerators.image import with_image_bits
from truejoule.accelerators.sata.dataflow import input_bits, weight_bits
from truejoule.accelerators.sata.dataflow import planes as cycles_per_product
from truejoule.accelerators.sata.design import Structure
from truejoule.network import Network
from truejoule.numerics.deployed import Deployed, Tally, watched
from truejoule.numerics.inputs import integers, values
from truejoule.numerics.quantise import Grid, IntegerWeights, input_grid, integer_weights
from truejoule.numerics.slicing import bit_planes
from truejoule.workload import Layer
from truejoule.workload.standing import standing_layers

EXACT = 2**24
"""Largest integer up to which float32 holds every one."""


def deploy(network: Network, structure: Structure, calibration: Iterable[Tensor], machine: str) -> Deployed:
    """Load every layer with weights; input widths come from the calibration samples (the network's example if none)."""
    if not network.settled:
        network = network.calibrated(list(calibration) or [network.example])
    weights, layers = network.weights(), {}
    for layer in with_image_bits(network.workload, structure.image_bits).multiplying:
        loaded = integer_weights(
            weights[layer.name], weight_bits(layer, structure), layer.weight_levels, where=layer.name
        )
        grid = input_grid(network.codes[layer.name], input_bits(layer, structure))
        layers[layer.name] = ArrayLayer(layer, loaded, grid, structure)
    once = structure.standing_input == "once"
    return Deployed(network, copy.deepcopy(network.module), layers, machine, standing_layers(network.workload), once)


class ArrayLayer(nn.Module):
    """One conv or linear layer in integer arithmetic.

    Sums are exact and then clipped to ``accumulator_bits``, as a saturating accumulator does whose running sum leaves its range only at the end;
    one that leaves it on the way and comes back is not modelled. Clipped sums are counted: they appear as saturation in the warnings.

    Buffers
    -------
    codes : ``(K, C/groups, R, S)`` or ``(K, features)`` integer weights.
    scale : ``(K,)`` step of the weights times that of the inputs.
    """

    codes: Tensor
    ones: Tensor
    scale: Tensor

    def __init__(self, layer: Layer, weights: IntegerWeights, grid: Grid, structure: Structure) -> None:
        super().__init__()
        self.layer, self.structure, self.grid = layer, structure, grid
        self.tally, self.spent = Tally(), Tally()
        shape = (
            (layer.out_channels, -1)
            if layer.op == "linear"
            else (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel)
        )
        exact = float(weights.codes.abs().sum(1).max()) * grid.top < EXACT
        self.register_buffer("codes", weights.codes.view(shape).to(torch.float32 if exact else torch.float64))
        self.register_buffer("ones", torch.ones_like(self.codes[:1], dtype=torch.float32))
        self.register_buffer("scale", (weights.scale * grid.step).view(-1, *((1, 1) if layer.op == "conv" else ())))

    @property
    def repeatable(self) -> bool:
        """See ``numerics.deployed.HardwareLayer``."""
        return True

    def wire_loss(self) -> None:
        """A digital layer has none."""
        return None

    def calibrate(self, on: bool) -> None:
        """A digital layer has no ranges to set."""

    def forward(self, x: Tensor, bias: Tensor | None, step: int, first_sample: int) -> Tensor:
        """See ``numerics.deployed.HardwareLayer``."""
        codes, taken = integers(x, self.grid)
        spent = Tally()
        spent.take(taken)
        exact = self._multiply(codes.to(self.codes.dtype))
        top = 2 ** (self.structure.accumulator_bits - 1) - 1
        sums = exact.clamp(-top - 1, top)
        spent.count("accumulates", 0, self._accumulates(codes))
        spent.converted, spent.clipped = float(sums.numel()), float((sums != exact).sum())
        looked_at = watched(first_sample, step)
        if looked_at:
            spent.watch(exact[:looked_at], sums[:looked_at])
        self.tally.add(spent, step)
        self.spent = spent
        result = values(sums, self.scale, x)
        return result if bias is None else result + bias.view(-1, *((1, 1) if self.layer.op == "conv" else ()))

    def _multiply(self, x: Tensor) -> Tensor:
        """Integer sums ``(N, K, ...)``; 1-D maps are convolved as maps of height 1."""
        layer = self.layer
        if layer.op == "linear":
            return functional.linear(x, self.codes)
        return functional.conv2d(x, self.codes, None, layer.stride, layer.padding, layer.dilation, layer.groups)

    def _accumulates(self, codes: Tensor) -> float:
        """Gated operations of the batch: (ones of the) inputs times the outputs that they reach, zero padding left out."""
        layer, s = self.layer, self.structure
        if s.pe == "mac":
            planes = [(codes != 0).to(codes.dtype)] * cycles_per_product(layer, s)
        else:
            planes = [plane for _, plane in bit_planes(codes, self.grid.low, self.grid.high)]
        active = torch.stack(planes).sum(0)
        if layer.op == "linear":
            return float(active.double().sum()) * layer.out_channels
        # Per group, one channel of ones counts the active inputs under every window.
        inner = layer.in_channels // layer.groups
        grouped = active.unflatten(1, (layer.groups, inner)).sum(2)
        kernel = self.ones[:, :1].expand(layer.groups, -1, -1, -1)
        reached = functional.conv2d(grouped, kernel, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        return float(reached.double().sum()) * (layer.out_channels // layer.groups)
