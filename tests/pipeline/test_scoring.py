"""How good answers are: classes, one score, numbers, the user's own; each with an interval that says what it is."""

import json
import math

import pytest
import torch
from torch import nn

import truejoule as tj
from small_networks import images
from truejoule.evaluation import Accuracy
from truejoule.scoring import check_finite, check_labels, remarks, score_for

SATA = tj.accelerator("sata")
LOGITS = torch.tensor([-2.0, -0.5, 0.3, 0.7, 3.0])
LABELS = torch.tensor([0, 1, 0, 1, 1])


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
@pytest.mark.parametrize("name, right", [("binary-logit", 3), ("binary-probability", 4)])
def test_one_score_has_a_threshold(name, right, shape):
    """Above 0: [0, 0, 1, 1, 1]; above 0.5: [0, 0, 0, 1, 1]."""
    scores = LOGITS.view(shape)
    assert int(score_for(name, scores, LABELS, sigmoid=False).marks(scores, LABELS).sum()) == right


def test_one_score_is_not_always_class_0():
    """A negative value is no probability; behind a sigmoid nothing else; between 0 and 1 it may be both."""
    assert score_for("classification", LOGITS, LABELS, sigmoid=False).name == "binary-logit"
    assert score_for("classification", LOGITS.sigmoid(), LABELS, sigmoid=True).name == "binary-probability"
    for scores in (LOGITS.sigmoid(), LOGITS.abs(), torch.tensor([0.0, 1, 1, 0, 1])):
        with pytest.raises(tj.InputError, match="logit or a probability") as error:
            score_for("classification", scores, LABELS, sigmoid=False)
        assert "binary-logit" in str(error.value)
    with pytest.raises(tj.InputError, match="for one score"):
        score_for("classification", LOGITS, LABELS + 1, sigmoid=False)
    with pytest.raises(tj.InputError, match="more than one score"):
        score_for("binary-logit", torch.randn(5, 2), LABELS, sigmoid=False)
    assert score_for("classification", torch.randn(5, 2), LABELS.bool(), sigmoid=False).name == "classification"


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 2), (6, 2, 3)])
def test_numbers_are_held_against_numbers(shape):
    torch.manual_seed(0)
    outputs, labels = torch.randn(shape), torch.randn(shape)
    check_labels("regression", labels)
    score = score_for("regression", outputs, labels, sigmoid=False)
    expected = [(outputs[i] - labels[i]).abs().mean() for i in range(6)]
    marks = score.marks(outputs, labels)
    assert marks.tolist() == pytest.approx([float(e) for e in expected], rel=1e-6) and score.smaller_is_better
    assert score.marks(outputs.reshape(6, -1, 1), labels).tolist() == pytest.approx(marks.tolist())
    nearly = outputs.clone()
    nearly[2] += 1e-7
    nearly[4] += 0.1
    assert score.same(outputs, nearly).tolist() == [True, True, True, True, False, True]
    with pytest.raises(tj.InputError, match="different sizes"):
        score_for("regression", torch.randn(6, 7), labels, sigmoid=False)


def test_the_interval_of_a_mean():
    """Student's sleep data (Biometrika 6, 1908): differences 1.2 2.4 1.3 1.3 0 1 1.8 0.8 4.6 1.4, mean 1.58, 95 % interval 0.700 to 2.460."""
    a = Accuracy.mean([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4], "hours")
    assert (a.value, a.low, a.high) == (
        pytest.approx(1.58),
        pytest.approx(0.7001, abs=1e-4),
        pytest.approx(2.4599, abs=1e-4),
    )
    assert (a.samples, a.what, a.interval, a.share) == (10, "hours", "Student's t", False)
    assert str(a) == "1.58 [0.7001, 2.46] (hours)" and Accuracy.of(1, 2).interval == "Wilson score"
    with pytest.raises(tj.InputError, match="no interval"):
        Accuracy.mean([1.0], "hours")


class Regressor(nn.Module):
    def __init__(self, outputs=1, last=None):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.relu, self.out, self.last = (
            nn.Linear(128, 9),
            nn.ReLU(),
            nn.Linear(9, outputs),
            last or nn.Identity(),
        )
        self.eval()

    def forward(self, x):
        return self.last(self.out(self.relu(self.fc(x.flatten(1)))))


def test_an_evaluation_of_numbers():
    """The account says what the accuracy is, everywhere; more error is worse."""
    from truejoule.report import page
    from truejoule.report.numbers import accuracy_change
    from truejoule.report.tables import comparison, summary

    x = images(12)
    with torch.no_grad():
        labels = Regressor()(x) + 0.01
    coarse = tj.accelerator("spikeflow", programming_variation=0.6)
    e = tj.evaluate(Regressor(), coarse, [(x, labels)], score="regression")
    assert e.ideal_accuracy.value == pytest.approx(0.01, rel=1e-4) and e.ideal_accuracy.what == "absolute error"
    chip = e.chips[0]
    assert chip.accuracy.value > 0.02 and chip.lost + chip.gained == 12 - round(12 * chip.agreement) > 0
    assert chip.lost > chip.gained and "mean (absolute error)" in e.verdict() and "points" not in e.verdict()
    found = json.loads(json.dumps(e.to_json(), allow_nan=False))
    assert found["accuracy"]["interval"] == "Student's t" and found["provenance"]["scored"].startswith("absolute error")
    assert "(absolute error)" in accuracy_change(found) and "%" not in accuracy_change(found)
    assert "absolute error" in page([found]) and summary([found]) and comparison([found, found])


def test_a_score_of_the_user():
    x, labels = images(12), torch.rand(12, 2)

    def overlap(scores, wanted):
        return torch.cosine_similarity(scores, wanted)

    e = tj.evaluate(Regressor(2), SATA, [(x, labels)], score=overlap)
    with torch.no_grad():
        expected = torch.cosine_similarity(Regressor(2)(x), labels).double().mean()
    assert e.ideal_accuracy.value == pytest.approx(float(expected)) and "overlap" in e.ideal_accuracy.what
    top2 = tj.evaluate(
        Regressor(3), SATA, [(x, torch.arange(12) % 3)], score=lambda s, y: (s.topk(2).indices == y[:, None]).any(1)
    )
    assert top2.ideal_accuracy.share and top2.ideal_accuracy.interval == "Wilson score"
    for bad, words in (
        (lambda s, y: s.mean(), "one finite number per sample"),
        (lambda s, y: s[:, 0] / 0, "one finite number per sample"),
        (lambda s, y: s.nothing, "the score failed"),
        ("accuracy", "no such score"),
    ):
        with pytest.raises(tj.InputError, match=words):
            tj.evaluate(Regressor(2), SATA, [(x, labels)], score=bad)


def test_what_scores_give_away():
    judge = score_for("classification", torch.eye(4), torch.arange(4), sigmoid=False)
    assert remarks(judge, torch.eye(4)) == []
    assert "every sample the same scores" in remarks(judge, torch.ones(4, 3))[0]
    dead = torch.eye(4)
    dead[:2] = 0.0
    assert ["all classes are equal for 50.0 %" in w for w in remarks(judge, dead)] == [True]
    tied = torch.eye(4)
    tied[0, 1] = 1.0
    assert ["share the largest score for 25.0 %" in w for w in remarks(judge, tied)] == [True]
    with pytest.raises(tj.InputError, match="NaN for 1 of 4"):
        check_finite(torch.eye(4).index_fill(0, torch.tensor([2]), math.nan), "the network")
    check_finite(torch.tensor([[0.0, -math.inf]]), "the network")


def test_a_network_whose_scores_are_all_equal_is_named():
    net = Regressor(4)
    net.out.weight.data.zero_()
    net.out.bias.data.zero_()
    e = tj.evaluate(net, SATA, [(images(9), torch.arange(9) % 4)])
    assert any("same scores" in w for w in e.warnings)


def test_one_score_in_an_evaluation():
    x = images(12)
    with torch.no_grad():
        scores = Regressor()(x)
    labels = (scores > scores.median()).flatten().long()
    shifted = Regressor()
    shifted.out.bias.data -= scores.median()
    for last, words in ((None, "above 0,"), (nn.Sigmoid(), "above 0.5,")):
        shifted.last = last or nn.Identity()
        e = tj.evaluate(shifted, SATA, [(x, labels)])
        assert e.ideal_accuracy.value == 1.0 and words in e.provenance["scored"]
