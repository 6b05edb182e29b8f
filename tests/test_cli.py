"""The command line as a user meets it: exit codes, one clear message, JSON, run folders that are whole or absent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NET = """
import torch
from small_networks import SpikingNet, images
net = SpikingNet()
def loader():
    x = images(24)
    y = SpikingNet()(x).argmax(1)
    return [(x[i:i+8], y[i:i+8]) for i in range(0, 24, 8)]
empty = []
wide = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(7, 4))
class Gone:
    def __iter__(self):
        raise OSError("disk gone")
gone = Gone()
def no_loss():
    return 0
class Broken(SpikingNet):
    def forward(self, x):
        return self.fc(self.conv1(x))
broken = Broken()
ann = torch.nn.Sequential(
    torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.AvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(64, 5)
).eval()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_net.py").write_text(NET)
    return tmp_path


def run(*args, cwd, expect=0):
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    done = subprocess.run(
        [sys.executable, "-m", "truejoule.cli", *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def test_evaluate_explain_compare(folder):
    done = run(
        "evaluate",
        "my_net.py:net",
        "--data",
        "my_net.py:loader",
        "--on",
        "spikeflow",
        "--set",
        "adc_bits=5",
        "--json",
        cwd=folder,
    )
    (headlines,) = json.loads(done.stdout)
    stored = json.loads((folder / headlines["run"] / "evaluation.json").read_text())
    assert stored["energy_j"] == headlines["energy_j"] == pytest.approx(sum(headlines["by_component"].values()))
    assert next(p["value"] for p in stored["parameters"] if p["name"] == "adc_bits") == 5
    assert (folder / headlines["run"] / "report.html").stat().st_size > 100_000
    assert "sum: " in run("explain", headlines["run"], "energy", "conv2", cwd=folder).stdout
    other = json.loads(run("evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--json", cwd=folder).stdout)[0]
    assert other["run"] != headlines["run"]
    assert "SpikingNet" in run("compare", headlines["run"], other["run"], cwd=folder).stdout
    assert len(json.loads(run("compare", headlines["run"], other["run"], "--json", cwd=folder).stdout)) == 2
    assert not list((folder / "truejoule-runs").glob(".*"))
    for args in (
        ["compare", headlines["run"], other["run"], "--report", str(folder)],
        ["compare", headlines["run"], other["run"], "--report", "/proc/nowhere/all.html"],
        ["figure", headlines["run"], "energy", "--out", "/proc/nowhere/energy.svg"],
    ):
        done = run(*args, cwd=folder, expect=2)
        assert "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert not list(folder.parent.glob(".writing*"))


def test_tables_and_report_have_the_numbers(folder):
    done = run(
        "evaluate",
        "my_net.py:net",
        "--data",
        "my_net.py:loader",
        "--on",
        "spikeflow",
        "--on",
        "spikesim-released",
        cwd=folder,
    )
    assert "report: " in done.stdout and "adc" in done.stdout and "Traceback" not in done.stderr
    page = (folder / "truejoule-runs" / "comparison.html").read_text()
    assert "SpikeFlow (corrected)" in page and "SpikeSim as released" in page


def test_spiking_network_beside_a_trained_ann(folder):
    """Both in one report with the reasons; the ANN runs on the twin at every width asked for."""
    net, data = ("my_net.py:net", "--data", "my_net.py:loader", "--on", "sata"), ("--ann", "my_net.py:ann")
    text = run("evaluate", *net, *data, cwd=folder).stdout
    assert "E(T) = " in text and "times the energy of the 8-bit ANN" in text
    assert "SpikingNet on SATA (corrected)" in text and "Sequential on SATA (corrected), ANN twin, 8 bit" in text
    page = (folder / "truejoule-runs" / "comparison.html").read_text()
    assert "times the energy of" in page and "Time steps, and the ANN" in page
    found = json.loads(run("evaluate", *net, *data, "--ann-bits", "8", "--ann-bits", "4", "--json", cwd=folder).stdout)
    assert [e["accelerator"] for e in found] == ["sata", "sata ANN twin, 8 bit", "sata ANN twin, 4 bit"]
    assert [a["bits"] for a in found[0]["over_time"]["against_ann"] if not a["built"]] == [8, 4, 2] and found[1][
        "over_time"
    ] is None
    runs = [e["run"] for e in found]
    assert "times the energy of" in run("compare", *runs, "--report", "all.html", cwd=folder).stdout.replace("\n", " ")
    assert (folder / "all.html").stat().st_size > 100_000


def test_inspect(folder):
    text = run("inspect", "my_net.py:net", "--input", "4,2,8,8", cwd=folder).stdout
    assert "conv2" in text and "LIF" in text
    data = json.loads(run("inspect", "my_net.py:net", "--input", "4,2,8,8", "--json", cwd=folder).stdout)
    assert data["time_steps"] == 3 and len(data["layers"]) >= 8


@pytest.mark.parametrize(
    "args, words",
    [
        (["evaluate", "my_net.py:broken", "--data", "my_net.py:loader"], ["forward pass failed"]),
        (["evaluate", "my_net.py:net", "--data", "my_net.py:empty"], ["no data"]),
        (["evaluate", "my_net.py:nte", "--data", "my_net.py:loader"], ["did you mean 'net'"]),
        (["evaluate", "nowhere.py:net", "--data", "my_net.py:loader"], ["no such file"]),
        (["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--on", "spikflow"], ["did you mean 'spikeflow'"]),
        (["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--set", "r_on=10"], ["without a unit"]),
        (["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--set", "r_on"], ["not an override"]),
        (["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--device", "cudaa"], ["device"]),
        (["inspect", "my_net.py:net", "--input", "4;2"], ["not a shape"]),
        (["inspect", "my_net.py:net", "--input", "4,3,8,8"], ["forward pass failed"]),
        (["explain", "nothing"], ["not a run folder"]),
        (["reproduce", "spikesin"], ["did you mean 'spikesim'"]),
        (["accelerators", "show", "foo"], ["no accelerator"]),
        (
            ["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--ann", "my_net.py:ann", "--ann-bits", "9"],
            ["1 to 8"],
        ),
        (
            ["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--ann", "my_net.py:net"],
            ["the ANN", "spiking neurons"],
        ),
        (["evaluate", "my_net.py:ann", "--data", "my_net.py:loader", "--ann", "my_net.py:ann"], ["no spiking network"]),
        (
            ["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--ann", "my_net.py:wide"],
            ["the ANN", "forward pass"],
        ),
        (["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--ann-bits", "4"], ["without an ANN", "--ann"]),
        (["evaluate", "my_net.py:net", "--data", "my_net.py:gone"], ["cannot be read", "disk gone"]),
        (
            ["evaluate", "my_net.py:net", "--data", "my_net.py:loader", "--training-loss", "my_net.py:no_loss"],
            ["the loss failed"],
        ),
        (["demo", "--samples", "5000"], ["1000"]),
        (["evalute"], ["evaluate"]),
    ],
)
def test_wrong_input_is_exit_code_2_and_no_traceback(folder, args, words):
    done = run(*args, cwd=folder, expect=2)
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_reproduce_and_accelerators(folder):
    rows = json.loads(run("reproduce", "--json", cwd=folder).stdout)
    assert {"paper", "claim", "published", "unit", "released", "corrected", "deviation", "verdict", "reason"} <= set(
        rows[0]
    )
    names = {r["name"] for r in json.loads(run("accelerators", "--json", cwd=folder).stdout)}
    assert {"spikeflow", "spikesim-released", "sata"} <= names
    yaml = run("accelerators", "show", "spikeflow", "--yaml", cwd=folder).stdout
    (folder / "mine.yaml").write_text(yaml)
    shown = json.loads(run("accelerators", "show", "mine.yaml", "--json", cwd=folder).stdout)
    assert all(p["source"] for p in shown)


def test_a_kill_leaves_no_half_written_run(folder):
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    args = [
        sys.executable,
        "-m",
        "truejoule.cli",
        "evaluate",
        "my_net.py:net",
        "--data",
        "my_net.py:loader",
        "--on",
        "spikeflow",
        "--on",
        "spikesim-released",
    ]
    process = subprocess.Popen(args, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    runs = folder / "truejoule-runs"
    deadline = time.monotonic() + 120
    while not list(runs.glob("[!.]*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = list(runs.glob("[!.]*"))
    assert found
    for path in found:
        assert json.loads((path / "evaluation.json").read_text())["energy_j"] > 0
        assert (path / "report.html").exists()
