"""Laws of the energy account."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truejoule.components.coefficient import Coefficient, charge
from truejoule.cost import Entry, Ledger
from truejoule.errors import InputError, InvariantError

KEYS = ("layer", "component", "action", "when", "kind", "source")
joules = st.floats(0, 1e-6)


@st.composite
def entries(draw):
    low, value, high = sorted(draw(st.tuples(joules, joules, joules)))
    when = draw(st.sampled_from(["each step", "once"]))
    counts = draw(st.lists(st.floats(0, 1e9), min_size=1, max_size=1 if when == "once" else 5))
    pick = st.sampled_from
    return Entry(
        draw(pick(["conv1", "conv2", "chip"])),
        draw(pick(["adc", "sram"])),
        draw(pick(["read", "write"])),
        when,
        tuple(counts),
        value,
        low,
        high,
        draw(pick(["a", "b"])),
        draw(pick(["published", "assumed"])),
    )


ledgers = st.lists(entries(), max_size=12).map(lambda found: Ledger(tuple(found)))


def same(a, b):
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-30)


@given(ledgers, st.sampled_from(KEYS))
def test_groups_sum_to_the_total(ledger, key):
    assert same(math.fsum(ledger.by(key).values()), ledger.total_j)


@given(ledgers, st.sampled_from(KEYS), st.sampled_from(KEYS))
def test_tables_sum_to_the_total(ledger, rows, columns):
    assert same(math.fsum(v for row in ledger.table(rows, columns).values() for v in row.values()), ledger.total_j)


@given(ledgers)
def test_total_is_fixed_plus_steps_and_lies_in_its_band(ledger):
    assert same(ledger.fixed_j + math.fsum(ledger.step_j()), ledger.total_j)
    low, high = ledger.band_j
    assert low * (1 - 1e-12) <= ledger.total_j <= high * (1 + 1e-12)


@given(ledgers, ledgers)
def test_ledgers_add(a, b):
    assert same((a + b).total_j, a.total_j + b.total_j) and len((a + b).entries) == len(a.entries) + len(b.entries)


@given(ledgers)
def test_where_splits_without_loss(ledger):
    adc = ledger.where(lambda e: e.component == "adc")
    rest = ledger.where(lambda e: e.component != "adc")
    assert same(adc.total_j + rest.total_j, ledger.total_j) and list(ledger) == list(ledger.entries)


def test_groups_keep_the_order_of_appearance():
    energy = Coefficient("e", 1.0, "J", "x", "assumed")
    ledger = Ledger(tuple(charge(energy, name, "c", "a", 1) for name in ("z", "a", "z", "m")))
    assert list(ledger.by("layer")) == ["z", "a", "m"]


def test_charge_carries_band_source_and_steps():
    energy = Coefficient("ADC", 2e-12, "J", "paper", "published", 1e-12, 3e-12)
    stepped, once = (
        charge(energy, "conv1", "adc", "conversion", [3, 4]),
        charge(energy, "conv1", "adc", "conversion", 5),
    )
    assert (stepped.when, stepped.count, once.when, once.counts) == ("each step", 7, "once", (5.0,))
    assert (stepped.low_j, stepped.energy_j, stepped.high_j, stepped.source, stepped.kind) == (
        1e-12,
        2e-12,
        3e-12,
        "paper",
        "published",
    )


@pytest.mark.parametrize(
    ("counts", "energy", "low", "high"),
    [
        ((-1.0,), 1, 1, 1),
        ((math.nan,), 1, 1, 1),
        ((math.inf,), 1, 1, 1),
        ((1.0,), -1, -1, 1),
        ((1.0,), 1, 2, 3),
        ((1.0,), 3, 1, 2),
        ((1.0,), math.nan, 0, 1),
        ((1.0,), 1, 0, math.inf),
    ],
)
def test_broken_entries_are_our_bug(counts, energy, low, high):
    with pytest.raises(InvariantError):
        Ledger((Entry("l", "c", "a", "once", counts, energy, low, high, "s", "assumed"),))


def test_unknown_column_teaches():
    with pytest.raises(InputError, match="did you mean 'layer'"):
        Ledger(()).by("layr")  # type: ignore[arg-type]


def test_empty_ledger_is_zero():
    assert Ledger(()).total_j == 0 and Ledger(()).step_j() == () and Ledger(()).band_j == (0, 0)
