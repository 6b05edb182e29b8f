"""Laws of the time account, the area account and the three together."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truejoule.components.coefficient import Coefficient, charge, place
from truejoule.cost import Block, Cost, Floorplan, Ledger, Schedule, Slot
from truejoule.errors import InvariantError

times = st.floats(0, 1e-3)


@st.composite
def slots(draw):
    start, length, busy = draw(times), draw(st.floats(1e-9, 1e-3)), draw(st.floats(0, 1))
    return Slot(
        draw(st.sampled_from(["a", "b"])),
        draw(st.integers(0, 3)),
        start,
        start + length,
        busy * (start + length - start),
    )


@st.composite
def schedules(draw):
    found = tuple(draw(st.lists(slots(), min_size=1, max_size=10)))
    latency = max(s.end_s for s in found)
    return Schedule(found, latency * draw(st.floats(0.01, 1)), 1e-9, draw(st.sampled_from(found)).layer)


@st.composite
def blocks(draw):
    low, value, high = sorted(draw(st.tuples(times, times, times)))
    return Block(draw(st.sampled_from(["adc", "sram"])), draw(st.floats(0, 1000)), value, low, high, "s", "assumed")


floorplans = st.lists(blocks(), max_size=8).map(lambda found: Floorplan(tuple(found)))


@given(schedules())
def test_schedule_laws(schedule):
    assert 0 < schedule.first_output_s <= schedule.latency_s
    assert schedule.interval_s <= schedule.latency_s and schedule.throughput_hz >= 1 / schedule.latency_s * (1 - 1e-12)
    assert math.isclose(sum(schedule.by_layer().values()), sum(s.busy_s for s in schedule.slots), rel_tol=1e-12)
    for slot in schedule.slots:
        assert math.isclose(slot.busy_s + slot.stall_s, slot.end_s - slot.start_s, rel_tol=1e-6, abs_tol=1e-15)


@pytest.mark.parametrize(
    "slot",
    [
        Slot("a", 0, -1, 1, 0),
        Slot("a", 0, 2, 1, 0),
        Slot("a", 0, 0, 1, 2),
        Slot("a", 0, 0, math.inf, 0),
        Slot("a", 0, 0, math.nan, 0),
    ],
)
def test_impossible_slots_are_our_bug(slot):
    with pytest.raises(InvariantError):
        Schedule((slot,), 1, 1e-9, "a")


@pytest.mark.parametrize("interval", [0, -1, 2, math.nan])
def test_interval_is_positive_and_at_most_the_latency(interval):
    with pytest.raises(InvariantError):
        Schedule((Slot("a", 0, 0, 1, 1),), interval, 1e-9, "a")


def test_first_output_is_the_first_step_of_the_last_layer():
    schedule = Schedule(
        (Slot("a", 0, 0, 1, 1), Slot("b", 0, 1, 2, 1), Slot("a", 1, 1, 2, 1), Slot("b", 1, 2, 3, 1)), 2, 1e-9, "b"
    )
    assert schedule.first_output_s == 2 and schedule.latency_s == 3 and schedule.by_layer() == {"a": 2, "b": 2}


def test_the_last_layer_is_the_one_that_answers():
    """A side branch that ends later than the head is not the answer; a last layer that never runs is our bug."""
    slots = (Slot("head", 0, 0, 1, 1), Slot("side", 0, 1, 5, 4), Slot("head", 1, 2, 3, 1))
    assert Schedule(slots, 5, 1e-9, "head").first_output_s == 1
    with pytest.raises(InvariantError, match="last layer"):
        Schedule(slots, 5, 1e-9, "heads")


def test_empty_accounts_are_zero():
    empty = Schedule((), 0, 1e-9, "")
    assert empty.latency_s == 0 and empty.first_output_s == 0 and empty.throughput_hz == 0
    assert Floorplan(()).area_m2 == 0 and Cost(Ledger(()), empty, Floorplan(())).power_w == 0


@given(floorplans)
def test_floorplan_laws(plan):
    low, high = plan.band_m2
    assert low * (1 - 1e-12) <= plan.area_m2 <= high * (1 + 1e-12)
    assert math.isclose(sum(plan.by_component().values()), plan.area_m2, rel_tol=1e-12)


@pytest.mark.parametrize(
    "block",
    [
        Block("a", -1, 1, 1, 1, "s", "assumed"),
        Block("a", 1, 1, 2, 3, "s", "assumed"),
        Block("a", 1, 1, 0, math.inf, "s", "assumed"),
        Block("a", math.nan, 1, 1, 1, "s", "assumed"),
    ],
)
def test_impossible_blocks_are_our_bug(block):
    with pytest.raises(InvariantError):
        Floorplan((block,))


ENERGY, AREA = Coefficient("e", 2.0, "J", "x", "assumed"), Coefficient("a", 3.0, "m2", "x", "assumed", 1.0, 4.0)


def test_cost_brings_the_accounts_together():
    schedule = Schedule((Slot("a", 0, 0, 4, 4),), 2, 1e-9, "a")
    cost = Cost(
        Ledger((charge(ENERGY, "a", "adc", "read", 5),)), schedule, Floorplan((place(AREA, "adc", 2),)), floor_j=9
    )
    assert (cost.energy_j, cost.latency_s, cost.area_m2, cost.edp_js, cost.power_w) == (10, 4, 6, 40, 5)
    assert cost.floorplan.band_m2 == (2, 8)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_energy_is_never_below_the_floor(count, floor):
    ledger = Ledger((charge(ENERGY, "a", "adc", "read", count),))
    empty = Schedule((), 0, 1e-9, "")
    if 2 * count < floor * (1 - 1e-9):
        with pytest.raises(InvariantError, match="floor"):
            Cost(ledger, empty, Floorplan(()), floor)
    else:
        assert Cost(ledger, empty, Floorplan(()), floor).energy_j == 2 * count
