"""What a ``Neuron`` record says it does, computed in double precision (or another, to see where rounding matters)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from truejoule.errors import InputError
from truejoule.workload.neuron import Constant, Neuron, values


def predict(neuron: Neuron, x: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Outputs of a neuron for inputs over time.

    Parameters
    ----------
    neuron : the semantics.
    x : inputs, shape (T, ...); (T, N, C, ...) where constants differ from channel to channel or neuron to neuron.
    dtype : of the arithmetic.

    Returns
    -------
    spikes : (T, ...) counts times ``height``.
    membrane : (T, ...), the state that was compared with the threshold.
    """
    return trajectory(neuron, x, dtype)[:2]


def trajectory(neuron: Neuron, x: Tensor, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """As ``predict``, with the state just before it was rounded to its grid (of any use only where it has one)."""

    def of(constant: Constant) -> Tensor:
        return shaped(constant, x).to(dtype)

    decay, gain, threshold, height = (of(c) for c in (neuron.decay, neuron.gain, neuron.threshold, neuron.height))
    kept = None if neuron.synapse_decay is None else of(neuron.synapse_decay)
    x = x.to(dtype)
    spikes, membrane, unrounded = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    v, current, fired = of(neuron.start).expand_as(x[0]), torch.zeros_like(x[0]), torch.zeros_like(x[0])
    for step in range(len(x)):
        before, current = current, (x[step] if kept is None else kept * current + x[step])
        charged = decay * v + gain * (before if neuron.synapse_delay else current)
        if neuron.reset_delay and neuron.reset == "subtract":
            charged = charged - threshold * fired
        elif neuron.reset_delay and neuron.reset == "value":
            charged = torch.where(fired != 0, torch.zeros_like(charged), charged)
        unrounded[step] = charged
        if neuron.grid != 0 and neuron.grid_stage == "compared":
            charged = rounded(charged, of(neuron.grid))
        if neuron.lower_bound != -math.inf or neuron.upper_bound != math.inf:
            charged = torch.minimum(torch.maximum(charged, of(neuron.lower_bound)), of(neuron.upper_bound))
        fired = count(neuron, charged, threshold)
        v = charged
        if not neuron.reset_delay and neuron.reset == "subtract":
            v = charged - threshold * fired
        elif not neuron.reset_delay and neuron.reset == "value":
            v = torch.where(fired != 0, of(neuron.reset_value).expand_as(charged), charged)
        if neuron.grid != 0 and neuron.grid_stage == "stored":
            unrounded[step] = v
            v = rounded(v, of(neuron.grid))
        spikes[step], membrane[step] = fired * height, charged
    return spikes, membrane, unrounded


def count(neuron: Neuron, v: Tensor, threshold: Tensor) -> Tensor:
    """How often a state reaches the threshold, at most ``max_spikes`` times; for signed neurons less how often its negative does."""
    number = _one_way(neuron, v, threshold)
    return number - _one_way(neuron, -v, threshold) if neuron.signed else number


def shaped(constant: Constant, x: Tensor) -> Tensor:
    """A constant in double precision, in a shape that fits one step (N, C, ...) of inputs (T, N, C, ...).

    Raises
    ------
    InputError : for a tuple of another length than there are channels or neurons.
    """
    if not isinstance(constant, tuple):
        return torch.tensor(constant, dtype=torch.float64)
    sample = tuple(x.shape[2:])
    numbers = torch.tensor(values(constant), dtype=torch.float64)
    if math.prod(sample) == len(constant):
        return numbers.reshape(sample)
    if sample and sample[0] == len(constant):
        return numbers.reshape(-1, *[1] * (len(sample) - 1))
    raise InputError(
        "constants for another number of neurons",
        got=f"{len(constant)} numbers for inputs of shape {tuple(x.shape)}",
        expected=f"one, {sample[0] if sample else 1} (per channel) or {math.prod(sample)} (per neuron)",
    )


def rounded(v: Tensor, grid: Tensor) -> Tensor:
    """The nearest multiple of a grid step, half to even."""
    return grid * torch.round(v / grid)


def _one_way(neuron: Neuron, v: Tensor, threshold: Tensor) -> Tensor:
    if neuron.max_spikes == 1:
        return ((v >= threshold) if neuron.fires_at_equality else (v > threshold)).to(v.dtype)
    levels = v / threshold
    whole = torch.floor(levels) if neuron.fires_at_equality else torch.ceil(levels) - 1
    return whole.clamp(0, neuron.max_spikes)
