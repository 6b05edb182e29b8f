"""Gradients through the wires: right, finite at open cells and perfect wires, bounded in memory."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from truejoule.circuit import Wires, input_admittance, solve, static_power, transfer_matrix
from truejoule.circuit.passive_block import sweep
from truejoule.circuit.passive_dissection import dissect
from truejoule.circuit.wires import Segments

F64 = torch.float64
SCALE = 1e-4
METHODS = ("block", "dissection")


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 + torch.rand(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("per_row", [False, True])
def test_against_differences(shape, per_row, method):
    rows, columns = shape[-2:]
    r = (
        (50 * unit(rows, columns, seed=1), 90 * unit(rows, columns, seed=2))
        if per_row
        else (30 * unit(1, 1), 40 * unit(1, 1))
    )

    def outputs(g, r_wl, r_bl, source, sense):
        wires = Wires(r_wl, r_bl, 0.0, source, sense)
        return transfer_matrix(g * SCALE, wires, method) / SCALE, input_admittance(g * SCALE, wires, method) / SCALE

    leaves = [unit(*shape), *r, 100 * unit(rows, seed=3), 100 * unit(columns, seed=4)]
    assert torch.autograd.gradcheck(outputs, [x.requires_grad_() for x in leaves], eps=1e-4, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("engine", [sweep, dissect])
@pytest.mark.parametrize("per_row", [False, True])
def test_at_open_cells_and_perfect_wires(engine, per_row):
    """The formulas are smooth through 0 S and 0 ohm, so two-sided differences across zero must agree."""
    g = unit(1, 4, 3)
    g[0, 1, :2] = 0
    g[0, 0, 0] = g[0, 3, 2] = 0
    wordline = 0.3 * unit(1, 4 if per_row else 1, 3, seed=1)
    bitline = 0.3 * unit(1, 4, 3, seed=2)
    wordline[..., 1] = 0
    bitline[0, 2] = 0
    bitline[0, 3, 1] = 0
    sense = torch.zeros(1, 3, dtype=F64)
    source = torch.zeros(1, 1, dtype=F64)

    def outputs(g, wordline, bitline, source, sense):
        result = engine(g, Segments(wordline, bitline, source, sense), want_admittance=True)
        return (result.transfer, result.admittance) if engine is sweep else result

    leaves = [x.requires_grad_() for x in (g, wordline, bitline, source, sense)]
    assert torch.autograd.gradcheck(outputs, leaves, eps=1e-6, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_all_perfect_and_all_open(method):
    g = unit(3, 4) * SCALE
    g[1] = 0
    g.requires_grad_()
    transfer_matrix(g, Wires(0.0, 0.0), method).sum().backward()
    torch.testing.assert_close(g.grad, torch.ones_like(g), rtol=1e-14, atol=0)
    blank = torch.zeros(3, 4, dtype=F64, requires_grad=True)
    transfer_matrix(blank, Wires(1.0, 2.0, 0.0, 3.0, 4.0), method).sum().backward()
    torch.testing.assert_close(blank.grad, torch.ones_like(g), rtol=1e-14, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_slope_with_respect_to_a_perfect_wire(method):
    """One cell: dA/dr = -g² at r = 0. A shortcut for zero resistance must not cut the slope off."""
    r = torch.zeros((), dtype=F64, requires_grad=True)
    transfer_matrix(torch.tensor([[1e-3]], dtype=F64), Wires(r, 0.0), method).sum().backward()
    torch.testing.assert_close(r.grad, torch.tensor(-1e-6, dtype=F64))


@pytest.mark.parametrize("method", METHODS)
def test_chunked_gradients_equal_whole_ones(method, monkeypatch):
    def gradient():
        g = (SCALE * unit(5, 6, 7)).requires_grad_()
        r = torch.tensor(3.0, dtype=F64, requires_grad=True)
        (transfer_matrix(g, Wires(r, 2.0), method) ** 2).sum().backward()
        return g.grad, r.grad

    whole = gradient()
    recomputed = []
    monkeypatch.setattr("truejoule.circuit.passive._WORK_BYTES_LARGE", 1)
    monkeypatch.setattr(
        "truejoule.circuit.passive.checkpoint", lambda *a, **k: (recomputed.append(1), checkpoint(*a, **k))[1]
    )
    torch.testing.assert_close(gradient(), whole, rtol=1e-12, atol=0)
    assert len(recomputed) == 5  # kept steps of all tiles at once would not fit: memory, not values, is the point


def test_of_power_and_cell_voltages():
    v = unit(2, 4, seed=5)

    def outputs(g, v):
        wires = Wires(90.0, 70.0, 0.0, 100.0, 50.0)
        solution = solve(g * SCALE, wires, v)
        power = static_power(g * SCALE, wires, v)
        return solution.currents_a / SCALE, solution.cell_voltages_v, solution.power_w / SCALE, power / SCALE

    assert torch.autograd.gradcheck(outputs, [unit(4, 3).requires_grad_(), v.requires_grad_()], eps=1e-5, atol=1e-8)


def test_fp32_leaves_get_fp32_gradients():
    g = (SCALE * unit(6, 5)).float().requires_grad_()
    a = transfer_matrix(g, Wires(1.0, 1.0))
    a.sum().backward()
    assert a.dtype == torch.float32 and g.grad is not None and g.grad.dtype == torch.float32
    assert torch.isfinite(g.grad).all()


def test_at_training_size():
    g = (SCALE * unit(96, 96)).requires_grad_()
    x = unit(8, 96, seed=1)

    def loss(g):
        return ((x @ transfer_matrix(g, Wires(1.0, 1.0, 0.0, 10.0, 10.0))) ** 2).sum()

    loss(g).backward()
    step = torch.zeros_like(g)
    step[3, 50] = 1e-8
    with torch.no_grad():
        difference = (loss(g + step) - loss(g - step)) / 2e-8
    torch.testing.assert_close(g.grad[3, 50], difference, rtol=1e-5, atol=0)
