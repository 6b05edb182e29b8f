"""``Network``: what the user brings, read once, run as often as needed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.network.interpret import Call, Names, OnCall, OnLayer, interpret
from truejoule.network.precision import InputCode
from truejoule.network.recognise import first_tensor, tensors
from truejoule.network.recorder import ActivityRecorder
from truejoule.network.state import State, reset
from truejoule.network.timing import Timing
from truejoule.network.widths import Watched, with_codes
from truejoule.workload import Activity, Workload


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A torch module with everything that was found out about it.

    Attributes
    ----------
    module : the user's module itself (never changed; hooks exist only while it runs).
    example : one batch.
    workload : layers, edges, neurons; no activity.
    timing : batch size of the example, T, time axis, and how each layer carries time.
    names : how layers are recognised again in a later run.
    codes : per layer, the integer code of its inputs.
    start : state of neurons that have no reset method of their own, as they were when the network was read.
    notes : what the user should know about how it was read.
    settled : whether codes were taken from calibration samples (``calibrated``) rather than from the example alone.
    """

    module: nn.Module
    example: Tensor
    workload: Workload
    timing: Timing
    names: Names
    codes: Mapping[str, InputCode]
    start: State
    settled: bool = False
    notes: tuple[str, ...] = ()

    @property
    def time_steps(self) -> int:
        return self.timing.steps

    @property
    def steps_per_call(self) -> dict[str, int]:
        """Time steps in one call of each layer: 1 in a Python time loop, T where tensors carry time."""
        return {name: layout.per_call for name, layout in self.timing.layouts.items()}

    def samples(self, x: Tensor) -> int:
        """Batch size of an input like the example."""
        axis = self.timing.time_axis
        return int(x.shape[0] if axis is None else x.shape[1 - axis])

    def split(self, name: str, x: Tensor) -> Tensor:
        """Input or output of one call of a layer as ``(steps, N, ...)``."""
        return self.timing.layouts[name].split(x, self.timing.sample_first)

    def join(self, name: str, x: Tensor) -> Tensor:
        """The inverse of ``split``."""
        return self.timing.layouts[name].join(x, self.timing.sample_first)

    def run(
        self,
        x: Tensor,
        on_call: OnCall | None = None,
        *,
        on_layer: OnLayer | None = None,
        module: nn.Module | None = None,
    ) -> Any:
        """The module's answer to one batch, from reset state, in eval mode and without gradients.

        Parameters
        ----------
        x : a batch like the example; the batch size is free.
        on_call : computes each layer with weights instead of the module; ``None``: as it is.
        on_layer : sees raw input and output of every layer; see ``recorder``.
        module : a changed copy of the module with the same paths, instead of the original.

        Returns
        -------
        What the module returns. A module that computes one time step per call is called T times; then the list of
        what it returned.
        """
        target = module if module is not None else self.module
        check_input(x, self.example, self.timing.time_axis)
        with evaluating(target):
            self.restart(target)
            try:
                return interpret(
                    target,
                    (x.clone(),),  # some networks change their input in place
                    on_call,
                    names=self.names,
                    on_layer=on_layer,
                    steps_per_call=self.steps_per_call,
                    samples=self.samples(x),
                    forward=stepper(target, self.timing) if self.timing.outer else None,
                )
            finally:
                self.restart(target)

    def calibrated(self, batches: Iterable[Tensor], input_bits: int | None = None) -> Network:
        """The network with the integer codes, and so the widths, of its layers' inputs taken from these samples.

        What neurons, pooling and additions can make is held in any case; see ``widths``. Batches and their order change nothing.

        Parameters
        ----------
        input_bits : width of the network's own inputs where they are integers, for data that can be larger than these samples (event counts).

        Raises
        ------
        InputError : the samples are wider than ``input_bits``.
        """
        widths = Watched(self.workload)
        for x in batches:
            self.run(x, on_layer=widths.on_layer)
        codes = widths.codes(input_bits)
        return replace(self, workload=with_codes(self.workload, codes), codes=codes, settled=True)

    def recorder(self) -> ActivityRecorder:
        """A fresh recorder of activity; its ``on_layer`` goes into ``run``."""
        layers = {layer.name: layer for layer in self.workload.layers}
        return ActivityRecorder(layers, self.timing.layouts, self.codes, self.timing.sample_first)

    def weights(self) -> dict[str, Tensor]:
        """Effective weights of every layer, as the module passes them: quantised, normalised or binarised if it does so."""
        found: dict[str, Tensor] = {}

        def look(call: Call) -> Tensor:
            found[call.name] = call.weight
            return call.compute()

        self.run(self.example, look)
        return found

    def measure(
        self,
        data: Any,
        *,
        batches: int | None = None,
        on_call: OnCall | None = None,
        origin: str = "measured (ideal)",
        module: nn.Module | None = None,
    ) -> Activity:
        """Activity over a data loader, streaming: only sums are kept.

        Parameters
        ----------
        data : a loader of batches, of (batch, target) pairs, or a single tensor.
        batches : at most so many.
        on_call, module : as in ``run``; then it is the activity of that variant.
        """
        recorder = self.recorder()
        for x in inputs(data, batches):
            self.run(x, on_call, on_layer=recorder.on_layer, module=module)
        return recorder.activity(origin)

    def restart(self, module: nn.Module) -> None:
        """Put the neurons of ``module`` (the network's own, or a copy) into their initial state."""
        reset(module)
        self.start.restore(module)


def measure(network: Network, data: Any, **options: Any) -> Activity:
    """``network.measure(data, ...)``."""
    return network.measure(data, **options)


def drift(network: Network) -> None:
    """Runs the module as it is and under the interpreter on the example; the outputs must be identical.

    Raises
    ------
    InputError : when they differ (a module that is not deterministic, or looks at who calls it).
    """
    with evaluating(network.module):
        network.restart(network.module)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            plain = (
                network.module(network.example.clone())
                if not network.timing.outer
                else stepper(network.module, network.timing)(network.example.clone())
            )
        network.restart(network.module)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        seen = network.run(network.example, Call.compute)
    # torch switches fused kernels of attention off while it is watched, so that its last bits change.
    same_outputs(
        plain, seen, "the module alone and under the interpreter", 1e-5 if network.workload.not_understood else 0.0
    )


def same_outputs(first: Any, second: Any, who: str, tolerance: float = 0.0) -> None:
    a, b = tensors(first), tensors(second)
    worst = 0.0
    for x, y in zip(a, b, strict=False):
        if x.shape != y.shape:
            worst = float("inf")
        elif not torch.equal(x, y):
            worst = max(worst, float((x.double() - y.double()).abs().max()) if x.is_floating_point() else float("inf"))
            worst = worst or float("nan")  # equal but for NaN
    size = max((float(x.double().abs().max()) for x in a if x.numel() and x.is_floating_point()), default=0.0)
    if len(a) != len(b) or not worst <= tolerance * size:
        raise InputError(
            f"two runs from the same start differ ({who})",
            where="the network's forward",
            got=f"largest difference {worst:g}",
            expected="identical outputs after a reset",
            fix="state survives the reset (give the module a reset() method), or the module is random in eval mode",
        )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode without gradients and without compiled code; training flags come back as they were."""
    flags = {m: m.training for m in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), _eager():
            yield
    finally:
        for m, flag in flags.items():
            m.training = flag


def _eager() -> AbstractContextManager[Any]:
    """Compiled modules run as they were written: compiled code shows no layers and rounds differently."""
    compiler_in_use = "torch._dynamo" in sys.modules  # importing it takes seconds
    return torch.compiler.set_stance("force_eager") if compiler_in_use else nullcontext()


def stepper(module: nn.Module, timing: Timing) -> Any:
    """A function that calls a one-step module T times and lists what it returned."""

    def run(x: Tensor) -> list[Any]:
        return [
            module(x if timing.time_axis is None else x.select(timing.time_axis, step)) for step in range(timing.steps)
        ]

    return run


def inputs(data: Any, batches: int | None) -> Iterator[Tensor]:
    """Input batches of a loader, of pairs, or of one tensor."""
    if isinstance(data, Tensor):
        yield data
        return
    if not isinstance(data, Iterable):
        raise InputError(
            "data that cannot be iterated",
            where="data",
            got=type(data).__name__,
            expected="a data loader, a list of batches or a tensor",
        )
    for index, batch in enumerate(data):
        if batches is not None and index >= batches:
            return
        x = first_tensor(batch)
        if x is None:
            raise InputError(
                "a batch without a tensor",
                where=f"data, batch {index}",
                got=type(batch).__name__,
                expected="tensors, or (input, target) pairs",
            )
        yield x


def check_input(x: Any, example: Tensor, time_axis: int | None) -> None:
    if not isinstance(x, Tensor) or x.dim() != example.dim():
        raise InputError(
            "an input unlike the example",
            where="input",
            got=f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__,
            expected=f"a tensor with {example.dim()} axes, as {tuple(example.shape)}",
        )
    batch = 0 if time_axis is None else 1 - time_axis
    if any(a != b for axis, (a, b) in enumerate(zip(x.shape, example.shape, strict=True)) if axis != batch):
        raise InputError(
            "an input of another size than the example",
            where="input",
            got=f"shape {tuple(x.shape)}",
            expected=f"{tuple(example.shape)} with a free batch size (axis {batch})",
        )
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        raise InputError(
            "an input with NaN or infinite values",
            where="input",
            got=f"{int((~torch.isfinite(x)).sum())} of {x.numel()} values",
            expected="finite numbers",
            fix="check the data and its normalisation",
        )
