"""Pools that torch runs without a batch axis, on (N, F) or (N, H, W): the samples are its channels, and one sample has one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import truejoule as tj
from truejoule.network import drift, read


class Pooled(nn.Module):
    """linear → pool of (N, F) → ReLU → linear."""

    def __init__(self, pool, width):
        super().__init__()
        self.fc1, self.fc2, self.pool = nn.Linear(4, 10), nn.Linear(width, 2), pool
        with torch.no_grad():
            self.fc1.weight.zero_()
            self.fc1.weight[:4] = torch.eye(4)  # features 0 to 3 are the input, 4 to 9 are zero
            self.fc1.bias.zero_()

    def forward(self, x):
        return self.fc2(torch.relu(self.pool(self.fc1(x))))


X = torch.tensor([[1.0, 0, 0, 0], [0, 0, 2, 0], [0, 1, 0, 3]])


@pytest.mark.parametrize(
    ("pool", "width", "kernel", "active"),
    [  # windows with any input that is not zero, counted by hand over the three samples
        (lambda y: F.max_pool1d(y, 2), 5, (1, 2), 1 + 1 + 2),
        (lambda y: F.max_pool1d(y, 3, stride=1), 8, (1, 3), 1 + 3 + 4),  # feature 0; 2; 1 and 3
        (lambda y: F.max_pool1d(y, 3, stride=2, padding=1), 5, (1, 3), 1 + 1 + 3),
        (lambda y: F.avg_pool1d(y, 5), 2, (1, 5), 1 + 1 + 1),
        (lambda y: F.adaptive_max_pool1d(y, 5), 5, (1, 2), 1 + 1 + 2),
    ],
)
@pytest.mark.parametrize("samples", [3, 1])
def test_windows_slide_over_the_features(pool, width, kernel, active, samples):
    network = read(Pooled(pool, width), X[:samples])
    drift(network)
    layer = next(x for x in network.workload.layers if x.op.endswith("pool"))
    assert (layer.input_shape, layer.output_shape, layer.kernel) == ((1, 1, 10), (1, 1, width), kernel)
    assert network.workload.macs == 4 * 10 + width * 2
    activity = network.measure(X)
    assert activity.layers[layer.name].active_patches == (active,)
    assert activity.layers[layer.name].samples == 3
    workload = network.workload.with_activity(activity)
    for machine in ("sata", "spikeflow"):
        chip = tj.accelerator(machine)
        assert chip.cost(chip.map(workload), activity).energy_j > 0


class Planes(nn.Module):
    """(N, 16) → (N, 4, 4) → pool → linear."""

    def __init__(self, pool, width):
        super().__init__()
        self.fc1, self.fc2, self.pool = nn.Linear(4, 16), nn.Linear(width, 2), pool

    def forward(self, x):
        return self.fc2(self.pool(torch.relu(self.fc1(x)).unflatten(1, (4, 4))).flatten(1))


@pytest.mark.parametrize(
    ("pool", "shapes"),
    [
        (lambda y: F.max_pool2d(y, 2), ((1, 4, 4), (1, 2, 2))),  # all axes of a sample
        (lambda y: F.max_pool1d(y, 2), ((4, 1, 4), (4, 1, 2))),  # four channels of a sequence
        (lambda y: y.mean(2), ((4, 1, 4), (4, 1, 1))),
        (lambda y: y.unsqueeze(1).mean((2, 3)), ((1, 4, 4), (1, 1, 1))),
        (lambda y: y.unsqueeze(1).mean(3), ((1, 4, 4), (1, 4, 1))),  # rows keep their own means
    ],
)
def test_shapes_of_other_pools(pool, shapes):
    width = shapes[1][0] * shapes[1][1] * shapes[1][2]
    network = read(Planes(pool, width), torch.rand(3, 4))
    drift(network)
    layer = next(x for x in network.workload.layers if x.op.endswith("pool"))
    assert (layer.input_shape, layer.output_shape) == shapes
    measured = network.measure(torch.rand(5, 4)).layers[layer.name]
    assert 0 < measured.active_patches[0] <= 5 * layer.positions
