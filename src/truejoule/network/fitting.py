"""Which records could describe a neuron, read from the inputs at which it fires and from what earlier inputs add to them.

Everything is measured in units of the input: a state v is ``v / gain``, written θ, s and r for threshold, start and reset value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from truejoule.network.constants import (
    MEASURED,
    candidates,
    constant,
    equality,
    levels_of,
    rounder,
    threshold_attribute,
    written,
)
from truejoule.network.lanes import Lanes, onset
from truejoule.workload.neuron import Constant, Neuron, Reset, values

LARGEST = 1e4
ALIKE = 1e-4  # relative distance within which two measured numbers are taken to be the same


class Silent(Exception):  # noqa: N818 - internal signal
    """No single input makes it fire."""


class Odd(Exception):  # noqa: N818 - internal signal
    """It does something that no record holds; the message says what."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a neuron answers: multiples of ``height``, at most ``most``, of both signs for ``signed``."""

    height: Tensor
    most: int
    signed: bool


@dataclass(frozen=True, slots=True)
class Firing:
    """Where a neuron fires; all of shape (neurons,), in units of the input.

    Attributes
    ----------
    lanes : the module.
    late : steps between an input and the first answer that it can change.
    below, at : adjacent inputs of the first step between which it begins to fire.
    second : the same input of the second step, after a first of 0.
    """

    lanes: Lanes
    late: int
    below: Tensor
    at: Tensor
    second: Tensor

    def after(self, *before: Tensor | float) -> Tensor:
        """The smallest input that makes it fire in the step after others; NaN where none does."""
        return _onset(self.lanes, self.late, self.at, *before)

    def kept(self, *before: Tensor | float) -> Tensor:
        """What earlier inputs leave for the step after them; NaN where nothing makes it fire."""
        nothing = self.second if len(before) == 1 else self.after(*[0.0] * len(before))
        return nothing.double() - self.after(*before).double()


def firing(lanes: Lanes) -> Firing:
    """Where it fires first.

    Raises
    ------
    Silent, Odd, NotMonotone
    """
    edge = torch.full((lanes.neurons,), LARGEST)
    for late in (0, 1):
        below, at = onset(lambda x, late=late: lanes.last(x, later=late), -edge, edge, lanes.precision)
        if not bool(at.isnan().any()):
            break
    else:
        raise Silent
    if bool((at <= 0).any() or (below == at).any()):
        raise Odd("it fires without input")
    second = _onset(lanes, late, at, 0.0)
    if bool(second.isnan().any() or (second <= 0).any()):
        raise Odd("what makes it fire changes without input")
    return Firing(lanes, late, below, at, second)


def _onset(lanes: Lanes, late: int, at: Tensor, *before: Tensor | float) -> Tensor:
    reach = at.double()
    for x in before:
        reach = reach + 3 * torch.as_tensor(x, dtype=torch.float64).abs()
    return onset(lambda x: lanes.last(*before, x, later=late), -20 * reach, 60 * reach, lanes.precision)[1]


def outputs(found: Firing) -> Outputs:
    """Which values come out.

    Raises
    ------
    Odd : for values that are not multiples of one height.
    """
    sizes = torch.cat([torch.linspace(-4, 4, 161), torch.logspace(-3, 4, 50), torch.arange(1, 65) + 0.5])
    sizes = torch.cat([sizes, -sizes[-64:]])[:, None]
    seen = found.lanes.last(sizes * found.at, later=found.late).double()
    largest = seen.abs().max(0).values
    height = torch.where(seen > 0, seen, largest).min(0).values
    counts = seen / height
    odd = (counts - counts.round()).abs() > 1e-5 * counts.abs().clamp(min=1)
    if bool(odd.any()):
        raise Odd(f"outputs that are not multiples of one spike, for example {float(seen[odd][0]):g}")
    most, least = int(counts.max().round()), int(counts.min().round())
    if bool((counts.max(0).values.round() != most).any()):
        raise Odd("neurons of one layer that give different numbers of spikes in a step")
    if least not in (0, -most):
        raise Odd(f"negative spikes down to {least:g} and positive ones up to {most:g}")
    return Outputs(height, most, least < 0)


def records(found: Firing, module: nn.Module) -> Iterator[Neuron]:
    """Records that fit what was measured, the simplest first; ``verify`` must decide."""
    spikes = outputs(found)
    height = constant(spikes.height, module, low=0.0)
    for decay, current in _decays(found, module):
        for neuron in _resets(found, module, decay, current, spikes):
            neuron = replace(neuron, height=height, max_spikes=spikes.most, signed=spikes.signed)
            yield neuron
            yield replace(neuron, fires_at_equality=not neuron.fires_at_equality)


def _decays(found: Firing, module: nn.Module) -> Iterator[tuple[Tensor, Tensor | None]]:
    """(share of the potential kept, share of the current kept or None), from what a small input leaves after one and two steps."""
    q = 0.45 * found.at
    first, later = found.kept(q) / q.double(), found.kept(q, 0.0) / q.double()
    if bool(first.isnan().any() or later.isnan().any()):
        raise Odd("after a small input nothing makes it fire")
    nothing = torch.zeros_like(first)
    if bool(((later - first**2).abs() <= ALIKE).all()) and found.late == 0:
        if not bool(((first >= -1e-6) & (first <= 1 + 1e-6)).all()):
            worst = first[(first - 0.5).abs().argmax()]
            raise Odd(f"a state that grows or swings: the share kept per step is {float(worst):.6g}")
        accurate = 0.9 * found.at
        yield _tensor(constant(found.kept(accurate) / accurate.double(), module, low=0.0, high=1.0, scale=1.0)), None
        return
    together = first**2 - later  # the product of both shares; their sum is ``first``
    pairs: dict[tuple[Constant, Constant], None] = {}
    for option in candidates(module, len(first)):
        other = first - option
        fits = ((option * other - together).abs() <= ALIKE) & (option >= 0) & (option <= 1) & (other <= 1 + 1e-6)
        if bool(fits.all()) and bool((option != 0).any()):
            known = _constant(option.expand_as(first))
            pairs[known, constant(other, module, low=0.0, high=1.0, scale=1.0)] = None
    root = (4 * later - 3 * first**2).clamp(min=0).sqrt()
    low, high = ((first - root) / 2).maximum(nothing), (first + root) / 2
    if bool((high > 1 + 1e-3).any()) or bool((4 * later - 3 * first**2 < -ALIKE).any()):
        raise Odd("what it keeps of an input is no sum of two decays")
    slow, fast = (constant(x, module, low=0.0, high=1.0, scale=1.0, accuracy=30 * MEASURED) for x in (high, low))
    pairs[slow, fast] = None
    tried: set[tuple[Constant, Constant]] = set()
    for pair in list(pairs)[:3]:
        for decay, current in (pair, pair[::-1]):
            if (decay, current) not in tried:
                tried.add((decay, current))
                yield _tensor(decay), _tensor(current)


def _resets(
    found: Firing, module: nn.Module, decay: Tensor, current: Tensor | None, spikes: Outputs
) -> Iterator[Neuron]:
    """Reset from what is left after a spike, as an affine function ``p * x + q`` of the input that caused it."""
    at, second = found.at.double(), found.second.double()
    start = torch.where((second - at).abs() <= ALIKE * at, 0.0, (second - at) / (decay * (1 - decay)))
    if bool((decay * (1 - decay) <= 1e-9).any()):
        start = torch.zeros_like(start)
    plain = not bool((start != 0).any())
    level = at + decay * start
    sizes = (1.25, 1.5, 1.75)
    kept = [found.kept(size * found.at) for size in sizes]
    lost = [bool(k.isnan().all()) for k in kept]
    trace = torch.zeros_like(at) if current is None else current
    kept_of = _Kept(found, module, decay, current, spikes.signed)
    if all(lost):
        yield from _named(level, start, torch.zeros_like(at), "value", 1, plain, kept_of)
        return
    if any(lost) or bool(torch.stack(kept).isnan().any()):
        raise Odd("after some spikes nothing makes it fire")
    p = (kept[2] - kept[0]) / (0.5 * at)
    q = kept[0] - p * 1.25 * at
    share = decay + trace
    if bool((decay >= 1 - 1e-9).all()):
        # Only differences of levels show, until a spike lowers the state by one threshold.
        if bool((q < -ALIKE * at).all()) and bool(((p - share).abs() < ALIKE * 10).all()):
            below = torch.where((-q - at).abs() <= ALIKE * at, at, -q)
            for delay in (0, 1):
                known = not bool((below != at).any())
                yield from _named(below, below - at, torch.zeros_like(at), "subtract", delay, known, kept_of)
    elif bool(((p - share).abs() < ALIKE * 10).all()):
        for delay in (0, 1):
            yield from _named(level, start, torch.zeros_like(at), "subtract", delay, plain, kept_of)
    if bool(((p - trace).abs() < ALIKE * 10).all()):
        after = (q - second + level) / decay.clamp(min=1e-12)
        after = torch.where((decay == 0) | (after.abs() <= ALIKE * at), 0.0, after)
        yield from _named(level, start, after, "value", 0, plain, kept_of)
    if bool(((p - share).abs() < ALIKE * 10).all()):
        yield from _named(level, start, torch.zeros_like(at), "none", 0, plain, kept_of)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A neuron of which it is known what it keeps per step: shares of its potential and of its current, if it has one."""

    found: Firing
    module: nn.Module
    decay: Tensor
    current: Tensor | None
    signed: bool


def _named(
    level: Tensor, start: Tensor, after: Tensor, reset: Reset, delay: int, plain: bool, of: _Kept
) -> Iterator[Neuron]:
    """The record behind a threshold, start and reset value in units of the input: the gain comes from an attribute."""
    found, module, decay, current = of.found, of.module, of.decay, of.current
    floating = bool((decay >= 1 - 1e-9).all()) and reset == "value" and current is None
    exact = written(rounder(found.below, found.at)) if plain else level
    wanted = threshold_attribute(module, len(level))
    choices: list[tuple[Constant, Constant, Tensor, Tensor]] = []
    if plain:
        gain, threshold = levels_of(module, exact)
        choices.append((gain, threshold, start, after))
    else:
        gain = 1.0 if wanted is None else constant(wanted / level, module, low=0.0)
        threshold = constant(level, module, low=0.0) if wanted is None else _constant(wanted)
        choices.append((gain, threshold, start, after))
    if floating and wanted is not None and bool((after != 0).any()) and choices[0][0] != 1.0:
        # An integrator does not show where its state begins: a gain of 1 is likelier than a start of 0.
        shift = wanted - level
        choices.insert(0, (1.0, _constant(wanted), start + shift, after + shift))
    for gain, threshold, begins, returns in choices:
        by = _tensor(gain)
        scale = _tensor(threshold)
        first = constant(begins * by, module, scale=scale)
        base = Neuron(
            threshold=threshold,
            decay=_constant(decay),
            gain=gain,
            reset=reset,
            reset_delay=delay,
            fires_at_equality=equality(found.below, found.at, (scale - decay * _tensor(first)) / by),
            reset_value=constant(returns * by, module, scale=scale),
            start=first,
            synapse_decay=None if current is None else _constant(current),
            synapse_delay=found.late,
        )
        yield from bounded(base, found, module, of.signed)


def bounded(neuron: Neuron, found: Firing, module: nn.Module, signed: bool) -> Iterator[Neuron]:
    """With the bounds of the state, where large inputs leave less than they should."""
    decay, trace = _tensor(neuron.decay), _tensor(neuron.synapse_decay or 0.0)
    gain, threshold, start = _tensor(neuron.gain), _tensor(neuron.threshold), _tensor(neuron.start)
    if signed or not bool((decay > 1e-6).all()):  # a neuron that fires both ways shows no bounds
        yield neuron
        return

    def left(size: float) -> Tensor:
        x = size * found.at
        return (found.kept(x) - trace * x.double()) / decay + decay * start / gain  # the state itself, over gain

    for size in (-6.0, -200.0):
        low = left(size)
        bounded = low > size * found.at.double() * (1 - 1e-3) + (decay * start / gain)
        if bool(bounded.all()):
            bound = constant(low * gain, module, scale=threshold, accuracy=3 * MEASURED)
            neuron = replace(neuron, lower_bound=bound)
            break
    yield neuron
    if neuron.reset == "value" or neuron.max_spikes > 1:
        return
    size = 6.0
    taken = threshold / gain if neuron.reset == "subtract" else 0.0
    high = left(size) + (taken if neuron.reset_delay == 0 else taken / decay)
    if bool((high < size * found.at.double() * (1 - 1e-3)).all()):
        yield replace(neuron, upper_bound=constant(high * gain, module, scale=threshold, accuracy=3 * MEASURED))


def _tensor(value: Constant) -> Tensor:
    return torch.tensor(values(value), dtype=torch.float64)


def _constant(value: Tensor) -> Constant:
    numbers = tuple(value.tolist())
    return numbers[0] if len(set(numbers)) == 1 else numbers
