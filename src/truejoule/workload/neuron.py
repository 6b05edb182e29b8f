"""Spiking semantics as data, with the update equation they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from truejoule.errors import InputError

Reset = Literal["value", "subtract", "none"]
Constant = float | tuple[float, ...]
"""One number for all neurons of a layer, or one per channel, or one per neuron of a sample (channels first, flattened)."""

UNLIMITED = 1000
"""A neuron that can give so many spikes in one step is taken to give as many as its state is thresholds high."""


@dataclass(frozen=True, slots=True)
class Neuron:
    """A leaky integrate-and-fire neuron in discrete time.

    With input ``x[t]`` and state ``v`` (first ``start``), one time step is::

        i  = synapse_decay * i + x[t]            # i starts at 0; without a synapse i = x[t]
        v  = decay * v + gain * i                # the i of the step before, for a synapse with synapse_delay == 1
                                                 # minus threshold * n[t-1] for a delayed subtraction,
                                                 # or 0 altogether after a spike for a delayed reset to value
        v  = grid * round(v / grid)              # half to even; for grid > 0 and grid_stage == "compared"
        v  = min(max(v, lower_bound), upper_bound)
        n  = number of times v reaches threshold, at most max_spikes      (v >= threshold if fires_at_equality else v > threshold)
        n  = n - the same number for -v          # for signed
        s  = height * n                          # what the next layer sees
        v  = reset_value            after a spike, for reset == "value" and reset_delay == 0
        v  = v - n * threshold      after a spike, for reset == "subtract" and reset_delay == 0
        v  = grid * round(v / grid)              # for grid > 0 and grid_stage == "stored"

    Attributes
    ----------
    threshold : firing level of the membrane, in the units of the state.
    decay : share of the state kept from one step to the next; 1 is integrate-and-fire (IF).
    reset : ``"value"`` (hard), ``"subtract"`` (soft) or ``"none"``.
    reset_value : state after a hard reset.
    reset_delay : 0 if the reset acts in the step of the spike, 1 if it acts in the next one (snnTorch).
    fires_at_equality : whether a state exactly at the threshold fires.
    gain : factor on the input, e.g. 1/tau for neurons that decay their input.
    max_spikes : largest number of spikes in one step (1 for ordinary neurons).
    lower_bound, upper_bound : smallest and largest state, infinite when there is none.
    start : the state before the first step, e.g. threshold / 2 of converted networks.
    height : value of one spike at the output; machines fold it into the scale of the next layer's inputs.
    signed : whether a state at ``-threshold`` gives a negative spike.
    synapse_decay : share kept per step of a second state, the synaptic current; ``None`` for neurons without it.
    synapse_delay : 1 if the membrane takes the current of the step before (Norse), else 0.
    grid : step of a quantised state; 0 for a state that is not quantised.
    grid_stage : whether the state is rounded when it is ``"compared"`` with the threshold or when it is ``"stored"``.
    """

    threshold: Constant = 1.0
    decay: Constant = 1.0
    reset: Reset = "subtract"
    reset_value: Constant = 0.0
    reset_delay: int = 0
    fires_at_equality: bool = True
    gain: Constant = 1.0
    max_spikes: int = 1
    lower_bound: Constant = -math.inf
    upper_bound: Constant = math.inf
    start: Constant = 0.0
    height: Constant = 1.0
    signed: bool = False
    synapse_decay: Constant | None = None
    synapse_delay: int = 0
    grid: Constant = 0.0
    grid_stage: Literal["compared", "stored"] = "compared"

    def __post_init__(self) -> None:
        finite = (self.threshold, self.gain, self.reset_value, self.start, self.height, self.grid)
        if not all(math.isfinite(v) for constant in finite for v in values(constant)):
            raise InputError(
                "a neuron with a number that is not finite",
                got=repr(self),
                expected="finite threshold, gain, reset value, start, height and grid",
            )
        if not all(0.0 <= v <= 1.0 for kept in (self.decay, self.synapse_decay or 0.0) for v in values(kept)):
            raise InputError(
                "a neuron whose decay is outside 0 to 1",
                got=self.decay if self.synapse_decay is None else (self.decay, self.synapse_decay),
                expected="the share of the state kept per step, 0 to 1",
            )
        if self.reset_delay not in (0, 1) or self.synapse_delay not in (0, 1) or self.max_spikes < 1:
            raise InputError(
                "a neuron with an impossible delay or spike count",
                got=repr(self),
                expected="reset_delay and synapse_delay 0 or 1, max_spikes at least 1",
            )
        if min(values(self.grid)) < 0 or min(values(self.height)) <= 0:
            raise InputError(
                "a neuron with a negative grid, or spikes without height", got=repr(self), expected="positive numbers"
            )
        if len(self.neurons) > 1:
            raise InputError(
                "a neuron whose constants are given for different numbers of neurons",
                got=str(sorted(self.neurons)),
                expected="one number, or as many in every tuple",
            )

    @property
    def constants(self) -> dict[str, Constant]:
        """Every field that may differ from neuron to neuron."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if "Constant" in str(f.type)}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def neurons(self) -> frozenset[int]:
        """How many neurons (or channels) the constants are given for; empty if every constant is one number."""
        return frozenset(len(value) for value in self.constants.values() if isinstance(value, tuple))

    @property
    def states(self) -> int:
        """Numbers that one neuron keeps from one time step to the next: its potential, and its synaptic current."""
        return 1 if self.synapse_decay is None else 2

    @property
    def spike_bits(self) -> int:
        """Bits of what one neuron sends per time step: its number of spikes, and their sign."""
        return max(math.ceil(math.log2(self.max_spikes + 1)), 1) + int(self.signed)

    @property
    def kind(self) -> str:
        """``"IF"`` or ``"LIF"``, as the field says; with a synapse ``"current-based LIF"``."""
        name = "IF" if set(values(self.decay)) == {1.0} else "LIF"
        return name if self.synapse_decay is None else f"current-based {name}"

    def describe(self) -> str:
        """One line for tables: ``LIF θ=1 decay=0.5 soft reset, fires at equality``; constants that differ show their range."""
        reset = {"subtract": "soft reset", "none": "no reset"}.get(
            self.reset, f"hard reset to {_number(self.reset_value)}"
        )
        delay = " one step late" if self.reset_delay else ""
        equality = "fires at equality" if self.fires_at_equality else "fires above θ"
        more = [
            f"gain {_number(self.gain)}" if self.gain != 1 else "",
            "any number of spikes a step" if self.max_spikes >= UNLIMITED else "",
            f"up to {self.max_spikes} spikes a step" if 1 < self.max_spikes < UNLIMITED else "",
            "spikes of both signs" if self.signed else "",
            f"spikes of height {_number(self.height)}" if self.height != 1 else "",
            f"starts at {_number(self.start)}" if self.start != 0 else "",
            f"v >= {_number(self.lower_bound)}" if self.lower_bound != -math.inf else "",
            f"v <= {_number(self.upper_bound)}" if self.upper_bound != math.inf else "",
            f"v on a grid of {_number(self.grid)}, rounded when {self.grid_stage}" if self.grid != 0 else "",
        ]
        synapse = "" if self.synapse_decay is None else f" current kept={_number(self.synapse_decay)}"
        late = ", current one step late" if self.synapse_delay else ""
        leak = f" decay={_number(self.decay)}" if self.decay != 1 else ""
        text = f"{self.kind} θ={_number(self.threshold)}{leak}{synapse} {reset}{delay}, {equality}{late}"
        return ", ".join([text, *(part for part in more if part)])


def values(constant: Constant) -> tuple[float, ...]:
    """The numbers of a constant, one for all neurons or one for each."""
    return constant if isinstance(constant, tuple) else (constant,)


def _number(constant: Constant) -> str:
    low, high = min(values(constant)), max(values(constant))
    return f"{low:g}" if low == high else f"{low:g}…{high:g}"
