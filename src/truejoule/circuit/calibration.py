"""Converters fitted to data, and converters as they are made: calibrated references, mismatch, sharing.

Wire drop bends the transfer from the wanted sum to the current. Because that bend is smooth, references placed at the
bent currents undo most of it, for all columns together or column by column: in a 64-row binary array (40 kohm cells, 7.8
ohm a row, no noise) the error of the signed dot product falls from 14.7 to 1.1 with one cubic for all columns and to
0.6 with one each; tests/physics/test_circuit_converter.py. Fit on one set of inputs and judge on another.

Calibration data are currents ``(samples, columns)`` in A; ``per_column=True`` fits each column by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from truejoule.circuit.references import References
from truejoule.errors import InputError

_ITERATIONS = 200
_GRID = 4097


def fit_polynomial(
    currents_a: Tensor, targets: Tensor, bits: int, degree: int = 3, per_column: bool = False
) -> References:
    """References that invert a polynomial from current to wanted result.

    ``targets (samples, columns)``: what the converter should report, for example the digital dot product. Codes stand
    for ``0, step, 2 step, ...`` up to the largest target; ``step`` is a whole number, 1 where ``bits`` suffice. Where
    the polynomial is not monotone, its running maximum takes its place.

    Raises
    ------
    InputError : shapes do not fit, too few samples, values not finite, or no current or target varies.
    """
    currents, wanted = _samples(currents_a, per_column), _samples(targets, per_column)
    if currents.shape != wanted.shape:
        raise InputError(
            "there must be one target per current",
            where="targets",
            got=f"shape {tuple(targets.shape)}",
            expected=str(tuple(currents_a.shape)),
        )
    if not 1 <= degree <= 9 or currents.shape[1] <= degree:
        raise InputError(
            "too few samples for this degree", where="degree", got=degree, expected="1 to 9, below the samples"
        )
    top = float(wanted.max())
    if top <= 0:
        raise InputError("no target is above zero", where="targets", got=top)
    codes = _codes(bits)
    step = max(1.0, float(np.ceil(top / (codes - 1))))
    count = min(codes, int(np.floor(top / step + 0.5)) + 1)
    edges = (np.arange(max(count, 2) - 1) + 0.5) * step
    thresholds = np.stack(
        [_inverse(x, y, degree, edges) for x, y in zip(currents.numpy(), wanted.numpy(), strict=True)]
    )
    values = torch.arange(len(edges) + 1, dtype=torch.float64) * step
    return _references(thresholds, values, per_column, currents_a.device)


def fit_lloyd_max(currents_a: Tensor, bits: int, targets: Tensor | None = None, per_column: bool = False) -> References:
    """References with the least mean squared error of the current (S. P. Lloyd 1957; J. Max 1960), started from
    quantiles. With ``targets``, each code stands for their mean in its interval instead of the mean current.

    Raises
    ------
    InputError : as `fit_polynomial`.
    """
    return _fit_levels(currents_a, bits, targets, per_column, _lloyd)


def fit_quantile(currents_a: Tensor, bits: int, targets: Tensor | None = None, per_column: bool = False) -> References:
    """References that use every code equally often. Otherwise as `fit_lloyd_max`."""
    return _fit_levels(currents_a, bits, targets, per_column, _quantile)


@dataclass(frozen=True)
class Mismatch:
    """How converters of one design differ: standard deviations, one draw per converter (and per threshold for INL)."""

    source: str
    offset_lsb: float = 0.0
    gain: float = 0.0
    """Relative."""
    inl_lsb: float = 0.0
    """Of each threshold, independent of the others, as the comparators of a flash converter."""

    def __post_init__(self) -> None:
        for name in ("offset_lsb", "gain", "inl_lsb"):
            value = getattr(self, name)
            if not 0.0 <= value < float("inf"):
                raise InputError("a standard deviation must be finite and not negative", where=name, got=value)


def mismatched(
    references: References, mismatch: Mismatch, columns: int, random: np.random.Generator, share: int = 1
) -> References:
    """The converters of ``columns`` columns as made: each group of ``share`` neighbouring columns has one (a
    multiplexer). An LSB is the mean step between thresholds; gain acts about the first one. Values stay, because the
    digital side does not know.

    Raises
    ------
    InputError : ``share`` is not positive, or the references are for another number of columns.
    """
    if share < 1:
        raise InputError("a converter serves at least one column", where="share", got=share)
    nominal = references.thresholds_a.to(torch.float64)
    if nominal.ndim == 2 and len(nominal) != columns:
        raise InputError("these references are for another number of columns", where="columns", got=columns)
    nominal = nominal.expand(columns, nominal.shape[-1])
    made = -(-columns // share)
    count = nominal.shape[-1]
    owner = torch.arange(columns, device=nominal.device) // share

    def draws(*shape: int) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape)).to(nominal.device)[owner]

    spread = nominal[:, -1:] - nominal[:, :1]
    lsb = spread / (count - 1) if count > 1 else nominal.abs()
    offset, gain, inl = draws(made, 1), draws(made, 1), draws(made, count)
    moved = nominal + lsb * (mismatch.offset_lsb * offset + mismatch.inl_lsb * inl)
    moved = moved + mismatch.gain * gain * (nominal - nominal[:, :1])
    return References(moved.sort(-1).values, references.values)


def _fit_levels(
    currents_a: Tensor,
    bits: int,
    targets: Tensor | None,
    per_column: bool,
    place: Callable[[np.ndarray, int], np.ndarray],
) -> References:
    currents = _samples(currents_a, per_column)
    wanted = currents if targets is None else _samples(targets, per_column)
    if wanted.shape != currents.shape:
        raise InputError("there must be one target per current", where="targets", got=f"shape {tuple(wanted.shape)}")
    codes = _codes(bits)
    thresholds, values = [], []
    for x, y in zip(currents.numpy(), wanted.numpy(), strict=True):
        order = np.argsort(x, kind="stable")
        edges = place(x[order], codes)
        thresholds.append(edges)
        values.append(_means(x[order], y[order], edges))
    value = torch.from_numpy(np.stack(values))
    return _references(np.stack(thresholds), value if per_column else value[0], per_column, currents_a.device)


def _references(thresholds: np.ndarray, values: Tensor, per_column: bool, device: torch.device) -> References:
    placed = torch.from_numpy(thresholds if per_column else thresholds[0])
    return References(placed.to(device), values.to(device))


def _samples(x: Tensor, per_column: bool) -> Tensor:
    """``(1 or columns, samples)``, fp64, on the CPU."""
    if x.ndim == 0 or x.numel() == 0:
        raise InputError("there is nothing to calibrate on", where="currents_a", got=f"shape {tuple(x.shape)}")
    flat = x.detach().to("cpu", torch.float64)
    if not bool(torch.isfinite(flat).all()):
        raise InputError("calibration data must be finite", where="currents_a, targets", got="inf or nan")
    return flat.reshape(-1, x.shape[-1]).T.contiguous() if per_column else flat.reshape(1, -1)


def _codes(bits: int) -> int:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 16:
        raise InputError("custom references need a whole number of bits", where="bits", got=bits, expected="1 to 16")
    return 1 << bits


def _inverse(x: np.ndarray, y: np.ndarray, degree: int, edges: np.ndarray) -> np.ndarray:
    """Currents at which the polynomial fitted to ``y(x)`` reaches ``edges``; beyond the data, along the end slopes."""
    low, high = float(x.min()), float(x.max())
    if high <= low:
        raise InputError(
            "a column carries the same current for every input",
            where="currents_a",
            got=f"{low:g} A",
            fix="calibrate on inputs that use the array, or fit one set of references for all columns",
        )
    fitted = np.polynomial.Polynomial.fit(x, y, degree)
    grid = np.linspace(low, high, _GRID)
    rising = np.maximum.accumulate(fitted(grid))
    rising = rising + np.linspace(0, 1e-12 * (1 + abs(rising[-1])), _GRID)
    inside = np.interp(edges, rising, grid)
    mean_slope = max((rising[-1] - rising[0]) / (high - low), 1e-300)
    above, below = edges > rising[-1], edges < rising[0]
    inside[above] = high + (edges[above] - rising[-1]) / mean_slope
    inside[below] = low + (edges[below] - rising[0]) / mean_slope
    return inside


def _quantile(x: np.ndarray, codes: int) -> np.ndarray:
    return np.quantile(x, np.arange(1, codes) / codes)


def _lloyd(x: np.ndarray, codes: int) -> np.ndarray:
    # half quantiles, half even steps: quantiles alone leave no code for rare large currents
    edges = 0.5 * (_quantile(x, codes) + np.linspace(x[0], x[-1], codes + 1)[1:-1])
    for _ in range(_ITERATIONS):
        levels = _means(x, x, edges)
        moved = 0.5 * (levels[1:] + levels[:-1])
        if np.abs(moved - edges).max() <= 1e-9 * (x[-1] - x[0]):
            break
        edges = moved
    return edges


def _means(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of ``y`` between edges, ``x`` ascending; an empty interval takes the value between its neighbours."""
    cuts = np.concatenate([[0], np.searchsorted(x, edges, side="right"), [len(x)]])
    sums = np.concatenate([[0.0], np.cumsum(y)])
    counts = np.diff(cuts)
    used = np.flatnonzero(counts)
    means = np.diff(sums[cuts])[used] / counts[used]
    return np.interp(np.arange(len(counts)), used, means)
