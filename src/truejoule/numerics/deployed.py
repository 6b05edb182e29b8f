"""The one shell in which every machine computes a network: it replaces layers, keeps their state and measures what happens."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.numerics.inputs import Taken
from truejoule.workload import Activity, Work

WATCHED = 8
"""Samples on which the signal-to-noise ratio is measured."""


@runtime_checkable
class LayerCall(Protocol):
    """One execution of a layer; ``step`` is the first of the ``steps`` time steps in it."""

    @property
    def name(self) -> str: ...
    @property
    def input(self) -> Tensor: ...
    @property
    def bias(self) -> Tensor | None: ...
    @property
    def step(self) -> int: ...
    @property
    def steps(self) -> int: ...


@runtime_checkable
class Recorder(Protocol):
    """Sums up activity (``network.recorder``)."""

    def on_layer(self, name: str, step: int, steps: int, input: Tensor, output: Tensor) -> None: ...
    def activity(self, origin: str) -> Activity: ...


@runtime_checkable
class Runnable(Protocol):
    """A network that runs with its layers computed by somebody else (``network.Network``)."""

    def run(
        self,
        x: Tensor,
        on_call: Callable[[Any], Tensor],
        *,
        on_layer: Callable[[str, int, int, Tensor, Tensor], None],
        module: nn.Module,
    ) -> Any: ...
    def recorder(self) -> Recorder: ...
    def samples(self, x: Tensor) -> int: ...
    def split(self, name: str, x: Tensor) -> Tensor: ...
    def join(self, name: str, x: Tensor) -> Tensor: ...


@runtime_checkable
class HardwareLayer(Protocol):
    """A layer as a machine computes it; also an ``nn.Module``.

    Called with ``x`` of one time step ``(N, C, H, W)`` or ``(N, ..., C)``, the digital ``bias``, the time ``step`` and the index of the first
    sample (random draws are keyed by them). Adds what it did to ``tally`` and leaves it, counted in step 0, in ``spent``.
    """

    tally: Tally
    spent: Tally

    def __call__(self, x: Tensor, bias: Tensor | None, step: int, first_sample: int) -> Tensor: ...

    @property
    def repeatable(self) -> bool:
        """Whether the same input gives the same output in every time step."""
        ...

    def calibrate(self, on: bool) -> None:
        """While on, inputs are watched and pass converters unchanged; switching off sets the ranges."""
        ...

    def wire_loss(self) -> Tensor | None:
        """``(..., rows, columns)``: share of each cell's current that the wires lose; ``None`` for a digital layer."""
        ...


@dataclass(slots=True)
class Tally:
    """Running sums of one layer, over all samples.

    Attributes
    ----------
    work : per quantity, one sum per time step.
    converted, clipped : conversions, and those outside the converter's range.
    inputs, inputs_clipped, inputs_rounded : input values, those outside their integer grid, and those off it.
    signal, error : energy of the exact result and of the deviation from it, of the first ``WATCHED`` samples, for the signal-to-noise ratio.
    """

    work: dict[str, list[float]] = field(default_factory=dict)
    converted: float = 0.0
    clipped: float = 0.0
    inputs: float = 0.0
    inputs_clipped: float = 0.0
    inputs_rounded: float = 0.0
    signal: float = 0.0
    error: float = 0.0

    def count(self, quantity: str, step: int, amount: float) -> None:
        steps = self.work.setdefault(quantity, [])
        steps.extend([0.0] * (step + 1 - len(steps)))
        steps[step] += amount

    def take(self, taken: Taken) -> None:
        """Count how inputs went onto their grid."""
        self.inputs += taken.values
        self.inputs_clipped += taken.clipped
        self.inputs_rounded += taken.rounded

    def watch(self, exact: Tensor, computed: Tensor) -> None:
        """Compare results ``(N, ...)``; sample by sample, so that batches do not matter."""
        for want, got in zip(exact, computed, strict=True):
            self.signal += float(want.double().square().sum())
            self.error += float((got - want).double().square().sum())

    def add(self, other: Tally, step: int) -> None:
        """Add what happened in one time step, counted in ``other`` at step 0."""
        for quantity, amounts in other.work.items():
            self.count(quantity, step, amounts[0])
        for name in ("converted", "clipped", "inputs", "inputs_clipped", "inputs_rounded", "signal", "error"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a deployed network saw while it ran.

    Attributes
    ----------
    activity : of the network on the machine.
    work : the machine's own quantities, means per sample.
    clipped : share of conversions outside the converter's range, per layer.
    overflow : share of inputs outside the integer grid, per layer.
    rounded : share of inputs off an integer grid that they were expected on, per layer.
    snr_db : exact against computed result of each layer on the same inputs, in dB; infinite when equal; layers that give nothing but
        zeros have none.
    """

    activity: Activity
    work: Work
    clipped: Mapping[str, float]
    overflow: Mapping[str, float]
    rounded: Mapping[str, float]
    snr_db: Mapping[str, float]


class Deployed(nn.Module):
    """A network as the hardware computes it; call it like the original.

    State of neurons lives in the user's own modules, which run unchanged on the digital side; ``restart`` forgets what was measured.

    Parameters
    ----------
    standing : layers whose input was seen to stand still over time: their result is kept for the later steps.
    once : whether a kept result is work done once, or is counted again in every time step.
    """

    def __init__(
        self,
        network: Runnable,
        module: nn.Module,
        layers: Mapping[str, nn.Module],
        machine: str,
        standing: Collection[str] = (),
        once: bool = False,
    ) -> None:
        super().__init__()
        self.module = module
        # By number: names of user's layers may be anything, also those of attributes of a module.
        self.hardware = nn.ModuleList(layers.values())
        self.machine = machine
        self._places = {name: i for i, name in enumerate(layers)}
        self._network = network
        self._standing, self._once = frozenset(standing), once
        self._kept: dict[str, tuple[Tensor, Tensor, Tally]] = {}
        self.restart()

    def layer(self, name: str) -> Any:
        """The hardware layer of a layer name."""
        return self.hardware[self._places[name]]

    @property
    def layers(self) -> dict[str, Any]:
        """The hardware layers by name."""
        return {name: self.hardware[place] for name, place in self._places.items()}

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set all ranges on these samples, one pass, and forget what was measured meanwhile."""
        for layer in self.layers.values():
            layer.calibrate(True)
        for batch in batches:
            self(batch)
        for layer in self.layers.values():
            layer.calibrate(False)
        self.restart()

    def restart(self) -> None:
        """Forget all measurements and start again at sample 0."""
        self._samples = 0
        self._recorder = self._network.recorder()
        for layer in self.layers.values():
            layer.tally = Tally()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Any:
        """What the original network returns for a batch, computed on the machine."""
        self._kept.clear()
        out = self._network.run(x, self._compute, on_layer=self._recorder.on_layer, module=self.module)
        self._samples += self._network.samples(x)
        return out

    def _compute(self, call: LayerCall) -> Tensor:
        if call.steps == 1:
            return self._step(call, call.input, call.step)
        parts = self._network.split(call.name, call.input)
        return self._network.join(
            call.name, torch.stack([self._step(call, part, call.step + t) for t, part in enumerate(parts)])
        )

    def _step(self, call: LayerCall, x: Tensor, step: int) -> Tensor:
        """One time step of a layer, or the kept result of the first."""
        layer = self.layer(call.name)
        if step and call.name in self._kept:
            first, result, spent = self._kept[call.name]
            if x is first or torch.equal(x, first):
                if not self._once:
                    layer.tally.add(spent, step)
                return result.clone()
            if self._once:
                raise InputError(
                    "an input that changes over time where it stood still in the example",
                    where=call.name,
                    got=f"another input in time step {step + 1}",
                    expected="the same image in every time step",
                    fix='set standing_input to "every step", or give an example whose input changes',
                )
        result = layer(x, call.bias, step, self._samples)
        if step == 0 and call.name in self._standing and (self._once or layer.repeatable):
            # Copies, as the user may go on using the same buffers.
            self._kept[call.name] = (x.clone(), result.clone(), layer.spent)
        return result

    def wire_loss(self) -> dict[str, Tensor]:
        """``HardwareLayer.wire_loss`` of the layers that have one."""
        losses = {name: layer.wire_loss() for name, layer in self.layers.items()}
        return {name: loss for name, loss in losses.items() if loss is not None}

    def measurement(self) -> Measurement:
        """Everything measured since the last ``restart``."""
        total = max(self._samples, 1)
        tallies: dict[str, Tally] = {name: layer.tally for name, layer in self.layers.items()}

        def share(part: str, whole: str) -> dict[str, float]:
            return {n: getattr(t, part) / getattr(t, whole) if getattr(t, whole) else 0.0 for n, t in tallies.items()}

        return Measurement(
            activity=self._recorder.activity(f"measured on {self.machine}"),
            work={n: {q: tuple(v / total for v in steps) for q, steps in t.work.items()} for n, t in tallies.items()},
            clipped=share("clipped", "converted"),
            overflow=share("inputs_clipped", "inputs"),
            rounded=share("inputs_rounded", "inputs"),
            snr_db={name: _decibel(t.signal, t.error) for name, t in tallies.items() if t.signal or t.error},
        )


def watched(first_sample: int, step: int) -> int:
    """How many samples of a batch that begins with ``first_sample`` are compared with the exact result."""
    return max(WATCHED - first_sample, 0) if step == 0 else 0


def _decibel(signal: float, error: float) -> float:
    if error == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / error) if signal else -math.inf
