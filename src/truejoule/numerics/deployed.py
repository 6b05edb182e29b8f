"""The one shell in which every machine computes a network: it replaces layers, keeps their state and measures what happens."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.workload import Activity, Work


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

    Called with ``x`` of one time step ``(N, C, H, W)`` or ``(N, C)``, the digital ``bias``, the time ``step`` and the index of the first
    sample (random draws are keyed by them). Adds what it did to ``tally``.
    """

    tally: Tally

    def __call__(self, x: Tensor, bias: Tensor | None, step: int, first_sample: int) -> Tensor: ...

    def calibrate(self, on: bool) -> None:
        """While on, every input widens the ranges of converters and of real-valued inputs."""
        ...

    def wire_loss(self) -> Tensor | None:
        """``(..., rows, columns)``: share of each cell's current that the wires lose; ``None`` for a digital layer."""
        ...


@dataclass(slots=True)
class Tally:
    """Running sums of one layer.

    Attributes
    ----------
    work : per quantity, one sum per time step.
    converted, clipped : conversions looked at, and those outside the converter's range.
    overflow : largest share of inputs that their integer grid clipped, seen on the first samples.
    signal, error : energy of the exact result and of the deviation from it, for the signal-to-noise ratio.
    """

    work: dict[str, list[float]] = field(default_factory=dict)
    converted: float = 0.0
    clipped: float = 0.0
    overflow: float = 0.0
    signal: float = 0.0
    error: float = 0.0

    def count(self, quantity: str, step: int, amount: float) -> None:
        steps = self.work.setdefault(quantity, [])
        steps.extend([0.0] * (step + 1 - len(steps)))
        steps[step] += amount

    def add(self, other: Tally, step: int) -> None:
        """Add what happened in one time step, counted in ``other`` at step 0."""
        for quantity, amounts in other.work.items():
            self.count(quantity, step, amounts[0])
        self.converted += other.converted
        self.clipped += other.clipped
        self.overflow = max(self.overflow, other.overflow)
        self.signal += other.signal
        self.error += other.error


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a deployed network saw while it ran.

    Attributes
    ----------
    activity : of the network on the machine.
    work : the machine's own quantities, means per sample.
    clipped : share of conversions outside the converter's range, per layer.
    overflow : share of inputs outside the integer grid, per layer.
    snr_db : exact against computed result of each layer on the same inputs, in dB; infinite when equal.
    """

    activity: Activity
    work: Work
    clipped: Mapping[str, float]
    overflow: Mapping[str, float]
    snr_db: Mapping[str, float]


class Deployed(nn.Module):
    """A network as the hardware computes it; call it like the original.

    State of neurons lives in the user's own modules, which run unchanged on the digital side; ``restart`` forgets what was measured.

    Parameters
    ----------
    once : layers that are computed in the first time step only and whose result is kept; their input must stand still.
    """

    def __init__(
        self,
        network: Runnable,
        module: nn.Module,
        layers: Mapping[str, nn.Module],
        machine: str,
        once: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.module = module
        self.layers = nn.ModuleDict({name.replace(".", "/"): layer for name, layer in layers.items()})
        self.machine = machine
        self._network = network
        self._once = frozenset(once)
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}
        self.restart()

    def layer(self, name: str) -> Any:
        """The hardware layer of a layer name."""
        return self.layers[name.replace(".", "/")]

    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set all ranges on these inputs, one pass, and forget what was measured meanwhile."""
        # A range still grows in the first time step: what it gives then is not kept for the layers behind.
        once, self._once = self._once, frozenset[str]()
        for layer in self.layers.values():
            layer.calibrate(True)  # type: ignore[operator]
        for batch in batches:
            self(batch)
        for layer in self.layers.values():
            layer.calibrate(False)  # type: ignore[operator]
        self._once = once
        self.restart()

    def restart(self) -> None:
        """Forget all measurements and start again at sample 0."""
        self._samples = 0
        self._recorder = self._network.recorder()
        for layer in self.layers.values():
            layer.tally = Tally()  # type: ignore[assignment]

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
        if step and call.name in self._kept:
            first, result = self._kept[call.name]
            if x is not first and not torch.equal(x, first):
                raise InputError(
                    "an input that changes over time where it stood still in the example",
                    where=call.name,
                    got=f"another input in time step {step + 1}",
                    expected="the same image in every time step",
                    fix='set standing_input to "every step", or give an example whose input changes',
                )
            return result.clone()
        result = self.layer(call.name)(x, call.bias, step, self._samples)
        if call.name in self._once:
            self._kept[call.name] = (x.clone(), result.clone())
        return result

    def wire_loss(self) -> dict[str, Tensor]:
        """``HardwareLayer.wire_loss`` of the layers that have one."""
        losses = {name.replace("/", "."): layer.wire_loss() for name, layer in self.layers.items()}  # type: ignore[operator]
        return {name: loss for name, loss in losses.items() if loss is not None}

    def measurement(self) -> Measurement:
        """Everything measured since the last ``restart``."""
        total = max(self._samples, 1)
        tallies: dict[str, Tally] = {name.replace("/", "."): layer.tally for name, layer in self.layers.items()}  # type: ignore[misc]
        work = {
            name: {q: tuple(v / total for v in steps) for q, steps in t.work.items()} for name, t in tallies.items()
        }
        clipped = {name: t.clipped / t.converted if t.converted else 0.0 for name, t in tallies.items()}
        snr = {name: _decibel(t.signal, t.error) for name, t in tallies.items()}
        overflow = {name: t.overflow for name, t in tallies.items()}
        return Measurement(self._recorder.activity(f"measured on {self.machine}"), work, clipped, overflow, snr)


def _decibel(signal: float, error: float) -> float:
    if error == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / error) if signal > 0 else -math.inf
