"""Gated arrays with ohmic cells: exact column currents for inputs of 0 and 1, at a few times a matrix product's price.

In a gated array (8T-SRAM read port, 1T-1R with the word line as input) a cell conducts only while its input is 1, so
the voltage lost in the wires depends on the data and no fixed matrix describes it. But every column is a ladder of its
own, whose exact solution is a short recursion; see `truejoule.circuit.gated_chain`. `truejoule.circuit.topology` says
where such an array is fed and sensed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from truejoule.circuit import gated_chain as chain
from truejoule.circuit.gated_inputs import (
    Inputs,
    Tiles,
    are_bits,
    as_machine_bits,
    bit_planes,
    compiled,
    read_voltage,
    require_bits,
)
from truejoule.circuit.topology import GATED_SAME_END, Rails, Topology, rails
from truejoule.circuit.wires import Wires
from truejoule.errors import InputError, did_you_mean

Method = Literal["auto", "table", "scan"]

_KEPT_BYTES = 256 * 2**20
"""Tables up to this size are kept between calls; larger ones are built anew, in parts of `_WORK_BYTES`."""
_WORK_BYTES = 32 * 2**20
_LANE_BYTES = 512


@final
class GatedColumns:
    """A stack of gated arrays, ready to be read: ``i = columns(bits)``, exact, wires included.

    Parameters
    ----------
    g_siemens : conductance of each cell with its gate on, ``(..., rows, columns)`` in S; leading dimensions are tiles.
    wires : resistances; the source line and its driver count as ``topology`` says, rows only switch gates.
    v_read : voltage between the sense inputs and the supply, in V.
    topology : `GATED_SAME_END` (default), `GATED_IDEAL` or `GATED_OPPOSITE_END`.
    g_off_siemens : conductance with the gate off, a number or broadcastable to ``g_siemens``.
    method : "table" looks up groups of rows, "scan" goes row by row and is differentiable; "auto" takes tables unless
        a gradient is wanted.
    group_rows : rows per table entry, 1 to 8. Tables take ``2^k / k · 3`` numbers a cell, three times as many if fed at
        opposite ends; 4 is best in most cases, 8 can be faster up to 64 rows in arrays that are read thousands of times.

    Currents come in fp32 where the conductances are fp32, else in fp64. No digits are lost to cancellation, whatever the
    wires: rounding only adds up over rows. For 512 rows that is 5e-6 with tables in fp32, 1e-5 in fp32 row by row, and
    1e-13 in fp64 (largest relative errors, tests/properties). Perfect wires (0 ohm) and open cells (0 S) are exact.

    Tables are built at the first call and kept: make a new object after changing a conductance in place.

    On CPUs tables run compiled by numba (first use: some seconds, then cached on disk); elsewhere, and without numba,
    in plain torch.

    Raises
    ------
    InputError : a value is negative, infinite or NaN, shapes do not fit, or the topology is not a gated one that this
        solver knows (one fed end, one sensed end, no interleaved pairs).
    """

    def __init__(
        self,
        g_siemens: Tensor | np.ndarray,
        wires: Wires,
        v_read: float,
        *,
        topology: Topology = GATED_SAME_END,
        g_off_siemens: float | Tensor | np.ndarray = 0.0,
        method: Method = "auto",
        group_rows: int = 4,
    ) -> None:
        if method not in ("auto", "table", "scan"):
            fix = did_you_mean(str(method), ("auto", "table", "scan"))
            raise InputError("unknown method", where="method", got=method, fix=fix)
        if isinstance(group_rows, bool) or not isinstance(group_rows, int) or not 1 <= group_rows <= 8:
            raise InputError("groups must have 1 to 8 rows", where="group_rows", got=group_rows)
        self.v_read = read_voltage(v_read)
        self.topology = topology
        self._tiles = tiles = Tiles.of(g_siemens, g_off_siemens)
        self._rails = rails(wires, topology, (*tiles.lead, *tiles.g_on.shape[1:]), tiles.g_on.device, "GatedColumns")
        self._method, self._k = method, group_rows
        largest = max((float(x.detach().max()) for x in (tiles.g_on, tiles.g_off) if x.numel()), default=0.0)
        self._unit = largest if largest > 0 else 1.0
        self._kept: Tensor | None = None

    def __call__(self, bits: Tensor | np.ndarray) -> Tensor:
        """Currents ``(..., N, columns)`` in A for ``bits (..., N, rows)``, or ``(..., columns)`` for ``(rows,)``.

        Bits are 0 or 1 in any dtype; their leading dimensions broadcast to the tiles. Gradients flow to conductances,
        wires and (as if inputs between 0 and 1 mixed both states of a cell) to bits.

        Raises
        ------
        InputError : the shape does not fit, or a value is neither 0 nor 1.
        """
        inputs = self._tiles.inputs(bits)
        gradient = torch.is_grad_enabled() and (self._tiles.tracked or self._rails.tracked or inputs.bits.requires_grad)
        if gradient or self._method == "scan":
            require_bits(are_bits(inputs.bits.detach()))
            return inputs.restore(self._scan(inputs, gradient))
        kernels = compiled("gated_kernels") if self._tiles.g_on.device.type == "cpu" else None
        return inputs.restore(self._look_up(inputs, kernels))

    def bit_serial(self, codes: Tensor | np.ndarray, bits: int) -> Tensor:
        """Currents ``(bits, ..., N, columns)`` of multi-bit inputs applied one bit at a time, least significant first.

        ``codes (..., N, rows)`` are whole numbers from 0 to ``2^bits - 1``. Wires make the column non-linear in its
        inputs, so that planes must be converted one by one and added digitally: ``Σ_b 2^b · code_b``.

        Raises
        ------
        InputError : as `bit_planes` and calling this object.
        """
        return torch.stack([self(plane) for plane in bit_planes(codes, bits)])

    def power_w(self, currents_a: Tensor) -> Tensor:
        """Power drawn while the inputs are applied, ``(...)`` in W for ``currents_a (..., columns)``: ``v_read · Σ I``.

        All of it is burnt in cells, wires, drivers and sense inputs; times the read time it is the array's energy.
        """
        return self.v_read * currents_a.sum(-1)

    def _scan(self, inputs: Inputs, gradient: bool) -> Tensor:
        tiles, rows, columns = self._tiles.g_on.shape
        size = inputs.bits.shape[1] * columns * self._tiles.dtype.itemsize * (8 * rows if gradient else 4)
        step = max(1, (16 if gradient else 1) * _WORK_BYTES // max(size, 1))
        parts = []
        for first in range(0, tiles, step):
            on, off, lines = self._relative(first, first + step)
            x = inputs.of_tiles(first, first + step).to(self._tiles.dtype)
            bounded = gradient and step < tiles
            args = (x, on, off, lines.after, lines.before)
            # Recomputing a chunk during the backward pass is what keeps memory bounded there too.
            parts.append(checkpoint(_column, *args, use_reentrant=False) if bounded else _column(*args))
        return self._joined(parts, inputs) * (self.v_read * self._unit)

    def _look_up(self, inputs: Inputs, kernels: Any) -> Tensor:
        tiles, rows, _ = self._tiles.g_on.shape
        groups = -(-rows // self._k)
        if kernels is None:
            require_bits(are_bits(inputs.bits))
            padded = torch.nn.functional.pad(inputs.bits.to(torch.uint8), (groups * self._k - rows, 0))
            pattern = chain.patterns(padded, self._k)
            run = self._run_torch
        else:
            pattern = torch.empty(*inputs.bits.shape[:2], groups, dtype=torch.uint8)
            bits = as_machine_bits(inputs.bits)
            require_bits(kernels.pack(bits, self._k, groups * self._k - rows, pattern.numpy()))
            run = self._run_compiled(kernels)
        if self._kept is None and 0 < self._table_bytes(tiles) <= _KEPT_BYTES:
            self._kept = self._tables(0, tiles, kernels)
        step = tiles if self._kept is not None else max(1, _WORK_BYTES // self._table_bytes(1))
        parts = []
        for first in range(0, tiles, max(step, 1)):
            last = min(tiles, first + step)
            table = self._kept if self._kept is not None else self._tables(first, last, kernels)
            parts.append(run(pattern, inputs.stack_of_tile[first:last], table, self._end(first, last)))
        return self._joined(parts, inputs)

    def _run_compiled(self, kernels: Any) -> Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]:
        def run(pattern: Tensor, stack: Tensor, table: Tensor, end: Tensor | None) -> Tensor:
            out = torch.empty(table.shape[0], pattern.shape[1], self._tiles.g_on.shape[-1], dtype=table.dtype)
            scale = out.numpy().dtype.type(self.v_read * self._unit)
            if end is None:
                kernels.run_tables(pattern.numpy(), stack.numpy(), table.numpy(), scale, out.numpy())
            else:
                lanes = table.shape[-1]
                padded = torch.nn.functional.pad(end, (0, -end.shape[-1] % lanes))
                blocks = padded.reshape(table.shape[0], -1, lanes).numpy()
                kernels.run_opposite_tables(pattern.numpy(), stack.numpy(), table.numpy(), blocks, scale, out.numpy())
            return out

        return run

    def _run_torch(self, pattern: Tensor, stack: Tensor, table: Tensor, end: Tensor | None) -> Tensor:
        own = pattern[stack.to(pattern.device)]
        total = chain.run_tables(own, table) if end is None else chain.run_opposite_tables(own, table, end)
        return total * (self.v_read * self._unit)

    def _end(self, first: int, last: int) -> Tensor | None:
        """Bit line after the last row ``(tiles, 1, columns)`` of an array fed at opposite ends."""
        lines = self._rails.tiles(first, last)
        if lines.before is None:
            return None
        ohm = lines.after.detach()[:, -1:] * self._unit
        return ohm.expand(last - first, 1, self._tiles.g_on.shape[-1]).to(self._tiles.dtype)

    def _relative(self, first: int, last: int) -> tuple[Tensor, Tensor, Rails]:
        """Conductances and lines of some tiles in the unit of this stack and the dtype of its results."""
        on, off = self._tiles.part(first, last)
        lines = self._rails.tiles(first, last)
        dtype = self._tiles.dtype
        before = None if lines.before is None else (lines.before * self._unit).to(dtype)
        return (
            (on / self._unit).to(dtype),
            (off / self._unit).to(dtype),
            Rails((lines.after * self._unit).to(dtype), before),
        )

    def _tables(self, first: int, last: int, kernels: Any) -> Tensor:
        """Tables of some tiles, built in fp64: ``(tiles, groups, 2^k, numbers, columns)`` or, for the compiled loop,
        columns in blocks, ``(tiles, blocks, groups, 2^k, numbers, lanes)``."""
        rows, columns = self._tiles.g_on.shape[1:]
        lanes = self._lanes()
        far = -rows % self._k  # open cells on perfect wires at the open end change nothing
        side = -columns % lanes if kernels is not None else 0

        def padded(x: Tensor) -> Tensor:
            return torch.nn.functional.pad(x.detach().expand(x.shape[0], rows, columns), (0, side, far, 0))

        parts = []
        step = max(1, _WORK_BYTES // (40 * max(1, rows * columns) * (1 << self._k) // self._k))
        for start in range(first, last, step):
            end = min(last, start + step)
            lines = self._rails.tiles(start, end)
            on, off = (padded(x / self._unit) for x in self._tiles.part(start, end))
            after = padded(lines.after * self._unit)
            if lines.before is None:
                table = chain.group_tables(on, off, after, self._k)
            else:
                table = chain.opposite_tables(on, off, after, padded(lines.before * self._unit), self._k)
            table = table.to(self._tiles.dtype)
            if kernels is not None:
                table = table.unflatten(-1, (-1, lanes)).movedim(-2, 1).contiguous()
            parts.append(table)
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _table_bytes(self, tiles: int) -> int:
        _, rows, columns = self._tiles.g_on.shape
        numbers = 3 if self._rails.before is None else 9
        return tiles * -(-rows // self._k) * (numbers << self._k) * columns * self._tiles.dtype.itemsize

    def _lanes(self) -> int:
        """Columns a table is cut into: eight vector registers of 512 bits hide what a division waits for."""
        most = _LANE_BYTES // self._tiles.dtype.itemsize
        return min(most, -(-self._tiles.g_on.shape[-1] // 16) * 16)

    def _joined(self, parts: list[Tensor], inputs: Inputs) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        shape = (0, inputs.bits.shape[1], self._tiles.g_on.shape[-1])
        return torch.cat(parts) if parts else torch.empty(shape, dtype=self._tiles.dtype, device=inputs.bits.device)


def _column(bits: Tensor, on: Tensor, off: Tensor, after: Tensor, before: Tensor | None) -> Tensor:
    if before is None:
        total = chain.same_end(bits, on, off, after)
    else:
        total = chain.opposite_end(bits, on, off, after, before)
    return total.expand(on.shape[0], bits.shape[1], on.shape[2])
