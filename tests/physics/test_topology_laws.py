"""Laws of networks used from both ends and of interleaved pairs, one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from physics.topology_arrays import ALL, ENDS, SENSED, array, assert_close, inputs, unequal
from truejoule.circuit import Wires, reference, solve, transfer_and_admittance, transfer_matrix
from truejoule.circuit.topology import PASSIVE_BOTH_ENDS


def test_one_cell_used_from_all_sides():
    """Two ends in parallel: half of (1 + 3) ohm before the cell and half of (2 + 4) ohm after it."""
    g, wires = torch.tensor([[1e-3]], dtype=torch.float64), Wires(1.0, 2.0, 0.0, 3.0, 4.0)
    for topology, ohm in zip(ENDS, (1010, 1008, 1007, 1005), strict=True):
        for found in transfer_and_admittance(g, wires, topology=topology):
            torch.testing.assert_close(found, torch.tensor([[1 / ohm]], dtype=torch.float64), rtol=1e-14, atol=0)


def test_small_drop_expansion():
    """Bit lines only, all rows on: from both ends the loss is r g (n+1)(n+2)/12 to first order, not r g n²/3."""
    n, r, g = 30, 1e-3, 1e-6
    a = transfer_matrix(torch.full((n, 3), g, dtype=torch.float64), Wires(0.0, r), topology=SENSED)
    loss = 1 - a.sum(0) / (n * g)
    torch.testing.assert_close(loss, torch.full_like(loss, r * g * (n + 1) * (n + 2) / 12), rtol=2e-6, atol=0)


@pytest.mark.parametrize("topology", ENDS[1:], ids=str)
def test_reciprocity_under_transposition(topology):
    g, wires = array(7, 5), unequal(7, 5)
    r_wl, r_bl, source, sense = (
        np.asarray(x) for x in (wires.r_wl_ohm, wires.r_bl_ohm, wires.r_source_ohm, wires.r_sense_ohm)
    )
    turned = Wires(r_bl.T[::-1, ::-1], r_wl.T[::-1, ::-1], 0.0, sense[::-1], source[::-1])
    swapped = replace(topology, driven_ends=topology.sensed_ends, sensed_ends=topology.driven_ends)
    found = transfer_matrix(g.T[::-1, ::-1], turned, topology=swapped).numpy().T[::-1, ::-1]
    assert_close(found, transfer_matrix(g, wires, topology=topology), 1e-12)


@pytest.mark.parametrize("topology", ENDS[1:], ids=str)
def test_a_mirrored_array_has_a_mirrored_matrix(topology):
    """Both ends are alike, so turning the array around an axis along which both are used changes nothing else."""
    g, wires = array(6, 8), unequal(6, 8)
    a, y = transfer_and_admittance(g, wires, topology=topology)
    if topology.driven_ends == "both":
        r_wl, sense = np.asarray(wires.r_wl_ohm), np.asarray(wires.r_sense_ohm)
        turned = np.concatenate([r_wl[:, :1], r_wl[:, :0:-1]], 1)
        flipped = replace(wires, r_wl_ohm=turned, r_bl_ohm=np.asarray(wires.r_bl_ohm)[:, ::-1], r_sense_ohm=sense[::-1])
        b, x = transfer_and_admittance(g[:, ::-1], flipped, topology=topology)
        assert_close(b.flip(1), a, 1e-12)
        assert_close(x, y, 1e-12)
    if topology.sensed_ends == "both":
        r_bl, source = np.asarray(wires.r_bl_ohm), np.asarray(wires.r_source_ohm)
        turned = np.concatenate([r_bl[-2::-1], r_bl[-1:]], 0)
        flipped = replace(wires, r_bl_ohm=turned, r_wl_ohm=np.asarray(wires.r_wl_ohm)[::-1], r_source_ohm=source[::-1])
        b, x = transfer_and_admittance(g[::-1], flipped, topology=topology)
        assert_close(b.flip(0), a, 1e-12)
        assert_close(x.flip(0, 1), y, 1e-12)


def test_a_symmetric_array_used_from_both_ends_is_symmetric():
    a = transfer_matrix(np.full((9, 9), 5e-5), Wires(3.0, 3.0, 0.0, 40.0, 40.0), topology=PASSIVE_BOTH_ENDS)
    for other in (a.mT, a.flip(0), a.flip(1)):
        torch.testing.assert_close(other, a, rtol=1e-12, atol=0)


@pytest.mark.parametrize("ohm", [1e-3, 1.0, 100.0])
def test_more_ends_lose_less(ohm):
    """Rayleigh's monotonicity: with all drivers at 1 V, a connection more never lowers the current."""
    g, wires = array(20, 24), Wires(ohm, ohm, 0.0, 10 * ohm, 10 * ohm)
    one, driven, sensed, both = (float(transfer_matrix(g, wires, topology=t).sum()) for t in ENDS)
    assert one < min(driven, sensed) and max(driven, sensed) < both < g.sum()
    loss = [1 - x / g.sum() for x in (one, both)]
    assert loss[1] < 0.6 * loss[0] or ohm > 10


@pytest.mark.parametrize("topology", ENDS[1:], ids=str)
@pytest.mark.parametrize("ohm", [1e-3, 1e-6, 1e-9, 1e-12])
def test_vanishing_wires_lose_no_digits(ohm, topology):
    g = torch.from_numpy(array(20, 24, 0.0))
    wires = Wires(ohm, ohm, 0.0, ohm, ohm)
    a, y = transfer_and_admittance(g, wires, topology=topology)
    assert ((g - a).abs() <= 1e-15 * g + 1e-4 * ohm * 1e-4 * 48**2).all()
    assert (y - torch.diag(g.sum(1))).abs().max() <= 1e-15 + 24 * 1e-4 * ohm * 1e-4 * 48**2
    v = inputs(20, topology)
    solution = solve(g, wires, v, topology=topology)
    ideal = torch.from_numpy(v)[..., None].expand(3, 20, 24)
    assert (solution.cell_voltages_v - ideal).abs().max() <= 1e-14 + 0.3 * ohm * 1e-4 * 48**2
    assert_close(solution.currents_a, torch.from_numpy(v) @ a, 1e-12)
    assert_close(transfer_matrix(g, Wires(0.0, 0.0), topology=topology), g, 1e-15)


@pytest.mark.parametrize("topology", ENDS[1:], ids=str)
def test_a_second_end_of_a_perfect_line_changes_nothing(topology):
    g = array(9, 7)
    lines = Wires(np.array([[0.0]] * 4 + [[2.0]] * 5), np.array([[0.0, 3.0, 0.0, 1.0, 0.0, 0.0, 5.0]]))
    a = transfer_matrix(g, lines, topology=topology)
    assert_close(a, reference.transfer_matrix(g, lines, topology), 1e-12)
    assert torch.isfinite(a).all()
    perfect = Wires(0.0, 0.0)
    assert_close(transfer_matrix(g, perfect, topology=topology), transfer_matrix(g, perfect), 1e-15)


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
@pytest.mark.parametrize("wires", [Wires(2.0, 3.0, 0.0, 9.0, 5.0), Wires(0.0, 0.0), Wires(0.0, 1.0)])
def test_an_open_array_conducts_nothing(wires, topology):
    for found in transfer_and_admittance(np.zeros((6, 5)), wires, topology=topology):
        assert (found == 0).all()


@pytest.mark.parametrize("topology", ENDS[1:], ids=str)
def test_extreme_values_stay_finite(topology):
    a, y = transfer_and_admittance(np.full((50, 20), 1e3), Wires(1e3, 1e3, 0.0, 1e3, 1e3), topology=topology)
    assert torch.isfinite(a).all() and torch.isfinite(y).all() and (a >= -1e-16).all() and a[-1, 0] > 1e-5
    tiny = np.full((6, 5), 1e-300)
    assert_close(transfer_matrix(tiny, Wires(2.0, 3.0, 0.0, 9.0, 5.0), topology=topology), tiny, 1e-12)
    mixed = Wires(np.logspace(-12, 4, 9)[:, None], np.logspace(-9, 6, 7)[None], 0.0, 0.0, 0.0)
    found = transfer_and_admittance(array(9, 7), mixed, topology=topology)
    assert_close(found[0].sum(), found[1].sum(), 1e-12)  # at 1 V everywhere, what goes in comes out
