"""A real-valued image keeps its width on a narrow ANN twin; other real-valued inputs get that of the twin."""

import pytest
import torch
from torch import nn

import truejoule as tj
from truejoule.accelerators.against_ann import ann_workload
from truejoule.accelerators.over_time import Observed, cost_of
from truejoule.accelerators.sata.dataflow import input_bits as sata_bits
from truejoule.accelerators.spikeflow.mapping import input_bits as spikeflow_bits
from truejoule.workload import Neuron, shapes
from truejoule.workload.layer import two_complement_bits

INPUT_BITS = {"sata": sata_bits, "spikeflow": spikeflow_bits}
MACHINES = tuple(INPUT_BITS)


def relu_net():
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    x = torch.randn(4, 1, 6, 6)
    return tj.read(net, x), x


@pytest.mark.parametrize("name", MACHINES)
def test_the_twin_sees_the_image_that_the_machine_sees(name):
    network, x = relu_net()
    machine = tj.accelerator(name)
    assert network.workload["0"].input_bits > 8 and network.workload["0"].inputs_signed
    for chip, widths in ((machine, (8, 8, 8)), (machine.ann_twin(4), (8, 4, 4))):
        mapped = chip.map(network.workload).workload.multiplying
        assert tuple(INPUT_BITS[name](layer, chip.structure) for layer in mapped) == widths
        deployed = chip.deploy(network, [x])
        grids = [deployed.layer(layer.name).grid for layer in mapped]
        assert tuple(two_complement_bits(grid.low, grid.high) for grid in grids) == widths


@pytest.mark.parametrize("name", MACHINES)
def test_an_integer_image_and_a_real_one_cost_the_twin_the_same(name):
    twin = tj.accelerator(name).ann_twin(4)
    found = []
    for bits in (8, 32):
        workload = shapes.network("vgg5", time_steps=2, neuron=Neuron(), input_bits=bits)
        found.append(cost_of(twin, Observed(ann_workload(workload, 4))))
    assert found[0].latency_s == found[1].latency_s


@pytest.mark.parametrize("name", MACHINES)
def test_widths_of_an_image(name):
    with pytest.raises(tj.InputError, match="impossible width"):
        tj.accelerator(name, image_bits=9)
    assert tj.accelerator(name).structure.image_bits is None
    assert tj.accelerator(name, input_bits=4).ann_twin(8).structure.image_bits == 4
    assert tj.accelerator(name, image_bits=6).ann_twin(4).structure.image_bits == 6


@pytest.mark.parametrize("name", MACHINES)
def test_rounded_inputs_are_told_once_per_width(name):
    network, _ = relu_net()
    machine = tj.accelerator(name)
    told = {
        bits: [w for w in machine.ann_twin(bits).map(network.workload).warnings if "inputs" in w] for bits in (8, 4)
    }
    assert told == {
        8: ["real-valued inputs are rounded to 8 bits: 0, 2, 5"],
        4: ["real-valued inputs are rounded to 8 bits: 0", "real-valued inputs are rounded to 4 bits: 2, 5"],
    }
