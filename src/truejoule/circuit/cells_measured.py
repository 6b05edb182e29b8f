"""A cell law from measured current-voltage curves. See `truejoule.circuit.cells` for the rules all laws obey."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truejoule.circuit.cells import spice_volts
from truejoule.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Measured curves, one per programmed state, on one grid of voltages.

    Between the points each curve is a monotone cubic (F. N. Fritsch, R. E. Carlson, SIAM J. Numer. Anal. 17, 238,
    1980), so that it has a continuous conductance and no wiggles; beyond the last point it goes on straight. Between
    two states currents are interpolated linearly in ``g``, from an open cell (0 S) to the lowest state too, and above
    the highest state its curve is scaled. Curves measured at positive voltages only are continued as odd functions.

    Raises
    ------
    InputError : fewer than two voltages, voltages or states out of order, a current that falls with the voltage or has
        the wrong sign.
    """

    v: tuple[float, ...]
    """Voltages in V, ascending."""
    i: tuple[tuple[float, ...], ...]
    """Currents in A: one curve per state, one current per voltage."""
    g: tuple[float, ...] = ()
    """Conductance in S that stands for each state, ascending; by default the slope of each curve at 0 V."""
    source: str = ""
    """Where the curves come from."""

    def __post_init__(self) -> None:
        v, i = np.asarray(self.v, dtype=np.float64), np.asarray(self.i, dtype=np.float64)
        if v.ndim != 1 or v.size < 2 or i.ndim != 2 or i.shape[1] != v.size or not i.size:
            raise InputError(
                "a measured cell needs curves with one current per voltage",
                where="v, i",
                got=f"shapes {v.shape} and {i.shape}",
                expected="(points,) and (states, points), at least 2 points",
            )
        if not (np.isfinite(v).all() and np.isfinite(i).all() and (np.diff(v) > 0).all()):
            raise InputError(
                "voltages must ascend, and all numbers be finite", where="v, i", fix="sort by voltage, average repeats"
            )
        v, i = _with_origin(v, i)
        wrong = np.argwhere(i * v < 0)
        if wrong.size:
            state, point = wrong[0]
            raise InputError(
                "a measured current has the wrong sign",
                where=f"curve {state} at {v[point]:g} V",
                got=f"{i[state, point]:g} A",
                expected="current and voltage of one sign",
                fix="subtract the offset of the instrument",
            )
        falls = np.argwhere(np.diff(i, axis=1) < 0)
        if falls.size:
            state, point = falls[0]
            raise InputError(
                "a measured current falls while the voltage rises",
                where=f"curve {state} between {v[point]:g} V and {v[point + 1]:g} V",
                got=f"{i[state, point]:g} A to {i[state, point + 1]:g} A",
                expected="rising currents (a passive, monotone cell)",
                fix="average repeated sweeps, or fit a law to the data; one branch of a hysteresis loop at a time",
            )
        slopes = np.stack([_slopes(v, curve) for curve in i])
        states = np.asarray(self.g, dtype=np.float64) if self.g else slopes[:, int(np.argmin(np.abs(v)))]
        if states.shape != i.shape[:1] or not (
            np.isfinite(states).all() and states[0] > 0 and np.all(np.diff(states) > 0)
        ):
            raise InputError(
                "the states of a measured cell must be positive and ascend",
                where="g",
                got=states.tolist(),
                expected=f"{len(i)} conductances in S",
                fix="order the curves by conductance; give g where curves have no slope at 0 V (selectors)",
            )
        for name, value in (("v", v), ("i", i), ("g", states)):
            object.__setattr__(self, name, _tuples(value))
        object.__setattr__(self, "_pieces", _Pieces(v, np.vstack([np.zeros_like(v), i]), slopes, states))

    @classmethod
    def read(cls, path: str | Path, source: str = "") -> Table:
        """Curves from a CSV file with a header: columns ``v_v`` and ``i_a``, and ``g_siemens`` where there are several
        states (rows of one state share its value). Lines that start with ``#`` are comments.

        Raises
        ------
        InputError : the file is missing or not such a table, or as `Table`.
        """
        rows = read_columns(path, required=("v_v", "i_a"), optional=("g_siemens",))
        v, i = rows["v_v"], rows["i_a"]
        if "g_siemens" not in rows:
            order = np.argsort(v, kind="stable")
            return cls(_tuples(v[order]), (_tuples(i[order]),), source=source or str(path))
        states, curves, grid = np.unique(rows["g_siemens"]), [], None
        for state in states:
            here = np.flatnonzero(rows["g_siemens"] == state)
            here = here[np.argsort(v[here], kind="stable")]
            if grid is not None and not np.array_equal(v[here], grid):
                raise InputError(
                    "all states must be measured at the same voltages",
                    where=f"{path}, g_siemens = {state:g}",
                    got=f"{len(here)} voltages",
                    expected=f"the {len(grid)} voltages of the first state",
                    fix="interpolate the sweeps to one grid first",
                )
            grid = v[here]
            curves.append(_tuples(i[here]))
        assert grid is not None
        return cls(_tuples(grid), tuple(curves), _tuples(states), source or str(path))

    @property
    def trusted_v(self) -> tuple[float, float]:
        return self.v[0], self.v[-1]

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[0]

    def conductance(self, v: Tensor, g: Tensor) -> Tensor:
        return self.both(v, g)[1]

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        return self._pieces.both(*torch.broadcast_tensors(v, g))  # type: ignore[attr-defined]

    def spice(self, g: float, plus: str, minus: str) -> str:
        pieces: _Pieces = self._pieces  # type: ignore[attr-defined]
        v = spice_volts(plus, minus)
        knots, c1, c2, c3, c0 = pieces.curve(g)
        last = len(knots) - 1
        text = _cubic(v, knots[last], c0[last], c1[last], 0.0, 0.0)
        for k in range(last - 1, -1, -1):
            text = f"({v}<{knots[k + 1]:.17g} ? {_cubic(v, knots[k], c0[k], c1[k], c2[k], c3[k])} : {text})"
        return f"({v}<{knots[0]:.17g} ? {_cubic(v, knots[0], c0[0], c1[0], 0.0, 0.0)} : {text})"


class _Pieces:
    """Cubic pieces of every curve, with an open cell as the lowest."""

    def __init__(self, v: Floats, i: Floats, slopes: Floats, states: Floats) -> None:
        d = np.vstack([np.zeros_like(v), slopes])
        h = np.diff(v)
        mean = np.diff(i, axis=1) / h
        self.v, self.i, self.d = v, i, d
        self.states = np.concatenate([[0.0], states])
        self.c2 = (3 * mean - 2 * d[:, :-1] - d[:, 1:]) / h
        self.c3 = (d[:, :-1] + d[:, 1:] - 2 * mean) / h**2

    def both(self, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        def here(x: Floats) -> Tensor:
            return torch.as_tensor(x, dtype=v.dtype, device=v.device)

        knots, states = here(self.v), here(self.states)
        piece = (
            torch.bucketize(v.detach().contiguous(), knots[1:-1].contiguous(), right=True)
            if len(self.v) > 2
            else torch.zeros_like(v, dtype=torch.long)
        )
        upper = (
            torch.bucketize(g.detach().contiguous(), states[1:-1].contiguous(), right=True) + 1
            if len(self.states) > 2
            else torch.ones_like(piece)
        )
        share = (g - states[upper - 1]) / (states[upper] - states[upper - 1])
        top = g > states[-1]
        weights = torch.where(top, torch.zeros_like(share), 1 - share), torch.where(top, g / states[-1], share)
        inside = torch.minimum(torch.maximum(v, knots[0]), knots[-1])
        x, beyond = inside - knots[piece], v - inside
        i, d = torch.zeros_like(share), torch.zeros_like(share)
        for state, weight in zip((upper - 1, upper), weights, strict=True):
            c0, c1 = here(self.i)[state, piece], here(self.d)[state, piece]
            c2, c3 = here(self.c2)[state, piece], here(self.c3)[state, piece]
            slope = (c1 + x * (2 * c2 + 3 * c3 * x)).clamp_min(0)
            i = i + weight * (c0 + x * (c1 + x * (c2 + c3 * x)) + slope * beyond)
            d = d + weight * slope
        return i, d

    def curve(self, g: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Knots and coefficients of the curve of one state, for a netlist."""
        upper = int(np.clip(np.searchsorted(self.states, g, side="right"), 1, len(self.states) - 1))
        low, high = self.states[upper - 1], self.states[upper]
        a, b = (0.0, g / high) if g > high else ((high - g) / (high - low), (g - low) / (high - low))
        mixed = [a * x[upper - 1] + b * x[upper] for x in (self.d, self.c2, self.c3, self.i)]
        return self.v, mixed[0], mixed[1], mixed[2], mixed[3]


def read_columns(
    path: str | Path, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, NDArray[np.float64]]:
    """Named columns of numbers from a CSV file with a header; lines that start with ``#`` are comments.

    Raises
    ------
    InputError : no such file, a required column is missing, an unknown column, no rows, or a cell is no finite number.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(
            "this file cannot be read", where=str(path), got=str(problem), expected="a CSV text file"
        ) from problem
    lines = [
        (k, line) for k, line in enumerate(text.splitlines(), 1) if line.strip() and not line.lstrip().startswith("#")
    ]
    expected = ", ".join(required) + (f" and optionally {', '.join(optional)}" if optional else "")
    if not lines:
        raise InputError("this file has no header", where=str(path), got="nothing", expected=expected)
    rows = list(csv.reader(line for _, line in lines))
    names = [name.strip() for name in rows[0]]
    missing = [name for name in required if name not in names]
    unknown = [name for name in names if name not in required + optional]
    if missing or unknown or len(set(names)) != len(names):
        raise InputError(
            "the header of this file does not name the columns needed",
            where=f"{path}, line {lines[0][0]}",
            got=", ".join(names),
            expected=expected,
            fix="name the columns in the first line; values are in SI units",
        )
    if len(rows) < 2:
        raise InputError("this file has a header but no rows", where=str(path), expected="at least one row of numbers")
    values = np.empty((len(rows) - 1, len(names)))
    for k, (row, (line, _)) in enumerate(zip(rows[1:], lines[1:], strict=True)):
        if len(row) != len(names):
            raise InputError(
                "a row has the wrong number of columns",
                where=f"{path}, line {line}",
                got=len(row),
                expected=str(len(names)),
            )
        for j, cell in enumerate(row):
            try:
                values[k, j] = float(cell)
            except ValueError:
                values[k, j] = math.nan
            if not math.isfinite(values[k, j]):
                raise InputError(
                    "this is not a finite number",
                    where=f"{path}, line {line}, column {names[j]}",
                    got=cell.strip(),
                    expected="a number in SI units, without unit",
                )
    return {name: values[:, j].copy() for j, name in enumerate(names)}


def _with_origin(v: Floats, i: Floats) -> tuple[Floats, Floats]:
    """Add the point (0, 0) where it is missing, and the mirror image of one-sided curves."""
    if 0.0 in v:
        i = i.copy()
        offset = i[:, v == 0.0]
        if np.any(np.abs(offset) > 1e-3 * np.abs(i).max(1, keepdims=True)):
            raise InputError(
                "a measured curve does not pass through zero",
                where="i at 0 V",
                got=offset.ravel().tolist(),
                expected="0 A",
                fix="subtract the offset of the instrument",
            )
        i[:, v == 0.0] = 0.0
    else:
        place = int(np.searchsorted(v, 0.0))
        v, i = np.insert(v, place, 0.0), np.insert(i, place, 0.0, axis=1)
    if v[0] == 0.0:
        return np.concatenate([-v[:0:-1], v]), np.concatenate([-i[:, :0:-1], i], 1)
    if v[-1] == 0.0:
        return np.concatenate([v, -v[-2::-1]]), np.concatenate([i, -i[:, -2::-1]], 1)
    return v, i


def _slopes(v: Floats, i: Floats) -> Floats:
    """Slopes at the points that make the cubic pieces monotone: weighted harmonic means, one-sided at the ends."""
    h, mean = np.diff(v), np.diff(i) / np.diff(v)
    d = np.empty_like(i)
    if len(v) == 2:
        d[:] = mean[0]
        return d
    left, right = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    both = (mean[:-1] > 0) & (mean[1:] > 0)
    with np.errstate(over="ignore"):  # a slope near the smallest number counts as flat
        harmonic = (left + right) / (left / np.where(both, mean[:-1], 1) + right / np.where(both, mean[1:], 1))
    d[1:-1] = np.where(both, harmonic, 0.0)
    for end, (h0, h1, m0, m1) in ((0, (h[0], h[1], mean[0], mean[1])), (-1, (h[-1], h[-2], mean[-1], mean[-2]))):
        d[end] = np.clip(((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1), 0.0, 3 * m0)
    return d


def _tuples(x: Floats) -> tuple:
    return tuple(_tuples(row) for row in x) if x.ndim > 1 else tuple(float(a) for a in x)


def _cubic(v: str, knot: float, c0: float, c1: float, c2: float, c3: float) -> str:
    x = f"({v}-({knot:.17g}))"
    return f"({c0:.17g}+{x}*({c1:.17g}+{x}*({c2:.17g}+{x}*({c3:.17g}))))"
