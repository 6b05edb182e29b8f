"""SATA is digital: it computes what the quantised network computes, and says where its accumulator is too narrow."""

import pytest
import torch
from torch import nn

import truejoule as tj
from small_networks import ReluNet, Spike, SpikingNet, deployed_spikes, images, quantised, spikes_of
from truejoule import zoo

CHIP = dict(weight_bits=4)


@pytest.mark.parametrize("groups, stride", [(1, 1), (2, 1), (6, 1), (3, 2)])
@pytest.mark.parametrize("dataflow", ["tick_batch", "output_stationary"])
def test_equals_the_quantised_network_spike_for_spike(groups, stride, dataflow):
    net, x = SpikingNet(groups=groups, stride=stride), images(20)
    network = tj.read(net, x[:4])
    expected, spikes = spikes_of(None, network, x, quantised(network))
    deployed = tj.accelerator("sata", dataflow=dataflow, **CHIP).deploy(network, [x])
    got, on_chip = deployed_spikes(deployed, network, x)
    assert all(torch.equal(spikes[name], on_chip[name]) for name in spikes)
    assert sum(float(s.sum()) for s in spikes.values()) > 100
    assert torch.equal(got, expected)
    assert deployed.wire_loss() == {} and set(deployed.measurement().clipped.values()) == {0.0}


def test_counts_every_accumulate():
    """Measured accumulates against a loop over spikes, windows and channels; the ones of pixels for the first layer."""
    net, x = SpikingNet(groups=2), images(3)
    network = tj.read(net, x)
    chip = tj.accelerator("sata", **CHIP)
    layer = chip.deploy(network, [x]).layer("conv2")
    spikes = (torch.rand(2, 6, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    layer(spikes, None, 0, 0)
    by_hand = 0
    for _, _, h, w in spikes.nonzero().tolist():
        for dh in (-1, 0, 1):
            for dw in (-1, 0, 1):
                by_hand += 6 if 0 <= h - dh < 8 and 0 <= w - dw < 8 else 0
    assert layer.tally.work["accumulates"] == [by_hand]
    fc = chip.deploy(network, [x]).layer("fc")
    fc(torch.ones(1, 192), None, 0, 0)
    assert fc.tally.work["accumulates"] == [192 * 5]
    first = chip.deploy(network, [x]).layer("conv1")
    first(torch.full((1, 2, 8, 8), 3 / 255), None, 0, 0)
    inside = sum((3 if 0 < i < 7 else 2) * (3 if 0 < j < 7 else 2) for i in range(8) for j in range(8))
    assert first.tally.work["accumulates"] == [2 * 2 * inside * 6]  # two ones in binary 3, two channels


def test_measured_accumulates_are_charged():
    net, x = SpikingNet(), images(8)
    network = tj.read(net, x)
    chip = tj.accelerator("sata", **CHIP)
    deployed = chip.deploy(network, [x])
    deployed(x)
    measured = deployed.measurement()
    cost = chip.cost(chip.map(network.workload), measured.activity, measured.work)
    for name in ("conv1", "conv2", "fc"):
        (entry,) = (e for e in cost.ledger if (e.layer, e.component, e.action) == (name, "accumulate", "operation"))
        assert entry.counts == pytest.approx(measured.work[name]["accumulates"])
    # Densities predict the same up to where at the border the activity is.
    guess = chip.cost(chip.map(network.workload), measured.activity)
    assert guess.energy_j == pytest.approx(cost.energy_j, rel=0.01)


def test_a_narrow_accumulator_saturates_and_says_so():
    net, x = SpikingNet(), images(20)
    data = [(x, torch.zeros(20, dtype=torch.long))]
    result = tj.evaluate(net, tj.accelerator("sata", accumulator_bits=10, **CHIP), data)
    assert any("conv1" in w and "range" in w for w in result.warnings)
    errors = []
    network = tj.read(net, x[:4])
    for bits in (9, 12, 16):
        layer = tj.accelerator("sata", accumulator_bits=bits, **CHIP).deploy(network, [x]).layer("conv1")
        layer(x, None, 0, 0)
        errors.append(layer.tally.error)
    assert errors[0] > errors[1] > errors[2] == 0


def test_relu_networks_on_both_kinds_of_pe():
    """Real activations take 8 bits: the same integers bit by bit and through a multiplier."""
    net, x = ReluNet(), images(30)
    network = tj.read(net, x[:4])
    ideal = net(x).detach()
    sata = tj.accelerator("sata", accumulator_bits=24, adder_bits=24, time_window=2, **CHIP)
    spike, mac = (m.deploy(network, [x])(x) for m in (sata, sata.ann_twin(8)))
    assert torch.equal(spike, mac)
    assert float((spike - ideal).abs().max() / ideal.abs().max()) < 0.02


def test_the_bundled_network_spike_for_spike():
    network = tj.read(zoo.load("fashion_snn"), zoo.images(50)[0])
    deployed = tj.accelerator("sata").deploy(network, zoo.calibration())
    x, _ = next(iter(zoo.loader(batch_size=50)))
    expected, spikes = spikes_of(None, network, x, quantised(network))
    got, on_chip = deployed_spikes(deployed, network, x)
    assert all(torch.equal(spikes[name], on_chip[name]) for name in spikes) and torch.equal(expected, got)
    assert sum(float(s.sum()) for s in spikes.values()) > 1e5


class OneD(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(2, 4, 3, padding=1)
        self.fc = nn.Linear(32, 3)
        for layer in (self.conv, self.fc):
            step = layer.weight.data.abs().max() / 7
            layer.weight.data = torch.round(layer.weight.data / step) * step
        self.spike = Spike()
        self.eval()

    def forward(self, x):
        return sum(self.fc(self.spike(self.conv(x)).flatten(1)) for _ in range(2))


def test_one_dimensional_signals():
    net, x = OneD(), images(6)[:, :, 0]
    result = tj.evaluate(net, tj.accelerator("sata", **CHIP), [(x, torch.zeros(6, dtype=torch.long))])
    assert result.chips[0].agreement == 1.0 and result.cost.energy_j > 0
