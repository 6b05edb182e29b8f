"""Weights and activations on integer grids during training, with straight-through rounding.

Weights are symmetric, with one scale per layer.

``q = round(clamp(w / s, -Q, Q))``, ``w_hat = s * q`` with ``Q = 2^(bits-1) - 1``. Rounding passes the gradient
straight through (Bengio et al. 2013, arXiv 1308.3432), so a weight inside the range receives the gradient of ``w_hat``
and a clipped one none. The scale receives ``d w_hat / d s = q - w / s`` inside and ``q`` outside: learned step size
quantisation (Esser et al. 2020, arXiv 1902.08153).

Activations after ReLU are unsigned; their step follows the largest value of the training batches (``QuantReLU``).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from truejoule.errors import InputError


def largest_integer(bits: int) -> int:
    """``2^(bits-1) - 1``: the grid is symmetric, ``-2^(bits-1)`` is unused. ``InputError`` below 2 bits."""
    if bits < 2:
        raise InputError("a symmetric integer grid needs at least 2 bits", where="bits", got=bits, expected=">= 2")
    return 2 ** (bits - 1) - 1


def to_integers(weight: Tensor, scale: Tensor | float, bits: int) -> Tensor:
    """Integers in ``[-Q, Q]`` (as float, the shape of ``weight``) nearest to ``weight / scale``; ties go to even."""
    q = largest_integer(bits)
    return torch.round(weight / scale).clamp(-q, q)


def fake_quantise(weight: Tensor, scale: Tensor | float, bits: int) -> Tensor:
    """``scale * integer``, the shape of ``weight``, with the straight-through gradients of the module docstring."""
    q = largest_integer(bits)
    clipped = (weight / scale).clamp(-q, q)
    return (clipped + (torch.round(clipped) - clipped).detach()) * scale


class WeightQuantiser(nn.Module):
    """Owns the scale of one layer. The first call sets it to ``2 * mean|w| / sqrt(Q)`` (arXiv 1902.08153, section 2.1).

    With ``learn_scale`` the scale is trained, its gradient multiplied by ``1 / sqrt(weights * Q)`` (section 2.2 there).
    """

    initialised: Tensor

    def __init__(self, bits: int, learn_scale: bool = True) -> None:
        super().__init__()
        self.bits, self.largest = bits, largest_integer(bits)
        self.scale = nn.Parameter(torch.ones(()), requires_grad=learn_scale)
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, weight: Tensor) -> Tensor:
        """Latent weights (any shape) to ``scale * integer`` of that shape."""
        if not self.initialised:
            with torch.no_grad():
                self.scale.copy_((2.0 * weight.abs().mean() / math.sqrt(self.largest)).clamp(min=1e-8))
                self.initialised.fill_(True)
        damping = 1.0 / math.sqrt(weight.numel() * self.largest)
        scale = self.scale.clamp(min=1e-8)
        scale = (scale - scale * damping).detach() + scale * damping
        return fake_quantise(weight, scale, self.bits)

    @torch.no_grad()
    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The integers (int8, the shape of ``weight``) and the scale (scalar) that ``weight`` stands for."""
        self(weight)
        scale = self.scale.detach().clamp(min=1e-8)
        return to_integers(weight, scale, self.bits).to(torch.int8), scale.clone()


class QuantConv2d(nn.Conv2d):
    """``nn.Conv2d`` whose ``weight`` is latent: the convolution sees ``quantiser(weight)``, on the ``bits`` grid."""

    def __init__(self, *args: Any, bits: int = 4, learn_scale: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quantiser = WeightQuantiser(bits, learn_scale)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.quantiser(self.weight), self.bias)


class QuantLinear(nn.Linear):
    """``nn.Linear`` whose ``weight`` is latent: the product sees ``quantiser(weight)``, on the ``bits`` grid."""

    def __init__(self, *args: Any, bits: int = 4, learn_scale: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quantiser = WeightQuantiser(bits, learn_scale)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.quantiser(self.weight), self.bias)


class QuantReLU(nn.Module):
    """ReLU with outputs exactly ``step * integer``, integers in ``0 .. 2^bits - 1``, nearest, ties to even.

    In training ``step`` follows the largest input of the batches, ``step <- (1 - m) step + m max(x) / (2^bits - 1)``
    (moving average of the range, Jacob et al. 2018, arXiv 1712.05877); in evaluation it stays. The gradient passes straight
    through where the input lies in the range of the grid and is zero elsewhere.

    Parameters
    ----------
    bits : width of the unsigned integers, >= 2.
    largest : where the range ends before training, > 0; 8 suits what batch-norm makes.
    momentum : m, weight of one batch.
    """

    step: Tensor

    def __init__(self, bits: int = 8, largest: float = 8.0, momentum: float = 0.01) -> None:
        super().__init__()
        if bits < 2 or not largest > 0:
            raise InputError(
                "an impossible grid of activations",
                where="bits, largest",
                got=f"{bits}, {largest}",
                expected=">= 2 bits, a range > 0",
            )
        self.bits, self.top, self.momentum = bits, 2**bits - 1, momentum
        self.register_buffer("step", torch.tensor(largest / self.top))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if self.training:
            with torch.no_grad():
                self.step.lerp_((x.amax() / self.top).clamp(min=1e-8), self.momentum)
        return _RoundToGrid.apply(x, self.step.clone(), self.top)  # pyright: ignore[reportReturnType]

    def extra_repr(self) -> str:
        return f"bits={self.bits}, step={float(self.step):.6g}"


class _RoundToGrid(torch.autograd.Function):
    """``step * round(x / step)``, clipped to ``0 .. top``; the gradient passes where ``0 < x <= top * step``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, top: int) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.top = top
        return (x / step).round_().clamp_(0, top).mul_(step)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, step = ctx.saved_tensors
        return grads[0] * ((x > 0) & (x <= ctx.top * step)), None, None
