"""Neurons whose state is rounded to a grid: what an earlier input leaves is a staircase, and the record follows from its steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product

import torch
from torch import Tensor, nn

from truejoule.network.constants import constant, threshold_attribute
from truejoule.network.fitting import Firing, bounded, outputs
from truejoule.network.lanes import onset
from truejoule.workload.neuron import Neuron, Reset, values

TRIED = 120  # earlier inputs, from almost nothing to almost the threshold


def rounded_records(found: Firing, module: nn.Module) -> Iterator[Neuron]:
    """Records with a grid that fit what was measured; none for a neuron whose state is not rounded. ``verify`` must decide."""
    if found.lanes.neurons > 1 or found.late:
        return
    at = float(found.at)
    sizes = torch.linspace(0.004, 0.984, TRIED) * at
    left = float(found.second) - _after(found, sizes).double()
    steps = torch.unique((left / (1e-5 * at)).round()) * (1e-5 * at)
    if bool(left.isnan().any()) or not 3 <= len(steps) <= TRIED // 2:
        return
    edges = [_edge(found, float(a + b) / 2) for a, b in pairwise(steps[:3])]
    width, rise = edges[1] - edges[0], float(steps[2] - steps[1])
    decay = constant(torch.tensor([rise / width]), module, low=0.0, high=1.0, scale=1.0, accuracy=1e-4)
    spikes = outputs(found)
    height = constant(spikes.height, module, low=0.0)
    wanted = threshold_attribute(module)
    resets: list[tuple[Reset, int]] = [("value", 0), ("subtract", 0), ("subtract", 1), ("none", 0)]
    for (stage, level), (reset, delay) in product(
        (("compared", at + width / 2), ("stored", at), ("compared", at)), resets
    ):
        threshold = wanted[:1] if wanted is not None else _number(torch.tensor([level]), module)
        gain = _number(threshold / level, module) if level != at or stage == "stored" else torch.ones(1)
        scale = float(gain)
        neuron = Neuron(
            threshold=float(threshold),
            decay=decay,
            gain=scale,
            reset=reset,
            reset_delay=delay,
            height=height,
            max_spikes=spikes.most,
            signed=spikes.signed,
            grid=constant(torch.tensor([width * scale]), module, low=0.0, accuracy=1e-5),
            grid_stage=stage,  # type: ignore[arg-type]
        )
        for made in bounded(neuron, found, module, spikes.signed):
            yield made
            yield replace(made, fires_at_equality=False)


def _number(measured: Tensor, module: nn.Module) -> Tensor:
    return torch.tensor(values(constant(measured, module, low=0.0)), dtype=torch.float64)


def _after(found: Firing, before: Tensor) -> Tensor:
    """The smallest input that fires in the step after each of many earlier ones."""
    reach = float(found.at) + 3 * before.abs()
    lanes = found.lanes

    def fires(x: Tensor) -> Tensor:
        return lanes.last(before.expand_as(x).reshape(-1, 1), x.reshape(-1, 1)).reshape(x.shape)

    return onset(fires, -20 * reach, 60 * reach, lanes.precision)[1]


def _edge(found: Firing, left: float) -> float:
    """The earlier input from which on more than ``left`` is left of it."""
    second = float(found.second) - left
    fires = onset(lambda x: found.lanes.last(x, second), torch.zeros(1), found.at * 0.9999, found.lanes.precision)
    return float(fires[1])
