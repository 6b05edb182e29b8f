"""`truejoule circuit`: numbers as ngspice gives them, a netlist that runs, a picture, and messages."""

import json
import re
import shutil

import numpy as np
import pytest

from test_cli import run
from truejoule.circuit import spice


@pytest.fixture
def array(tmp_path):
    g = np.random.default_rng(0).uniform(1e-6, 1e-4, (12, 9))
    np.savez(tmp_path / "array.npz", g_siemens=g, r_wl_ohm=2.0, r_bl_ohm=1.0, v=np.linspace(0, 0.2, 12))
    np.savetxt(tmp_path / "array.csv", g, delimiter=",")
    return tmp_path


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed (apt-get install ngspice)")
@pytest.mark.parametrize("cell, tolerance", [([], 1e-9), (["--cell", "rram-milo"], 1e-8)])
def test_currents_are_those_of_the_exported_netlist(array, cell, tolerance):
    found = json.loads(run("circuit", "array.npz", *cell, "--export", "array.cir", "--json", cwd=array).stdout)
    printed = spice.run_ngspice((array / "array.cir").read_text())
    expected = [float(x) for x in re.findall(r"i\(vo\d+\)\s*=\s*(\S+)", printed)]
    assert np.allclose(found["currents_a"], expected, rtol=tolerance, atol=0)
    assert found["mean_loss"] > 0 and len(found["drop_v"]) == 12


def test_command_line_comes_before_the_file(array):
    wired = json.loads(run("circuit", "array.npz", "--r-wl", "20 ohm", "--json", cwd=array).stdout)
    perfect = json.loads(run("circuit", "array.csv", "--r-wl", "0 ohm", "--v", "0.1 V", "--json", cwd=array).stdout)
    assert wired["mean_loss"] > 0.01
    assert perfect["currents_a"] == pytest.approx(perfect["ideal_currents_a"], rel=1e-9)


def test_picture_and_table(array):
    done = run("circuit", "array.npz", "--figure", "drop.svg", cwd=array)
    assert "mean loss" in done.stdout and (array / "drop.svg").stat().st_size > 5000


@pytest.mark.parametrize(
    "args, words",
    [
        (["array.csv", "--v", "0.1 V"], ["no wire resistances"]),
        (["array.csv", "--r-wl", "1 ohm"], ["no input voltages"]),
        (["array.npz", "--r-wl", "1"], ["without a unit"]),
        (["array.npz", "--r-wl=-1 ohm"], ["r_wl_ohm"]),
        (["array.npz", "--cell", "rram-mile"], ["did you mean 'rram-milo'"]),
        (["array.txt"], [".npz or .csv"]),
        (["nothing.npz"], ["cannot be read"]),
        (["array.npz", "--figure", "drop.gif"], ["cannot write a figure"]),
    ],
)
def test_wrong_input(array, args, words):
    done = run("circuit", *args, cwd=array, expect=2)
    for word in words:
        assert word in done.stderr
