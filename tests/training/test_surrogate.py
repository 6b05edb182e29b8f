import math

import pytest
import torch

from truejoule.errors import InputError
from truejoule.training.surrogate import SURROGATES, spike_function

DERIVATIVE = {
    "triangle": lambda u: torch.relu(1 - u.abs()),
    "atan": lambda u: 1 / (1 + (math.pi * u) ** 2),
    "fast_sigmoid": lambda u: 1 / (1 + 10 * u.abs()) ** 2,
}


@pytest.mark.parametrize("name", SURROGATES)
def test_forward_is_a_step_that_fires_at_equality(name):
    u = torch.tensor([-1.0, -1e-7, -0.0, 0.0, 1e-7, 3.0])
    assert spike_function(name)(u).tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("name", SURROGATES)
def test_backward_is_the_stated_formula(name):
    u = torch.linspace(-3, 3, 101, dtype=torch.float64, requires_grad=True)
    upstream = torch.linspace(-2, 5, 101, dtype=torch.float64)
    spike_function(name)(u).backward(upstream)
    assert u.grad is not None
    torch.testing.assert_close(u.grad, upstream * DERIVATIVE[name](u.detach()), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", SURROGATES)
def test_backward_leaves_its_inputs_alone(name):
    u, upstream = torch.tensor([0.25, -0.5], requires_grad=True), torch.tensor([1.0, 2.0])
    spikes = spike_function(name)(u)
    spikes.backward(upstream)
    assert u.tolist() == [0.25, -0.5] and upstream.tolist() == [1.0, 2.0]


def test_unknown_name_teaches():
    with pytest.raises(InputError, match="did you mean 'triangle'"):
        spike_function("triangel")
