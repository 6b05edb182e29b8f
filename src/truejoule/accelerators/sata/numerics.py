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
from truejoule.numerics.deployed import Deployed, Tally
from truejoule.numerics.quantise import Grid, IntegerWeights, integer_weights, known_grid, range_grid
from truejoule.numerics.slicing import bit_planes
from truejoule.workload import Layer
from truejoule.workload.standing import standing_layers

EXACT = 2**24
"""Largest integer up to which float32 holds every one."""


def deploy(network: Network, structure: Structure, calibration: Iterable[Tensor], machine: str) -> Deployed:
    """Load every layer with weights, and set the ranges of real-valued inputs on the calibration batches (the network's example if none)."""
    weights, layers = network.weights(), {}
    for layer in with_image_bits(network.workload, structure.image_bits).multiplying:
        integers = integer_weights(
            weights[layer.name], weight_bits(layer, structure), layer.weight_levels, where=layer.name
        )
        code = network.codes[layer.name]
        grid = known_grid(code.step, code.bits, code.signed)
        layers[layer.name] = ArrayLayer(layer, integers, grid, structure)
    once = standing_layers(network.workload) if structure.standing_input == "once" else ()
    deployed = Deployed(network, copy.deepcopy(network.module), layers, machine, once)
    deployed.calibrate(list(calibration) or [network.example])
    return deployed


class ArrayLayer(nn.Module):
    """One conv or linear layer in integer arithmetic.

    Sums are exact and then clipped to ``accumulator_bits``, as a saturating accumulator does whose running sum leaves its range only at the end;
    one that leaves it on the way and comes back is not modelled. Clipped sums are counted: they appear as saturation in the warnings.

    Buffers
    -------
    codes : ``(K, C/groups, R, S)`` or ``(K, features)`` integer weights.
    scale : ``(K,)`` step of the weights.
    """

    codes: Tensor
    ones: Tensor
    scale: Tensor

    def __init__(self, layer: Layer, weights: IntegerWeights, grid: Grid | None, structure: Structure) -> None:
        super().__init__()
        self.layer, self.structure = layer, structure
        self.tally, self.calibrating = Tally(), False
        self.grid, self._follow_inputs = grid, grid is None
        shape = (
            (layer.out_channels, -1)
            if layer.op == "linear"
            else (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel)
        )
        self.register_buffer("codes", weights.codes.view(shape))
        self.register_buffer("ones", torch.ones_like(self.codes[:1]))
        self.register_buffer("scale", weights.scale.float())
        self._heaviest = float(weights.codes.abs().sum(1).max())

    def wire_loss(self) -> None:
        """A digital layer has none."""
        return None

    def calibrate(self, on: bool) -> None:
        """See ``numerics.deployed.HardwareLayer``."""
        self.calibrating = on

    def forward(self, x: Tensor, bias: Tensor | None, step: int, first_sample: int) -> Tensor:
        """See ``numerics.deployed.HardwareLayer``."""
        grid = self._input_grid(x)
        codes = grid.codes(x)
        spent = Tally(overflow=grid.overflow(x)) if first_sample == 0 else Tally()
        wide = codes.double() if self._heaviest * grid.top >= EXACT else codes
        exact = self._multiply(wide, self.codes.to(wide.dtype))
        top = 2 ** (self.structure.accumulator_bits - 1) - 1
        sums = exact.clamp(-top - 1, top)
        spent.count("accumulates", 0, self._accumulates(codes, grid))
        spent.converted, spent.clipped = float(sums.numel()), float((sums != exact).sum())
        if step == 0 and first_sample == 0:
            spent.signal = float(exact.double().square().sum())
            spent.error = float((sums - exact).double().square().sum())
        self.tally.add(spent, step)
        shape = (-1,) if self.layer.op == "linear" else (-1, 1, 1)
        result = sums.to(x.dtype) * (self.scale * grid.step).to(x.dtype).view(shape)
        return result if bias is None else result + bias.view(shape)

    def _multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Integer sums ``(N, K, ...)``; 1-D maps are convolved as maps of height 1."""
        layer = self.layer
        if layer.op == "linear":
            return functional.linear(x, weight)
        flat = x.dim() == 3
        maps = x[:, :, None] if flat else x
        out = functional.conv2d(maps, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        return out[:, :, 0] if flat else out

    def _accumulates(self, codes: Tensor, grid: Grid) -> float:
        """Gated operations of the batch: (ones of the) inputs times the outputs that they reach, zero padding left out."""
        layer, s = self.layer, self.structure
        if s.pe == "mac":
            planes = [(codes != 0).to(codes.dtype)] * cycles_per_product(layer, s)
        else:
            planes = [plane for _, plane in bit_planes(codes, grid.bits, grid.signed)]
        active = torch.stack(planes).sum(0)
        if layer.op == "linear":
            return float(active.double().sum()) * layer.out_channels
        # Per group, one channel of ones counts the active inputs under every window.
        inner = layer.in_channels // layer.groups
        grouped = active.unflatten(1, (layer.groups, inner)).sum(2)
        maps = grouped if grouped.dim() == 4 else grouped[:, :, None]
        kernel = self.ones[:, :1].expand(layer.groups, -1, -1, -1)
        reached = functional.conv2d(maps, kernel, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        return float(reached.double().sum()) * (layer.out_channels // layer.groups)

    def _input_grid(self, x: Tensor) -> Grid:
        """The integer grid of the inputs: their own (spikes, pixels), else ``input_bits`` up to the largest calibration value."""
        if self.calibrating and self._follow_inputs:
            seen = 0.0 if self.grid is None else self.grid.step * self.grid.top
            self.grid = range_grid(
                max(float(x.abs().max()), seen), input_bits(self.layer, self.structure), self.layer.inputs_signed
            )
        assert self.grid is not None, "a layer computes only after calibration"
        return self.grid
