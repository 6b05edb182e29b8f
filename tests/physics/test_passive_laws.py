"""Laws of linear networks that need no second solver, one by one."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from truejoule.circuit import Wires, effective_conductance_loss, input_admittance, static_power, transfer_matrix

METHODS = ("block", "dissection")
WIRES = Wires(2.0, 3.0, 0.0, 100.0, 50.0)
F64 = torch.float64


def array(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 1e-6 + 99e-6 * torch.rand(*shape, dtype=F64, generator=generator)


def close(a, b, tolerance=1e-12):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=tolerance, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_one_cell_is_a_series_circuit(method):
    g = torch.tensor([[1e-3]], dtype=F64)
    close(transfer_matrix(g, Wires(1.0, 2.0, 0.0, 3.0, 4.0), method), torch.tensor([[1 / 1010]], dtype=F64), 1e-15)
    close(input_admittance(g, Wires(1.0, 2.0, 0.0, 3.0, 4.0), method), torch.tensor([[1 / 1010]], dtype=F64), 1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_two_cells_by_hand(method):
    # One row, perfect bit lines: 1 ohm, cell of 2 ohm to ground, 3 ohm, cell of 5 ohm to ground.
    a = transfer_matrix(torch.tensor([[0.5, 0.2]], dtype=F64), Wires(torch.tensor([1.0, 3.0]), 0.0), method)
    node = (1 / (1 / 2 + 1 / 8)) / (1 + 1 / (1 / 2 + 1 / 8))
    close(a, torch.tensor([[node / 2, node / 8]], dtype=F64), 1e-15)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(7, 5), (1, 6), (6, 1), (90, 85)])
def test_reciprocity_under_transposition(shape, method):
    rows, columns = shape
    g = array(*shape)
    r_wl, r_bl = 10 * array(*shape, seed=1) * 1e5, 10 * array(*shape, seed=2) * 1e5
    source, sense = 1e6 * array(rows, seed=3), 1e6 * array(columns, seed=4)
    turned = transfer_matrix(
        g.mT.flip(0, 1), Wires(r_bl.mT.flip(0, 1), r_wl.mT.flip(0, 1), 0.0, sense.flip(0), source.flip(0)), method
    )
    close(turned.mT.flip(0, 1), transfer_matrix(g, Wires(r_wl, r_bl, 0.0, source, sense), method), 1e-11)


@pytest.mark.parametrize("method", METHODS)
def test_input_admittance_is_symmetric_and_passes_current_on(method):
    g = array(9, 14)
    y, a = input_admittance(g, WIRES, method), transfer_matrix(g, WIRES, method)
    close(y, y.mT, 1e-11)
    # all drivers at 1 V: what they deliver arrives at the virtual grounds
    close(y.sum(), a.sum())
    assert (torch.linalg.eigvalsh(y) > 0).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ohm", [1e-3, 1e-6, 1e-9, 1e-12])
def test_vanishing_wires_lose_no_digits(ohm, method):
    """First-order loss is ohm · g · rows²; whatever deviates beyond it would be rounding."""
    g = array(20, 24)
    a = transfer_matrix(g, Wires(ohm, ohm, 0.0, ohm, ohm), method)
    assert ((g - a).abs() <= 1e-15 * g + 1e-4 * ohm * 1e-4 * 48**2).all()
    close(transfer_matrix(g, Wires(0.0, 0.0), method), g, 1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_solvers_agree_where_wires_conduct_a_billion_times_better(method):
    g = array(40, 40)
    small, none = (transfer_matrix(g, Wires(r, r), method) for r in (1e-3, 0.0))
    other = transfer_matrix(g, Wires(1e-3, 1e-3), "block" if method == "dissection" else "dissection")
    close(small, other, 1e-13)
    close(1 - small / none, 1 - other / none, 1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_infinite_ladder(method):
    g, r = 1e-3, 5.0
    y = input_admittance(torch.full((1, 400), g, dtype=F64), Wires(r, 0.0), method)
    close(1 / y[0, 0], torch.tensor(r / 2 + math.sqrt(r * r / 4 + r / g), dtype=F64), 1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_small_drop_expansion(method):
    """Bit lines only, all rows on: loss = r G (n+1)(2n+1)/6 to first order, which is n² r G / 3 for many rows."""
    n, r, g = 30, 1e-3, 1e-6
    a = transfer_matrix(torch.full((n, 3), g, dtype=F64), Wires(0.0, r), method)
    loss = 1 - a.sum(0) / (n * g)
    close(loss, torch.full((3,), r * g * (n + 1) * (2 * n + 1) / 6, dtype=F64), 2e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("rows", "columns"), [(3, 0), (0, 4), (5, 9)])
def test_open_cells_at_the_open_ends_change_nothing(rows, columns, method):
    g = array(6, 7)
    padded = transfer_matrix(pad(g, (0, columns, rows, 0)), WIRES, method)
    close(padded[rows:, :7], transfer_matrix(g, WIRES, method))
    assert padded[:rows].abs().max() == 0 if rows else True
    assert padded[:, 7:].abs().max() == 0 if columns else True


@pytest.mark.parametrize("method", METHODS)
def test_perfect_word_lines_decouple_the_columns(method):
    g, wires = array(12, 5), Wires(0.0, 3.0, 0.0, 0.0, 50.0)
    alone = torch.cat([transfer_matrix(g[:, j : j + 1], wires, method) for j in range(5)], 1)
    close(transfer_matrix(g, wires, method), alone)


@pytest.mark.parametrize("method", METHODS)
def test_perfect_bit_lines_decouple_the_rows(method):
    g, wires = array(5, 12), Wires(3.0, 0.0, 0.0, 50.0, 0.0)
    alone = torch.cat([transfer_matrix(g[i : i + 1], wires, method) for i in range(5)])
    close(transfer_matrix(g, wires, method), alone)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wires", [WIRES, Wires(0.0, 0.0), Wires(0.0, 1.0), Wires(1.0, 0.0), Wires(1.0, 1.0)])
def test_an_open_array_conducts_nothing(wires, method):
    g = torch.zeros(5, 6, dtype=F64)
    assert (transfer_matrix(g, wires, method) == 0).all()
    assert (input_admittance(g, wires, method) == 0).all()
    assert (effective_conductance_loss(g, wires) == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_extreme_values_stay_finite(method):
    """Cells that short their bit lines: currents fall by hundreds of orders of magnitude along the lines."""
    g = torch.full((150, 20), 1e3, dtype=F64)
    a = transfer_matrix(g, Wires(1e3, 1e3, 0.0, 1e3, 1e3), method)
    assert torch.isfinite(a).all() and (a >= -1e-20).all() and a[-1, 0] > 1e-5
    for tiny in (1e-30, 1e-300):
        g = torch.full((6, 5), tiny, dtype=F64)
        close(transfer_matrix(g, WIRES, method), g, 1e-12)


def test_sneak_paths_pass_current_around_an_open_cell():
    g = torch.full((4, 4), 1e-4, dtype=F64)
    g[1, 2] = 0.0
    assert transfer_matrix(g, WIRES)[1, 2] > 0


def test_effective_loss_is_zero_without_wires_and_grows_away_from_driver_and_sense():
    g = torch.full((16, 16), 1e-4, dtype=F64)
    assert effective_conductance_loss(g, Wires(0.0, 0.0)).abs().max() == 0
    loss = effective_conductance_loss(g, Wires(1.0, 1.0))
    assert (loss > 0).all() and (loss < 1).all()
    assert loss[0, -1] == loss.max() and loss[-1, 0] == loss.min()


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_tiles_equals_a_loop(method):
    g = array(2, 3, 10, 7)
    g[0, 1] = 0
    per_tile = Wires(
        r_wl_ohm=array(2, 3, 1, 1, seed=5) * 1e5,
        r_bl_ohm=array(3, 10, 7, seed=6) * 1e5,
        r_source_ohm=array(2, 1, 10, seed=7) * 1e6,
        r_sense_ohm=array(7, seed=8) * 1e6,
    )
    batched = transfer_matrix(g, per_tile, method)
    y = input_admittance(g, per_tile, method)
    v = 0.3 * torch.rand(2, 3, 4, 10, dtype=F64)
    power = static_power(g, per_tile, v)
    assert batched.shape == (2, 3, 10, 7) and y.shape == (2, 3, 10, 10) and power.shape == (2, 3, 4)
    for i in range(2):
        for j in range(3):
            wires = Wires(
                per_tile.r_wl_ohm[i, j], per_tile.r_bl_ohm[j], 0.0, per_tile.r_source_ohm[i, 0], per_tile.r_sense_ohm
            )
            close(batched[i, j], transfer_matrix(g[i, j], wires, method))
            torch.testing.assert_close(y[i, j], input_admittance(g[i, j], wires, method), rtol=1e-11, atol=1e-20)
            close(power[i, j], static_power(g[i, j], wires, v[i, j]))


@pytest.mark.parametrize("method", METHODS)
def test_chunks_of_tiles_do_not_show(method, monkeypatch):
    g = array(7, 12, 9)
    wires = Wires(array(7, 1, 1) * 1e5, 2.0, 0.0, array(7, 12) * 1e5, 4.0)
    whole = transfer_matrix(g, wires, method)
    monkeypatch.setattr("truejoule.circuit.passive._WORK_BYTES", 200_000)
    close(transfer_matrix(g, wires, method), whole)
    monkeypatch.setattr("truejoule.circuit.passive._WORK_BYTES", 1)
    close(transfer_matrix(g, wires, method), whole)


def test_numpy_in_tensor_out():
    g = array(3, 4).numpy()
    assert isinstance(transfer_matrix(g, WIRES), torch.Tensor)
    np.testing.assert_array_equal(transfer_matrix(g, WIRES), transfer_matrix(torch.from_numpy(g), WIRES))
