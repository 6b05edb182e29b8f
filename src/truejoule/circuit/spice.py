"""Arrays for ngspice: an independent simulator as oracle, and a netlist to take elsewhere.

Each virtual ground is a zero-volt source, which doubles as an ammeter; perfect wires are zero-volt sources too, so
that node names stay those of the array: word line ``u<row>_<column>``, bit line ``v<row>_<column>``. Open cells are
left out. In gated arrays ``v<row>_<column>`` is the bit line and ``s<row>_<column>`` the source line. ngspice's time grows about with the size to the power 4.5: 32x32 0.2 s, 64x64 4 s.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truejoule.circuit.cells import Cell, Ohmic, spice_cards
from truejoule.circuit.topology import (
    GATED_SAME_END,
    PASSIVE,
    Topology,
    require_gated,
    require_no_source_line,
    require_pairs,
    require_passive,
    word_line_voltages,
)
from truejoule.circuit.wires import Wires, resistances, written_out
from truejoule.errors import InputError

_OPTIONS = ".options reltol=1e-12 abstol=1e-20 vntol=1e-16 gmin=1e-30"
"""Tight enough for 12 correct digits."""
_LAW_OPTIONS = ".options reltol=1e-10 abstol=1e-16 vntol=1e-13 gmin=1e-30 itl1=1000"
"""For passive arrays of non-linear cells: steep laws never meet the tighter ones."""


def available() -> bool:
    """Whether ngspice is installed."""
    return shutil.which("ngspice") is not None


def netlist(
    g_siemens: ArrayLike, wires: Wires, v: ArrayLike, cell: Cell | None = None, topology: Topology = PASSIVE
) -> str:
    """A complete ngspice deck: operating point of one array ``(rows, columns)`` under inputs ``v (rows,)``.

    ``cell``: the law of its cells, ohmic without one; others become behavioural sources. ``topology``: any passive one,
    also with a ``cell``. The second end of a line that is perfect from end to end is left out: it would change nothing,
    and close a loop of zero-volt sources.

    Run it with ``ngspice -b``; it prints the column currents as ``i(vo0)``, ``i(vo1)``, ... in A.

    Raises
    ------
    InputError : shapes do not fit, a value is negative or not finite, there is a source line, or the topology is a
        gated one.
    """
    require_passive(topology, "the netlist writer of passive arrays")
    cells = np.asarray(g_siemens, dtype=np.float64)
    require_pairs(len(cells) if cells.ndim else 0, topology)
    volts = word_line_voltages(np.asarray(v, dtype=np.float64), topology)
    if cells.ndim != 2 or volts.shape != cells.shape[:1]:
        raise InputError(
            "a netlist holds one array and one input vector",
            where="g_siemens, v",
            got=f"shapes {cells.shape} and {volts.shape}",
            expected="(rows, columns) and (rows,)",
        )
    if not (np.isfinite(cells).all() and (cells >= 0).all() and np.isfinite(volts).all()):
        raise InputError("conductances must be finite and not negative, voltages finite", where="g_siemens, v")
    rows, columns = cells.shape
    r_wl, r_bl, r_source, r_sense = resistances(wires, rows, columns)
    lines = [f"* passive array, {rows} x {columns}, written by truejoule"]
    for i in range(rows):
        lines.append(f"VI{i} in{i} 0 {volts[i]:.17g}")
        lines.append(_wire(f"S{i}", f"in{i}", f"d{i}", r_source[i]))
        for j in range(columns):
            lines.append(_wire(f"W{i}_{j}", f"u{i}_{j - 1}" if j else f"d{i}", f"u{i}_{j}", r_wl[i, j]))
            lines += spice_cards(cell or Ohmic(), f"{i}_{j}", float(cells[i, j]), f"u{i}_{j}", f"v{i}_{j}")
        if topology.driven_ends == "both" and r_wl[i].any() | (r_source[i] > 0):
            lines.append(_wire(f"SF{i}", f"in{i}", f"df{i}", r_source[i]))
            lines.append(_wire(f"WF{i}", f"df{i}", f"u{i}_{columns - 1}", r_wl[i, 0]))
    for j in range(columns):
        for i in range(rows):
            lines.append(_wire(f"B{i}_{j}", f"v{i}_{j}", f"v{i + 1}_{j}" if i + 1 < rows else f"e{j}", r_bl[i, j]))
        lines.append(_wire(f"K{j}", f"e{j}", f"k{j}", r_sense[j]))
        if topology.sensed_ends == "both" and r_bl[:, j].any() | (r_sense[j] > 0):
            lines.append(_wire(f"BF{j}", f"v0_{j}", f"ef{j}", r_bl[-1, j]))
            lines.append(_wire(f"KF{j}", f"ef{j}", f"k{j}", r_sense[j]))
        lines.append(f"VO{j} k{j} 0 0")
    return _deck(lines, columns, _OPTIONS if cell is None else _LAW_OPTIONS)


def gated_netlist(
    g_siemens: ArrayLike,
    wires: Wires,
    bits: ArrayLike,
    v_read: float,
    topology: Topology = GATED_SAME_END,
    g_off_siemens: ArrayLike = 0.0,
    cell: Cell | None = None,
) -> str:
    """A complete ngspice deck: operating point of one gated array ``(rows, columns)`` under ``bits (rows,)``.

    Gates are not transistors here: a cell is what it conducts with its gate on (``g_siemens``, through the law ``cell``
    if given) or off (``g_off_siemens``, ohmic). Node 0 is the supply of the source lines, ``vread`` holds the sense
    inputs ``v_read`` above it. Prints currents as `netlist` does.

    Raises
    ------
    InputError : shapes do not fit, a value is negative or not finite, or the topology is not a gated one.
    """
    require_gated(topology, "the netlist writer")
    cells, on = np.asarray(g_siemens, dtype=np.float64), np.asarray(bits)
    if cells.ndim != 2 or on.shape != cells.shape[:1]:
        raise InputError(
            "a netlist holds one array and one input vector",
            where="g_siemens, bits",
            got=f"shapes {cells.shape} and {on.shape}",
            expected="(rows, columns) and (rows,)",
        )
    off = np.broadcast_to(np.asarray(g_off_siemens, dtype=np.float64), cells.shape)
    if not all(np.isfinite(x).all() and (x >= 0).all() for x in (cells, off)):
        raise InputError("conductances must be finite and not negative", where="g_siemens, g_off_siemens")
    rows, columns = cells.shape
    r_bl, r_sl = (written_out(wires, name, (rows, columns)) for name in ("r_bl_ohm", "r_sl_ohm"))
    r_source, r_sense = (written_out(wires, name, (columns,)) for name in ("r_source_ohm", "r_sense_ohm"))
    if topology.supply == "ideal":
        require_no_source_line(wires)
    top, bottom = topology.supply == "opposite_end", topology.supply == "same_end"
    lines = [f"* gated array, {topology.supply} supply, {rows} x {columns}, written by truejoule"]
    lines.append(f"VREAD vread 0 {v_read:.17g}")
    for j in range(columns):
        lines += [f"VO{j} vread k{j} 0", _wire(f"K{j}", f"k{j}", f"e{j}", r_sense[j])]
        if topology.supply != "ideal":
            lines.append(_wire(f"S{j}", "0", f"d{j}", r_source[j]))
        for i in range(rows):
            bit, line = f"v{i}_{j}", "0" if topology.supply == "ideal" else f"s{i}_{j}"
            lines.append(_wire(f"B{i}_{j}", bit, f"v{i + 1}_{j}" if i + 1 < rows else f"e{j}", r_bl[i, j]))
            if bottom:
                lines.append(_wire(f"L{i}_{j}", line, f"s{i + 1}_{j}" if i + 1 < rows else f"d{j}", r_sl[i, j]))
            if top:
                lines.append(_wire(f"L{i}_{j}", line, f"s{i - 1}_{j}" if i else f"d{j}", r_sl[i, j]))
            law, state = (cell or Ohmic(), cells[i, j]) if on[i] else (Ohmic(), off[i, j])
            lines += spice_cards(law, f"{i}_{j}", float(state), bit, line)
    return _deck(lines, columns)


def run_ngspice(text: str, timeout_s: float = 300.0) -> str:
    """What ``ngspice -b`` prints for a deck.

    Raises
    ------
    InputError : ngspice is not installed, does not finish in time, or rejects the deck.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise InputError(
            "ngspice is not installed",
            where="PATH",
            fix="install the system package ngspice (apt install ngspice), or use truejoule.circuit.reference instead",
        )
    with tempfile.TemporaryDirectory() as folder:
        deck = Path(folder) / "deck.cir"
        deck.write_text(text)
        try:
            done = subprocess.run(
                [program, "-b", str(deck)], capture_output=True, text=True, timeout=timeout_s, cwd=folder, check=False
            )
        except subprocess.TimeoutExpired as late:
            raise InputError(
                "ngspice did not finish", where="deck", got=f"{timeout_s:g} s", fix="use an array of at most 48x48"
            ) from late
    if done.returncode != 0:
        raise InputError("ngspice failed", where="deck", got=(done.stdout + done.stderr)[-500:])
    return done.stdout


def ngspice_currents(
    g_siemens: ArrayLike, wires: Wires, v: ArrayLike, cell: Cell | None = None, topology: Topology = PASSIVE
) -> NDArray[np.float64]:
    """Column currents ``(columns,)`` in A as ngspice computes them, good to about 12 digits.

    Raises
    ------
    InputError : as `netlist` and `run_ngspice`, or ngspice did not print every current.
    """
    return _read(netlist(g_siemens, wires, v, cell, topology), np.shape(g_siemens)[-1])


def gated_ngspice_currents(
    g_siemens: ArrayLike,
    wires: Wires,
    bits: ArrayLike,
    v_read: float,
    topology: Topology = GATED_SAME_END,
    g_off_siemens: ArrayLike = 0.0,
    cell: Cell | None = None,
) -> NDArray[np.float64]:
    """Column currents ``(columns,)`` in A of a gated array as ngspice computes them; see `gated_netlist`.

    Raises
    ------
    InputError : as `gated_netlist` and `run_ngspice`, or ngspice did not print every current.
    """
    text = gated_netlist(g_siemens, wires, bits, v_read, topology, g_off_siemens, cell)
    return _read(text, np.shape(g_siemens)[-1])


def _deck(lines: list[str], columns: int, options: str = _OPTIONS) -> str:
    """The netlist with what makes ngspice solve it and print ``columns`` currents."""
    end = [options, ".control", "set numdgt=15", "op"]
    end += ["print " + " ".join(f"i(vo{j})" for j in range(k, min(k + 8, columns))) for k in range(0, columns, 8)]
    return "\n".join([*lines, *end, "quit", ".endc", ".end", ""])


def _read(text: str, columns: int) -> NDArray[np.float64]:
    printed = run_ngspice(text)
    found = {int(k): float(x) for k, x in re.findall(r"i\(vo(\d+)\)\s*=\s*([-+0-9.eE]+)", printed)}
    if len(found) != columns:
        raise InputError(
            "ngspice did not print every current",
            where="deck",
            got=printed[-500:],
            expected=f"{columns} currents",
            fix="run the netlist by hand with ngspice -b to see its complaint",
        )
    return np.array([found[j] for j in range(columns)])


def _wire(name: str, a: str, b: str, ohm: float) -> str:
    return f"R{name} {a} {b} {ohm:.17g}" if ohm > 0 else f"V{name} {a} {b} 0"
