import pytest
import torch
import torch.nn.functional as F

from truejoule.training.losses import mean_logit, tet

OUTPUTS = torch.randn(4, 6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 3, 9, 1, 1, 5])


def test_tet_is_the_mean_over_time_of_the_cross_entropies():
    by_hand = sum(F.cross_entropy(step, LABELS) for step in OUTPUTS) / 4
    assert tet(OUTPUTS, LABELS).item() == pytest.approx(float(by_hand), rel=1e-12)


def test_tet_adds_the_squared_distance_to_the_threshold():
    expected = 0.9 * tet(OUTPUTS, LABELS) + 0.1 * ((OUTPUTS - 1.0) ** 2).mean()
    assert tet(OUTPUTS, LABELS, mse_weight=0.1).item() == pytest.approx(expected.item(), rel=1e-12)


def test_mean_logit_sees_only_the_mean():
    assert mean_logit(OUTPUTS, LABELS).item() == pytest.approx(
        F.cross_entropy(OUTPUTS.mean(0), LABELS).item(), rel=1e-12
    )


def test_tet_is_an_upper_bound_of_the_loss_of_the_mean():
    assert tet(OUTPUTS, LABELS) >= mean_logit(OUTPUTS, LABELS)  # cross-entropy is convex in the logits


def test_both_agree_when_each_step_says_the_same():
    same = OUTPUTS[:1].repeat(4, 1, 1)
    assert tet(same, LABELS).item() == pytest.approx(mean_logit(same, LABELS).item(), rel=1e-12)
