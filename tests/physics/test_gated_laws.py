"""What theory says about gated arrays: closed forms, limits, independent solvers, gradients, refusals."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.linalg import solve_banded

from truejoule.circuit import (
    GATED_IDEAL,
    GATED_OPPOSITE_END,
    GATED_SAME_END,
    PASSIVE,
    GatedColumns,
    GatedNonlinearColumns,
    Ohmic,
    ReadStack,
    Topology,
    Wires,
    bit_planes,
    gated_inputs,
    reference,
)
from truejoule.errors import InputError

V = 0.2
ROUNDING = 3e-16
"""Amperes that a nodal solve of volts and siemens rounds away."""
STACK = ReadStack(0.1, 0.1)
SUPPLIES = {"same end": GATED_SAME_END, "opposite end": GATED_OPPOSITE_END}


def array(rows, columns, seed=0):
    rng = np.random.default_rng([rows, columns, seed])
    return torch.from_numpy(rng.uniform(1e-6, 1e-4, (rows, columns))), torch.from_numpy(rng.random((3, rows)) < 0.5)


def both_solvers(g, wires, topology=GATED_SAME_END, **more):
    yield GatedColumns(g, wires, V, topology=topology, **more)
    yield GatedColumns(g, wires, V, topology=topology, method="scan", **more)
    yield GatedNonlinearColumns(g, Ohmic(), wires, V, topology=topology, tolerance=1e-12, **more)


@pytest.mark.parametrize("topology", SUPPLIES.values(), ids=SUPPLIES)
def test_one_cell_is_a_series_circuit(topology):
    g, wires = torch.tensor([[5e-5]], dtype=torch.float64), Wires(9.0, 2.0, 3.0, 40.0, 70.0)
    for columns in both_solvers(g, wires, topology):
        assert float(columns(torch.ones(1))) == pytest.approx(V / (1 / 5e-5 + 2 + 3 + 40 + 70), rel=1e-14)


@pytest.mark.parametrize("topology", SUPPLIES.values(), ids=SUPPLIES)
def test_without_wires_it_is_a_matrix_product(topology):
    g, bits = array(37, 11)
    for columns in both_solvers(g, Wires(5.0, 0.0), topology):
        torch.testing.assert_close(columns(bits), V * bits.double() @ g, rtol=1e-14, atol=0)
    for columns in both_solvers(g, Wires(5.0, 1e-9, 1e-9), topology):
        torch.testing.assert_close(columns(bits), V * bits.double() @ g, rtol=1e-9, atol=0)


@pytest.mark.parametrize("rows", [1, 2, 5, 64])
def test_scan_table_and_a_tridiagonal_solve_are_one(rows):
    g, bits = array(rows, 19)
    after, off = 3.0, 1e-8
    wires = Wires(0.0, 2.0, 1.0, 60.0, 40.0)
    expected = np.empty((len(bits), g.shape[1]))
    for n, x in enumerate(bits):
        for j in range(g.shape[1]):
            c = np.where(x, g[:, j], off)
            wire = np.full(rows, 1 / after)
            wire[-1] = 1 / (after + 100.0)
            band = np.zeros((3, rows))
            band[0, 1:] = band[2, :-1] = -wire[:-1]
            band[1] = c + wire
            band[1, 1:] += wire[:-1]
            right = np.zeros(rows)
            right[-1] = wire[-1] * V
            expected[n, j] = c @ solve_banded((1, 1), band, right)
    for k in range(1, 9):
        found = GatedColumns(g, wires, V, g_off_siemens=off, group_rows=k)(bits)
        np.testing.assert_allclose(found, expected, rtol=2e-12, atol=ROUNDING)
    for columns in both_solvers(g, wires, g_off_siemens=off):
        np.testing.assert_allclose(columns(bits), expected, rtol=2e-12, atol=ROUNDING)


def test_an_infinite_ladder():
    g, r = 1e-4, 20.0
    resistance = r / 2 + np.sqrt(r * r / 4 + r / g)
    columns = GatedColumns(torch.full((2000, 1), g, dtype=torch.float64), Wires(0.0, r), V)
    assert float(columns(torch.ones(2000))) == pytest.approx(V / resistance, rel=1e-12)


def test_the_small_drop_expansion():
    """Loss ≈ N² r G p / 3 (p: share of active cells), the first order of every polynomial correction."""
    rows, g, r = 100, 1e-5, 0.05
    for p in (1.0, 0.5):
        bits = torch.zeros(rows)
        bits[:: round(1 / p)] = 1
        current = float(GatedColumns(torch.full((rows, 1), g, dtype=torch.float64), Wires(0.0, r), V)(bits))
        loss = 1 - current / (V * g * rows * p)
        assert loss == pytest.approx(rows**2 * r * g * p / 3, rel=0.03)


def test_a_far_source_line_without_resistance_is_the_ideal_supply():
    g, bits = array(48, 9)
    ideal = GatedColumns(g, Wires(0.0, 4.0, r_sense_ohm=30.0), V, topology=GATED_IDEAL)(bits)
    for r_sl, tolerance in ((0.0, 1e-13), (1e-9, 1e-9)):
        far = GatedColumns(g, Wires(0.0, 4.0, r_sl, 0.0, 30.0), V, topology=GATED_OPPOSITE_END)
        torch.testing.assert_close(far(bits), ideal, rtol=tolerance, atol=0)


def test_exchanging_the_lines_of_a_far_fed_array_turns_it_upside_down():
    """Reciprocity: feed and sense are interchangeable."""
    g, bits = array(23, 6)
    one = GatedColumns(g, Wires(0.0, 4.0, 1.5, 70.0, 30.0), V, topology=GATED_OPPOSITE_END)(bits)
    other = GatedColumns(g.flip(0), Wires(0.0, 1.5, 4.0, 30.0, 70.0), V, topology=GATED_OPPOSITE_END)(bits.flip(1))
    torch.testing.assert_close(one, other, rtol=1e-13, atol=0)


@pytest.mark.parametrize("topology", SUPPLIES.values(), ids=SUPPLIES)
def test_no_input_no_current_and_all_inputs(topology):
    g, _ = array(21, 70)
    wires = Wires(1.0, 2.0, 3.0, 50.0, 60.0)
    for columns in both_solvers(g, wires, topology):
        assert (columns(torch.zeros(2, 21)) == 0).all()
        expected = reference.gated_currents(g, wires, np.ones(21), V, topology)
        np.testing.assert_allclose(columns(torch.ones(1, 21)), expected, rtol=1e-11)
    for columns in both_solvers(torch.zeros_like(g), wires, topology):
        assert (columns(torch.ones(2, 21)) == 0).all()


@pytest.mark.parametrize("topology", SUPPLIES.values(), ids=SUPPLIES)
def test_wires_beyond_all_reason_stay_finite(topology):
    g = torch.full((256, 3), 1e-2, dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        for columns in (
            GatedColumns(g.to(dtype), Wires(0.0, 1e7, 1e7), V, topology=topology, group_rows=8),
            GatedColumns(g.to(dtype), Wires(0.0, 1e7, 1e7), V, topology=topology, method="scan"),
            GatedNonlinearColumns(g.to(dtype), STACK, Wires(0.0, 1e4, 1e4), V, topology=topology),
        ):
            i = columns(torch.ones(2, 256))
            assert torch.isfinite(i).all() and (i > 0).all()


def test_columns_too_hard_for_shooting_are_certified_all_the_same():
    g, bits = array(200, 5)
    wires = Wires(0.0, 300.0, 0.0, 0.0, 100.0)
    solution = GatedNonlinearColumns(g, STACK, wires, V).solve(bits)
    assert (solution.residual <= 1e-6).all()
    expected = reference.gated_currents(g, wires, bits, V, GATED_SAME_END, 0.0, STACK)
    np.testing.assert_allclose(solution.currents_a, expected, rtol=1e-6)


def test_tiles_inputs_and_wires_broadcast():
    g = torch.rand(2, 3, 10, 5, dtype=torch.float64) * 1e-4
    wires = Wires(0.0, torch.rand(3, 10, 5) * 9, torch.rand(2, 3, 10, 5), torch.rand(5), torch.rand(2, 1, 1) * 99)
    bits = torch.rand(2, 1, 7, 10) < 0.5
    for topology in SUPPLIES.values():
        for make in (
            lambda *a, **k: GatedColumns(*a, **k),
            lambda *a, **k: GatedColumns(*a, method="scan", **k),
            lambda g, *a, **k: GatedNonlinearColumns(g, STACK, *a, **k),
        ):
            found = make(g, wires, V, topology=topology)(bits)
            assert found.shape == (2, 3, 7, 5)
            for a in range(2):
                for b in range(3):
                    own = Wires(
                        0.0, wires.r_bl_ohm[b], wires.r_sl_ohm[a, b], wires.r_source_ohm, wires.r_sense_ohm[a, 0]
                    )
                    for n in range(7):
                        one = make(g[a, b], own, V, topology=topology)(bits[a, 0, n])
                        torch.testing.assert_close(found[a, b, n], one, rtol=1e-6, atol=0)


def test_tables_that_do_not_fit_into_memory_are_streamed(monkeypatch):
    g, bits = torch.rand(9, 30, 20) * 1e-4, torch.rand(4, 30) < 0.5
    wires = Wires(0.0, torch.rand(9, 30, 20))
    kept = GatedColumns(g, wires, V)(bits), GatedNonlinearColumns(g, STACK, wires, V)(bits)
    monkeypatch.setattr("truejoule.circuit.gated._KEPT_BYTES", 0)
    monkeypatch.setattr("truejoule.circuit.gated._WORK_BYTES", 100_000)
    monkeypatch.setattr("truejoule.circuit.gated_nonlinear._WORK_BYTES", 40_000)
    streamed = GatedColumns(g, wires, V), GatedNonlinearColumns(g, STACK, wires, V)
    for columns, expected in zip(streamed, kept, strict=True):
        torch.testing.assert_close(columns(bits), expected, rtol=1e-6, atol=0)
        assert columns._kept is None


def test_without_numba_the_answer_is_the_same(monkeypatch):
    g, bits = array(30, 20)
    wires = Wires(0.0, 3.0, 2.0, 10.0, 20.0)
    expected = [[c(bits) for c in both_solvers(g, wires, t, g_off_siemens=1e-8)] for t in SUPPLIES.values()]
    near = GatedNonlinearColumns(g, STACK, wires, V).approximate(bits)
    for room in ("gated", "gated_nonlinear"):
        monkeypatch.setattr(f"truejoule.circuit.{room}.compiled", lambda name: None)
    found = [[c(bits) for c in both_solvers(g, wires, t, g_off_siemens=1e-8)] for t in SUPPLIES.values()]
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)
    torch.testing.assert_close(GatedNonlinearColumns(g, STACK, wires, V).approximate(bits), near, rtol=1e-12, atol=0)


def test_importing_the_room_loads_neither_numba_nor_scipy():
    code = "import sys, truejoule.circuit; print([m for m in ('numba', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bit_serial_inputs():
    g, _ = array(12, 5)
    codes = torch.randint(0, 16, (6, 12))
    planes = bit_planes(codes, 4)
    assert (sum(2**b * planes[b].long() for b in range(4)) == codes).all()
    columns = GatedColumns(g, Wires(0.0, 3.0), V)
    serial = columns.bit_serial(codes, 4)
    assert serial.shape == (4, 6, 5)
    torch.testing.assert_close(serial[2], columns(planes[2]))
    free = GatedColumns(g, Wires(0.0, 0.0), V).bit_serial(codes, 4)
    total = sum(2**b * free[b] for b in range(4))
    torch.testing.assert_close(total, V * codes.double() @ g, rtol=1e-12, atol=0)
    for bad in (torch.tensor([16]), torch.tensor([-1]), torch.tensor([0.5]), torch.tensor([float("nan")])):
        with pytest.raises(InputError, match="whole numbers of 4 bits"):
            bit_planes(bad, 4)


@pytest.mark.parametrize("topology", SUPPLIES.values(), ids=SUPPLIES)
def test_power_balance(topology):
    """What the supply delivers is burnt in cells and lines, from the node voltages of the nodal solver."""
    g, bits = array(14, 4)
    wires = Wires(0.0, 6.0, 4.0, 80.0, 50.0)
    columns = GatedColumns(g, wires, V, topology=topology)
    currents = columns(bits[0])
    net = reference.assemble_gated((14, 4), wires, topology, V)
    on = np.where(bits[0][:, None], g, 0.0)
    laplacian = net.wired + reference._laplacian(net.bit.ravel(), net.line.ravel(), on.ravel(), net.volts.size)
    volts = net.volts.copy()
    inner = laplacian[net.free][:, net.free].toarray()
    volts[net.free] = np.linalg.solve(inner, -(laplacian @ volts)[net.free])
    assert float(columns.power_w(currents)) == pytest.approx(volts @ (laplacian @ volts), rel=1e-9)


@pytest.mark.parametrize("topology", SUPPLIES.values(), ids=SUPPLIES)
def test_gradients_of_ohmic_columns(topology):
    g, bits = array(6, 3)
    r = [torch.rand(6, 3, dtype=torch.float64) * 900, torch.rand(6, 3, dtype=torch.float64) * 900]
    g = g * 1e4  # of order 1, for the step of gradcheck

    def current(g, r_bl, r_sl, off):
        wires = Wires(0.0, r_bl * 1e-4, r_sl * 1e-4, 0.01, 0.02)
        return GatedColumns(g, wires, V, topology=topology, g_off_siemens=off)(bits)

    inputs = [x.requires_grad_() for x in (g, *r, torch.rand(6, 3, dtype=torch.float64) * 0.1)]
    assert torch.autograd.gradcheck(current, inputs)


@pytest.mark.parametrize("topology", SUPPLIES.values(), ids=SUPPLIES)
def test_gradients_of_nonlinear_columns(topology):
    g, bits = array(6, 3)
    g = g * 1e4
    r = torch.rand(6, 3, dtype=torch.float64) * 0.1

    def current(g, r_bl):
        wires = Wires(0.0, r_bl, 0.03, 0.01, 0.02)
        return GatedNonlinearColumns(g, STACK, wires, V, topology=topology, tolerance=1e-12)(bits)

    assert torch.autograd.gradcheck(current, [g.requires_grad_(), r.requires_grad_()])


GOOD = dict(g=torch.full((3, 2), 1e-5), wires=Wires(0.0, 1.0), v=V, topology=GATED_SAME_END, off=0.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"g": torch.full((3, 2), -1e-5)}, "not negative"),
        ({"g": torch.full((3, 2), float("nan"))}, "not negative"),
        ({"g": torch.full((3,), 1e-5)}, "rows and columns"),
        ({"g": torch.full((3, 0), 1e-5)}, "rows and columns"),
        ({"off": float("inf")}, "not negative"),
        ({"off": torch.zeros(4, 2)}, "do not fit"),
        ({"v": float("nan")}, "finite"),
        ({"wires": Wires(0.0, torch.ones(4, 2))}, "does not fit"),
        ({"wires": Wires(0.0, 1.0, 1.0), "topology": GATED_IDEAL}, "no resistance"),
        ({"topology": PASSIVE}, "a passive array"),
        ({"topology": dataclasses.replace(GATED_SAME_END, driven_ends="both")}, "driven at both ends"),
        ({"topology": dataclasses.replace(GATED_SAME_END, sensed_ends="both")}, "sensed at both ends"),
        ({"topology": dataclasses.replace(GATED_SAME_END, interleaved=True)}, "interleaved"),
    ],
)
def test_refusals(change, complaint):
    case = {**GOOD, **change}
    more = dict(topology=case["topology"], g_off_siemens=case["off"])
    with pytest.raises(InputError, match=complaint):
        GatedColumns(case["g"], case["wires"], case["v"], **more)
    with pytest.raises(InputError, match=complaint):
        GatedNonlinearColumns(case["g"], STACK, case["wires"], case["v"], **more)


@pytest.mark.parametrize("method", ["auto", "scan"])
def test_inputs_that_are_not_bits_are_refused(method):
    for topology in SUPPLIES.values():
        columns = GatedColumns(GOOD["g"], GOOD["wires"], V, topology=topology, method=method)
        for bits in (torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0, 2, 1]), torch.tensor([0.0, float("nan"), 1.0])):
            with pytest.raises(InputError, match="0 or 1"):
                columns(bits)
        with pytest.raises(InputError, match="do not fit"):
            columns(torch.ones(4))
        for dtype in (torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float64):
            torch.testing.assert_close(columns(torch.ones(3).to(dtype)), columns(torch.ones(3)))
    with pytest.raises(InputError, match="unknown method"):
        GatedColumns(GOOD["g"], GOOD["wires"], V, method="tables")
    with pytest.raises(InputError, match="1 to 8"):
        GatedColumns(GOOD["g"], GOOD["wires"], V, group_rows=9)


def test_a_topology_must_make_sense():
    with pytest.raises(InputError, match="cannot be supplied"):
        Topology("gated", "rows")
    with pytest.raises(InputError, match="unknown kind"):
        Topology("charge", "rows")
    with pytest.raises(InputError, match="unknown ends"):
        Topology("gated", "ideal", sensed_ends="two")


def test_no_inputs_and_no_tiles():
    for columns in both_solvers(GOOD["g"], GOOD["wires"]):
        assert columns(torch.zeros(0, 3)).shape == (0, 2)
    for columns in both_solvers(torch.zeros(0, 3, 2), GOOD["wires"]):
        assert columns(torch.zeros(5, 3)).shape == (0, 5, 2)


def test_bits_of_any_memory_layout():
    columns = GatedColumns(*[torch.rand(40, 6) * 1e-4, Wires(0.0, 2.0), V])
    bits = (torch.rand(40, 9) < 0.5).float()
    torch.testing.assert_close(columns(bits.mT), columns(bits.mT.contiguous()))
    assert gated_inputs.are_bits(bits)
