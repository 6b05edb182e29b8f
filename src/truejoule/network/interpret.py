"""Runs a module while seeing, naming and (where wanted) replacing what it computes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from truejoule.errors import InputError, TrueJouleError, in_one_line
from truejoule.network.inline import Follower, Inline
from truejoule.network.operation import Operation
from truejoule.network.recognise import first_tensor, recognise, tensors, value_of, wraps
from truejoule.network.state import reset


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One execution of a layer with weights, for somebody who may compute it differently.

    Attributes
    ----------
    name : layer name, as in the workload.
    op : ``"conv"`` (``input`` (B, C, H, W), also for 1-D layers with H = 1, ``weight`` (K, C/groups, R, S)) or
        ``"linear"`` (``input`` (..., features), ``weight`` (out, features)).
    weight, bias : the effective values that the user's module passed (quantised, normalised, binarised if it does so).
    step : index of the first time step in this call.
    steps : time steps in this call. B is ``steps * samples`` with the time major (sample major for ``time_axis=1``).
    samples : batch size N; 0 when unknown.
    """

    name: str
    op: Literal["conv", "linear"]
    input: Tensor
    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    step: int = 0
    steps: int = 1
    samples: int = 0
    default: Callable[[], Tensor] | None = None

    def compute(self) -> Tensor:
        """What the user's module would have computed itself, bit for bit."""
        if self.default is not None:
            return self.default()
        if self.op == "linear":
            return F.linear(self.input, self.weight, self.bias)
        return F.conv2d(self.input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


OnCall = Callable[[Call], Tensor]
OnLayer = Callable[[str, int, int, Tensor, Tensor], None]
"""``on_layer(name, step, steps, input, output)``: raw tensors of one execution."""


@dataclass(frozen=True, slots=True)
class Names:
    """How the layers of one network are found again in a later run.

    Attributes
    ----------
    weights : qualified name of a parameter, buffer or tensor attribute → layer name, for weights passed as they are.
    sequence : (module path, operation) → layer names in the order of a run; ``None`` for calls that are no layers.
    leaves : module path → layer names in the order of a run, for modules that are one layer as a whole; ``None``: transparent.
    inline, written : calls that make up the layers which a forward pass computes by itself, and the names of those.
    """

    weights: Mapping[str, str] = field(default_factory=dict)
    sequence: Mapping[tuple[str, str], tuple[str | None, ...]] = field(default_factory=dict)
    leaves: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    inline: Inline = field(default_factory=Inline)
    written: tuple[str, ...] = ()


class Paths:
    """The module paths that are being executed, innermost last; it stays as it was when something failed."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.names = {m: name for name, m in module.named_modules()}
        self.stack: list[str] = []
        self.inputs: list[Any] = []

    @property
    def current(self) -> str:
        return self.stack[-1] if self.stack else ""

    @contextmanager
    def follow(
        self, enter: Callable[[str, nn.Module, Any], None], leave: Callable[[str, nn.Module, Any, Any], Any]
    ) -> Iterator[None]:
        handles = []

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            self.stack.append(self.names[module])
            self.inputs.append((*args, *kwargs.values()))
            enter(self.stack[-1], module, self.inputs[-1])

        def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            leave(self.stack[-1], module, self.inputs[-1], output)
            self.stack.pop()
            self.inputs.pop()

        try:
            for module in self.names:
                handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
                handles.append(module.register_forward_hook(after, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()


def interpret(
    module: nn.Module,
    args: tuple[Any, ...],
    on_call: OnCall | None = None,
    *,
    names: Names,
    on_layer: OnLayer | None = None,
    steps_per_call: Mapping[str, int] | None = None,
    samples: int = 0,
    forward: Callable[..., Any] | None = None,
) -> Any:
    """Run ``module(*args)``; each call of a layer with weights goes to ``on_call``, whose answer is used instead.

    Light: no provenance, only named layers. ``names`` comes from a network that was read before. ``forward`` is
    called in place of ``module`` where a function around it drives it.

    Raises
    ------
    InputError : when the module itself fails (with the path and the shapes), or calls a layer that was not seen before.
    """
    runner = _Runner(module, names, on_call, on_layer, steps_per_call or {}, samples)
    doing = "its layers are computed by a machine" if on_call is not None else "its layers are watched"
    call = forward or module
    with (
        guarded(runner.paths, lambda: call(*args), doing),
        runner.paths.follow(runner.enter, runner.leave),
        runner,
    ):
        return call(*args)


class _Runner(TorchFunctionMode):
    def __init__(
        self,
        module: nn.Module,
        names: Names,
        on_call: OnCall | None,
        on_layer: OnLayer | None,
        steps_per_call: Mapping[str, int],
        samples: int,
    ) -> None:
        super().__init__()
        self.paths, self._names = Paths(module), names
        self._on_call, self._on_layer, self._per_call, self._samples = on_call, on_layer, steps_per_call, samples
        known = [(t, names.weights[n]) for n, t in named_tensors(module) if n in names.weights]
        self._alive = [t for t, _ in known]  # an id names a tensor only while that lives
        self._weights = {id(t): layer for t, layer in known}
        self._opaque = 0
        self._executed: Counter[str] = Counter()
        self._met: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._follower = Follower(names.inline, lambda x: x.clone() if on_layer is not None else x, self._written)

    def enter(self, path: str, module: nn.Module, args: Any) -> None:
        if path in self._names.leaves:
            self._opaque += 1

    def leave(self, path: str, module: nn.Module, args: Any, output: Any) -> None:
        if path not in self._names.leaves:
            return
        self._opaque -= 1
        if self._opaque:
            return
        order = self._names.leaves[path]
        index = self._met[path, "leaf"]
        self._met[path, "leaf"] += 1
        name = order[index % len(order)] if order else None
        if name is None:
            return
        step, steps = self._step(name)
        data, result = first_tensor(args), first_tensor(output)
        if self._on_layer is not None and data is not None and result is not None:
            with torch._C.DisableTorchFunction():
                self._on_layer(name, step, steps, data, result)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._opaque:
            return func(*args, **kwargs)
        return self._follower.call(self.paths.current, func, args, kwargs, self._call)

    def _written(self, layer: int, inputs: list[Tensor], output: Tensor, first: bool) -> None:
        if first:
            name = self._names.written[layer]
            step, steps = self._step(name)
            if self._on_layer is not None:
                self._on_layer(name, step, steps, sum(inputs[1:], inputs[0]), output)

    def _call(self, func: Any, title: str, args: Any, kwargs: Any) -> Any:
        operation = recognise(title, args, kwargs)
        if operation is None:
            return func(*args, **kwargs)
        name = self._name(operation)
        if name is None:
            return func(*args, **kwargs)
        step, steps = self._step(name)
        if operation.multiplies and self._on_call is not None:
            call = as_call(name, operation, title, lambda: func(*args, **kwargs), step, steps, self._samples)
            answer = self._on_call(call)
            output = answer.squeeze(-2) if title == "conv1d" else answer
            if self._on_layer is not None:
                self._on_layer(name, step, steps, operation.inputs[0], answer)
            if any(wraps(argument) for argument in (*args, *kwargs.values())):  # then the module may expect one back
                wrapped = func(*args, **kwargs)
                output = wrapped._replace(value=output) if hasattr(wrapped, "_replace") else output
            return output
        if self._on_layer is None:
            return func(*args, **kwargs)
        before = operation.inputs[0]
        if operation.op == "relu" or title.endswith("_"):
            before = before.clone()  # it may be overwritten by what we are about to call
        output = func(*args, **kwargs)
        result = value_of(output)
        self._on_layer(name, step, steps, before, result.unsqueeze(-2) if title == "conv1d" else result)
        return output

    def _name(self, operation: Operation) -> str | None:
        if operation.weight is not None and operation.multiplies:
            known = self._weights.get(id(weight_identity(operation.weight)))
            if known is not None:
                return known
        key = (self.paths.current, operation.op)
        order = self._names.sequence.get(key)
        if order is None:
            if operation.multiplies:
                raise InputError(
                    "a layer that was not there when the network was read",
                    where=self.paths.current or "the network itself",
                    got=f"{operation.op} with inputs {tuple(operation.inputs[0].shape)}",
                    expected="the layers seen with the example",
                    fix="give an example that takes the same path through the network",
                )
            return None
        index = self._met[key]
        self._met[key] += 1
        return order[index % len(order)]

    def _step(self, name: str) -> tuple[int, int]:
        steps = self._per_call.get(name, 1)
        step = self._executed[name] * steps
        self._executed[name] += 1
        return step, steps


def as_call(
    name: str, operation: Operation, title: str, original: Callable[[], Tensor], step: int, steps: int, samples: int
) -> Call:
    assert operation.weight is not None and operation.op in ("conv", "linear")

    def default() -> Tensor:
        result = value_of(original())
        return result.unsqueeze(-2) if title == "conv1d" else result

    return Call(
        name,
        operation.op,
        operation.inputs[0],
        operation.weight,
        operation.bias,
        operation.stride,
        operation.padding,
        operation.dilation,
        operation.groups,
        step,
        steps,
        samples,
        default,
    )


def weight_identity(weight: Tensor) -> Tensor:
    """The tensor a view such as ``w.t()`` or ``w.unsqueeze(2)`` was made from."""
    return weight._base if weight._base is not None else weight


def named_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers and plain tensor attributes with their qualified names."""
    yield from module.named_parameters()
    yield from module.named_buffers()
    for path, child in module.named_modules():
        for attribute, value in vars(child).items():
            if isinstance(value, Tensor):
                yield (f"{path}.{attribute}" if path else attribute), value


class ForwardFailed(InputError):  # noqa: N818 - reads as what it is
    """The user's module raised an error of its own."""


@contextmanager
def guarded(paths: Paths, alone: Callable[[], Any], what_we_did: str) -> Iterator[None]:
    """Turns a failure of the user's module into an error that says where it happened, with which shapes, and whose fault it is.

    Parameters
    ----------
    alone : runs the module without us, from the start; called only after a failure.
    what_we_did : completes "it runs by itself, but fails when …".
    """
    try:
        yield
    except TrueJouleError:
        raise
    except Exception as error:
        found = error
        where = paths.current or "the network's own forward"
        kind = f" ({type(dict(paths.module.named_modules())[paths.current]).__name__})" if paths.current else ""
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors(paths.inputs[-1] if paths.inputs else ()))
        got = f"inputs of shape {shapes}" if shapes else None
        try:
            reset(paths.module)
            alone()
        except Exception as own:
            raise ForwardFailed(
                f"the network's forward pass failed: {in_one_line(own)}",
                where=f"{where}{kind}",
                got=got,
                expected="a module that runs on the example as it is given",
                fix="it fails in the same way without truejoule: call it on the example yourself; check shapes, dtype and device",
            ) from own
        raise InputError(
            f"the network runs by itself, but fails when {what_we_did}: {in_one_line(found)}",
            where=f"{where}{kind}",
            got=got,
            expected="layers that can be watched and computed by somebody else",
            fix="look for code that depends on the exact type, layout or memory of a layer's result",
        ) from found
