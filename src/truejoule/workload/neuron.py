"""Spiking semantics as data, with the update equation they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from truejoule.errors import InputError

Reset = Literal["value", "subtract", "none"]


@dataclass(frozen=True, slots=True)
class Neuron:
    """A leaky integrate-and-fire neuron in discrete time.

    With input ``x[t]`` and state ``v`` (starting at 0), one time step is::

        v  = decay * v + gain * x[t]             # minus threshold * s[t-1] for a delayed subtraction,
                                                 # or 0 altogether after a spike for a delayed reset to value
        v  = max(v, lower_bound)
        n  = number of times v reaches threshold, at most max_spikes      (v >= threshold if fires_at_equality else v > threshold)
        v  = reset_value            after a spike, for reset == "value" and reset_delay == 0
        v  = v - n * threshold      after a spike, for reset == "subtract" and reset_delay == 0

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
    lower_bound : smallest state, ``-inf`` when there is none.
    """

    threshold: float = 1.0
    decay: float = 1.0
    reset: Reset = "subtract"
    reset_value: float = 0.0
    reset_delay: int = 0
    fires_at_equality: bool = True
    gain: float = 1.0
    max_spikes: int = 1
    lower_bound: float = -math.inf

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and math.isfinite(self.gain) and math.isfinite(self.reset_value)):
            raise InputError(
                "a neuron with a number that is not finite",
                got=repr(self),
                expected="finite threshold, gain and reset value",
            )
        if not 0.0 <= self.decay <= 1.0:
            raise InputError(
                "a neuron whose decay is outside 0 to 1",
                got=self.decay,
                expected="the share of the state kept per step, 0 to 1",
            )
        if self.reset_delay not in (0, 1) or self.max_spikes < 1:
            raise InputError(
                "a neuron with an impossible reset delay or spike count",
                got=repr(self),
                expected="reset_delay 0 or 1, max_spikes at least 1",
            )

    @property
    def kind(self) -> str:
        """``"IF"`` or ``"LIF"``, as the field says."""
        return "IF" if self.decay == 1.0 else "LIF"

    def describe(self) -> str:
        """One line for tables: ``LIF θ=1 decay=0.5 soft reset, fires at equality``."""
        reset = {"subtract": "soft reset", "none": "no reset"}.get(self.reset, f"hard reset to {self.reset_value:g}")
        delay = " one step late" if self.reset_delay else ""
        equality = "fires at equality" if self.fires_at_equality else "fires above θ"
        more = "".join(
            [
                f", gain {self.gain:g}" if self.gain != 1 else "",
                f", up to {self.max_spikes} spikes a step" if self.max_spikes > 1 else "",
                f", v >= {self.lower_bound:g}" if self.lower_bound > -math.inf else "",
            ]
        )
        leak = f" decay={self.decay:g}" if self.decay != 1 else ""
        return f"{self.kind} θ={self.threshold:g}{leak} {reset}{delay}, {equality}{more}"
