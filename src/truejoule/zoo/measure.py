"""What a trained network of the zoo does on images: how often it is right, how often its neurons fire."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from truejoule.training.data import to_input
from truejoule.training.neurons import LIF


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor, batch: int = 100) -> float:
    """Fraction of ``images`` (N, height, width) uint8 whose largest output is at ``labels`` (N,); in eval mode."""
    was_training = net.training
    net.eval()
    right = 0
    for x, y in zip(images.split(batch), labels.split(batch), strict=True):
        right += int((net(to_input(x)).argmax(1) == y).sum())
    net.train(was_training)
    return right / len(images)


@torch.no_grad()
def spike_density(net: nn.Module, images: Tensor, batch: int = 100) -> dict[str, float]:
    """Spikes per neuron and time step of each LIF of ``net`` on ``images`` (N, height, width) uint8, before pooling."""
    spikes: dict[str, float] = {}
    slots: dict[str, int] = {}

    def count(name: str, output: Any) -> None:
        spikes[name] = spikes.get(name, 0.0) + float(output.sum(dtype=torch.float64))
        slots[name] = slots.get(name, 0) + output.numel()

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: count(name, output))
        for name, module in net.named_modules()
        if isinstance(module, LIF)
    ]
    try:
        for x in images.split(batch):
            net(to_input(x))
    finally:
        for handle in handles:
            handle.remove()
    return {name: spikes[name] / slots[name] for name in spikes}
