"""Published device variation, ready to use. See `truejoule.circuit.variation`.

Coefficients are those of fits to figures of the cited papers, as found in open code under permissive licences
(aihwkit: MIT; CrossSim: BSD-3). Each function says what the data cover; outside, the models hold their last value.
"""

from __future__ import annotations

from truejoule.circuit.variation import (
    FlickerNoise,
    GaussianError,
    PolynomialSpread,
    PowerLawDrift,
    SaturatingSpread,
    Variation,
)
from truejoule.errors import InputError

_US = 1e-6
_WAN_S = {  # σ in µS of (g / 40 µS), lowest power first
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    86400.0: (0.701, 22.086, -50.773, 47.095, -16.458),
    172800.0: (0.782, 20.274, -43.507, 37.062, -11.934),
}
_CMO = {0.2: (0.00081107, 0.00106879), 2.0: (0.0112185391, 0.01129027418)}  # σ in µS = c0 + c1 · g in µS
_SONOS_NA = {0: (19.88665, 176.3115), 1: (25.59102, 186.85544), 2: (28.72753, 193.56834), 3: (31.04318, 198.90332),
             4: (33.76214, 204.77023), 5: (34.57909, 207.34309)}  # fmt: skip
_SONOS_V = 0.1
"""1.6 µA is 16 µS there."""


def wan_2022(time_s: float = 1.0) -> Variation:
    """HfOx RRAM of the NeuRRAM chip up to 40 µS, relaxed for 1 s, 1 day or 2 days after programming.

    W. Wan et al., Nature 608, 504 (2022), Extended Data Fig. 3. No drift law and no read noise were published.

    Raises
    ------
    InputError : another time.
    """
    if time_s not in _WAN_S:
        raise InputError("no data for this time", where="time_s", got=time_s, expected="1, 86400 or 172800 s")
    source = "Wan, Nature 608 (2022) Ext. Data Fig. 3, 4th-order fit in aihwkit reram.py (MIT)"
    return Variation((GaussianError(PolynomialSpread(_scaled(_WAN_S[time_s]), 40 * _US, 40 * _US), source),))


def wan_2022_cubic() -> Variation:
    """The same data at 1 s, as another fit reads them, up to 39.26 µS: the spread between the two is that of reading a
    figure."""
    source = "Wan, Nature 608 (2022) Ext. Data Fig. 3 at 1 s, cubic fit in CrossSim RRAM_Wan.py (BSD-3)"
    spread = PolynomialSpread(_scaled((1.053, 0.2374, -1.167e-2, 1.536e-4)), _US, 39.26 * _US)
    return Variation((GaussianError(spread, source),))


def milo_2021() -> Variation:
    """HfO2 RRAM after program-and-verify (IGVVA-100), 50 to 225 µS; its I-V law is the preset ``rram-milo``.

    V. Milo et al., IRPS 2021, Fig. 4.
    """
    source = "Milo, IRPS 2021 Fig. 4 (IGVVA-100), linear fit in CrossSim RRAM_Milo.py (BSD-3)"
    spread = PolynomialSpread(_scaled((4.782321, -0.009107)), _US, 225 * _US, 50 * _US)
    return Variation((GaussianError(spread, source),))


def cmo_hfox(acceptance_percent: float = 2.0) -> Variation:
    """CMO/HfOx RRAM programmed into a window of 0.2 or 2 % of the target.

    Raises
    ------
    InputError : another window.
    """
    if acceptance_percent not in _CMO:
        raise InputError(
            "no data for this window", where="acceptance_percent", got=acceptance_percent, expected="0.2 or 2"
        )
    source = "Falcone et al. (IBM), linear fit in aihwkit reram.py ReRamCMONoiseModel (MIT)"
    spread = PolynomialSpread(_scaled(_CMO[acceptance_percent]), _US, 100 * _US)
    return Variation((GaussianError(spread, source),))


def pcm_nandakumar_2019(time_s: float = 0.0, g_max_s: float = 25e-6, t_read_s: float = 250e-9) -> Variation:
    """Doped-GST phase-change memory ``time_s`` after the first read (20 s after programming): programming error, drift
    and, per read, 1/f noise. Spreads scale with ``g_max_s``; fitted at 25 µS.

    S. R. Nandakumar et al., ICECS 2019; V. Joshi et al., Nat. Commun. 11, 2473 (2020).
    """
    source = "Nandakumar, ICECS 2019, as in aihwkit pcm.py (MIT)"
    spread = PolynomialSpread(_scaled((0.26348, 1.9650, -1.1731)), g_max_s, g_max_s, scale=g_max_s / 25e-6)
    drift = PowerLawDrift(
        time_s, 20.0, g_max_s, (-0.0155, 0.0244, 0.049, 0.1), (-0.0125, -0.0059, 0.008, 0.045), source
    )
    flicker = FlickerNoise(time_s + 20.0, t_read_s, 0.0088, 0.65, 0.2, g_max_s, source)
    return Variation((GaussianError(spread, source), drift), (flicker,))


def pcm_joshi_2020() -> Variation:
    """Phase-change memory at 27 s after programming, up to 25 µS: programming error only.

    V. Joshi et al., Nat. Commun. 11, 2473 (2020), Fig. 3b.
    """
    source = "Joshi, Nat. Commun. 11 (2020) Fig. 3b, quadratic fit in CrossSim PCM_Joshi.py (BSD-3)"
    spread = PolynomialSpread(_scaled((0.28638599, 0.07585724, -0.00178767)), _US, 25 * _US)
    return Variation((GaussianError(spread, source),))


def sonos_agrawal_2022(days: int = 0) -> Variation:
    """40 nm SONOS up to 16 µS, ``days`` (0 to 5) after programming: spread of 128 thousand cells, and read noise. The
    shift of the mean, at most a few percent, is not included.

    V. Agrawal et al., IEDM 2022, 21.7, Figs. 10a and 11b; currents at 0.1 V.

    Raises
    ------
    InputError : another number of days.
    """
    if days not in _SONOS_NA:
        raise InputError("no data for this time", where="days", got=days, expected="a whole number from 0 to 5")
    source = "Agrawal, IEDM 2022 21.7, saturating fit in CrossSim SONOS.py (BSD-3)"
    a, b = (x * 1e-9 / _SONOS_V for x in _SONOS_NA[days])
    noise = SaturatingSpread(12.58037e-9 / _SONOS_V, 215.36557e-9 / _SONOS_V)
    return Variation((GaussianError(SaturatingSpread(a, b), source),), (GaussianError(noise, source),))


def _scaled(micro: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(_US * c for c in micro)
