"""Passive arrays without a matrix: the impedance of the wires as sums, and conjugate gradients on the cell voltages.

The voltage that cell currents ``j`` lose in the wires is ``Z j``, with ``Z`` symmetric and positive semi-definite. On a
word line the current of a segment is the sum of the cell currents beyond it, and the drop at a cell the sum of
``r · current`` over the segments before it; on a bit line the sums run the other way. So ``Z`` costs four cumulative
sums, needs no memory, and is exact for perfect wires. Ohmic cells obey ``V + Z G V = E``; with ``S = √G Z √G``

    (1 + S) y = √G E,        j = √G y,

whose condition number is about ``1 + κ``, ``κ = rows · columns · r · g_max``: 5 to 15 steps are usual.

For many inputs of one array `transfer_matrix` is cheaper; this is the way for a few inputs of an array that changes
all the time, and the engine of `truejoule.circuit.passive_nonlinear`. Source: derived here; checked against ngspice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.circuit.wires import Segments

_MOST_STEPS = 2000


@dataclass(frozen=True)
class WireImpedance:
    """``Z`` of a stack of arrays; call it on cell currents ``(tiles, N, rows, columns)`` in A to get volts."""

    word: Tensor | None
    """Resistance before each cell on its word line, driver included, broadcastable to ``(tiles, 1, rows, columns)``;
    None if all are 0."""
    bit: Tensor | None
    """Resistance after each cell on its bit line, sense input included; None if all are 0."""
    own_ohm: float = 0.0
    """Resistance in series with every cell, which is a wire too."""

    @classmethod
    def of(cls, wires: Segments, rows: int, columns: int) -> WireImpedance:
        first = torch.zeros(columns, dtype=torch.float64, device=wires.source.device)
        last = torch.zeros(rows, 1, dtype=torch.float64, device=wires.sense.device)
        first[0], last[-1, 0] = 1.0, 1.0
        word = wires.wordline + wires.source.unsqueeze(-1) * first
        bit = wires.bitline + wires.sense.unsqueeze(-2) * last
        along_rows, along_columns = (x.unsqueeze(1) if x.requires_grad or bool(x.any()) else None for x in (word, bit))
        return cls(along_rows, along_columns)

    def each(self, change: Callable[[Tensor], Tensor]) -> WireImpedance:
        """The same wires, their resistances changed."""
        word, bit = (None if x is None else change(x) for x in (self.word, self.bit))
        return WireImpedance(word, bit, self.own_ohm)

    def tiles(self, first: int, last: int) -> WireImpedance:
        return self.each(lambda x: x if x.shape[0] == 1 else x[first:last])

    def __call__(self, j: Tensor) -> Tensor:
        parts = []
        if self.word is not None:
            parts.append(torch.cumsum(self.word * _from_the_end(j, -1), -1))
        if self.bit is not None:
            parts.append(_from_the_end(self.bit * torch.cumsum(j, -2), -2))
        if self.own_ohm:
            parts.append(self.own_ohm * j)
        return sum(parts[1:], parts[0]) if parts else torch.zeros_like(j)


def shifted_solve(z: WireImpedance, root: Tensor, right: Tensor, tolerance: float | Tensor) -> tuple[Tensor, int]:
    """The ``y`` with ``(1 + root · Z · root) y = right`` by conjugate gradients, and the steps taken.

    ``root``, ``right``: ``(tiles, N, rows, columns)``, the dtype to compute in; each of the ``tiles · N`` systems stops
    at its own relative ``tolerance`` of the residual. The right side is normalised first, so that tiny residuals do not
    underflow in fp32.
    """
    size = right.flatten(2).norm(dim=-1)[..., None, None]
    safe = torch.where(size > 0, size, 1.0)
    r = right / safe
    p, y = r.clone(), torch.zeros_like(r)
    rr = _dot(r, r)
    goal = torch.as_tensor(tolerance, dtype=r.dtype, device=r.device) ** 2
    steps = 0
    while steps < _MOST_STEPS:
        busy = rr > goal
        if not bool(busy.any()):
            break
        q = torch.addcmul(p, root, z(root * p))
        alpha = torch.where(busy, rr / _dot(p, q).clamp_min(torch.finfo(r.dtype).tiny), 0.0)
        y.addcmul_(alpha, p)
        r.addcmul_(alpha, q, value=-1)
        new = _dot(r, r)
        p = torch.addcmul(r, new / rr.clamp_min(torch.finfo(r.dtype).tiny), p)
        rr = new
        steps += 1
    return y * safe, steps


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("tnij,tnij->tn", a, b)[..., None, None]


def _from_the_end(x: Tensor, dim: int) -> Tensor:
    """Sums over this element and all after it."""
    return x.flip(dim).cumsum(dim).flip(dim)
