"""The transfer of an analogue-to-digital converter: current in, code out. Its price is `truejoule.components.adc`.

    code = clip(round((i - zero) / lsb), 0, 2^bits - 1),    lsb = full_scale / (2^bits - 1)

Rounding is to nearest, halves to even. Codes are integer-valued floats in the dtype of the current, so that they go
on into arithmetic without a copy. The hot path of inference runs through here: pass ``out=`` (may be the input) to
work in place.

Converters with levels of their own are `truejoule.circuit.references.References`; all functions here take both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.circuit.references import References, codes_of, outside_share, values_of
from truejoule.errors import InputError

_MAX_BITS = 24
"""fp32 holds every integer up to 2^24."""


@dataclass(frozen=True)
class Converter:
    """A uniform converter; tensors broadcast against the currents, e.g. ``(columns,)`` for a range per column.

    Raises
    ------
    InputError : the resolution is not an integer from 1 to 24, the range is not positive, or a value is not finite.
    """

    bits: int
    full_scale_a: float | Tensor
    """Current above ``zero_a`` that gives the highest code, in A."""
    zero_a: float | Tensor = 0.0
    """Current that gives code 0, in A."""

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= _MAX_BITS:
            raise InputError(
                "a converter needs a whole number of bits", where="bits", got=self.bits, expected=f"1 to {_MAX_BITS}"
            )
        full, zero = torch.as_tensor(self.full_scale_a), torch.as_tensor(self.zero_a)
        if not bool(((full > 0) & torch.isfinite(full)).all()):
            raise InputError(
                "the range of a converter must be positive and finite",
                where="full_scale_a",
                got=self.full_scale_a,
                expected="ampere, above 0",
                fix="calibrate it on currents that occur: calibrate_range(currents)",
            )
        if not bool(torch.isfinite(zero).all()):
            raise InputError(
                "the zero of a converter must be finite", where="zero_a", got=self.zero_a, expected="ampere"
            )

    @property
    def max_code(self) -> int:
        return (1 << self.bits) - 1

    @property
    def lsb_a(self) -> float | Tensor:
        """Current per code, in A."""
        return self.full_scale_a / self.max_code


def convert(i_a: Tensor, converter: Converter | References, out: Tensor | None = None) -> Tensor:
    """Codes of currents ``i_a`` (any shape), integer-valued, in the dtype of ``i_a``.

    ``out``: where to put them; ``out=i_a`` works in place and allocates nothing. Rounding has no useful gradient:
    training code puts its own estimator around this function.
    """
    if isinstance(converter, References):
        _require_floating(i_a)
        return codes_of(i_a, converter, out)
    return _unclipped(i_a, converter, out).clamp_(0, converter.max_code)


def dequantise(codes: Tensor, converter: Converter | References, out: Tensor | None = None) -> Tensor:
    """The current in A that each code stands for, ``zero + code · lsb``; ``out=codes`` works in place.

    For `References`, the value that the code was calibrated to.
    """
    if isinstance(converter, References):
        return values_of(codes, converter, out)
    currents = torch.mul(codes, _operand(converter.lsb_a, codes), out=out)
    return currents if _is_zero(converter.zero_a) else currents.add_(_operand(converter.zero_a, codes))


def saturation_share(i_a: Tensor, converter: Converter | References) -> float:
    """Share of currents, 0 to 1, that clip: those more than half a code beyond either end of the range."""
    if i_a.numel() == 0:
        return 0.0
    if isinstance(converter, References):
        return outside_share(i_a, converter)
    code = _unclipped(i_a, converter, None)
    return float(((code < 0) | (code > converter.max_code)).sum()) / i_a.numel()


def calibrate_range(
    currents_a: Tensor, share: float = 1.0, zero_a: float | Tensor = 0.0, per_column: bool = False
) -> Tensor:
    """Smallest full scale in A that holds ``share`` of the observed currents; scalar, or ``(columns,)`` over the last
    dimension.

    ``share`` below 1 trades clipping of rare large currents for a finer step everywhere.

    Raises
    ------
    InputError : ``share`` is not in (0, 1], there are no currents, or none of them lies above ``zero_a``.
    """
    if not 0.0 < share <= 1.0:
        raise InputError("the share of currents in range must lie above 0 and at most at 1", where="share", got=share)
    if currents_a.numel() == 0:
        raise InputError(
            "there are no currents to calibrate on", where="currents_a", got=f"shape {tuple(currents_a.shape)}"
        )
    above = currents_a.detach() - _operand(zero_a, currents_a)
    above = above.reshape(-1, above.shape[-1]) if per_column else above.reshape(-1)
    rank = max(1, -int(-share * above.shape[0] // 1))
    full_scale = above.amax(0) if rank >= above.shape[0] else above.kthvalue(rank, 0).values
    if not bool((full_scale > 0).all() & torch.isfinite(full_scale).all()):
        raise InputError(
            "these currents give no range",
            where="currents_a",
            got=full_scale,
            expected=f"finite, and above zero_a at the {share:g} quantile" + (" of every column" if per_column else ""),
            fix="calibrate on inputs that use the array, raise share, or use one range for all columns",
        )
    return full_scale


def _unclipped(i_a: Tensor, converter: Converter, out: Tensor | None) -> Tensor:
    _require_floating(i_a)
    per_lsb = converter.max_code / converter.full_scale_a
    if _is_zero(converter.zero_a):
        scaled = torch.mul(i_a, _operand(per_lsb, i_a), out=out)
    else:
        scaled = torch.sub(i_a, _operand(converter.zero_a, i_a), out=out).mul_(_operand(per_lsb, i_a))
    return scaled.round_()


def _require_floating(i_a: Tensor) -> None:
    if not i_a.is_floating_point():
        raise InputError(
            "currents must be floating point", where="i_a", got=i_a.dtype, expected="ampere, float32 or float64"
        )


def _operand(value: float | Tensor, like: Tensor) -> float | Tensor:
    """Same dtype and device, because in-place operations must not promote."""
    return value.to(dtype=like.dtype, device=like.device) if isinstance(value, Tensor) else value


def _is_zero(value: float | Tensor) -> bool:
    return not isinstance(value, Tensor) and value == 0.0
