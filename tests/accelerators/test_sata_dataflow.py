"""Counts of every dataflow against an array walked cycle by cycle, and laws that hold for any layer."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sata_oracle import Walk, dram_walk, least_recent
from torch.nn import functional

import truejoule as tj
from truejoule.accelerators.sata.dataflow import demand, loops, valid_products
from truejoule.accelerators.sata.memory import moves
from truejoule.workload import Edge, Layer, Neuron, Workload, shapes

DATAFLOWS = ("output_stationary", "tick_batch", "temporal_parallel", "weight_stationary", "parallel_time_batching")


@st.composite
def layers(draw):
    """Small conv (1-D, 2-D, grouped, depthwise, strided, dilated) and linear layers with T steps."""
    t, bits = draw(st.integers(1, 5)), draw(st.sampled_from([1, 1, 3]))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    k, c = groups * draw(st.integers(1, 4)), groups * draw(st.integers(1, 2))
    common = dict(name="layer", steps=t, input_bits=bits, weight_bits=4, weight_levels="signed")
    kind = draw(st.sampled_from(["conv2d", "conv1d", "linear"]))
    if kind == "linear":
        return Layer(op="linear", input_shape=(draw(st.integers(1, 9)),), output_shape=(k,), **common)
    dims = 2 if kind == "conv2d" else 1
    shape, out, kernel, stride, padding, dilation = [], [], [], [], [], []
    for _ in range(dims):
        size, r, d = draw(st.integers(2, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        pad, step = draw(st.integers(0, 1)), draw(st.integers(1, 2))
        reach = d * (r - 1) + 1
        if size + 2 * pad < reach:
            r, d, reach = 1, 1, 1
        shape.append(size)
        kernel.append(r)
        dilation.append(d)
        padding.append(pad)
        stride.append(step)
        out.append((size + 2 * pad - reach) // step + 1)

    def pair(values, fill):
        return tuple([fill] * (2 - dims) + values)

    return Layer(
        op="conv",
        input_shape=(c, *shape),
        output_shape=(k, *out),
        kernel=pair(kernel, 1),
        stride=pair(stride, 1),
        padding=pair(padding, 0),
        dilation=pair(dilation, 1),
        groups=groups,
        **common,
    )


def convolved(layer, x, weights):
    """The same sums by torch: ``(T, K, P)``."""
    x, w = torch.tensor(x).double(), torch.tensor(weights).double()
    if layer.op == "linear":
        return functional.linear(x, w)[..., None]
    if x.dim() == 3:
        x = x[:, :, None]
    w = w.view(layer.out_channels, -1, *layer.kernel)
    return functional.conv2d(x, w, None, layer.stride, layer.padding, layer.dilation, layer.groups).flatten(2)


def holding(room, layer, columns):
    """Bits of an output buffer of which half has room for so many partial sums of every column, and a few bits more."""
    return 2.0 * room * min(layer.out_channels // layer.groups, columns) * 16 + 18


def walked(layer, s, out_bits=1):
    random = np.random.default_rng(0)
    x = random.integers(0, 2**layer.input_bits, (layer.steps, *layer.input_shape))
    weights = random.integers(-7, 8, (layer.out_channels, layer.fan_in))
    walk = Walk(layer, x, weights, s, layer.input_bits, out_bits, layer.input_bits).run()
    assert np.array_equal(walk.sums, convolved(layer, x, weights).numpy())
    return walk


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@settings(max_examples=25, deadline=None)
@given(
    layer=layers(),
    rows=st.integers(1, 4),
    columns=st.integers(1, 3),
    window=st.integers(1, 3),
    word=st.sampled_from([1, 4, 16]),
    out_bits=st.sampled_from([1, 3]),
    room=st.sampled_from([1, 2, 3, 4, 7, 12, 1000]),
)
def test_counts_by_walking_every_cycle(dataflow, layer, rows, columns, window, word, out_bits, room):
    s = replace(
        tj.accelerator("sata").structure,
        **dict(dataflow=dataflow, rows=rows, columns=columns, time_window=window, buffer_word=word),
        **dict(operand_bits=4, output_buffer=holding(room, layer, columns)),
    )
    walk = walked(layer, s, out_bits)
    got, t = demand(loops(layer, s), s, out_bits), layer.steps
    assert got.cycles.total(t) == walk.count["cycles"]
    assert got.inputs.total(t) == walk.count["inputs"]
    assert got.weights.total(t) == walk.count["weights"]
    assert got.outputs.total(t) == walk.count["outputs"]
    assert got.partials.total(t) == walk.count["partials"]
    assert walk.count["live"] <= s.output_buffer / 2
    assert got.tiles == walk.count["tiles"] or dataflow != "weight_stationary"
    assert got.folds * (t if dataflow == "output_stationary" else got.tiles) == walk.count["folds"]
    assert got.cycles.total(t) * s.pes >= walk.count["pe cycles"]


def small(positions, steps, window=6):
    return Layer(
        name="layer",
        op="conv",
        input_shape=(window, positions),
        output_shape=(4, positions),
        kernel=(1, 1),
        steps=steps,
        input_bits=1,
        weight_bits=4,
        weight_levels="signed",
    )


@pytest.mark.parametrize(
    ("positions", "steps", "window", "room", "tiles"),
    [
        (7, 2, 6, 14, 1),  # all of them fit
        (7, 2, 6, 13, 2),  # 4 and 3 positions
        (7, 2, 6, 6, 3),  # 3, 2 and 2 positions
        (7, 2, 6, 2, 7),  # one position at a time
        (7, 5, 6, 4, 14),  # one position, 3 and 2 steps
        (7, 5, 6, 2, 21),  # one position, 2, 2 and 1 steps
        (7, 5, 6, 1, 35),
        (7, 5, 3, 1, 1),  # the window fits in the rows: no partial sums
    ],
)
def test_tiles_of_partial_sums_by_hand(positions, steps, window, room, tiles):
    layer = small(positions, steps, window)
    s = replace(
        tj.accelerator("sata", dataflow="weight_stationary").structure,
        **dict(rows=3, columns=2, buffer_word=3, operand_bits=4, output_buffer=holding(room, layer, 2)),
    )
    got, walk = demand(loops(layer, s), s), walked(layer, s)
    assert got.tiles == tiles == walk.count["tiles"]
    assert walk.count["live"] <= s.output_buffer / 2
    whole = demand(loops(layer, s), replace(s, output_buffer=1e9))
    assert got.cycles.step == whole.cycles.step and got.cycles.once == tiles * whole.cycles.once
    assert got.weights == replace(whole.weights, once=tiles * whole.weights.once)
    assert (got.partials, got.outputs, got.folds) == (whole.partials, whole.outputs, whole.folds)
    assert got.cycles.total(steps) == walk.count["cycles"] and got.inputs.total(steps) == walk.count["inputs"]


@settings(max_examples=200, deadline=None)
@given(
    layer=layers(),
    rows=st.integers(1, 4),
    columns=st.integers(1, 3),
    rooms=st.tuples(st.integers(1, 60), st.integers(0, 60)),
    weight_buffer=st.integers(1, 2000),
    input_buffer=st.integers(1, 2000),
)
def test_a_larger_output_buffer_never_costs_more(layer, rows, columns, rooms, weight_buffer, input_buffer):
    """Weight stationary: neither cycles nor reads of weights nor bits over the edge grow with the room for partial sums."""
    base = replace(
        tj.accelerator("sata", dataflow="weight_stationary").structure,
        **dict(rows=rows, columns=columns, buffer_word=4, operand_bits=4),
        **dict(weight_buffer=float(weight_buffer), input_buffer=float(input_buffer)),
    )
    workload, t = Workload("one", (layer,), (Edge("input", "layer"),), layer.steps), layer.steps
    found = []
    for room in (rooms[0], sum(rooms), 10**6):
        s = replace(base, output_buffer=holding(room, layer, columns))
        got = demand(loops(layer, s), s)
        edge = moves(workload, s, {"layer": got})["layer"].dram
        found.append((got.cycles.total(t), got.weights.total(t), edge.total(t)))
    for narrow, wide in itertools.pairwise(found):
        assert all(a >= b for a, b in zip(narrow, wide, strict=True))


@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_the_output_buffer_decides_nothing_else(dataflow):
    """Only weight stationary keeps partial sums outside of the array."""
    s = tj.accelerator("sata", dataflow=dataflow).structure
    layer = shapes.network("vgg9", time_steps=4, neuron=Neuron(), weight_bits=8)["conv2"]
    small, large = (demand(loops(layer, s), replace(s, output_buffer=kb * 8192.0)) for kb in (16, 1024))
    assert (small == large) == (dataflow != "weight_stationary")
    assert large.tiles == 1


@settings(max_examples=100, deadline=None)
@given(
    channels=st.integers(1, 5),
    blocks=st.integers(1, 3),
    positions=st.integers(1, 6),
    t=st.integers(1, 4),
    rows=st.integers(1, 4),
    room=st.integers(1, 25),
    half=st.integers(1, 200),
)
def test_weights_from_dram_by_walking_the_tiles(channels, blocks, positions, t, rows, room, half):
    """A weight buffer that keeps what was used last fetches a block of channels once if it holds it, else once per tile; the maps fit."""
    layer = small(positions, t, channels)
    layer = replace(layer, output_shape=(2 * blocks, positions))
    s = replace(
        tj.accelerator("sata", dataflow="weight_stationary").structure,
        **dict(rows=rows, columns=2, operand_bits=4, buffer_word=4, output_buffer=holding(room, layer, 2)),
        **dict(weight_buffer=2.0 * half, input_buffer=1e9),
    )
    workload = Workload("one", (layer,), (Edge("input", "layer"),), t)
    got = moves(workload, s, {"layer": demand(loops(layer, s), s)})["layer"]
    if layer.weights * 4 > s.weight_buffer:
        assert got.weights.total(t) == least_recent(walked(layer, s).fetched, half)
    else:
        assert got.weights.total(t) == layer.weights * 4


def test_maps_beyond_their_buffer_and_tiles_of_partial_sums():
    """192 bits of weights in three blocks of 64, a map of 512 bits: both orders of the loops, with blocks that the weight buffer holds or not."""
    layer = replace(small(64, 1, 8), output_shape=(6, 64))
    workload = Workload("one", (layer,), (Edge("input", "layer"),), 1)

    def moved(input_half, weight_half, room):
        s = replace(
            tj.accelerator("sata", dataflow="weight_stationary").structure,
            **dict(rows=4, columns=2, operand_bits=4, buffer_word=4, input_buffer=2.0 * input_half),
            **dict(weight_buffer=2.0 * weight_half, output_buffer=holding(room, layer, 2)),
        )
        got = moves(workload, s, {"layer": demand(loops(layer, s), s)})["layer"]
        return got.weights.total(1) / 192, got.inputs.total(1) / 512

    # Inputs outermost in four runs: tiles of sums cost more weights only if a block is not held and there are more of them.
    assert moved(128, 64, 64) == moved(128, 64, 8) == (4, 1)
    assert moved(128, 32, 64) == moved(128, 32, 16) == (4, 1)
    assert moved(128, 32, 8) == (8, 1)
    # Weights outermost in three or six runs beats inputs in sixteen, until the tiles are too many.
    assert moved(32, 64, 64) == moved(32, 64, 8) == (1, 3)
    assert moved(32, 32, 64) == (1, 6)
    assert moved(32, 32, 32) == (2, 6)
    assert moved(32, 32, 16) == (16, 1)


@settings(max_examples=50, deadline=None)
@given(layer=layers())
def test_products_that_are_not_padding(layer):
    ones = np.ones((1, *layer.input_shape))
    assert valid_products(layer) == convolved(layer, ones, np.ones((layer.out_channels, layer.fan_in))).sum()


@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 40),
    k=st.integers(1, 40),
    t=st.integers(1, 3),
    weight_half=st.integers(1, 30),
    input_half=st.integers(1, 30),
    dataflow=st.sampled_from(DATAFLOWS[:2]),
)
def test_dram_by_walking_the_tiles(channels, k, t, weight_half, input_half, dataflow):
    """Nested loops over tiles, in both orders; a network too large for its buffers, spikes at the input."""
    side = 3
    conv = dict(op="conv", output_shape=(k, side, side), steps=t, weight_bits=4, weight_levels="signed", input_bits=1)
    conv |= dict(kernel=(3, 3), padding=(1, 1))
    first = Layer(name="a", input_shape=(channels, side, side), **conv)
    second = Layer(name="b", input_shape=(k, side, side), **conv)
    workload = Workload("two", (first, second), (Edge("input", "a"), Edge("a", "b")), t)
    s = replace(
        tj.accelerator("sata").structure,
        dataflow=dataflow,
        weight_buffer=128.0 * weight_half,
        input_buffer=64.0 * input_half,
    )
    found = moves(workload, s, {layer.name: demand(loops(layer, s), s) for layer in workload.layers})
    resident = (first.weights + second.weights) * 4 <= s.weight_buffer
    runs = t if dataflow == "output_stationary" else 1
    for layer in workload.layers:
        weights, maps = layer.weights * 4, layer.inputs * (1 if runs == t else t)
        fits = maps <= 32 * input_half
        got = found[layer.name]
        fetched = got.weights.total(t) + got.inputs.total(t)
        if resident:
            assert got.weights.total(t) == weights and fetched - weights == (
                0 if fits and layer is second else runs * maps
            )
        elif fits:
            assert fetched == runs * (weights + (0 if layer is second else maps))
        else:
            assert fetched == runs * dram_walk(weights, maps, 64 * weight_half, 32 * input_half)
        handed = got.handed.total(t) + got.maps.total(t)
        assert handed == (0 if layer is first else runs * maps)


def test_released_closed_forms_are_ours_with_whole_tiles():
    """Where tiles are whole, our cycles are the released ones plus the drain they leave out."""
    from truejoule.accelerators.sata.released import cycles

    s = tj.accelerator("sata", dataflow="output_stationary").structure
    layer = Layer(
        name="l",
        op="conv",
        input_shape=(32, 10, 10),
        output_shape=(64, 8, 8),
        kernel=(3, 3),
        input_bits=1,
        weight_bits=8,
        weight_levels="signed",
    )
    assert demand(loops(layer, s), s).cycles.step == cycles(layer, s)[0] + 1 + s.columns


def test_weights_are_fetched_as_often_as_promised():
    """Per dataflow, the buffer reads of the weights over T: T times, once per window, once per tile of partial sums."""
    w = shapes.network("vgg9", time_steps=8, neuron=Neuron(), weight_bits=8)
    layer = w["conv4"]
    s = tj.accelerator("sata", time_window=4).structure
    reads = {d: demand(loops(layer, s), replace(s, dataflow=d)).weights.total(8) for d in DATAFLOWS}
    once = layer.out_channels * -(-layer.positions // 16) * -(-layer.fan_in * 8 // 256) * 256
    assert reads["output_stationary"] == 8 * once
    assert reads["tick_batch"] == reads["temporal_parallel"] == 2 * once
    # 16 weights of 8 bits in a word of 256; 16 KB hold 1024 sums of each of 8 columns, 256 positions have 2048.
    assert reads["weight_stationary"] == 2 * layer.weights * 8 * 2
    assert reads["parallel_time_batching"] == layer.positions * layer.out_channels * -(-layer.fan_in * 8 // 256) * 256
