"""Which modules are one layer as a whole: neurons, and activations of the user's own making."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from truejoule.errors import InputError
from truejoule.network.activations import activation
from truejoule.network.execution import Leaf
from truejoule.network.interpret import Paths, guarded
from truejoule.network.predict import predict
from truejoule.network.probe import UnknownNeuron, probe
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
    with guarded(scout.paths, (x,)), scout.paths.follow(scout.enter, scout.leave), scout:
        (forward or module)(x)
    restart()
    found = Leaves()
    done: set[str] = set()
    for path in sorted(scout.candidates.keys() - scout.busy, key=lambda p: p.count(".")):
        if any(path.startswith(above + ".") for above in done):
            continue
        if _classify(module, path, scout, found):
            done.add(path)
    return found


def _classify(root: nn.Module, path: str, scout: _Scout, found: Leaves) -> bool:
    """Whether a module is settled; if not, its children are looked at."""
    module = root.get_submodule(path)
    inside = [p for p in scout.candidates.keys() - scout.busy if p.startswith(path + ".")]
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
    kind = activation(module, scout.candidates[path])
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


class _Scout(TorchFunctionMode):
    """Marks modules that keep the shape of their input (``candidates``) and those in which layers run (``busy``)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.paths = Paths(module)
        self.candidates: dict[str, tuple[int, ...]] = {}
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
                self.candidates.setdefault(path, tuple(data.shape))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operation = recognise(getattr(func, "__name__", ""), args, kwargs)
        if operation is not None and operation.op in _INSIDE:
            self.busy.update(self.paths.stack)
        return func(*args, **kwargs)
