"""Grids are recognised where they are, and only there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.errors import InputError
from truejoule.network.precision import InputCode
from truejoule.numerics.inputs import integers
from truejoule.numerics.quantise import Grid, input_grid, integer_weights
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


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_mid_rise_weights_are_odd_codes(bits, per_channel):
    generator = torch.Generator().manual_seed(bits)
    codes = 2.0 * torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (5, 64), generator=generator) + 1
    codes[:, 0] = 2**bits - 1
    scale = torch.rand(5, 1, generator=generator) + 0.1 if per_channel else torch.tensor(0.37)
    found = integer_weights(codes * scale, bits, "mid_rise", where="here")
    assert found.mid_rise and torch.equal(found.codes, codes)


def test_a_channel_of_zeros_stays_zero():
    weight = torch.tensor([[1.0, -3.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    for levels, bits in (("mid_rise", 2), ("signed", 3)):
        found = integer_weights(weight, bits, levels, where="here")
        assert torch.equal(found.codes.double() * found.scale[:, None], weight.double())
        assert levels == "signed" or (found.codes.remainder(2) == 1).all()


def test_grids_of_inputs():
    """Spikes, plus and minus one, counts, two's complement with and without its lowest number, and real values."""
    for code, want in (
        (InputCode(0.5, 0.0, 0.5), Grid(0.5, 0, 1)),
        (InputCode(0.5, -0.5, 0.5, bipolar=True), Grid(0.5, -1, 1)),
        (InputCode(1.0, 0.0, 5.0), Grid(1.0, 0, 7)),
        (InputCode(1.0, -128.0, 127.0), Grid(1.0, -128, 127)),
        (InputCode(1.0, -127.0, 3.0), Grid(1.0, -127, 127)),
        (InputCode(1.0, -128.0, 128.0), Grid(1.0, -255, 255)),
        (InputCode(0.25, 0.0, 1023.75), Grid(0.25, 0, 4095)),
        (InputCode(None, 0.0, 3.0), Grid(1.0, 0, 3, exact=False)),
        (InputCode(None, -1.0, 0.5), Grid(1.0, -1, 1, exact=False)),
        (InputCode(None, 0.0, 0.0), Grid(1.0, 0, 3, exact=False)),
    ):
        assert input_grid(code, 2) == want, code


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_does_not_fit_a_grid_is_counted(dtype):
    x = torch.tensor([-1.0, 0.5, 9.0, 1.5, 0.75], dtype=dtype)
    codes, taken = integers(x, Grid(0.5, 0, 3))
    assert codes.tolist() == [0.0, 1.0, 3.0, 3.0, 2.0]
    assert (taken.values, taken.clipped, taken.rounded) == (5, 2, 1)
    assert integers(x, Grid(0.5, 0, 3, exact=False))[1].rounded == 0  # real values are rounded anyway
    assert integers(x[:0], Grid(0.5, 0, 3))[1].values == 0
