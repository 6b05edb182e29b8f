"""What is scored: outputs of every form become the scores that they are certain to be, or are refused by one message."""

from collections import namedtuple

import pytest
import torch
from torch import nn

import truejoule as tj
from small_networks import Spike, images
from truejoule.readout import SIZES, readout_for

T, C = 4, 5
RNG = torch.Generator().manual_seed(0)
STEPS = torch.randn(T, 9, C, generator=RNG)
"""Scores of nine samples per time step."""
SPIKES = (torch.rand(T, 9, C, generator=RNG) > 0.5).float()
MEAN, SUM, LAST = STEPS.mean(0), STEPS.sum(0), STEPS[-1]
Record = namedtuple("Record", "logits hidden")
Pair = namedtuple("Pair", "spikes membrane")


def rule(forward, asked=None, *, steps=T, spiking=True, classes=True):
    """The readout of a network whose outputs for the first n samples are ``forward(n)``."""
    return readout_for([forward(n) for n in SIZES], steps, asked, spiking=spiking, classes=classes)


CERTAIN = {
    "scores": (lambda n: MEAN[:n], MEAN),
    "maps of one pixel": (lambda n: MEAN[:n, :, None, None], MEAN),
    "stacked": (lambda n: STEPS[:, :n], MEAN),
    "stacked maps of one pixel": (lambda n: STEPS[:, :n, :, None, None], MEAN),
    "samples first": (lambda n: STEPS[:, :n].transpose(0, 1), MEAN),
    "time last": (lambda n: STEPS[:, :n].permute(1, 2, 0), MEAN),
    "list": (lambda n: list(STEPS[:, :n]), MEAN),
    "list of pairs": (lambda n: list(zip(SPIKES[:, :n], STEPS[:, :n], strict=True)), SPIKES.mean(0)),
    "list of scores and states": (lambda n: [(s, {"v": s}) for s in STEPS[:, :n]], MEAN),
    "list of dictionaries": (lambda n: [{"logits": s, "v": s} for s in STEPS[:, :n]], MEAN),
    "one score over time": (lambda n: STEPS[:, :n, 0], MEAN[:, 0]),
    "one score each": (lambda n: MEAN[:n, 0], MEAN[:, 0]),
    "spikes and membranes": (lambda n: (SPIKES[:, :n], STEPS[:, :n]), SPIKES.mean(0)),
    "membranes and spikes": (lambda n: (STEPS[:, :n], 2 * SPIKES[:, :n]), 2 * SPIKES.mean(0)),
    "lists of spikes and membranes": (lambda n: (list(SPIKES[:, :n]), list(STEPS[:, :n])), SPIKES.mean(0)),
    "named spikes and membranes": (lambda n: Pair(SPIKES[:, :n], STEPS[:, :n]), SPIKES.mean(0)),
    "scores and nothing": (lambda n: (MEAN[:n], None), MEAN),
    "scores and a state": (lambda n: (MEAN[:n], (MEAN[:n], MEAN[:n])), MEAN),
    "dictionary of one": (lambda n: {"out": MEAN[:n], "loss": None}, MEAN),
    "dictionary with logits": (lambda n: {"hidden": MEAN[:n], "logits": STEPS[:, :n]}, MEAN),
    "named logits": (lambda n: Record(MEAN[:n], MEAN[:n] + 1), MEAN),
    "half precision": (lambda n: STEPS[:, :n].bfloat16(), STEPS.bfloat16().float().mean(0)),
    "counts": (lambda n: SPIKES[:, :n].long(), SPIKES.mean(0)),
}


@pytest.mark.parametrize("form", CERTAIN)
def test_outputs_that_are_certain(form):
    forward, expected = CERTAIN[form]
    scores = rule(forward)(forward(9))
    assert torch.equal(scores, expected) or torch.allclose(scores, expected, rtol=1e-6)
    assert scores.shape == expected.shape


@pytest.mark.parametrize("n", [T, C, 1, 2, 7])
@pytest.mark.parametrize("form", ["stacked", "samples first", "list", "time last"])
def test_any_batch_size_once_the_form_is_known(form, n):
    """N = T, N = C and N = 1 leave nothing open: the form is seen at two batch sizes."""
    forward, expected = CERTAIN[form]
    assert torch.allclose(rule(forward)(forward(n)), expected[:n], rtol=1e-6)


def test_time_and_samples_in_one_axis_are_in_the_order_of_the_inputs():
    for axis in (0, 1):
        forward = lambda n, axis=axis: (STEPS[:, :n] if axis == 0 else STEPS[:, :n].transpose(0, 1)).flatten(0, 1)  # noqa: E731
        found = readout_for([forward(n) for n in SIZES], T, None, spiking=True, classes=True, time_axis=axis)
        assert torch.allclose(found(forward(9)), MEAN, rtol=1e-6) and torch.allclose(found(forward(4)), MEAN[:4])


def test_one_time_step():
    for forward in (lambda n: STEPS[:1, :n], lambda n: STEPS[0, :n, None], lambda n: [STEPS[0, :n]]):
        assert torch.equal(rule(forward, steps=1)(forward(9)), STEPS[0])


OPEN = {
    "tuple of T": (lambda n: tuple(STEPS[:, :n]), ["4 outputs", "as many as time steps"]),
    "two of a kind": (lambda n: (MEAN[:n], MEAN[:n] + 1), ["2 outputs", "0 (2, 5), 1 (2, 5)"]),
    "scores and features": (lambda n: (MEAN[:n], torch.ones(n, 9)), ["2 outputs"]),
    "two spike trains": (lambda n: (SPIKES[:, :n], SPIKES[:, :n]), ["2 outputs"]),
    "dictionary of two": (lambda n: {"a": MEAN[:n], "b": MEAN[:n]}, ["2 outputs", "a (2, 5)"]),
    "classes as many as steps": (lambda n: torch.randn(n, T, T), ["cannot tell time from classes"]),
    "time and samples flattened": (lambda n: STEPS[:, :n].flatten(0, 1), ["(8, 5) and (12, 5)"]),
    "other time steps": (lambda n: STEPS[1:, :n], ["shape (3, 2, 5)"]),
    "a list of another length": (lambda n: list(STEPS[1:, :n]), ["3 outputs"]),
    "maps": (lambda n: torch.randn(n, C, 3, 3), ["shape (2, 5, 3, 3)"]),
    "no samples": (lambda n: MEAN[0], ["one entry per sample"]),
    "nothing": (lambda n: None, ["NoneType"]),
    "a number": (lambda n: MEAN[:n].sum(), ["one entry per sample"]),
    "nothing in it": (lambda n: (), ["0 outputs", "no tensor"]),
}


@pytest.mark.parametrize("form", OPEN)
def test_outputs_that_leave_more_than_one_reading(form):
    forward, words = OPEN[form]
    with pytest.raises(tj.InputError) as error:
        rule(forward)
    for word in [*words, "readout="]:
        assert word in str(error.value)


@pytest.mark.parametrize("asked, expected", [("sum", SUM), ("last", LAST), ("first", STEPS[0]), ("max", STEPS.amax(0))])
@pytest.mark.parametrize("form", ["stacked", "samples first", "list", "tuple of T", "a list of another length"])
def test_a_named_readout(form, asked, expected):
    forward, _ = CERTAIN.get(form) or OPEN[form]
    if form == "a list of another length":
        expected = {"sum": STEPS[1:].sum(0), "first": STEPS[1], "max": STEPS[1:].amax(0)}.get(asked, expected)
    found = rule(forward, asked)
    assert torch.allclose(found(forward(9)), expected) and asked in found.describe()


def test_a_readout_of_the_user():
    found = rule(lambda n: {"a": MEAN[:n], "b": STEPS[:, :n]}, lambda outputs: outputs["b"][-1])
    assert torch.equal(found({"a": MEAN, "b": STEPS}), LAST)
    for bad, words in (
        (lambda outputs: outputs["c"], "KeyError"),
        (lambda outputs: 3, "does not give a tensor"),
        (lambda outputs: outputs["b"], "scores of every sample"),
    ):
        with pytest.raises(tj.InputError, match=words):
            rule(lambda n: {"a": MEAN[:n], "b": STEPS[:, :n]}, bad)
    with pytest.raises(tj.InputError, match="did you mean 'mean'"):
        rule(lambda n: MEAN[:n], "maen")
    with pytest.raises(tj.InputError, match="without time steps"):
        rule(lambda n: MEAN[:n], "last")


def test_numbers_over_time_are_not_summed_up_without_a_word():
    """The order of classes is the same in a sum and a mean; a predicted number is not."""
    with pytest.raises(tj.InputError, match="no word on how"):
        rule(lambda n: STEPS[:, :n], classes=False)
    forward = lambda n: STEPS[:, :n]  # noqa: E731
    assert torch.equal(rule(forward, "last", classes=False)(STEPS), LAST)
    assert rule(lambda n: torch.randn(n, C, 3, 3), classes=False)(torch.ones(4, C, 3, 3)).shape == (4, C, 3, 3)


class Late(nn.Module):
    """The first step always says class 0; the class comes later. Returns what ``form`` makes of the list of T scores."""

    def __init__(self, form=lambda steps: steps, steps=3):
        super().__init__()
        torch.manual_seed(3)
        self.form, self.steps = form, steps
        self.conv, self.spike, self.fc = nn.Conv2d(2, 4, 3, padding=1), Spike(0.4), nn.Linear(256, 5)
        self.eval()
        with torch.no_grad():  # so that every class has its share of the images
            self.fc.bias -= self.fc(self.spike(self.conv(images(20))).flatten(1)).mean(0)
        self.spike.reset()

    def one(self, x, t):
        scores = self.fc(self.spike(self.conv(x)).flatten(1))
        return torch.zeros_like(scores) + torch.eye(5)[0] if t == 0 else scores * 5

    def forward(self, x):
        return self.form([self.one(x, t) for t in range(self.steps)])


class OneStep(Late):
    """The same, one time step per call."""

    def __init__(self, form=lambda scores: scores):
        super().__init__(form)
        self.reset()

    def reset(self):
        self.t = 0

    def forward(self, x):
        self.t += 1
        return self.form(self.one(x, self.t - 1))


def accuracies(net, data, **options):
    e = tj.evaluate(net, tj.accelerator("sata"), data, **options)
    return e.ideal_accuracy.value, e.provenance["scored"]


def test_a_list_of_time_steps_is_not_scored_by_its_first():
    """Labels are the network's own answers from all steps: 100 %, and class 0 alone is what the first step says."""
    x = images(20)
    with torch.no_grad():
        labels = torch.stack(Late()(x)).sum(0).argmax(1)
    assert 0.0 < float((labels == 0).float().mean()) < 0.6
    data, zeros = [(x, labels)], float((labels == 0).double().mean())
    assert accuracies(Late(), data)[0] == 1.0
    assert accuracies(Late(), data, readout="first")[0] == zeros
    assert accuracies(Late(lambda s: {"a": s, "b": x}), data, readout=lambda out: out["a"][0])[0] == zeros
    for form, options in ((lambda s: (s, {"state": 1}), {}), (lambda s: s, {"readout": "last"})):
        value, scored = accuracies(OneStep(form), data, time_steps=3, **options)
        assert f"{options.get('readout', 'mean')} over time" in scored and (options or value == 1.0)


def test_the_loss_of_a_training_step_sees_the_scores():
    from truejoule.network import training_step

    x, seen = images(6), []

    def loss(scores, labels):
        seen.append(tuple(scores.shape))
        return nn.functional.cross_entropy(scores, labels)

    net = nn.Sequential(nn.Flatten(), nn.Linear(128, 5), nn.Unflatten(1, (1, 5)))
    network = tj.read(net, x)
    readout = rule(lambda n: network.run(x[:n]), steps=1, spiking=False)
    training_step(network, x, torch.arange(6) % 5, loss, readout)
    assert seen == [(6, 5)]
