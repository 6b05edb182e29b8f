"""Random draws depend on their key alone."""

import torch

from truejoule.numerics.draws import normal, stream, uniform


def test_same_key_same_numbers():
    assert torch.equal(normal((3, 4), 7, "conv1", "programming"), normal((3, 4), 7, "conv1", "programming"))


def test_keys_and_seeds_are_independent():
    draws = [normal((20_000,), *key) for key in ((0, "a"), (1, "a"), (0, "b"), (0, "a", 1), (0, "a", "1x"))]
    matrix = torch.corrcoef(torch.stack(draws))
    assert (matrix - torch.eye(5)).abs().max() < 0.03


def test_key_parts_do_not_run_together():
    assert stream(0, "ab", "c").random() != stream(0, "a", "bc").random()


def test_moments():
    x = normal((200_000,), 3, "moments")
    assert abs(float(x.mean())) < 0.01 and abs(float(x.std()) - 1) < 0.01
    u = uniform((200_000,), 3, "moments")
    assert 0 <= float(u.min()) and float(u.max()) < 1 and abs(float(u.mean()) - 0.5) < 0.005
