"""Quantities: reading, writing, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truejoule.errors import InputError
from truejoule.units import format_si, parse

UNITS = ("J", "s", "V", "A", "W", "Hz", "S", "F", "m")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("2.5 pJ", "J", 2.5e-12),
        ("104 ns", "s", 104e-9),
        ("0.1 V", "V", 0.1),
        ("10 kohm", "ohm", 1e4),
        ("10 kΩ", "ohm", 1e4),
        ("50 uS", "S", 50e-6),
        ("50 µS", "S", 50e-6),
        ("250 MHz", "Hz", 250e6),
        ("26 um2", "m2", 26e-12),
        ("26 µm²", "m2", 26e-12),
        ("1 mm2", "m2", 1e-6),
        ("4 KB", "bit", 32768),
        ("0.15 pJ/B", "J/bit", 0.15e-12 / 8),
        ("50 fJ/bit/mm", "J/bit/m", 50e-12),
        ("  -3e2 mV ", "V", -0.3),
        (".5 mm", "m", 5e-4),
        ("3 m", "m", 3.0),
    ],
)
def test_reads(text, unit, value):
    assert parse(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "value"), [("2.5 pJ", 2.5e-12), ("104 nJ", 104e-9), ("0.3 mJ", 0.3e-3), ("7 fJ", 7e-15)]
)
def test_reads_to_the_last_bit(text, value):
    assert parse(text, "J") == value


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        (2.5, "J", "without a unit"),
        (3, "J", "without a unit"),
        ("2.5", "J", "without a unit"),
        ("2.5 pJ", "s", "wrong kind"),
        ("2.5 pX", "J", "unknown unit"),
        ("fast", "s", "not a quantity"),
        (None, "J", "not a quantity"),
        (True, "J", "not a quantity"),
        ("", "J", "not a quantity"),
        ("1 pJ/bit", "J", "wrong kind"),
    ],
)
def test_refuses_with_an_example(text, unit, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(text, unit, where="preset.yaml:3")
    assert "for example" in caught.value.fix and caught.value.where == "preset.yaml:3"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4.7e-9, "J", "4.70 nJ"),
        (0, "J", "0 J"),
        (1234e-12, "s", "1.23 ns"),
        (999.96e-9, "J", "1.00 µJ"),
        (26e-12, "m2", "26.0 µm²"),
        (1.5e-6, "m2", "1.50 mm²"),
        (-3e-3, "V", "-3.00 mV"),
        (2.0, "", "2.00"),
    ],
)
def test_writes(value, unit, text):
    assert format_si(value, unit) == text


def test_writes_what_is_not_finite():
    assert format_si(float("inf"), "J") == "inf J" and format_si(float("nan"), "") == "nan"


@given(st.floats(1e-14, 1e14), st.sampled_from(UNITS), st.integers(3, 6), st.booleans())
def test_what_is_written_reads_back(value, unit, digits, negative):
    signed = -value if negative else value
    assert parse(format_si(signed, unit, digits), unit) == pytest.approx(signed, rel=0.51 * 10.0 ** (1 - digits))


@given(st.floats(1e-12, 1e-2))
def test_areas_read_back(area):
    assert parse(format_si(area, "m2", 4), "m2") == pytest.approx(area, rel=1e-3)
