"""The converter: codes, clipping, ranges, and that its hot path allocates nothing."""

import pytest
import torch

from truejoule.circuit import Converter, calibrate_range, convert, dequantise, saturation_share
from truejoule.errors import InputError


def test_codes_of_a_two_bit_converter():
    i = torch.tensor([-1.0, 0.0, 0.4, 0.6, 1.0, 1.4, 2.6, 3.0, 3.4, 9.0])
    codes = convert(i * 1e-6, Converter(2, 3e-6))
    assert codes.tolist() == [0, 0, 0, 1, 1, 1, 3, 3, 3, 3]


def test_offset_zero():
    converter = Converter(3, 7e-6, zero_a=2e-6)
    i = torch.tensor([1e-6, 2e-6, 5.1e-6, 9e-6, 20e-6], dtype=torch.float64)
    assert convert(i, converter).tolist() == [0, 0, 3, 7, 7]
    torch.testing.assert_close(
        dequantise(convert(i, converter), converter), torch.tensor([2e-6, 2e-6, 5e-6, 9e-6, 9e-6], dtype=torch.float64)
    )


@pytest.mark.parametrize("bits", [1, 4, 8, 12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_error_is_at_most_half_a_code_inside_the_range(bits, dtype):
    converter = Converter(bits, 1e-5)
    i = torch.linspace(0, 1e-5, 5001, dtype=dtype)
    codes = convert(i, converter)
    assert codes.dtype == dtype and torch.equal(codes, codes.round()) and codes.max() == 2**bits - 1
    assert (dequantise(codes, converter) - i).abs().max() <= 0.5 * converter.lsb_a * (1 + 1e-3)
    assert (codes.diff() >= 0).all()
    assert torch.equal(convert(dequantise(codes, converter), converter), codes)


def test_a_range_per_column():
    converter = Converter(4, torch.tensor([15.0, 30.0]), torch.tensor([0.0, 5.0]))
    codes = convert(torch.tensor([[7.0, 7.0], [15.0, 35.0]], dtype=torch.float64), converter)
    assert codes.tolist() == [[7, 1], [15, 15]]
    assert dequantise(codes, converter).tolist() == [[7, 7], [15, 35]]


@pytest.mark.parametrize("converter", [Converter(5, 1.0), Converter(5, 1.0, 0.1), Converter(5, torch.rand(8) + 0.5)])
def test_in_place_equals_out_of_place(converter):
    i = torch.rand(100, 8) * 2 - 0.5
    kept, expected = i.clone(), convert(i, converter)
    assert torch.equal(i, kept)
    buffer = torch.empty_like(i)
    assert convert(i, converter, out=buffer) is buffer and torch.equal(buffer, expected)
    assert convert(i, converter, out=i) is i and torch.equal(i, expected)
    back = dequantise(expected.clone(), converter)
    assert dequantise(i, converter, out=i) is i and torch.equal(i, back)


def test_saturation_counts_both_ends_and_spares_the_last_half_code():
    converter = Converter(2, 3.0)
    assert saturation_share(torch.tensor([-0.6, -0.4, 0.0, 3.0, 3.4, 3.6, 8.0, 1.0]), converter) == 3 / 8
    assert saturation_share(torch.empty(0), converter) == 0.0


def test_calibrated_range_holds_its_share():
    i = torch.randperm(1000).double() + 1
    assert float(calibrate_range(i)) == 1000
    assert float(calibrate_range(i, share=0.99)) == 990
    assert float(calibrate_range(i, zero_a=100.0)) == 900
    columns = calibrate_range(torch.stack([i, 2 * i], -1), share=0.5, per_column=True)
    assert columns.tolist() == [500, 1000]
    assert saturation_share(i, Converter(12, calibrate_range(i, share=0.9))) <= 0.1


@pytest.mark.parametrize("bits", [0, 25, 4.0, True, -1])
def test_wrong_bits(bits):
    with pytest.raises(InputError, match="bits"):
        Converter(bits, 1.0)


@pytest.mark.parametrize("full", [0.0, -1.0, float("nan"), float("inf"), torch.tensor([1.0, 0.0])])
def test_wrong_range(full):
    with pytest.raises(InputError, match="range"):
        Converter(4, full)


def test_other_wrong_inputs():
    with pytest.raises(InputError, match="zero"):
        Converter(4, 1.0, float("nan"))
    with pytest.raises(InputError, match="floating"):
        convert(torch.arange(3), Converter(4, 1.0))
    with pytest.raises(InputError, match="no range"):
        calibrate_range(torch.zeros(5))
    with pytest.raises(InputError, match="share"):
        calibrate_range(torch.ones(5), share=0.0)
    with pytest.raises(InputError, match="no currents"):
        calibrate_range(torch.empty(0))
