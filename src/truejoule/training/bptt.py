"""Back-propagation through time of a layer stack, layer by layer instead of step by step.

A feed-forward spiking network may be evaluated one layer at a time over all steps: the layers without state see the
steps as one large batch, which is the same arithmetic, far fewer calls, and batch-norm statistics shared over time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from truejoule.training.neurons import LIF, reset


def outputs_over_time(layers: nn.Sequential, x: Tensor, steps: int) -> Tensor:
    """Outputs (T, N, ...) of ``layers`` when ``x`` (N, ...) is presented at each of ``steps`` = T steps, from rest.

    Layers before the first LIF see the same input at each step and are computed once.
    """
    reset(layers)
    per_step = [x]  # one entry until the first LIF, then one per step
    for layer in layers:
        if isinstance(layer, LIF):
            per_step = [layer(current) for current in (per_step * steps)[:steps]]
        elif isinstance(layer, nn.MaxPool2d):  # before concatenation: a quarter of the memory traffic
            per_step = [layer(spikes) for spikes in per_step]
        else:
            per_step = list(layer(torch.cat(per_step)).split(len(x)))
    reset(layers)
    return torch.stack((per_step * steps)[:steps])


@torch.no_grad()
def refresh_batchnorm(layers: nn.Sequential, batches: list[Tensor], steps: int) -> None:
    """Replace the running statistics of every batch-norm by the average over ``batches`` of inputs (N, ...).

    The weights stay as they are, and so does the mode (training or evaluation) of ``layers``.
    """
    norms = [m for m in layers.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta, was_training = [m.momentum for m in norms], layers.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    layers.train()
    for x in batches:
        outputs_over_time(layers, x, steps)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    layers.train(was_training)
