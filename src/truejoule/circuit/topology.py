"""What array it is, as data: which lines carry current, where they are fed and where they are sensed.

A *passive* array feeds every row and senses every column; idle rows conduct too. In a *gated* array (8T-SRAM read port,
1T-1R with the word line as input) an input of 1 opens the gates of its row, and each column is a circuit of its own:

    supply of the source line ── r_source ── source line ──┬─────┬─────┬──
                                                          cell  cell  cell      one per row, gated
                  sense input ── r_sense ──── bit line  ───┴─────┴─────┴──

The sense input holds the end of the bit line ``v_read`` above the supply of the source line. Only this difference
matters, so that it is the same array with the sense input at a virtual ground and the supply at ``-v_read``. Cells see
``v = V_bl - V_sl``; positive currents flow out of the sense input into the bit line. The bit line is sensed at the
bottom, after the last row, through its last segment and ``r_sense_ohm``; its top end is open. Gates draw no direct
current: ``r_wl_ohm`` sets when a gated array settles, not where.

    =====================  =============================================================================================
    `GATED_IDEAL`          every cell has the supply itself (a mesh, a plane): ``r_sl_ohm`` and ``r_source_ohm`` are 0
    `GATED_SAME_END`       the source line is fed at the bottom, through ``r_source_ohm`` and its segment ``rows - 1``;
                           segment ``i`` lies after row ``i``, beside that of the bit line, and carries the same current
    `GATED_OPPOSITE_END`   the source line is fed at the top, through ``r_source_ohm`` and its segment 0; segment ``i``
                           lies before row ``i``. Every path through the column is about equally long
    =====================  =============================================================================================

**Both ends** (passive, ohmic). With ``driven_ends="both"`` the right end of every word line is connected to the same
voltage source as the left one, through one word-line segment after the last cell and a driver; with
``sensed_ends="both"`` the top end of every bit line to virtual ground, through one segment before the first row and a
sense input, and the current of a column is the sum over both ends. The second end is built like the first: its segment
resists what the segment at the first end does (``r_wl_ohm[..., 0]``, ``r_bl_ohm[..., rows - 1, :]``), its driver or
sense input ``r_source_ohm`` or ``r_sense_ohm`` of that line.

**Interleaved pairs** (passive). Rows ``2i`` and ``2i + 1`` hold the positive and the negative cells of a differential
weight (`interleave`) and are driven to ``+v_i`` and ``-v_i``, so that a bit line carries the difference. The array has ``2 · rows`` word lines, each with wires of its own, and `Wires` describe all of them;
where the two cells of a pair share one contact to the bit line, the bit-line segments after even rows are 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from truejoule.circuit.wires import Floats, Segments, Wires, laid_out
from truejoule.errors import InputError

Supply = Literal["rows", "ideal", "same_end", "opposite_end"]
Ends = Literal["one", "both"]


@dataclass(frozen=True)
class Topology:
    """Which lines carry current and where.

    Not every solver takes every topology: two driven or two sensed ends and interleaved pairs can be described here,
    and are refused by name where a solver cannot compute them. The functions of `truejoule.circuit.passive` compute
    them all for ohmic cells; netlists hold them for any cell.

    Raises
    ------
    InputError : the parts contradict each other, e.g. a gated array fed through its rows.
    """

    access: Literal["passive", "gated"]
    supply: Supply
    """Where current enters: through the ``rows`` of a passive array, or into the source lines of a gated one."""
    driven_ends: Ends = "one"
    """Ends at which the supplied lines are fed; see the module for what the second end is made of."""
    sensed_ends: Ends = "one"
    """Ends at which the bit lines are read."""
    interleaved: bool = False
    """Positive and negative cells of a differential weight share one bit line, which carries their difference: rows
    ``2i`` and ``2i + 1``, driven to ``+v_i`` and ``-v_i``."""

    def __post_init__(self) -> None:
        options = {"passive": ("rows",), "gated": ("ideal", "same_end", "opposite_end")}
        if self.access not in options:
            raise InputError("unknown kind of array", where="access", got=self.access, expected="passive or gated")
        if self.supply not in options[self.access]:
            raise InputError(
                f"a {self.access} array cannot be supplied like this",
                where="supply",
                got=self.supply,
                expected=" or ".join(options[self.access]),
            )
        for name in ("driven_ends", "sensed_ends"):
            if getattr(self, name) not in ("one", "both"):
                raise InputError("unknown ends", where=name, got=getattr(self, name), expected="one or both")


PASSIVE = Topology("passive", "rows")
PASSIVE_BOTH_ENDS = Topology("passive", "rows", driven_ends="both", sensed_ends="both")
PASSIVE_INTERLEAVED = Topology("passive", "rows", interleaved=True)
GATED_IDEAL = Topology("gated", "ideal")
GATED_SAME_END = Topology("gated", "same_end")
GATED_OPPOSITE_END = Topology("gated", "opposite_end")


@dataclass(frozen=True)
class Rails:
    """The two lines of every column of a gated array, in ohm, fp64, each ``(tiles | 1, rows, columns | 1)``."""

    after: Tensor
    """Resistance after row ``i`` that carries the bit-line current: the bit line, with ``r_sense_ohm`` at the last row;
    with the source line too, and its driver, where it is fed at the same end."""
    before: Tensor | None
    """Source-line resistance before row ``i``, with its driver at row 0, where it is fed at the opposite end."""

    def tiles(self, first: int, last: int) -> Rails:
        """The lines of tiles ``first`` to ``last - 1``."""

        def part(x: Tensor) -> Tensor:
            return x if x.shape[0] == 1 else x[first:last]

        return Rails(part(self.after), None if self.before is None else part(self.before))

    @property
    def tracked(self) -> bool:
        """Whether gradients of a resistance are wanted."""
        return self.after.requires_grad or (self.before is not None and self.before.requires_grad)


def rails(wires: Wires, topology: Topology, shape: tuple[int, ...], device: torch.device, solver: str) -> Rails:
    """The lines of a gated array whose conductances have ``shape`` ``(..., rows, columns)``, tile dimensions flattened.

    Raises
    ------
    InputError : ``solver`` cannot compute this topology, it contradicts the wires, or a tensor does not fit.
    """
    require_gated(topology, solver)
    *lead, rows, columns = shape

    def fit(name: str, *cells: int) -> Tensor:
        return laid_out(wires, name, tuple(lead), cells, device)

    bit, sense = fit("r_bl_ohm", rows, columns), fit("r_sense_ohm", columns)
    line, driver = fit("r_sl_ohm", rows, columns), fit("r_source_ohm", columns)
    if topology.supply == "ideal":
        require_no_source_line(wires)
        return Rails(_at_row(bit, -1, sense, rows), None)
    if topology.supply == "same_end":
        return Rails(_at_row(bit + line, -1, sense + driver, rows), None)
    return Rails(_at_row(bit, -1, sense, rows), _at_row(line, 0, driver, rows))


def require_gated(topology: Topology, solver: str) -> None:
    """Raise InputError unless ``topology`` is gated, with one fed and one sensed end and no interleaved pairs."""
    missing = {
        "a passive array": topology.access == "passive",
        "lines driven at both ends": topology.driven_ends == "both",
        "bit lines sensed at both ends": topology.sensed_ends == "both",
        "interleaved differential pairs": topology.interleaved,
    }
    for what, wanted in missing.items():
        if wanted:
            raise InputError(
                f"{solver} cannot compute {what}",
                where="topology",
                got=topology,
                expected="GATED_IDEAL, GATED_SAME_END or GATED_OPPOSITE_END",
                fix="transfer_matrix computes passive arrays, also from both ends and interleaved; solve_nonlinear those "
                "of non-linear cells, from one end"
                if topology.access == "passive"
                else "use one of these, or start from truejoule.circuit.spice.gated_netlist and add what is missing",
            )


def require_one_ended(topology: Topology, solver: str) -> None:
    """Raise InputError unless ``topology`` is passive, driven and sensed at one end, without interleaved pairs."""
    require_passive(topology, solver)
    if topology != PASSIVE:
        raise InputError(
            f"{solver} computes arrays that are driven and sensed at one end, without interleaved pairs",
            where="topology",
            got=topology,
            expected="PASSIVE",
            fix="for ohmic cells use transfer_matrix or solve with this topology; pairs can also be given as the rows that "
            "they are, driven to +v and -v",
        )


def require_passive(topology: Topology, solver: str) -> None:
    """Raise InputError unless ``topology`` is passive."""
    if topology.access != "passive":
        raise InputError(
            f"{solver} cannot compute a gated array",
            where="topology",
            got=topology,
            expected="PASSIVE, or a passive Topology with both ends or interleaved pairs",
            fix="use GatedColumns, or GatedNonlinearColumns for non-linear cells",
        )


def with_far_ends(wires: Segments, topology: Topology) -> Segments:
    """The wires of a passive array with the second ends that ``topology`` uses."""
    if topology.driven_ends == "both":
        wires = replace(wires, far_source=wires.wordline[..., 0] + wires.source)
    if topology.sensed_ends == "both":
        wires = replace(wires, far_sense=wires.bitline[..., -1, :] + wires.sense)
    return wires


def interleave(g_plus: Tensor | np.ndarray, g_minus: Tensor | np.ndarray) -> Tensor:
    """``(..., 2 · rows, columns)`` from the positive and the negative cells ``(..., rows, columns)`` of every weight.

    Raises
    ------
    InputError : their shapes differ, or they are not arrays.
    """
    plus, minus = torch.as_tensor(g_plus), torch.as_tensor(g_minus)
    if plus.shape != minus.shape or plus.ndim < 2:
        raise InputError(
            "every weight needs a positive and a negative cell",
            where="g_plus, g_minus",
            got=f"shapes {tuple(plus.shape)} and {tuple(minus.shape)}",
            expected="twice the same (..., rows, columns)",
            fix="use 0 S where a weight has only one cell",
        )
    return torch.stack([plus, minus], -2).flatten(-3, -2)


def require_pairs(rows: int, topology: Topology) -> None:
    """Raise InputError where interleaved pairs do not come out even."""
    if topology.interleaved and rows % 2:
        raise InputError(
            "interleaved pairs need an even number of rows",
            where="g_siemens",
            got=f"{rows} rows",
            expected="positive cells in rows 0, 2, ..., negative ones in rows 1, 3, ...",
            fix="build the array with truejoule.circuit.topology.interleave(g_plus, g_minus)",
        )


def word_line_voltages(v: Floats, topology: Topology) -> Floats:
    """Voltage at every driver, ``(..., word lines)``, for inputs ``v (..., rows)``."""
    return np.stack([v, -v], -1).reshape(*v.shape[:-1], -1) if topology.interleaved else v


def require_no_source_line(wires: Wires) -> None:
    """Raise InputError where ``wires`` have a source line or its driver, which an ideal supply has not."""
    for name in ("r_sl_ohm", "r_source_ohm"):
        if bool(torch.as_tensor(getattr(wires, name)).detach().any()):
            raise InputError(
                "an ideal supply has no resistance",
                where=name,
                got=getattr(wires, name),
                expected="0 with GATED_IDEAL",
                fix="use GATED_SAME_END or GATED_OPPOSITE_END for a source line with resistance",
            )


def _at_row(line: Tensor, row: int, end: Tensor, rows: int) -> Tensor:
    """``line`` for every row, with ``end (tiles | 1, columns | 1)`` in series at one of them."""
    tiles, columns = max(line.shape[0], end.shape[0]), max(line.shape[-1], end.shape[-1])
    there = torch.zeros(rows, 1, dtype=line.dtype, device=line.device)
    there[row] = 1.0
    return (line + there * end.unsqueeze(-2)).expand(tiles, rows, columns)
