"""The converter: codes, clipping, ranges, and that its hot path allocates nothing."""

import itertools

import numpy as np
import pytest
import torch

from truejoule.circuit import (
    Converter,
    Mismatch,
    References,
    calibrate_range,
    convert,
    dequantise,
    fit_lloyd_max,
    fit_polynomial,
    fit_quantile,
    mismatched,
    saturation_share,
    sense_amplifier,
    uniform_references,
)
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


def brute_codes(i: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    per_column = thresholds if thresholds.ndim == 2 else thresholds.expand(i.shape[-1], -1)
    return torch.tensor(
        [[sum(float(x) > float(t) for t in per_column[j]) for j, x in enumerate(row)] for row in i], dtype=i.dtype
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("per_column", [False, True])
def test_custom_references_count_thresholds(dtype, per_column):
    torch.manual_seed(0)
    shape = (6, 7) if per_column else (7,)
    references = References(torch.rand(shape).to(dtype).sort(-1).values, torch.randn(*shape[:-1], 8).to(dtype))
    i = torch.rand(20, 6, dtype=dtype) * 1.4 - 0.2
    codes = convert(i, references)
    assert codes.dtype == dtype and torch.equal(codes, brute_codes(i, references.thresholds_a))
    values = references.values.expand(6, 8)
    expected = torch.tensor([[float(values[j, int(c)]) for j, c in enumerate(row)] for row in codes], dtype=dtype)
    assert torch.equal(dequantise(codes, references), expected)
    batched = convert(i.reshape(4, 5, 6), references)
    assert torch.equal(batched.reshape(20, 6), codes)
    assert convert(i, references, out=i) is i and torch.equal(i, codes)
    assert references.max_code == 7 and references.bits == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["uniform", "fitted", "per column", "repeated", "one", "clustered"])
def test_the_fast_way_finds_the_same_codes(kind, dtype):
    torch.manual_seed(1)
    i = torch.randn(20_000, 3, dtype=dtype) ** 3 * 1e-6
    thresholds = {
        "uniform": uniform_references(5, 3e-6, -1e-6).thresholds_a,
        "fitted": fit_lloyd_max(i, 5).thresholds_a,
        "per column": fit_quantile(i, 5, per_column=True).thresholds_a,
        "repeated": torch.tensor([-1e-6, -1e-6, 0.0, 2e-6, 2e-6]),
        "one": torch.tensor([1e-7]),
        "clustered": torch.cat([torch.linspace(0, 1e-9, 30), torch.tensor([1e-5])]),
    }[kind].to(dtype)
    i[:100] = thresholds[..., :1].T if thresholds.ndim == 2 else thresholds[0]  # ties count as not above
    i[100:103] = torch.tensor([float("inf"), float("-inf"), 0.0], dtype=dtype)
    expected = (i.unsqueeze(-1) > thresholds).sum(-1).to(dtype)
    references = References(thresholds, torch.arange(thresholds.shape[-1] + 1.0))
    assert torch.equal(convert(i, references), expected)
    assert torch.equal(convert(i[:7], references), expected[:7])


@pytest.mark.parametrize("bits", [1, 3, 6])
def test_uniform_references_are_the_uniform_converter(bits):
    full, zero = torch.tensor([1e-5, 2e-5, 3e-5]), torch.tensor([0.0, 1e-6, -2e-6])
    i = torch.rand(500, 3, dtype=torch.float64) * 5e-5 - 1e-5
    written = uniform_references(bits, full.double(), zero.double())
    uniform = Converter(bits, full.double(), zero.double())
    assert torch.equal(convert(i, written), convert(i, uniform))
    torch.testing.assert_close(dequantise(convert(i, written), written), dequantise(convert(i, uniform), uniform))
    if bits > 1:
        assert saturation_share(i, written) == saturation_share(i, uniform)


def test_sense_amplifiers():
    amplifier = sense_amplifier(1e-6, torch.tensor([0.0, 2e-7, -2e-7]))
    i = torch.tensor([[0.9e-6, 1.1e-6, 1.1e-6], [1.05e-6, 1.3e-6, 0.7e-6]], dtype=torch.float64)
    assert convert(i, amplifier).tolist() == [[0, 0, 1], [1, 1, 0]] and amplifier.bits == 1
    assert saturation_share(i, amplifier) == 0.0


def bent_array(rows=64, columns=24, samples=1024, seed=1):
    """Currents and true sums of a gated binary array with wire drop: 40 kohm cells, 7.8 ohm a row, 200 ohm sink."""
    rng = np.random.default_rng(seed)
    w = rng.random((rows, columns)) < rng.beta(3, 3, (1, columns))
    x = rng.random((samples, rows)) < rng.beta(2, 2, (samples, 1))
    seen = np.zeros((samples, columns))
    for k in range(rows):
        seen = seen + (x[:, k : k + 1] & w[k]) / 40e3
        seen = seen / (1 + (7.8 if k + 1 < rows else 207.8) * seen)
    return torch.from_numpy(0.1 * seen), torch.from_numpy(x.astype(float) @ w.astype(float))


def rmse(i, sums, references):
    return float((dequantise(convert(i, references), references) - sums).square().mean().sqrt())


def test_calibration_beats_ideal_references_as_in_the_facts():
    """None, one cubic for all columns, a cubic per column: fitted on half of the inputs, judged on the other half."""
    i, sums = bent_array()
    fit, judge = slice(0, 512), slice(512, 1024)
    ideal = References(uniform_references(7, 127 * 0.1 / 40e3).thresholds_a, torch.arange(128.0))
    none = rmse(i[judge], sums[judge], ideal)
    one = rmse(i[judge], sums[judge], fit_polynomial(i[fit], sums[fit], 7))
    each = rmse(i[judge], sums[judge], fit_polynomial(i[fit], sums[fit], 7, per_column=True))
    assert none > 2.0 and one < none / 7 and each < one / 1.3
    line = rmse(i[judge], sums[judge], fit_polynomial(i[fit], sums[fit], 7, degree=1))
    assert none > line > one
    coarse = rmse(i[judge], sums[judge], fit_polynomial(i[fit], sums[fit], 4))
    assert one < coarse < 2.0


def test_polynomial_references_are_the_rounded_polynomial():
    i, sums = bent_array(columns=3)
    references = fit_polynomial(i, sums, 7, per_column=True)
    for j in range(3):
        scale = float(i[:, j].max())
        fitted = np.polyval(np.polyfit(i[:, j].numpy() / scale, sums[:, j].numpy(), 3), i[:, j].numpy() / scale)
        expected = np.clip(np.rint(fitted), 0, float(sums.max()))
        found = dequantise(convert(i, references), references)[:, j].numpy()
        assert (found != expected).mean() < 1e-2 and np.abs(found - expected).max() <= 1


def test_lloyd_max_is_the_best_of_all_splits():
    rng = np.random.default_rng(3)
    x = np.sort(rng.lognormal(0, 0.6, 24))
    references = fit_lloyd_max(torch.from_numpy(x), 2)
    found = ((dequantise(convert(torch.from_numpy(x), references), references).numpy() - x) ** 2).sum()
    best = min(
        sum(((part - part.mean()) ** 2).sum() for part in np.split(x, cuts) if len(part))
        for cuts in itertools.combinations(range(1, 24), 3)
    )
    assert best <= found <= 1.25 * best  # Lloyd's iteration finds a local optimum
    normal = torch.from_numpy(rng.standard_normal(40_000))
    four = fit_lloyd_max(normal, 2)  # J. Max's table: 0.9816, distortion 0.1175
    assert four.thresholds_a.tolist() == pytest.approx([-0.9816, 0.0, 0.9816], abs=0.03)
    assert float((dequantise(convert(normal, four), four) - normal).square().mean()) == pytest.approx(0.1175, rel=0.03)


def test_quantile_references_use_every_code_equally():
    i = torch.rand(4000, 3, dtype=torch.float64) ** 3 * torch.tensor([1.0, 2.0, 5.0])
    codes = convert(i, fit_quantile(i, 4, per_column=True))
    for j in range(3):
        assert (torch.bincount(codes[:, j].long(), minlength=16) - 250).abs().max() <= 1


def test_levels_fitted_to_targets_report_targets():
    i, sums = bent_array()
    plain = fit_lloyd_max(i, 6)
    assert rmse(i, i, plain) < rmse(i, i, fit_quantile(i, 6))
    assert rmse(i, i, plain) < rmse(i, i, uniform_references(6, float(i.max())))
    aimed = fit_lloyd_max(i, 6, targets=sums, per_column=True)
    assert aimed.values.shape == (24, 64) and rmse(i, sums, aimed) < 1.0


def test_few_distinct_currents_leave_codes_unused_but_ordered():
    i = torch.tensor([1.0, 1.0, 2.0, 5.0, 5.0, 5.0], dtype=torch.float64)
    for fitted in (fit_lloyd_max(i, 3), fit_quantile(i, 3)):
        assert (fitted.thresholds_a.diff() >= 0).all() and (fitted.values.diff() >= 0).all()
    assert rmse(i, i, fit_lloyd_max(i, 3)) < 1e-9


def test_mismatch_has_its_moments_and_columns_share_converters():
    nominal = uniform_references(4, 15e-6)
    made = mismatched(nominal, Mismatch("test", offset_lsb=0.3), 8000, np.random.default_rng(0), share=8)
    moved = (made.thresholds_a - nominal.thresholds_a) / 1e-6
    groups = moved.reshape(1000, 8, 15)
    assert torch.equal(groups, groups[:, :1].expand_as(groups))
    assert float(groups[:, 0, 0].std()) == pytest.approx(0.3, rel=0.1)
    torch.testing.assert_close(moved.std(-1), torch.zeros(8000, dtype=torch.float64), rtol=0, atol=1e-9)
    gain = mismatched(nominal, Mismatch("test", gain=0.02), 4000, np.random.default_rng(1)).thresholds_a
    spans = (gain[:, -1] - gain[:, 0]) / 14e-6
    assert float(spans.std()) == pytest.approx(0.02, rel=0.06) and float(spans.mean()) == pytest.approx(1, abs=2e-3)
    inl = mismatched(nominal, Mismatch("test", inl_lsb=0.2), 4000, np.random.default_rng(2)).thresholds_a
    assert float((inl - nominal.thresholds_a)[:, 7].std()) == pytest.approx(0.2e-6, rel=0.06)
    rough = mismatched(nominal, Mismatch("test", inl_lsb=2.0), 50, np.random.default_rng(3))
    assert (rough.thresholds_a.diff() >= 0).all()
    same = mismatched(nominal, Mismatch("test"), 5, np.random.default_rng(4), share=2)
    torch.testing.assert_close(same.thresholds_a, nominal.thresholds_a.expand(5, 15))
    amplifiers = mismatched(sense_amplifier(1e-6), Mismatch("test", offset_lsb=0.1), 4000, np.random.default_rng(5))
    assert float(amplifiers.thresholds_a.std()) == pytest.approx(1e-7, rel=0.06)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: References(torch.tensor([2.0, 1.0]), torch.zeros(3)),
        lambda: References(torch.tensor([1.0, float("nan")]), torch.zeros(3)),
        lambda: References(torch.tensor([1.0, 2.0]), torch.zeros(2)),
        lambda: References(torch.ones(3, 2), torch.zeros(2, 3)),
        lambda: convert(torch.ones(4, 5), References(torch.ones(3, 2), torch.zeros(3))),
        lambda: convert(torch.arange(3), sense_amplifier(1.0)),
        lambda: fit_polynomial(torch.rand(9, 2), torch.rand(9, 3), 4),
        lambda: fit_polynomial(torch.rand(3), torch.rand(3), 4),
        lambda: fit_polynomial(torch.ones(9), torch.rand(9), 4),
        lambda: fit_polynomial(torch.rand(9), torch.zeros(9), 4),
        lambda: fit_quantile(torch.rand(9), 0),
        lambda: fit_quantile(torch.full((9,), float("nan")), 2),
        lambda: fit_lloyd_max(torch.empty(0), 2),
        lambda: fit_lloyd_max(torch.rand(9), 2, targets=torch.rand(8)),
        lambda: Mismatch("t", gain=-1.0),
        lambda: mismatched(sense_amplifier(1.0), Mismatch("t"), 4, np.random.default_rng(0), share=0),
        lambda: mismatched(References(torch.ones(3, 2), torch.zeros(3)), Mismatch("t"), 4, np.random.default_rng(0)),
    ],
)
def test_wrong_references_and_calibrations(wrong):
    with pytest.raises(InputError):
        wrong()
