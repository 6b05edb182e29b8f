"""Passive arrays used from both ends and with interleaved pairs: against ngspice and sparse nodal analysis."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from physics.topology_arrays import ALL, DRIVEN, ENDS, SENSED, array, assert_close, even, inputs, unequal
from truejoule.circuit import (
    GATED_SAME_END,
    PASSIVE,
    GatedColumns,
    Ohmic,
    Sinh,
    Wires,
    cell_voltages,
    effective_conductance_loss,
    input_admittance,
    netlist,
    ngspice_currents,
    reference,
    solve,
    spice,
    static_power,
    transfer_and_admittance,
    transfer_matrix,
)
from truejoule.circuit.topology import PASSIVE_BOTH_ENDS, PASSIVE_INTERLEAVED, interleave
from truejoule.errors import InputError

needs_ngspice = pytest.mark.skipif(not spice.available(), reason="ngspice is not installed (apt install ngspice)")

WIRINGS = {
    "scalars": lambda *_: Wires(2.0, 3.0, 0.0, 100.0, 50.0),
    "unequal": unequal,
    "half of them perfect": lambda rows, columns: unequal(rows, columns, 0.5),
    "perfect word lines": lambda rows, columns: replace(unequal(rows, columns), r_wl_ohm=0.0, r_source_ohm=0.0),
    "perfect bit lines": lambda rows, columns: replace(unequal(rows, columns), r_bl_ohm=0.0, r_sense_ohm=0.0),
    "perfect segments": lambda rows, columns: replace(unequal(rows, columns), r_wl_ohm=0.0, r_bl_ohm=0.0),
    "perfect ends": lambda rows, columns: replace(unequal(rows, columns), r_source_ohm=0.0, r_sense_ohm=0.0),
    "everything": lambda *_: Wires(0.0, 0.0),
}


@needs_ngspice
@pytest.mark.parametrize("wiring", ["unequal", "half of them perfect", "perfect word lines"])
@pytest.mark.parametrize("shape", [(5, 4), (16, 16), (9, 17)], ids=str)
@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
def test_against_ngspice(topology, shape, wiring):
    rows, columns = even(shape, topology)
    g, wires, (v, *_) = array(rows, columns), WIRINGS[wiring](rows, columns), inputs(rows, topology)
    spiced = ngspice_currents(g, wires, v, topology=topology)
    assert_close(torch.from_numpy(v) @ transfer_matrix(g, wires, topology=topology), spiced, 1e-9)
    assert_close(reference.currents(g, wires, v, topology)[0], spiced, 1e-9)


@needs_ngspice
@pytest.mark.parametrize("topology", [PASSIVE_BOTH_ENDS, replace(PASSIVE_BOTH_ENDS, interleaved=True)], ids=str)
def test_against_ngspice_32(topology):
    g, wires, (v, *_) = array(32, 32), unequal(32, 32, 0.1), inputs(32, topology)
    found = torch.from_numpy(v) @ transfer_matrix(g, wires, topology=topology)
    assert_close(found, ngspice_currents(g, wires, v, topology=topology), 1e-9)


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (5, 4), (9, 17), (16, 16), (32, 32)], ids=str)
@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
def test_against_sparse_nodal_analysis(topology, shape, wiring):
    rows, columns = even(shape, topology)
    g, wires, v = array(rows, columns), WIRINGS[wiring](rows, columns), inputs(rows, topology)
    transfer, admittance = transfer_and_admittance(g, wires, topology=topology)
    assert_close(transfer, reference.transfer_matrix(g, wires, topology), 1e-10)
    expected = reference.input_admittance(g, wires, topology)
    assert_close(admittance, expected, 1e-10)
    assert_close(input_admittance(g, wires, topology=topology), admittance, 1e-13)
    power = np.einsum("ni,ij,nj->n", v, expected, v)
    assert_close(static_power(g, wires, v, topology=topology), power, 1e-10)

    solution = solve(g, wires, v, topology=topology)
    word, bit = reference.node_voltages(g, wires, v, topology)
    assert_close(solution.currents_a, reference.currents(g, wires, v, topology), 1e-10)
    assert_close(solution.cell_voltages_v, (word - bit).transpose(2, 0, 1), 1e-10)
    assert_close(solution.power_w, power, 1e-10)


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
def test_larger_than_a_block_of_cells(topology):
    g, wires = array(100, 90), unequal(100, 90, 0.2)
    found = transfer_matrix(g, wires, topology=topology)
    assert_close(found, reference.transfer_matrix(g, wires, topology), 1e-10)


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
def test_every_joule_is_burnt_somewhere(topology):
    """Node voltages from the reference solver, ohms and siemens from the test: what the drivers deliver."""
    rows, columns = 8, 6
    g, wires, v = array(rows, columns), unequal(rows, columns), inputs(rows, topology)
    word, bit = (x.transpose(2, 0, 1) for x in reference.node_voltages(g, wires, v, topology))
    drive = np.stack([v, -v], -1).reshape(len(v), rows) if topology.interleaved else v
    r_wl, r_bl = np.asarray(wires.r_wl_ohm), np.asarray(wires.r_bl_ohm)
    left, bottom = r_wl[:, 0] + np.asarray(wires.r_source_ohm), r_bl[-1] + np.asarray(wires.r_sense_ohm)
    burnt = (
        (g * (word - bit) ** 2).sum((1, 2))
        + ((word[:, :, 1:] - word[:, :, :-1]) ** 2 / r_wl[:, 1:]).sum((1, 2))
        + ((bit[:, 1:] - bit[:, :-1]) ** 2 / r_bl[:-1]).sum((1, 2))
        + ((drive - word[:, :, 0]) ** 2 / left).sum(1)
        + (bit[:, -1] ** 2 / bottom).sum(1)
    )
    if topology.driven_ends == "both":
        burnt += ((drive - word[:, :, -1]) ** 2 / left).sum(1)
    if topology.sensed_ends == "both":
        burnt += (bit[:, 0] ** 2 / bottom).sum(1)
    assert_close(static_power(g, wires, v, topology=topology), burnt, 1e-10)


@pytest.mark.parametrize("ends", ENDS, ids=str)
@pytest.mark.parametrize("method", ["block", "dissection"])
def test_interleaved_pairs_are_an_array_of_twice_the_rows(method, ends):
    if method == "block" and ends != PASSIVE:
        method = "auto"
    plus, minus = array(7, 5), array(7, 5, 0.3)[::-1].copy()
    g, wires = interleave(plus, minus), unequal(14, 5)
    assert g.shape == (14, 5) and (g[0] == torch.from_numpy(plus[0])).all() and (g[1].numpy() == minus[0]).all()
    paired = replace(ends, interleaved=True)
    transfer, admittance = transfer_and_admittance(g, wires, method, topology=paired)
    explicit, every = transfer_and_admittance(g, wires, method, topology=ends)
    sign = torch.kron(torch.eye(7, dtype=torch.float64), torch.tensor([[1.0, -1.0]], dtype=torch.float64))
    assert_close(transfer, sign @ explicit, 1e-14)
    assert_close(admittance, sign @ every @ sign.T, 1e-14)
    v = inputs(14, paired)
    assert_close(
        cell_voltages(g, wires, v, topology=paired), cell_voltages(g, wires, v @ sign.numpy(), topology=ends), 1e-14
    )
    assert_close(
        effective_conductance_loss(g, wires, topology=paired),
        effective_conductance_loss(g, wires, topology=ends),
        0,
    )


def test_interleaved_pairs_without_wires_are_differences():
    plus, minus = torch.rand(2, 3, 4, 6, dtype=torch.float64).unbind(0)
    found = transfer_matrix(interleave(plus, minus), Wires(0.0, 0.0), topology=PASSIVE_INTERLEAVED)
    torch.testing.assert_close(found, plus - minus)
    assert found.shape == (3, 4, 6)


def test_equal_cells_of_a_pair_with_one_contact_balance_exactly():
    g = array(16, 8)
    shared = Wires(0.0, np.array([[0.0], [5.0]] * 16))
    for ends in ENDS:
        a = transfer_matrix(interleave(g, g), shared, topology=replace(ends, interleaved=True))
        assert a.abs().max() < 1e-15 * g.max()


@pytest.mark.parametrize("interleaved", [False, True])
def test_tiles_and_chunks_equal_a_loop(interleaved, monkeypatch):
    topology = replace(PASSIVE_BOTH_ENDS, interleaved=interleaved)
    g = np.random.default_rng(0).uniform(0, 1e-4, (2, 3, 10, 7))
    per_tile = Wires(
        np.random.default_rng(1).uniform(0, 9, (2, 3, 1, 1)),
        np.random.default_rng(2).uniform(0, 9, (3, 10, 7)),
        0.0,
        np.random.default_rng(3).uniform(0, 9, (2, 1, 10)),
    )
    assert all(isinstance(x, torch.Tensor) for x in (per_tile.r_wl_ohm, per_tile.r_bl_ohm, per_tile.r_source_ohm))
    v = np.broadcast_to(inputs(10, topology), (2, 3, 3, 5 if interleaved else 10))

    def run():
        a, y = transfer_and_admittance(g, per_tile, topology=topology)
        solution = solve(g, per_tile, v, topology=topology)
        return a, y, solution.currents_a, solution.cell_voltages_v, solution.power_w

    whole = run()
    monkeypatch.setattr("truejoule.circuit.passive._WORK_BYTES", 1)
    for one, other in zip(run(), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-20)
    for i, j in itertools.product(range(2), range(3)):
        r_wl, r_bl, source = (torch.as_tensor(x) for x in (per_tile.r_wl_ohm, per_tile.r_bl_ohm, per_tile.r_source_ohm))
        wires = Wires(r_wl[i, j], r_bl[j], 0.0, source[i, 0])
        assert_close(whole[0][i, j], transfer_matrix(g[i, j], wires, topology=topology), 1e-13)
        assert_close(whole[3][i, j], cell_voltages(g[i, j], wires, v[i, j], topology=topology), 1e-13)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 + torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("topology", ALL.values(), ids=ALL)
def test_gradients_against_differences(topology):
    v = unit(2, 2 if topology.interleaved else 4, seed=5)

    def outputs(g, r_wl, r_bl, source, sense, v):
        wires = Wires(r_wl, r_bl, 0.0, source, sense)
        a, y = transfer_and_admittance(g * 1e-4, wires, topology=topology)
        solution = solve(g * 1e-4, wires, v, topology=topology)
        return a * 1e4, y * 1e4, solution.currents_a * 1e4, solution.cell_voltages_v, solution.power_w * 1e4

    leaves = [unit(4, 3), 50 * unit(4, 3, seed=1), 90 * unit(4, 3, seed=2), 99 * unit(4, seed=3), 99 * unit(3, seed=4)]
    leaves[0][1, 2] = leaves[1][2, 0] = leaves[1][2, 1] = leaves[2][3, 1] = 1e-3  # as near to 0 as differences allow
    assert torch.autograd.gradcheck(outputs, [x.requires_grad_() for x in (*leaves, v)], eps=1e-4, rtol=1e-5, atol=1e-8)


def test_chunked_gradients_equal_whole_ones(monkeypatch):
    def gradient():
        g = (1e-4 * unit(5, 6, 7)).requires_grad_()
        r = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
        (transfer_matrix(g, Wires(r, 2.0), topology=PASSIVE_BOTH_ENDS) ** 2).sum().backward()
        return g.grad, r.grad

    whole = gradient()
    monkeypatch.setattr("truejoule.circuit.passive._WORK_BYTES_LARGE", 1)
    torch.testing.assert_close(gradient(), whole, rtol=1e-11, atol=0)


def test_gradients_at_perfect_lines():
    g = (1e-4 * unit(4, 3)).requires_grad_()
    transfer_matrix(g, Wires(0.0, 0.0), topology=PASSIVE_BOTH_ENDS).sum().backward()
    torch.testing.assert_close(g.grad, torch.ones_like(g), rtol=1e-13, atol=0)
    r = torch.zeros((), dtype=torch.float64, requires_grad=True)
    with pytest.raises(InputError, match="no slope"):
        transfer_matrix(g, Wires(r, 1.0), topology=DRIVEN)
    with pytest.raises(InputError, match=r"r_bl_ohm, r_sense_ohm"):
        transfer_matrix(g, Wires(1.0, r), topology=SENSED)
    slope = torch.autograd.grad(transfer_matrix(g, Wires(r, 1.0), topology=SENSED).sum(), r)[0]
    assert torch.isfinite(slope) and slope < 0  # lines used at one end keep theirs


def test_dtype_and_method():
    g = torch.from_numpy(array(6, 5)).float()
    wires = Wires(1.0, 2.0)
    assert transfer_matrix(g, wires, topology=PASSIVE_BOTH_ENDS).dtype == torch.float32
    exact = transfer_matrix(g.double(), wires, "dissection", topology=PASSIVE_BOTH_ENDS)
    torch.testing.assert_close(transfer_matrix(g.double(), wires, topology=PASSIVE_BOTH_ENDS), exact, rtol=0, atol=0)
    with pytest.raises(InputError, match='use method="dissection"'):
        transfer_matrix(g, wires, "block", topology=PASSIVE_BOTH_ENDS)


@pytest.mark.parametrize(
    "run",
    [
        lambda g, w, v, t: transfer_matrix(g, w, topology=t),
        lambda g, w, v, t: solve(g, w, v, topology=t),
        lambda g, w, v, t: static_power(g, w, v, topology=t),
        lambda g, w, v, t: reference.currents(g, w, v, t),
        lambda g, w, v, t: netlist(g, w, v[0], topology=t),
    ],
)
def test_what_is_refused_says_what_to_use(run):
    g, wires, v = array(5, 4), Wires(1.0, 1.0), np.ones((1, 5))
    with pytest.raises(InputError, match="use GatedColumns"):
        run(g, wires, v, GATED_SAME_END)
    with pytest.raises(InputError, match="even number of rows"):
        run(g, wires, v, PASSIVE_INTERLEAVED)
    with pytest.raises(InputError, match="both ends and interleaved"):
        GatedColumns(g, wires, 0.1, topology=PASSIVE_BOTH_ENDS)
    with pytest.raises(InputError, match="sensed at both ends"):
        GatedColumns(g, wires, 0.1, topology=replace(GATED_SAME_END, sensed_ends="both"))


def test_pairs_need_equal_shapes_and_one_input_each():
    with pytest.raises(InputError, match="a positive and a negative cell"):
        interleave(np.ones((3, 2)), np.ones((2, 3)))
    with pytest.raises(InputError, match="do not fit"):
        solve(np.ones((4, 3)), Wires(1.0, 1.0), np.ones(4), topology=PASSIVE_INTERLEAVED)


def test_netlists_leave_out_second_ends_of_perfect_lines():
    wires = Wires(np.array([[0.0], [2.0]]), np.array([[0.0, 3.0]]))
    lines = netlist(np.ones((2, 2)), wires, np.ones(2), topology=PASSIVE_BOTH_ENDS).splitlines()
    assert "RWF1 df1 u1_1 2" in lines and "VSF1 in1 df1 0" in lines and "RBF1 v0_1 ef1 3" in lines
    assert not any(line.split()[0][1:] in ("WF0", "SF0", "BF0", "KF0") for line in lines)


@needs_ngspice
def test_netlists_of_other_cells_take_every_passive_topology():
    g, wires, v = array(6, 4), unequal(6, 4), np.linspace(-0.2, 0.3, 6)
    linear = ngspice_currents(g, wires, v, Ohmic(), PASSIVE_BOTH_ENDS)
    assert_close(linear, torch.from_numpy(v) @ transfer_matrix(g, wires, topology=PASSIVE_BOTH_ENDS), 1e-9)
    bent = ngspice_currents(g, wires, v, Sinh(4.0), PASSIVE_BOTH_ENDS)
    assert np.abs(bent / linear - 1).max() > 0.01
