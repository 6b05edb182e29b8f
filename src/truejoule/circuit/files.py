"""A crossbar from a file, and everything worth knowing about it as plain arrays: the engine of ``truejoule circuit``."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from truejoule.circuit.cells import Cell, Ohmic
from truejoule.circuit.passive_nonlinear import solve_nonlinear
from truejoule.circuit.wires import Wires
from truejoule.errors import InputError, did_you_mean

Floats = NDArray[np.float64]

_WIRES = ("r_wl_ohm", "r_bl_ohm", "r_sl_ohm", "r_source_ohm", "r_sense_ohm")
_KEYS = ("g_siemens", "v", *_WIRES)
_EXPECTED = "g_siemens (rows, columns), optionally v (rows,) or (N, rows), and " + ", ".join(_WIRES)


@dataclass(frozen=True)
class Crossbar:
    """One array as read from a file."""

    g_siemens: Floats
    """``(rows, columns)`` in S."""
    wires: Wires | None
    """None where the file has no resistances."""
    v: Floats | None
    """``(rows,)`` or ``(N, rows)`` in V; None where the file has none."""


def load_crossbar(path: str | Path) -> Crossbar:
    """Read an array from ``.npz`` (keys ``g_siemens``, optionally ``v``, ``r_wl_ohm``, ``r_bl_ohm``, ``r_sl_ohm``,
    ``r_source_ohm``, ``r_sense_ohm``) or ``.csv`` (conductances in S: a line per row, a number per column, no header).

    Raises
    ------
    InputError : the file is missing, of another kind, or holds something else; never unpickles anything.
    """
    file = Path(path)
    if file.suffix == ".npz":
        return _from_npz(file)
    if file.suffix == ".csv":
        return Crossbar(_checked(_matrix(file), str(file)), None, None)
    raise InputError(
        "a crossbar is read from .npz or .csv",
        where=str(path),
        got=file.suffix or "no suffix",
        expected=".npz with " + _EXPECTED + "; or .csv with a line of conductances per row",
        fix='numpy.savez("array.npz", g_siemens=g, r_wl_ohm=1.0, r_bl_ohm=2.0)',
    )


def analyse(
    crossbar: Crossbar, wires: Wires | None = None, v: Floats | float | None = None, cell: Cell | None = None
) -> dict[str, Any]:
    """Solve a passive crossbar. What is given here comes before what the file says.

    ``v``: input voltages, or one number for all rows. Returns plain numbers and numpy arrays, ``N`` absent where ``v``
    had none: ``currents_a (N, columns)``, ``ideal_currents_a`` (perfect wires), ``loss`` (relative, NaN where the ideal
    current is 0), ``mean_loss`` (of the sums of absolute currents), ``drop_v (N, rows, columns)`` (drive minus cell
    voltage), ``cell_voltages_v``, ``power_w (N,)``, ``error_bound_a (N,)``, ``severity`` (``κ = rows · columns · r ·
    g_max`` with the larger mean wire resistance), ``rows``, ``columns``, ``warnings``.

    Raises
    ------
    InputError : no wires or no inputs anywhere, or as `solve_nonlinear`.
    """
    wires = wires if wires is not None else crossbar.wires
    given = v if v is not None else crossbar.v
    if wires is None:
        raise InputError(
            "this crossbar has no wires",
            where="r_wl_ohm, r_bl_ohm",
            expected="resistance per segment in ohm",
            fix="give r_wl_ohm and r_bl_ohm (0 for perfect wires), in the file or beside it",
        )
    if given is None:
        raise InputError(
            "this crossbar has no inputs",
            where="v",
            expected="input voltages in V: (rows,), (N, rows) or one number",
            fix="give v, in the file or beside it",
        )
    g = crossbar.g_siemens
    rows, columns = g.shape
    volts = np.full(rows, float(given)) if np.ndim(given) == 0 else np.asarray(given, dtype=np.float64)
    law = cell if cell is not None else Ohmic()
    found = solve_nonlinear(g, wires, volts, law)
    state, drive = torch.from_numpy(g), torch.from_numpy(volts).unsqueeze(-1)
    ideal = law.current(drive.expand(*volts.shape, columns), state).sum(-2).numpy()
    currents, cells = found.currents_a.numpy(), found.cell_voltages_v.numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = np.where(ideal != 0, 1 - currents / ideal, np.nan)
    whole = float(np.abs(ideal).sum())
    worst = max(float(torch.as_tensor(r, dtype=torch.float64).mean()) for r in (wires.r_wl_ohm, wires.r_bl_ohm))
    return {
        "rows": rows,
        "columns": columns,
        "currents_a": currents,
        "ideal_currents_a": ideal,
        "loss": loss,
        "mean_loss": 1 - float(np.abs(currents).sum()) / whole if whole else 0.0,
        "cell_voltages_v": cells,
        "drop_v": volts[..., None] - cells,
        "power_w": found.power_w.numpy(),
        "error_bound_a": found.error_bound_a.numpy(),
        "severity": rows * columns * worst * float(g.max()),
        "warnings": list(found.warnings),
    }


def with_wires(wires: Wires | None, **ohms: float | None) -> Wires:
    """``wires`` with the given resistances in place of its own: ``with_wires(w, r_bl_ohm=2.0)``; None leaves one as it
    is. A wire that neither gives is perfect."""
    named = {name: value for name, value in ohms.items() if value is not None}
    return replace(wires if wires is not None else Wires(0.0, 0.0), **named)  # type: ignore[arg-type]


def _from_npz(file: Path) -> Crossbar:
    try:
        with np.load(file, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as problem:
        raise InputError(
            "this file cannot be read", where=str(file), got=str(problem), expected="an .npz of number arrays"
        ) from problem
    for name in arrays:
        if name not in _KEYS:
            raise InputError("unknown array in the file", where=str(file), got=name, fix=did_you_mean(name, _KEYS))
    if "g_siemens" not in arrays:
        raise InputError("the file holds no conductances", where=str(file), got=", ".join(arrays), expected=_EXPECTED)
    for name, value in arrays.items():
        if value.dtype.kind not in "fiu":
            raise InputError("an array must hold real numbers", where=f"{file}, {name}", got=value.dtype)
    ohms = {k: float(x) if (x := arrays[k]).ndim == 0 else np.asarray(x, np.float64) for k in _WIRES if k in arrays}
    wires = Wires(**{"r_wl_ohm": 0.0, "r_bl_ohm": 0.0, **ohms}) if ohms else None  # type: ignore[arg-type]
    v = np.asarray(arrays["v"], dtype=np.float64) if "v" in arrays else None
    g = _checked(np.asarray(arrays["g_siemens"], dtype=np.float64), str(file))
    if v is not None and (v.ndim not in (1, 2) or v.shape[-1] != g.shape[0] or not np.isfinite(v).all()):
        raise InputError(
            "the inputs do not fit the array",
            where=f"{file}, v",
            got=f"shape {v.shape}",
            expected=f"({g.shape[0]},) or (N, {g.shape[0]}), finite",
        )
    return Crossbar(g, wires, v)


def _matrix(file: Path) -> Floats:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError("this file cannot be read", where=str(file), got=str(problem)) from problem
    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        row = []
        for column, text in enumerate(line.split(","), 1):
            try:
                row.append(float(text))
            except ValueError as problem:
                raise InputError(
                    "this is not a number",
                    where=f"{file}, line {number}, column {column}",
                    got=text.strip(),
                    expected="a conductance in siemens, without unit and header",
                ) from problem
        if rows and len(row) != len(rows[0]):
            raise InputError(
                "the rows have different lengths",
                where=f"{file}, line {number}",
                got=len(row),
                expected=f"{len(rows[0])} conductances, as in the first row",
            )
        rows.append(row)
    if not rows:
        raise InputError("this file holds no conductances", where=str(file), expected="a line of numbers per row")
    return np.array(rows)


def _checked(g: Floats, where: str) -> Floats:
    if g.ndim != 2 or 0 in g.shape:
        raise InputError(
            "one array is expected", where=f"{where}, g_siemens", got=f"shape {g.shape}", expected="(rows, columns)"
        )
    bad = np.argwhere(~(np.isfinite(g) & (g >= 0)))
    if bad.size:
        row, column = bad[0]
        raise InputError(
            "conductances must be finite and not negative",
            where=f"{where}, row {row}, column {column}",
            got=float(g[row, column]),
            expected="siemens, 0 for an open cell",
        )
    return g
