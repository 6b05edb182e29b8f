"""Exact passive array, one column at a time: eliminate a bit line, then step along the word lines.

Everything is written with wire *resistances*, never with their reciprocals, so that a perfect wire (0 ohm) and an
open cell (0 S) need no special case and no digits are lost when wires conduct far better than cells.

Work ``columns · rows³``, memory ``rows²`` per tile besides the result. Autograd, fp64.

Source: block elimination of Kirchhoff's laws, derived here; checked against ngspice in tests/physics.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.circuit.wires import Segments


@dataclass(frozen=True)
class BitLines:
    """All bit lines of a stack of arrays, eliminated: the cell currents as a function of the word-line voltages.

    A bit line is a ladder. With ``Z_i`` the impedance from node ``i`` to ground and ``U_i`` the admittance of
    everything from row ``i`` up (cell ``i`` included, word lines at 0 V), a current into node ``i`` divides as 1 :
    ``U_i Z_i`` and the part that flows down loses a factor ``1 + g_l Z_l`` at each further row ``l``. Hence, for ``i
    < k``,

        S[i, k] = -g_i / (1 + U_i Z_i) · exp(logs_i - logs_k) · g_k Z_k,      logs_k = Σ_{l <= k} ln(1 + g_l Z_l)

    without a single difference of nearly equal numbers. All fields ``(tiles, rows, columns)``.
    """

    enters: Tensor
    """``g_i / (1 + U_i Z_i)``: current that goes down the bit line per volt on word line ``i``."""
    returns: Tensor
    """``g_k Z_k``: share of a current that passes row ``k`` which row ``k``'s cell takes back."""
    logs: Tensor
    own: Tensor
    """``S[i, i]``: current through cell ``i`` per volt on its own word line."""

    def output(self) -> Tensor:
        """Current into the sense input per volt on each word line, ``(tiles, rows, columns)``: column sums of S."""
        return self.enters * torch.exp(self.logs - self.logs[:, -1:])

    def taken_from_top(self) -> Tensor:
        """Share of a current into the top end that leaves through each cell, word lines at 0 V."""
        return self.returns * torch.exp(-self.logs)

    def admittance(self, column: int) -> Tensor:
        """``S (tiles, rows, rows)``: cell currents of one column per word-line voltage, symmetric."""
        logs = self.logs[..., column]
        upper = torch.exp((logs.unsqueeze(-1) - logs.unsqueeze(-2)).triu(1))
        upper = upper * self.enters[..., column].unsqueeze(-1) * -self.returns[..., column].unsqueeze(-2)
        upper = upper.triu(1)
        return upper + upper.mT + torch.diag_embed(self.own[..., column])


def bit_lines(g: Tensor, segments: Segments) -> BitLines:
    """Scan all bit lines ``(tiles, rows, columns)`` from both ends at once."""
    rows = g.shape[-2]
    below = segments.bitline.expand(g.shape)
    last = below[:, -1] + segments.sense
    # Both recursions read x' = a + x / (1 + b x): U downwards with (a, b) = (g, r), Z upwards with (r, g).
    cell, wire = g[:, 1:], below[:, :-1]
    add = torch.stack([cell, wire.flip(-2)]).unbind(-2)
    shunt = torch.stack([wire, cell.flip(-2)]).unbind(-2)
    x = torch.stack([g[:, 0], last.expand(g[:, 0].shape)])
    scan = [x]
    for a, b in zip(add, shunt, strict=True):
        x = a + x / (1 + b * x)
        scan.append(x)
    both = torch.stack(scan, -2)
    above_and_cell, down = both[0], both[1].flip(-2)
    above = torch.cat([torch.zeros_like(g[:, :1]), _in_series(above_and_cell[:, :-1], wire)], -2) if rows > 1 else g * 0
    divided = 1 + above_and_cell * down
    returns = g * down
    return BitLines(
        enters=g / divided,
        returns=returns,
        logs=torch.log1p(returns).cumsum(-2),
        own=g * (1 + above * down) / divided,
    )


@dataclass(frozen=True)
class Sweep:
    """What a sweep from the open right end to the drivers leaves behind."""

    transfer: Tensor
    """``A (tiles, rows, columns)``."""
    admittance: Tensor | None
    """``Y_in (tiles, rows, rows)``, where it was asked for."""
    propagators: list[Tensor | None]
    """``P_j``: word-line voltages at column ``j`` per voltage one column to the left (None: identity), where asked
    for."""


def sweep(g: Tensor, segments: Segments, *, want_admittance: bool = False, want_propagators: bool = False) -> Sweep:
    """Exact ``A`` (and ``Y_in``, and the propagators) of a stack of arrays ``g (tiles, rows, columns)``, fp64.

    With ``Y`` the admittance of all columns from ``j`` on, and ``R`` the word-line segments before column ``j``,

        P = (1 + R Y)⁻¹,    looking from one column further left: Y P,    output currents per volt: t P.
    """
    tiles, rows, columns = g.shape
    lines = bit_lines(g, segments)
    output = lines.output()
    steps = _word_line_steps(segments, columns)
    if not (want_admittance or want_propagators) and not any(active for _, active in steps):
        return Sweep(output, None, [])  # perfect word lines: the columns do not see each other

    # The first `rows` rows of the state are the admittance looking right, the others the outputs found so far.
    state = g.new_zeros(tiles, rows, rows)
    propagators: list[Tensor | None] = []
    for j in reversed(range(columns)):
        admittance = state[:, :rows] + lines.admittance(j)
        state = torch.cat([admittance, output[..., j].unsqueeze(-2), state[:, rows:]], -2)
        step, active = steps[j]
        p = _propagator(admittance, step) if active else None
        if p is not None:
            state = state @ p
        if want_propagators:
            propagators.append(p)
    return Sweep(state[:, rows:].mT, state[:, :rows] if want_admittance else None, propagators[::-1])


def voltages(
    g: Tensor, segments: Segments, v: Tensor, far: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs ``v (tiles, N, rows)`` to currents ``(tiles, N, columns)`` at the bottom, cell voltages ``(tiles, N, rows,
    columns)``, and power delivered at the left.

    The sweep run backwards: ``u_j = P_j u_{j-1}`` along the word lines, then down each bit line.

    ``far``: currents that enter at the right ends ``(tiles, N, rows)`` and at the top ends ``(tiles, N, columns)``. They
    add a current ``s`` to what each column sees looking right: ``u_j = P_j (u_{j-1} - R_j s_j)``, ``s_{j-1} = s_j P_j``.
    """
    swept = sweep(g, segments, want_admittance=True, want_propagators=True)
    lines = bit_lines(g, segments)
    word, cells = [], []
    u = v
    backwards = _backwards(lines, segments, swept.propagators, far)
    for j, p in enumerate(swept.propagators):
        if p is not None:
            u = (u - backwards.drops[j]) @ p.mT if backwards else u @ p.mT
        word.append(u)
        cell = u @ lines.admittance(j)
        cells.append(cell - backwards.taken[j] if backwards else cell)
    down = torch.stack(cells, -1).cumsum(-2)
    if far is not None:
        down = down + far[1].unsqueeze(-2)
    drop = segments.bitline.unsqueeze(1) * down
    below = drop.flip(-2).cumsum(-2).flip(-2) + (segments.sense.unsqueeze(1) * down[..., -1, :]).unsqueeze(-2)
    assert swept.admittance is not None
    into = v @ swept.admittance
    if backwards:
        into = into + backwards.out
    return down[..., -1, :], torch.stack(word, -1) - below, (into * v).sum(-1)


@dataclass(frozen=True)
class _Backwards:
    """What currents that enter at the far ends do, word lines held at 0 V on the left; each ``(tiles, N, rows)``."""

    drops: list[Tensor]
    """``R_j s_j``: voltage over the segments before each column."""
    taken: list[Tensor]
    """What the cells of each column take of the current into its top end."""
    out: Tensor
    """``s`` at the drivers: what they deliver, negative where current leaves through them."""


def _backwards(
    lines: BitLines, segments: Segments, propagators: list[Tensor | None], far: tuple[Tensor, Tensor] | None
) -> _Backwards | None:
    if far is None:
        return None
    right, top = far
    share = lines.taken_from_top()
    steps = _word_line_steps(segments, len(propagators))
    s, drops, taken = -right, [], []
    for j in reversed(range(len(propagators))):
        taken.append(top[..., j, None] * share[:, None, :, j])
        s = s - taken[-1]
        drops.append(steps[j][0].unsqueeze(1) * s)
        p = propagators[j]
        s = s if p is None else s @ p
    return _Backwards(drops[::-1], taken[::-1], s)


def _word_line_steps(segments: Segments, columns: int) -> list[tuple[Tensor, bool]]:
    """Resistance ``(tiles | 1, rows | 1)`` before each column, and whether there is any."""
    steps = [*segments.wordline.expand(-1, -1, columns).unbind(-1)]
    active = (segments.wordline != 0).any(0).any(0).expand(columns).tolist()
    active[0] = active[0] or bool(segments.source.any())
    steps[0] = steps[0] + segments.source
    return [(step, step.requires_grad or some) for step, some in zip(steps, active, strict=True)]


def _propagator(admittance: Tensor, step: Tensor) -> Tensor:
    """``(1 + R Y)⁻¹`` with ``R = diag(step)``."""
    system = step.unsqueeze(-1) * admittance
    eye = torch.eye(system.shape[-1], dtype=system.dtype, device=system.device)
    if step.shape[-1] == 1:
        # The same resistance in every row keeps the system symmetric; its eigenvalues are at least 1.
        factor, _ = torch.linalg.cholesky_ex(system + eye)
        return torch.cholesky_inverse(factor)
    return torch.linalg.inv(system + eye)


def _in_series(admittance: Tensor, resistance: Tensor) -> Tensor:
    return admittance / (1 + resistance * admittance)
