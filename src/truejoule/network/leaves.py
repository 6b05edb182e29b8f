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
from truejoule.network.calling import own_dtype
from truejoule.network.execution import Leaf
from truejoule.network.failing import guarded
from truejoule.network.forms import Form
from truejoule.network.interpret import Paths
from truejoule.network.predict import predict
from truejoule.network.probe import Probed, UnknownNeuron, examine, fires_over_time
from truejoule.network.provenance import Provenance, no_tracking, quiet
from truejoule.network.recognise import READ_OUT, first_tensor, recognise, tensors
from truejoule.network.state import fresh_copy
from truejoule.network.timing import Layout
from truejoule.workload import Neuron, NotUnderstood
from truejoule.workload.neuron import values

_INSIDE = ("conv", "linear", "norm", "max_pool", "avg_pool", "host")


@dataclass(slots=True)
class Leaves:
    """Leaf modules by path, the neurons among them, and what could not be understood.

    Attributes
    ----------
    forms : per path of a neuron or read-out, how it takes time.
    edits_input : whether the network changes the tensor that it is given.
    """

    kinds: dict[str, Leaf] = field(default_factory=dict)
    neurons: dict[str, Neuron] = field(default_factory=dict)
    forms: dict[str, Form] = field(default_factory=dict)
    refused: list[NotUnderstood] = field(default_factory=list)
    edits_input: bool = False

    @property
    def time_axes(self) -> dict[str, int]:
        """Paths of neurons that take a whole sequence in one call → which axis of their input is time.

        0: (T, N, ...), 1: (N, T, ...). For inputs (T·N, ...) that they take apart themselves 0 is time-major and 1 sample-major.
        """
        return {path: form.time for path, form in self.forms.items() if form.time is not None}

    @property
    def flat(self) -> frozenset[str]:
        """The paths among ``time_axes`` whose input has time and samples in one axis."""
        return frozenset(path for path, form in self.forms.items() if form.flat)


def find_leaves(
    module: nn.Module, x: Tensor, restart: Callable[[], None], forward: Callable[[Tensor], Any] | None = None
) -> Leaves:
    """Run once to see which modules keep the shape and hold no layer with weights; ``restart``, then probe those."""
    scout = _Scout(module)
    call = forward or module
    with (
        guarded(scout.paths, lambda: call(x.clone()), "it is watched"),
        scout.paths.follow(scout.enter, scout.leave),
        quiet(),
        scout.origins,
        scout,
    ):
        given = x.clone()
        call(given)
    restart()
    candidates = {path: shape for path, shape in scout.candidates.items() if path not in scout.busy}
    candidates |= {
        path: shape for path, shape in scout.filters().items() if fires_over_time(module.get_submodule(path), shape)
    }
    search = _Search(module, candidates, frozenset(scout.returning))
    found, done = Leaves(edits_input=not torch.equal(given, x)), set[str]()
    for path in sorted(search.candidates, key=lambda p: p.count(".")):
        if not any(path.startswith(above + ".") for above in done) and search.settle(path, found):
            done.add(path)
    return found


@dataclass(slots=True)
class _Search:
    """Candidates with the shapes of their inputs, each probed at most once.

    Attributes
    ----------
    returning : paths of those whose answers come back to their own input: the threshold of a neuron whose state is kept around it.
    """

    root: nn.Module
    candidates: dict[str, tuple[int, ...]]
    returning: frozenset[str] = frozenset()
    seen: dict[str, Probed | UnknownNeuron | None] = field(default_factory=dict)

    def probed(self, path: str) -> Probed | UnknownNeuron | None:
        if path not in self.seen:
            try:
                module = self.root.get_submodule(path)
                self.seen[path] = examine(module, where=path, shape=self.candidates[path])
            except UnknownNeuron as error:
                self.seen[path] = error
        return self.seen[path]

    def settle(self, path: str, found: Leaves) -> bool:
        """Whether a module is settled; if not, its children are looked at."""
        module = self.root.get_submodule(path)
        inside = [p for p in self.candidates if p.startswith(path + ".")]
        probed = [self.probed(p) for p in inside]
        neurons = sum(isinstance(p, Probed) for p in probed)
        if neurons > 1:
            return False  # a container of neurons, even if together they happen to behave like one
        mine = self.probed(path)
        if isinstance(mine, UnknownNeuron):
            if neurons or any(isinstance(p, UnknownNeuron) for p in probed):
                return False
            found.kinds[path] = Leaf("host", type(module).__name__)
            found.refused.append(NotUnderstood(path, type(module).__name__, mine.reason))
            return True
        if mine is not None:
            found.forms[path] = mine.form
            found.kinds[path] = Leaf("host", READ_OUT) if mine.neuron is None else Leaf("neuron")
            if mine.neuron is not None:
                found.neurons[path] = mine.neuron
            return True
        kind = activation(module, self.candidates[path]) if path not in self.returning else None
        if kind is None:
            return False
        found.kinds[path] = kind
        return True


def check_time(
    module: nn.Module,
    where: str,
    neuron: Neuron,
    form: Form,
    shape: tuple[int, ...],
    layout: Layout,
    sample_first: bool,
) -> None:
    """A neuron must take time as its layer does: several steps in one call along the axis that holds them, else one step per call.

    Raises
    ------
    InputError : if it takes time steps for samples or samples for time steps: its spikes are not those of its record.
    """
    if layout.per_call == 1 and form.time is None:
        return
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x = x * 0.8 * max(values(neuron.threshold)) / max(values(neuron.gain))
    with torch.no_grad():
        got = first_tensor(fresh_copy(module)(x.to(own_dtype(module))))
    want, _ = predict(neuron, layout.split(x, sample_first))
    apart = (
        torch.ones(1)
        if got is None or got.shape != x.shape
        else (layout.split(got.double(), sample_first) - want).abs()
    )
    if float((apart > 1e-3 * min(values(neuron.height))).double().mean()) > 1e-3:
        steps = f"{layout.per_call} steps" if layout.per_call > 1 else "one step"
        raise InputError(
            "a neuron that takes time steps for samples, or samples for time steps",
            where=where,
            got=f"input of shape {tuple(shape)} with {steps} in one call; the neuron takes {_taken(form)}",
            expected="a neuron that loops over the time axis of its input, or one call per time step",
            fix="use the multi-step mode of the neuron, or give time_axis= and time_steps=",
        )


def _taken(form: Form) -> str:
    if form.time is None:
        return "one time step per call"
    if form.flat:
        return f"{'(T·N, ...)' if form.time == 0 else '(N·T, ...)'}" + (f" with T = {form.steps}" if form.steps else "")
    return "(T, N, ...)" if form.time == 0 else "(N, T, ...)"


class _Scout(TorchFunctionMode):
    """Marks modules that keep the shape of their input (``candidates``), those in which layers run (``busy``), and those whose answers come back
    to their own input without a layer on the way (``returning``)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.paths = Paths(module)
        self.candidates: dict[str, tuple[int, ...]] = {}
        self.busy: set[str] = set()
        self.multiplying: set[str] = set()
        self.other: set[str] = set()
        self.returning: set[str] = set()
        self.origins = Provenance({})

    def filters(self) -> dict[str, tuple[int, ...]]:
        """Candidates that multiply their input with weights themselves, and contain no layer: perhaps a membrane as a filter over time."""
        above = {path[:k] for path in self.busy for k, letter in enumerate(path) if letter == "."}
        alone = self.multiplying - self.other - above
        return {path: shape for path, shape in self.candidates.items() if path in alone}

    def enter(self, path: str, module: nn.Module, args: Any) -> None:
        with no_tracking():
            if path in self.origins.of_all(args):
                self.returning.add(path)

    def leave(self, path: str, module: nn.Module, args: Any, output: Any) -> None:
        if not path or type(module).__module__.startswith("torch."):
            return
        with no_tracking():
            data, result = first_tensor(args), first_tensor(output)
            if (
                isinstance(data, Tensor)
                and isinstance(result, Tensor)
                and data.shape == result.shape
                and data.dim() > 0
                and data.is_floating_point()
                and data.dim()  # a module called on a single number prepares a scale
            ):
                self.candidates.setdefault(path, tuple(data.shape))
                self.origins.mark(result, {**self.origins.of(data), path: 0})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operation = recognise(getattr(func, "__name__", ""), args, kwargs)
        if operation is not None and operation.op in _INSIDE:
            self.busy.update(self.paths.stack)
            (self.multiplying if operation.multiplies else self.other).add(self.paths.current)
        output = func(*args, **kwargs)
        if operation is not None and operation.multiplies:
            with no_tracking():
                for tensor in tensors(output):
                    self.origins.mark(tensor, {})
        return output
