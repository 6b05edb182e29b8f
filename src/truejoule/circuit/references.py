"""A converter with reference levels of its own: any thresholds, the same for all columns or one set per column.

    code = number of thresholds below the current,    value = what that code stands for

which is what a flash converter with sorted outputs does, whatever its comparators' offsets. Fits to data are in
`truejoule.circuit.calibration`. `convert`, `dequantise` and `saturation_share` take `References` and `Converter` alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.errors import InputError

_BINS = 4
"""Per threshold, of the table that finds codes quickly."""
_MOST_COMPARED = 4


@dataclass(frozen=True)
class References:
    """Thresholds and the values of the codes between them.

    Raises
    ------
    InputError : thresholds do not ascend or are not finite, or the values do not fit.
    """

    thresholds_a: Tensor
    """``(codes - 1,)`` or ``(columns, codes - 1)``, ascending, in A."""
    values: Tensor
    """``(codes,)`` or ``(columns, codes)``: current in A, or the digital result a code was calibrated to."""

    def __post_init__(self) -> None:
        t, y = self.thresholds_a, self.values
        if t.ndim not in (1, 2) or t.shape[-1] < 1 or not bool(torch.isfinite(t).all() & (t.diff() >= 0).all()):
            raise InputError(
                "thresholds must be finite and ascend",
                where="thresholds_a",
                got=f"shape {tuple(t.shape)}",
                expected="(codes - 1,) or (columns, codes - 1) in ampere",
                fix="sort them: comparators that are out of order count the same",
            )
        if y.ndim not in (1, 2) or y.shape[-1] != t.shape[-1] + 1 or (y.ndim == t.ndim == 2 and len(y) != len(t)):
            raise InputError(
                "there must be one value per code",
                where="values",
                got=f"shape {tuple(y.shape)}",
                expected=f"{t.shape[-1] + 1} values, one set or one per column",
            )

    @property
    def max_code(self) -> int:
        return self.thresholds_a.shape[-1]

    @property
    def bits(self) -> int:
        """Whole bits that hold the code."""
        return self.max_code.bit_length()


def codes_of(i_a: Tensor, references: References, out: Tensor | None = None) -> Tensor:
    """Codes of currents ``i_a (..., columns)``, integer-valued, in the dtype of ``i_a``."""
    thresholds = references.thresholds_a.to(dtype=i_a.dtype, device=i_a.device)
    if thresholds.ndim == 2 and (i_a.ndim == 0 or i_a.shape[-1] != len(thresholds)):
        raise InputError(
            "these references are for another number of columns",
            where="i_a",
            got=f"shape {tuple(i_a.shape)}",
            expected=f"(..., {len(thresholds)})",
        )
    codes = _by_bins(i_a, thresholds) if i_a.numel() >= 4 * _BINS * thresholds.numel() else None
    if codes is None:
        codes = _by_search(i_a, thresholds).to(i_a.dtype)
    return codes if out is None else out.copy_(codes)


def _by_search(i_a: Tensor, thresholds: Tensor) -> Tensor:
    if thresholds.ndim == 1:
        return torch.bucketize(i_a.contiguous(), thresholds)
    columns = i_a.reshape(-1, len(thresholds)).T.contiguous()
    return torch.searchsorted(thresholds.contiguous(), columns).T.reshape(i_a.shape)


def _by_bins(i_a: Tensor, thresholds: Tensor) -> Tensor | None:
    """The same codes, several times faster for many currents: a table over equal bins, then a few comparisons.

    The bin of a number rises with it, rounding included, so thresholds in lower bins lie below, those in higher bins
    above, and only those of the same bin need comparing. None where too many thresholds share a bin.
    """
    rows = thresholds if thresholds.ndim == 2 else thresholds.unsqueeze(0)
    sets, count = rows.shape
    low, high = rows[:, 0], rows[:, -1]
    bins = _BINS * count
    rate = bins / (high - low).clamp_min(torch.finfo(rows.dtype).tiny)
    if not bool(torch.isfinite(rate).all()):
        return None

    def bin_of(x: Tensor) -> Tensor:
        return ((x - low) * rate).clamp_(0, bins - 1).nan_to_num_().to(torch.long)

    own = bin_of(rows.T).T.contiguous()
    below = torch.searchsorted(own, torch.arange(bins, device=own.device).expand(sets, bins).contiguous())
    shared = int((torch.searchsorted(own, own, right=True) - torch.searchsorted(own, own)).max())
    if shared > _MOST_COMPARED:
        return None
    padded = torch.nn.functional.pad(rows, (0, shared), value=float("inf"))
    column = torch.arange(sets, device=own.device)
    codes = torch.take(below, bin_of(i_a).add_(column * bins))
    first = codes + column * padded.shape[1]
    codes = codes.to(i_a.dtype)
    for k in range(shared):
        codes.add_(i_a > torch.take(padded, first + k if k else first))
    return codes


def values_of(codes: Tensor, references: References, out: Tensor | None = None) -> Tensor:
    """What each code stands for, ``(..., columns)``, in the dtype of ``codes``."""
    values = references.values.to(dtype=codes.dtype, device=codes.device)
    index = codes.to(torch.long)
    if values.ndim == 1:
        found = values[index]
    else:
        found = torch.gather(values.T, 0, index.reshape(-1, len(values))).reshape(codes.shape)
    return found if out is None else out.copy_(found)


def outside_share(i_a: Tensor, references: References) -> float:
    """Share of currents, 0 to 1, more than one step beyond the outer thresholds; 0 for a single threshold."""
    t = references.thresholds_a.to(dtype=i_a.dtype, device=i_a.device)
    if i_a.numel() == 0 or t.shape[-1] < 2:
        return 0.0
    low, high = 2 * t[..., 0] - t[..., 1], 2 * t[..., -1] - t[..., -2]
    return float(((i_a < low) | (i_a > high)).double().mean())


def uniform_references(bits: int, full_scale_a: float | Tensor, zero_a: float | Tensor = 0.0) -> References:
    """The thresholds of a uniform converter written out: ``zero + (k + 1/2) · lsb``."""
    full, zero = (torch.as_tensor(x, dtype=torch.float64) for x in (full_scale_a, zero_a))
    full, zero = (x.unsqueeze(-1) for x in torch.broadcast_tensors(full, zero))
    codes = torch.arange(1 << bits, dtype=torch.float64, device=full.device)
    lsb = full / ((1 << bits) - 1)
    return References(zero + (codes[:-1] + 0.5) * lsb, zero + codes * lsb)


def sense_amplifier(reference_a: float | Tensor, offset_a: float | Tensor = 0.0) -> References:
    """A single-bit comparison: code 1 where the current exceeds ``reference + offset``; scalars or ``(columns,)``."""
    level = torch.as_tensor(reference_a, dtype=torch.float64) + torch.as_tensor(offset_a, dtype=torch.float64)
    return References(level.unsqueeze(-1), torch.tensor([0.0, 1.0], dtype=torch.float64))
