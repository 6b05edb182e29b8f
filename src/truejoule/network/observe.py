"""Reading a network: one forward pass gives layers, edges, precisions and neuron semantics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.network.checks import check_arguments, check_executions, check_finite, check_places
from truejoule.network.execution import INPUT, Execution, Trace
from truejoule.network.failing import ForwardFailed
from truejoule.network.functional import find_functional
from truejoule.network.interpret import Names, interpret, named_tensors
from truejoule.network.leaves import Leaves, check_time, find_leaves
from truejoule.network.misplaced import final_only_in_the_middle, over_time
from truejoule.network.network import Network, evaluating, same_outputs, stepper
from truejoule.network.places import Places, check_rounds, find_places
from truejoule.network.precision import weight_precision
from truejoule.network.provenance import clear
from truejoule.network.resized import Resized, Size, Sizes
from truejoule.network.standing import Watch
from truejoule.network.state import METHODS, State, reset
from truejoule.network.timing import Layout, Timing, infer, pool_shapes, sample_shape
from truejoule.network.trace import trace
from truejoule.network.widths import Watched, with_codes
from truejoule.workload import Edge, Layer, Neuron, Workload
from truejoule.workload.standing import with_standing

PASSES = 6
"""Runs in which places are told apart: one lets the next see more, as places behind other places do."""
EDITS_INPUT = "the network changes its input in place; it is run on a copy of every batch"


def observe(
    module: nn.Module,
    example: Tensor,
    *,
    time_steps: int | None = None,
    time_axis: int | None = None,
    data: Any = None,
    name: str | None = None,
    batches: int | None = None,
) -> Workload:
    """What a network asks of hardware, found out by running it once on an example.

    Parameters
    ----------
    module : any ``nn.Module`` that takes one tensor. It is run in eval mode without gradients and left as it was.
    example : one batch, (N, ...), or with time (T, N, ...) / (N, T, ...).
    time_steps : T, where it cannot be seen: for a module that computes one step per call, or to make sure.
    time_axis : axis of time in the example (0 or 1), where it cannot be seen.
    data : a data loader (or one tensor) to measure activity on; without it the workload has no activity.
    name : for titles; the class name by default.
    batches : at most so many batches of ``data``.

    Raises
    ------
    InputError : for anything that makes the answer meaningless; see docs/support.md.
    """
    network = read(module, example, time_steps=time_steps, time_axis=time_axis, name=name)
    return network.workload if data is None else network.workload.with_activity(network.measure(data, batches=batches))


def read(
    module: nn.Module,
    example: Tensor,
    *,
    time_steps: int | None = None,
    time_axis: int | None = None,
    name: str | None = None,
) -> Network:
    """As ``observe``, but the network itself, which can be run and measured; arguments and errors as there."""
    check_arguments(module, example, time_steps, time_axis)
    module = getattr(module, "_orig_mod", module)  # inside a module that torch.compile made
    memory = State.of(module)
    reset(module)
    try:
        with evaluating(module), torch.random.fork_rng(devices=[]):
            return _read(module, example, time_steps, time_axis, name or type(module).__name__)
    finally:
        for _, tensor in named_tensors(module):
            clear(tensor)
        memory.restore(module)


def require_supported(workload: Workload) -> None:
    """Raises ``InputError`` naming every operation that was not understood."""
    if workload.not_understood:
        lines = [f"{item.where}: {item.operation} ({item.reason})" for item in workload.not_understood]
        raise InputError(
            "the network has operations that no accelerator runs",
            where=workload.name,
            got="\n            ".join(lines),
            expected="the operations of docs/support.md",
            fix="replace them, or evaluate the supported part alone",
        )


def _read(module: nn.Module, example: Tensor, time_steps: int | None, time_axis: int | None, title: str) -> Network:
    fresh = State.of(module)

    def restart() -> None:
        reset(module)
        fresh.restore(module)
        torch.manual_seed(0)

    restart()
    leaves, seen, timing = _explore(module, example, time_steps, time_axis, restart)
    if leaves.edits_input and timing.outer and timing.time_axis is None:
        raise InputError(
            "the network changes its input in place, and gets the same input in every time step",
            where="the network's forward",
            got="an example that is another one after the first step",
            expected="a forward that leaves its input alone",
            fix="work on x.clone(), or use operations that do not end in _",
        )
    layers = _layers(seen, leaves, timing)
    edges = _edges(seen.executions, timing.steps)
    refused = (*leaves.refused, *seen.refused, *final_only_in_the_middle(layers, edges), *over_time(layers, edges))
    workload = Workload(
        title,
        tuple(layers),
        tuple(edges),
        timing.steps,
        None,
        tuple({(n.where, n.operation): n for n in refused}.values()),
    )
    without_reset = frozenset(
        path
        for path in leaves.forms
        if not any(callable(getattr(module.get_submodule(path), m, None)) for m in METHODS)
    )
    if seen.neurons:
        without_reset |= fresh.differing(State.of(module))  # where a membrane without a module is kept
    restart()
    notes = (EDITS_INPUT,) if leaves.edits_input else ()
    network = Network(module, example, workload, timing, seen.names, {}, State.of(module, without_reset), notes=notes)
    watch, widths = Watch(timing.layouts, timing.sample_first), Watched(workload)

    def look(name: str, step: int, steps: int, input: Tensor, output: Tensor) -> None:
        watch.on_layer(name, step, steps, input, output)
        widths.on_layer(name, step, steps, input, output)

    torch.manual_seed(0)
    same_outputs(seen.output, network.run(example, on_layer=look), "one after the other")
    codes = widths.codes()
    return replace(network, workload=with_standing(with_codes(workload, codes), watch.moving), codes=codes)


def _explore(
    module: nn.Module, example: Tensor, time_steps: int | None, time_axis: int | None, restart: Callable[[], None]
) -> tuple[Leaves, Trace, Timing]:
    """Leaves, trace and timing; a module that computes one step per call is run in a loop around it."""

    def attempt(forward: Callable[[Tensor], Any] | None, steps: int | None) -> tuple[Leaves, Trace, Timing]:
        restart()
        leaves = find_leaves(module, example, restart, forward)
        restart()
        functional = find_functional(module, example, leaves.kinds, forward)
        restart()
        seen = trace(module, example, leaves.kinds, forward, functional)
        places = Places()
        for _ in range(PASSES):
            more = find_places(seen, leaves.forms, places)
            if more is None:
                break
            places = more
            restart()
            seen = trace(module, example, leaves.kinds, forward, functional, places)
        _require_layers(seen.executions, module)
        check_places(seen.executions)
        check_rounds(seen, places, leaves.forms)
        told = time_steps is not None or time_axis is not None
        spiking = [e for e in seen.executions if e.op == "neuron" and e.path in leaves.forms]

        def sizes(x: Tensor) -> Sizes:
            restart()
            return _sizes(module, x, seen.names, forward)

        resized = Resized(example, sizes)
        timing = infer(seen.executions, example, steps, time_axis, leaves.forms, resized, forward is not None, told)
        for execution in spiking:
            layout = timing.layouts[execution.name]
            if execution.index == 0:
                neuron, form = leaves.neurons[execution.path], leaves.forms[execution.path]
                cell, shape = module.get_submodule(execution.path), execution.input_shape
                check_time(cell, execution.name, neuron, form, shape, layout, timing.sample_first)
        return leaves, seen, timing

    try:
        leaves, seen, timing = attempt(None, time_steps if time_axis is not None else None)
        if time_steps in (None, timing.steps):
            return leaves, seen, timing
        if timing.steps > 1:
            raise InputError(
                "the network does not run as many time steps as was said",
                where="time_steps",
                got=time_steps,
                expected=f"{timing.steps}, as seen in the forward pass",
            )
    except InputError as error:
        if time_axis is None or time_steps == 1:
            raise  # otherwise it may be a module that takes one step of the example
        whole = error
    else:
        whole = None
    steps = int(example.shape[time_axis]) if time_axis is not None else int(time_steps or 1)
    try:
        return attempt(stepper(module, Timing(0, steps, time_axis, {}, True)), steps)
    except InputError:
        if whole is not None and not isinstance(whole, ForwardFailed):
            raise whole from None  # it takes the whole example, and only that
        raise


def _sizes(module: nn.Module, x: Tensor, names: Names, forward: Callable[[Tensor], Any] | None) -> Sizes:
    found: dict[str, Size] = {}

    def look(name: str, step: int, steps: int, input: Tensor, output: Tensor) -> None:
        shape = found[name].shape if name in found else tuple(input.shape)
        found[name] = Size(step + 1, shape)

    interpret(module, (x.clone(),), names=names, on_layer=look, forward=forward)
    return found


def _require_layers(executions: Sequence[Execution], module: nn.Module) -> None:
    if not any(e.op in ("conv", "linear") for e in executions):
        raise InputError(
            "a network without a layer that multiplies",
            where=type(module).__name__,
            got=f"{sorted({e.op for e in executions}) or 'nothing that was recognised'}",
            expected="at least one convolution or linear layer",
            fix="see docs/support.md for what is recognised",
        )


def _layers(seen: Trace, leaves: Leaves, timing: Timing) -> list[Layer]:
    by_name: dict[str, list[Execution]] = {}
    for execution in seen.executions:
        by_name.setdefault(execution.name, []).append(execution)
    for name, executions in by_name.items():
        check_executions(name, executions)
    neurons = {name: leaves.neurons.get(executions[0].path) for name, executions in by_name.items()} | dict(
        seen.neurons
    )
    return [
        _layer(executions[0], timing.layouts[name], neurons[name], seen.shared.get(name, ""))
        for name, executions in by_name.items()
    ]


def _layer(first: Execution, layout: Layout, neuron: Neuron | None, state_of: str) -> Layer:
    op, operation = first.op, first.operation
    input_shape, output_shape = (
        sample_shape(op, first.input_shape, layout),
        sample_shape(op, first.output_shape, layout),
    )
    if operation is not None and op.endswith("pool"):
        input_shape, output_shape = pool_shapes(first.input_shape, first.output_shape, operation.spatial, layout)
    layer = Layer(
        name=first.name,
        op=op,
        input_shape=input_shape,
        output_shape=output_shape,
        steps=layout.steps,
        neuron=neuron if op == "neuron" else None,
        state_of=state_of,
        note=first.note,
    )
    if operation is None:
        return layer
    for values in operation.statistics:
        check_finite(values, first.name, "statistics or scales of a norm")
    layer = replace(
        layer,
        kernel=operation.kernel,
        stride=operation.stride,
        padding=operation.padding,
        dilation=operation.dilation,
        groups=operation.groups,
        bias=operation.bias is not None,
    )
    if not operation.multiplies:
        return layer
    assert operation.weight is not None
    check_finite(operation.weight, first.name)
    if isinstance(operation.bias, Tensor):
        check_finite(operation.bias, first.name, "biases")
    bits, levels = weight_precision(operation.weight)
    return replace(layer, weight_bits=bits, weight_levels=levels)


def _edges(executions: Sequence[Execution], time_steps: int) -> list[Edge]:
    """Edges between layers; recurrent where a layer never sees another's value of the same time step."""
    step = _steps(executions, time_steps)
    lagging: dict[tuple[str, str], bool] = {}
    for execution in executions:
        now = step[execution.name, execution.index]
        for sources in execution.sources:
            for source, index in sources.items():
                late = source != INPUT and step[source, index] < now
                key = (source, execution.name)
                lagging[key] = lagging.get(key, True) and late
    return [Edge(source, target, recurrent) for (source, target), recurrent in lagging.items()]


def _steps(executions: Sequence[Execution], time_steps: int) -> dict[tuple[str, int], int]:
    """The time step of every execution. Layers that run in every step tell their own; others (one norm per step, a layer that is left
    out in the first step, a layer in front of the loop) belong to the first step that needs them."""
    counts = Counter(execution.name for execution in executions)
    known = {(e.name, e.index): e.index for e in executions if counts[e.name] == time_steps}
    needed: dict[tuple[str, int], int] = {}
    for execution in reversed(executions):
        key = (execution.name, execution.index)
        if key not in known and key in needed:
            known[key] = needed[key]
        if key in known:
            for source in (item for sources in execution.sources for item in sources.items()):
                needed[source] = min(needed.get(source, time_steps), known[key])
    for execution in executions:  # what only the end of the run needs
        before = [known[item] for sources in execution.sources for item in sources.items() if item[0] != INPUT]
        known.setdefault((execution.name, execution.index), max(before, default=0))
    return known
