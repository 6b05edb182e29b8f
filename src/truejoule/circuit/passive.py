"""Passive arrays: output currents, static power and IR drop, exact and linear in the inputs.

A passive array of ohmic cells is a linear network, so its output currents are ``I = V @ A`` with one fixed matrix
``A``. Solving for ``A`` once makes every inference a matrix product, wire resistances included.

All functions take conductances ``g_siemens (..., rows, columns)`` in S (tensor or numpy array; leading dimensions are
tiles, solved in batches of bounded memory), `Wires`, and where needed input voltages ``v`` in V, of shape ``(rows,)``
or ``(..., N, rows)`` with one leading dimension per tile dimension, as in ``v @ A``. Row ``i`` with ``v_i = 0`` is
driven to 0 V, not left open. They compute in fp64, because wires conduct up to 1e9 times better than cells, and
return the floating dtype of ``g_siemens``. They are differentiable with respect to conductances, wires and voltages,
also at 0 S and 0 ohm.

``topology``: lines used at both ends, and interleaved pairs, as `truejoule.circuit.topology` describes them. With
interleaved pairs, ``g_siemens`` and the wires have ``2 · rows`` word lines (`truejoule.circuit.topology.interleave`),
while inputs, ``A`` and ``Y_in`` have ``rows``: one per pair.

Raises, all of them: InputError where conductances are negative, infinite or NaN, where shapes do not fit, where the
wires have a source line (``r_sl_ohm``), which a passive array has not, where the topology is a gated one or its pairs
do not come out even, and where gradients are wanted of the resistance of a line that is perfect from end to end and
used at both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from truejoule.circuit.passive_block import sweep, voltages
from truejoule.circuit.passive_dissection import dissect, respond
from truejoule.circuit.topology import PASSIVE, Topology, require_pairs, require_passive, with_far_ends
from truejoule.circuit.wires import Segments, Wires, segments
from truejoule.errors import InputError, did_you_mean

Method = Literal["auto", "block", "dissection"]

_DISSECT_FROM = 80
"""Shorter side from which dissection wins; measured in batches, one thread: 64x64 5.9 : 5.0 ms, 128x128 30 : 66 ms."""

_WORK_BYTES = 4 * 2**20
"""Per chunk of tiles without gradients (one tile at least): a few times a core's cache, where batches are fastest."""
_WORK_BYTES_LARGE = 512 * 2**20
"""Per chunk with gradients, which keep every step for the backward pass, and on accelerators, which need width."""


@dataclass(frozen=True)
class PassiveSolution:
    """An array under given inputs; the dimension ``N`` is absent where ``v`` had none."""

    currents_a: Tensor
    """Into the virtual grounds, ``(..., N, columns)``."""
    cell_voltages_v: Tensor
    """Across each cell, word line minus bit line, ``(..., N, rows, columns)``."""
    power_w: Tensor
    """Delivered by the drivers, ``(..., N)``; all of it is burnt in cells, wires, drivers and sense inputs."""


def transfer_matrix(
    g_siemens: Tensor | np.ndarray, wires: Wires, method: Method = "auto", *, topology: Topology = PASSIVE
) -> Tensor:
    """Exact ``A (..., rows, columns)`` in S: output currents are ``I = V @ A``.

    ``method``: "block" (column sweep) or "dissection" (nested dissection); both are exact to about 1e-13, "auto"
    takes the faster one. One thread, fp64: 5-8 ms for 64x64, 25 ms for 128x128, 0.15 s for 256x256, 1.5 s for
    512x512. Lines used at both ends need dissection, which then takes up to a third longer.

    Without wires ``A = g``. With wires ``A[i, j]`` is mostly smaller than ``g[i, j]``, but it is not a cell property:
    a sneak path through other rows makes it positive even where ``g[i, j] = 0``.

    Raises
    ------
    InputError : see above; an unknown ``method``, or one that does not support the topology.
    """
    transfer, _ = _condense(_Array.of(g_siemens, wires, topology), method, want_admittance=False)
    return transfer


def input_admittance(
    g_siemens: Tensor | np.ndarray, wires: Wires, method: Method = "auto", *, topology: Topology = PASSIVE
) -> Tensor:
    """``Y_in (..., rows, rows)`` in S: driver currents are ``V @ Y_in``, static power is ``v^T Y_in v``. Symmetric.

    With both ends driven, a row's current is the sum over its ends; of an interleaved pair, the current of the positive
    driver less that of the negative one, so that the power is that of all drivers.
    """
    _, admittance = _condense(_Array.of(g_siemens, wires, topology), method, want_admittance=True)
    assert admittance is not None
    return admittance


def transfer_and_admittance(
    g_siemens: Tensor | np.ndarray, wires: Wires, method: Method = "auto", *, topology: Topology = PASSIVE
) -> tuple[Tensor, Tensor]:
    """``transfer_matrix`` and ``input_admittance`` of the same arrays, for little more than the price of one."""
    transfer, admittance = _condense(_Array.of(g_siemens, wires, topology), method, want_admittance=True)
    assert admittance is not None
    return transfer, admittance


def static_power(
    g_siemens: Tensor | np.ndarray, wires: Wires, v: Tensor | np.ndarray, *, topology: Topology = PASSIVE
) -> Tensor:
    """Power delivered by the drivers, ``(..., N)`` in W: ``v^T Y_in v``."""
    array = _Array.of(g_siemens, wires, topology)
    inputs, restore = array.inputs(v)
    _, admittance = _condense(array, "auto", want_admittance=True, restore=False)
    assert admittance is not None
    return restore(((inputs @ admittance) * inputs).sum(-1))


def solve(
    g_siemens: Tensor | np.ndarray, wires: Wires, v: Tensor | np.ndarray, *, topology: Topology = PASSIVE
) -> PassiveSolution:
    """Currents, voltage across every cell, and power. Needs memory for ``rows² · columns`` numbers a tile.

    Of interleaved pairs, ``cell_voltages_v`` holds every cell, ``(..., N, 2 · rows, columns)``.
    """
    array = _Array.of(g_siemens, wires, topology)
    inputs, restore = array.inputs(v)
    if topology.interleaved:
        inputs = torch.stack([inputs, -inputs], -1).flatten(-2)
    tiles, rows, columns = array.g.shape
    parts = []
    step = max(1, _WORK_BYTES // (16 * rows * rows * columns))
    for first in range(0, max(tiles, 1), step):
        last = first + step
        parts.append(_solved(array.g[first:last], array.segments.tiles(first, last), inputs[first:last]))
    currents, cells, power = (restore(torch.cat(x)) for x in zip(*parts, strict=True))
    return PassiveSolution(currents, cells, power)


def cell_voltages(
    g_siemens: Tensor | np.ndarray, wires: Wires, v: Tensor | np.ndarray, *, topology: Topology = PASSIVE
) -> Tensor:
    """Voltage across every cell, ``(..., N, rows, columns)`` in V: the IR-drop picture."""
    return solve(g_siemens, wires, v, topology=topology).cell_voltages_v


def effective_conductance_loss(g_siemens: Tensor | np.ndarray, wires: Wires, *, topology: Topology = PASSIVE) -> Tensor:
    """Relative loss of each cell, ``1 - A / g``, ``(..., rows, columns)``; 0 for open cells.

    Negative where sneak paths outweigh the drop, which happens to cells much weaker than their neighbours. Of
    interleaved pairs it is that of every cell, ``(..., 2 · rows, columns)``.
    """
    array = _Array.of(g_siemens, wires, replace(topology, interleaved=False))
    transfer, _ = _condense(array, "auto", want_admittance=False, restore=False)
    cell = array.g > 0
    loss = torch.where(cell, 1 - transfer / torch.where(cell, array.g, 1.0), 0.0)
    return array.restored(loss)


@dataclass(frozen=True)
class _Array:
    """Checked inputs, fp64, tile dimensions flattened, and how to give results back."""

    g: Tensor
    segments: Segments
    lead: tuple[int, ...]
    dtype: torch.dtype
    paired: bool = False

    @classmethod
    def of(cls, g_siemens: Tensor | np.ndarray, wires: Wires, topology: Topology = PASSIVE) -> _Array:
        require_passive(topology, "this function")
        g = _tensor(g_siemens)
        if g.ndim < 2 or 0 in g.shape[-2:]:
            raise InputError(
                "conductances need rows and columns",
                where="g_siemens",
                got=f"shape {tuple(g.shape)}",
                expected="(..., rows, columns), at least one of each",
            )
        if g.is_complex():
            raise InputError("conductances must be real", where="g_siemens", got=g.dtype, expected="siemens, real")
        dtype = g.dtype if g.is_floating_point() else torch.float64
        g = g.to(torch.float64)
        if g.numel():
            low, high = (float(x) for x in torch.aminmax(g.detach()))
            if not (low >= 0.0 and high < float("inf")):
                raise InputError(
                    "conductances must be finite and not negative",
                    where="g_siemens",
                    got=high if low >= 0.0 or low != low else low,
                    expected="0 (an open cell) or a positive conductance in siemens",
                    fix="map weights to conductances first; signed weights need two cells or an offset",
                )
        if _any_nonzero(wires.r_sl_ohm):
            raise InputError(
                "a passive array has no source line",
                where="r_sl_ohm",
                got=wires.r_sl_ohm,
                expected="0",
                fix="use a gated array for cells between a bit line and a source line, or set r_sl_ohm=0",
            )
        require_pairs(g.shape[-2], topology)
        laid_out = with_far_ends(segments(wires, tuple(g.shape), g.device), topology)
        return cls(g.reshape(-1, *g.shape[-2:]), laid_out, tuple(g.shape[:-2]), dtype, topology.interleaved)

    def restored(self, x: Tensor) -> Tensor:
        return x.reshape((*self.lead, *x.shape[1:])).to(self.dtype)

    def inputs(self, v: Tensor | np.ndarray) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """``v`` as ``(tiles, N, rows)``, and what turns ``(tiles, N, ...)`` into the shape the caller expects."""
        given = _tensor(v)
        volts = given.to(dtype=torch.float64, device=self.g.device)
        rows = self.g.shape[-2] // (2 if self.paired else 1)
        single = volts.ndim == 1
        volts = volts.unsqueeze(0) if single else volts
        lead = volts.shape[:-2] if volts.ndim >= 2 else ()
        fits = volts.ndim >= 2 and volts.shape[-1] == rows and len(lead) <= len(self.lead)
        if not fits or any(a not in (1, b) for a, b in zip(reversed(lead), reversed(self.lead), strict=False)):
            raise InputError(
                "the input voltages do not fit the array",
                where="v",
                got=f"shape {tuple(given.shape)}",
                expected=f"({rows},) or (..., N, {rows}) with leading dimensions that broadcast to {self.lead}",
                fix="give one voltage per row (or interleaved pair of rows); put the batch of inputs in the dimension before",
            )
        volts = volts.expand(*self.lead, *volts.shape[-2:]).reshape(self.g.shape[0], *volts.shape[-2:])

        def restore(x: Tensor) -> Tensor:
            return self.restored(x.squeeze(1) if single else x)

        return volts, restore


def _condense(
    array: _Array, method: Method, *, want_admittance: bool, restore: bool = True
) -> tuple[Tensor, Tensor | None]:
    """``A`` and ``Y_in``, tiles in chunks."""
    g, wires = array.g, array.segments
    run, bytes_per_tile, bytes_per_tile_grad = _engine(method, g, wires, want_admittance)
    tracked = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (g, *wires.each()))
    budget = _WORK_BYTES if g.device.type == "cpu" and not tracked else _WORK_BYTES_LARGE
    step = max(1, budget // (bytes_per_tile_grad if tracked else bytes_per_tile))
    tiles = g.shape[0]
    parts: list[tuple[Tensor, Tensor | None]] = []
    for first in range(0, max(tiles, 1), step):
        chunk = g[first : first + step], *wires.tiles(first, first + step).each()
        # Recomputing a chunk during the backward pass is what keeps memory bounded there too.
        parts.append(checkpoint(run, *chunk, use_reentrant=False) if tracked and step < tiles else run(*chunk))
    transfer = torch.cat([part[0] for part in parts]) if len(parts) > 1 else parts[0][0]
    admittances = [part[1] for part in parts if part[1] is not None]
    admittance = torch.cat(admittances) if admittances else None
    if array.paired:
        transfer = _of_pairs(transfer)
        admittance = None if admittance is None else _of_pairs(_of_pairs(admittance).mT).mT
    if not restore:
        return transfer, admittance
    return array.restored(transfer), None if admittance is None else array.restored(admittance)


def _of_pairs(x: Tensor) -> Tensor:
    """``(tiles, 2 · rows, ...)`` per volt on each word line to ``(tiles, rows, ...)`` per volt on each pair."""
    return x[:, 0::2] - x[:, 1::2]


def _solved(g: Tensor, wires: Segments, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Currents, cell voltages and power of one chunk."""
    if wires.far_source is None and wires.far_sense is None:
        return voltages(g, wires, v)
    _, _, far = respond(g, wires, want_admittance=False)
    assert far is not None
    right, top = v @ far.right.mT, v @ far.top.mT
    bottom, cells, left_power = voltages(g, wires, v, (right, top))
    return bottom - top, cells, left_power + (v * right).sum(-1)


def _engine(
    method: Method, g: Tensor, wires: Segments, want_admittance: bool
) -> tuple[Callable[..., tuple[Tensor, Tensor | None]], int, int]:
    """The function of one chunk, and its working memory a tile without and with gradients, in bytes."""
    if method not in ("auto", "block", "dissection"):
        options = ("auto", "block", "dissection")
        raise InputError("unknown method", where="method", got=method, fix=did_you_mean(str(method), options))
    rows, columns = g.shape[-2:]
    perfect_wl = not (_any_nonzero(wires.wordline) or _any_nonzero(wires.source))
    perfect_bl = not (_any_nonzero(wires.bitline) or _any_nonzero(wires.sense))
    decoupled = (perfect_wl or perfect_bl) and not want_admittance
    both_ends = wires.far_source is not None or wires.far_sense is not None
    if method == "block" and both_ends:
        raise InputError(
            "the column sweep cannot compute lines used at both ends",
            where="method, topology",
            got="block",
            expected="driven_ends and sensed_ends of one",
            fix='use method="dissection", which is exact too, or "auto"',
        )
    large = min(rows, columns) >= _DISSECT_FROM and not decoupled
    if method == "dissection" or both_ends or (method == "auto" and large):

        def by_dissection(g: Tensor, *parts: Any) -> tuple[Tensor, Tensor | None]:
            return dissect(g, Segments(*parts), want_admittance=want_admittance)

        return by_dissection, 640 * rows * columns, 6400 * rows * columns

    # The sweep costs columns · rows³, and only the ladders on perfect word lines: turn the array where that helps.
    turned = not want_admittance and not perfect_wl and (perfect_bl or rows > columns)
    height, width = (columns, rows) if turned else (rows, columns)

    def by_block(g: Tensor, *parts: Any) -> tuple[Tensor, Tensor | None]:
        wires = Segments(*parts)
        if turned:
            mirror = sweep(g.mT.flip(-1, -2), wires.mirrored())
            return mirror.transfer.mT.flip(-1, -2), None
        swept = sweep(g, wires, want_admittance=want_admittance)
        return swept.transfer, swept.admittance

    return by_block, 64 * height * height + 80 * rows * columns, 128 * height * height * width


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    # torch takes neither read-only nor reversed numpy arrays without complaint; a copy is cheap beside the solve
    return torch.as_tensor(np.array(value) if isinstance(value, np.ndarray) else value)


def _any_nonzero(value: float | Tensor) -> bool:
    """True also for zeros that gradients are wanted of, whose slope a shortcut would lose."""
    return value.requires_grad or bool(value.any()) if isinstance(value, Tensor) else value != 0.0
