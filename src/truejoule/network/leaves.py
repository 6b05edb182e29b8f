"""Which modules are one layer as a whole: neurons, and activations of the user's own making."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from truejoule.errors import InputError
from truejoule.network.execution import Leaf
from truejoule.network.interpret import Paths, guarded
from truejoule.network.predict import predict
from truejoule.network.probe import UnknownNeuron, elementwise, probe
from truejoule.network.recognise import first_tensor, recognise
from truejoule.network.state import fresh_copy
from truejoule.network.timing import Layout
from truejoule.workload import Neuron, NotUnderstood

_INSIDE = ("conv", "linear", "norm", "max_pool", "avg_pool", "host")


@dataclass(slots=True)
class Leaves:
    """Leaf modules by path, the neurons among them, and what could not be understood."""

    kinds: dict[str, Leaf] = field(default_factory=dict)
    neurons: dict[str, Neuron] = field(default_factory=dict)
    refused: list[NotUnderstood] = field(default_factory=list)
    multi_step: bool = False


def find_leaves(
    module: nn.Module, x: Tensor, restart: Callable[[], None], forward: Callable[[Tensor], Any] | None = None
) -> Leaves:
    """Run once to see which modules keep the shape and hold no layer with weights; ``restart``, then probe those."""
    scout = _Scout(module)
    call = forward or module
    with (
        guarded(scout.paths, lambda: call(x.clone()), "it is watched"),
        scout.paths.follow(scout.enter, scout.leave),
        scout,
    ):
        call(x.clone())
    restart()
    found = Leaves()
    done: set[str] = set()
    for path in sorted(scout.candidates - scout.busy, key=lambda p: p.count(".")):
        if any(path.startswith(above + ".") for above in done):
            continue
        if _classify(module, path, scout, found):
            done.add(path)
    return found


def _classify(root: nn.Module, path: str, scout: _Scout, found: Leaves) -> bool:
    """Whether a module is settled; if not, its children are looked at."""
    module = root.get_submodule(path)
    inside = [p for p in scout.candidates - scout.busy if p.startswith(path + ".")]
    neurons = sum(_is_neuron(root.get_submodule(p)) for p in inside)
    if neurons > 1:
        return False  # a container of neurons, even if together they happen to behave like one
    try:
        neuron = probe(module, where=path)
    except UnknownNeuron as error:
        if neurons:
            return False
        found.kinds[path] = Leaf("host", type(module).__name__)
        found.refused.append(NotUnderstood(path, type(module).__name__, error.reason))
        return True
    if neuron is not None:
        found.kinds[path], found.neurons[path] = Leaf("neuron"), neuron
        found.multi_step |= getattr(module, "step_mode", "s") == "m"
        return True
    kind = activation(module)
    if kind is None:
        return False
    found.kinds[path] = kind
    return True


def _is_neuron(module: nn.Module) -> bool:
    try:
        return probe(module) is not None
    except UnknownNeuron:
        return False


def check_time(
    module: nn.Module, where: str, neuron: Neuron, shape: tuple[int, ...], layout: Layout, axis: int | None
) -> None:
    """A neuron that gets several time steps in one call must loop over them, and not take them for samples.

    Raises
    ------
    InputError : if its spikes are not those of its record along the time axis.
    """
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.8 * neuron.threshold / neuron.gain
    with torch.no_grad():
        got = first_tensor(fresh_copy(module)(x))
    want, _ = predict(neuron, layout.split(x, axis == 1))
    if got is None or got.shape != x.shape or float((layout.split(got, axis == 1) != want).double().mean()) > 1e-3:
        raise InputError(
            "a neuron that takes time steps for samples",
            where=where,
            got=f"input of shape {tuple(shape)}, {layout.per_call} steps in one call",
            expected="a neuron that loops over its time axis, or one call per time step",
            fix="use the multi-step mode of the neuron, or give time_axis= and time_steps= for a one-step network",
        )


def activation(module: nn.Module) -> Leaf | None:
    """What a stateless elementwise module does, read from its values; ``None`` if it is none of the known kinds."""
    x = torch.cat([torch.linspace(-8, 8, 1601), torch.linspace(-1.5, 1.5, 601)])
    y = elementwise(module, x)
    if y is None:
        return None
    if torch.equal(y, x):
        return Leaf(None, "identity")
    away = x != 0
    if torch.equal(y[away], x[away].sign()):
        return Leaf("sign")
    if torch.equal(y, x.clamp(min=0)):
        return Leaf("relu")
    order = torch.argsort(x)
    staircase = bool((y[order].diff() >= -1e-6).all())
    levels = torch.unique(y).numel()
    if not staircase or levels > 300 or levels < 2:
        return None
    if levels == 2 and float(y.max()) == -float(y.min()):
        return Leaf("sign", f"times {float(y.max()):g}")
    if levels == 2:
        return None  # a step function: a hand-written threshold
    if float(y.min()) >= 0:
        return Leaf("relu", f"quantised to {levels} levels")
    return Leaf(None, f"quantised to {levels} levels")


class _Scout(TorchFunctionMode):
    """Marks modules that keep the shape of their input (``candidates``) and those in which layers run (``busy``)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.paths = Paths(module)
        self.candidates: set[str] = set()
        self.busy: set[str] = set()

    def enter(self, path: str, module: nn.Module, args: Any) -> None:
        pass

    def leave(self, path: str, module: nn.Module, args: Any, output: Any) -> None:
        if not path or type(module).__module__.startswith("torch."):
            return
        with torch._C.DisableTorchFunction():
            data, result = first_tensor(args), first_tensor(output)
            if (
                isinstance(data, Tensor)
                and isinstance(result, Tensor)
                and data.shape == result.shape
                and data.is_floating_point()
            ):
                self.candidates.add(path)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operation = recognise(getattr(func, "__name__", ""), args, kwargs)
        if operation is not None and operation.op in _INSIDE:
            self.busy.update(self.paths.stack)
        return func(*args, **kwargs)
