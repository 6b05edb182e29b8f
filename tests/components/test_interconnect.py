"""Wires, routers, meshes and trees."""

import itertools
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truejoule.components import interconnect as ic
from truejoule.components.technology import Node
from truejoule.errors import InputError

FJ_MM = 1e-12
tiles = st.tuples(st.integers(0, 40), st.integers(0, 40))


def test_wires_by_source():
    assert ic.wire_energy(Node(40, 0.9)).value == pytest.approx(121 * FJ_MM)
    default = ic.wire_energy(Node(12, 0.8))
    assert (default.low, default.value, default.high) == pytest.approx((20 * FJ_MM, 50 * FJ_MM, 100 * FJ_MM))
    assert default.value * 1.77e-3 == pytest.approx(89e-15, rel=0.01)  # a hop of NorthPole
    assert ic.wire_energy(Node(16, 0.8), "vlsi-16").high == pytest.approx(40 * FJ_MM)
    assert ic.wire_energy(Node(65, 1.0)).high > ic.wire_energy(Node(40, 0.9)).high
    with pytest.raises(InputError, match="did you mean"):
        ic.wire_energy(Node(40, 0.9), "keckler")


def test_half_c_v_squared_agrees():
    assert ic.wire_energy_from_voltage(0.8).value == pytest.approx(32 * FJ_MM)
    assert ic.wire_energy_from_voltage(0.8).unit == "J/bit/m"
    with pytest.raises(InputError):
        ic.wire_energy_from_voltage(0.8, 1.5)


def test_router_is_a_share_of_a_hop():
    router = ic.router_energy(Node(12, 0.8))
    assert ic.HOP.value == pytest.approx(18.75e-15)
    assert (
        router.value == pytest.approx(9.375e-15)
        and router.high == pytest.approx(ic.HOP.value)
        and router.kind == "assumed"
    )


@given(tiles, tiles, tiles)
def test_manhattan_is_a_metric(a, b, c):
    assert ic.manhattan(a, b) == ic.manhattan(b, a) >= 0
    assert (ic.manhattan(a, b) == 0) == (a == b)
    assert ic.manhattan(a, c) <= ic.manhattan(a, b) + ic.manhattan(b, c)


@given(st.integers(1, 10**6))
def test_mesh_side_is_the_smallest(count):
    side = ic.mesh_side(count)
    assert (side - 1) ** 2 < count <= side**2


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_mean_hops_by_brute_force(side):
    places = list(itertools.product(range(side), repeat=2))
    pairs = [ic.manhattan(a, b) for a in places for b in places]
    assert ic.mean_hops(side) == pytest.approx(sum(pairs) / len(pairs))


@pytest.mark.parametrize(("leaves", "share"), [(1, 0), (2, 0.25), (4, 0.5), (8, 0.625), (16, 0.75), (64, 0.875)])
def test_h_tree_by_hand(leaves, share):
    assert ic.h_tree_length(4e-6, leaves) == pytest.approx(share * 2e-3)


@given(st.floats(1e-12, 1e-2), st.integers(1, 10**6), st.integers(0, 1000))
def test_h_tree_grows_with_leaves_and_stays_below_the_side(area, leaves, more):
    assert ic.h_tree_length(area, leaves) <= ic.h_tree_length(area, leaves + more) <= math.sqrt(area)


def test_geometry_refuses_the_impossible():
    for call in (
        lambda: ic.mesh_side(0),
        lambda: ic.mean_hops(0),
        lambda: ic.hop_length(-1),
        lambda: ic.h_tree_length(1, 0),
    ):
        with pytest.raises(InputError):
            call()
    assert ic.hop_length(4e-6) == pytest.approx(2e-3)


def test_these_rooms_load_neither_torch_nor_numpy():
    rooms = "components, truejoule.workload.shapes, truejoule.workload.profiles, truejoule.workload.table"
    heavy = "('torch', 'numpy', 'scipy', 'pandas')"
    code = f"import sys, truejoule.{rooms}; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
