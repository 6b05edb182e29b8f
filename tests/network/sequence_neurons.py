"""Neurons that loop over time inside one call, as people write them; each is a few lines against the equation in ``Neuron``."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Loop(nn.Module):
    """Integrates over one axis of its input; hard reset by multiplication, threshold and decay as plain attributes."""

    def __init__(self, axis: int = 1, thresh: float = 1.0, tau: float = 0.5, soft: bool = False) -> None:
        super().__init__()
        self.axis, self.thresh, self.tau, self.soft = axis, thresh, tau, soft

    def forward(self, x: Tensor) -> Tensor:
        mem, out = 0.0, []
        for frame in x.unbind(self.axis):
            mem = mem * self.tau + frame
            spike = (mem - self.thresh >= 0).to(x.dtype)
            mem = mem - self.thresh * spike if self.soft else (1 - spike) * mem
            out.append(spike)
        return torch.stack(out, dim=self.axis)


class Known(Loop):
    """The same for a T that is an attribute of the module."""

    def __init__(self, steps: int, axis: int = 1, **options: float) -> None:
        super().__init__(axis, **options)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.narrow(self.axis, 0, self.steps))


class Flat(nn.Module):
    """Takes (T·N, ...) or (N·T, ...) apart itself, by a T or an N that it was told."""

    def __init__(self, axis: int = 0, steps: int = -1, samples: int = -1, **options: float) -> None:
        super().__init__()
        self.loop, self.axis, self.steps, self.samples = Loop(axis, **options), axis, steps, samples

    def forward(self, x: Tensor) -> Tensor:
        two = (self.steps, self.samples) if self.axis == 0 else (self.samples, self.steps)
        return self.loop(x.reshape(*two, *x.shape[1:])).flatten(0, 1)


class Net(nn.Module):
    """A still image, repeated; layers work on flattened tensors and neurons loop over time."""

    def __init__(self, neuron: nn.Module, second: nn.Module, axis: int, steps: int = 3, flat: bool = False) -> None:
        super().__init__()
        self.axis, self.steps, self.flat = axis, steps, flat
        self.conv, self.one = nn.Conv2d(2, 6, 3, padding=1, bias=False), neuron
        self.fc, self.two = nn.Linear(6 * 16, 5), second

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(self.axis)
        x = torch.cat([x] * self.steps, self.axis)
        lead = x.shape[:2]
        y = self.conv(x.flatten(0, 1))
        y = self.one(y) if self.flat else self.one(y.unflatten(0, lead)).flatten(0, 1)
        y = self.fc(y.flatten(1))
        y = self.two(y) if self.flat else self.two(y.unflatten(0, lead)).flatten(0, 1)
        return y.unflatten(0, lead).mean(self.axis)
