"""Where a training step meets zeros: measured on the user's network, or assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from truejoule.errors import InputError, did_you_mean

Share = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TrainingSparsity:
    """Shares of zeros in a training step.

    Each is one number for the whole network or a number per layer name; a number may be a tuple, one per time step. One number for the network
    can be kept from layers where it makes no sense: the image, and the loss gradient behind the output layer.

    Attributes
    ----------
    spike : zeros among the inputs of a layer with weights (activations, in an ANN).
    membrane_gradient : zeros in the gradient at the outputs of a layer with weights.
    surrogate : zeros of the surrogate derivative, by the name of the neuron layer.
    origin : measured where, or assumed by whom.
    """

    spike: Share | Mapping[str, Share]
    membrane_gradient: Share | Mapping[str, Share]
    surrogate: Share | Mapping[str, Share]
    origin: str

    def __post_init__(self) -> None:
        if not self.origin:
            raise InputError("a sparsity without an origin", expected="where it was measured, or who assumed it")
        for field in fields(self)[:3]:
            value = getattr(self, field.name)
            for name, share in value.items() if isinstance(value, Mapping) else (("", value),):
                numbers = share if isinstance(share, tuple) else (share,)
                if not numbers or not all(0.0 <= n <= 1.0 for n in numbers):
                    raise InputError(
                        "a sparsity outside 0 to 1",
                        where=f"{field.name} {name}".strip(),
                        got=share,
                        expected="the share of zeros, 0 to 1",
                    )

    def density(self, kind: str, layer: str, steps: int, *, whole: bool = True) -> tuple[float, ...]:
        """Share of non-zeros per time step; 1 where one number for the network does not apply (``whole`` is false)."""
        value = getattr(self, kind)
        if isinstance(value, Mapping):
            if layer not in value:
                raise InputError(f"no {kind} sparsity for layer {layer!r}", fix=did_you_mean(layer, value))
            share = value[layer]
        else:
            share = value if whole else 0.0
        if isinstance(share, tuple) and len(share) != steps:
            raise InputError(
                "as many sparsities as time steps are needed",
                where=f"{kind} {layer}",
                got=len(share),
                expected=str(steps),
            )
        return tuple(1.0 - s for s in (share if isinstance(share, tuple) else (share,) * steps))
