"""The passive solvers against ngspice, which shares no code with them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from truejoule.circuit import Wires, netlist, ngspice_currents, reference, spice, transfer_matrix
from truejoule.errors import InputError

needs_ngspice = pytest.mark.skipif(
    not spice.available(), reason="ngspice is not installed (apt install ngspice); the frozen results still run"
)
METHODS = ("block", "dissection")
FROZEN = Path(__file__).with_name("ngspice_frozen.json")


def array(rows: int, columns: int, open_share: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng([rows, columns, int(100 * open_share)])
    g = rng.uniform(1e-6, 1e-4, (rows, columns))
    g[rng.random((rows, columns)) < open_share] = 0.0
    return g


def unequal(rows: int, columns: int, zeros: float = 0.0) -> Wires:
    rng = np.random.default_rng([rows, columns, 7])

    def ohms(high: float, *shape: int) -> np.ndarray:
        return rng.uniform(0.2, high, shape) * (rng.random(shape) >= zeros)

    return Wires(
        r_wl_ohm=ohms(5.0, rows, columns),
        r_bl_ohm=ohms(8.0, rows, columns),
        r_source_ohm=ohms(200.0, rows),
        r_sense_ohm=ohms(90.0, columns),
    )


WIRES = {
    "uniform": lambda n, m: Wires(2.0, 3.0, 0.0, 100.0, 50.0),
    "unequal segments": unequal,
    "some perfect segments": lambda n, m: unequal(n, m, zeros=0.4),
    "perfect word lines": lambda n, m: Wires(0.0, 3.0, 0.0, 0.0, 50.0),
    "perfect bit lines": lambda n, m: Wires(2.0, 0.0, 0.0, 100.0, 0.0),
    "word lines perfect but for drivers": lambda n, m: Wires(0.0, 3.0, 0.0, 100.0, 0.0),
    "all perfect": lambda n, m: Wires(0.0, 0.0),
}


@needs_ngspice
@pytest.mark.parametrize("kind", WIRES)
def test_every_row_of_a_small_transfer_matrix(kind):
    g, wires = array(5, 4, open_share=0.2), WIRES[kind](5, 4)
    expected = np.stack([ngspice_currents(g, wires, unit) for unit in np.eye(5)])
    for method in METHODS:
        np.testing.assert_allclose(transfer_matrix(g, wires, method), expected, rtol=1e-9, atol=1e-18)


@needs_ngspice
@pytest.mark.parametrize("kind", WIRES)
@pytest.mark.parametrize("shape", [(16, 16), (9, 17), (32, 32)])
def test_currents(kind, shape):
    g, wires = array(*shape, open_share=0.1), WIRES[kind](*shape)
    v = np.random.default_rng(3).uniform(0.05, 0.3, shape[0])
    expected = ngspice_currents(g, wires, v)
    for method in METHODS:
        np.testing.assert_allclose(v @ transfer_matrix(g, wires, method).numpy(), expected, rtol=1e-9)


@needs_ngspice
def test_mixed_signs_cancel_as_they_should():
    g, wires = array(12, 7), unequal(12, 7)
    v = np.random.default_rng(4).uniform(-0.3, 0.3, 12)
    currents = v @ transfer_matrix(g, wires).numpy()
    np.testing.assert_allclose(currents, ngspice_currents(g, wires, v), rtol=0, atol=1e-9 * np.abs(currents).max())


@needs_ngspice
def test_empty_columns_empty_rows_and_an_empty_array():
    g, wires = array(6, 5), unequal(6, 5)
    g[:, 2] = 0
    g[3] = 0
    v = np.full(6, 0.2)
    currents = ngspice_currents(g, wires, v)
    assert currents[2] == 0
    np.testing.assert_allclose(v @ transfer_matrix(g, wires).numpy(), currents, rtol=1e-9, atol=1e-20)
    np.testing.assert_array_equal(ngspice_currents(0 * g, wires, v), np.zeros(5))


@pytest.mark.parametrize("case", json.loads(FROZEN.read_text()), ids=lambda case: case["name"])
def test_frozen_ngspice_results(case):
    wires = Wires(**{key: np.array(x) if isinstance(x, list) else x for key, x in case["wires"].items()})
    g, v, expected = np.array(case["g_siemens"]), np.array(case["v"]), np.array(case["currents_a"])
    for method in METHODS:
        np.testing.assert_allclose(v @ transfer_matrix(g, wires, method).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(reference.currents(g, wires, v)[0], expected, rtol=1e-12)


def test_netlist_names_every_part_and_leaves_out_open_cells():
    deck = netlist([[1e-3, 0.0]], Wires(1.0, 0.0, 0.0, 5.0), [0.5])
    lines = deck.splitlines()
    assert "RC0_0 u0_0 v0_0 1000" in lines and not any(line.startswith("RC0_1") for line in lines)
    assert "VI0 in0 0 0.5" in lines and "RS0 in0 d0 5" in lines and "RW0_0 d0 u0_0 1" in lines
    assert "VB0_1 v0_1 e1 0" in lines and lines[-1] == ".end"


def test_a_missing_ngspice_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="apt install ngspice"):
        spice.run_ngspice("* nothing\n.end\n")


@needs_ngspice
def test_a_deck_that_prints_no_current_is_an_error(monkeypatch):
    monkeypatch.setattr(spice, "netlist", lambda *_: "* nothing\nR1 a 0 1\n.control\nquit\n.endc\n.end\n")
    with pytest.raises(InputError, match=r"every current|ngspice failed"):
        ngspice_currents(np.ones((1, 1)), Wires(0.0, 0.0), np.ones(1))


def test_a_netlist_needs_one_array_and_one_input():
    with pytest.raises(InputError, match="one array"):
        netlist(np.ones((2, 3)), Wires(0.0, 0.0), np.ones(3))
    with pytest.raises(InputError, match="not negative"):
        netlist(-np.ones((2, 3)), Wires(0.0, 0.0), np.ones(2))


def test_tensor_wires_reach_the_netlist():
    deck = netlist(np.ones((1, 2)), Wires(torch.tensor([1.0, 2.5]), 0.0), np.ones(1))
    assert "RW0_1 u0_0 u0_1 2.5" in deck
