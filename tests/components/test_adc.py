"""Converters against the table of facts/crossbars.md section 6.4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truejoule.components import adc
from truejoule.errors import InputError

TABLE = {  # node: (pJ, um2) for 4, 5, 6, 7, 8 bits at 1 GS/s
    7: ((0.053, 467), (0.054, 469), (0.061, 487), (0.075, 518), (0.098, 561)),
    22: ((0.46, 2770), (0.46, 2780), (0.53, 2890), (0.65, 3080), (0.85, 3330)),
    32: ((0.92, 4960), (0.94, 4980), (1.07, 5180), (1.31, 5510), (1.71, 5970)),
    65: ((3.5, 14950), (3.5, 15010), (4.0, 15600), (5.0, 16600), (6.5, 17980)),
}
SAR_FJ = {7: (18, 22, 27, 36), 22: (72, 90, 109, 150), 65: (271, 348, 432, 623)}


@pytest.mark.parametrize("node", TABLE)
def test_survey_fit_reproduces_the_table(node):
    for bits, (picojoule, um2) in zip(range(4, 9), TABLE[node], strict=True):
        assert adc.survey_adc_energy(bits, node / 1e9, 1e9).value * 1e12 == pytest.approx(picojoule, rel=0.016)
        assert adc.survey_adc_area(bits, node / 1e9, 1e9).value * 1e12 == pytest.approx(um2, rel=0.003)


@pytest.mark.parametrize("node", SAR_FJ)
def test_low_end_of_the_band_is_the_sar_point(node):
    for bits, femtojoule in zip((4, 5, 6, 8), SAR_FJ[node], strict=True):
        assert adc.survey_adc_energy(bits, node / 1e9, 1e9).low * 1e15 == pytest.approx(femtojoule)


def test_published_converters_lie_in_the_band():
    spikesim = adc.PUBLISHED["spikesim-flash-4b"]
    energy, area = adc.survey_adc_energy(4, 65e-9, 1e9), adc.survey_adc_area(4, 65e-9, 1e9)
    assert energy.low <= spikesim["energy"].value <= energy.high
    assert area.low <= spikesim["area"].value * (1 + 1e-9) <= area.high


@given(st.floats(4, 15.9), st.floats(7e-9, 180e-9), st.floats(1e4, 1e11))
def test_bands_enclose_and_coefficients_are_derived(bits, node, rate):
    for found in (adc.survey_adc_energy(bits, node, rate), adc.survey_adc_area(bits, node, rate)):
        assert 0 < found.low <= found.value <= found.high
        assert found.kind == "derived" and "Murmann" in found.source and found.node_m == node


@given(st.integers(5, 8), st.floats(7e-9, 170e-9))
def test_more_bits_and_larger_nodes_never_cost_less(bits, node):
    energy = adc.survey_adc_energy(bits, node, 1e9).value
    assert adc.survey_adc_energy(bits + 1, node, 1e9).value >= energy
    assert adc.survey_adc_energy(bits, node * 1.05, 1e9).value > energy


def test_scaling_with_bits_keeps_the_anchor():
    anchor = adc.PUBLISHED["spikesim-flash-4b"]["energy"]
    five = adc.scaled_by_bits(anchor, 4, 5)
    assert five.value / anchor.value == pytest.approx(
        adc.survey_adc_energy(5, 7e-9, 1e9).value / adc.survey_adc_energy(4, 7e-9, 1e9).value
    )
    assert "SpikeSim" in five.source and "4 → 5 b" in five.source and five.kind == "derived"
    assert adc.scaled_by_bits(anchor, 4, 4) is anchor
    assert adc.scaled_by_bits(five, 5, 4).value == pytest.approx(anchor.value)
    area = adc.scaled_by_bits(adc.PUBLISHED["spikesim-flash-4b"]["area"], 4, 8, what="area")
    assert area.value / 693.633e-12 == pytest.approx(17980 / 14950, rel=0.002)


@pytest.mark.parametrize(
    ("bits", "node", "rate"),
    [(3, 65e-9, 1e9), (2, 65e-9, 1e9), (17, 65e-9, 1e9), (4, 5e-9, 1e9), (4, 65, 1e9), (4, 65e-9, 1)],
)
def test_outside_the_fit_is_refused(bits, node, rate):
    for price in (adc.survey_adc_energy, adc.survey_adc_area, adc.adc_energy):
        with pytest.raises(InputError, match="outside the ADC survey fit"):
            price(bits, node, rate)


def test_one_bit_is_a_sense_amplifier_and_few_bits_are_flash():
    assert adc.adc_energy(1, 28e-9, 1e9) is adc.SENSE_AMPLIFIER
    assert adc.SENSE_AMPLIFIER.value == pytest.approx(1.6e-15)
    assert adc.flash_adc_energy(3).value == pytest.approx(7 * 1.6e-15)
    assert adc.flash_adc_energy(1) is adc.SENSE_AMPLIFIER
    with pytest.raises(InputError):
        adc.flash_adc_energy(9)
