"""Reference solver: sparse nodal analysis of one passive array with SuperLU.

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
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from truejoule.circuit.wires import Wires, resistances
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


def node_voltages(g: ArrayLike, wires: Wires, v: ArrayLike) -> tuple[Floats, Floats]:
    """Word-line and bit-line voltages ``(rows, columns, N)`` for inputs ``v (N, rows)`` or ``(rows,)``, in V."""
    net = assemble(g, wires)
    volts = np.atleast_2d(np.asarray(v, dtype=np.float64)).T
    known = np.concatenate([volts, np.zeros((net.bit.shape[1], volts.shape[1]))])
    free = -net.factor.solve(np.asarray(net.to_free @ known))
    everywhere = np.concatenate([free, known])
    return everywhere[net.place[net.word]], everywhere[net.place[net.bit]]


def currents(g: ArrayLike, wires: Wires, v: ArrayLike) -> Floats:
    """Currents into the virtual grounds, ``(N, columns)`` in A, for inputs ``v (N, rows)`` or ``(rows,)``; direct
    solves."""
    net = assemble(g, wires)
    rows, columns = net.word.shape
    volts = np.atleast_2d(np.asarray(v, dtype=np.float64)).T
    known = np.concatenate([volts, np.zeros((columns, volts.shape[1]))])
    free = -net.factor.solve(np.asarray(net.to_free @ known))
    return -np.asarray(net.to_free.T @ free + net.to_fixed @ known)[rows:].T


def transfer_matrix(g: ArrayLike, wires: Wires) -> Floats:
    """``A (rows, columns)`` in S from one adjoint solve per column: excite a virtual ground, read the drivers."""
    net = assemble(g, wires)
    rows, columns = net.word.shape
    ground = np.concatenate([np.zeros((rows, columns)), np.eye(columns)])
    free = -net.factor.solve(np.asarray(net.to_free @ ground))
    return -np.asarray(net.to_free.T @ free + net.to_fixed @ ground)[:rows]


def assemble(g: ArrayLike, wires: Wires) -> Nodal:
    """Number the nodes, merge those that a perfect conductor joins, factorise.

    Raises
    ------
    InputError : ``g`` is not one array ``(rows, columns)``, or a wire value does not fit it.
    """
    cells = np.asarray(g, dtype=np.float64)
    if cells.ndim != 2:
        raise InputError(
            "the reference solver takes one array at a time",
            where="g",
            got=f"shape {cells.shape}",
            expected="(rows, columns)",
        )
    rows, columns = cells.shape
    r_wl, r_bl, r_source, r_sense = resistances(wires, rows, columns)
    r_first = np.concatenate([(r_wl[:, :1] + r_source[:, None]), r_wl[:, 1:]], 1)
    r_last = np.concatenate([r_bl[:-1], r_bl[-1:] + r_sense], 0)

    count = rows * columns
    word = np.arange(count).reshape(rows, columns)
    bit = word + count
    driver = 2 * count + np.arange(rows)
    ground = driver[-1] + 1 + np.arange(columns)
    ends_a = np.concatenate([np.concatenate([driver[:, None], word[:, :-1]], 1).ravel(), bit.ravel()])
    ends_b = np.concatenate([word.ravel(), np.concatenate([bit[1:], ground[None]], 0).ravel()])
    ohm = np.concatenate([r_first.ravel(), r_last.ravel()])

    perfect = ohm == 0
    nodes = 2 * count + rows + columns
    joined = sp.coo_matrix((np.ones(perfect.sum()), (ends_a[perfect], ends_b[perfect])), shape=(nodes, nodes))
    classes, label = connected_components(joined, directed=False)

    closed = cells.ravel() > 0
    a = label[np.concatenate([ends_a[~perfect], word.ravel()[closed]])]
    b = label[np.concatenate([ends_b[~perfect], bit.ravel()[closed]])]
    siemens = np.concatenate([1 / ohm[~perfect], cells.ravel()[closed]])
    laplacian = sp.csc_matrix(
        (np.concatenate([siemens, siemens, -siemens, -siemens]), (np.r_[a, b, a, b], np.r_[a, b, b, a])),
        shape=(classes, classes),
    )

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
