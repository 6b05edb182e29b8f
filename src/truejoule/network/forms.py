"""How a module takes time: one call per step, or a whole sequence in one call along the first, the second or a flattened axis.

Found from behaviour alone: which inputs change which outputs. A module that mixes anything but time steps is no neuron.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from truejoule.network.calling import Caller, NotElementwise

FREE = 13  # samples or features of a trial: no size that a module's own constants are likely to have
LEADS = (12, 24)  # lengths of a first axis that most T divide
CALLS = 3
TRIALS, MOST_TRIALS = (
    4,
    12,
)  # as many in which nothing acts on anything else mean that nothing does; at most so many in all


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
        except Mixing:
            raise
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
        except Mixing:
            raise
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
        first = width if width != FREE else 1 if alike or shape is None or len(shape) < 2 else shape[1]
        return replace(form, neurons=(first, *trailing))
    raise problem


def _form(caller: Caller, shape: tuple[int, ...]) -> Form | None:
    """Form of a module for inputs of one shape, without ``neurons``."""
    if not caller.repeats(torch.randn(shape, generator=_generator(0))):
        return None  # random: an encoder, not a neuron
    scale = caller.scale(shape)
    first, second, called = Acts(shape[0]), Acts(shape[1]), Acts(CALLS)
    for trial in range(MOST_TRIALS):
        _change(first, _along(caller, 0), shape, scale, trial)
        _change(second, _along(caller, 1), _front(shape, 1), scale, trial)
        if first.apart and second.apart:
            _change(called, lambda x: torch.stack(caller.answers(list(x))), (CALLS, *shape), scale, trial)
        if trial + 1 >= TRIALS and first.apart and second.apart:
            return None if called.apart else Form()
        if first.apart and second.causal:
            return Form(time=1)
        if second.apart and first.next_to:
            found = _first_axis(caller, shape, scale)
            if found is not None:
                return found
            break
    raise Mixing("it mixes the elements of its input, and not as a sequence of time steps")


def _first_axis(caller: Caller, shape: tuple[int, ...], scale: float | None) -> Form | None:
    """Form of a module that mixes elements of the first axis of its input only, from two lengths of it."""
    pattern, lead = _pattern(caller, shape, scale), shape[0]
    if pattern is None:
        return None
    time, steps = pattern
    try:
        longer = _pattern(caller, (2 * lead, *shape[1:]), scale)
    except NotElementwise:
        if steps != lead:
            raise
        return Form(time=0, steps=lead)
    if longer is None:
        return None
    if steps == lead and longer[1] == 2 * lead:
        return Form(time=0)
    time = time if steps != lead else longer[0]
    if longer[1] == steps:
        return Form(time=time, flat=True, steps=steps)
    if longer[1] == 2 * steps and longer[0] == time:
        return Form(time=time, flat=True, samples=lead // steps)
    return None


def _pattern(caller: Caller, shape: tuple[int, ...], scale: float | None) -> tuple[int, int] | None:
    """(0: time-major, 1: sample-major; T) of a first axis from who acts on whom; T = length if all is time."""
    lead = shape[0]
    acts = Acts(lead, rows=tuple(range(lead)))
    for trial in range(MOST_TRIALS):
        _change(acts, _along(caller, 0), shape, scale, trial)
        if acts.causal:
            return 0, lead
        for steps in [d for d in range(2, lead) if lead % d == 0]:
            for kind in (0, 1):
                if acts.follows(kind, steps):
                    return kind, steps
    return None


class Mixing(NotElementwise):
    """It answered, but an element depends on others in a way that is no sequence; no other shape will change that."""


@dataclass(slots=True)
class Acts:
    """Which elements of an axis of the input were seen to act on which of the output; only ``rows`` were changed."""

    length: int
    rows: tuple[int, ...] = (0, 1, 5)
    seen: Tensor | None = None

    def __post_init__(self) -> None:
        self.rows = tuple(i for i in self.rows if i < self.length)
        self.seen = torch.zeros(len(self.rows), self.length, dtype=torch.bool)

    @property
    def matrix(self) -> tuple[Tensor, Tensor, Tensor]:
        assert self.seen is not None
        return torch.tensor(self.rows)[:, None], torch.arange(self.length), self.seen

    @property
    def apart(self) -> bool:
        """No element was seen to act on another one."""
        i, j, seen = self.matrix
        return not bool((seen & (i != j)).any())

    @property
    def next_to(self) -> bool:
        """Some element was seen to act on another one, and none on an earlier one."""
        i, j, seen = self.matrix
        return bool((seen & (i != j)).any()) and not bool((seen & (j < i)).any())

    @property
    def causal(self) -> bool:
        """Every element was seen to act on the next one, and none on an earlier one."""
        i, j, seen = self.matrix
        return bool((seen | (j != i + 1)).all()) and not bool((seen & (j < i)).any()) and self.length > 1

    def follows(self, kind: int, steps: int) -> bool:
        """Whether elements act as T = ``steps`` time steps of several samples would, time-major (0) or sample-major (1)."""
        i, j, seen = self.matrix
        samples = self.length // steps
        if kind == 0:
            same, now, then = i % samples == j % samples, i // samples, j // samples
        else:
            same, now, then = i // steps == j // steps, i % steps, j % steps
        allowed, needed = same & (now <= then), same & (now + 1 == then)
        return bool((allowed | ~seen).all()) and bool((seen | ~needed).all())


def _change(
    acts: Acts, run: Callable[[Tensor], Tensor], shape: tuple[int, ...], scale: float | None, trial: int
) -> None:
    """One more trial: an element of the first axis is replaced, and what changes in the answer is noted."""
    assert acts.seen is not None
    generator = _generator(trial)
    base, other = (_inputs(shape, scale, trial % 2 == 1, generator) for _ in range(2))
    want = run(base)
    for row, i in enumerate(acts.rows):
        x = base.clone()
        x[i] = other[i]
        acts.seen[row] |= (run(x) != want).flatten(1).any(1)


def _along(caller: Caller, axis: int) -> Callable[[Tensor], Tensor]:
    """A module as a function of its input with one axis moved to the front."""
    return lambda x: caller.answers([x.movedim(0, axis)])[0].movedim(axis, 0)


def _front(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (shape[axis], *shape[:axis], *shape[axis + 1 :])


def _inputs(shape: tuple[int, ...], scale: float | None, close: bool, generator: torch.Generator) -> Tensor:
    noise = torch.randn(shape, generator=generator)
    if scale is None:
        return (0.5 + noise) * 10 ** (6.5 * torch.rand(shape[1:], generator=generator) - 2.5)
    if close:  # every other time all inputs are close to the threshold, where a short memory shows
        return scale * (0.95 + 0.1 * noise)
    # Else every sequence has a mean of its own: one with a long memory must neither fire always nor never.
    return scale * (0.6 * noise + 1.2 * torch.rand(shape[1:], generator=generator) - 0.5)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
