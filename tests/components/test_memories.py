"""SRAM and DRAM prices against the runs they were taken from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truejoule.components import dram, sram
from truejoule.components.sram import KB
from truejoule.components.technology import Node
from truejoule.errors import InputError

RUNS = [
    (8, 32, 8, 147.05),
    (144, 32, 8, 816.15),
    (8, 45, 64, 96),
    (32, 45, 64, 266),
    (1024, 45, 64, 1461),
    (32, 28, 256, 43.084),
    (144, 28, 256, 111.84),
    (48, 45, 1024, 118),
    (768, 45, 1024, 690),
]


@pytest.mark.parametrize(("kb", "nm", "width", "femtojoule"), RUNS)
def test_reads_pass_through_the_measured_points(kb, nm, width, femtojoule):
    found = sram.read_energy(kb * KB, width, Node(nm, 0.9))
    assert found.value * 1e15 == pytest.approx(femtojoule, rel=1e-4)
    assert found.high / found.value == pytest.approx(2) and found.unit == "J/bit"


def test_released_accesses_of_sata_are_exact():
    assert sram.read_energy(32 * KB, 256, Node(28, 0.9)).value * 256 == pytest.approx(0.0110295e-9, rel=1e-5)
    assert sram.write_energy(32 * KB, 256, Node(28, 0.9)).value * 256 == pytest.approx(0.012772e-9, rel=1e-5)
    assert sram.write_energy(144 * KB, 8, Node(32, 0.9)).value * 8 == pytest.approx(0.0058928e-9, rel=1e-4)


@pytest.mark.parametrize("key", sram.MEASURED_FJ_PER_BIT)
def test_moving_45_nm_to_16_and_12_nm_meets_the_runs_there(key):
    nm, width, kb = key
    found = sram.read_energy(kb * KB, width, Node(nm, 0.9))
    assert found.value * 1e15 == pytest.approx(sram.MEASURED_FJ_PER_BIT[key], rel=0.25)
    assert "law for logic" in found.source and found.high / found.value == pytest.approx(3)


def test_banks_stay_in_the_band():
    found = sram.read_energy(768 * KB, 1024, Node(45, 0.9))
    assert found.low <= 1184e-15 <= found.high
    twelve = sram.read_energy(768 * KB, 1024, Node(12, 0.9))
    assert twelve.low <= 213e-15 <= twelve.high and twelve.low <= 105e-15  # 16 banks; the rule of Dally et al.


@given(st.floats(4096, 2**27), st.floats(1.01, 2), st.floats(8, 1024))
def test_larger_arrays_never_cost_less_per_bit(capacity, growth, width):
    node = Node(28, 0.9)
    small, large = (sram.read_energy(c, width, node) for c in (capacity, capacity * growth))
    assert large.value >= small.value * (1 - 1e-12)
    assert 0 < small.low < small.value < small.high


@given(st.floats(4096, 2**28), st.floats(1, 4096), st.sampled_from([7, 16, 28, 65]))
def test_width_interpolation_is_continuous(capacity, width, nm):
    a, b = (
        sram.read_energy(capacity, w, Node(nm, 0.9)).value for w in (width, width * (1 - 1e-9) if width > 2 else width)
    )
    assert a == pytest.approx(b, rel=1e-6)


def test_what_is_extrapolated_or_borrowed_says_so():
    assert "extrapolated to 1 KB" in sram.read_energy(KB, 64, Node(45, 0.9)).source
    assert "no write published" in sram.write_energy(32 * KB, 64, Node(45, 0.9)).source


def test_low_power_nodes_have_a_price_too():
    assert sram.read_energy(32 * KB, 64, Node(28, 0.9, "LP")).value > 0


@pytest.mark.parametrize(("capacity", "word"), [(100, 8), (2**30, 8), (KB * 8, 0), (4096, 5000)])
def test_impossible_memories_are_refused(capacity, word):
    with pytest.raises(InputError):
        sram.read_energy(capacity, word, Node(28, 0.9))


def test_leakage_is_per_bank_of_two():
    found = sram.leakage(32 * KB, Node(28, 0.9))
    assert found.value * 32 * KB == pytest.approx(2 * 6.25862e-3)
    assert found.low < 6.25862e-3 / (32 * KB) < found.high  # the reading of the released tool
    assert found.unit == "W/bit" and found.kind == "assumed"
    assert sram.leakage(32 * KB, Node(7, 0.7)).high > found.high


def test_cell_and_macro_area():
    assert sram.cell_area(Node(65, 1.0)).value == 0.7391e-12
    assert sram.macro_area(144 * KB, Node(32, 0.8)).value * 144 * KB == pytest.approx(0.5237e-6)
    for nm in (65, 45, 32, 28, 16, 12, 7):
        assert sram.cell_area(Node(nm, 0.9)).value < sram.macro_area(64 * KB, Node(nm, 0.9)).value
    twelve = sram.macro_area(768 * KB, Node(12, 0.9))
    assert twelve.low <= 0.50e-6 / (768 * KB) <= twelve.high


def test_dram_kinds():
    assert dram.access_energy().value == pytest.approx(12.45e-12)
    assert dram.access_energy("sata-released").value * 8 == pytest.approx(0.468762e-9)
    lpddr4, hbm2 = dram.access_energy("lpddr4"), dram.access_energy("hbm2")
    assert (lpddr4.low, lpddr4.high) == pytest.approx((4e-12, 8e-12)) and (hbm2.low, hbm2.high) == pytest.approx(
        (3.9e-12, 7.03e-12)
    )
    for kind, memory in dram.MEMORIES.items():
        assert memory.kind == kind and memory.boundary in memory.energy.name and memory.energy.unit == "J/bit"
    with pytest.raises(InputError, match="did you mean 'lpddr4'"):
        dram.memory("lpddr-4")
