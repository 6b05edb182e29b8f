"""How a module takes time: one call per step, or a whole sequence in one call along the first, the second or a flattened axis.

Found from behaviour alone: which inputs change which outputs. A module that mixes anything but time steps is no neuron.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from truejoule.network.calling import Caller, NotElementwise

FREE = 61  # samples or features of a trial: no size that a module's own constants are likely to have
LEADS = (12, 24)  # lengths of a first axis that most T divide
CHANGED = 24  # at most so many elements of an axis are changed to see what they act on


@dataclass(frozen=True, slots=True)
class Form:
    """How a module takes independent inputs over T steps.

    Attributes
    ----------
    time : ``None``: one call per step; 0 or 1: the axis of time of a whole sequence; for ``flat`` the slower axis of (T·N, ...) or (N·T, ...).
    flat : time steps and samples share the first axis.
    steps, samples : the T or N that the module insists on; ``None`` if any will do.
    neurons : shape of one sample; all ones (or empty) if every neuron is the same.
    """

    time: int | None = None
    flat: bool = False
    steps: int | None = None
    samples: int | None = None
    neurons: tuple[int, ...] = ()

    @property
    def different(self) -> int:
        """How many neurons have to be told apart."""
        return int(torch.Size(self.neurons).numel())

    def steps_in(self, shape: tuple[int, ...]) -> int:
        """Time steps in one call with an input of this shape."""
        if self.time is None:
            return 1
        if not self.flat:
            return shape[self.time]
        return self.steps or shape[0] // (self.samples or 1)

    def arrange(self, x: Tensor) -> list[Tensor]:
        """Inputs of the calls for ``x`` (T, lanes, neurons)."""
        steps, lanes, _ = x.shape
        if self.flat and self.samples is not None:  # lanes are features, every sample is the same
            x = x.reshape(steps, 1, lanes, *self.neurons[1:]).expand(-1, self.samples, *[-1] * len(self.neurons))
            return [(x if self.time == 0 else x.transpose(0, 1)).flatten(0, 1)]
        x = x.reshape(steps, lanes, *self.neurons)
        if self.time is None:
            return list(x)
        x = x if self.time == 0 else x.transpose(0, 1)
        return [x.flatten(0, 1) if self.flat else x]

    def collect(self, outputs: list[Tensor], steps: int, lanes: int) -> Tensor:
        """The inverse of ``arrange`` for what the calls answered."""
        if self.time is None:
            return torch.stack(outputs).reshape(steps, lanes, -1)
        y = outputs[0]
        if self.flat:
            samples = self.samples or lanes
            y = y.reshape(*((steps, samples) if self.time == 0 else (samples, steps)), *y.shape[1:])
        y = y if self.time == 0 else y.transpose(0, 1)
        return (y[:, 0] if self.samples is not None else y).reshape(steps, lanes, -1)


def find_form(module: nn.Module, shape: tuple[int, ...] | None, caller: Caller) -> Form | None:
    """The form of a module that remembers; ``None`` for one that does not.

    Parameters
    ----------
    shape : of a real input; ``None`` if there is none yet.

    Raises
    ------
    NotElementwise : if it does not answer with the shape of its input, or mixes neurons, samples or the future.
    """
    problem = NotElementwise("no input shape was found that it takes")
    for second, trailing in _samples(module, shape):
        try:
            found = _attempt(caller, shape, second, trailing)
        except NotElementwise as error:
            problem = error
            continue
        return found
    raise problem


def _samples(module: nn.Module, shape: tuple[int, ...] | None) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Sizes to try for the second axis and those behind it, the fewest different neurons first."""
    if shape is not None and len(shape) >= 2:
        second, trailing = shape[1], tuple(shape[2:])
        ones = (1,) * len(trailing)
        kept = dict.fromkeys((ones, (*trailing[:1], *ones[1:]), trailing))
        yield from dict.fromkeys((width, behind) for behind in kept for width in (FREE, second))
        return
    yield from [(FREE, ()), (FREE, (1,)), (FREE, (1, 1)), (FREE, (1, 1, 1))]
    for value in [*module.parameters(), *module.buffers()]:
        own = tuple(value.shape)
        while own and own[0] == 1:
            own = own[1:]
        if value.numel() > 1 and own:
            yield own[0], own[1:]
            yield FREE, own


def _attempt(caller: Caller, shape: tuple[int, ...] | None, width: int, trailing: tuple[int, ...]) -> Form | None:
    real = shape[0] if shape is not None else 1
    problem = NotElementwise("no length was found that it takes")
    for lead in dict.fromkeys((*LEADS, 3 * real, real)):
        try:
            form = _form(caller, (lead, width, *trailing))
        except NotElementwise as error:
            problem = error
            continue
        if form is None:
            return None
        if form.time == 1 and not form.flat:
            return replace(form, steps=None if width == FREE else width, neurons=trailing)
        if form.time == 0 and not form.flat:
            if width != FREE:
                raise NotElementwise("it insists on the size of its second axis")
            return replace(form, neurons=trailing)
        alike = all(n == 1 for n in trailing)
        first = width if width != FREE else 1 if alike or shape is None else shape[1]
        return replace(form, neurons=(first, *trailing))
    raise problem


def _form(caller: Caller, shape: tuple[int, ...]) -> Form | None:
    """Form of a module for inputs of one shape, without ``neurons``."""
    if not caller.repeats(torch.randn(shape, generator=_generator(0))):
        return None  # random: an encoder, not a neuron
    first, second, called = (torch.zeros(0),) * 3
    for scale, trials in ((None, 2), *((scale, 6) for scale in caller.scales(shape)), (None, 16)):
        if trials == 16 and _apart(first) and _apart(second) and _apart(called):
            return None
        first = _more(first, _reach(caller, shape, 0, scale, trials))
        second = _more(second, _reach(caller, shape, 1, scale, trials))
        called = _more(called, _reach_calls(caller, shape, scale, trials))
        if _causal(second) and _apart(first):
            return Form(time=1)
        if _apart(first) and _apart(second) and not _apart(called):
            return Form()
        if _apart(second) and not _apart(first):
            found = _first_axis(caller, first, shape, scale, trials)
            if found is not None:
                return found
    raise NotElementwise("it mixes the elements of its input, and not as a sequence of time steps")


def _first_axis(caller: Caller, reach: Tensor, shape: tuple[int, ...], scale: float | None, trials: int) -> Form | None:
    pattern, lead = _pattern(reach), shape[0]
    if pattern is None:
        return None
    try:
        longer = _pattern(_reach(caller, (2 * lead, *shape[1:]), 0, scale, trials))
    except NotElementwise:
        if pattern[1] != lead:
            raise
        return Form(time=0, steps=lead)
    if longer is None:
        return None
    time, steps = pattern
    if steps == lead and longer[1] == 2 * lead:
        return Form(time=0)
    time = time if steps != lead else longer[0]
    if longer[1] == steps:
        return Form(time=time, flat=True, steps=steps)
    if longer[1] == 2 * steps and longer[0] == time:
        return Form(time=time, flat=True, samples=lead // steps)
    return None


def _pattern(reach: Tensor) -> tuple[int, int] | None:
    """(0: time-major, 1: sample-major; T) of a first axis from who influences whom; T = length if all is time."""
    tried, lead = reach.shape
    if _causal(reach):
        return 0, lead
    j = torch.arange(lead)
    i = j[:tried, None]
    for steps in [d for d in range(2, lead) if lead % d == 0]:
        samples = lead // steps
        for kind, sample, step in (
            (0, lambda k, n=samples: k % n, lambda k, n=samples: k // n),
            (1, lambda k, t=steps: k // t, lambda k, t=steps: k % t),
        ):
            same = sample(i) == sample(j)
            allowed, needed = same & (step(i) <= step(j)), same & (step(i) + 1 == step(j))
            if bool((allowed | ~reach).all()) and bool((reach | ~needed).all()):
                return kind, steps
    return None


def _more(seen: Tensor, now: Tensor) -> Tensor:
    return now if not seen.numel() else seen | now


def _apart(reach: Tensor) -> bool:
    return not bool((reach & ~torch.eye(*reach.shape, dtype=torch.bool)).any())


def _causal(reach: Tensor) -> bool:
    """Only earlier elements act on later ones, and each on the next."""
    j = torch.arange(reach.shape[1])
    i = j[: min(len(reach), len(j) - 1)]
    return bool(((j[: len(reach), None] <= j) | ~reach).all()) and bool(reach[i, i + 1].all())


def _reach(caller: Caller, shape: tuple[int, ...], axis: int, scale: float | None, trials: int) -> Tensor:
    """Whether a change of element i of an axis changes element j of the output, for the first few i."""

    def run(x: Tensor) -> Tensor:
        return caller.answers([x.movedim(0, axis)])[0].movedim(axis, 0)

    return _influence(run, (shape[axis], *shape[:axis], *shape[axis + 1 :]), scale, trials)


def _reach_calls(caller: Caller, shape: tuple[int, ...], scale: float | None, trials: int) -> Tensor:
    """Whether an earlier call changes the answer to a later one."""
    return _influence(lambda x: torch.stack(caller.answers(list(x))), (4, *shape), scale, trials)


def _influence(run: Callable[[Tensor], Tensor], shape: tuple[int, ...], scale: float | None, trials: int) -> Tensor:
    tried = min(shape[0], CHANGED)
    reach = torch.zeros(tried, shape[0], dtype=torch.bool)
    for trial in range(trials):
        generator = _generator(trial)
        base, other = _inputs(shape, scale, generator), _inputs(shape, scale, generator)
        want = run(base)
        for i in range(tried):
            x = base.clone()
            x[i] = other[i]
            reach[i] |= (run(x) != want).flatten(1).any(1)
    return reach


def _inputs(shape: tuple[int, ...], scale: float | None, generator: torch.Generator) -> Tensor:
    noise = torch.randn(shape, generator=generator)
    if scale is not None:  # everything close to the threshold, where a short memory shows
        return scale * (0.95 + 0.1 * noise)
    return (0.5 + noise) * 10 ** (6.5 * torch.rand(shape[1:], generator=generator) - 2.5)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
