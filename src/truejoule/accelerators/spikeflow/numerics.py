"""A layer as SpikeFlow computes it: cells, wires, converters, digital shift-and-add."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from truejoule.accelerators.image import with_image_bits
from truejoule.accelerators.spikeflow.design import Structure
from truejoule.accelerators.spikeflow.mapping import input_bits, weight_bits
from truejoule.circuit import Converter, Wires, convert, saturation_share, transfer_and_admittance
from truejoule.network import Network
from truejoule.numerics.deployed import Deployed, Tally
from truejoule.numerics.draws import normal, uniform
from truejoule.numerics.encoding import encode
from truejoule.numerics.quantise import Grid, IntegerWeights, integer_weights, known_grid, range_grid
from truejoule.numerics.slicing import bit_planes, row_blocks, windows
from truejoule.workload import Layer
from truejoule.workload.standing import standing_layers

CHUNK = 1 << 22
"""Column currents computed at a time: 16 MB of float32 stays near the processor's cache and bounds memory."""
CALIBRATION_CURRENTS = 10_000
"""Column currents, evenly picked, that one read adds to what a range is set on."""


def deploy(network: Network, structure: Structure, calibration: Iterable[Tensor], seed: int, machine: str) -> Deployed:
    """Program every layer with weights on crossbars and set its ranges on the calibration batches (the network's example if there are none)."""
    weights, layers = network.weights(), {}
    for layer in with_image_bits(network.workload, structure.image_bits).multiplying:
        integers = integer_weights(
            weights[layer.name], weight_bits(layer, structure), layer.weight_levels, where=layer.name
        )
        code = network.codes[layer.name]
        grid = known_grid(code.step, code.bits, code.signed)
        layers[layer.name] = CrossbarLayer(layer, integers, grid, structure, seed)
    once = standing_layers(network.workload) if structure.standing_input == "once" else ()
    deployed = Deployed(network, copy.deepcopy(network.module), layers, machine, once)
    deployed.calibrate(list(calibration) or [network.example])
    return deployed


class CrossbarLayer(nn.Module):
    """One conv or linear layer on crossbars.

    Currents are counted in units of one code step's current, ``v_read * unit_siemens``; converters see amperes.

    Buffers
    -------
    g_siemens : ``(row_blocks, column_blocks, size, size)`` programmed conductances; change them and call ``program`` to see the effect.
    """

    g_siemens: Tensor
    codes: Tensor
    _cells: Tensor
    _index: Tensor
    scale: Tensor
    radix: Tensor
    mask: Tensor | None

    def __init__(
        self, layer: Layer, weights: IntegerWeights, grid: Grid | None, structure: Structure, seed: int
    ) -> None:
        super().__init__()
        self.layer, self.structure, self.seed = layer, structure, seed
        self.tally, self.calibrating = Tally(), False
        self.grid, self._follow_inputs = grid, grid is None
        self.converter: Converter | None = None
        self._seen = torch.empty(0, device=weights.codes.device)
        self._last: tuple[Tensor, Tensor, Tally] | None = None
        dense = _dense(weights.codes, layer)
        encoded = encode(dense.T, weights.bits, structure.cell_bits, structure.encoding)
        index = row_blocks(layer.in_channels, layer.kernel, structure.crossbar_size, structure.row_order).to(
            dense.device
        )
        self._first_row = structure.crossbar_size - int((index >= 0).sum(1).max())
        self.slices, self.offset = encoded.slices, encoded.offset
        cells, self._columns = _cells(encoded.codes, index, structure)
        # Unused rows (-1) take the zero that forward appends behind the last im2col row.
        self.register_buffer("_index", torch.where(index >= 0, index, dense.shape[1])[:, self._first_row :].reshape(-1))
        self.register_buffer("codes", dense)
        self.register_buffer("scale", weights.scale.float())
        self.register_buffer("radix", encoded.radix.to(dense.device))
        self.register_buffer("mask", None if encoded.mask is None else encoded.mask.T.contiguous())
        self.register_buffer("_cells", cells)
        self.register_buffer("g_siemens", self._programmed(cells))
        self.program()

    @property
    def unit_siemens(self) -> float:
        """Conductance of one code step."""
        s = self.structure
        return (s.g_on_siemens - s.g_off_siemens) / (2**s.cell_bits - 1)

    @property
    def floor_units(self) -> float:
        """Conductance of a cell that holds code zero, in code steps."""
        return self.structure.g_off_siemens / self.unit_siemens

    def _programmed(self, cells: Tensor) -> Tensor:
        """Conductances of the chip with this seed: code, programming error, stuck cells."""
        s = self.structure
        g = s.g_off_siemens + cells.double() * self.unit_siemens
        if s.programming_variation:
            g = (
                g
                * (
                    1.0
                    + s.programming_variation * normal(tuple(g.shape), self.seed, self.layer.name, "programming").to(g)
                )
            ).clamp_(min=0.0)
        if s.stuck_on or s.stuck_off:
            draw = uniform(tuple(g.shape), self.seed, self.layer.name, "stuck").to(g.device)
            g = torch.where(draw < s.stuck_on, s.g_on_siemens, g)
            g = torch.where((draw >= s.stuck_on) & (draw < s.stuck_on + s.stuck_off), s.g_off_siemens, g)
        return g

    def program(self) -> None:
        """Solve the arrays for the present conductances, exactly and with all wires: effective matrices and input admittances."""
        s = self.structure
        wires = Wires(r_wl_ohm=s.r_wl, r_bl_ohm=s.r_bl, r_source_ohm=s.r_source, r_sense_ohm=s.r_sense)
        effective, admittance = transfer_and_admittance(self.g_siemens, wires)
        # Deviation from what the code asks for, on top of the code: exactly the integer where nothing disturbs it.
        nominal = s.g_off_siemens + self._cells.double() * self.unit_siemens
        self.matrix = self._pack(self._cells.double() + (effective - nominal) / self.unit_siemens)
        self._amperes = (self.matrix + self.floor_units) * (s.v_read * self.unit_siemens)
        self.squares = self._pack((self.g_siemens / self.unit_siemens) ** 2) if s.read_noise else None
        rows = slice(self._first_row, None)
        self.admittance = admittance.sum(1)[:, rows, rows].float().contiguous()
        self._effective = effective.float()
        self._last = None

    def wire_loss(self) -> Tensor:
        """See ``numerics.deployed.HardwareLayer``."""
        return torch.where(self.g_siemens > 0, 1.0 - self._effective / self.g_siemens, 0.0)

    def calibrate(self, on: bool) -> None:
        """While on, every input widens the ranges of converters and of real-valued inputs."""
        self.calibrating, self._last = on, None
        self._seen = self._seen[:0]

    def _pack(self, cells: Tensor) -> Tensor:
        """``(row_blocks, column_blocks, size, size)`` to ``(row_blocks, K * slices, used rows)`` float32: ready to multiply inputs from the left."""
        flat = cells.transpose(1, 2).flatten(2)[:, self._first_row :, self._columns.to(cells.device)]
        return flat.transpose(1, 2).float().contiguous()

    def forward(self, x: Tensor, bias: Tensor | None, step: int, first_sample: int) -> Tensor:
        """See ``numerics.deployed.HardwareLayer``."""
        if self._last is not None and not self.structure.read_noise and not self.calibrating and self._same(x):
            # The same image in every time step gives the same currents: exact, so it need not be computed again.
            _, result, spent = self._last
            self.tally.add(spent, step)
            return self._biased(result, bias)
        grid = self._input_grid(x)
        codes = grid.codes(x)
        spent = Tally(overflow=grid.overflow(x)) if first_sample == 0 else Tally()
        layer = self.layer
        flat = codes.flatten(0, -2) if layer.op == "linear" else codes
        per_sample = self.matrix.shape[0] * self.matrix.shape[1] * layer.positions
        chunk = max(1, CHUNK // per_sample)
        parts = [
            self._compute(part, grid, step, first_sample + i * chunk, spent) for i, part in enumerate(flat.split(chunk))
        ]
        result = torch.cat(parts).mul_((self.scale * grid.step).view(1, -1, 1))
        result = (
            result.view(*codes.shape[:-1], -1)
            if layer.op == "linear"
            else result.view(len(x), layer.out_channels, *layer.output_shape[1:])
        )
        self.tally.add(spent, step)
        self._last = (x, result, spent)
        return self._biased(result, bias)

    def _biased(self, result: Tensor, bias: Tensor | None) -> Tensor:
        """A new tensor, so that nobody overwrites the remembered result."""
        if bias is None:
            return result.clone()
        return result + (bias if self.layer.op == "linear" else bias.view(-1, 1, 1))

    def _same(self, x: Tensor) -> bool:
        last = self._last[0] if self._last is not None else None
        return last is not None and (x is last or (x.shape == last.shape and torch.equal(x, last)))

    def _input_grid(self, x: Tensor) -> Grid:
        """The integer grid of the inputs: their own (spikes, pixels), else ``input_bits`` up to the largest calibration value."""
        if self.calibrating and self._follow_inputs:
            seen = 0.0 if self.grid is None else self.grid.step * self.grid.top
            self.grid = range_grid(
                max(float(x.abs().max()), seen), input_bits(self.layer, self.structure), self.layer.inputs_signed
            )
        assert self.grid is not None, "a layer computes only after calibration"
        return self.grid

    def _compute(self, codes: Tensor, grid: Grid, step: int, first_sample: int, spent: Tally) -> Tensor:
        """Integer results ``(n, K, P)`` of integer inputs ``(n, C, H, W)`` or ``(n, features)``."""
        layer, s = self.layer, self.structure
        unrolled = windows(codes, layer.kernel, layer.stride, layer.padding, layer.dilation)
        total: Tensor | None = None
        for weight, plane in bit_planes(unrolled, grid.bits, grid.signed):
            ones = plane.sum(1)
            rows = (
                nn.functional.pad(plane, (0, 0, 0, 1))
                .index_select(1, self._index)
                .unflatten(1, (self.matrix.shape[0], -1))
            )
            partial = self._read(rows, step, first_sample, spent)
            if self.slices > 1:
                partial = torch.einsum(
                    "nksp,s->nkp", partial.unflatten(1, (layer.out_channels, self.slices)), self.radix
                )
            if s.adc_bits is not None:
                partial = partial.sub_(self.floor_units * float(self.radix.sum()) * ones[:, None, :])
            if self.mask is None and self.offset:
                partial = partial.sub_(self.offset * ones[:, None, :])
            total = partial.mul_(weight) if total is None else total.add_(partial, alpha=weight)
            moments = torch.matmul(rows, rows.transpose(-1, -2)).sum(0)
            spent.count("driven_conductance", 0, float((moments.double() * self.admittance.double()).sum()))
            spent.count("driven_rows", 0, float(ones.double().sum()))
            if self.mask is not None:
                spent.count("sign_counts", 0, float(self.mask.sum(0).double() @ plane.sum((0, 2)).double()))
        assert total is not None
        if self.mask is not None:
            total.sub_(torch.matmul(self.mask, unrolled), alpha=self.offset)
        if step == 0 and first_sample == 0:
            exact = torch.matmul(self.codes, unrolled)
            spent.signal += float(exact.double().square().sum())
            spent.error += float((total - exact).double().square().sum())
        return total

    def _read(self, rows: Tensor, step: int, first_sample: int, spent: Tally) -> Tensor:
        """One read of all crossbars: 0/1 inputs ``(n, row_blocks, rows, P)`` to sums over the converters ``(n, K * slices, P)`` in code steps.

        Includes the floor of R_off when there is a converter, which sees it; an ideal read-out has it taken out already.
        """
        s = self.structure
        if s.adc_bits is None:
            return self._noisy(torch.matmul(self.matrix, rows), rows, step, first_sample, 1.0).sum(1)
        ampere = s.v_read * self.unit_siemens
        current = self._noisy(torch.matmul(self._amperes, rows), rows, step, first_sample, ampere)
        if s.adc_scope == "pe" and current.shape[1] > 1:
            current = torch.stack([pe.sum(1) for pe in current.split(s.crossbars_per_pe, dim=1)], 1)
        if self.calibrating:
            self._widen(current, ampere)
        assert self.converter is not None
        if first_sample == 0:
            spent.converted += current.numel()
            spent.clipped += saturation_share(current, self.converter) * current.numel()
        converters = current.shape[1]
        codes = convert(current, self.converter, out=current)
        total = codes.sum(1) if converters > 1 else codes[:, 0]
        return total.mul_(self.converter.lsb_a / ampere).add_(converters * self.converter.zero_a / ampere)

    def _noisy(self, values: Tensor, rows: Tensor, step: int, first_sample: int, unit: float) -> Tensor:
        """Adds the read noise of every cell, drawn per sample and step so that it does not depend on the batch."""
        if self.squares is None:
            return values
        spread = torch.matmul(self.squares, rows).sqrt_().mul_(self.structure.read_noise * unit)
        for i, sample in enumerate(spread):
            sample.mul_(
                normal(tuple(sample.shape), self.seed, self.layer.name, "read", first_sample + i, step).to(
                    sample.device
                )
            )
        return values.add_(spread)

    def _widen(self, current: Tensor, ampere: float) -> None:
        """Set the converter's range on the currents seen so far."""
        s = self.structure
        assert s.adc_bits is not None
        if s.adc_range == "full":
            blocks = s.crossbars_per_pe if s.adc_scope == "pe" else 1
            top = blocks * s.crossbar_size * s.g_on_siemens * s.v_read
            self.converter = Converter(s.adc_bits, top)
            return
        self._seen = torch.cat([self._seen, current.flatten()[:: current.numel() // CALIBRATION_CURRENTS + 1]])
        outside = int(len(self._seen) * (1.0 - s.adc_coverage) / 2)
        low, high = (float(self._seen.kthvalue(k).values) for k in (outside + 1, len(self._seen) - outside))
        # At least one code step wide, so that a layer that was silent during calibration still has a range.
        self.converter = Converter(s.adc_bits, max(high - low, ampere), low)


def _dense(codes: Tensor, layer: Layer) -> Tensor:
    """Integer weights as a ``(K, C*R*S)`` matrix; grouped convolutions get zeros outside their group."""
    if layer.groups == 1:
        return codes
    inner, outputs = codes.shape[1], layer.out_channels // layer.groups
    dense = codes.new_zeros(layer.out_channels, inner * layer.groups)
    for g in range(layer.groups):
        dense[g * outputs : (g + 1) * outputs, g * inner : (g + 1) * inner] = codes[g * outputs : (g + 1) * outputs]
    return dense


def _cells(codes: Tensor, index: Tensor, structure: Structure) -> tuple[Tensor, Tensor]:
    """Codes ``(slices, rows, K)`` laid out on crossbars.

    Returns
    -------
    ``(row_blocks, column_blocks, size, size)`` cell codes, and for each of the ``K * slices`` columns (slice fastest) its place among
    ``column_blocks * size``. Unused cells hold code zero; the columns of one weight stay on one crossbar.
    """
    slices, rows, outputs = codes.shape
    size = structure.crossbar_size
    per_crossbar = size // slices
    blocks = math.ceil(outputs / per_crossbar)
    k = torch.arange(outputs).repeat_interleave(slices)
    columns = k // per_crossbar * size + k % per_crossbar * slices + torch.arange(slices).repeat(outputs)
    table = codes.new_zeros(rows + 1, blocks * size)
    table[:rows, columns] = codes.permute(1, 2, 0).flatten(1)
    placed = table[torch.where(index >= 0, index, rows)]
    return placed.view(len(index), size, blocks, size).transpose(1, 2).contiguous(), columns
