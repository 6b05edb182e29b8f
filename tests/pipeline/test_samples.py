"""No loader changes a number: shuffled, batched otherwise, split, read from a generator or with time first, the samples and every result are the same."""

import json
from itertools import chain

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import truejoule as tj
from small_networks import ReluNet, Spike, SpikingNet, images
from truejoule.gathering import CALIBRATION_SAMPLES, MOST_CALIBRATION, calibration_samples

SATA, SPIKEFLOW = tj.accelerator("sata"), tj.accelerator("spikeflow", adc_bits=5)


def batches(x, y, sizes, axis=0):
    """Batches of these sizes one after the other, the last size again and again."""
    start, found = 0, []
    while start < len(y):
        size = sizes[min(len(found), len(sizes) - 1)]
        found.append((x.narrow(axis, start, min(size, len(y) - start)), y[start : start + size]))
        start += size
    return found


def shuffled(x, y, seed, axis=0):
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    return x.index_select(axis, order), y[order]


def numbers(evaluation):
    found = evaluation.to_json()
    for key in ("date", "wall_s"):
        del found["provenance"][key]
    return json.dumps(found, sort_keys=True)


class Tiny(nn.Module):
    """Real inputs, ReLU, two linear layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.relu, self.last = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)
        self.eval()

    def forward(self, x):
        return self.last(self.relu(self.first(x)))


class TimeFirst(nn.Module):
    """Takes (T, N, C, H, W), one step after the other; as many steps as there are."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.spike, self.fc = nn.Conv2d(2, 4, 3, padding=1), Spike(), nn.Linear(64, 3)
        self.eval()

    def forward(self, x):
        return torch.stack([self.fc(self.spike(self.conv(step)).flatten(1)) for step in x])


@pytest.mark.parametrize("net", [SpikingNet, ReluNet])
@pytest.mark.parametrize("machine", [SATA, SPIKEFLOW], ids=["sata", "spikeflow"])
def test_every_number_is_the_same_for_every_loader(machine, net):
    x = images(22)
    x, y = x * torch.linspace(0.2, 1.0, 22).view(-1, 1, 1, 1), torch.arange(22) % 5  # dark images, bright images
    first = numbers(tj.evaluate(net(), machine, batches(x, y, [22])))
    assert numbers(tj.evaluate(net(), machine, iter(batches(*shuffled(x, y, 0), [7])))) == first
    if machine is SATA:  # the cheaper one
        again = shuffled(x, y, 1)
        several = chain(batches(again[0][:9], again[1][:9], [1]), batches(again[0][9:], again[1][9:], [3]))
        assert numbers(tj.evaluate(net(), machine, several)) == first


@given(seed=st.integers(0, 99), sizes=st.lists(st.integers(1, 13), min_size=1, max_size=12), count=st.integers(1, 30))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_samples_depend_on_content_alone(seed, sizes, count):
    x, y = torch.randn(count, 2, 3, generator=torch.Generator().manual_seed(count)), torch.arange(count) % 4
    x[count // 2] = x[0]  # equal inputs, perhaps with other labels
    found, same = tj.samples(batches(*shuffled(x, y, seed), sizes)), tj.samples([(x, y)])
    assert found.digest == same.digest and len(found) == count
    assert torch.equal(found.x, same.x) and torch.equal(found.y, same.y)
    pairs = {(tuple(a.flatten().tolist()), int(b)) for a, b in zip(x, y, strict=True)}
    assert pairs == {(tuple(a.flatten().tolist()), int(b)) for a, b in zip(found.x, found.y, strict=True)}
    assert [len(b) for _, b in found] == [len(b) for _, b in same]
    assert torch.equal(torch.cat([a for a, _ in found]), found.x)


@given(seed=st.integers(0, 99), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("machine", [SATA, SPIKEFLOW], ids=["sata", "spikeflow"])
def test_real_inputs_have_one_range_for_every_batching(machine, seed, sizes):
    x, y = torch.randn(17, 6, generator=torch.Generator().manual_seed(5)), torch.arange(17) % 3
    first = tj.evaluate(Tiny(), machine, [(x, y)])
    assert numbers(tj.evaluate(Tiny(), machine, batches(*shuffled(x, y, seed), sizes))) == numbers(first)


@pytest.mark.parametrize("time_axis", [0, None])
def test_time_first_with_as_many_samples_as_steps(time_axis):
    """Samples lie on the second axis, also where N = T in every batch: nothing is cut along time."""
    x, y = (torch.rand(4, 12, 2, 4, 4, generator=torch.Generator().manual_seed(3)) > 0.5).float(), torch.arange(12) % 3
    first = tj.evaluate(TimeFirst(), SATA, batches(x, y, [12], 1), time_axis=time_axis)
    assert first.workload.time_steps == 4 and first.chips[0].accuracy.samples == 12
    for sizes in [[4]] if time_axis is None else [[4], [5]]:
        data = batches(*shuffled(x, y, sizes[0], 1), sizes, 1)
        assert numbers(tj.evaluate(TimeFirst(), SATA, data, time_axis=time_axis)) == numbers(first)
    assert tj.samples(batches(x, y, [4], 1), 6, time_axis=0).x.shape == (6, 4, 2, 4, 4)
    assert (
        tj.samples([(x.transpose(0, 1), y)]).digest == tj.samples([(x, y)]).digest == first.provenance["samples_digest"]
    )


def test_more_than_64_samples_with_time_first():
    x, y = (torch.rand(3, 70, 2, 4, 4) > 0.5).float(), torch.arange(70) % 3
    samples = tj.samples([(x, y)], time_axis=0)
    assert [tuple(a.shape) for a, _ in samples] == [(3, 64, 2, 4, 4), (3, 6, 2, 4, 4)]
    ranges = calibration_samples(None, samples)
    assert len(ranges) == CALIBRATION_SAMPLES and [a.shape[:2] for a in ranges.inputs()] == [(3, 64)]
    e = tj.evaluate(TimeFirst(), SATA, samples, time_axis=0)
    assert e.workload.time_steps == 3 and e.accuracy.samples == 70


def test_calibration_is_a_set_of_samples():
    x, y = torch.randn(90, 6), torch.arange(90) % 3
    scored = tj.samples(batches(x, y, [8]))
    by_labels = tj.samples(batches(x, y.flip(0), [8]))
    assert torch.equal(calibration_samples(None, scored).x, calibration_samples(None, by_labels).x)
    given_ = [calibration_samples(data, scored) for data in (x, [x], list(x.split(7)), batches(x, y, [30]), iter([x]))]
    assert len({g.digest for g in given_}) == 1 and len(given_[0]) == 90
    assert len(calibration_samples([torch.randn(300, 6)] * 5, scored)) == MOST_CALIBRATION


def test_batches_and_example_follow_from_the_shape_of_a_sample():
    y = torch.zeros(40, dtype=torch.long)
    assert [len(b) for _, b in tj.samples([(torch.rand(40, 2**18), y)])] == [4] * 10
    assert tj.samples([(torch.rand(40, 3), y)]).example().shape == (13, 3)
    assert len(tj.samples([(torch.rand(40, 13, 3), y)]).example()) == 11  # 13 would be another axis
    assert len(tj.samples([(torch.rand(40, 26, 3), y)]).example()) == 11  # and 13 divides 26
    assert len(tj.samples([(torch.rand(40, 3), y)]).example(13)) == 11
    assert len(tj.samples([(torch.rand(1, 3), y[:1])]).example()) == 1


MINE = """
import torch
from small_networks import SpikingNet, images
net = SpikingNet()
x, y = images(12), torch.arange(12) % 5
def once():
    return ((x[i:i+4], y[i:i+4]) for i in torch.randperm(9).tolist())
ann = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(256, 5)).eval()
def swapped(outputs):
    return -outputs
calls = []
def lowest(scores, labels):
    calls.append(len(scores))
    if len(calls) > 3:
        raise ValueError("enough")
    return scores.argmin(1) == labels
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_several_machines_see_the_same_samples(mine, monkeypatch):
    """A generator is not empty for the second machine, a shuffling loader gives no other samples: all runs get what was gathered once."""
    from truejoule import cli

    seen = []
    monkeypatch.setattr(cli, "_evaluate", lambda runs, data, **options: seen.append((runs, data, options)))
    cli.evaluate("mine.py:net", data="mine.py:once", on=("sata", "spikeflow"), ann="mine.py:ann", samples=8)
    ((runs, data, options),) = seen
    assert len(runs) == 4 and isinstance(data, tj.Samples) and len(data) == options["samples"] == 8


def test_readout_and_score_from_the_command_line_and_what_is_kept_when_they_fail(mine, capsys):
    """The score fails in the second run: the first is on disk, and said to be."""
    from truejoule.cli import evaluate

    with pytest.raises(tj.InputError, match="the score failed"):
        evaluate(
            "mine.py:net",
            data="mine.py:once",
            on=("sata", "sata"),
            calibration="mine.py:once",
            readout="mine.py:swapped",
            score="mine.py:lowest",
            samples=8,
            json_=True,
        )
    kept = capsys.readouterr().err.strip().removeprefix("kept: ")
    found = json.loads((mine / kept / "evaluation.json").read_text())
    assert found["provenance"]["scored"] == "lowest of scores and labels, swapped of the outputs"
    assert "given by the user" in found["provenance"]["calibration"]


def test_runs_on_different_samples_are_not_compared_in_silence():
    from truejoule.report.numbers import verdicts

    x, y = torch.randn(17, 6), torch.arange(17) % 3
    one, other = (tj.evaluate(Tiny(), SATA, [(x[:n], y[:n])]).to_json() for n in (17, 16))
    assert any("different samples" in line for line in verdicts([one, other]))
    assert not any("different samples" in line for line in verdicts([one, one]))


class Handed:
    """A machine that hands a network over to another one."""

    def __init__(self, machine, other):
        self._machine, self._other, self.asked = machine, other, []

    def suited(self, workload):
        self.asked.append(workload)
        return self._other if not workload.spiking else self

    def __getattr__(self, name):
        return getattr(self._machine, name)


def test_a_machine_may_hand_a_network_to_its_twin_and_says_so():
    x, y = torch.randn(17, 6), torch.arange(17) % 3
    twin = SATA.ann_twin(8)
    machine = Handed(SATA, twin)
    e = tj.evaluate(Tiny(), machine, [(x, y)])
    assert e.accelerator == twin.name and len(machine.asked) == 1
    assert any(w.startswith(f"runs on {twin.name}") for w in e.warnings)
    alone = tj.evaluate(Tiny(), twin, [(x, y)])
    assert e.cost.energy_j == alone.cost.energy_j and not any(w.startswith("runs on") for w in alone.warnings)


X, Y = images(8), torch.arange(8) % 5


@pytest.mark.parametrize(
    "net, data, words",
    [
        (SpikingNet, [(X, Y)], ["the class SpikingNet", "create it first: SpikingNet()"]),
        (SpikingNet().state_dict(), [(X, Y)], ["not a network", "load_state_dict"]),
        (None, [(X, Y)], ["not a network", "NoneType"]),
        (SpikingNet(), X, ["not batches", "[(inputs, labels)]"]),
        (SpikingNet(), (X, Y), ["two tensors instead of batches", "[(inputs, labels)]"]),
        (SpikingNet(), {"x": X, "y": Y}, ["not batches", "dict"]),
        (SpikingNet(), 7, ["not batches", "int"]),
        (SpikingNet(), [{"image": X, "label": Y}], ["not labelled", "image, label", "b['image'], b['label']"]),
        (SpikingNet(), [(X, Y, Y)], ["not labelled", "shape (8,)"]),
        (SpikingNet(), [(X.numpy(), Y)], ["not labelled", "ndarray"]),
        (SpikingNet(), [(X[0], 3)], ["not labelled", "single samples", "batch_size"]),
        (SpikingNet(), torch.utils.data.TensorDataset(X, Y), ["not labelled", "single samples"]),
        (SpikingNet(), [(X, Y[:5])], ["do not belong together", "(8, 2, 8, 8)", "(5,)"]),
        (SpikingNet(), [(X[:4], Y[:4]), (X[4:, :1], Y[4:])], ["different shapes", "batch 1", "(1, 8, 8)"]),
        (SpikingNet(), [(X[:4], Y[:4]), (X[4:].double(), Y[4:])], ["dtypes", "float64"]),
        (SpikingNet(), [(X.to_sparse(), Y)], ["dense"]),
        (SpikingNet(), [(X / 0, Y)], ["NaN or infinite", "8 of 8"]),
        (SpikingNet(), iter([]), ["no data", "generator"]),
        (SpikingNet(), [(X, nn.functional.one_hot(Y, 5))], ["one-hot", "argmax(1)"]),
        (SpikingNet(), [(X, Y[:, None])], ["class numbers", "squeeze(1)"]),
        (SpikingNet(), [(X, Y.float())], ["class numbers", "labels.long()", "regression"]),
        (SpikingNet(), [(X, Y + 1)], ["outside the classes", "1 to 5", "0 to 4"]),
        (SpikingNet(), [(X, Y - 1)], ["outside the classes", "-1 to 3"]),
    ],
)
def test_what_is_no_network_or_no_data_is_said_in_one_message(net, data, words):
    with pytest.raises(tj.InputError) as error:
        tj.evaluate(net, SATA, data)
    for word in words:
        assert word in str(error.value)


def test_what_does_not_fit_gathered_samples():
    samples = tj.samples([(X, Y)])
    with pytest.raises(tj.InputError, match="time_axis and the samples disagree"):
        tj.evaluate(SpikingNet(), SATA, samples, time_axis=0)
    with pytest.raises(tj.InputError, match="samples on another axis"):
        tj.samples([(X, Y)], time_axis=0)
    with pytest.raises(tj.InputError, match="on another axis"):
        calibration_samples(tj.samples([(torch.rand(3, 8, 2), Y)]), samples)
    with pytest.raises(tj.InputError, match="a batch without inputs"):
        calibration_samples([{"x": X}], samples)
    with pytest.raises(tj.InputError, match="no calibration data"):
        calibration_samples(iter([]), samples)
