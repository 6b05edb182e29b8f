"""Neurons and containers in the manner of public spiking frameworks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Step(torch.autograd.Function):
    """1 above zero, with a triangular surrogate gradient."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * (1 - x.abs()).clamp(min=0)


class Pair(nn.Module):
    """snnTorch: takes current and membrane, gives spikes and membrane; the reset acts one step late."""

    def __init__(self, beta: Tensor | float, threshold: Tensor | float = 1.0) -> None:
        super().__init__()
        self.beta, self.threshold = nn.Parameter(torch.as_tensor(beta)), torch.as_tensor(threshold)

    def forward(self, current: Tensor, mem: Tensor) -> tuple[Tensor, Tensor]:
        late = Step.apply(mem - self.threshold).detach()
        mem = self.beta.clamp(0, 1) * mem + current - late * self.threshold
        return Step.apply(mem - self.threshold), mem


class Current(nn.Module):
    """snnTorch's second-order neuron: the synaptic current decays too; three values in, three out."""

    def forward(self, x: Tensor, current: Tensor, mem: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        late = Step.apply(mem - 1.0).detach()
        current = 0.7 * current + x
        mem = 0.8 * mem + current - late
        return Step.apply(mem - 1.0), current, mem


class CubaState(NamedTuple):
    """Norse: what a cell carries."""

    v: Tensor
    i: Tensor


class Cuba(nn.Module):
    """Norse's LIF cell: Euler steps of membrane and current, jump of the current at the end, hard reset."""

    def forward(self, x: Tensor, state: CubaState | None = None) -> tuple[Tensor, CubaState]:
        if state is None:
            state = CubaState(torch.zeros_like(x), torch.zeros_like(x))
        v = state.v + 0.1 * ((0.0 - state.v) + state.i)
        spikes = Step.apply(v - 0.3)
        return spikes, CubaState((1 - spikes) * v + spikes * 0.0, state.i - 0.2 * state.i + x)


class Looped(nn.Module):
    """TET, SEENN, tdBN: the whole sequence (N, T, ...) in one call, the loop inside."""

    def __init__(self, channels: int = 0) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.randn(channels) * 0.5) if channels else None

    def forward(self, x: Tensor) -> Tensor:
        mem, out = 0, []
        tau = 0.5 if self.decay is None else torch.sigmoid(self.decay.view(1, -1, 1, 1))
        for t in range(x.shape[1]):
            mem = mem * tau + x[:, t, ...]
            spike = Step.apply(mem - 1.0)
            mem = (1 - spike) * mem
            out.append(spike)
        return torch.stack(out, dim=1)


class Filled(nn.Module):
    """MS-ResNet: (T, N, ...) in one call, written into a tensor made beforehand; T is known from outside."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        spike, old, out = torch.zeros_like(x[0]), 0, torch.zeros_like(x)
        for t in range(self.steps):
            mem = old * 0.25 * (1 - spike.detach()) + x[t] if t else x[t]
            spike = Step.apply(mem - 0.5)
            old = mem.clone()
            out[t] = spike
        return out


class Kept(nn.Module):
    """SpikingJelly: the membrane is an attribute until ``reset``; one step or (T, N, ...) per call."""

    def __init__(self, tau: float = 0.0, hard: bool = True, step_mode: str = "s") -> None:
        super().__init__()
        self.v_threshold, self.tau, self.hard, self.step_mode = 1.0, tau, hard, step_mode
        self.v: Tensor | float = 0.0

    def reset(self) -> None:
        self.v = 0.0

    def one(self, x: Tensor) -> Tensor:
        self.v = self.v + (x - self.v) / self.tau if self.tau else self.v + x
        spike = Step.apply(self.v - self.v_threshold)
        self.v = (1.0 - spike) * self.v if self.hard else self.v - spike * self.v_threshold
        return spike

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) if self.step_mode == "s" else torch.stack([self.one(frame) for frame in x])


class Scaled(nn.Module):
    """QCFS after conversion: IF that starts at half its threshold and fires spikes of that height."""

    def __init__(self, height: float) -> None:
        super().__init__()
        self.height, self.t = height, 0
        self.v: Tensor | float = 0.0

    def reset(self) -> None:
        self.t, self.v = 0, 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = x / self.height
        if self.t == 0:
            self.v = torch.ones_like(x) * 0.5
        self.v = self.v + x
        spike = Step.apply(self.v - 1.0)
        self.v = self.v - spike
        self.t += 1
        return spike * self.height


class Squeezed(nn.Module):
    """Sinabs: (N*T, ...), the sample first; as many spikes a step as fit, a lowest membrane, reset by subtraction."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, self.steps, *x.shape[1:])
        v, out = torch.zeros_like(x[:, 0]), []
        for t in range(self.steps):
            v = v + x[:, t]
            spikes = (v > 0) * torch.floor(v)
            v = (v - spikes).clamp(min=-1.0)
            out.append(spikes)
        return torch.stack(out, 1).flatten(0, 1)


class Flat(nn.Sequential):
    """SeqToANNContainer: the two leading axes, time and sample, become one for stateless layers."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x.flatten(0, 1))
        return y.view(*x.shape[:2], *y.shape[1:])
