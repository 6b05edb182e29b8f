"""Crossbars from files: what comes back, and one clear message for every way a file can be wrong."""

import numpy as np
import pytest

from truejoule.circuit import Sinh, Wires, transfer_matrix
from truejoule.circuit.files import Crossbar, analyse, load_crossbar, with_wires
from truejoule.errors import InputError

G = np.random.default_rng(0).uniform(1e-6, 1e-4, (6, 4))


def test_npz_round_trip_and_analysis(tmp_path):
    v = np.linspace(0.1, 0.3, 6)
    np.savez(tmp_path / "a.npz", g_siemens=G, v=v, r_wl_ohm=20.0, r_bl_ohm=np.full((6, 4), 30.0), r_sense_ohm=100)
    found = analyse(load_crossbar(tmp_path / "a.npz"))
    wires = Wires(20.0, 30.0, 0.0, 0.0, 100.0)
    np.testing.assert_allclose(found["currents_a"], v @ transfer_matrix(G, wires).numpy(), rtol=1e-9)
    np.testing.assert_allclose(found["ideal_currents_a"], v @ G, rtol=1e-13)
    np.testing.assert_allclose(found["loss"], 1 - found["currents_a"] / found["ideal_currents_a"])
    assert found["drop_v"].shape == (6, 4) and (found["drop_v"] > 0).all() and 0 < found["mean_loss"] < 0.2
    np.testing.assert_allclose(found["drop_v"], v[:, None] - found["cell_voltages_v"])
    assert found["severity"] == pytest.approx(24 * 30 * G.max()) and found["warnings"] == []
    assert (found["rows"], found["columns"]) == (6, 4) and found["error_bound_a"] < 1e-14


def test_csv_with_wires_and_inputs_beside_it(tmp_path):
    (tmp_path / "a.csv").write_text("# S\n" + "\n".join(",".join(f"{x:.17g}" for x in row) for row in G) + "\n\n")
    crossbar = load_crossbar(tmp_path / "a.csv")
    np.testing.assert_array_equal(crossbar.g_siemens, G)
    assert crossbar.wires is None and crossbar.v is None
    found = analyse(crossbar, with_wires(None, r_wl_ohm=1.0, r_bl_ohm=None), v=np.full((3, 6), 0.2))
    assert found["currents_a"].shape == (3, 4) and found["drop_v"].shape == (3, 6, 4) and found["power_w"].shape == (3,)
    assert analyse(crossbar, Wires(0.0, 0.0), v=0.2)["mean_loss"] == pytest.approx(0.0, abs=1e-12)
    bent = analyse(crossbar, Wires(1.0, 1.0), v=0.2, cell=Sinh(5.0))
    assert (bent["ideal_currents_a"] > 0.2 * G.sum(0)).all()


def test_what_is_given_beats_the_file():
    crossbar = Crossbar(G, Wires(50.0, 50.0), np.full(6, 0.1))
    ideal = analyse(crossbar, wires=Wires(0.0, 0.0), v=0.3)
    np.testing.assert_allclose(ideal["currents_a"], 0.3 * G.sum(0), rtol=1e-12)
    assert with_wires(crossbar.wires, r_bl_ohm=2.0) == Wires(50.0, 2.0)


def test_dark_columns_have_no_loss():
    g = G.copy()
    g[:, 1] = 0
    found = analyse(Crossbar(g, Wires(1.0, 1.0), np.full(6, 0.1)))
    assert np.isnan(found["loss"][1]) and np.isfinite(found["loss"][[0, 2, 3]]).all()
    assert analyse(Crossbar(0 * g, Wires(1.0, 1.0), np.full(6, 0.1)))["mean_loss"] == 0.0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"v": np.ones(6)}, "no conductances"),
        ({"g": G}, "g_siemens"),
        ({"g_siemens": G, "r_w1_ohm": 1.0}, "r_wl_ohm"),
        ({"g_siemens": G[0]}, "rows, columns"),
        ({"g_siemens": -G}, "not negative"),
        ({"g_siemens": G * np.nan}, "not negative"),
        ({"g_siemens": G.astype(complex)}, "real"),
        ({"g_siemens": np.array([["a"]])}, "real"),
        ({"g_siemens": G, "v": np.ones(5)}, "do not fit"),
        ({"g_siemens": G, "r_wl_ohm": -1.0}, "negative"),
        ({"g_siemens": np.array([{"evil": 1}], dtype=object)}, "cannot be read"),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load_crossbar(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no conductances"),
        ("1e-5,2e-5\n1e-5\n", "line 2"),
        ("a,b\n1,2\n", "line 1, column 1"),
        ("1e-5,-1\n", "column 1"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        load_crossbar(tmp_path / "a.csv")


def test_other_bad_files(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_crossbar(tmp_path / "none.npz")
    (tmp_path / "b.npz").write_bytes(b"not a zip")
    with pytest.raises(InputError, match="cannot be read"):
        load_crossbar(tmp_path / "b.npz")
    with pytest.raises(InputError, match=r"npz or \.csv"):
        load_crossbar(tmp_path / "c.xlsx")
    with pytest.raises(InputError, match="no wires"):
        analyse(Crossbar(G, None, np.ones(6)))
    with pytest.raises(InputError, match="no inputs"):
        analyse(Crossbar(G, Wires(1.0, 1.0), None))
