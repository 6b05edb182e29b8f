import math

import pytest
import torch
import torch.nn.functional as F

from truejoule.errors import InputError
from truejoule.training.quantised import QuantConv2d, QuantLinear, WeightQuantiser, fake_quantise, to_integers


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_integers_are_whole_and_symmetric(bits):
    largest = 2 ** (bits - 1) - 1
    integers = to_integers(torch.linspace(-50, 50, 4001), 0.1, bits)
    assert torch.equal(integers, integers.round())
    assert integers.min() == -largest and integers.max() == largest


def test_quantising_twice_changes_nothing():
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    scale = torch.tensor(0.3)
    once = fake_quantise(weight, scale, 4)
    assert torch.equal(to_integers(once, scale, 4), to_integers(weight, scale, 4))
    torch.testing.assert_close(fake_quantise(once, scale, 4), once, rtol=1e-6, atol=0)


def test_error_is_at_most_half_a_step_inside_the_range():
    weight = torch.linspace(-2.1, 2.1, 999)
    assert (fake_quantise(weight, 0.3, 4) - weight).abs().max() <= 0.15 + 1e-6


def test_gradients_are_straight_through_for_weights_and_lsq_for_the_scale():
    weight = torch.tensor([0.04, -0.17, 5.0, -5.0], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    upstream = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    fake_quantise(weight, scale, 4).backward(upstream)
    assert weight.grad is not None and scale.grad is not None
    torch.testing.assert_close(weight.grad, torch.tensor([1.0, 2.0, 0.0, 0.0], dtype=torch.float64))
    expected = 1 * (0 - 0.4) + 2 * (-2 + 1.7) + 3 * 7 + 4 * -7  # q - w/s inside, q outside
    assert scale.grad.item() == pytest.approx(expected)


def test_first_call_sets_the_scale_and_damps_its_gradient():
    weight = torch.randn(64, 9, generator=torch.Generator().manual_seed(2))
    quantiser = WeightQuantiser(4)
    quantised = quantiser(weight)
    assert quantiser.scale.item() == pytest.approx(2 * weight.abs().mean().item() / math.sqrt(7))
    quantised.sum().backward()
    undamped = quantiser.scale.detach().clone().requires_grad_()
    fake_quantise(weight, undamped, 4).sum().backward()
    assert quantiser.scale.grad is not None and undamped.grad is not None
    assert quantiser.scale.grad.item() == pytest.approx(undamped.grad.item() / math.sqrt(64 * 9 * 7), rel=1e-4)


def test_a_fixed_scale_is_not_trained():
    layer = QuantLinear(8, 4, bits=4, learn_scale=False)
    layer(torch.rand(2, 8)).sum().backward()
    assert layer.quantiser.scale.grad is None and layer.weight.grad is not None


@pytest.mark.parametrize(
    ("layer", "x", "function"),
    [
        (QuantConv2d(3, 8, 3, padding=1, stride=2, bias=False, bits=4), torch.rand(2, 3, 9, 9), "conv2d"),
        (QuantLinear(12, 5, bits=4), torch.rand(2, 12), "linear"),
    ],
    ids=["conv2d", "linear"],
)
def test_the_functional_call_sees_scale_times_integer(monkeypatch, layer, x, function):
    seen, original = [], getattr(F, function)
    monkeypatch.setattr(F, function, lambda *a, **k: (seen.append(a[1]), original(*a, **k))[1])
    layer(x)
    integers, scale = layer.quantiser.integers(layer.weight)
    assert integers.dtype == torch.int8 and integers.abs().max() <= 7
    torch.testing.assert_close(seen[0].detach(), integers * scale, rtol=1e-6, atol=1e-9)


def test_one_bit_is_refused():
    with pytest.raises(InputError, match="at least 2 bits"):
        to_integers(torch.zeros(1), 1.0, 1)
