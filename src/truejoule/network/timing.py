"""Which axis is time: how often a layer runs per inference, and how its tensors split into steps and samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from truejoule.errors import InputError
from truejoule.network.execution import Execution
from truejoule.network.forms import Form
from truejoule.network.resized import Resized, Sizes, find_axis, sizes_of

Kind = Literal["batch", "flat", "time"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tensors of one layer carry time.

    Attributes
    ----------
    kind : ``"batch"`` (N, ...) one step per call; ``"flat"`` (T·N, ...); ``"time"`` (T, N, ...).
    per_call : time steps in one call.
    steps : executions per inference: 1 outside the time loop, T inside.
    """

    kind: Kind
    per_call: int
    steps: int

    def split(self, x: Tensor, batch_major: bool = False) -> Tensor:
        """(steps, N, ...) view of a tensor of this layer."""
        if self.kind == "batch":
            return x.unsqueeze(0)
        if self.kind == "time":
            return x.transpose(0, 1) if batch_major else x
        if batch_major:
            return x.reshape(-1, self.per_call, *x.shape[1:]).transpose(0, 1)
        return x.reshape(self.per_call, -1, *x.shape[1:])

    def join(self, x: Tensor, batch_major: bool = False) -> Tensor:
        """The inverse of ``split``."""
        if self.kind == "batch":
            return x.squeeze(0)
        ordered = x.transpose(0, 1) if batch_major else x
        return ordered if self.kind == "time" else ordered.flatten(0, 1)


@dataclass(frozen=True, slots=True)
class Timing:
    """Batch and time of one network.

    Attributes
    ----------
    samples : N of the example.
    steps : T.
    time_axis : axis of time in the example, ``None`` if the example has none.
    layouts : per layer name.
    outer : the module computes one step per call, and is called T times.
    sample_first : whether inside the network tensors that carry time are (N, T, ...) and (N·T, ...) instead of (T, N, ...) and (T·N, ...).
    """

    samples: int
    steps: int
    time_axis: int | None
    layouts: Mapping[str, Layout]
    outer: bool = False
    sample_first: bool = False


def infer(
    executions: Sequence[Execution],
    example: Tensor,
    time_steps: int | None,
    time_axis: int | None,
    forms: Mapping[str, Form],
    resized: Resized,
    outer: bool = False,
    told: bool = False,
) -> Timing:
    """Time steps and layouts from how neurons take time, how often each layer ran, and which sizes move with which axis of the example.

    Parameters
    ----------
    time_steps, time_axis : what the user said; ``None``: find out.
    forms : how each neuron module takes time, by path.
    resized : reads the sizes once more for an example of another size; asked only where this one leaves a choice.
    outer : the module itself was called once per time step.
    told : the user said something about time.
    """
    paths = {e.name: e.path for e in executions if e.op == "neuron"}
    neurons = {name: forms.get(path) for name, path in paths.items()}
    axes = {form.time for form in neurons.values() if form is not None and form.time is not None}
    runs = sizes_of(executions)
    weighted = {e.name for e in executions if e.op in ("conv", "linear")}

    def steps_in(seen: Sizes) -> int:
        """Time steps, as far as neurons and repetitions show them."""
        called = [seen[name].runs for name in weighted if name in seen]
        inside = [
            seen[name].runs * (form.steps_in(seen[name].shape) if form else 1)
            for name, form in neurons.items()
            if name in seen
        ]
        return max([*called, *inside], default=1)

    found = steps_in(runs)
    axis = time_axis
    square = axis is not None and example.shape[0] == example.shape[1]  # else a wrong axis shows in the sizes
    if (axis is None or square) and not outer and found > 1 and example.dim() > 2:
        axis = find_axis(example, steps_in, runs, resized, told)
        if time_axis is not None and axis not in (None, time_axis):
            raise InputError(
                "the time axis of the example is another one",
                where="time_axis",
                got=time_axis,
                expected=f"{axis}: the number of time steps moves with it",
            )
        axis = time_axis if axis is None else axis
    samples = int(example.shape[0] if axis is None else example.shape[1 - axis])
    inherent = int(example.shape[axis]) if axis is not None else None
    if not neurons:
        found = max([found, *(_ratio(e, samples) * runs[e.name].runs for e in executions if e.name in weighted)])
    if inherent is not None and time_steps is not None and inherent != time_steps:
        raise InputError(
            "time_steps and the example disagree",
            where="example",
            got=f"shape {tuple(example.shape)}, time_steps={time_steps}",
            expected=f"{inherent} steps on axis {axis}",
            fix="leave time_steps out, or correct time_axis",
        )
    steps = time_steps or inherent or found
    if steps == 1 and neurons and not told:
        raise InputError(
            "a network of neurons with a state that runs a single time step",
            where="time_steps",
            got="each neuron gets one step",
            expected="the number of time steps of one inference",
            fix="say time_steps= if you call the network once per step (1 if that is meant), or time_axis= if an axis of the example is time",
        )
    sample_first = axes == {1} if len(axes) == 1 else axis == 1
    layouts: dict[str, Layout] = {}
    other = resized.of_samples(axis, steps)
    choose = _Chooser(runs, neurons, samples, steps, sample_first, axis, example.dim(), other)
    for execution in executions:
        if execution.name not in layouts:
            layouts[execution.name] = choose.layout(execution, layouts)
    return Timing(samples, steps, axis, layouts, outer, sample_first)


def _ratio(execution: Execution, samples: int) -> int:
    """Time steps in one call of a layer with weights, where there is no neuron to tell."""
    lead = execution.input_shape[0]
    if lead % samples == 0:
        return lead // samples
    if execution.op == "linear" and len(execution.input_shape) > 2 and execution.input_shape[1] == samples:
        return lead
    raise InputError(
        "a layer whose batch is not a multiple of the example's",
        where=execution.name,
        got=f"input of shape {execution.input_shape} for {samples} samples",
        expected="the batch first, or time and batch together first",
        fix="name the time axis of the example with time_axis=, or keep the batch as the first axis inside the network",
    )


@dataclass(frozen=True, slots=True)
class _Chooser:
    """Finds the layout of one layer after the other."""

    runs: Sizes
    neurons: Mapping[str, Form | None]
    samples: int
    steps: int
    sample_first: bool
    time_axis: int | None
    dimensions: int
    """Axes of the example."""
    elsewhere: Callable[[], tuple[int, Sizes] | None]
    """Another number of samples, and the sizes that go with it."""

    def layout(self, execution: Execution, before: Mapping[str, Layout]) -> Layout:
        count, steps = self.runs[execution.name].runs, self.steps
        if steps == 1 or count > 1:
            if steps == 1 and execution.op.endswith("pool"):
                _ratio(execution, self.samples)
            if (
                count not in (1, steps, steps - 1) and execution.op != "host"
            ):  # what runs on the host is refused by name, or not costed
                raise InputError(
                    "a layer that runs neither once nor once per time step",
                    where=execution.name,
                    got=f"{count} executions",
                    expected="1" if steps == 1 else f"1 or {steps} (time steps)",
                    fix="give every place its own module or parameter; say time_steps= if T was not recognised",
                )
            return Layout("batch", 1, steps if count > 1 else 1)
        kinds: set[Kind] = self._kinds(execution.op, execution.input_shape, self.samples)
        form = self.neurons.get(execution.name)
        if form is not None:
            wanted: Kind = "batch" if form.time is None else "flat" if form.flat else "time"
            kinds = kinds & {wanted} or kinds  # a neuron that takes it otherwise is refused by its name
        if len(kinds) > 1:
            kinds = self._with_other_samples(execution, kinds)
        if len(kinds) > 1:  # (N, T, ...), or T of something else in each sample: as the layers before, or the example
            in_time = self.time_axis is not None or len(execution.input_shape) > self.dimensions
            carried = {
                before[source].per_call > 1 if source in before else in_time
                for sources in execution.sources
                for source in sources
            }
            if len(carried) == 1:
                carrying: Kind = "time" if carried == {True} else "batch"
                kinds = kinds & {carrying}
        if len(kinds) > 1 and "time" in kinds and self._shared_with_neurons(execution.input_shape):
            kinds = {"time"}
        if len(kinds) != 1:
            raise InputError(
                "cannot split a layer's input into time steps and samples",
                where=execution.name,
                got=f"shape {execution.input_shape} for {self.samples} samples and {steps} steps",
                expected=f"{self.samples} samples, {steps} steps × {self.samples} samples, or both axes",
                fix="say time_steps= and time_axis=, or give an example with another number of samples",
            )
        (kind,) = kinds
        return Layout("batch", 1, 1) if kind == "batch" else Layout(kind, steps, steps)

    def _kinds(self, op: str, shape: tuple[int, ...], samples: int) -> set[Kind]:
        """What an input of this shape can be; maps and norms have their channels in the second axis."""
        both = (samples, self.steps) if self.sample_first else (self.steps, samples)
        kinds: set[Kind] = set()
        if shape[0] == samples:
            kinds.add("batch")
        if shape[0] == self.steps * samples:
            kinds.add("flat")
        maps = op == "norm" or (op in ("conv", "max_pool", "avg_pool") and len(shape) < 5)
        if not maps and shape[:2] == both:
            kinds.add("time")
        return kinds

    def _shared_with_neurons(self, shape: tuple[int, ...]) -> bool:
        """Whether neurons that loop over time take tensors with the same two first axes."""
        loops = [
            name for name, form in self.neurons.items() if form is not None and form.time is not None and not form.flat
        ]
        return any(self.runs[name].shape[:2] == shape[:2] for name in loops if name in self.runs)

    def _with_other_samples(self, execution: Execution, kinds: set[Kind]) -> set[Kind]:
        other = self.elsewhere()
        if other is None or execution.name not in other[1]:
            return kinds
        samples, seen = other
        return kinds & self._kinds(execution.op, seen[execution.name].shape, samples)


def sample_shape(op: str, shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """Shape of one sample in one step, channels first; never empty. For pools see ``pool_shapes``."""
    rest = shape[2:] if layout.kind == "time" else shape[1:]
    if op == "linear" and len(rest) > 1:
        rest = (rest[-1], *rest[:-1])
    return tuple(rest) or (1,)


def pool_shapes(
    before: tuple[int, ...], after: tuple[int, ...], spatial: int, layout: Layout
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(C, H, W) of one sample in one step in front of a pool and behind it.

    A pool that slides over all axes of a sample has one channel: torch takes the samples for its channels. Axes that a mean
    removed are there with one element.
    """
    first = 2 if layout.kind == "time" else 1

    def planes(shape: tuple[int, ...]) -> tuple[int, ...]:
        rest = (*shape[first:], *[1] * (len(before) - len(shape)))
        rest = (1, *rest) if len(rest) == spatial else rest
        return (rest[0], 1, rest[1]) if len(rest) == 2 else rest

    return planes(before), planes(after)
