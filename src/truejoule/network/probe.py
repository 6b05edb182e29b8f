"""Neuron semantics measured on the live module: many scalar trials instead of trust in class names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from truejoule.errors import InputError
from truejoule.network.calling import Caller, NotElementwise, own_dtype
from truejoule.network.constants import exact
from truejoule.network.fitting import Odd, Silent, firing, records
from truejoule.network.forms import Form, find_form
from truejoule.network.grid import rounded_records
from truejoule.network.lanes import Lanes, NotMonotone
from truejoule.network.state import METHODS, fresh_copy
from truejoule.network.verify import disagreement
from truejoule.workload import Neuron
from truejoule.workload.neuron import values

LOW_PRECISION = (torch.float16, torch.bfloat16)


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


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found about a module: its semantics (``None`` for a read-out, which never fires), and how it takes time."""

    neuron: Neuron | None
    form: Form


def probe(module: nn.Module, *, where: str = "", shape: tuple[int, ...] | None = None) -> Neuron | None:
    """Semantics of one neuron module, verified on random inputs.

    Parameters
    ----------
    module : answers ``module(x)`` or ``module(x, *state)`` with spikes, or (spikes, *state), one time step per call or a whole sequence in
        one call. Copied, never touched.
    where : module path for messages.
    shape : of a real input; without it only inputs of two axes and those that its constants suggest are tried.

    Returns
    -------
    Neuron, or ``None`` for a module that keeps no state, never fires, or is not elementwise. From spikes alone only threshold / gain can be
    known; an attribute such as ``v_threshold`` or ``threshold`` fixes the scale, else gain is 1.

    Raises
    ------
    UnknownNeuron : the module keeps state and spikes, but no record predicts its spikes.
    """
    found = examine(module, where=where, shape=shape)
    return None if found is None else found.neuron


def examine(module: nn.Module, *, where: str = "", shape: tuple[int, ...] | None = None) -> Probed | None:
    """As ``probe``, with how the module takes time; a read-out (a membrane that never fires) has no ``neuron``."""
    where = where or type(module).__name__
    dtype = own_dtype(module)
    try:
        measured = fresh_copy(module).float() if dtype in LOW_PRECISION else module
        caller = Caller(measured)
        form = find_form(measured, shape, caller)
        if form is None:
            return read_out(Caller(measured, output=1), measured, shape)
        lanes = Lanes(caller, form)
        if linear(lanes):
            return Probed(None, form)
        neuron = _measure(lanes, module, where)
        if neuron is not None and dtype in LOW_PRECISION:
            _check_own_dtype(neuron, module, dtype, form, where)
        return Probed(neuron, form)
    except NotElementwise as error:
        if not _keeps_state(module):
            return None
        raise UnknownNeuron(f"it cannot be tried on independent inputs ({error})", where) from error
    except NotMonotone as error:
        raise UnknownNeuron(f"a larger input gives fewer spikes (around {error.args[0]:g})", where) from error


def read_out(membrane: Caller, module: nn.Module, shape: tuple[int, ...] | None) -> Probed | None:
    """How a module takes time that never fires and answers its membrane beside its silent spikes; ``None`` if it is no such module."""
    try:
        form = find_form(module, shape, membrane)
        return Probed(None, form) if form is not None and linear(Lanes(membrane, form)) else None
    except NotElementwise:
        return None


def linear(lanes: Lanes) -> bool:
    """Whether the answers are sums of what was put in, earlier steps included: a membrane, and no spikes."""
    steps, generator = min(6, lanes.form.steps or 6), torch.Generator().manual_seed(0)
    shape = (steps, 64, lanes.neurons)
    sizes = torch.logspace(-3, 3, 64)[:, None]
    one, two = (torch.randn(shape, generator=generator) * sizes for _ in range(2))
    nothing = lanes.run(torch.zeros(shape))
    a, b, both = (lanes.run(x) - nothing for x in (one, two, one + two))
    size = torch.maximum(a.abs(), b.abs()).amax(0) + nothing.abs().amax(0)
    return bool((a != 0).any(0).all()) and bool(((both - a - b).abs() <= 1e-4 * size).all())


def fires_over_time(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a module makes spikes of whole sequences, each element from its own past alone, whatever it computes the membrane with."""
    try:
        caller = Caller(module)
        form = find_form(module, shape, caller)
        if form is None or form.time is None:
            return False
        lanes = Lanes(caller, form)
        x = torch.randn(min(6, form.steps or 6), 64, lanes.neurons, generator=torch.Generator().manual_seed(0))
        y = lanes.run(x * torch.logspace(-2, 3, 64)[:, None])
    except NotElementwise:
        return False
    return bool(((y == 0) | (y == y.abs().amax((0, 1)))).all())


def measured(lanes: Lanes, constants: nn.Module, where: str) -> Neuron | None:
    """As ``probe``, for what is known to remember and is not a module; ``constants`` holds its numbers as attributes."""
    try:
        return _measure(lanes, constants, where)
    except NotMonotone as error:
        raise UnknownNeuron(f"a larger input gives fewer spikes (around {error.args[0]:g})", where) from error


def _measure(lanes: Lanes, module: nn.Module, where: str) -> Neuron | None:
    try:
        found = firing(lanes)
    except Silent:
        raise UnknownNeuron("no spike for any single input up to 1e4", where) from None
    except Odd as error:
        raise UnknownNeuron(str(error), where) from error
    reasons = []
    for made in (records, rounded_records):
        try:
            for neuron in made(found, module):
                problem = disagreement(neuron, lanes, found.at, exact=exact(module))
                if not problem:
                    return neuron
                reasons.append(f"nearest record is {neuron.describe()}, but {problem}")
        except (Odd, NotMonotone) as error:
            reasons.append(
                str(error) if isinstance(error, Odd) else f"a larger input gives fewer spikes (around {error})"
            )
    raise UnknownNeuron(reasons[0] if reasons else "what a spike leaves behind fits no reset", where)


def _check_own_dtype(neuron: Neuron, module: nn.Module, dtype: torch.dtype, form: Form, where: str) -> None:
    """A half-precision module was measured in float32; short sequences show that it does the same in its own type."""
    lanes = Lanes(Caller(module, dtype), form)
    at = torch.tensor(values(neuron.threshold)) / torch.tensor(values(neuron.gain))
    at = at.expand(lanes.neurons) if len(at) == 1 else at
    close = 16 * torch.finfo(dtype).eps
    problem = disagreement(neuron, lanes, at, steps=6, close=close)
    if problem:
        raise UnknownNeuron(f"{neuron.describe()} in float32, but in {dtype} {problem}", where)


def _keeps_state(module: nn.Module) -> bool:
    """Whether a module says that it remembers something, so that silence about it would be wrong."""
    return any(callable(getattr(module, name, None)) for name in METHODS) and not any(
        callable(getattr(child, name, None)) for child in list(module.modules())[1:] for name in METHODS
    )
