"""Grids are recognised where they are, and only there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.errors import InputError
from truejoule.numerics.quantise import Grid, integer_weights, range_grid
from truejoule.workload.grid import common_step


@pytest.mark.parametrize(
    "values, most, step",
    [
        ([1.0], 1, 1.0),
        ([k / 255 for k in range(1, 256)], 255, 1 / 255),
        ([0.25, 0.75, 1.0], 255, 0.25),
        ([0.4, 0.6], 255, 0.2),
        ([1.0, 300.0], 255, None),
        ([0.1234, 0.5678, 0.9999, 0.3141], 255, None),
        ([], 255, None),
    ],
)
def test_common_step(values, most, step):
    found = common_step([float(torch.tensor(v)) for v in values], most)
    assert found == (None if step is None else pytest.approx(step, rel=1e-6))


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 8), st.floats(1e-4, 10), st.integers(0, 10**6), st.booleans())
def test_integer_weights_are_exact(bits, scale, seed, per_channel):
    generator = torch.Generator().manual_seed(seed)
    top = 2 ** (bits - 1) - 1
    codes = torch.randint(-top, top + 1, (6, 200), generator=generator).float()
    scales = torch.rand(6, 1, generator=generator) + 0.5 if per_channel else torch.ones(6, 1)
    weight = (codes * scale * scales).view(6, 8, 5, 5)
    found = integer_weights(weight, bits, "signed", where="here")
    back = found.codes.double() * found.scale[:, None]
    assert torch.allclose(back, weight.flatten(1).double(), rtol=1e-5, atol=1e-7 * scale)


def test_real_weights_are_rounded():
    found = integer_weights(torch.randn(4, 100, generator=torch.Generator().manual_seed(0)), 4, "float", where="here")
    assert found.bits == 4
    assert found.codes.abs().max() == 7


def test_binary_weights():
    weight = torch.tensor([[0.1, -0.1, 0.1], [-0.2, 0.2, 0.2]])
    found = integer_weights(weight, 1, "binary", where="here")
    assert found.bits == 1 and found.codes.abs().eq(1).all()
    assert found.scale.tolist() == pytest.approx([0.1, 0.2])


def test_bad_weights_name_the_layer():
    with pytest.raises(InputError, match="conv3"):
        integer_weights(torch.tensor([[float("nan"), 1.0]]), 4, "float", where="conv3")
    with pytest.raises(InputError, match="conv3"):
        integer_weights(torch.randn(3, 50, generator=torch.Generator().manual_seed(0)), 4, "signed", where="conv3")


def test_grid_clips():
    assert Grid(0.5, 2).codes(torch.tensor([-1.0, 0.6, 9.0])).tolist() == [0.0, 1.0, 3.0]
    assert range_grid(3.0, 2, False).step == 1.0
    assert range_grid(3.0, 3, True) == Grid(1.0, 2, True)
    assert Grid(0.5, 2).overflow(torch.tensor([-1.0, 0.6, 9.0, 1.5])) == 0.5
