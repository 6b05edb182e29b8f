"""Reference solver: sparse nodal analysis of one passive or gated array with SuperLU.

Slow, plain and independent of the fast solvers, for tests and for reading off any node. Zero-ohm segments merge their
two nodes, open cells leave no branch. Unlike the fast solvers it works with ``1 / r`` and loses the digits that wires
conduct better than cells: errors grow to about 1e-16 · (1/r) / g.

The merged nodes obey Kirchhoff's current law ``L x = 0`` with the weighted Laplacian ``L``; drivers and virtual
grounds have known voltages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from truejoule.circuit.cells import Cell, Ohmic
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

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Nodal:
    """The assembled network of one array; node numbers are those after merging."""

    factor: spl.SuperLU
    """Of the Laplacian of the free nodes."""
    to_free: sp.csc_matrix
    """Laplacian between free nodes and terminals; terminals are the drivers, then the virtual grounds."""
    to_fixed: sp.csc_matrix
    """Laplacian among terminals."""
    word: NDArray[np.intp]
    """Class of the word-line node of each cell, ``(rows, columns)``."""
    bit: NDArray[np.intp]
    """Class of the bit-line node of each cell, ``(rows, columns)``."""
    place: NDArray[np.intp]
    """Position of each class in the list of free nodes followed by the terminals."""


def node_voltages(g: ArrayLike, wires: Wires, v: ArrayLike, topology: Topology = PASSIVE) -> tuple[Floats, Floats]:
    """Word-line and bit-line voltages ``(word lines, columns, N)`` for inputs ``v (N, rows)`` or ``(rows,)``, in V."""
    net = assemble(g, wires, topology)
    volts = word_line_voltages(np.atleast_2d(np.asarray(v, dtype=np.float64)), topology).T
    known = np.concatenate([volts, np.zeros((net.bit.shape[1], volts.shape[1]))])
    free = -net.factor.solve(np.asarray(net.to_free @ known))
    everywhere = np.concatenate([free, known])
    return everywhere[net.place[net.word]], everywhere[net.place[net.bit]]


def currents(g: ArrayLike, wires: Wires, v: ArrayLike, topology: Topology = PASSIVE) -> Floats:
    """Currents into the virtual grounds, ``(N, columns)`` in A, for inputs ``v (N, rows)`` or ``(rows,)``; direct
    solves."""
    net = assemble(g, wires, topology)
    rows, columns = net.word.shape
    volts = word_line_voltages(np.atleast_2d(np.asarray(v, dtype=np.float64)), topology).T
    known = np.concatenate([volts, np.zeros((columns, volts.shape[1]))])
    free = -net.factor.solve(np.asarray(net.to_free @ known))
    return -np.asarray(net.to_free.T @ free + net.to_fixed @ known)[rows:].T


def transfer_matrix(g: ArrayLike, wires: Wires, topology: Topology = PASSIVE) -> Floats:
    """``A (rows, columns)`` in S from one adjoint solve per column: excite a virtual ground, read the drivers."""
    net = assemble(g, wires, topology)
    rows, columns = net.word.shape
    ground = np.concatenate([np.zeros((rows, columns)), np.eye(columns)])
    free = -net.factor.solve(np.asarray(net.to_free @ ground))
    matrix = -np.asarray(net.to_free.T @ free + net.to_fixed @ ground)[:rows]
    return matrix[0::2] - matrix[1::2] if topology.interleaved else matrix


def input_admittance(g: ArrayLike, wires: Wires, topology: Topology = PASSIVE) -> Floats:
    """``Y_in (rows, rows)`` in S from one solve per row: excite a driver, read all drivers."""
    net = assemble(g, wires, topology)
    lines, columns = net.word.shape
    signs = word_line_voltages(np.eye(lines // 2 if topology.interleaved else lines), topology)
    known = np.concatenate([signs.T, np.zeros((columns, len(signs)))])
    free = -net.factor.solve(np.asarray(net.to_free @ known))
    return signs @ np.asarray(net.to_free.T @ free + net.to_fixed @ known)[:lines]


def assemble(g: ArrayLike, wires: Wires, topology: Topology = PASSIVE) -> Nodal:
    """Number the nodes, merge those that a perfect conductor joins, factorise.

    Raises
    ------
    InputError : ``g`` is not one array ``(rows, columns)``, a wire value does not fit it, the topology is a gated one or
        has pairs of an odd number of rows.
    """
    require_passive(topology, "this reference solver")
    cells = np.asarray(g, dtype=np.float64)
    if cells.ndim != 2:
        raise InputError(
            "the reference solver takes one array at a time",
            where="g",
            got=f"shape {cells.shape}",
            expected="(rows, columns)",
        )
    rows, columns = cells.shape
    require_pairs(rows, topology)
    r_wl, r_bl, r_source, r_sense = resistances(wires, rows, columns)
    r_first = np.concatenate([(r_wl[:, :1] + r_source[:, None]), r_wl[:, 1:]], 1)
    r_last = np.concatenate([r_bl[:-1], r_bl[-1:] + r_sense], 0)

    count = rows * columns
    word = np.arange(count).reshape(rows, columns)
    bit = word + count
    driver = 2 * count + np.arange(rows)
    ground = driver[-1] + 1 + np.arange(columns)
    parts = [
        (np.concatenate([driver[:, None], word[:, :-1]], 1).ravel(), word.ravel(), r_first.ravel()),
        (bit.ravel(), np.concatenate([bit[1:], ground[None]], 0).ravel(), r_last.ravel()),
    ]
    if topology.driven_ends == "both":
        parts.append((driver, word[:, -1], r_wl[:, 0] + r_source))
    if topology.sensed_ends == "both":
        parts.append((ground, bit[0], r_bl[-1] + r_sense))
    ends_a, ends_b, ohm = (np.concatenate(x) for x in zip(*parts, strict=True))

    nodes = 2 * count + rows + columns
    closed = cells.ravel() > 0
    classes, label, wired = _wired(ends_a, ends_b, ohm, nodes)
    ends = label[word.ravel()[closed]], label[bit.ravel()[closed]]
    laplacian = wired + _laplacian(*ends, cells.ravel()[closed], classes)

    fixed = label[np.concatenate([driver, ground])]
    is_free = np.ones(classes, dtype=bool)
    is_free[fixed] = False
    free = np.flatnonzero(is_free)
    place = np.empty(classes, dtype=np.intp)
    place[free] = np.arange(free.size)
    place[fixed] = free.size + np.arange(fixed.size)
    return Nodal(
        factor=_factor(laplacian[free][:, free]),
        to_free=laplacian[free][:, fixed],
        to_fixed=laplacian[fixed][:, fixed],
        word=label[word],
        bit=label[bit],
        place=place,
    )


def gated_currents(
    g: ArrayLike,
    wires: Wires,
    bits: ArrayLike,
    v_read: float,
    topology: Topology = GATED_SAME_END,
    g_off: ArrayLike = 0.0,
    cell: Cell | None = None,
) -> Floats:
    """Column currents ``(N, columns)`` in A of one gated array for ``bits (N, rows)`` or ``(rows,)``.

    Nodal analysis of both lines of every column, one input at a time; with a ``cell`` law (of which ``g`` is the state)
    by Newton's method on all node voltages. ``g_off`` is ohmic. Currents are summed over cells, so that they keep more
    digits than the node voltages do.

    Raises
    ------
    InputError : the topology is not one of the gated ones, or a shape does not fit.
    """
    cells = np.asarray(g, dtype=np.float64)
    on = np.atleast_2d(np.asarray(bits)).astype(bool)
    leak = np.broadcast_to(np.asarray(g_off, dtype=np.float64), cells.shape)
    net = assemble_gated(cells.shape, wires, topology, v_read)
    law = Ohmic() if cell is None else cell
    return np.stack([_newton(net, law, np.where(x[:, None], cells, 0.0), np.where(x[:, None], 0.0, leak)) for x in on])


@dataclass(frozen=True)
class GatedNodal:
    """The lines of one gated array, cells left out; numbers of merged nodes."""

    wired: sp.csc_matrix
    """Laplacian of the wires."""
    bit: NDArray[np.intp]
    """Bit-line node of each cell, ``(rows, columns)``."""
    line: NDArray[np.intp]
    """Source-line node of each cell, ``(rows, columns)``."""
    free: NDArray[np.intp]
    """Nodes of unknown voltage."""
    volts: Floats
    """Start: the known voltages at sense inputs and supply, 0 elsewhere."""


def assemble_gated(shape: tuple[int, ...], wires: Wires, topology: Topology, v_read: float) -> GatedNodal:
    """Number the nodes of both lines of every column and merge those that a perfect conductor joins.

    Raises
    ------
    InputError : as `gated_currents`.
    """
    bit, line, sense, supply, parts = gated_branches(shape, wires, topology)
    ends_a, ends_b, ohm = (np.concatenate(x) for x in zip(*parts, strict=True))
    classes, label, wired = _wired(ends_a, ends_b, ohm, supply + 1)
    volts = np.zeros(classes)
    volts[label[sense]] = v_read
    free = np.setdiff1d(label[np.stack([bit, line])], label[np.append(sense, supply)])
    return GatedNodal(wired, label[bit], label[line], free, volts)


def gated_branches(
    shape: tuple[int, ...], wires: Wires, topology: Topology
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], int, list[tuple[NDArray, NDArray, NDArray]]]:
    """Nodes ``bit``, ``line`` ``(rows, columns)``, ``sense (columns,)``, ``supply`` (the last one), and the branches of
    all lines as ``(from, to, ohm)``, beginning at the sense inputs and at the supply."""
    require_gated(topology, "the reference solver")
    rows, columns = shape
    count = rows * columns
    bit = np.arange(count).reshape(rows, columns)
    line = bit + count
    sense = 2 * count + np.arange(columns)
    supply = 2 * count + columns
    r_bl, r_sl = (written_out(wires, name, (rows, columns)) for name in ("r_bl_ohm", "r_sl_ohm"))
    r_source, r_sense = (written_out(wires, name, (columns,)) for name in ("r_source_ohm", "r_sense_ohm"))
    feed = np.full(columns, supply)
    from_sense = np.concatenate([sense[None], bit[:0:-1]])
    ohm = r_bl[::-1].copy()
    ohm[0] += r_sense
    parts: list[tuple[NDArray, NDArray, NDArray]] = [(from_sense.ravel(), bit[::-1].ravel(), ohm.ravel())]
    if topology.supply == "ideal":
        require_no_source_line(wires)
        return bit, np.full_like(line, supply), sense, supply, parts
    order = slice(None, None, -1 if topology.supply == "same_end" else 1)
    ohm = r_sl[order].copy()
    ohm[0] += r_source
    parts.append((np.concatenate([feed[None], line[order][:-1]]).ravel(), line[order].ravel(), ohm.ravel()))
    return bit, line, sense, supply, parts


def _newton(net: GatedNodal, law: Cell, g: Floats, leak: Floats) -> Floats:
    """Currents ``(columns,)``; damped by halving until the mismatch of the node currents falls."""
    state = torch.from_numpy(g)

    def cells_at(volts: Floats) -> tuple[Floats, Floats, Floats]:
        v = volts[net.bit] - volts[net.line]
        across = torch.from_numpy(v)
        i, d = law.current(across, state).numpy() + leak * v, law.conductance(across, state).numpy() + leak
        flow = np.zeros_like(volts)
        np.add.at(flow, net.bit, i)
        np.add.at(flow, net.line, -i)
        return i, d, (net.wired @ volts + flow)[net.free]

    volts = net.volts.copy()
    i, d, miss = cells_at(volts)
    for _ in range(200 if net.free.size else 0):
        jacobian = net.wired + _laplacian(net.bit.ravel(), net.line.ravel(), d.ravel(), volts.size)
        step = np.zeros_like(volts)
        step[net.free] = -_factor(sp.csc_matrix(jacobian)[net.free][:, net.free]).solve(miss)
        size = 1.0
        while True:
            trial = volts + size * step
            new = cells_at(trial)
            if size < 1e-6 or np.linalg.norm(new[2]) <= (1 - 1e-4 * size) * np.linalg.norm(miss):
                break
            size /= 2
        if np.linalg.norm(new[2]) >= np.linalg.norm(miss):  # as good as rounding allows
            break
        volts, (i, d, miss) = trial, new
    return i.sum(0)


def _wired(ends_a: NDArray, ends_b: NDArray, ohm: Floats, nodes: int) -> tuple[int, NDArray[np.intp], sp.csc_matrix]:
    """How many nodes are left after merging those that perfect conductors join, the new number of each node, and the
    Laplacian of the wires."""
    perfect = ohm == 0
    joined = sp.coo_matrix((np.ones(perfect.sum()), (ends_a[perfect], ends_b[perfect])), shape=(nodes, nodes))
    classes, label = connected_components(joined, directed=False)
    return classes, label, _laplacian(label[ends_a[~perfect]], label[ends_b[~perfect]], 1 / ohm[~perfect], classes)


def _laplacian(a: NDArray, b: NDArray, siemens: Floats, nodes: int) -> sp.csc_matrix:
    return sp.csc_matrix(
        (np.concatenate([siemens, siemens, -siemens, -siemens]), (np.r_[a, b, a, b], np.r_[a, b, b, a])),
        shape=(nodes, nodes),
    )


class _Nothing:
    """Stands in for the factor where every node is known."""

    def solve(self, right: Floats) -> Floats:
        return right


def _factor(laplacian: sp.csc_matrix) -> spl.SuperLU:
    if laplacian.nnz == 0:
        return _Nothing()  # type: ignore[return-value]
    return spl.splu(
        sp.csc_matrix(laplacian), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
