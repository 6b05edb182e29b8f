"""Cutting a matrix into crossbars loses and doubles nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from truejoule.numerics.schemes import count_planes, count_row_blocks
from truejoule.numerics.slicing import bit_planes, row_blocks, windows


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 150),
    st.sampled_from([(1, 1), (3, 3), (5, 5), (1, 3), (2, 2)]),
    st.sampled_from([8, 32, 64]),
    st.sampled_from(["kernel", "im2col"]),
)
def test_every_row_has_one_place(channels, kernel, rows, order):
    index = row_blocks(channels, kernel, rows, order)
    assert len(index) == count_row_blocks(channels, kernel, rows, order)
    assert sorted(index[index >= 0].tolist()) == list(range(channels * kernel[0] * kernel[1]))
    if order == "kernel" and kernel != (1, 1):
        area = kernel[0] * kernel[1]
        for block in index:
            assert len({int(i) % area for i in block if i >= 0}) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.sampled_from(["unsigned", "symmetric", "full range", "bipolar"]), st.integers(0, 10**6))
def test_planes_add_up(bits, kind, seed):
    half = 2 ** (bits - 1)
    low, high = {"unsigned": (0, 2**bits - 1), "bipolar": (-1, 1)}.get(
        kind, (1 - half - (kind == "full range"), half - 1)
    )
    if kind in ("symmetric", "full range") and bits == 1:
        return  # one bit with a sign is -1 and +1
    codes = torch.randint(low, high + 1, (50,), generator=torch.Generator().manual_seed(seed)).float()
    planes = bit_planes(codes, low, high)
    assert len(planes) == count_planes(1 if kind == "bipolar" else bits, kind != "unsigned", kind == "full range")
    assert all(set(plane.unique().tolist()) <= {0.0, 1.0} for _, plane in planes)
    assert torch.equal(sum(weight * plane for weight, plane in planes), codes)


@pytest.mark.parametrize(
    "kernel, stride, padding, dilation",
    [
        ((3, 3), (1, 1), (1, 1), (1, 1)),
        ((5, 3), (2, 1), (0, 2), (1, 2)),
        ((1, 1), (1, 1), (0, 0), (1, 1)),
        ((1, 1), (2, 2), (0, 0), (1, 1)),
    ],
)
def test_windows_times_weights_is_convolution(kernel, stride, padding, dilation):
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 3, 12, 11, generator=generator), torch.randn(4, 3, *kernel, generator=generator)
    expected = functional.conv2d(x, w, stride=stride, padding=padding, dilation=dilation)
    assert torch.allclose(
        torch.matmul(w.flatten(1), windows(x, kernel, stride, padding, dilation)), expected.flatten(2), atol=1e-5
    )
