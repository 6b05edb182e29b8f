"""Scores held against labels: what counts as an answer, how good each one is, and what the scores themselves give away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from truejoule.errors import InputError, did_you_mean
from truejoule.evaluation import Accuracy

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLDS = {"binary-logit": 0.0, "binary-probability": 0.5}
NAMES = ("classification", *THRESHOLDS, "regression")
NOTABLE_TIES = 0.01
ROUNDING = 1e-5
"""Real outputs that differ by less than this share of the largest are the same answer."""
BINARY = 'score="binary-logit" for class 1 above 0, "binary-probability" for class 1 above 0.5'

Asked = str | Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Score:
    """How good answers are.

    Attributes
    ----------
    name : one of ``NAMES``, or that of the user's function.
    function : the user's: takes scores and labels, gives for each sample a bool (right or wrong) or a number, larger is better.
    """

    name: str
    function: Callable[[Any, Any], Any] | None = None

    @property
    def classes(self) -> bool:
        """Whether answers are classes, right or wrong."""
        return self.function is None and self.name != "regression"

    @property
    def smaller_is_better(self) -> bool:
        return self.function is None and self.name == "regression"

    def describe(self) -> str:
        known = {
            "classification": "the class with the largest score",
            "binary-logit": "class 1 where the score is above 0",
            "binary-probability": "class 1 where the score is above 0.5",
            "regression": "absolute error",
        }
        return known[self.name] if self.function is None else f"{self.name} of scores and labels"

    def answers(self, scores: Tensor) -> Tensor:
        """Classes ``(N,)``; for other scores the outputs themselves."""
        if not self.classes:
            return scores
        return (scores.flatten() > THRESHOLDS[self.name]).long() if self.name in THRESHOLDS else scores.argmax(1)

    def marks(self, scores: Tensor, labels: Tensor) -> Tensor:
        """How good each answer is, ``(N,)``: right or wrong as bool, or a number."""
        if self.function is not None:
            return _called(self.function, scores, labels)
        if self.classes:
            return self.answers(scores) == labels
        error = scores.double().reshape(len(labels), -1) - labels.double().reshape(len(labels), -1)
        return error.abs().mean(1)

    def same(self, one: Tensor, other: Tensor) -> Tensor:
        """Which answers of two runs are the same, ``(N,)`` bool."""
        a, b = (self.answers(scores).reshape(len(scores), -1) for scores in (one, other))
        if self.classes:
            return (a == b).all(1)
        return ((a - b).abs() <= ROUNDING * a.abs().max()).all(1)

    def accuracy(self, marks: Tensor) -> Accuracy:
        """The mean of ``marks`` with its interval."""
        import torch

        if marks.dtype == torch.bool:
            return Accuracy.of(int(marks.sum()), len(marks))
        return Accuracy.mean(marks.tolist(), self.describe())


def check_labels(asked: Asked, labels: Tensor) -> None:
    """Before anything runs: a score that exists, and labels of its kind."""
    if callable(asked):
        return
    if asked not in NAMES:
        raise InputError("no such score", where="score", got=asked, fix=did_you_mean(str(asked), NAMES))
    if asked == "regression":
        return
    shape, got = tuple(labels.shape), f"{labels.dtype} of shape {tuple(labels.shape)}"
    if len(shape) == 1 and not labels.is_floating_point() and not labels.is_complex():
        return
    fix = (
        'for numbers to be predicted say score="regression", for anything else score=your function of (scores, labels)'
    )
    if (
        len(shape) == 2
        and shape[1] > 1
        and bool(((labels == 0) | (labels == 1)).all())
        and bool((labels.sum(1) == 1).all())
    ):
        fix = "these are one-hot: give labels.argmax(1)"
    elif len(shape) == 2 and shape[1] == 1:
        fix = "give labels.squeeze(1)" + (".long()" if labels.is_floating_point() else "")
    elif len(shape) == 1 and bool((labels == labels.round()).all()):
        fix = f"if these are classes give labels.long(); {fix}"
    raise InputError(
        "labels that are not class numbers", where="labels", got=got, expected="whole numbers, shape (batch,)", fix=fix
    )


def score_for(asked: Asked, scores: Tensor, labels: Tensor, *, sigmoid: bool) -> Score:
    """The rule that judges answers, from what the ideal network gives.

    Parameters
    ----------
    scores : of all samples, ``(N, classes)``, ``(N,)`` or ``(N, 1)``; any shape with samples first where ``asked`` is no classification.
    sigmoid : whether the network ends in one, so that a single score is a probability.

    Raises
    ------
    InputError : scores that are not numbers or do not fit the labels, or a single score that may be a logit or a probability.
    """

    check_finite(scores, "the network")
    if callable(asked):
        return Score(getattr(asked, "__name__", type(asked).__name__), asked)
    if asked == "regression":
        if scores[0].numel() != labels[0].numel():
            raise InputError(
                "outputs and labels of different sizes",
                where="regression",
                got=f"outputs {tuple(scores.shape)}, labels {tuple(labels.shape)}",
                expected="as many numbers per sample",
                fix="select the predicted numbers with readout=",
            )
        return Score(asked)
    single = scores[0].numel() == 1
    most = 1 if single or asked in THRESHOLDS else scores.shape[1] - 1
    if asked in THRESHOLDS and not single:
        raise InputError(
            "more than one score per sample",
            where="score",
            got=f"{scores.shape[1]} scores, {asked}",
            fix='score="classification"',
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > most:
        raise InputError(
            "labels outside the classes of the network",
            where="labels",
            got=f"{low} to {high}, for {'one score' if single else f'{scores.shape[1]} scores'} per sample",
            expected=f"0 to {most}",
            fix="correct the labels, or take the scores from another output with readout=",
        )
    if not single or asked in THRESHOLDS:
        return Score(asked)
    if sigmoid:
        return Score("binary-probability")
    if bool((scores < 0).any()):
        return Score("binary-logit")
    raise InputError(
        "one score per sample, which may be a logit or a probability",
        where="output of the network",
        got=f"values from {float(scores.min()):.4g} to {float(scores.max()):.4g}",
        expected="a score per class, negative values (a logit) or a sigmoid behind the last layer (a probability)",
        fix=f"say {BINARY}",
    )


def check_finite(scores: Tensor, who: str) -> None:
    """Scores are numbers; minus infinity may stand for a class that is shut out."""
    bad = scores.isnan().reshape(len(scores), -1).any(1)
    if bool(bad.any()):
        raise InputError(
            "scores that are not numbers",
            where=f"output of {who}",
            got=f"NaN for {int(bad.sum())} of {len(scores)} samples",
            expected="finite scores",
            fix="look for divisions by zero and overflow (half precision?) in the network",
        )


def remarks(score: Score, scores: Tensor) -> list[str]:
    """What a reader should know of the ideal network's scores: a constant answer, and answers that are drawn by a tie."""
    found, count = [], len(scores)
    if count > 1 and bool((scores == scores[:1]).all()):
        found.append(
            "the network gives every sample the same scores: its accuracy says nothing (do spikes reach the last layer?)"
        )
    elif score.name == "classification" and score.classes:
        equal = int((scores == scores[:, :1]).all(1).sum())
        ties = int(((scores == scores.amax(1, keepdim=True)).sum(1) > 1).sum()) - equal
        if equal > NOTABLE_TIES * count:
            found.append(
                f"the scores of all classes are equal for {100 * equal / count:.1f} % of the samples: they count as class 0 (do spikes reach the last layer?)"
            )
        if ties > NOTABLE_TIES * count:
            found.append(
                f"several classes share the largest score for {100 * ties / count:.1f} % of the samples: the first of them counts"
            )
    return found


def _called(function: Callable[[Any, Any], Any], scores: Tensor, labels: Tensor) -> Tensor:
    import torch

    name = getattr(function, "__name__", type(function).__name__)
    try:
        marks = function(scores, labels)
    except Exception as error:
        raise InputError(
            "the score failed",
            where=name,
            got=f"{type(error).__name__}: {error}",
            expected=f"a function of scores {tuple(scores.shape)} and labels {tuple(labels.shape)}",
        ) from error
    if not isinstance(marks, torch.Tensor) or marks.shape != (len(scores),) or not bool(marks.isfinite().all()):
        got = f"shape {tuple(marks.shape)}" if isinstance(marks, torch.Tensor) else repr(marks)
        raise InputError(
            "the score does not give one finite number per sample",
            where=name,
            got=got,
            expected=f"a tensor of shape ({len(scores)},), one number per sample, larger is better",
            fix="do not average over the samples: truejoule does, with an interval",
        )
    marks = marks.detach().cpu()
    return marks if marks.dtype == torch.bool else marks.double()
