"""Neuron semantics measured on the live module: many scalar trials instead of trust in class names."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.network.constants import equality, gain_of, round_to, threshold_attribute
from truejoule.network.lanes import Lanes, NotElementwise, NotMonotone, onset
from truejoule.network.predict import predict
from truejoule.network.replay import Replay
from truejoule.network.state import METHODS
from truejoule.workload import Neuron

LARGEST = 1e4
CLOSE = 2e-5  # relative distance from the threshold within which float32 rounding may decide


class UnknownNeuron(InputError):  # noqa: N818 - reads as what it is
    """A stateful module whose behaviour no ``Neuron`` record describes; ``reason`` says what was seen."""

    def __init__(self, reason: str, where: str) -> None:
        self.reason = reason
        super().__init__(
            "unknown neuron",
            where=where,
            got=reason,
            expected="leaky integrate-and-fire as described in truejoule.workload.Neuron",
            fix="use an IF or LIF neuron with a fixed threshold, or evaluate this layer on the host",
        )


def probe(module: nn.Module, *, where: str = "") -> Neuron | None:
    """Semantics of one neuron module, verified on random inputs.

    Parameters
    ----------
    module : answers ``module(x)`` or ``module(x, *state)`` with spikes, or (spikes, *state). Copied, never touched.
    where : module path for messages.

    Returns
    -------
    Neuron, or ``None`` for a module that keeps no state or is not elementwise. From spikes alone only threshold / gain
    can be known; an attribute such as ``v_threshold`` or ``threshold`` fixes the scale, else gain is 1.

    Raises
    ------
    UnknownNeuron : the module keeps state and spikes, but no record predicts its spikes.
    """
    where = where or type(module).__name__
    try:
        lanes = Lanes(module)
        if not _remembers(lanes):
            return None
        differing = _differing_constants(module)
        if differing:
            raise UnknownNeuron(f"{differing} differs from neuron to neuron; one record cannot hold it", where)
        return _measure(lanes, module, where)
    except NotElementwise as error:
        if not _keeps_state(module):
            return None
        constants = _differing_constants(module)
        reason = (
            f"{constants} has one value per channel; one record cannot hold it"
            if constants
            else f"it cannot be tried on rows of scalars ({error})"
        )
        raise UnknownNeuron(reason, where) from error
    except NotMonotone as error:
        raise UnknownNeuron(f"a larger input gives fewer spikes (around {error.args[0]:g})", where) from error


def measured(lanes: Lanes | Replay, constants: nn.Module, where: str) -> Neuron | None:
    """As ``probe``, for what is not a module; ``constants`` holds the numbers it is made of as attributes."""
    try:
        return _measure(lanes, constants, where) if _remembers(lanes) else None
    except NotMonotone as error:
        raise UnknownNeuron(f"a larger input gives fewer spikes (around {error.args[0]:g})", where) from error


def elementwise(module: nn.Module, x: Tensor) -> Tensor | None:
    """Answer of a stateless module to a row of scalars, shape (P,); ``None`` if it does not take one."""
    try:
        return Lanes(module).run(x.unsqueeze(0))[0]
    except (NotElementwise, RuntimeError, TypeError):
        return None


def _remembers(lanes: Lanes | Replay) -> bool:
    """Whether the first input changes the second answer."""
    x = torch.cat([-_sizes(), torch.zeros(1), _sizes()])
    alone, outputs = lanes.last(x), [lanes.last(a, x) for a in (0.0, 0.3, 0.9, 1.7, 30.0, -0.9)]
    again = lanes.last(x)
    if not torch.equal(alone, again):
        return False  # random: an encoder, not a neuron
    if any(not torch.equal(alone, o) for o in outputs):
        return True
    try:
        found = onset(lambda x: lanes.last(x), -LARGEST, LARGEST)
    except NotMonotone:
        return False
    if found is None or found[1] <= 0:
        return False
    # A short memory shows only close to the threshold.
    near = found[1] * torch.linspace(0.5, 1.5, 1001)
    return any(not torch.equal(lanes.last(near), lanes.last(a * found[1], near)) for a in (0.95, 1.5, 3.0, -1.0))


def _sizes() -> Tensor:
    return torch.cat([torch.logspace(-3, 3, 300), torch.linspace(0.01, 4, 300)])


def _measure(lanes: Lanes | Replay, module: nn.Module, where: str) -> Neuron:
    answers = lanes.last(torch.cat([torch.linspace(-4, 4, 801), torch.logspace(-3, 4, 500)]))
    odd = answers[(answers < 0) | (answers != answers.round())]
    if odd.numel():
        raise UnknownNeuron(f"outputs that are not spike counts, for example {float(odd[0]):g}", where)
    found = onset(lambda x: lanes.last(x), -LARGEST, LARGEST)
    if found is None:
        raise UnknownNeuron(f"no spike for any single input up to {LARGEST:g}", where)
    below, at = found
    if below == at or at <= 0:
        raise UnknownNeuron("it fires without input", where)

    def carried(*before: float) -> float | None:
        """What an earlier input adds to the second step, in units of the input; ``None`` if nothing makes it fire."""
        reach = onset(
            lambda x: lanes.last(*before, x), -8 * at * (1 + abs(before[0]) / at), 40 * at * (1 + abs(before[0]) / at)
        )
        return None if reach is None else at - reach[1]

    quiet = carried(0.9 * at)
    if quiet is None:
        raise UnknownNeuron("after a small input nothing makes it fire", where)
    decay = round_to(quiet / (0.9 * at), module, low=0.0, high=1.0, scale=1.0)
    if not -1e-6 <= quiet / (0.9 * at) <= 1 + 1e-6:
        raise UnknownNeuron(f"a state that grows: the share kept per step is {quiet / (0.9 * at):.6g}", where)
    threshold = threshold_attribute(module)
    gain, threshold = gain_of(module, at, below, threshold)
    scale = threshold / at if threshold is not None else 1.0
    level = threshold if threshold is not None else at
    neuron = Neuron(
        threshold=level, decay=decay, gain=gain, reset="none", fires_at_equality=equality(below, at, level, gain)
    )
    neuron = replace(neuron, max_spikes=_most_spikes(lanes, at), lower_bound=_lower_bound(carried, at, decay, scale))
    neuron = _with_reset(neuron, carried, at, scale, module)
    _verify(neuron, lanes, where, at)
    return neuron


def _most_spikes(lanes: Lanes | Replay, at: float) -> int:
    counts = lanes.last(at * torch.cat([torch.arange(1, 65) + 0.5, torch.tensor([1e3, 1e4])]))
    return max(1, int(counts.max()))


def _lower_bound(carried: object, at: float, decay: float, scale: float) -> float:
    """A state that negative inputs cannot push below some value."""
    if decay == 0:
        return -math.inf
    one, two = carried(-2.0 * at), carried(-6.0 * at)  # type: ignore[operator]
    if one is None or two is None or two < -6.0 * at * decay * (1 - 1e-3) or decay <= 0:
        return -math.inf
    if abs(two + 6.0 * at * decay) < 1e-3 * at:
        return -math.inf
    bound = two / decay * scale
    return float(f"{bound:.5g}") + 0.0


def _with_reset(neuron: Neuron, carried: object, at: float, scale: float, module: nn.Module) -> Neuron:
    """Reset from the state carried over a spike, as an affine function ``p * x0 + q`` of the first input."""
    size = [1.25, 1.5, 1.75]
    kept = [carried(s * at) for s in size]  # type: ignore[operator]
    if all(k is None for k in kept):
        return replace(neuron, reset="value", reset_delay=1)
    if any(k is None for k in kept):
        return neuron
    known = [float(k) for k in kept if k is not None]
    p = (known[2] - known[0]) / (0.5 * at)
    q = known[0] - p * 1.25 * at
    decay = neuron.decay
    options: list[tuple[float, float, Neuron]] = [
        (decay, -decay * at, replace(neuron, reset="subtract")),
        (decay, -at, replace(neuron, reset="subtract", reset_delay=1)),
        (decay, 0.0, neuron),
    ]
    best = min(options, key=lambda o: abs(p - o[0]) * at + abs(q - o[1]))
    if abs(p - best[0]) < 1e-4 and abs(q - best[1]) < 1e-4 * at:
        return best[2]
    if abs(p) < 1e-4:
        value = q / decay * scale if decay else 0.0
        return replace(
            neuron,
            reset="value",
            reset_value=round_to(value, module, low=-math.inf, high=math.inf, scale=neuron.threshold),
        )
    return neuron  # verification will say what is wrong


def _verify(neuron: Neuron, lanes: Lanes | Replay, where: str, at: float) -> None:
    """Random inputs over 50 steps: the record must predict every spike that rounding cannot decide."""
    generator = torch.Generator().manual_seed(0)
    steps = lanes.longest
    width = 384 * (50 // steps)
    scales = torch.tensor([0.3, 0.7, 1.5, 4.0]).repeat(width // 8)
    smooth = torch.randn(steps, width // 2, generator=generator) * scales * at + 0.2 * at
    lattice = torch.randint(-3, 9, (steps, width // 2), generator=generator) * (at / 4)
    x = torch.cat([smooth, lattice], 1).to(torch.float32)
    got = lanes.run(x).to(torch.float64)
    spikes, membrane = predict(neuron, x)
    level = neuron.threshold
    nearest = torch.round(membrane / level).clamp(1, neuron.max_spikes) * level
    scale = (membrane.abs() + level).cummax(0).values
    tight = (membrane - nearest).abs() <= CLOSE * scale
    wrong = got != spikes
    excused = (tight.to(torch.int8).cummax(0).values > 0) & wrong
    # A lane that passed a knife-edge may go another way from there on; but such lanes must stay the exception.
    hard = wrong & ~excused
    if bool(hard.any()):
        step = int(hard.any(1).to(torch.int8).argmax())
        lane = int(hard[step].to(torch.int8).argmax())
        raise UnknownNeuron(
            f"nearest record is {neuron.describe()}, but at step {step} it predicts {spikes[step, lane]:g} "
            f"and the module gives {got[step, lane]:g} "
            f"(inputs {[round(float(v), 4) for v in x[max(0, step - 3) : step + 1, lane]]})",
            where,
        )


def _keeps_state(module: nn.Module) -> bool:
    """Whether a module says that it remembers something, so that silence about it would be wrong."""
    return any(callable(getattr(module, name, None)) for name in METHODS) and not any(
        callable(getattr(child, name, None)) for child in list(module.modules())[1:] for name in METHODS
    )


def _differing_constants(module: nn.Module) -> str:
    """Name of a parameter that is not the same for all neurons."""
    for name, value in module.named_parameters():
        if value.numel() > 1 and not bool((value == value.flatten()[0]).all()):
            return name
    for name, value in module.named_buffers():
        if (
            value.numel() > 1
            and name.split(".")[-1] not in ("mem", "v", "syn", "spk")
            and not bool((value == value.flatten()[0]).all())
        ):
            return name
    return ""
