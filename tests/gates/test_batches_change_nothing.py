"""The second gate: how data are cut into batches, in which order they come and which buffers carry them changes no bit and no count."""

from dataclasses import replace

import pytest
import torch
from integer_network import Case, Fire, GateNet, inputs
from torch import nn

import truejoule as tj
from small_networks import ReluNet, SpikingNet, images
from truejoule.accelerators import preset

NOISY = {"read_noise": 0.05, "programming_variation": 0.1, "adc_bits": 5}
"""Whatever disturbs a machine that has it."""


def disturbed(name: str, **also):
    """A preset with all its disturbances, as far as it has them."""
    known = {p.name for p in tj.accelerator(name).parameters}
    return tj.accelerator(name, **{k: v for k, v in (NOISY | also).items() if k in known})


def measured(deployed) -> dict:
    """Everything that a run measured, as plain numbers."""
    m = deployed.measurement()
    return {
        "work": {layer: dict(of) for layer, of in m.work.items()},
        "clipped": dict(m.clipped),
        "overflow": dict(m.overflow),
        "rounded": dict(m.rounded),
        "snr": dict(m.snr_db),
        "activity": m.activity.layers,
    }


def close(one, other, where=""):
    """Counts and shares equal; energies are sums of floats, whose order is that of the batches."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            close(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, (tuple, list, float)):
        assert one == pytest.approx(other, rel=1e-12, abs=0), where
    else:
        assert one == other, where


@pytest.mark.parametrize("name", preset.names())
@pytest.mark.parametrize("make", [SpikingNet, ReluNet])
def test_batches_of_any_size(name, make):
    x = images(10)
    network = tj.read(make(), x[:4])
    machine = disturbed(name).suited(network.workload)
    results = []
    for calibration, batches in (([x], [10]), ([x[:3], x[3:]], [3, 7]), ([x[5:], x[:5]], [1] * 10)):
        deployed = machine.deploy(network, calibration, seed=2)
        results.append((torch.cat([deployed(part) for part in x.split(batches)]), measured(deployed)))
    for answers, seen in results[1:]:
        assert torch.equal(answers, results[0][0])
        close(seen, results[0][1])


@pytest.mark.parametrize("name", preset.names())
def test_linear_layers_over_positions_in_batches(name):
    net = GateNet(Case("signed 4", "per layer", "image", "linear over positions", "relu", torch.float32))
    x = inputs("image", (6, *net.shape), 3, torch.float32)
    network = tj.read(net, x[:2], time_steps=1)
    deployed = disturbed(name).suited(network.workload).deploy(network, [x])
    whole = deployed(x)
    deployed.restart()
    assert torch.equal(torch.cat([deployed(x[:1]), deployed(x[1:4]), deployed(x[4:])]), whole)


class OneBuffer(nn.Module):
    """A time loop that writes every frame into the same tensor, as event pipelines do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.spike, self.out = nn.Linear(8, 6), Fire(1.0), nn.Linear(6, 3)
        for layer in (self.fc, self.out):
            layer.weight.data = torch.round(layer.weight.data * 16) / 16
        self.eval()

    def forward(self, x):
        frame, total = torch.empty_like(x[:, 0]), torch.zeros(())
        for t in range(x.shape[1]):
            frame.copy_(x[:, t])
            total = total + self.out(self.spike(self.fc(frame)))
        return total


@pytest.mark.parametrize("name", preset.names())
@pytest.mark.parametrize("standing", ["once", "every step"])
def test_a_buffer_that_is_used_again(name, standing):
    """Also where the example stands still, so that results are kept, and only later samples move."""
    still = torch.rand(2, 1, 8).round().repeat(1, 4, 1)
    moving = (torch.rand(5, 4, 8, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    for example in (moving, still):
        network = tj.read(OneBuffer(), example, time_axis=1)
        machine = tj.accelerator(name, standing_input=standing).undisturbed()
        if standing == "once" and example is still:
            continue  # refused by name when the input moves: test_sata_numerics
        want = torch.stack([network.run(sample[None])[0] for sample in moving])
        assert torch.allclose(machine.deploy(network, [moving])(moving), want, atol=1e-5)


@pytest.mark.parametrize("name", preset.names())
def test_clipped_and_rounded_inputs_are_counted_on_every_sample(name):
    """Calibration saw counts up to 3; the last sample alone has larger ones, and halves."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    net[1].weight.data = torch.round(net[1].weight.data * 16) / 16
    x = torch.randint(0, 4, (6, 1, 4, 4), generator=torch.Generator().manual_seed(0)).float()
    x[0, 0, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0])
    network = tj.read(net, x)
    deployed = tj.accelerator(name).suited(network.workload).deploy(network, [x])
    assert network.workload["1"].input_bits == 2
    late = x.clone()
    late[5, 0, 0, :3] = torch.tensor([9.0, 4.0, 1.5])
    for part in late.split(2):
        deployed(part)
    m = deployed.measurement()
    assert m.overflow["1"] == pytest.approx(2 / 96) and m.rounded["1"] == pytest.approx(1 / 96)


def test_read_noise_of_bit_planes_is_independent():
    """Planes are read one after the other: deviations add as squares, sqrt(sum 4^k) and not sum 2^k, a factor of 1.73 for 8 bits."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(32, 1, bias=False))
    net[1].weight.data = torch.full((1, 32), 0.5)
    net[1].weight.data[0, 0] = 1.0  # codes 1 and 2
    x = torch.full((500, 32), 255.0)
    pixels = torch.arange(256.0).view(8, 32)
    machine = tj.accelerator("spikeflow").undisturbed()
    deployed = _with_noise(machine, 0.05).deploy(tj.read(net, pixels), [pixels])
    layer = deployed.layer("1")
    noise = (deployed(x) - net(x).detach()) / 0.5
    # One read: 32 cells of relative deviation 0.05 each.
    cells = torch.cat([torch.full((31,), 1.0), torch.tensor([2.0])]) + layer.floor_units
    one_read = 0.05 * float(cells.square().sum().sqrt())
    assert float(noise.std()) == pytest.approx(one_read * sum(4.0**k for k in range(8)) ** 0.5, rel=0.1)


def test_samples_have_their_own_noise():
    """Equal samples in one batch, and over the positions of a linear layer, are not read with the same noise."""
    net = nn.Linear(8, 3)
    net.weight.data = torch.round(net.weight.data * 16) / 16
    net = nn.Sequential(net)
    x = torch.ones(4, 5, 8)
    network = tj.read(net, x)
    answers = _with_noise(tj.accelerator("spikeflow").undisturbed(), 0.1).deploy(network, [x])(x)
    assert torch.unique(answers[:, :, 0]).numel() == 20


def _with_noise(machine, share):
    return replace(machine, structure=replace(machine.structure, read_noise=share))
