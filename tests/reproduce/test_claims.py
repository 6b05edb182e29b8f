"""Claims are computed, not remembered: verdicts follow the numbers, and the released account gives the released values."""

import pytest

from truejoule.errors import InputError
from truejoule.reproduce import Claim, claims, papers


def claim(published=2.0, released=2.1, corrected=None, **more):
    return Claim("paper", "claim", published, "x", released, corrected, "released", 0.1, "why", **more)


def test_verdicts():
    assert claim().deviation == pytest.approx(0.05) and claim().verdict == "reproduced"
    assert claim(released=3.0).verdict == "differs"
    assert claim(released=3.0, at_least=True).verdict == "reproduced"
    assert claim(released=1.0, at_least=True).verdict == "differs"
    assert claim(released=None).verdict == "not reproducible" and claim(released=None).deviation is None


@pytest.mark.parametrize("paper", papers())
def test_every_claim_has_a_reason(paper):
    for c in claims(paper):
        assert c.reason and c.unit and c.published > 0
        assert c.to_json()["verdict"] == c.verdict


def test_spikesim_rows():
    found = {c.claim: c for c in claims("spikesim")}
    (cycle,) = (c for text, c in found.items() if "PE cycle, x = 64" in text)
    assert cycle.verdict == "reproduced" and cycle.released == pytest.approx(828.49e-12, rel=1e-5)
    table = [c for text, c in found.items() if text.startswith("Table II")]
    assert len(table) == 5 and all(c.verdict == "reproduced" for c in table)
    # The published EDP ratio needs an offset that the released formulas do not have: exactly T squared.
    (edp,) = (c for text, c in found.items() if "EDP at T=4" in text)
    assert edp.released == pytest.approx(16.0) and edp.verdict == "differs"


def test_unknown_paper():
    with pytest.raises(InputError, match="did you mean 'spikesim'"):
        claims("spikesin")
