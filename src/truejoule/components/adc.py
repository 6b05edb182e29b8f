"""Price of an analog-to-digital converter: energy and area per conversion.

The model is the regression over the Murmann ADC survey of Accelergy-Project/accelergy-adc-plug-in (adc_data/model.yaml,
MIT)::

    SNDR = 6.02 b + 1.76 dB
    FOM  = min(213.78 - 2.872 ln f, 128.31 + 3.2205 ceil(b))
    E    = 1/2 * 10^((SNDR - FOM) / 10) * exp(26.05 + 1.880 ln node - 2.829 ln b - 1.470)   pJ
    ln A = 1.346 + 0.9933 ln node + 0.1807 ln f + 0.2991 ln E                               um^2, E in pJ

with the node in nm and f in samples per second. It describes the best designs of the survey at 4 bits and more, and its
slope over nodes is an extrapolation at 7 nm. Other public numbers sit up to 13 times lower (a SAR converter priced by
transistor counts) and above it: the band says so. The transfer curve of a converter is ``circuit/converter.py``.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from truejoule.components.coefficient import Coefficient
from truejoule.errors import InputError

SURVEY = "regression over the Murmann ADC survey, Accelergy-Project/accelergy-adc-plug-in adc_data/model.yaml (MIT)"
LOWEST_BITS, HIGHEST_BITS = 4, 16
_FOM_0, _FOM_F = 213.7806687, -2.8719030
_CAP_0, _CAP_STEP = 128.3068287, 3.2205122
_E_0, _E_NODE, _E_BITS, _E_REST = 26.0496216, 1.8800369, -2.8291256, -1.4702022
_A_0, _A_NODE, _A_F, _A_E = 1.3461916, 0.9932795, 0.1807154, 0.2991243

_SAR_FJ = {
    7: {4: 18, 5: 22, 6: 27, 8: 36},
    22: {4: 72, 5: 90, 6: 109, 8: 150},
    65: {4: 271, 5: 348, 6: 432, 8: 623},
}
"""Twelve points of another model, low ends of the band only: SAR, low standby power, 10 kΩ, DNN_NeuroSim V1.4."""
_SAR_SOURCE = "low end: SAR points of DNN_NeuroSim V1.4 at 10 kohm columns"
_ABOVE_SURVEY = 2.3
"""222 fJ (8 b, 7 nm, 1 kΩ column, DNN_NeuroSim V1.4) over 98 fJ of the survey fit, which is a best case."""


def _published(name: str, bits: int, watt: float, hertz: float, area_um2: float) -> dict[str, Coefficient]:
    source = f"MNSIM table of published converters: {name}"
    energy = Coefficient(f"ADC {bits} b, {name}", watt / hertz, "J", f"{source}, power over rate", "derived")
    return {
        "energy": energy,
        "area": Coefficient(f"ADC {bits} b, {name}, area", area_um2 * 1e-12, "m2", source, "published"),
    }


PUBLISHED: dict[str, dict[str, Coefficient]] = {
    "pipelined-sar-10b": _published("14 nm pipelined SAR, 1.5 GS/s", 10, 6.92e-3, 1.5e9, 1600),
    "isaac-8b": _published("ISAAC, 1.28 GS/s", 8, 2e-3, 1.28e9, 1200),
    "two-step-8b": _published("two-step, 1.1 GS/s", 8, 4e-3, 1.1e9, 1650),
    "cic-sar-6b": _published("CIC SAR, 1 GS/s", 6, 1.26e-3, 1e9, 580),
    "mnsim-4b": _published("1 GS/s", 4, 0.7e-3, 1e9, 500),
    "spikesim-flash-4b": {
        "energy": Coefficient("ADC 4 b flash", 2.03084e-12, "J", "SpikeSim ela_spikesim.py", "published", node_m=65e-9),
        "area": Coefficient(
            "ADC 4 b flash, area", 693.633e-12, "m2", "SpikeSim ela_spikesim.py", "published", node_m=65e-9
        ),
    },
}
"""Single converters with energy per conversion (J) and area (m2), for presets and as checks on the fit."""

_SENSE_W, _SENSE_HZ = 1.6e-6, 1e9
SENSE_AMPLIFIER = Coefficient(
    "sense amplifier decision (1 bit)",
    _SENSE_W / _SENSE_HZ,
    "J",
    "MNSIM table: 28 nm sense amplifier 1.6 uW; rate not stated, 1 GS/s assumed, band 100 MS/s to 2 GS/s",
    "assumed",
    _SENSE_W / 2e9,
    _SENSE_W / 1e8,
    28e-9,
)
"""One decision of a sense amplifier, J."""


def survey_adc_energy(bits: float, node_m: float, rate_hz: float) -> Coefficient:
    """Energy of one conversion from the survey fit, J.

    The band reaches down to the SAR points of DNN_NeuroSim V1.4 (ratio interpolated over node and bits) and up by 2.3.

    Parameters
    ----------
    bits : resolution, 4 to 16.
    node_m : technology node in m, 7 nm to 180 nm.
    rate_hz : samples per second, 10 kS/s to 100 GS/s.

    Raises
    ------
    InputError : outside these ranges.
    """
    _check(bits, node_m, rate_hz)
    node_nm = node_m * 1e9
    value = _survey_pj(bits, node_nm, rate_hz) * 1e-12
    return Coefficient(
        f"ADC conversion, {bits:g} b",
        value,
        "J",
        f"{SURVEY}: {bits:g} b, {node_nm:g} nm, {rate_hz / 1e6:g} MS/s; {_SAR_SOURCE}; "
        f"high end x {_ABOVE_SURVEY:g} (1 kohm column)",
        "derived",
        value * min(_sar_ratio(bits, node_nm), 1.0),
        value * _ABOVE_SURVEY,
        node_m,
    )


def survey_adc_area(bits: float, node_m: float, rate_hz: float) -> Coefficient:
    """Area of one converter from the survey fit, m2; arguments and errors as for ``survey_adc_energy``.

    The fit contains whole converters with references and calibration. Converters built into a crossbar column are far
    smaller: SpikeSim's 4-bit flash takes 694 um2 at 65 nm where the fit says 14 950, which is the low end of the band.
    """
    _check(bits, node_m, rate_hz)
    node_nm = node_m * 1e9
    value = _survey_um2(bits, node_nm, rate_hz) * 1e-12
    small = PUBLISHED["spikesim-flash-4b"]["area"].value * 1e12 / _survey_um2(4, 65, 1e9)
    source = (
        f"{SURVEY}: {bits:g} b, {node_nm:g} nm, {rate_hz / 1e6:g} MS/s; "
        f"low end x {small:.3f} (SpikeSim 4 b flash, 65 nm); high end x 2 (assumed)"
    )
    return Coefficient(f"ADC area, {bits:g} b", value, "m2", source, "derived", value * small, value * 2, node_m)


def flash_adc_energy(bits: int) -> Coefficient:
    """Energy of one conversion of a flash converter made of 2^b − 1 sense amplifiers, J at 28 nm; the way to 1 to 3
    bits.

    Raises
    ------
    InputError : outside 1 to 6 bits.
    """
    if not 1 <= bits <= 6:
        raise InputError(
            "a flash converter outside its sensible range", where="flash_adc_energy", got=bits, expected="1 to 6 bits"
        )
    levels = 2**bits - 1
    if levels == 1:
        return SENSE_AMPLIFIER
    return SENSE_AMPLIFIER.scaled(
        levels,
        f"x {levels} sense amplifiers (2^{bits} - 1), ladder and dummy left out",
        name=f"flash ADC conversion, {bits} b",
    )


def adc_energy(bits: float, node_m: float, rate_hz: float) -> Coefficient:
    """Energy of one conversion, J: the survey fit from 4 bits up, the sense amplifier at 1 bit.

    Raises
    ------
    InputError : for 2 and 3 bits, where neither holds (``flash_adc_energy`` is the way out).
    """
    return SENSE_AMPLIFIER if bits == 1 else survey_adc_energy(bits, node_m, rate_hz)


def scaled_by_bits(
    coefficient: Coefficient,
    bits_from: float,
    bits_to: float,
    *,
    what: Literal["energy", "area"] = "energy",
    rate_hz: float = 1e9,
) -> Coefficient:
    """A converter of known price at another resolution: times the ratio of the survey fit, which does not depend on the
    node.

    Use it to keep a paper's own converter as the anchor while its resolution is swept.

    Raises
    ------
    InputError : if either resolution is outside 4 to 16 bits.
    """
    for bits in (bits_from, bits_to):
        _check(bits, 65e-9, rate_hz)
    if bits_from == bits_to:
        return coefficient
    law = _survey_pj if what == "energy" else _survey_um2
    factor = law(bits_to, 65, rate_hz) / law(bits_from, 65, rate_hz)
    return coefficient.scaled(
        factor, f"x {factor:.4g} ({what}, {bits_from:g} → {bits_to:g} b at {rate_hz / 1e6:g} MS/s, {SURVEY})"
    )


def _survey_pj(bits: float, node_nm: float, rate_hz: float) -> float:
    sndr = 20 * bits * math.log10(2) + 10 * math.log10(1.5)
    fom = min(_FOM_0 + _FOM_F * math.log(rate_hz), _CAP_0 + _CAP_STEP * math.ceil(bits))
    return (
        0.5
        * 10 ** ((sndr - fom) / 10)
        * math.exp(_E_0 + _E_NODE * math.log(node_nm) + _E_BITS * math.log(bits) + _E_REST)
    )


def _survey_um2(bits: float, node_nm: float, rate_hz: float) -> float:
    energy = _survey_pj(bits, node_nm, rate_hz)
    return math.exp(_A_0 + _A_NODE * math.log(node_nm) + _A_F * math.log(rate_hz) + _A_E * math.log(energy))


def _sar_ratio(bits: float, node_nm: float) -> float:
    """SAR points over the survey fit at 1 GS/s, log-interpolated over node and bits, held beyond the points."""

    def at(node: int) -> list[tuple[float, float]]:
        return [(b, math.log(fj / 1e3 / _survey_pj(b, node, 1e9))) for b, fj in _SAR_FJ[node].items()]

    return math.exp(_interpolate(math.log(node_nm), [(math.log(n), _interpolate(bits, at(n))) for n in _SAR_FJ]))


def _interpolate(x: float, points: list[tuple[float, float]]) -> float:
    """Piecewise linear through points in rising order, constant beyond the ends."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]


def _check(bits: float, node_m: float, rate_hz: float) -> None:
    if not LOWEST_BITS <= bits <= HIGHEST_BITS:
        raise InputError(
            "a resolution outside the ADC survey fit",
            where="adc bits",
            got=bits,
            expected=f"{LOWEST_BITS} to {HIGHEST_BITS} bits",
            fix="use SENSE_AMPLIFIER for 1 bit, flash_adc_energy for 2 and 3 bits"
            if bits < LOWEST_BITS
            else "lower the resolution",
        )
    if not 6.999e-9 <= node_m <= 180.001e-9:
        raise InputError(
            "a node outside the ADC survey fit", where="adc node", got=f"{node_m} m", expected="7e-9 to 180e-9 m"
        )
    if not 1e4 <= rate_hz <= 1e11:
        raise InputError(
            "a sampling rate outside the ADC survey fit",
            where="adc rate",
            got=f"{rate_hz} Hz",
            expected="1e4 to 1e11 Hz",
        )
