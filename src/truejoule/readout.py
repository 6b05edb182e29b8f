"""From what a network returns to the scores of every sample: which output, which axis is time, and how time is summed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from truejoule.errors import InputError, did_you_mean, some

if TYPE_CHECKING:
    from torch import Tensor

OVER_TIME: dict[str, Callable[[Tensor, int], Tensor]] = {
    "mean": lambda x, axis: x.mean(axis),
    "sum": lambda x, axis: x.sum(axis),
    "last": lambda x, axis: x.select(axis, -1),
    "first": lambda x, axis: x.select(axis, 0),
    "max": lambda x, axis: x.amax(axis),
}
SIZES = (2, 3)
"""Batch sizes at which outputs are compared: the axis that follows them holds the samples."""
FIX = f"return one tensor of scores, or say readout=: {', '.join(map(repr, OVER_TIME))} over time, or a function of the outputs that gives (N, classes)"


@dataclass(frozen=True, slots=True)
class Readout:
    """Call it with what the network returns; gives scores, samples first.

    Attributes
    ----------
    steps : T of the network.
    key : which of several outputs is taken; ``None``: the only one.
    time : axis of time in it.
    over_time : how time steps become one, see ``OVER_TIME``.
    maps : whether maps of one pixel are dropped.
    folded : whether time and samples share the first axis, and must be told apart.
    lists : whether a list of any length is one of time steps, not only one of T.
    tuples : whether a tuple is one of time steps.
    function : the user's own, instead of all this.
    """

    steps: int
    key: int | str | None = None
    time: int | None = None
    over_time: str = "mean"
    maps: bool = False
    folded: bool = False
    lists: bool = False
    tuples: bool = False
    function: Callable[[Any], Any] | None = None

    def __call__(self, output: Any) -> Tensor:
        if self.function is not None:
            return _called(self.function, output)
        found = _stacked(output, self.steps, self.lists)
        found = _zipped(found) if self.tuples else found
        x = _tensor(found if self.key is None else found[self.key])
        if self.maps:
            x = _without_map(x)
        if self.folded:
            x = x.unflatten(0, (self.steps, -1) if self.time == 0 else (-1, self.steps))
        if self.time is None:
            return x
        wide = x if x.is_floating_point() and x.element_size() >= 4 else x.float()
        return OVER_TIME[self.over_time](wide, self.time)

    def describe(self) -> str:
        if self.function is not None:
            return f"{_name(self.function)} of the outputs"
        what = "the output" if self.key is None else f"output {self.key!r}"
        return what if self.time is None else f"{self.over_time} over time of {what}"


def readout_for(
    outputs: Sequence[Any],
    steps: int,
    asked: str | Callable[[Any], Any] | None,
    *,
    spiking: bool,
    classes: bool,
    time_axis: int | None = None,
) -> Readout:
    """The rule that turns outputs into scores.

    Parameters
    ----------
    outputs : of the network for two batches of ``SIZES`` samples; lists of T outputs for a module that computes one time step per call.
    asked : a name of ``OVER_TIME``, a function of the outputs, or ``None``: only what is certain.
    spiking : whether the network has spiking neurons, so that a tuple may be (spikes, membranes).
    classes : whether scores are of classes: then the mean over time is taken where nobody says otherwise, since its order is that of the sum.

    time_axis : of the inputs; outputs that fold time and samples into one axis have them in the same order.

    Raises
    ------
    InputError : for outputs that leave more than one reading.
    """
    if callable(asked):
        rule = Readout(steps, function=asked)
        for output, size in zip(outputs, SIZES, strict=True):
            scores = rule(output)
            if not scores.dim() or len(scores) != size:
                raise InputError(
                    "the readout does not give scores of every sample",
                    where="readout",
                    got=f"shape {tuple(scores.shape)} for {size} samples",
                    expected="a tensor with the samples first",
                )
        return rule
    if asked is not None and asked not in OVER_TIME:
        raise InputError("no such readout", where="readout", got=asked, fix=did_you_mean(asked, OVER_TIME))
    found = [_stacked(output, steps, asked is not None) for output in outputs]
    tuples = asked is not None and _uncertain(found[0], spiking)
    if tuples:  # by the word of the user, its items are time steps
        found = [_zipped(f) for f in found]
    key = _key(found[0], steps, spiking)
    pair = [_tensor(f if key is None else f[key]) for f in found]
    maps = classes and all(x.dim() > 3 for x in pair)
    if maps:
        pair = [_without_map(x) for x in pair]
    folded = (
        steps > 1
        and time_axis is not None
        and all(x.dim() and len(x) == steps * n for x, n in zip(pair, SIZES, strict=True))
    )
    if folded:
        pair = [x.unflatten(0, (steps, n) if time_axis == 0 else (n, steps)) for x, n in zip(pair, SIZES, strict=True)]
    sample, time = (1 - time_axis, time_axis) if folded and time_axis is not None else _axes(pair, steps, asked)
    if asked is not None and time is None:
        raise InputError(
            "outputs without time steps",
            where="readout",
            got=f"{asked!r} for an output of shape {tuple(pair[0].shape)}",
            fix="leave readout out, or give a function",
        )
    if time is not None and asked is None and not classes and steps > 1:
        _refuse(
            f"{steps} outputs over time",
            "one output per sample",
            "an output per time step, and no word on how to sum up",
        )
    rule = Readout(steps, key, time, asked or "mean", maps, folded, asked is not None, tuples)
    left = pair[0].dim() - (time is not None)
    if (sample != 0 and time is None) or (classes and left > 2):
        _refuse(f"shape {tuple(pair[0].shape)} for {SIZES[0]} samples", f"(N, classes), or ({steps}, N, classes)")
    return rule


def _stacked(output: Any, steps: int, asked: bool) -> Any:
    """Outputs with every list of time steps as one tensor, time first."""
    value = _value(output)
    if isinstance(value, list) and value and (len(value) == steps or asked):
        return _zipped(value)
    if isinstance(value, Mapping):
        return {key: _stacked(item, steps, asked) for key, item in value.items()}
    if isinstance(value, tuple) and (names := getattr(value, "_fields", ())):  # they say more than places
        return {key: _stacked(item, steps, asked) for key, item in zip(names, value, strict=True)}
    if isinstance(value, (tuple, list)):
        return tuple(_stacked(item, steps, asked) for item in value)
    return value


def _zipped(parts: Sequence[Any]) -> Any:
    """One thing per time step, as one thing with a time axis in front; ``None`` for what has none."""
    import torch

    parts = [_value(part) for part in parts]
    first = parts[0]
    if all(isinstance(p, torch.Tensor) and p.shape == first.shape for p in parts):
        return torch.stack(list(parts))
    if all(isinstance(p, Mapping) and list(p) == list(first) for p in parts):
        return {key: _zipped([p[key] for p in parts]) for key in first}
    if all(isinstance(p, (tuple, list)) and len(p) == len(first) for p in parts):
        return tuple(_zipped([p[i] for p in parts]) for i in range(len(first)))
    return None


def _tensors(found: Any) -> dict[Any, Tensor]:
    import torch

    items = found if isinstance(found, Mapping) else dict(enumerate(found))
    return {key: item for key, item in items.items() if isinstance(item, torch.Tensor)}


def _spikes(there: Mapping[Any, Tensor], spiking: bool) -> list[Any]:
    """Outputs of spikes among others of the same shape."""
    alike = len({t.shape for t in there.values()}) == 1
    return [key for key, item in there.items() if _two_valued(item)] if spiking and alike else []


def _uncertain(found: Any, spiking: bool) -> bool:
    """Whether it is a tuple of like tensors, none of which stands out."""
    if not isinstance(found, tuple):
        return False
    there = _tensors(found)
    alike = len(there) == len(found) > 1 and len({t.shape for t in there.values()}) == 1
    return alike and len(_spikes(there, spiking)) != 1


def _key(found: Any, steps: int, spiking: bool) -> int | str | None:
    """Which of several outputs holds the scores."""
    import torch

    if isinstance(found, torch.Tensor):
        return None
    if not isinstance(found, (tuple, Mapping)):
        _refuse(type(found).__name__, "a tensor of scores")
    there = _tensors(found)
    if len(there) == 1:
        return next(iter(there))
    if "logits" in there:
        return "logits"
    spikes = _spikes(there, spiking)
    if len(spikes) == 1:
        return spikes[0]
    got = f"{len(found)} outputs: " + some([f"{k} {tuple(t.shape)}" for k, t in there.items()] or ["no tensor"])
    if len(found) == steps and _uncertain(found, spiking):
        got += f" (as many as time steps, T = {steps}: one per step, or several things)"
    _refuse(got, "one tensor, (spikes, membranes) of one shape, or a dictionary with one tensor or with logits")


def _two_valued(x: Tensor) -> bool:
    """Spikes: zero and one other value, positive."""
    import torch

    values = torch.unique(x.detach().float())
    return len(values) <= 2 and bool((values >= 0).all()) and (len(values) < 2 or float(values[0]) == 0.0)


def _axes(pair: Sequence[Tensor], steps: int, asked: str | None) -> tuple[int, int | None]:
    """Axis of the samples, seen at two batch sizes, and that of time."""
    first, second = (tuple(x.shape) for x in pair)
    moving = [i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b]
    if len(first) != len(second) or len(moving) != 1 or (first[moving[0]], second[moving[0]]) != SIZES:
        _refuse(
            f"shapes {first} and {second} for {SIZES[0]} and {SIZES[1]} samples", "an axis with one entry per sample"
        )
    sample = moving[0]
    if sample == 1:
        return (1, 0) if first[0] == steps or asked is not None else (1, None)
    times = [i for i in range(1, len(first)) if first[i] == steps] if len(first) > 2 else []
    if sample == 0 and len(times) > 1 and steps > 1:
        _refuse(f"shape {first}, two axes of {steps}", "one axis of time", "cannot tell time from classes")
    return sample, times[0] if sample == 0 and times else None


def _without_map(x: Tensor) -> Tensor:
    """Maps of one pixel are no maps: ``(..., classes, 1, 1)``."""
    return x.flatten(-3) if x.dim() > 3 and tuple(x.shape[-2:]) == (1, 1) else x


def _value(item: Any) -> Any:
    """The tensor inside a wrapper that overrides torch functions (such as a quantised tensor with a scale)."""
    import torch

    if isinstance(item, torch.Tensor) or not hasattr(type(item), "__torch_function__"):
        return item
    value = getattr(item, "value", None)
    return value if isinstance(value, torch.Tensor) else item


def _tensor(item: Any) -> Tensor:
    import torch

    if not isinstance(item, torch.Tensor):
        _refuse(type(item).__name__, "a tensor of scores")
    return item


def _called(function: Callable[[Any], Any], output: Any) -> Tensor:
    import torch

    try:
        found = function(output)
    except Exception as error:
        raise InputError(
            "the readout failed",
            where=_name(function),
            got=f"{type(error).__name__}: {error}",
            expected="a function of what the network returns (a list of T of it, where it is called once per time step)",
        ) from error
    if not isinstance(found, torch.Tensor):
        raise InputError(
            "the readout does not give a tensor",
            where=_name(function),
            got=type(found).__name__,
            expected="scores, samples first",
        )
    return found


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _refuse(got: str, expected: str, what: str = "the network's output is not a score per class") -> NoReturn:
    raise InputError(what, where="output of the network", got=got, expected=expected, fix=FIX)
