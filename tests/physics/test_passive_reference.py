"""The fast solvers against sparse nodal analysis, on larger and odder arrays than ngspice can take."""

import numpy as np
import pytest
import torch

from truejoule.circuit import Wires, cell_voltages, reference, solve, static_power, transfer_matrix
from truejoule.circuit.wires import resistances
from truejoule.errors import InputError

METHODS = ("block", "dissection")
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 3), (7, 5), (13, 40), (40, 13), (33, 65), (64, 64), (100, 96), (128, 128)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def array(rows: int, columns: int, open_share: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng([rows, columns])
    g = rng.uniform(1e-6, 1e-4, (rows, columns))
    g[rng.random((rows, columns)) < open_share] = 0.0
    return g


def unequal(rows: int, columns: int, zeros: float = 0.0) -> Wires:
    rng = np.random.default_rng([rows, columns, 1])

    def ohms(high: float, *shape: int) -> np.ndarray:
        return rng.uniform(0.5, high, shape) * (rng.random(shape) >= zeros)

    return Wires(ohms(3, rows, columns), ohms(3, rows, columns), 0.0, ohms(99, rows), ohms(99, columns))


def assert_close(found, expected, tolerance=1e-10):
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    heavy = np.abs(expected) > 1e-3 * np.abs(expected).max()
    np.testing.assert_allclose(found[heavy], expected[heavy], rtol=tolerance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_uniform_wires(shape, method):
    g, wires = array(*shape, open_share=0.05), Wires(2.0, 3.0, 0.0, 100.0, 50.0)
    assert_close(transfer_matrix(g, wires, method), reference.transfer_matrix(g, wires))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(5, 4), (9, 30), (30, 9), (48, 48)], ids=str)
@pytest.mark.parametrize("zeros", [0.0, 0.5])
def test_unequal_wires(shape, zeros, method):
    g, wires = array(*shape, open_share=0.2), unequal(*shape, zeros)
    assert_close(transfer_matrix(g, wires, method), reference.transfer_matrix(g, wires))


PERFECT = {
    "word lines and drivers": Wires(0.0, 3.0, 0.0, 0.0, 50.0),
    "word lines": Wires(0.0, 3.0, 0.0, 20.0, 50.0),
    "bit lines and sense": Wires(2.0, 0.0, 0.0, 100.0, 0.0),
    "bit lines": Wires(2.0, 0.0, 0.0, 100.0, 10.0),
    "all segments": Wires(0.0, 0.0, 0.0, 100.0, 50.0),
    "everything": Wires(0.0, 0.0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(6, 9), (9, 6)], ids=str)
@pytest.mark.parametrize("what", PERFECT)
def test_perfect_conductors(what, shape, method):
    g, wires = array(*shape, open_share=0.1), PERFECT[what]
    assert_close(transfer_matrix(g, wires, method), reference.transfer_matrix(g, wires), 1e-12)
    v = np.linspace(-0.1, 0.3, shape[0])
    word, bit = reference.node_voltages(g, wires, v)
    assert_close(cell_voltages(g, wires, v), (word - bit)[..., 0], 1e-12)


@pytest.mark.parametrize("wires", [Wires(2.0, 3.0, 0.0, 100.0, 50.0), unequal(11, 6), unequal(11, 6, zeros=0.3)])
def test_solution_holds_every_cell_voltage_and_every_joule(wires):
    g = array(11, 6, open_share=0.2)
    v = np.random.default_rng(0).uniform(-0.2, 0.3, (4, 11))
    word, bit = reference.node_voltages(g, wires, v)
    solution = solve(g, wires, v)
    np.testing.assert_allclose(solution.cell_voltages_v, (word - bit).transpose(2, 0, 1), rtol=0, atol=1e-13)
    assert_close(solution.currents_a, reference.currents(g, wires, v), 1e-12)

    # power delivered = power burnt in cells, segments, drivers and sense inputs, each from node voltages and ohms
    r_wl, r_bl, r_source, r_sense = resistances(wires, 11, 6)
    cells = g[..., None] * (word - bit) ** 2
    row_currents = np.flip(np.flip(g[..., None] * (word - bit), 1).cumsum(1), 1)
    column_currents = (g[..., None] * (word - bit)).cumsum(0)
    burnt = (
        cells.sum((0, 1))
        + (r_wl[..., None] * row_currents**2).sum((0, 1))
        + (r_bl[..., None] * column_currents**2).sum((0, 1))
        + (r_source[:, None] * row_currents[:, 0] ** 2).sum(0)
        + (r_sense[:, None] * column_currents[-1] ** 2).sum(0)
    )
    np.testing.assert_allclose(solution.power_w, burnt, rtol=1e-11)
    np.testing.assert_allclose(static_power(g, wires, v), burnt, rtol=1e-11)


def test_reference_adjoint_equals_direct_solves():
    g, wires = array(12, 9, open_share=0.1), unequal(12, 9)
    v = np.random.default_rng(1).uniform(0, 0.3, (3, 12))
    np.testing.assert_allclose(v @ reference.transfer_matrix(g, wires), reference.currents(g, wires, v), rtol=1e-12)


def test_reference_takes_one_array():
    with pytest.raises(InputError, match="one array at a time"):
        reference.currents(np.ones((2, 3, 4)), Wires(1.0, 1.0), np.ones(3))
    with pytest.raises(InputError, match="does not fit"):
        reference.currents(np.ones((3, 4)), Wires(np.ones(3), 1.0), np.ones(3))
    with pytest.raises(InputError, match="no source line"):
        reference.currents(np.ones((3, 4)), Wires(1.0, 1.0, 1.0), np.ones(3))
