"""Widths of inputs follow from the network and from all calibration samples, never from the first batch."""

import pytest
import torch
from torch import nn

import truejoule as tj
from small_networks import Spike
from truejoule.errors import InputError


class Pooled(nn.Module):
    """Spikes averaged over 3 x 3, added to themselves of another branch, in front of layers with weights."""

    def __init__(self, height=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 3, padding=1)
        self.one, self.two, self.pool = Spike(), Spike(), nn.AvgPool2d(3)
        self.c, self.d = nn.Conv2d(2, 2, 1), nn.Linear(8, 3)
        self.height = height
        self.eval()

    def forward(self, x):
        total = torch.zeros(())
        for _ in range(2):
            one, two = self.one(self.a(x)), self.two(self.b(x))
            total = total + self.c((one + two) * self.height).mean() + self.d(self.pool(one).flatten(1))
        return total


@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize("height", [1.0, 0.7])
def test_pooled_and_added_spikes_have_the_bits_of_their_number(quiet, height):
    """Nine spikes averaged are 0 to 9 ninths, two added 0 to 2, however few of them the example gives."""
    x = torch.zeros(2, 1, 6, 6) if quiet else torch.rand(2, 1, 6, 6) * 9
    network = tj.read(Pooled(height), x)
    assert network.workload["d"].input_bits == 4
    assert network.codes["d"].step == pytest.approx(1 / 9)
    if height == 1.0 or not quiet:  # a silent layer behind a scaling that is no layer says nothing about its step
        assert network.workload["c"].input_bits == 2


def test_the_order_and_the_batches_of_the_samples_do_not_matter():
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    x = torch.randint(0, 3, (12, 1, 4, 4), generator=generator).float()
    x[7, 0, 0, 0] = 13.0
    network = tj.read(net, x[:2])
    assert network.workload["1"].input_bits == 2
    for batches in ([x], list(x.split(5)), list(x.flip(0).split(1))):
        settled = network.calibrated(batches)
        assert settled.workload["1"].input_bits == 4 and settled.codes == network.calibrated([x]).codes


@pytest.mark.parametrize(
    "low, high, bits, signed", [(0, 5, 4, False), (0, 5, 12, False), (-3, 2, 3, True), (-128, 127, 9, True)]
)
def test_a_stated_width_holds_more_than_was_seen(low, high, bits, signed):
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    x = torch.linspace(low, high, 16).round().view(1, 1, 4, 4).repeat(2, 1, 1, 1)
    network = tj.read(net, x).calibrated([x], input_bits=bits)
    layer = network.workload["1"]
    assert (layer.input_bits, layer.inputs_signed) == (bits, signed)
    for machine in (tj.accelerator("sata"), tj.accelerator("spikeflow")):
        machine = machine.undisturbed().suited(network.workload)
        largest = x.clone()
        largest[0, 0, 0, 0] = 2 ** (bits - signed) - 1
        deployed = machine.deploy(network, [x])
        deployed(largest)
        assert not deployed.measurement().overflow["1"]


def test_a_stated_width_must_hold_the_samples():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    x = torch.arange(16.0).view(1, 1, 4, 4)
    with pytest.raises(InputError, match="4 to 12 bits"):
        tj.read(net, x).calibrated([x], input_bits=3)
    real = torch.randn(4, 1, 4, 4)  # left to the machine, which rounds and says so
    assert tj.read(net, real).calibrated([real], input_bits=3).workload["1"].input_bits == 32


def test_few_real_values_are_no_grid():
    """Any two or three numbers look like multiples of something."""
    from truejoule.network.precision import input_code

    generator = torch.Generator().manual_seed(0)
    believed = sum(
        input_code(torch.rand(count, generator=generator) + 0.1).step is not None
        for count in (2, 3, 4)
        for _ in range(100)
    )
    assert believed < 15
    for values in ([0.0, 0.5, 0.25], [1.0, 2.0], [10 / 255, 200 / 255], [0.4, 0.6, 1.0]):
        assert input_code(torch.tensor(values)).step is not None, values


def test_two_values_a_thousand_steps_apart_are_no_evidence_of_a_grid():
    from truejoule.network.precision import input_code

    assert input_code(torch.tensor([1.0, 300.0])).step == 1.0
    assert input_code(torch.tensor([1.0, 1001.0])).step is None
    assert input_code(torch.tensor([1.0, 7.0, 1001.0])).step == 1.0
