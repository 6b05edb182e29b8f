"""The spiking neuron of the networks that we train: leaky integrate-and-fire, state kept between calls."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from truejoule.errors import InputError
from truejoule.training.surrogate import spike_function


class LIF(nn.Module):
    """Leaky integrate-and-fire, one time step per call.

    ``V <- decay * V + I``; ``S = 1 where V >= threshold`` (equality fires); then reset:
    ``subtract``: ``V <- V - threshold * S``, ``zero``: ``V <- V * (1 - S)``.

    The state starts at zero, lives as long as the module, and is cleared by ``reset()``. ``decay = 1`` is
    integrate-and-fire. No gradient flows through the reset term (Zenke, Vogels 2021, doi 10.1162/neco_a_01367).

    Parameters
    ----------
    threshold : firing threshold, > 0, in the unit of the input.
    decay : what remains of V after one time step, in (0, 1].
    reset : ``"subtract"`` or ``"zero"``.
    surrogate : name of the spike function, see ``surrogate.SURROGATES``.
    """

    v: Tensor | None

    def __init__(
        self,
        threshold: float = 1.0,
        decay: float = 0.5,
        reset: Literal["subtract", "zero"] = "subtract",
        surrogate: str = "triangle",
    ) -> None:
        super().__init__()
        if not threshold > 0:
            raise InputError("a firing threshold must be positive", where="threshold", got=threshold)
        if not 0 < decay <= 1:
            raise InputError("a decay must lie in (0, 1]", where="decay", got=decay)
        if reset not in ("subtract", "zero"):
            raise InputError("unknown reset", where="reset", got=reset, expected='"subtract" or "zero"')
        self.threshold, self.decay, self.reset_mode = float(threshold), float(decay), reset
        self.surrogate, self._spike = surrogate, spike_function(surrogate)
        self.v = None

    def forward(self, current: Tensor) -> Tensor:
        """Input current (any shape, the same at each step) to spikes in {0, 1} of that shape."""
        v = current if self.v is None else current.add(self.v, alpha=self.decay)
        spikes = self._spike(v - self.threshold)
        if self.reset_mode == "subtract":
            self.v = v.sub(spikes.detach(), alpha=self.threshold)
        else:
            self.v = v * (1.0 - spikes.detach())
        return spikes

    def reset(self) -> None:
        """Forget the membrane potential; call it between samples."""
        self.v = None

    def extra_repr(self) -> str:
        settings = {
            "threshold": self.threshold,
            "decay": self.decay,
            "reset": self.reset_mode,
            "surrogate": self.surrogate,
        }
        return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def reset(net: nn.Module) -> None:
    """Clear the state of every LIF in ``net``."""
    for module in net.modules():
        if isinstance(module, LIF):
            module.reset()
