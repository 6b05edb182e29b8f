"""Variation from the user's own measurements."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from truejoule.circuit.cells_measured import read_columns
from truejoule.circuit.variation import GaussianError, PiecewiseSpread, Spread, Variation
from truejoule.errors import InputError

_FEWEST = 8
"""Measurements behind each standard deviation: its own relative error is then about 1/4."""
_MOST_LEVELS = 32


def measured_variation(path: str | Path) -> Variation:
    """Programming error, and read noise if given, from a CSV file of cells.

    Columns ``target_siemens`` and ``measured_siemens`` (one row per cell), optionally ``read_noise_siemens`` (standard
    deviation of that cell's repeated reads). Cells are grouped by target (equal targets, or neighbouring ones in equal
    groups when they are all different); between the groups, mean error, spread and noise follow straight lines, outside
    they are constant. The spread of a group is that about its own mean error.

    Raises
    ------
    InputError : the file is no such table; a conductance is negative; or there are too few cells, 8 per group.
    """
    columns = read_columns(path, ("target_siemens", "measured_siemens"), ("read_noise_siemens",))
    for name, values in columns.items():
        if (values < 0).any():
            row = int(np.argmax(values < 0))
            raise InputError(
                "a measured conductance is negative",
                where=f"{path}, row {row + 1} of numbers, column {name}",
                got=values[row],
                expected="siemens, 0 or more",
                fix="subtract the offset of the instrument, or leave this cell out",
            )
    target = columns["target_siemens"]
    groups = _groups(target, str(path))
    error = columns["measured_siemens"] - target
    g = tuple(float(target[k].mean()) for k in groups)
    source = f"measured: {path}, {len(target)} cells in {len(groups)} groups"
    spread = PiecewiseSpread(g, tuple(float(error[k].std(ddof=1)) for k in groups))
    bias: Spread = PiecewiseSpread(g, tuple(float(error[k].mean()) for k in groups))
    noise = columns.get("read_noise_siemens")
    per_read: tuple[GaussianError, ...] = ()
    if noise is not None:
        rms = PiecewiseSpread(g, tuple(float(np.sqrt((noise[k] ** 2).mean())) for k in groups))
        per_read = (GaussianError(rms, source),)
    return Variation((GaussianError(spread, source, bias),), per_read)


def _groups(target: np.ndarray, where: str) -> list[np.ndarray]:
    order = np.argsort(target, kind="stable")
    levels, counts = np.unique(target, return_counts=True)
    if len(levels) <= _MOST_LEVELS:
        if counts.min() < _FEWEST:
            raise InputError(
                "a target has too few measured cells for a standard deviation",
                where=where,
                got=f"{counts.min()} cells at {levels[np.argmin(counts)]:g} S",
                expected=f"{_FEWEST} or more per target",
                fix="measure more cells, or leave this target out",
            )
        return [np.flatnonzero(target == level) for level in levels]
    if len(target) < 2 * _FEWEST:
        raise InputError("too few measured cells", where=where, got=len(target), expected=f"{2 * _FEWEST} or more")
    pieces = np.array_split(order, min(_MOST_LEVELS, len(target) // _FEWEST))
    merged = [pieces[0]]
    for piece in pieces[1:]:
        if target[piece].mean() > target[merged[-1]].mean():
            merged.append(piece)
        else:
            merged[-1] = np.concatenate([merged[-1], piece])
    return merged
