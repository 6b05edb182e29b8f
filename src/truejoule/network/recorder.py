"""Turns the tensors that flow through layers into sums that add up over batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from truejoule.errors import InputError
from truejoule.network.precision import InputCode
from truejoule.network.timing import Layout
from truejoule.workload import Activity, Layer, LayerActivity


@dataclass(slots=True)
class _Sums:
    """Running sums of one layer; indices are time steps. Samples are counted per step, for runs that stop early."""

    samples: list[int] = field(default_factory=list)
    nonzero_inputs: list[float] = field(default_factory=list)
    input_ones: list[float] = field(default_factory=list)
    active_patches: list[float] = field(default_factory=list)
    nonzero_outputs: list[float] = field(default_factory=list)


class ActivityRecorder:
    """Accumulates the ``Activity`` of a network while it runs; pass its ``on_layer`` to ``Network.run``.

    Parameters
    ----------
    layers, layouts, codes : what the network knows about each of its layers.
    batch_major : whether flat tensors are (N·T, ...) instead of (T·N, ...).
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        layouts: Mapping[str, Layout],
        codes: Mapping[str, InputCode],
        batch_major: bool = False,
    ) -> None:
        self._layers, self._layouts, self._codes, self._batch_major = layers, layouts, codes, batch_major
        self._sums = {name: _Sums() for name in layers}

    def on_layer(self, name: str, step: int, steps: int, input: Tensor, output: Tensor) -> None:
        """One execution: raw tensors as the module saw them, from time step ``step`` on."""
        layer = self._layers.get(name)
        if layer is None:
            return
        layout, sums = self._layouts[name], self._sums[name]
        with torch.no_grad():
            x, y = layout.split(input.detach(), self._batch_major), layout.split(output.detach(), self._batch_major)
            if x[0, 0].numel() != layer.inputs:
                raise InputError(
                    "a layer whose input size changed",
                    where=name,
                    got=f"{x[0, 0].numel()} elements per sample",
                    expected=f"{layer.inputs}",
                    fix="use data of the same size as the example",
                )
            nonzero = x != 0
            code = self._codes.get(name)
            per_step = nonzero.flatten(1).sum(1).tolist()
            # Spikes need no second pass: their code is the spike itself.
            ones = (
                per_step
                if code is None or (code.bits == 1 and not code.bipolar)
                else code.ones(x).flatten(1).sum(1).tolist()
            )
            patches = active_patches(nonzero, layer).tolist() if windows(layer) else [0.0] * len(x)
            out = (y != 0).flatten(1).sum(1).tolist()
            for offset in range(len(x)):
                _add(sums.samples, step + offset, x.shape[1])
                _add(sums.nonzero_inputs, step + offset, per_step[offset])
                _add(sums.input_ones, step + offset, ones[offset])
                _add(sums.active_patches, step + offset, patches[offset])
                _add(sums.nonzero_outputs, step + offset, out[offset])

    def activity(self, origin: str = "measured (ideal)") -> Activity:
        """The sums so far.

        Raises
        ------
        InputError : when nothing was recorded.
        """
        measured = {}
        for name, layer in self._layers.items():
            sums = self._sums[name]
            if not sums.samples:
                continue
            measured[name] = LayerActivity(
                max(sums.samples),
                layer.inputs,
                layer.outputs,
                windows(layer),
                tuple(sums.nonzero_inputs),
                tuple(sums.input_ones),
                tuple(count * _share(layer) for count in sums.active_patches),
                tuple(sums.nonzero_outputs),
            )
        if not measured:
            raise InputError(
                "no activity was recorded",
                where="data",
                got="no batches",
                expected="at least one batch",
                fix="check the data loader",
            )
        return Activity(measured, origin)


def windows(layer: Layer) -> int:
    """Windows (im2col rows) of one sample in one step; 0 for layers that do not slide."""
    return layer.positions if layer.op == "conv" or layer.op.endswith("pool") else 0


def active_patches(nonzero: Tensor, layer: Layer) -> Tensor:
    """Windows with any non-zero input, summed per step; ``nonzero`` (steps, N, C, H, W) bool → (steps,) whole numbers.

    Each group of a convolution and each channel of a pooling layer has its own windows: times ``_share`` they are whole positions.
    """
    steps, samples = nonzero.shape[:2]
    any_channel = nonzero.reshape(steps * samples, *layer.input_shape)
    if layer.op == "conv":
        inner = layer.in_channels // layer.groups
        any_channel = any_channel.unflatten(1, (layer.groups, inner)).any(2)
    up, left = layer.padding
    x = F.pad(any_channel.to(torch.float32), (left, left, up, up))
    pooled = F.max_pool2d(x, layer.kernel, layer.stride, 0, layer.dilation)
    if pooled.shape[-2:] != layer.output_shape[1:]:  # adaptive windows of unequal size
        pooled = F.adaptive_max_pool2d(x, layer.output_shape[1:])
    return pooled.reshape(steps, -1).sum(1, dtype=torch.float64)


def _share(layer: Layer) -> float:
    """Positions per window."""
    return 1.0 / (layer.groups if layer.op == "conv" else layer.in_channels)


def _add(sums: list[float] | list[int], index: int, value: float) -> None:
    while len(sums) <= index:
        sums.append(0)
    sums[index] += value  # type: ignore[assignment]
