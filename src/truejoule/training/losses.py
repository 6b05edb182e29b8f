"""Losses on the outputs of every time step, shape (T, N, classes)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mean_logit(outputs: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the mean output, ``CE(mean_t O(t), y)``; ``outputs`` (T, N, classes), ``labels`` (N,)."""
    return F.cross_entropy(outputs.mean(0), labels, label_smoothing=label_smoothing)


def tet(
    outputs: Tensor, labels: Tensor, label_smoothing: float = 0.0, mse_weight: float = 0.0, target: float = 1.0
) -> Tensor:
    """Temporal efficient training: every time step must answer by itself, so that early exits stay accurate.

    ``L = (1 - w) * 1/T sum_t CE(O(t), y) + w * 1/T sum_t mean((O(t) - target)^2)`` with ``w = mse_weight``
    (Deng, Li, Zhang, Gu 2022, arXiv 2202.11946; ``target`` is their phi, the firing threshold).

    ``outputs`` (T, N, classes), ``labels`` (N,).
    """
    steps, batch, classes = outputs.shape
    flat, repeated = outputs.reshape(steps * batch, classes), labels.repeat(steps)
    entropy = F.cross_entropy(flat, repeated, label_smoothing=label_smoothing)
    if mse_weight == 0.0:
        return entropy
    return (1.0 - mse_weight) * entropy + mse_weight * (outputs - target).square().mean()
