"""Measured statistics of what flows through a layer; sums, so that batches add up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from truejoule.errors import InputError

Work = Mapping[str, Mapping[str, tuple[float, ...]]]
"""What a machine counts beyond ``Activity``: per layer and quantity, one number per time step. Means per sample."""


@dataclass(frozen=True, slots=True)
class LayerActivity:
    """Sums over samples, one entry per time step (length ``steps``).

    Attributes
    ----------
    samples : how many samples the sums cover.
    inputs, outputs : elements of one sample in one step (constants).
    nonzero_inputs : input elements that are not zero.
    input_ones : ones in the binary code of the inputs, all bit planes together; equals ``nonzero_inputs`` for spikes.
    active_patches : windows (im2col rows) with at least one non-zero input.
    patches : windows of one sample in one step (constant); 0 for layers that do not slide.
    nonzero_outputs : output elements that are not zero: the spike count of a neuron layer.
    """

    samples: int
    inputs: int
    outputs: int
    patches: int
    nonzero_inputs: tuple[float, ...]
    input_ones: tuple[float, ...]
    active_patches: tuple[float, ...]
    nonzero_outputs: tuple[float, ...]

    @property
    def steps(self) -> int:
        return len(self.nonzero_inputs)

    def __add__(self, other: LayerActivity) -> LayerActivity:
        constant = ("inputs", "outputs", "patches", "steps")
        if any(getattr(self, name) != getattr(other, name) for name in constant):
            raise InputError(
                "activities of different layers cannot be merged",
                got=f"{[getattr(other, n) for n in constant]}",
                expected=f"{constant} = {[getattr(self, n) for n in constant]}",
                fix="use the same input size and number of time steps for every batch",
            )
        merged = {}
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, tuple):
                merged[field.name] = tuple(a + b for a, b in zip(mine, theirs, strict=True))
            else:
                merged[field.name] = mine + theirs if field.name == "samples" else mine
        return LayerActivity(**merged)

    def over_steps(self, change: Callable[[tuple[float, ...]], tuple[float, ...]]) -> LayerActivity:
        """The same layer with every series over time steps changed alike."""
        series = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: change(values) for name, values in series.items() if isinstance(values, tuple)})

    def density(self) -> tuple[float, ...]:
        """Share of non-zero inputs per time step."""
        return tuple(n / (self.samples * self.inputs) for n in self.nonzero_inputs)

    def output_density(self) -> tuple[float, ...]:
        """Share of non-zero outputs per time step; spikes per neuron and step for a neuron layer."""
        return tuple(n / (self.samples * self.outputs) for n in self.nonzero_outputs)

    def patch_density(self) -> tuple[float, ...]:
        """Share of windows with any non-zero input, per time step (1 where a layer has no windows)."""
        return tuple(n / (self.samples * self.patches) if self.patches else 1.0 for n in self.active_patches)

    def mean_density(self) -> float:
        """Share of non-zero inputs over all time steps."""
        return sum(self.density()) / self.steps


@dataclass(frozen=True, slots=True)
class Activity:
    """Activity of every layer.

    Attributes
    ----------
    layers : per layer name.
    origin : ``"measured (ideal)"``, ``"measured on <accelerator>"`` or ``"assumed: <profile>"``; printed wherever the numbers are used.
    """

    layers: Mapping[str, LayerActivity]
    origin: str

    @property
    def samples(self) -> int:
        return max((a.samples for a in self.layers.values()), default=0)

    def __add__(self, other: Activity) -> Activity:
        if set(self.layers) != set(other.layers):
            raise InputError(
                "activities of different networks cannot be merged",
                got=str(sorted(set(self.layers) ^ set(other.layers))),
                expected="the same layers",
            )
        return Activity({name: a + other.layers[name] for name, a in self.layers.items()}, self.origin)
