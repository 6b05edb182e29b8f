"""What a ``Neuron`` record says it does, computed in double precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from truejoule.workload.neuron import Neuron


def predict(neuron: Neuron, x: Tensor) -> tuple[Tensor, Tensor]:
    """Spikes of a neuron for inputs over time.

    Parameters
    ----------
    neuron : the semantics.
    x : inputs, shape (T, ...).

    Returns
    -------
    spikes : (T, ...) float64 counts.
    membrane : (T, ...) float64, the state that was compared with the threshold.
    """
    x = x.to(torch.float64)
    v, spikes, membrane = torch.zeros_like(x[0]), torch.zeros_like(x), torch.zeros_like(x)
    fired = torch.zeros_like(v)
    for step in range(len(x)):
        charged = neuron.decay * v + neuron.gain * x[step]
        if neuron.reset_delay and neuron.reset == "subtract":
            charged = charged - neuron.threshold * fired
        elif neuron.reset_delay and neuron.reset == "value":
            charged = torch.where(fired > 0, torch.zeros_like(charged), charged)
        if neuron.lower_bound > -math.inf:
            charged = charged.clamp(min=neuron.lower_bound)
        fired = count(neuron, charged)
        v = charged
        if not neuron.reset_delay and neuron.reset == "subtract":
            v = charged - neuron.threshold * fired
        elif not neuron.reset_delay and neuron.reset == "value":
            v = torch.where(fired > 0, torch.full_like(charged, neuron.reset_value), charged)
        spikes[step], membrane[step] = fired, charged
    return spikes, membrane


def count(neuron: Neuron, v: Tensor) -> Tensor:
    """How often a state reaches the threshold, at most ``max_spikes`` times."""
    if neuron.max_spikes == 1 or neuron.threshold <= 0:
        return ((v >= neuron.threshold) if neuron.fires_at_equality else (v > neuron.threshold)).to(v.dtype)
    levels = v / neuron.threshold
    whole = torch.floor(levels) if neuron.fires_at_equality else torch.ceil(levels) - 1
    return whole.clamp(0, neuron.max_spikes)
