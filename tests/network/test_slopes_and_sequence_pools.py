"""Leaky ReLUs are priced as scales; a 3-D pooling that leaves time alone is the 2-D one of every step."""

import pytest
import torch
from torch import nn

from truejoule.network import drift, observe, read


@pytest.mark.parametrize("slope", [nn.PReLU(), nn.PReLU(4), nn.LeakyReLU(), nn.LeakyReLU(0.2, inplace=True)])
def test_a_slope_is_a_scale_of_every_value(slope):
    net = nn.Sequential(nn.Conv2d(2, 4, 3), slope, nn.Conv2d(4, 3, 3))
    network = read(net, torch.randn(2, 2, 8, 8))
    drift(network)
    workload = network.workload
    assert not workload.not_understood
    assert [(x.name, x.op) for x in workload.layers] == [("0", "conv"), ("1", "norm"), ("2", "conv")]
    assert workload["1"].outputs == 4 * 36 and "slope" in workload["1"].note
    assert workload["2"].inputs_signed  # unlike behind a ReLU


class Sequence(nn.Module):
    """(T, N, C, H, W) through a convolution on T·N images, then pools; step by step where ``flat``."""

    def __init__(self, pool, flat):
        super().__init__()
        self.conv, self.pool, self.fc, self.flat = nn.Conv2d(2, 4, 3, padding=1), pool, nn.Linear(64, 3), flat

    def forward(self, x):
        y = self.conv(x.flatten(0, 1))
        y = self.pool(y) if self.flat else self.pool(y.unflatten(0, x.shape[:2])).flatten(0, 1)
        return self.fc(y.flatten(1)).unflatten(0, x.shape[:2])


@pytest.mark.parametrize(
    ("deep", "plane"),
    [
        (nn.AvgPool3d((1, 2, 2)), nn.AvgPool2d(2)),
        (nn.AvgPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)), nn.AvgPool2d(3, 2, 1)),
        (nn.MaxPool3d((1, 2, 2)), nn.MaxPool2d(2)),
        (nn.AdaptiveAvgPool3d((None, 4, 4)), nn.AdaptiveAvgPool2d((4, 4))),
    ],
)
def test_pooling_of_a_sequence(deep, plane):
    x = torch.rand(5, 3, 2, 8, 8)
    seen, right = (read(Sequence(pool, flat), x, time_axis=0) for pool, flat in ((deep, False), (plane, True)))
    drift(seen)
    assert not seen.workload.not_understood and seen.workload.layers == right.workload.layers
    assert [e.target for e in seen.workload.edges] == [e.target for e in right.workload.edges]


@pytest.mark.parametrize("pool", [nn.AvgPool3d(2), nn.MaxPool3d(2), nn.AdaptiveAvgPool3d((2, 2, 2))])
def test_pooling_over_channels_or_time_is_refused_by_name(pool):
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Unflatten(1, (1, 4)), pool, nn.Flatten(), nn.LazyLinear(3))
    net(torch.rand(2, 2, 8, 8))
    (item,) = observe(net, torch.rand(2, 2, 8, 8)).not_understood
    assert item.where == "2"
