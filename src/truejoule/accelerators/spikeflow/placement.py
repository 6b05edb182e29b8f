"""Which cell of which crossbar holds which code of a weight matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from truejoule.accelerators.spikeflow.design import Structure
from truejoule.accelerators.spikeflow.mapping import groups_together, outputs_per_crossbar, repeats
from truejoule.numerics.slicing import row_blocks
from truejoule.workload import Layer


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Cell codes on crossbars. A *set* is all column blocks that read the same rows: the whole matrix, or a part of a grouped convolution.

    Attributes
    ----------
    cells : ``(row_blocks, column_blocks, size, size)`` codes; unused cells hold zero.
    rows : ``(sets, row_blocks, size)`` im2col row on every word line; -1 where there is none.
    columns : ``(sets, width)`` place of every column among those of its set, slice fastest; sets of fewer columns repeat their last one.
    used : ``(K * slices,)`` place of every column among ``sets * width``.
    owner : ``(K,)`` set of every output.
    """

    cells: Tensor
    rows: Tensor
    columns: Tensor
    used: Tensor
    owner: Tensor


def place(codes: Tensor, layer: Layer, structure: Structure) -> Placed:
    """Lay codes ``(slices, fan_in, K)`` out on crossbars; the columns of one weight stay on one crossbar."""
    slices, fan_in, _ = codes.shape
    size, per_crossbar = structure.crossbar_size, outputs_per_crossbar(layer, structure)
    together = groups_together(layer, structure)
    template = row_blocks(
        layer.in_channels // layer.groups * together, layer.kernel, size, structure.row_order
    )  # of a full set
    sets = _sets(layer, per_crossbar, together)
    width = max(len(outputs) for _, outputs in sets) * slices
    cells, rows, columns, used, owner = [], [], [], [], []
    for number, (groups, outputs) in enumerate(sets):
        inside = (template >= 0) & (template < len(groups) * fan_in)
        rows.append(torch.where(inside, template + groups.start * fan_in, -1))
        k = torch.arange(len(outputs))
        side = (k // per_crossbar * size + k % per_crossbar * slices)[:, None] + torch.arange(slices)
        columns.append(torch.cat([side.flatten(), side.flatten()[-1:].expand(width - side.numel())]))
        used.append(number * width + torch.arange(side.numel()))
        owner += [number] * len(outputs)
        blocks = -(-len(outputs) // per_crossbar)
        table = codes.new_zeros(len(groups) * fan_in + 1, blocks * size)
        group = (k + outputs.start) // (layer.out_channels // layer.groups) - groups.start
        place_of = group[None, :] * fan_in + torch.arange(fan_in)[:, None]
        table[place_of[:, :, None], side[None]] = codes[:, :, outputs.start : outputs.stop].permute(1, 2, 0)
        placed = table[torch.where(inside, template, len(groups) * fan_in)]
        cells.append(placed.view(len(template), size, blocks, size).transpose(1, 2))
    return Placed(
        torch.cat(cells, 1).contiguous(),
        torch.stack(rows).to(codes.device),
        torch.stack(columns).to(codes.device),
        torch.cat(used).to(codes.device),
        torch.tensor(owner, device=codes.device),
    )


def _sets(layer: Layer, per_crossbar: int, together: int) -> list[tuple[range, range]]:
    """Groups and outputs of every set, in the order of the outputs."""
    each = layer.out_channels // layer.groups
    if layer.groups == 1:
        return [(range(1), range(each))]
    if repeats(layer, per_crossbar) == 1:
        starts = range(0, layer.groups, together)
        groups = [range(start, min(start + together, layer.groups)) for start in starts]
        return [(g, range(g.start * each, g.stop * each)) for g in groups]
    return [
        (range(g, g + 1), range(g * each + first, g * each + min(first + per_crossbar, each)))
        for g in range(layer.groups)
        for first in range(0, each, per_crossbar)
    ]
