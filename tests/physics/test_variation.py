"""Variation: the moments that the sources state, determinism by key, and the errors of bad files."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from truejoule.circuit import Variation, variation_presets
from truejoule.circuit.variation import (
    FlickerNoise,
    GaussianError,
    LogNormalError,
    PiecewiseSpread,
    PolynomialSpread,
    PowerLawDrift,
    RelativeSpread,
    SaturatingSpread,
    StuckCells,
    TelegraphNoise,
)
from truejoule.circuit.variation_measured import measured_variation
from truejoule.errors import InputError
from truejoule.numerics.draws import stream

DRAW = partial(stream, 7, "conv1")
COUNT = 200_000
TIGHT = 4 / math.sqrt(2 * COUNT)
"""Four standard errors of a standard deviation."""


def cells(g: float) -> torch.Tensor:
    return torch.full((COUNT,), g, dtype=torch.float64)


@pytest.mark.parametrize(
    ("variation", "g_us", "sigma_us"),
    [
        # evaluated by hand from the printed coefficients
        (variation_presets.wan_2022(), 20.0, 0.348 + 8.015 - 10.96325 + 5.674125 - 1.0509375),
        (variation_presets.wan_2022(86400.0), 20.0, 0.701 + 11.043 - 12.69325 + 5.886875 - 1.028625),
        (variation_presets.wan_2022_cubic(), 20.0, 1.053 + 4.748 - 4.668 + 1.2288),
        (variation_presets.milo_2021(), 100.0, 4.782321 - 0.9107),
        (variation_presets.pcm_joshi_2020(), 10.0, 0.28638599 + 0.7585724 - 0.178767),
        (variation_presets.pcm_nandakumar_2019(), 12.5, 0.26348 + 0.98250 - 0.293275),
        (variation_presets.sonos_agrawal_2022(), 8.0, 0.1988665 * (1 - math.exp(-8 / 1.763115))),
        (variation_presets.cmo_hfox(2.0), 50.0, 0.0112185391 + 0.5645137),
    ],
)
def test_programming_error_has_the_published_spread(variation, g_us, sigma_us):
    g = cells(g_us * 1e-6)
    error = variation.static[0](g, DRAW("programming")) - g
    assert float(error.std()) == pytest.approx(sigma_us * 1e-6, rel=TIGHT)
    assert abs(float(error.mean())) < 4 * sigma_us * 1e-6 / math.sqrt(COUNT)
    assert all(effect.source for effect in variation.static + variation.per_read)


def test_pcm_drift():
    """Mean log conductance falls by the mean exponent times the logarithm of time."""
    day = variation_presets.pcm_nandakumar_2019(86400.0)
    drift = day.static[1]
    for share, mean, sd in ((1.0, 0.049, 0.008), (0.01, 0.0244 + 0.0155 * math.log(100), 0.045)):
        g = cells(25e-6 * share)
        nu = -(drift(g, DRAW("drift")) / g).log() / math.log((86400 + 20) / 20)
        assert float(nu.mean()) == pytest.approx(mean, rel=0.02)
        assert float(nu.std()) == pytest.approx(sd, rel=0.03)  # its absolute value folds 2 %
    fresh = variation_presets.pcm_nandakumar_2019(0.0).static[1]
    assert torch.equal(fresh(g, DRAW("drift")), g)


def test_pcm_flicker_grows_with_the_logarithm_of_time():
    for time in (0.0, 1e4):
        noise = variation_presets.pcm_nandakumar_2019(time).per_read[0]
        g = cells(25e-6)
        spread = float((noise(g, DRAW("read")) / g).std())
        expected = 0.0088 * math.sqrt(math.log((time + 20 + 250e-9) / (2 * 250e-9)))
        assert spread == pytest.approx(expected, rel=TIGHT)
    weak = FlickerNoise(1.0, 250e-9, 0.0088, 0.65, 0.2, 25e-6, "test")(cells(1e-9), DRAW("weak")) / 1e-9
    assert float(weak.std()) <= 0.2 * math.sqrt(math.log(2e6)) * 1.01


def test_lognormal_keeps_the_mean():
    g = LogNormalError(0.3, "test")(cells(5e-5), DRAW("d2d"))
    assert float(g.mean()) == pytest.approx(5e-5, rel=4 * 0.31 / math.sqrt(COUNT))
    assert float(g.std()) == pytest.approx(5e-5 * math.sqrt(math.expm1(0.09)), rel=0.02)
    assert float(g.log().std()) == pytest.approx(0.3, rel=TIGHT)


def test_stuck_cells_come_in_their_shares():
    g = StuckCells(0.02, 0.05, 1e-9, 1e-4, "test")(cells(3e-5), DRAW("stuck"))
    for value, share in ((1e-9, 0.02), (1e-4, 0.05), (3e-5, 0.93)):
        assert float((g == value).double().mean()) == pytest.approx(share, abs=4 * math.sqrt(share / COUNT))
    assert (StuckCells(0.4, 0.6, 0.0, 1e-4, "test")(cells(3e-5), DRAW("all")) != 3e-5).all()


def test_telegraph_noise_and_its_memory():
    rtn = TelegraphNoise(0.2, 0.3, 0.5, "test")
    low = (rtn(cells(1e-5), DRAW("rtn")) < 1e-5).double().mean()
    assert float(low) == pytest.approx(0.15, abs=0.004)
    g = torch.full((50_000,), 1e-5, dtype=torch.float64)
    reads = rtn.sequence(g, DRAW("rtn", "sequence"), 6, switches=0.25)
    assert reads.shape == (6, 50_000)
    filled = (reads < 1e-5).double()
    torch.testing.assert_close(filled.mean(1), torch.full((6,), 0.15, dtype=torch.float64), rtol=0, atol=0.008)
    noisy = filled[:, filled.sum(0) > 0]
    assert noisy.shape[1] < 25_500  # the other half of the cells never changes
    # autocorrelation of a two-state process on the noisy half: 0.75 per read, variance 0.3 · 0.7
    lag = ((filled[0] * filled[2]).mean() - 0.5 * 0.3**2) / (0.5 * 0.3 * 0.7)
    assert float(lag) == pytest.approx(0.75**2, abs=0.03)
    assert torch.equal(rtn.sequence(g, DRAW("frozen"), 3, 0.0)[0], rtn.sequence(g, DRAW("frozen"), 3, 0.0)[2])
    assert rtn.sequence(g, DRAW("none"), 0, 0.5).shape == (0, 50_000)


def test_the_same_key_gives_the_same_devices_and_reads_differ():
    variation = variation_presets.pcm_nandakumar_2019(3600.0).then(Variation((StuckCells(0.01, 0.01, 0, 1e-5, "t"),)))
    g = torch.rand(4, 5, 6, dtype=torch.float64) * 2.5e-5
    devices = variation.program(g, DRAW)
    assert torch.equal(devices, variation.program(g, DRAW)) and not torch.equal(devices, g)
    assert not torch.equal(devices, variation.program(g, partial(stream, 8, "conv1")))
    first, second = variation.read(devices, DRAW, 0), variation.read(devices, DRAW, 1)
    assert torch.equal(first, variation.read(devices, DRAW, 0)) and not torch.equal(first, second)
    assert (devices >= 0).all() and (first >= 0).all()
    single = variation.program(g.float(), DRAW)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), devices, rtol=1e-5, atol=1e-11)
    assert torch.equal(Variation().program(g, DRAW), g) and torch.equal(Variation().read(g, DRAW, 3), g)


def test_two_equal_effects_are_independent():
    twice = Variation((LogNormalError(0.1, "t"), LogNormalError(0.1, "t")))
    spread = float(twice.program(cells(1e-5), DRAW).log().std())
    assert spread == pytest.approx(0.1 * math.sqrt(2), rel=0.02)


def test_nothing_becomes_negative_and_gradients_pass():
    g = torch.full((1000,), 1e-7, dtype=torch.float64, requires_grad=True)
    noisy = GaussianError(PolynomialSpread((1e-6,), 1e-6, 1e-4), "t")(g, DRAW("x"))
    assert (noisy >= 0).all() and (noisy == 0).any()
    noisy.sum().backward()
    assert torch.equal(g.grad != 0, noisy > 0)


def test_spreads():
    g = torch.tensor([0.0, 1e-6, 2e-6, 9e-6], dtype=torch.float64)
    assert RelativeSpread(0.1)(g).tolist() == pytest.approx([0, 1e-7, 2e-7, 9e-7])
    assert PiecewiseSpread((1e-6, 2e-6), (1e-8, 3e-8))(g).tolist() == pytest.approx([1e-8, 1e-8, 3e-8, 3e-8])
    assert PiecewiseSpread((1e-6,), (1e-8,))(g).tolist() == pytest.approx([1e-8] * 4)
    assert PolynomialSpread((0.0, 1e-7), 1e-6, 2e-6)(g).tolist() == pytest.approx([0, 1e-7, 2e-7, 2e-7])
    assert PolynomialSpread((-1.0,), 1e-6, 2e-6)(g).tolist() == [0.0] * 4
    assert SaturatingSpread(1e-7, 1e-6)(g).tolist() == pytest.approx([-1e-7 * math.expm1(-x) for x in (0, 1, 2, 9)])


def test_measured_cells_give_their_moments_back(tmp_path):
    rng = np.random.default_rng(0)
    levels, sigma, bias, noise = (1e-5, 3e-5, 6e-5), (4e-7, 9e-7, 2e-7), (1e-7, 0.0, -3e-7), (1e-7, 2e-7, 3e-7)
    lines = ["target_siemens,measured_siemens,read_noise_siemens"]
    for level, s, b, n in zip(levels, sigma, bias, noise, strict=True):
        lines += [f"{level},{level + b + s * x},{n}" for x in rng.standard_normal(4000)]
    file = tmp_path / "cells.csv"
    file.write_text("\n".join(lines))
    variation = measured_variation(file)
    for level, s, b, n in zip(levels, sigma, bias, noise, strict=True):
        error = variation.program(cells(level), DRAW) - level
        assert float(error.std()) == pytest.approx(s, rel=0.05)
        assert float(error.mean()) == pytest.approx(b, abs=0.05 * s)
        read = variation.read(cells(level), DRAW, 0) - level
        assert float(read.std()) == pytest.approx(n, rel=0.02)
    between = variation.program(cells(2e-5), DRAW)
    assert float(between.std()) == pytest.approx(6.5e-7, rel=0.05)


def test_measured_cells_with_all_different_targets(tmp_path):
    rng = np.random.default_rng(1)
    target = rng.uniform(1e-6, 1e-4, 3000)
    file = tmp_path / "cells.csv"
    measured = np.abs(target * (1 + 0.05 * rng.standard_normal(3000)))
    file.write_text(
        "target_siemens,measured_siemens\n" + "\n".join(f"{a},{b}" for a, b in zip(target, measured, strict=True))
    )
    variation = measured_variation(file)
    assert variation.per_read == ()
    assert float(variation.program(cells(5e-5), DRAW).std()) == pytest.approx(2.5e-6, rel=0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target_siemens\n1e-5\n", "header"),
        ("target_siemens,measured_siemens\n1e-5,1e-5\n", "too few"),
        ("target_siemens,measured_siemens\n" + "1e-5,-1e-5\n" * 20, "negative"),
        ("target_siemens,measured_siemens\n" + "1e-5,high\n" * 20, "finite"),
    ],
)
def test_bad_measurements(tmp_path, text, message):
    file = tmp_path / "cells.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        measured_variation(file)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: LogNormalError(-0.1, "t"),
        lambda: RelativeSpread(float("nan")),
        lambda: StuckCells(0.6, 0.6, 0, 0, "t"),
        lambda: StuckCells(-0.1, 0, 0, 0, "t"),
        lambda: TelegraphNoise(1.5, 0.5, 0.5, "t"),
        lambda: TelegraphNoise(0.5, 0.5, 0.5, "t").sequence(torch.ones(2), DRAW("x"), 2, 2.0),
        lambda: PowerLawDrift(-1.0, 20.0, 1e-5, (0, 0, 0, 0), (0, 0, 0, 0), "t"),
        lambda: PowerLawDrift(1.0, 0.0, 1e-5, (0, 0, 0, 0), (0, 0, 0, 0), "t"),
        lambda: FlickerNoise(0.0, 1e-6, 0.01, 0.5, 0.2, 1e-5, "t"),
        lambda: PiecewiseSpread((2.0, 1.0), (0.0, 0.0)),
        lambda: variation_presets.wan_2022(7.0),
        lambda: variation_presets.sonos_agrawal_2022(9),
        lambda: variation_presets.cmo_hfox(1.0),
    ],
)
def test_wrong_parameters(wrong):
    with pytest.raises(InputError):
        wrong()
