"""Converter ranges are set on every current of the calibration samples, whatever their order, and what lies outside is what was asked for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import truejoule as tj
from small_networks import SpikingNet, images
from truejoule.accelerators.spikeflow.currents import BINS, Currents


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.9995, 0.99, 0.9]), st.integers(1, 3000))
def test_ranges_cover_what_was_asked(seed, coverage, count):
    generator = torch.Generator().manual_seed(seed)
    i = torch.rand(count, generator=generator, dtype=torch.float64) ** 3 * 1e-4
    seen = Currents(1e-4, i.device)
    for part in i.split(max(count // 3, 1)):
        seen.add(part)
    low, high = seen.range(coverage)
    width = 1e-4 / BINS * 1.01
    outside = int(count * (1 - coverage) / 2)
    ordered = i.sort().values
    assert low == pytest.approx(float(ordered[outside]), abs=width)
    assert high == pytest.approx(float(ordered[count - 1 - outside]), abs=width)
    other = Currents(1e-4, i.device)
    other.add(i[torch.randperm(count, generator=generator)])
    assert other.range(coverage) == (low, high)


def test_a_silent_layer_has_a_range():
    assert Currents(1e-4, torch.device("cpu")).range(0.9) == (0.0, 0.0)


@pytest.mark.parametrize("scope", ["crossbar", "pe"])
def test_clipped_share_of_the_calibration_samples_is_what_the_coverage_leaves(scope):
    """A fixed stride through the currents once met the same columns of the map again and again."""
    x = images(16)
    network = tj.read(SpikingNet(), x[:4]).calibrated([x])
    chip = tj.accelerator("spikeflow", adc_scope=scope, adc_coverage=0.99, adc_bits=8, read_noise=0.0)
    deployed = chip.deploy(network, [x])
    deployed(x)
    shares = deployed.measurement().clipped
    # A current half a step outside the range still gets the last code, so at most the 1 % that the coverage leaves clip. The first layer sees
    # exactly the calibration currents; spikes behind it differ by the converters.
    assert 0 < shares["conv1"] <= 0.0101
    assert all(share < 0.05 for share in shares.values())
