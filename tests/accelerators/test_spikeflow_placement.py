"""Every code of a weight matrix has one cell, the groups of a convolution share crossbars, and no crossbar is empty."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import truejoule as tj
from truejoule.accelerators.spikeflow.mapping import blocks, slices
from truejoule.accelerators.spikeflow.placement import place
from truejoule.workload import Edge, Layer, Workload


def conv(channels, outputs, groups, kernel=(3, 3), bits=4, side=8):
    return Layer(
        name="conv",
        op="conv",
        input_shape=(channels, side, side),
        output_shape=(outputs, side, side),
        kernel=kernel,
        padding=(kernel[0] // 2, kernel[1] // 2),
        groups=groups,
        weight_bits=bits,
        weight_levels="signed",
        input_bits=1,
    )


@settings(max_examples=150, deadline=None)
@given(
    groups=st.integers(1, 9),
    inner=st.integers(1, 9),
    each=st.integers(1, 9),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 5)]),
    size=st.sampled_from([8, 16, 64]),
    order=st.sampled_from(["kernel", "im2col"]),
    cell_bits=st.sampled_from([1, 2, 4]),
)
def test_every_code_has_one_cell(groups, inner, each, kernel, size, order, cell_bits):
    layer = conv(groups * inner, groups * each, groups, kernel)
    s = tj.accelerator("spikeflow", crossbar_size=size, row_order=order, cell_bits=cell_bits).structure
    width, fan_in = slices(layer, s), layer.fan_in
    # Every code is another number, so that each can be found again.
    codes = 1.0 + torch.arange(width * fan_in * layer.out_channels).view(width, fan_in, layer.out_channels)
    placed = place(codes, layer, s)
    assert placed.cells.shape == (*blocks(layer, s), size, size)
    found = placed.cells[placed.cells > 0]
    assert torch.equal(found.sort().values, codes.flatten())
    assert bool((placed.cells > 0).flatten(2).any(2).all())
    # Multiplying what is on the word lines by what is in the cells gives the convolution's own sums.
    x = torch.arange(1.0, fan_in * groups + 1)
    lines = torch.cat([x, torch.zeros(1)])[placed.rows]  # (sets, row_blocks, size), -1 reads the zero behind
    by_set = placed.cells.unflatten(1, (len(placed.rows), -1)).transpose(2, 3).flatten(3)
    currents = torch.einsum("sbr,bsrc->sc", lines, by_set)
    columns = currents.gather(1, placed.columns).flatten()[placed.used].view(layer.out_channels, width)
    expected = torch.einsum("gr,wrgk->gkw", x.view(groups, fan_in), codes.unflatten(2, (groups, each)))
    assert torch.allclose(columns, expected.flatten(0, 1), rtol=1e-5)


@pytest.mark.parametrize(
    "order, crossbars, per_output",
    # 64 channels, 16 outputs of 4 one-bit slices in a crossbar of 64 columns, 64 rows. im2col: 9 rows a channel, 7 channels in a crossbar.
    # kernel: every kernel position has its own crossbars, 16 channels each.
    [("im2col", math.ceil(64 / 7), 1), ("kernel", 9 * 4, 9)],
)
def test_depthwise_layers_convert_what_they_compute(order, crossbars, per_output):
    layer = conv(64, 64, 64)
    workload = Workload("depthwise", (layer,), (Edge("input", "conv"),))
    chip = tj.accelerator("spikeflow", crossbar_size=64, cell_bits=1, row_order=order)
    mapping = chip.map(workload)
    assert mapping.placements[0].arrays == crossbars
    from truejoule.workload.profiles import with_profile

    cost = chip.cost(mapping, with_profile(workload, "relu-50").activity)
    (conversions,) = (e for e in cost.ledger if e.action == "conversion")
    assert conversions.counts == (64 * 64 * 4 * per_output,)
    (read,) = (e for e in cost.ledger if e.action == "input bit read")
    assert read.counts == (64 * 9 * 64,)
    (switched,) = (e for e in cost.ledger if e.action == "row switched")
    assert switched.counts[0] <= 64 * 9 * 64
