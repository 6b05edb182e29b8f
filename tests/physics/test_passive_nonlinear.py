"""Non-linear passive arrays against ngspice, against the linear solvers, and against what physics demands."""

import numpy as np
import pytest
import torch

from physics.cell_laws import LAWS, MILO
from truejoule.circuit import (
    GATED_SAME_END,
    PASSIVE_BOTH_ENDS,
    PASSIVE_INTERLEAVED,
    Ohmic,
    Polynomial,
    ReadStack,
    Selector,
    Series,
    Sinh,
    Wires,
    solve,
    solve_iterative,
    solve_nonlinear,
    spice,
    transfer_matrix,
)
from truejoule.circuit.passive_iterative import WireImpedance, shifted_solve
from truejoule.circuit.wires import segments
from truejoule.errors import InputError

needs_ngspice = pytest.mark.skipif(not spice.available(), reason="ngspice is not installed (apt install ngspice)")


def by_ngspice(g: np.ndarray, wires: Wires, v: np.ndarray, cell) -> np.ndarray:
    return spice.ngspice_currents(g, wires, v, cell)


def array(rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng([rows, columns])
    g = rng.uniform(1e-5, 1e-4, (rows, columns))
    g[rng.random((rows, columns)) < 0.15] = 0.0
    return g


def unequal(rows: int, columns: int, zeros: float = 0.2) -> Wires:
    rng = np.random.default_rng([rows, columns, 7])

    def ohms(high: float, *shape: int) -> np.ndarray:
        return rng.uniform(0.2, high, shape) * (rng.random(shape) >= zeros)

    return Wires(
        r_wl_ohm=ohms(5.0, rows, columns),
        r_bl_ohm=ohms(8.0, rows, columns),
        r_source_ohm=ohms(200.0, rows),
        r_sense_ohm=ohms(90.0, columns),
    )


@needs_ngspice
@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("shape", [(5, 4), (12, 9)])
def test_every_law_on_unequal_wires_against_ngspice(name, shape):
    g, wires, v = array(*shape), unequal(*shape), np.random.default_rng(1).uniform(0.05, 0.4, shape[0])
    found = solve_nonlinear(g, wires, v, LAWS[name])
    np.testing.assert_allclose(found.currents_a, by_ngspice(g, wires, v, LAWS[name]), rtol=1e-8, atol=0)
    assert float(found.residual) < 1e-10


@needs_ngspice
@pytest.mark.parametrize("name", ["sinh", "Milo RRAM", "read stack", "selector", "sinh behind a transistor"])
def test_large_arrays_against_ngspice(name):
    g, wires, v = array(32, 32), unequal(32, 32), np.random.default_rng(2).uniform(0.05, 0.4, 32)
    expected = by_ngspice(g, wires, v, LAWS[name])
    np.testing.assert_allclose(solve_nonlinear(g, wires, v, LAWS[name]).currents_a, expected, rtol=1e-8, atol=0)


@needs_ngspice
@pytest.mark.parametrize("name", ["sinh", "Milo RRAM", "diode"])
def test_mixed_signs_against_ngspice(name):
    g, wires, v = array(12, 7), unequal(12, 7), np.random.default_rng(4).uniform(-0.4, 0.4, 12)
    found, expected = solve_nonlinear(g, wires, v, LAWS[name]), by_ngspice(g, wires, v, LAWS[name])
    np.testing.assert_allclose(found.currents_a, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (16, 16), (9, 17), (40, 64)])
@pytest.mark.parametrize("run", [solve_iterative, lambda *a, **k: solve_nonlinear(*a, Ohmic(), **k)])
def test_ohmic_cells_give_the_transfer_matrix(shape, run):
    g, wires = array(*shape), unequal(*shape)
    v = np.random.default_rng(3).uniform(0.01, 0.3, (5, shape[0]))
    found, linear = run(g, wires, v, tolerance=1e-12), solve(g, wires, v)
    np.testing.assert_allclose(found.currents_a, v @ transfer_matrix(g, wires).numpy(), rtol=1e-10, atol=1e-20)
    np.testing.assert_allclose(found.cell_voltages_v, linear.cell_voltages_v, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.power_w, linear.power_w, rtol=1e-10)


@pytest.mark.parametrize("name", LAWS)
def test_power_balance_and_kirchhoff(name):
    g, wires = torch.from_numpy(array(11, 8)), unequal(11, 8)
    v = torch.from_numpy(np.random.default_rng(5).uniform(-0.3, 0.4, (3, 11)))
    found = solve_nonlinear(g, wires, v, LAWS[name], tolerance=1e-12)
    i = LAWS[name].current(found.cell_voltages_v, g)
    torch.testing.assert_close(i.sum(-2), found.currents_a, rtol=1e-9, atol=1e-16)
    rights = i.flip(-1).cumsum(-1).flip(-1)
    r_wl, r_bl = torch.as_tensor(wires.r_wl_ohm), torch.as_tensor(wires.r_bl_ohm)
    burnt = (i * found.cell_voltages_v + r_wl * rights**2 + r_bl * i.cumsum(-2) ** 2).sum((-1, -2))
    burnt += (torch.as_tensor(wires.r_source_ohm) * i.sum(-1) ** 2).sum(-1)
    burnt += (torch.as_tensor(wires.r_sense_ohm) * i.sum(-2) ** 2).sum(-1)
    torch.testing.assert_close(found.power_w, burnt, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", LAWS)
def test_perfect_wires_and_open_cells_are_exact(name):
    g, v = torch.from_numpy(array(6, 5)), torch.linspace(-0.3, 0.4, 6, dtype=torch.float64)
    g[2], g[:, 3] = 0.0, 0.0
    found = solve_nonlinear(g, Wires(0.0, 0.0), v, LAWS[name])
    expected = LAWS[name].current(v[:, None].expand(6, 5), g)
    torch.testing.assert_close(found.currents_a, expected.sum(0), rtol=1e-14, atol=1e-22)
    assert float(found.currents_a[3]) == 0.0
    wired = solve_nonlinear(g, Wires(3.0, 4.0, 0.0, 10.0, 20.0), v, LAWS[name])
    assert float(wired.currents_a[3]) == 0.0 and torch.isfinite(wired.cell_voltages_v).all()
    dark = solve_nonlinear(torch.zeros(6, 5, dtype=torch.float64), Wires(3.0, 4.0), v, LAWS[name])
    assert (dark.currents_a == 0).all() and (dark.residual == 0).all()
    off = solve_nonlinear(g, Wires(3.0, 4.0), 0 * v, LAWS[name])
    assert (off.currents_a == 0).all() and (off.power_w == 0).all()


@pytest.mark.parametrize("name", ["sinh", "read stack", "selector", "EKV, strong", "Milo RRAM"])
def test_one_cell_is_the_series_law(name):
    wires = Wires(2.0, 3.0, 0.0, 500.0, 95.0)
    found = solve_nonlinear(np.array([[1e-4]]), wires, np.array([[0.3], [0.1]]), LAWS[name], tolerance=1e-13)
    v, g = torch.tensor([[0.3], [0.1]], dtype=torch.float64), torch.tensor(1e-4, dtype=torch.float64)
    torch.testing.assert_close(found.currents_a, Series(LAWS[name], 600.0).current(v, g), rtol=1e-12, atol=0)


def test_the_bound_holds():
    """A loose solution is within its own bound of a tight one."""
    g, wires = array(24, 16) * 3, Wires(6.0, 8.0, 0.0, 100.0, 50.0)
    v = np.random.default_rng(6).uniform(0.0, 0.5, (4, 24))
    for law in (Sinh(8.0), Selector(0.15, 0.01), ReadStack(0.05)):
        exact = solve_nonlinear(g, wires, v, law, tolerance=1e-13).currents_a
        for tolerance in (0.3, 1e-2, 1e-4):
            rough = solve_nonlinear(g, wires, v, law, tolerance=tolerance)
            assert ((rough.currents_a - exact).abs().amax(-1) <= rough.error_bound_a + 1e-16).all()
            assert (rough.residual <= tolerance).all()


@pytest.mark.parametrize("kappa", [1e-3, 1.0, 50.0, 500.0])
@pytest.mark.parametrize(
    "law",
    [Sinh(12.0), Selector(0.5, 0.0065), Selector(0.3, 0.01, rectifying=True), ReadStack(0.02), Series(Sinh(40.0), 2e3)],
    ids=["sinh", "selector", "diode", "saturating", "sinh behind 2 kohm"],
)
def test_strong_laws_converge_at_any_severity(law, kappa):
    rng = np.random.default_rng(8)
    g = np.where(rng.random((24, 24)) < 0.5, 1e-4, 1e-7) * rng.lognormal(0, 0.2, (24, 24))
    wires = Wires(kappa / (24 * 24 * 1e-4), 1.5 * kappa / (24 * 24 * 1e-4), 0.0, 20.0, 10.0)
    v = np.concatenate([rng.uniform(0, 1, (3, 24)), rng.uniform(-1, 1, (3, 24))])
    found = solve_nonlinear(g, wires, v, law)
    assert (found.residual <= 1e-10).all() and torch.isfinite(found.currents_a).all()
    span = torch.from_numpy(np.maximum(v.max(1), 0) - np.minimum(v.min(1), 0))[:, None, None]
    assert (found.cell_voltages_v.abs() <= span * (1 + 1e-9)).all()  # the maximum principle


def test_tiles_and_inputs_batch_and_chunk_alike(monkeypatch):
    rng = np.random.default_rng(9)
    g, v = rng.uniform(1e-6, 1e-4, (2, 3, 8, 6)), rng.uniform(0, 0.4, (2, 3, 7, 8))
    wires = Wires(torch.rand(2, 3, 8, 6) * 5, 3.0, 0.0, 100.0, torch.rand(3, 6) * 50)
    together = solve_nonlinear(g, wires, v, Sinh(6.0), tolerance=1e-12)
    assert together.currents_a.shape == (2, 3, 7, 6) and together.cell_voltages_v.shape == (2, 3, 7, 8, 6)
    assert together.power_w.shape == together.residual.shape == (2, 3, 7)
    one = Wires(wires.r_wl_ohm[1, 2], 3.0, 0.0, 100.0, wires.r_sense_ohm[2])
    alone = solve_nonlinear(g[1, 2], one, v[1, 2, 4], Sinh(6.0), tolerance=1e-12)
    torch.testing.assert_close(alone.currents_a, together.currents_a[1, 2, 4], rtol=1e-10, atol=0)
    monkeypatch.setattr("truejoule.circuit.passive_nonlinear._CHUNK_BYTES", 8 * 16 * 48 * 2)
    small = solve_nonlinear(g, wires, v, Sinh(6.0), tolerance=1e-12)
    torch.testing.assert_close(small.currents_a, together.currents_a, rtol=1e-10, atol=0)


def test_no_tiles_and_no_inputs():
    assert solve_nonlinear(np.ones((0, 4, 3)), Wires(1.0, 1.0), np.ones(4), Sinh(1.0)).currents_a.shape == (0, 3)
    empty = solve_nonlinear(np.ones((4, 3)) * 1e-5, Wires(1.0, 1.0), np.ones((0, 4)), Sinh(1.0))
    assert empty.currents_a.shape == (0, 3) and empty.warnings == ()


def test_fp32_input_is_solved_and_certified_in_fp64():
    g = torch.from_numpy(array(16, 12)).float()
    v = torch.rand(4, 16) * 0.4
    found = solve_nonlinear(g, Wires(3.0, 4.0), v, Sinh(6.0))
    assert found.currents_a.dtype == torch.float32 and found.residual.dtype == torch.float64
    exact = solve_nonlinear(g.double(), Wires(3.0, 4.0), v.double(), Sinh(6.0)).currents_a
    torch.testing.assert_close(found.currents_a.double(), exact, rtol=1e-7, atol=0)
    assert (found.residual <= 1e-10).all()


@pytest.mark.parametrize("name", ["sinh", "read stack", "selector", "sinh behind a transistor", "Milo RRAM", "ohmic"])
def test_gradients(name):
    rng = np.random.default_rng(11)
    law = LAWS[name]
    g = torch.tensor(rng.uniform(0.5, 1.0, (4, 3)), requires_grad=True)
    v = torch.tensor(rng.uniform(0.05, 0.4, (2, 4)), requires_grad=True)
    ohm = torch.tensor(rng.uniform(1.0, 3.0, (2, 4, 3)), requires_grad=True)

    def run(g, v, ohm):
        wires = Wires(100 * ohm[0], 200 * ohm[1], 0.0, 100.0, 50 * ohm[0, 0])
        found = solve_nonlinear(1e-4 * g, wires, v, law, tolerance=1e-13)
        return 1e4 * found.currents_a, found.cell_voltages_v, 1e4 * found.power_w

    torch.autograd.gradcheck(run, (g, v, ohm), eps=1e-5, atol=1e-6, rtol=1e-5)


def test_extrapolation_is_reported():
    g, wires = array(5, 4), Wires(1.0, 1.0)
    assert solve_nonlinear(g, wires, np.full(5, 0.4), MILO).warnings == ()
    (warning,) = solve_nonlinear(g, wires, np.full(5, 0.7), MILO).warnings
    assert "extrapolated" in warning and "-0.5 to 0.5 V" in warning


class _Falling:
    def current(self, v, g):
        return g * (v - 3 * v**3)

    def conductance(self, v, g):
        return g * (1 - 9 * v**2)

    def spice(self, g, plus, minus):
        return ""


def test_refusals():
    g, wires, v = array(5, 4), Wires(1.0, 1.0), np.full(5, 0.5)
    with pytest.raises(InputError, match="passive and rising"):
        solve_nonlinear(g, wires, v, _Falling())
    with pytest.raises(InputError, match="overflows"):
        solve_nonlinear(g, wires, v, Sinh(2000.0))
    with pytest.raises(InputError, match="tolerance"):
        solve_nonlinear(array(24, 24), unequal(24, 24), np.linspace(0.1, 0.5, 24), Sinh(5.0), tolerance=1e-19)
    with pytest.raises(InputError, match="tolerance"):
        solve_nonlinear(g, wires, v, Sinh(5.0), tolerance=0.0)
    with pytest.raises(InputError, match="finite"):
        solve_nonlinear(g, wires, np.full(5, np.nan), Sinh(5.0))
    with pytest.raises(InputError, match="source line"):
        solve_nonlinear(g, Wires(1.0, 1.0, 1.0), v, Sinh(5.0))
    with pytest.raises(InputError, match="do not fit"):
        solve_nonlinear(g, wires, np.ones(4), Sinh(5.0))
    with pytest.raises(InputError):  # cells that are shorts beside the wires: refused, not guessed
        solve_nonlinear(np.full((16, 16), 1e-4), Wires(50.0, 50.0), np.linspace(0, 1, 16), Sinh(60.0))


def test_the_impedance_of_the_wires_is_that_of_the_nodal_matrix():
    wires = unequal(7, 5)
    z = WireImpedance.of(segments(wires, (7, 5), torch.device("cpu")), 7, 5)
    unit = torch.eye(35, dtype=torch.float64).reshape(1, 35, 7, 5)
    dense = z(unit).reshape(35, 35)
    torch.testing.assert_close(dense, dense.T, rtol=1e-13, atol=1e-13)
    assert torch.linalg.eigvalsh(dense).min() > -1e-9
    right, root = torch.rand(1, 2, 7, 5, dtype=torch.float64), torch.rand(1, 1, 7, 5, dtype=torch.float64)
    y, steps = shifted_solve(z, root, right, 1e-13)
    matrix = torch.eye(35, dtype=torch.float64) + root.reshape(35, 1) * dense * root.reshape(1, 35)
    torch.testing.assert_close(
        y.reshape(2, 35), torch.linalg.solve(matrix, right.reshape(2, 35).T).T, rtol=1e-9, atol=0
    )
    assert 0 < steps < 80


def test_weak_fields_are_linear():
    g, wires = array(9, 8), unequal(9, 8)
    v = np.random.default_rng(12).uniform(1e-5, 2e-5, (2, 9))
    linear = v @ transfer_matrix(g, wires).numpy()
    for law in (Sinh(4.0), Polynomial.relative(0.0, 2.0, 0.5), ReadStack(0.2)):
        np.testing.assert_allclose(solve_nonlinear(g, wires, v, law).currents_a, linear, rtol=1e-8)


def test_series_resistance_as_a_wire_is_series_resistance_in_the_cell():
    g, wires = array(10, 9), unequal(10, 9)
    v = np.random.default_rng(13).uniform(0.0, 0.5, (2, 10))

    class Hidden:
        """The same law, not recognised as a series connection."""

        law = Series(Series(Sinh(9.0), 2e3), 3e3)
        current, conductance, spice = law.current, law.conductance, law.spice

    merged = solve_nonlinear(g, wires, v, Hidden.law, tolerance=1e-13)
    plain = solve_nonlinear(g, wires, v, Hidden(), tolerance=1e-13)
    torch.testing.assert_close(merged.currents_a, plain.currents_a, rtol=1e-11, atol=0)
    torch.testing.assert_close(merged.cell_voltages_v, plain.cell_voltages_v, rtol=0, atol=1e-12)
    torch.testing.assert_close(merged.power_w, plain.power_w, rtol=1e-11, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", LAWS)
def test_cuda_agrees_with_the_cpu(name):
    g, wires = torch.from_numpy(array(24, 20)), unequal(24, 20)
    v = torch.rand(8, 24, dtype=torch.float64) * 0.4
    here, there = solve_nonlinear(g, wires, v, LAWS[name]), solve_nonlinear(g.cuda(), wires, v.cuda(), LAWS[name])
    assert there.currents_a.is_cuda and there.cell_voltages_v.is_cuda
    torch.testing.assert_close(there.currents_a.cpu(), here.currents_a, rtol=1e-8, atol=1e-18)


@pytest.mark.parametrize("topology", [PASSIVE_BOTH_ENDS, PASSIVE_INTERLEAVED, GATED_SAME_END])
def test_other_topologies_are_refused_by_name(topology):
    for solver, law in ((solve_nonlinear, (Ohmic(),)), (solve_iterative, ())):
        with pytest.raises(InputError, match=solver.__name__):
            solver(torch.full((4, 4), 1e-5), Wires(1.0, 1.0), torch.ones(4), *law, topology=topology)
