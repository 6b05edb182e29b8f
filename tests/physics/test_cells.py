"""Cell laws against closed forms, and the errors of wrong parameters and files."""

import math

import numpy as np
import pytest
import torch

from physics.cell_laws import LAWS, MEASURED, MILO, ODD
from truejoule.circuit import (
    AlphaPower,
    Cell,
    Ekv,
    Ohmic,
    Polynomial,
    ReadStack,
    Selector,
    Series,
    Sinh,
    Table,
    low_field,
    spice_cards,
)
from truejoule.circuit.cells import evaluate, inner_voltage
from truejoule.errors import InputError

V = torch.linspace(-1.2, 1.2, 481, dtype=torch.float64)
G = torch.tensor([0.0, 1e-7, 6e-5, 1e-4, 1e-3], dtype=torch.float64)[:, None]


@pytest.mark.parametrize("name", LAWS)
def test_laws_are_passive_rising_and_closed_at_zero(name):
    law = LAWS[name]
    assert isinstance(law, Cell)
    i, d = evaluate(law, V, G)
    assert i.shape == d.shape == (5, 481) and torch.isfinite(i).all() and torch.isfinite(d).all()
    assert (i.diff() >= -1e-13 * i.abs().amax(1, keepdim=True)).all() and (d >= 0).all()
    assert (i * V >= 0).all()
    assert (i[:, V == 0] == 0).all() and (i[0] == 0).all() and (d[0] == 0).all()
    torch.testing.assert_close(law.current(V, G), i)
    torch.testing.assert_close(law.conductance(V, G), d)


@pytest.mark.parametrize("name", LAWS)
def test_the_conductance_is_the_slope(name):
    law, h = LAWS[name], 1e-6
    v = V[V.abs() > 0.01] + 1e-4  # away from the kink in the second derivative at 0 V
    slope = (law.current(v + h, G) - law.current(v - h, G)) / (2 * h)
    d = law.conductance(v, G)
    torch.testing.assert_close(slope, d, rtol=1e-6, atol=1e-7 * float(d.max()))


@pytest.mark.parametrize("name", ODD)
def test_odd_laws(name):
    there, back = LAWS[name].current(V, G), LAWS[name].current(-V, G)
    # The point beside 0 V is a rounding error of the grid; there a table is known to the last digit of its largest current only.
    torch.testing.assert_close(back, -there, rtol=1e-11, atol=1e-15 * float(there.abs().max()))


@pytest.mark.parametrize("name", LAWS)
def test_fp32_stays_fp32_and_close(name):
    i, d = evaluate(LAWS[name], V.float(), G.float())
    assert i.dtype == d.dtype == torch.float32
    exact = LAWS[name].current(V, G)
    torch.testing.assert_close(i.double(), exact, rtol=3e-5, atol=1e-6 * float(exact.abs().max()))


def test_sinh_of_a_data_sheet():
    law, g = Sinh.of_nonlinearity(10.0, 0.4), torch.tensor(1e-5, dtype=torch.float64)
    high, low = (float(law.current(torch.tensor(v, dtype=torch.float64), g)) for v in (0.4, 0.2))
    assert high / low == pytest.approx(10.0, rel=1e-12)
    with pytest.raises(InputError, match="above 2"):
        Sinh.of_nonlinearity(2.0, 0.4)


def test_milo_polynomial_as_released():
    """Against the formula of the released model, written out, inside its range; straight and monotone outside."""
    g = torch.tensor([6.25e-5, 7.62e-5, 9.39e-5, 1.1e-4], dtype=torch.float64)[:, None]
    v = torch.linspace(-0.5, 0.5, 101, dtype=torch.float64)
    x = np.log10(g.numpy())
    c2 = np.polyval([1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3], x)
    c3 = np.polyval([8.871e-5, 6.7919e-4, 1.2968e-3], x)
    expected = g.numpy() * v.numpy() + c2 * v.numpy() ** 2 + c3 * v.numpy() ** 3
    np.testing.assert_allclose(MILO.current(v, g), expected, rtol=1e-11)
    beyond = MILO.conductance(torch.tensor([0.5, 0.7, 2.0], dtype=torch.float64), g)
    torch.testing.assert_close(beyond[:, 1:], beyond[:, :1].expand(-1, 2))
    low, high = MILO.current(v, torch.tensor([[1e-5], [5e-5]], dtype=torch.float64))
    torch.testing.assert_close(low, high / 5, rtol=1e-12, atol=0)


def test_cubic_goes_on_straight_where_it_would_bend_back():
    law, one = Polynomial.relative(0.0, -0.25, 5.0), torch.ones((), dtype=torch.float64)
    turn = 2 / math.sqrt(3)  # 1 - 3/4 v² = 0
    v = torch.tensor([0.5, turn, 3.0], dtype=torch.float64)
    expected = [0.5 - 0.25 * 0.125, turn - 0.25 * turn**3, turn - 0.25 * turn**3]
    np.testing.assert_allclose(law.current(v, one), expected, rtol=1e-12)


def test_saturation():
    g, far = torch.tensor(2.5e-5, dtype=torch.float64), torch.tensor(50.0, dtype=torch.float64)
    for law in (ReadStack(0.3), AlphaPower(0.3, 4.0)):
        assert float(law.current(far, g)) == pytest.approx(2.5e-5 * 0.3, rel=1e-8)
        assert float(low_field(law, g)) == pytest.approx(2.5e-5, rel=1e-12)
    weak = Ekv(-0.3)  # exponential: saturates at g φ
    assert float(weak.current(far, g)) == pytest.approx(2.5e-5 * 0.025852, rel=2e-3)
    strong = Ekv(1.0)  # quadratic: saturates at g v_p / 2
    assert float(strong.current(far, g)) == pytest.approx(2.5e-5 * 0.5, rel=1e-6)
    for law in (weak, strong):
        assert float(low_field(law, g)) == pytest.approx(2.5e-5, rel=1e-12)


def test_selector_blocks_and_conducts():
    law, g = Selector(0.5, 0.02), torch.tensor(1e-4, dtype=torch.float64)
    at = [float(law.current(torch.tensor(v, dtype=torch.float64), g)) for v in (0.3, 0.3 + 0.02, 1.0)]
    assert at[1] / at[0] == pytest.approx(math.e, rel=1e-4)
    assert at[2] == pytest.approx(1e-4 * 0.5, rel=1e-9)
    assert float(low_field(law, g)) == pytest.approx(1e-4 * math.exp(-25), rel=1e-9)
    diode = Selector(0.5, 0.02, rectifying=True)
    leak = float(diode.current(torch.tensor(-1.0, dtype=torch.float64), g))
    assert 0 > leak > -1e-4 * 0.02 * math.exp(-25) * 1.001
    huge = Selector(0.05, 0.001).current(torch.tensor([3.0], dtype=torch.float64), g)
    assert float(huge) == pytest.approx(1e-4 * 2.95, rel=1e-12)


@pytest.mark.parametrize("inner", [Sinh(15.0), Selector(0.3, 0.01), ReadStack(0.1), Ekv(0.2), Sinh(60.0)])
@pytest.mark.parametrize("r", [1e-3, 1.0, 1e3, 1e6])
def test_series_resistance_is_solved_to_the_last_digits(inner, r):
    law = Series(inner, r)
    i = law.current(V, G)
    u = inner_voltage(inner, V, G, r)
    assert ((u + r * inner.current(u, G) - V).abs() <= 3e-15 * V.abs() * (1 + r * inner.conductance(u, G))).all()
    assert ((u * V >= 0) & (u.abs() <= V.abs())).all()
    torch.testing.assert_close(i, inner.current(u, G), rtol=1e-12, atol=0)


def test_series_of_an_ohmic_cell_is_ohmic():
    i = Series(Ohmic(), 1e4).current(V, G)
    torch.testing.assert_close(i, V / (1e4 + 1 / G), rtol=1e-14, atol=0)
    assert torch.equal(Series(Sinh(3.0), 0.0).current(V, G), Sinh(3.0).current(V, G))


@pytest.mark.parametrize("name", LAWS)
def test_gradients(name):
    v = torch.tensor([-0.31, 0.07, 0.23], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([[6e-5], [9e-5]], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(
        lambda v, g: 1e5 * LAWS[name].current(v, g * 1e-5), (v, (g * 1e5).detach().requires_grad_()), atol=1e-7
    )
    (slope,) = torch.autograd.grad(LAWS[name].current(v, g).sum(), v)
    torch.testing.assert_close(slope, LAWS[name].conductance(v, g).sum(0), rtol=1e-10, atol=1e-20)


def test_measured_curves_pass_through_their_points_and_between_states():
    v = torch.tensor(MEASURED.v, dtype=torch.float64)
    for g, curve in zip(MEASURED.g, MEASURED.i, strict=True):
        np.testing.assert_allclose(MEASURED.current(v, torch.tensor(g, dtype=torch.float64)), curve, rtol=1e-13, atol=0)
    middle = MEASURED.current(v, torch.tensor(0.5 * sum(MEASURED.g), dtype=torch.float64))
    np.testing.assert_allclose(middle, np.mean(MEASURED.i, 0), rtol=1e-13)
    above = MEASURED.current(v, torch.tensor(2e-4, dtype=torch.float64))
    np.testing.assert_allclose(above, 2 * np.array(MEASURED.i[1]), rtol=1e-13)
    below = MEASURED.current(v, torch.tensor(2e-7, dtype=torch.float64))
    np.testing.assert_allclose(below, 0.2 * np.array(MEASURED.i[0]), rtol=1e-13)


def test_a_curve_through_two_points_is_a_resistor():
    law = Table((0.0, 1.0), ((0.0, 2e-5),))
    assert law.g == (2e-5,) and law.trusted_v == (-1.0, 1.0)
    torch.testing.assert_close(
        law.current(V, torch.tensor(1e-5, dtype=torch.float64)), 1e-5 * V, rtol=1e-13, atol=1e-19
    )


def test_measured_cells_from_csv(tmp_path):
    one = tmp_path / "one.csv"
    one.write_text("# probe station 3\nv_v, i_a\n0.2,4e-6\n0.1,1.5e-6\n\n0.4,1e-5\n")
    law = Table.read(one)
    assert law.v == (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4) and law.source == str(one)
    two = tmp_path / "two.csv"
    two.write_text("g_siemens,v_v,i_a\n1e-4,-0.1,-1e-5\n1e-4,0.1,1.2e-5\n1e-5,0.1,1e-6\n1e-5,-0.1,-1e-6\n")
    law = Table.read(two)
    assert law.g == (1e-5, 1e-4) and law.v == (-0.1, 0.0, 0.1) and law.i[1] == (-1e-5, 0.0, 1.2e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header"),
        ("v_v,i_a\n", "no rows"),
        ("v,i\n1,2\n", "header"),
        ("v_v,i_a,colour\n1,2,3\n", "header"),
        ("v_v,i_a\n0.1,1e-6\n0.2,2 uA\n", "line 3, column i_a"),
        ("v_v,i_a\n0.1,1e-6\n0.2\n", "line 3"),
        ("v_v,i_a\n0.1,1e-6\n0.2,nan\n", "finite"),
        ("v_v,i_a\n0.1,2e-6\n0.2,1e-6\n", "falls"),
        ("v_v,i_a\n0.1,-2e-6\n0.2,1e-6\n", "sign"),
        ("v_v,i_a\n0,1e-6\n0.2,2e-6\n", "zero"),
        ("v_v,i_a\n0.1,1e-6\n0.1,2e-6\n", "ascend"),
        ("v_v,i_a\n0.1,1e-6\n", "points"),
        ("g_siemens,v_v,i_a\n1e-5,0.1,1e-6\n1e-5,0.2,2e-6\n1e-4,0.1,1e-5\n1e-4,0.3,2e-5\n", "same voltages"),
    ],
)
def test_bad_measured_files(tmp_path, text, message):
    file = tmp_path / "cell.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        Table.read(file)


def test_a_missing_file():
    with pytest.raises(InputError, match="cannot be read"):
        Table.read("no/such/file.csv")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Sinh(0.0),
        lambda: Sinh(float("nan")),
        lambda: ReadStack(-1.0),
        lambda: ReadStack(0.1, -0.1),
        lambda: AlphaPower(0.1, 0.5),
        lambda: Ekv(9.0),
        lambda: Selector(0.5, 0.0),
        lambda: Selector(1.0, 0.001),
        lambda: Series(Ohmic(), -1.0),
        lambda: Series(Ohmic(), float("inf")),
        lambda: Polynomial((), (0.0,), 1e-5, 1e-4, 0.5),
        lambda: Polynomial((0.0,), (0.0,), 1e-4, 1e-5, 0.5),
        lambda: Table((0.0, 1.0), ((0.0, 1.0), (0.0, 0.5))),
        lambda: Table((0.0, 1.0), ((0.0, 1.0),), (1.0, 2.0)),
    ],
)
def test_wrong_parameters(wrong):
    with pytest.raises(InputError):
        wrong()


def test_netlist_lines():
    assert spice_cards(Ohmic(), "1_2", 2.0**-15, "a", "b") == ["RC1_2 a b 32768"]
    assert spice_cards(Sinh(3.0), "1_2", 0.0, "a", "b") == []
    lines = spice_cards(Series(ReadStack(0.1), 500.0), "1_2", 1e-5, "a", "0")
    assert len(lines) == 2 and lines[0].startswith("R1_2s a ") and lines[1].startswith("B1_2 ")
    with pytest.raises(InputError, match="inner node"):
        Series(Sinh(1.0), 5.0).spice(1e-5, "a", "b")
