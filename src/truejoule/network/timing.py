"""Which axis is time: how often a layer runs per inference, and how its tensors split into steps and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from truejoule.errors import InputError
from truejoule.network.execution import Execution

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
    neuron_axes: frozenset[int],
    neuron_steps: int = 1,
    outer: bool = False,
    told: bool = False,
) -> Timing:
    """Time steps and layouts from how often each layer ran, and with which leading sizes.

    Parameters
    ----------
    time_steps, time_axis : what the user said; ``None``: find out.
    neuron_axes : which axis of their inputs is time, for neurons that take whole sequences; see ``Leaves.time_axes``.
    neuron_steps : the time steps that those see in one call.
    outer : the module itself was called once per time step.
    told : the user said something about time, so that an example with three axes is taken at its word.
    """
    multiplying = [e for e in executions if e.op in ("conv", "linear")]
    counts: dict[str, int] = {}
    for execution in executions:
        counts[execution.name] = counts.get(execution.name, 0) + 1
    axis = time_axis if time_axis is not None else _axis(multiplying, counts, example, neuron_axes)
    samples = int(example.shape[0] if axis is None else example.shape[1 - axis])
    spiking = [e for e in executions if e.op == "neuron"]
    first_shape = multiplying[0].input_shape
    if not told and axis is None and example.dim() == 3 and spiking and first_shape[:-1] == tuple(example.shape[:2]):
        raise InputError(
            "cannot tell whether the example carries time",
            where="example",
            got=f"shape {tuple(example.shape)}",
            expected="(samples, features), or (time, samples, features) with the time axis named",
            fix="say time_axis=0 if the first axis is time, or time_steps=1 if there is none",
        )
    inherent = int(example.shape[axis]) if axis is not None else None
    found = max(
        [_ratio(e, samples) * counts[e.name] for e in multiplying] + [counts[e.name] for e in spiking] + [neuron_steps]
    )
    steps = time_steps or inherent or found
    if inherent is not None and time_steps is not None and inherent != time_steps:
        raise InputError(
            "time_steps and the example disagree",
            where="example",
            got=f"shape {tuple(example.shape)}, time_steps={time_steps}",
            expected=f"{inherent} steps on axis {axis}",
            fix="leave time_steps out, or correct time_axis",
        )
    sample_first = max(neuron_axes) == 1 if len(neuron_axes) == 1 else axis == 1
    layouts = {}
    for execution in executions:
        if execution.name not in layouts:
            layouts[execution.name] = _layout(execution, samples, steps, counts[execution.name], sample_first)
    return Timing(samples, steps, axis, layouts, outer, sample_first)


def _axis(
    multiplying: Sequence[Execution], counts: Mapping[str, int], example: Tensor, neuron_axes: frozenset[int]
) -> int | None:
    """Time axis of the example, judged by the first layer with weights that reads it."""
    if example.dim() < 3:
        return None
    said = next(iter(neuron_axes)) if len(neuron_axes) == 1 else None
    first = multiplying[0]
    lead, runs, (s0, s1) = first.input_shape[0], counts[first.name], example.shape[:2]
    sequence = example.dim() == 5 or (
        first.op != "linear"
        and len(first.input_shape)
        - (
            first.operation is not None
            and first.input_shape[-2] == 1
            and first.operation.kernel[0] == 1
            and example.dim() == 4
        )
        + 1
        == example.dim()
    )
    if first.op == "linear":
        if len(first.input_shape) == 3 and example.dim() == 3 and first.input_shape[:2] == (s0, s1):
            return said
        sequence = sequence or len(first.input_shape) == example.dim() - 1
    if sequence and lead == s0 * s1 and runs == 1 and (s0 > 1 or s1 > 1 or example.dim() == 5):
        return 0 if said is None else said
    if sequence and lead == s1 and runs == s0:
        return 0
    if sequence and lead == s0 and runs == s1:
        return 1
    if example.dim() == 5 and said is not None:
        return said
    return None


def _ratio(execution: Execution, samples: int) -> int:
    """Time steps in one call of a layer with weights."""
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


def _layout(execution: Execution, samples: int, steps: int, count: int, sample_first: bool) -> Layout:
    shape = list(execution.input_shape)
    if steps == 1 or count > 1:
        if count not in (1, steps, steps - 1):
            raise InputError(
                "a layer that runs neither once nor once per time step",
                where=execution.name,
                got=f"{count} executions",
                expected=f"1 or {steps} (time steps)",
                fix="give every place its own module or parameter; say time_steps= if T was not recognised",
            )
        return Layout("batch", 1, steps if count > 1 else 1)
    two = [samples, steps] if sample_first else [steps, samples]
    leading = len(shape) >= 3 and shape[:2] == two
    flat = shape[0] == steps * samples
    if leading and (shape[0] != samples or len(shape) in (3, 5)) and not (flat and len(shape) == 4):
        return Layout("time", steps, steps)
    if flat:
        return Layout("flat", steps, steps)
    if shape[0] == samples:
        return Layout("batch", 1, 1)
    raise InputError(
        "cannot split a layer's input into time steps and samples",
        where=execution.name,
        got=f"shape {tuple(shape)}",
        expected=f"{samples} samples, {steps} steps × {samples} samples, or both axes",
        fix="say time_steps= and time_axis=",
    )


def sample_shape(op: str, shape: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
    """Shape of one sample in one step, channels first; never empty."""
    rest = shape[2:] if layout.kind == "time" else shape[1:]
    if op == "linear" and len(rest) > 1:
        rest = (rest[-1], *rest[:-1])
    if op.endswith("pool"):
        rest = (rest[0], 1, rest[1]) if len(rest) == 2 else (rest[0], 1, 1) if len(rest) == 1 else rest
    return tuple(rest) or (1,)
