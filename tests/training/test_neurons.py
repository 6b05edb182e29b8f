import pytest
import torch
from torch import nn

from truejoule.errors import InputError
from truejoule.training.neurons import LIF, reset


def run(neuron, currents):
    return [neuron(torch.tensor([float(i)])).item() for i in currents]


def test_equality_fires():
    assert run(LIF(threshold=1.0, decay=1.0), [1.0]) == [1]
    assert run(LIF(threshold=1.0, decay=1.0), [1.0 - 2**-24]) == [0]


@pytest.mark.parametrize(("current", "steps"), [(0.25, 64), (0.375, 64), (0.75, 64), (1.0, 16)])
def test_integrate_and_fire_with_subtraction_fires_at_the_rate_of_its_input(current, steps):
    # charge is conserved: spikes = floor(T I / threshold) while I <= threshold
    assert sum(run(LIF(decay=1.0), [current] * steps)) == int(steps * current)


@pytest.mark.parametrize(("current", "period"), [(0.25, 4), (0.375, 3), (0.75, 2), (1.0, 1)])
def test_integrate_and_fire_with_zero_reset_fires_each_ceil_threshold_over_input(current, period):
    spikes = run(LIF(decay=1.0, reset="zero"), [current] * 24)
    assert spikes == [1.0 if (t + 1) % period == 0 else 0.0 for t in range(24)]


def test_leaky_neuron_below_its_rheobase_never_fires_and_converges():
    neuron = LIF(decay=0.5)
    assert sum(run(neuron, [0.49] * 50)) == 0
    assert neuron.v is not None and neuron.v.item() == pytest.approx(0.49 / (1 - 0.5), abs=1e-6)


def test_leaky_neuron_follows_its_recurrence():
    generator = torch.Generator().manual_seed(3)
    currents = torch.rand(20, 7, generator=generator, dtype=torch.float64) * 2
    for mode in ("subtract", "zero"):
        neuron, v = LIF(threshold=0.8, decay=0.7, reset=mode), torch.zeros(7, dtype=torch.float64)
        for current in currents:
            v = 0.7 * v + current
            expected = (v >= 0.8).double()
            v = v - 0.8 * expected if mode == "subtract" else v * (1 - expected)
            assert torch.equal(neuron(current), expected)


def test_resets_differ_by_the_overshoot():
    subtract, zero = LIF(decay=1.0), LIF(decay=1.0, reset="zero")
    run(subtract, [1.75]), run(zero, [1.75])
    assert subtract.v is not None and subtract.v.item() == 0.75
    assert zero.v is not None and zero.v.item() == 0.0


def test_state_persists_between_calls_until_reset():
    net = nn.Sequential(LIF(decay=1.0))
    neuron = net[0]
    assert run(neuron, [0.5]) == [0]
    assert run(neuron, [0.5]) == [1]
    run(neuron, [0.5])
    reset(net)
    assert neuron.v is None
    assert run(neuron, [0.5]) == [0]
    neuron.reset()
    assert run(neuron, [0.5]) == [0]


def test_gradient_passes_through_time_by_the_decay():
    neuron = LIF(threshold=1.0, decay=0.5)
    first, second = torch.tensor([0.2], requires_grad=True), torch.tensor([0.3], requires_grad=True)
    neuron(first)
    neuron(second).backward()
    bump = 1 - (1.0 - (0.5 * 0.2 + 0.3))  # triangle at V - threshold = -0.6
    assert second.grad is not None and second.grad.item() == pytest.approx(bump)
    assert first.grad is not None and first.grad.item() == pytest.approx(0.5 * bump)


@pytest.mark.parametrize(
    "wrong", [{"threshold": 0.0}, {"decay": 0.0}, {"decay": 1.5}, {"reset": "hard"}, {"surrogate": "x"}]
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(InputError):
        LIF(**wrong)
