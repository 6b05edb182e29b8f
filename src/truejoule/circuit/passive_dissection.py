"""Exact passive array by nested dissection: join neighbouring blocks of cells, halving their number each time.

A block of cells is a multiport. Its left (L) and bottom (B) ports are driven by voltages ``E``, its right (R) and top
(T) ports by currents ``J`` (into the block). Reciprocity makes its response one symmetric matrix,

    (I_E, -V_J) = Q (E, J),        Q = [[Y, -F], [-Fᵀ, -Z]],

with an admittance ``Y`` and an impedance ``Z``, both positive semi-definite. This mixed form exists for perfect wires
(0 ohm) and open cells (0 S) alike; the usual port admittances have 1/r in them and lose the cells' digits in it.

Joining R of block ``a`` to L of block ``b`` (or T of the lower to B of the upper block) with ``ε = Q_a[R, rest]``,
``δ = Q_b[L, rest]``, ``Z = -Q_a[R, R]``, ``Y = Q_b[L, L]`` and ``K = (1 + Z Y)⁻¹`` gives

    Q = [[Q_a + εᵀ Y K ε,  -εᵀ Kᵀ δ], [-δᵀ K ε,  Q_b - δᵀ K Z δ]].

The eigenvalues of ``1 + Z Y`` are at least 1. All blocks of a level have one size, hence one batched solve and a few
products a level, ``O(n³)`` in total. Autograd, fp64.

Where lines are used at both ends, the currents ``J`` into R and T are those of resistances ``r`` that lead to the
driver's voltage ``v`` or to ground: ``(Z + r) J = D v``, with ``D`` the voltage across ``r`` while nothing flows in it.
Output currents and drivers then gain ``-Cᵀ J`` and ``Dᵀ J``, ``C`` being ``D`` seen from the sense inputs. ``Z + r`` is
positive definite but for lines that are perfect from end to end; there a second end changes nothing and is left out.

Sources: nested dissection, A. George, SIAM J. Numer. Anal. 10 (1973) 345; the joining rule is R. Redheffer's
star product (J. Math. Phys. 41 (1962) 1) for a symmetric hybrid matrix. Checked against ngspice in tests/physics.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from truejoule.circuit.wires import Segments
from truejoule.errors import InputError


@dataclass(frozen=True)
class Blocks:
    """A grid of equal blocks, row 0 on top."""

    q: Tensor
    """``(tiles, grid rows, grid columns, ports, ports)``."""
    ports: dict[str, list[int]]
    """Positions of the ports of each side, "L" and "R" from top to bottom, "B" and "T" from left to right."""


@dataclass(frozen=True)
class FarEnds:
    """Lines used at both ends: the current that enters the array at the second ends, per volt on each word line."""

    right: Tensor
    """``(tiles, rows, rows)``; 0 where word lines end open."""
    top: Tensor
    """``(tiles, columns, rows)``; 0 where bit lines end open."""


def dissect(g: Tensor, segments: Segments, *, want_admittance: bool = False) -> tuple[Tensor, Tensor | None]:
    """``A (tiles, rows, columns)`` of ``g``, same shape, and, where asked for, ``Y_in (tiles, rows, rows)``, in S."""
    transfer, admittance, _ = respond(g, segments, want_admittance=want_admittance)
    return transfer, admittance


def respond(g: Tensor, segments: Segments, *, want_admittance: bool) -> tuple[Tensor, Tensor | None, FarEnds | None]:
    """As `dissect`, and what happens at the far ends.

    Currents into B at ``E = (v, 0)`` and open R, T are ``Q[B, L] v``; what leaves the array is their negative.

    Raises
    ------
    InputError : gradients are wanted of the resistance of a line that is perfect and used at both ends.
    """
    _, rows, columns = g.shape
    used = ("" if segments.far_source is None else "R") + ("" if segments.far_sense is None else "T")
    blocks = _cells(*_padded(g, segments))
    grid_rows, grid_columns = blocks.q.shape[1:3]
    while grid_rows > 1 or grid_columns > 1:
        wide = grid_columns > 1 and (len(blocks.ports["B"]) <= len(blocks.ports["L"]) or grid_rows == 1)
        count = _smallest_factor(grid_columns if wide else grid_rows)
        blocks = _fold(blocks, count, wide, used)
        grid_rows, grid_columns = blocks.q.shape[1:3]
    q, left, bottom = blocks.q[:, 0, 0], blocks.ports["L"][-rows:], blocks.ports["B"][:columns]
    transfer = -_pick(q, left, bottom)
    admittance = _pick(q, left, left) if want_admittance else None
    if not used:
        return transfer, admittance, None
    ports = {"R": blocks.ports["R"][-rows:], "T": blocks.ports["T"][:columns]}
    far = [port for side in used for port in ports[side]]
    volts, sensed = _pick(q, far, left), _pick(q, far, bottom)
    if "R" in used:
        volts = volts + _eye(volts)
    if "T" in used:
        sensed = sensed + _eye(sensed).flip(-1, -2)
    ohm, line_ohm = _far_resistance(g, segments)
    flows = _solve_far(-_pick(q, far, far), ohm, line_ohm, volts)
    transfer = transfer - flows.mT @ sensed
    admittance = None if admittance is None else admittance + volts.mT @ flows
    right = flows[:, :rows] if "R" in used else flows.new_zeros(g.shape[0], rows, rows)
    top = flows[:, -columns:] if "T" in used else flows.new_zeros(g.shape[0], columns, rows)
    return transfer, admittance, FarEnds(right, top)


def _far_resistance(g: Tensor, segments: Segments) -> tuple[Tensor, Tensor]:
    """Of each used far end ``(tiles | 1, ends)``, and of its whole line from end to end."""
    tiles, rows, columns = g.shape
    parts: list[tuple[Tensor, Tensor]] = []
    for far, near, line, dim in (
        (segments.far_source, segments.source, segments.wordline, -1),
        (segments.far_sense, segments.sense, segments.bitline, -2),
    ):
        if far is not None:
            count = rows if dim == -1 else columns
            whole = far + near + line.sum(dim)
            if whole.requires_grad and bool((whole == 0).any()):
                raise InputError(
                    "a perfect line used at both ends has no slope with respect to its resistance",
                    where="r_wl_ohm, r_source_ohm" if dim == -1 else "r_bl_ohm, r_sense_ohm",
                    got="0 ohm from end to end, gradients wanted",
                    expected="some resistance, however small, in every line",
                    fix="start from 1e-6 ohm instead of 0, or detach the resistance",
                )
            parts.append((far.expand(tiles, count), whole.expand(tiles, count)))
    ohm, line_ohm = (torch.cat(x, -1) for x in zip(*parts, strict=True))
    return ohm, line_ohm


def _solve_far(z: Tensor, ohm: Tensor, line_ohm: Tensor, volts: Tensor) -> Tensor:
    """Currents into the far ends: ``(Z + r)⁻¹ volts``, scaled so that lines may differ by any order of magnitude."""
    system = z + torch.diag_embed(ohm)
    perfect = line_ohm.detach() == 0
    size = torch.where(perfect, 1.0, system.detach().diagonal(dim1=-2, dim2=-1))
    scale = torch.where(perfect, 0.0, size.rsqrt()).unsqueeze(-1)
    scaled = scale * system * scale.mT + torch.diag_embed(perfect.to(z.dtype))
    return scale * torch.linalg.solve(scaled, scale * volts)


def _eye(like: Tensor) -> Tensor:
    """Ones on the main diagonal of a matrix of this shape."""
    return torch.eye(*like.shape[-2:], dtype=like.dtype, device=like.device)


def _fold(blocks: Blocks, count: int, wide: bool, used: str = "") -> Blocks:
    """Join each ``count`` neighbours, side by side or one above the other, and drop open sides that are not ``used``."""
    q = blocks.q
    if wide:
        parts = [Blocks(q[:, :, i::count], blocks.ports) for i in range(count)]
    else:
        parts = [Blocks(q[:, i::count], blocks.ports) for i in reversed(range(count))]
    # A grid one block wide (high) has open ends on its right (top) side. Dropping those ports saves half the work.
    open_sides = ("T" if q.shape[1] == 1 else "") + ("R" if q.shape[2] == 1 else "")
    joined = parts[0]
    for i, part in enumerate(parts[1:], 2):
        if i == count == q.shape[2 if wide else 1]:
            open_sides += "R" if wide else "T"
        keep = "".join(side for side in "LBRT" if side in used or side not in open_sides)
        joined = _join(joined, part, ("R", "L") if wide else ("T", "B"), keep)
    return joined


def _join(a: Blocks, b: Blocks, seam: tuple[str, str], keep: str) -> Blocks:
    """Join current side ``seam[0]`` of ``a`` to voltage side ``seam[1]`` of ``b``, both eliminated."""
    q_a, sides_a = _seam_first(a, seam[0], keep)
    q_b, sides_b = _seam_first(b, seam[1], keep)
    k, n_a = len(a.ports[seam[0]]), len(sides_a)

    eps, delta = q_a[..., :k, k:], q_b[..., :k, k:]
    z, y = -q_a[..., :k, :k], q_b[..., :k, :k]
    solved = _solve_one_plus(z @ y, torch.cat([eps, z], -1))
    k_eps, k_z = solved[..., :n_a], solved[..., n_a:]
    corner = delta.mT @ k_eps
    q = _assemble(q_a[..., k:, k:], eps.mT @ (y @ k_eps), corner, delta.mT @ (k_z @ delta), q_b[..., k:, k:])

    ports: dict[str, list[int]] = {side: [] for side in "LBRT"}
    for position, side in enumerate(sides_a + sides_b):
        ports[side].append(position)
    if seam[1] == "B":  # a is the lower block: left and right ports count from the top, so b's come first
        for side in "LR":
            ports[side] = [p for p in ports[side] if p >= n_a] + [p for p in ports[side] if p < n_a]
    return Blocks(q, ports)


def _seam_first(blocks: Blocks, seam: str, keep: str) -> tuple[Tensor, str]:
    """``Q`` with the ports of side ``seam`` in front, and the sides of the remaining ports one by one."""
    rest = [side for side in "LBRT" if side in keep and side != seam]
    index = [*blocks.ports[seam], *(i for side in rest for i in blocks.ports[side])]
    return _pick(blocks.q, index, index), "".join(side * len(blocks.ports[side]) for side in rest)


def _assemble(q_a: Tensor, gain: Tensor, corner: Tensor, loss: Tensor, q_b: Tensor) -> Tensor:
    """``[[q_a + gain, -cornerᵀ], [-corner, q_b - loss]]``, written in place where no gradient is tracked."""
    if not (torch.is_grad_enabled() and q_a.requires_grad):
        n_a, n_b = q_a.shape[-1], q_b.shape[-1]
        q = q_a.new_empty(*q_a.shape[:-2], n_a + n_b, n_a + n_b)
        torch.add(q_a, gain, out=q[..., :n_a, :n_a])
        torch.sub(q_b, loss, out=q[..., n_a:, n_a:])
        torch.neg(corner, out=q[..., n_a:, :n_a])
        torch.neg(corner.mT, out=q[..., :n_a, n_a:])
        return q
    return torch.cat([torch.cat([q_a + gain, -corner.mT], -1), torch.cat([-corner, q_b - loss], -1)], -2)


def _cells(g: Tensor, wordline: Tensor, bitline: Tensor) -> Blocks:
    """Each cell with the word-line segment on its left and the bit-line segment below it, in closed form.

    With ``s = (1, -1, r_w, -r_b)`` over (L, B, R, T) the cell current is ``y s·x``, ``y = g / (1 + g (r_w + r_b))``.
    """
    one, zero = torch.ones_like(g), torch.zeros_like(g)
    wordline, bitline = wordline.expand(g.shape), bitline.expand(g.shape)
    y = g / (1 + g * (wordline + bitline))
    s = torch.stack([one, -one, wordline, -bitline], -1)
    through = torch.stack(
        [
            torch.stack([zero, zero, one, zero], -1),
            torch.stack([zero, zero, zero, one], -1),
            torch.stack([one, zero, wordline, zero], -1),
            torch.stack([zero, one, zero, bitline], -1),
        ],
        -2,
    )
    q = y[..., None, None] * s.unsqueeze(-1) * s.unsqueeze(-2) - through
    return Blocks(q, {"L": [0], "B": [1], "R": [2], "T": [3]})


def _padded(g: Tensor, segments: Segments) -> tuple[Tensor, Tensor, Tensor]:
    """Ends folded into their neighbouring segments; open cells added at the open ends (top, right), which is exact."""
    first = torch.nn.functional.pad(segments.source.unsqueeze(-1), (0, g.shape[-1] - 1))
    last = torch.nn.functional.pad(segments.sense.unsqueeze(-2), (0, 0, g.shape[-2] - 1, 0))
    wordline, bitline = segments.wordline + first, segments.bitline + last
    above, right = (_good_size(size) - size for size in g.shape[-2:])
    pad = (0, right, above, 0)

    def padded(x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x.expand(-1, *g.shape[-2:]), pad)

    return padded(g), padded(wordline), padded(bitline)


def _good_size(size: int) -> int:
    """The next size of the form c·2^k with c at most 8: at most a quarter more than asked for."""
    power = max(0, (size - 1).bit_length() - 3)
    return -(-size >> power) << power


def _smallest_factor(count: int) -> int:
    """Odd factors first, while blocks are small: the sequence of joins inside a factor costs most at the end."""
    odd = [f for f in (3, 5, 7) if count % f == 0]
    return odd[0] if odd else 2


def _solve_one_plus(m: Tensor, right: Tensor) -> Tensor:
    """``(1 + m)⁻¹ right``."""
    if m.shape[-1] == 1:
        return right / (1 + m)
    return torch.linalg.solve(m + torch.eye(m.shape[-1], dtype=m.dtype, device=m.device), right)


def _pick(q: Tensor, rows: list[int], columns: list[int]) -> Tensor:
    # Ports lie in a few runs; copying runs is several times faster than gathering single elements.
    q = torch.cat([q[..., first:last, :] for first, last in _runs(rows)], -2)
    return torch.cat([q[..., first:last] for first, last in _runs(columns)], -1)


def _runs(index: list[int]) -> list[tuple[int, int]]:
    """Half-open ranges that list ``index`` in order."""
    starts = [0, *(i for i in range(1, len(index)) if index[i] != index[i - 1] + 1), len(index)]
    return [(index[i], index[j - 1] + 1) for i, j in pairwise(starts)]
