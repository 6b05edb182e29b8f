"""The wires of an array: what every segment, driver and sense input resists."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truejoule.errors import InputError

Resistance = float | Tensor
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Wires:
    """Wire resistances in ohm: one number for all segments, or a tensor per segment.

    Row ``i`` is driven from its left end through ``r_source_ohm`` and one word-line segment before its first cell;
    its right end is open. Column ``j`` is read at its bottom end, after the last row, through one bit-line segment
    and ``r_sense_ohm`` into a virtual ground; its top end is open. In gated arrays rows only switch gates, and the
    driver is that of each column's source line: see `truejoule.circuit.topology`, also for lines used at both ends,
    whose second end is built like the first.

    Zero is allowed anywhere and exact (a perfect conductor, no small number in its place). Tensors may carry leading
    tile dimensions and may require gradients; numpy arrays are converted.

    Raises
    ------
    InputError : a resistance is negative, infinite or not a number.
    """

    r_wl_ohm: Resistance
    """Word line, broadcastable to ``(..., rows, columns)``; segment ``j`` is the one before cell ``j``."""
    r_bl_ohm: Resistance
    """Bit line, broadcastable to ``(..., rows, columns)``; segment ``i`` is the one after row ``i``."""
    r_sl_ohm: Resistance = 0.0
    """Source line of gated arrays, broadcastable to ``(..., rows, columns)``; segment ``i`` is the one on the supply's
    side of row ``i``. Passive arrays have none."""
    r_source_ohm: Resistance = 0.0
    """Driver of each row: scalar or ``(..., rows)``; in gated arrays of each source line: scalar or ``(..., columns)``."""
    r_sense_ohm: Resistance = 0.0
    """Sense input of each column: scalar or ``(..., columns)``."""

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name)))


@dataclass(frozen=True)
class Segments:
    """`Wires` laid out for a stack of arrays, fp64. A dimension is 1 where the value does not depend on it."""

    wordline: Tensor
    """``(tiles | 1, rows | 1, columns | 1)``."""
    bitline: Tensor
    """``(tiles | 1, rows | 1, columns | 1)``."""
    source: Tensor
    """``(tiles | 1, rows | 1)``."""
    sense: Tensor
    """``(tiles | 1, columns | 1)``."""
    far_source: Tensor | None = None
    """From the right end of each word line to its driver's voltage, ``(tiles | 1, rows | 1)``; None: that end is open."""
    far_sense: Tensor | None = None
    """From the top end of each bit line to virtual ground, ``(tiles | 1, columns | 1)``; None: that end is open."""

    def tiles(self, first: int, last: int) -> Segments:
        """The wires of tiles ``first`` to ``last - 1``."""

        def part(x: Tensor) -> Tensor:
            return x if x.shape[0] == 1 else x[first:last]

        return Segments(
            *(part(x) for x in (self.wordline, self.bitline, self.source, self.sense)),
            far_source=None if self.far_source is None else part(self.far_source),
            far_sense=None if self.far_sense is None else part(self.far_sense),
        )

    def mirrored(self) -> Segments:
        """The wires of the same array with drivers and sense inputs exchanged.

        Rows become columns and both axes turn around, so that the mirrored array keeps the convention (driven from
        the left, read at the bottom). By reciprocity its transfer matrix is the original one, transposed and turned
        likewise.
        """
        return Segments(
            wordline=self.bitline.mT.flip(-1, -2),
            bitline=self.wordline.mT.flip(-1, -2),
            source=self.sense.flip(-1),
            sense=self.source.flip(-1),
            far_source=None if self.far_sense is None else self.far_sense.flip(-1),
            far_sense=None if self.far_source is None else self.far_source.flip(-1),
        )

    def each(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        return self.wordline, self.bitline, self.source, self.sense, self.far_source, self.far_sense


def segments(wires: Wires, shape: tuple[int, ...], device: torch.device) -> Segments:
    """Lay ``wires`` out for conductances of ``shape`` ``(..., rows, columns)``, tile dimensions flattened.

    Raises
    ------
    InputError : a tensor of resistances does not broadcast to the array.
    """
    *lead, rows, columns = shape

    def fit(name: str, *cells: int) -> Tensor:
        return laid_out(wires, name, tuple(lead), cells, device)

    return Segments(
        wordline=fit("r_wl_ohm", rows, columns),
        bitline=fit("r_bl_ohm", rows, columns),
        source=fit("r_source_ohm", rows),
        sense=fit("r_sense_ohm", columns),
    )


def laid_out(wires: Wires, name: str, lead: tuple[int, ...], cells: tuple[int, ...], device: torch.device) -> Tensor:
    """One resistance of ``wires`` in fp64, ``(tiles | 1, ...)`` with each of ``cells`` either whole or 1.

    Raises
    ------
    InputError : its tensor does not broadcast to ``(*lead, *cells)``.
    """
    value = torch.as_tensor(getattr(wires, name), dtype=torch.float64, device=device)
    goal = (*lead, *cells)
    aligned = value.reshape((1,) * (len(goal) - value.ndim) + value.shape) if value.ndim <= len(goal) else value
    if aligned.ndim != len(goal) or any(a not in (1, b) for a, b in zip(aligned.shape, goal, strict=True)):
        raise InputError(
            "this wire resistance does not fit the array",
            where=name,
            got=f"shape {tuple(value.shape)}",
            expected=f"a number, or a shape that broadcasts to {goal}",
            fix="give one number for all segments, or one value per segment",
        )
    tail = aligned.shape[len(lead) :]
    if all(size == 1 for size in aligned.shape[: len(lead)]):
        return aligned.reshape(1, *tail)
    return aligned.expand(*lead, *tail).reshape(-1, *tail)


def resistances(wires: Wires, rows: int, columns: int) -> tuple[Floats, ...]:
    """``(r_wl, r_bl, r_source, r_sense)`` written out for one array, in ohm.

    Raises
    ------
    InputError : a value does not fit one array of this size, or there is a source line.
    """
    plan = {
        "r_wl_ohm": (rows, columns),
        "r_bl_ohm": (rows, columns),
        "r_source_ohm": (rows,),
        "r_sense_ohm": (columns,),
    }
    if np.any(_numbers(wires.r_sl_ohm)):
        raise InputError("a passive array has no source line", where="r_sl_ohm", got=wires.r_sl_ohm, expected="0")
    return tuple(written_out(wires, name, shape) for name, shape in plan.items())


def written_out(wires: Wires, name: str, shape: tuple[int, ...]) -> Floats:
    """One resistance of ``wires`` for one array, every value written out to ``shape``, in ohm.

    Raises
    ------
    InputError : its value does not broadcast to ``shape``.
    """
    value = _numbers(getattr(wires, name))
    try:
        return np.broadcast_to(value, shape)
    except ValueError as problem:
        raise InputError(
            "this wire resistance does not fit the array",
            where=name,
            got=f"shape {value.shape}",
            expected=f"a number, or a shape that broadcasts to {shape}",
        ) from problem


def _checked(name: str, value: object) -> Resistance:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.array(value, dtype=np.float64))
    if isinstance(value, Tensor):
        worst = float(_worst(value.detach()))
    elif isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise InputError(
            "a wire resistance must be a number or a tensor",
            where=name,
            got=value,
            expected="ohm, as a float or a tensor",
            fix="convert units with truejoule.units before building Wires",
        )
    else:
        value = worst = float(value)
    if not 0.0 <= worst < float("inf"):
        raise InputError(
            _complaint(worst),
            where=name,
            got=worst,
            expected="0 (a perfect conductor) or a positive, finite resistance in ohm",
            fix="for a broken wire, set the conductances of the cells behind the break to 0"
            if worst == float("inf")
            else "check the sign and the unit of this resistance",
        )
    return value


def _worst(value: Tensor) -> Tensor:
    """The entry that offends most: NaN, then infinity, then the most negative one."""
    if value.numel() == 0:
        return torch.zeros(())
    low, high = torch.aminmax(value)
    return torch.where(torch.isfinite(high), low, high)


def _complaint(worst: float) -> str:
    if worst != worst:
        return "a wire resistance is not a number"
    if worst < 0:
        return "a wire resistance is negative"
    return "a wire resistance is infinite: the solvers need every cell to be connected"


def _numbers(value: object) -> Floats:
    detach = getattr(value, "detach", None)
    return np.asarray(detach().cpu() if detach else value, dtype=np.float64)
