"""A network that others trained, weights and images unchanged: ResNet-20 on CIFAR-10 (akamaster/pytorch_resnet_cifar10, 91.73 % on the test set)."""

import lzma
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import truejoule as tj

DATA = Path(os.environ.get("TRUEJOULE_DATA", Path(__file__).parents[3] / "shared" / "data"))
WEIGHTS = DATA / "networks" / "resnet_cifar10" / "resnet20-12fca82f.npz"
pytestmark = pytest.mark.skipif(
    not WEIGHTS.is_file(), reason=f"the trained ResNet-20 is not at {WEIGHTS}; set TRUEJOULE_DATA"
)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.pad = (outputs - inputs) // 2

    def forward(self, x):
        short = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad)) if self.pad else x
        return functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))) + short)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        for k, (a, b, stride) in enumerate(widths, 1):
            setattr(self, f"layer{k}", nn.Sequential(Block(a, b, stride), Block(b, b, 1), Block(b, b, 1)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        h = self.layer3(self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x))))))
        return self.linear(functional.avg_pool2d(h, 8).flatten(1))


@pytest.fixture(scope="module")
def net():
    file = np.load(WEIGHTS, allow_pickle=False)
    net = ResNet20()
    net.load_state_dict({name.removeprefix("module."): torch.tensor(file[name]) for name in file.files})
    return net.eval()


@pytest.fixture(scope="module")
def data():
    x = np.load(lzma.open(DATA / "cifar10" / "test_x.npy.xz"))[:48]
    y = torch.tensor(np.load(DATA / "cifar10" / "test_y.npy")[:48]).long()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = (torch.tensor(x).permute(0, 3, 1, 2).float() / 255 - mean) / std
    return [(images[i : i + 16], y[i : i + 16]) for i in range(0, 48, 16)]


def test_what_is_read(net, data):
    workload = tj.observe(net, data[0][0])
    assert workload.macs == 40_551_040 and len(workload.multiplying) == 20
    assert sum(layer.op == "add" for layer in workload.layers) == 9 and not workload.not_understood


def test_eight_bits_on_perfect_arrays_answer_as_the_float_network(net, data):
    chip = tj.accelerator(
        "spikeflow", weight_bits=8, adc_bits=None, r_wl="0 ohm", r_bl="0 ohm", programming_variation=0.0
    )
    e = tj.evaluate(net, chip, data)
    assert e.ideal_accuracy.value > 0.85
    assert e.chips[0].agreement >= 46 / 48
    assert "real-valued weights" in " ".join(e.warnings)


def test_real_arrays_need_more_than_four_bits_of_conversion(net, data):
    def agreement(bits):
        chip = tj.accelerator("spikeflow", weight_bits=8, cell_bits=4, encoding="differential", adc_bits=bits)
        return tj.evaluate(net, chip, data[:1]).chips[0].agreement

    assert agreement(4) < agreement(8)
