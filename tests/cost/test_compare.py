"""Two accounts side by side."""

import itertools

import pytest

from truejoule.cost import Entry, Ledger, compare
from truejoule.cost.compare import ratio_band
from truejoule.errors import InputError


def ledger(*rows):
    """Rows of ``(layer, component, action, count, low, high)``; one of each takes 2 J."""
    return Ledger(
        tuple(Entry(la, c, a, "once", (n,), 2.0, low, high, "s", "assumed") for la, c, a, n, low, high in rows)
    )


def test_the_band_of_a_ratio_is_that_of_all_corners():
    """Against every combination of low and high ends."""
    bands = ((1.0, 5.0), (0.5, 2.0), (2.0, 2.0), (0.0, 9.0))
    one, two = ([(n, *b) for n, b in zip(counts, bands, strict=True)] for counts in ((1, 5, 2, 0), (3, 1, 1, 1)))
    corners = []
    for ends in itertools.product((1, 2), repeat=4):
        sums = [sum(entry[0] * entry[end] for entry, end in zip(side, ends, strict=True)) for side in (one, two)]
        corners.append(sums[0] / sums[1])
    ledgers = [ledger(*(("l", "c", f"a{i}", *entry) for i, entry in enumerate(side))) for side in (one, two)]
    assert ratio_band(*ledgers) == pytest.approx((min(corners), max(corners)))


def test_shared_coefficients_cannot_decide_against_themselves():
    """Twice the same thing is twice the energy whatever its coefficient is; on two kinds of machine it may be anything in the bands."""
    one, two = ledger(("l", "dram", "bit", 2, 1.0, 4.0)), ledger(("l", "dram", "bit", 1, 1.0, 4.0))
    c = compare(one, two, shared=True, same_layers=True)
    assert (c.low, c.ratio, c.high, c.verdict) == (2.0, 2.0, 2.0, "more expensive")
    assert compare(two, one, shared=True, same_layers=True).verdict == "cheaper"
    apart = compare(one, two, shared=False, same_layers=True)
    assert (apart.low, apart.high, apart.verdict) == (0.5, 8.0, "undecided")


def test_bands_of_other_widths_are_other_coefficients():
    """DRAM of two kinds: both are uncertain for themselves, so nearly equal totals decide nothing."""
    one, two = ledger(("l", "dram", "bit", 11, 1.0, 4.0)), ledger(("l", "dram", "bit", 10, 0.5, 3.0))
    c = compare(one, two, shared=True, same_layers=True)
    assert (c.low, c.high) == pytest.approx((11 * 1.0 / 30, 11 * 4.0 / 5)) and c.verdict == "undecided"
    with pytest.raises(InputError, match="without energy"):
        compare(one, ledger(("l", "dram", "bit", 0, 0.5, 3.0)), shared=True, same_layers=True)


def test_why():
    snn = ledger(
        ("conv1", "neuron unit", "cycle clocked", 30, 2, 2),
        ("conv1", "dram", "bit", 5, 2, 2),
        ("conv2", "dram", "bit", 1, 2, 2),
    )
    ann = ledger(
        ("conv1", "dram", "bit", 5, 2, 2),
        ("conv2", "scratchpads", "operation", 10, 2, 2),
        ("conv2", "scratchpads", "leakage, unit x s", 1, 2, 2),
    )
    c = compare(snn, ann, shared=True, same_layers=True)
    assert (
        c.components == {"neuron unit": 60.0, "dram": 2.0, "scratchpads": -22.0}
        and next(iter(c.components)) == "neuron unit"
    )
    assert c.layers == {"conv1": 60.0, "conv2": -20.0} and sum(c.components.values()) == c.first_j - c.second_j
    assert c.why() == (
        "pays 60.0 J more on neuron unit (cycle clocked) and 2.00 J more on dram (bit) and saves 22.0 J on scratchpads (operation); "
        "it is the cheaper one in conv2"
    )
    for same in (False, True):
        assert compare(ann, ann, shared=True, same_layers=same).why() == "differs in nothing by more than a twentieth"
    assert (
        "dearer one in every layer"
        in compare(
            ledger(("l", "c", "a", 2, 2, 2)), ledger(("l", "c", "a", 1, 2, 2)), shared=True, same_layers=True
        ).why()
    )


def test_layers_that_hardly_count_say_nothing():
    one = ledger(("big", "c", "a", 1000, 2, 2), ("small", "c", "a", 1, 2, 2))
    two = ledger(("big", "c", "a", 900, 2, 2), ("small", "c", "a", 2, 2, 2))
    assert list(compare(one, two, shared=True, same_layers=True).layers) == ["big"]
    assert compare(one, two, shared=True, same_layers=False).layers == {}
