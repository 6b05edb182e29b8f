"""Short cuts over large tensors change no answer: held against the plain way, which sorts everything."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.network import precision
from truejoule.network.distinct import distinct
from truejoule.network.precision import MOST_VALUES, Values, weight_precision
from truejoule.workload.grid import step_within
from truejoule.workload.layer import two_complement_bits


def plain_step(weights, accuracy):
    magnitudes = torch.unique(weights.abs())
    if magnitudes.numel() > 257:
        return None
    step = step_within(magnitudes[magnitudes > 0].tolist(), 255, accuracy)
    if step is None:
        return None
    codes = torch.round(weights / step)
    return step if float(codes.abs().max()) <= 128 or bool((codes.remainder(2) == 1).all()) else None


def plain_bits(codes):
    low, high = round(float(codes.min())), round(float(codes.max()))
    if bool((codes.remainder(2) == 1).all()):
        bits = max(high, -low).bit_length()
        return bits, "binary" if bits == 1 else "mid_rise"
    return max(two_complement_bits(min(low, -1), high), 2), "signed"


def plain_precision(weight):
    """Every value in float64, all of them sorted, all codes kept."""
    accuracy = torch.finfo(weight.dtype).eps if weight.is_floating_point() else 0.0
    channels = weight.double().flatten(1)
    magnitude = channels.abs()
    top = magnitude.amax(1, keepdim=True)
    if channels.shape[1] == 1:
        top = top.max().expand_as(top)
    if bool((top > 0).all()) and bool((magnitude >= top * (1 - max(1e-6, 4 * accuracy))).all()):
        return 1, "binary"
    step = plain_step(channels, accuracy)
    if step is not None:
        return plain_bits(torch.round(channels / step))
    if channels.shape[1] < 4:
        return 32, "float"
    codes = []
    for channel in channels:
        if float(channel.abs().max()) == 0:
            continue
        step = plain_step(channel, accuracy)
        if step is None:
            return 32, "float"
        codes.append(torch.round(channel / step))
    return plain_bits(torch.cat(codes)) if codes else (32, "float")


@st.composite
def weights(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    rows, columns = draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 3, 4, 5, 30, 300, 700]))
    kind = draw(st.sampled_from(["signed", "odd", "binary", "ternary", "real", "half real", "zero"]))
    top = 2 ** draw(st.integers(0, 9))
    codes = {
        "signed": lambda: torch.randint(-top, top + 1, (rows, columns), generator=generator),
        "odd": lambda: 2 * torch.randint(-top, top, (rows, columns), generator=generator) + 1,
        "binary": lambda: 2 * torch.randint(0, 2, (rows, columns), generator=generator) - 1,
        "ternary": lambda: torch.randint(-1, 2, (rows, columns), generator=generator),
        "real": lambda: torch.randn(rows, columns, generator=generator),
        "half real": lambda: (
            torch.randn(rows, columns, generator=generator).round(decimals=draw(st.integers(1, 4))).clamp(-2, 2)
        ),
        "zero": lambda: torch.zeros(rows, columns),
    }[kind]()
    scale = draw(st.sampled_from(["one", "tensor", "channel"]))
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]))
    if scale == "one" and kind not in ("real", "half real") and top < 64 and draw(st.booleans()):
        return codes.to(torch.int8)
    size = {"one": torch.ones(1), "tensor": torch.rand(1, generator=generator)}.get(scale)
    made = (codes * (torch.rand(rows, 1, generator=generator) + 0.01 if size is None else size)).to(dtype)
    made[: draw(st.integers(0, 2))] = 0  # pruned channels
    return made


@settings(max_examples=150, deadline=None)
@given(weights())
def test_precision_of_weights_is_that_of_the_plain_way(weight):
    assert weight_precision(weight) == plain_precision(weight)
    assert weight_precision(weight.reshape(*weight.shape, 1, 1)) == plain_precision(weight)


@pytest.mark.parametrize("late", [0.3, 1.0, 127.0])
def test_the_last_weight_counts(late):
    """One value behind a million others decides."""
    weight = torch.ones(64, 1 << 15)
    weight[:, ::2] = -1
    weight[0, 0] = 0
    weight[-1, -1] = late
    assert weight_precision(weight) == plain_precision(weight)
    weight[-1, -7:] = torch.arange(7) * math.pi
    assert weight_precision(weight) == plain_precision(weight) == (32, "float")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([1, 3, 40, 700]), st.integers(2, 300), st.integers(1, 5))
def test_distinct_values_do_not_depend_on_the_split(seed, levels, most, parts):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-levels, levels + 1, (1500,), generator=generator) * 0.37
    right = torch.unique(x.double())
    found = torch.zeros(0, dtype=torch.float64)
    for part in x[torch.randperm(len(x), generator=generator)].chunk(parts):
        found = distinct(part, most, found)
        if found is None:
            break
    assert (found is None) == (right.numel() > most)
    assert found is None or torch.equal(found, right)


@pytest.mark.parametrize("values", [MOST_VALUES, MOST_VALUES + 1])
@pytest.mark.parametrize("batches", [1, 7])
@pytest.mark.parametrize("order", ["late", "mixed"])
def test_one_value_too_many_is_no_grid_wherever_it_is(values, batches, order):
    """Zeros first, so that no prefix shows it; the same for one batch and many, and the range is always that of all."""
    x = torch.cat([torch.zeros(3 * MOST_VALUES), torch.arange(values) / 8])
    if order == "mixed":
        x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    seen = Values()
    for part in x.chunk(batches):
        seen.add(part)
    assert (seen.known is None) == (values > MOST_VALUES)
    assert (seen.low, seen.high) == (0.0, (values - 1) / 8)


def test_real_numbers_are_not_sorted(monkeypatch):
    """What a few values show costs no look at the rest."""
    sorted_values = []
    unique = torch.unique

    def counting(x, *rest, **options):
        sorted_values.append(x.numel())
        return unique(x, *rest, **options)

    monkeypatch.setattr(precision.torch, "unique", counting)
    generator = torch.Generator().manual_seed(0)
    assert weight_precision(torch.randn(512, 1024, generator=generator)) == (32, "float")
    seen = Values()
    seen.add(torch.randn(1 << 20, generator=generator))
    assert seen.known is None and sum(sorted_values) < 1 << 18
