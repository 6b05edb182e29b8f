"""A layer as SpikeFlow computes it: cells, wires, converters, digital shift-and-add."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from truejoule.accelerators.image import with_image_bits
from truejoule.accelerators.spikeflow.currents import Currents
from truejoule.accelerators.spikeflow.design import Structure
from truejoule.accelerators.spikeflow.mapping import input_bits, weight_bits
from truejoule.accelerators.spikeflow.placement import place
from truejoule.circuit import Converter, Wires, convert, transfer_and_admittance
from truejoule.errors import InputError
from truejoule.network import Network
from truejoule.numerics.deployed import Deployed, Tally, watched
from truejoule.numerics.draws import normal, uniform
from truejoule.numerics.encoding import encode
from truejoule.numerics.inputs import integers, values
from truejoule.numerics.quantise import Grid, IntegerWeights, input_grid, integer_weights
from truejoule.numerics.schemes import magnitude_bits
from truejoule.numerics.slicing import bit_planes, windows
from truejoule.workload import Layer
from truejoule.workload.standing import standing_layers

CHUNK = 1 << 22
"""Column currents computed at a time: 16 MB of float32 stays near the processor's cache and bounds memory."""
EXACT = 2**24
"""Largest integer up to which float32 holds every one."""


def deploy(network: Network, structure: Structure, calibration: Iterable[Tensor], seed: int, machine: str) -> Deployed:
    """Program every layer with weights on crossbars and set its ranges on the calibration samples (the network's example if there are none)."""
    samples = list(calibration) or [network.example]
    network = network if network.settled else network.calibrated(samples)
    weights, layers = network.weights(), {}
    for layer in with_image_bits(network.workload, structure.image_bits).multiplying:
        integers_of = integer_weights(
            weights[layer.name], weight_bits(layer, structure), layer.weight_levels, where=layer.name
        )
        grid = input_grid(network.codes[layer.name], input_bits(layer, structure))
        layers[layer.name] = CrossbarLayer(layer, integers_of, grid, structure, seed)
    once = structure.standing_input == "once"
    deployed = Deployed(
        network, copy.deepcopy(network.module), layers, machine, standing_layers(network.workload), once
    )
    deployed.calibrate(samples)
    return deployed


class CrossbarLayer(nn.Module):
    """One conv or linear layer on crossbars.

    Currents are counted in units of one code step's current, ``v_read * unit_siemens``; converters see amperes. ``sets`` are the column blocks
    that read the same rows (see ``placement``).

    Buffers
    -------
    g_siemens : ``(row_blocks, column_blocks, size, size)`` programmed conductances; change them and call ``program`` to see the effect.
    """

    g_siemens: Tensor
    codes: Tensor
    _cells: Tensor
    _index: Tensor
    _columns: Tensor
    _used: Tensor
    _owner: Tensor
    scale: Tensor
    radix: Tensor
    mask: Tensor | None

    def __init__(self, layer: Layer, weights: IntegerWeights, grid: Grid, structure: Structure, seed: int) -> None:
        super().__init__()
        self.layer, self.structure, self.seed, self.grid = layer, structure, seed, grid
        self.tally, self.spent, self.calibrating = Tally(), Tally(), False
        self.converter: Converter | None = None
        self._currents: Currents | None = None
        width = magnitude_bits(weights.bits, weights.mid_rise) if structure.encoding == "differential" else weights.bits
        # A weight narrower than a cell uses the whole range of its conductances all the same.
        self._top_code = 2 ** min(structure.cell_bits, width) - 1
        try:
            encoded = encode(weights.codes.T, weights.bits, structure.cell_bits, structure.encoding, weights.mid_rise)
        except InputError as error:
            raise InputError(
                error.what, where=layer.name, got=error.got, expected=error.expected, fix=error.fix
            ) from None
        placed = place(encoded.codes, layer, structure)
        self._first_row = structure.crossbar_size - int((placed.rows >= 0).sum(2).max())
        self.slices, self.offset = encoded.slices, encoded.offset
        rows = layer.fan_in * layer.groups
        # Unused rows (-1) take the zero that forward appends behind the last im2col row.
        index = torch.where(placed.rows >= 0, placed.rows, rows)[:, :, self._first_row :]
        self._shape = tuple(index.shape)
        groups = (layer.groups, layer.out_channels // layer.groups, layer.fan_in)
        self.register_buffer("_index", index.reshape(-1))
        self.register_buffer("_columns", placed.columns)
        self.register_buffer("_used", placed.used)
        self.register_buffer("_owner", placed.owner)
        self.register_buffer("codes", weights.codes.view(groups))
        self.register_buffer("scale", (weights.scale * grid.step).view(1, -1, 1))
        self.register_buffer("radix", encoded.radix.to(placed.cells.device))
        self.register_buffer("mask", None if encoded.mask is None else encoded.mask.T.reshape(groups).contiguous())
        self.register_buffer("_cells", placed.cells)
        self.register_buffer("g_siemens", self._programmed(placed.cells))
        self._sums = torch.float64 if float(weights.codes.abs().sum(1).max()) * grid.top >= EXACT else torch.float32
        self.program()

    @property
    def unit_siemens(self) -> float:
        """Conductance of one code step."""
        return (self.structure.g_on_siemens - self.structure.g_off_siemens) / self._top_code

    @property
    def floor_units(self) -> float:
        """Conductance of a cell that holds code zero, in code steps."""
        return self.structure.g_off_siemens / self.unit_siemens

    @property
    def repeatable(self) -> bool:
        """See ``numerics.deployed.HardwareLayer``."""
        return not self.structure.read_noise

    def _programmed(self, cells: Tensor) -> Tensor:
        """Conductances of the chip with this seed: code, programming error, stuck cells."""
        s = self.structure
        g = s.g_off_siemens + cells.double() * self.unit_siemens
        if s.programming_variation:
            error = normal(tuple(g.shape), self.seed, self.layer.name, "programming").to(g)
            g = (g * (1.0 + s.programming_variation * error)).clamp_(min=0.0)
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
        self.squares = self._pack((self.g_siemens / self.unit_siemens) ** 2) if s.read_noise else None
        rows = slice(self._first_row, None)
        by_set = admittance.unflatten(1, (self._shape[0], -1)).sum(2).transpose(0, 1)
        self.admittance = by_set[..., rows, rows].contiguous()
        self._effective = effective.float()

    def wire_loss(self) -> Tensor:
        """See ``numerics.deployed.HardwareLayer``."""
        return torch.where(self.g_siemens > 0, 1.0 - self._effective / self.g_siemens, 0.0)

    def calibrate(self, on: bool) -> None:
        """See ``numerics.deployed.HardwareLayer``."""
        s = self.structure
        self.calibrating = on
        if s.adc_bits is None:
            return
        summed = min(s.crossbars_per_pe, self._shape[1]) if s.adc_scope == "pe" else 1
        most = summed * s.crossbar_size * s.g_on_siemens * s.v_read
        if s.adc_range == "full":
            blocks = s.crossbars_per_pe if s.adc_scope == "pe" else 1
            self.converter = Converter(s.adc_bits, blocks * s.crossbar_size * s.g_on_siemens * s.v_read)
        elif on:
            self._currents = Currents(most, self.g_siemens.device)
        elif self._currents is not None:
            low, high = self._currents.range(s.adc_coverage)
            # At least one code step wide, so that a layer that was silent during calibration still has a range.
            self.converter = Converter(s.adc_bits, max(high - low, s.v_read * self.unit_siemens), low)
            self._currents = None

    def _pack(self, cells: Tensor) -> Tensor:
        """``(row_blocks, column_blocks, size, size)`` to ``(sets, row_blocks, width, used rows)`` float32: ready to multiply inputs from the left."""
        by_set = cells.unflatten(1, (self._shape[0], -1)).transpose(2, 3).flatten(3)[:, :, self._first_row :]
        place = self._columns[None, :, None].expand(len(cells), -1, by_set.shape[2], -1)
        return by_set.gather(3, place).permute(1, 0, 3, 2).float().contiguous()

    def forward(self, x: Tensor, bias: Tensor | None, step: int, first_sample: int) -> Tensor:
        """See ``numerics.deployed.HardwareLayer``."""
        codes, taken = integers(x, self.grid)
        spent = Tally()
        spent.take(taken)
        layer = self.layer
        # Positions of a linear layer over (N, ..., F) are positions of a map.
        maps = codes.flatten(1, -2).transpose(1, 2) if layer.op == "linear" and codes.dim() > 2 else codes
        chunk = max(1, CHUNK // (self.matrix.shape[0] * self.matrix.shape[1] * self.matrix.shape[2] * layer.positions))
        parts = [self._compute(p, step, first_sample + i * chunk, spent) for i, p in enumerate(maps.split(chunk))]
        result = values(torch.cat(parts), self.scale, x)
        if layer.op == "linear":
            result = result.transpose(1, 2).reshape(*codes.shape[:-1], layer.out_channels)
        else:
            result = result.view(len(x), layer.out_channels, *layer.output_shape[1:])
        self.tally.add(spent, step)
        self.spent = spent
        if bias is None:
            return result
        return result + (bias if layer.op == "linear" else bias.view(-1, 1, 1))

    def _compute(self, codes: Tensor, step: int, first_sample: int, spent: Tally) -> Tensor:
        """Integer results ``(n, K, P)`` of integer inputs ``(n, C, H, W)``, ``(n, features)`` or ``(n, features, P)``."""
        layer = self.layer
        unrolled = windows(codes, layer.kernel, layer.stride, layer.padding, layer.dilation)
        total = torch.zeros((), dtype=self._sums, device=codes.device)
        for plane_number, (weight, plane) in enumerate(bit_planes(unrolled, self.grid.low, self.grid.high)):
            rows = nn.functional.pad(plane, (0, 0, 0, 1)).index_select(1, self._index).unflatten(1, self._shape)
            by_group = plane.unflatten(1, (layer.groups, layer.fan_in))
            partial = self._read(rows, (first_sample, step, plane_number), spent)
            partial = self._shifted(partial.flatten(1, 2).index_select(1, self._used))
            if self.mask is None and self.offset:
                partial = partial.sub_(self.offset * self._per_output(by_group.sum(2)))
            total = total + partial.to(self._sums) * weight
            moments = torch.matmul(rows, rows.transpose(-1, -2)).sum(0)
            spent.count("driven_conductance", 0, float((moments.double() * self.admittance).sum()))
            spent.count("driven_rows", 0, float(plane.double().sum()))
            if self.mask is not None:
                spent.count("sign_counts", 0, float((self.mask.sum(1).double() * by_group.double().sum((0, 3))).sum()))
        grouped = unrolled.unflatten(1, (layer.groups, layer.fan_in))
        if self.mask is not None:
            negative = torch.matmul(self.mask.to(self._sums), grouped.to(self._sums)).flatten(1, 2)
            total = total.sub_(negative, alpha=self.offset)
        looked_at = watched(first_sample, step)
        if looked_at:
            exact = torch.matmul(self.codes.double(), grouped[:looked_at].double()).flatten(1, 2)
            spent.watch(exact, total[:looked_at])
        return total

    def _per_output(self, by_group: Tensor) -> Tensor:
        """``(n, groups, P)`` to what broadcasts against ``(n, K, P)``."""
        each = self.layer.out_channels // self.layer.groups
        return by_group if by_group.shape[1] == 1 else by_group.repeat_interleave(each, 1)

    def _shifted(self, columns: Tensor) -> Tensor:
        """Columns ``(n, K * slices, P)`` added up with the radix of their slices, ``(n, K, P)``."""
        if self.slices == 1:
            return columns.mul_(self.radix[0]) if float(self.radix[0]) != 1.0 else columns
        return torch.einsum("nksp,s->nkp", columns.unflatten(1, (-1, self.slices)), self.radix)

    def _read(self, rows: Tensor, key: tuple[int, int, int], spent: Tally) -> Tensor:
        """One read of all crossbars: 0/1 inputs ``(n, sets, row_blocks, rows, P)`` to sums over the row blocks ``(n, sets, width, P)``.

        In code steps, without the floor of R_off: converters see it, and it is taken out behind them.
        """
        s = self.structure
        signal = self._noisy(torch.matmul(self.matrix, rows), rows, key)
        if s.adc_bits is None:
            return signal.sum(2)
        floor = rows.sum(3, keepdim=True).mul_(self.floor_units)
        if s.adc_scope == "pe" and signal.shape[2] > 1:
            signal, floor = (
                torch.stack([pe.sum(2) for pe in of.split(s.crossbars_per_pe, dim=2)], 2) for of in (signal, floor)
            )
        ampere = s.v_read * self.unit_siemens
        if self.calibrating:
            if self._currents is not None:
                self._currents.add((signal + floor).mul_(ampere))
            return signal.sum(2)
        assert self.converter is not None, "a layer computes only after calibration"
        current = signal.add_(floor).mul_(ampere)
        spent.converted += current.numel()
        spent.clipped += _outside(current, self.converter)
        converters, total_floor = current.shape[2], floor.sum(2)
        codes = convert(current, self.converter, out=current)
        total = codes.sum(2) if converters > 1 else codes[:, :, 0]
        zero = converters * self.converter.zero_a / ampere
        return total.mul_(self.converter.lsb_a / ampere).add_(zero).sub_(total_floor)

    def _noisy(self, signal: Tensor, rows: Tensor, key: tuple[int, int, int]) -> Tensor:
        """Adds the read noise of every cell, drawn per sample, step and read, so that it does not depend on the batch; none while ranges are set."""
        if self.squares is None or self.calibrating:
            return signal
        first_sample, step, plane = key
        spread = torch.matmul(self.squares, rows).sqrt_().mul_(self.structure.read_noise)
        for i, sample in enumerate(spread):
            draw = normal(tuple(sample.shape), self.seed, self.layer.name, "read", first_sample + i, step, plane)
            sample.mul_(draw.to(sample.device))
        return signal.add_(spread)


def _outside(current: Tensor, converter: Converter) -> float:
    """How many currents clip: those more than half a code beyond either end of the range."""
    half, zero = float(converter.lsb_a) / 2, float(converter.zero_a)
    low, high = zero - half, zero + float(converter.full_scale_a) + half
    smallest, largest = (float(v) for v in torch.aminmax(current))
    if smallest >= low and largest <= high:
        return 0.0
    return float(((current < low) | (current > high)).sum())
