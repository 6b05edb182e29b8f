"""What goes in: types, shapes, units that make no sense, and what the messages say."""

import numpy as np
import pytest
import torch

from truejoule.circuit import Wires, cell_voltages, input_admittance, reference, solve, static_power, transfer_matrix
from truejoule.errors import InputError

G = torch.full((3, 4), 1e-5, dtype=torch.float64)
OK = Wires(1.0, 2.0)


@pytest.mark.parametrize("name", ["r_wl_ohm", "r_bl_ohm", "r_sl_ohm", "r_source_ohm", "r_sense_ohm"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, "negative"),
        (float("nan"), "not a number"),
        (float("inf"), "infinite"),
        (torch.tensor([1.0, -1e-9, 2.0]), "negative"),
        (torch.tensor([1.0, float("nan")]), "not a number"),
        (torch.tensor([1.0, float("inf")]), "infinite"),
        (np.array([1.0, -np.inf]), "negative"),
        ("1 ohm", "number or a tensor"),
        (True, "number or a tensor"),
    ],
)
def test_wrong_resistances(name, value, message):
    fields = {"r_wl_ohm": 1.0, "r_bl_ohm": 1.0} | {name: value}
    with pytest.raises(InputError, match=message) as caught:
        Wires(**fields)
    assert name in str(caught.value)


def test_zero_is_legal_everywhere_and_wires_cannot_change():
    wires = Wires(0, 0, 0, 0, 0)
    assert wires == Wires(0.0, 0.0) and isinstance(wires.r_wl_ohm, float)
    with pytest.raises(AttributeError):
        wires.r_wl_ohm = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("function", [transfer_matrix, input_admittance])
@pytest.mark.parametrize(
    ("g", "message"),
    [
        (torch.ones(3), "rows and columns"),
        (torch.ones(0, 3), "rows and columns"),
        (-G, "not negative"),
        (G * float("nan"), "finite"),
        (G * float("inf"), "finite"),
        (G.to(torch.complex128), "real"),
    ],
)
def test_wrong_conductances(function, g, message):
    with pytest.raises(InputError, match=message):
        function(g, OK)


@pytest.mark.parametrize(
    "wires",
    [
        Wires(torch.ones(3), 1.0),
        Wires(1.0, torch.ones(2, 4)),
        Wires(1.0, torch.ones(5, 3, 4)),
        Wires(1.0, 1.0, 0.0, torch.ones(4)),
        Wires(1.0, 1.0, 0.0, 0.0, torch.ones(3)),
    ],
)
def test_wires_that_do_not_fit(wires):
    with pytest.raises(InputError, match="does not fit"):
        transfer_matrix(G, wires)


@pytest.mark.parametrize("r_sl", [1.0, torch.tensor([0.0, 1.0])])
def test_a_source_line_is_refused_not_ignored(r_sl):
    with pytest.raises(InputError, match="no source line"):
        transfer_matrix(G, Wires(1.0, 1.0, r_sl))
    assert transfer_matrix(G, Wires(1.0, 1.0, torch.zeros(4))).shape == (3, 4)


def test_an_unknown_method_gets_a_hint():
    with pytest.raises(InputError, match="dissection"):
        transfer_matrix(G, OK, "disection")  # type: ignore[arg-type]


@pytest.mark.parametrize("v", [torch.ones(4), torch.ones(2, 4), torch.ones(2, 5, 3), torch.ones(())])
def test_voltages_that_do_not_fit(v):
    with pytest.raises(InputError, match="input voltages"):
        static_power(G, OK, v)


@pytest.mark.parametrize("method", ["block", "dissection"])
def test_fp32_is_computed_in_fp64_and_returned_in_fp32(method):
    g = (1e-6 + 1e-4 * torch.rand(40, 40)).float()
    a = transfer_matrix(g, Wires(1e-3, 1e-3), method)
    exact = transfer_matrix(g.double(), Wires(1e-3, 1e-3), method)
    assert a.dtype == torch.float32
    assert torch.equal(a, exact.float())
    assert transfer_matrix((g > 5e-5).int(), OK, method).dtype == torch.float64
    assert transfer_matrix(g.half(), OK, method).dtype == torch.float16


def test_shapes_with_and_without_batches():
    g = G.expand(2, 5, 3, 4)
    one, many = torch.full((3,), 0.1), torch.full((7, 3), 0.1)
    per_tile = torch.full((2, 5, 7, 3), 0.1)
    for v, batch in ((one, ()), (many, (7,)), (per_tile, (7,)), (per_tile[:, :1], (7,)), (per_tile[0], (7,))):
        s = solve(g, OK, v)
        assert s.currents_a.shape == (2, 5, *batch, 4)
        assert s.cell_voltages_v.shape == (2, 5, *batch, 3, 4)
        assert s.power_w.shape == static_power(g, OK, v).shape == (2, 5, *batch)
    assert cell_voltages(G, OK, one).shape == (3, 4)
    assert solve(G, OK, one.numpy()).currents_a.shape == (4,)


def test_no_tiles_give_no_results():
    g = torch.zeros(0, 3, 4, dtype=torch.float64)
    for method in ("block", "dissection"):
        assert transfer_matrix(g, OK, method).shape == (0, 3, 4)
    assert solve(g, OK, torch.ones(3)).currents_a.shape == (0, 4)


def test_reversed_and_read_only_numpy_arrays(recwarn):
    g = np.arange(1.0, 13.0).reshape(3, 4) * 1e-6
    frozen = g[::-1, ::-1].copy()
    frozen.flags.writeable = False
    r = np.linspace(0, 1, 4)[::-1]
    assert torch.equal(transfer_matrix(g[::-1, ::-1], Wires(r, 1.0)), transfer_matrix(frozen, Wires(r.copy(), 1.0)))
    assert not recwarn.list


def test_inputs_are_left_as_they_were():
    g, r = G.clone(), torch.ones(3, 4, dtype=torch.float64)
    transfer_matrix(g, Wires(r, r))
    transfer_matrix(g, Wires(r, r), "dissection")
    assert torch.equal(g, G) and torch.equal(r, torch.ones_like(r))


def test_auto_takes_perfect_wires_and_odd_sizes():
    for shape, wires in (((130, 90), Wires(0.0, 1.0)), ((90, 130), Wires(1.0, 0.0)), ((85, 81), Wires(1.0, 1.0))):
        g = 1e-5 + 1e-5 * torch.rand(*shape, dtype=torch.float64)
        np.testing.assert_allclose(transfer_matrix(g, wires), reference.transfer_matrix(g, wires), rtol=1e-9)
