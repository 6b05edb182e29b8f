"""Spike functions: a hard threshold forward, a smooth stand-in backward.

The derivative of the Heaviside step is zero almost everywhere, so training replaces it by a bump around the threshold
(Neftci, Mostafa, Zenke 2019, arXiv 1901.09948). Every function here maps ``u = V - threshold`` to spikes in {0, 1}:
``spike = 1 where u >= 0``; equality fires. They differ only in ``d spike / d u``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from truejoule.errors import InputError, did_you_mean

SpikeFunction = Callable[[Tensor], Tensor]


class _Triangle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return u.abs().neg_().add_(1.0).clamp_(min=0.0).mul_(grads[0])


class _Atan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return grads[0] / (1.0 + (math.pi * u) ** 2)


class _FastSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return grads[0] / (1.0 + 10.0 * u.abs()) ** 2


def triangle(u: Tensor) -> Tensor:
    """Spikes of ``u`` (any shape); ``ds/du = max(0, 1 - |u|)`` (Bellec et al. 2018, arXiv 1803.09574, dampening 1)."""
    return _Triangle.apply(u)  # pyright: ignore[reportReturnType]


def atan(u: Tensor) -> Tensor:
    """Spikes of ``u`` (any shape); ``ds/du = 1 / (1 + (pi u)^2)`` (Fang et al. 2021, arXiv 2007.05785, alpha 2)."""
    return _Atan.apply(u)  # pyright: ignore[reportReturnType]


def fast_sigmoid(u: Tensor) -> Tensor:
    """Spikes of ``u`` (any shape); ``ds/du = 1 / (1 + 10 |u|)^2`` (SuperSpike, arXiv 1705.11146, steepness 10)."""
    return _FastSigmoid.apply(u)  # pyright: ignore[reportReturnType]


SURROGATES: dict[str, SpikeFunction] = {"triangle": triangle, "atan": atan, "fast_sigmoid": fast_sigmoid}


def spike_function(name: str) -> SpikeFunction:
    """The spike function called ``name``; raises ``InputError`` for an unknown one."""
    if name not in SURROGATES:
        raise InputError("unknown surrogate gradient", where="surrogate", got=name, fix=did_you_mean(name, SURROGATES))
    return SURROGATES[name]
