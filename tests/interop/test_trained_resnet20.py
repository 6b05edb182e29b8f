"""A trained network with real-valued weights, ReLU and residual sums: ResNet-20 on CIFAR-10, 91.73 % on the test set."""

import pytest
import torch
from quantised import quantised
from torch.utils.flop_counter import FlopCounterMode
from trained_networks import RESNET20, cifar10, needs, normalised, resnet20

import truejoule as tj

pytestmark = needs(RESNET20, "cifar10/test_x.npy.xz", "cifar10/test_y.npy")
RIGHT, RIGHT_IN_8_BITS = 9173, 9178
"""Of the 10,000 test images in their order; weights and inputs in 8 bits, ranges of inputs from the first 64 images."""


@pytest.fixture(scope="module")
def net():
    return resnet20()


@pytest.fixture(scope="module")
def data():
    images, classes = cifar10(0, 48)
    return [(normalised(images[i : i + 16]), classes[i : i + 16]) for i in range(0, 48, 16)]


@pytest.fixture(scope="module")
def network(net, data):
    return tj.read(net, data[0][0][:2])


def test_what_is_read(net, network, data):
    workload = network.workload
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(data[0][0])
    assert workload.macs == 40_551_040 == counter.get_total_flops() // 32 and len(workload.multiplying) == 20
    assert sum(layer.op == "add" for layer in workload.layers) == 9 and not workload.not_understood
    assert {layer.weight_levels for layer in workload.multiplying} == {"float"}
    assert workload.sources("layer1.0.add") == ("layer1.0.bn2", "relu")


@pytest.mark.parametrize("machine", ["sata", "spikeflow"])
def test_undisturbed_machines_equal_the_quantised_network(net, network, data, machine):
    x = data[0][0][:4]
    small = {"crossbar_size": 32} if machine == "spikeflow" else {}
    chip = tj.accelerator(machine, weight_bits=8, **small).suited(network.workload).undisturbed()
    deployed = chip.deploy(network, [x])
    with torch.no_grad():
        assert torch.equal(deployed(x), quantised(net, x, 8, 8)(x))


def test_eight_bits_answer_as_the_float_network(net, data):
    e = tj.evaluate(net, tj.accelerator("sata", weight_bits=8).ann_twin(8), data[:1])
    assert e.ideal_accuracy.value > 0.85 and e.chips[0].agreement >= 15 / 16
    assert "real-valued weights" in " ".join(e.warnings)


def test_real_arrays_need_more_than_four_bits_of_conversion(network, data):
    def quality(bits):
        chip = tj.accelerator("spikeflow", weight_bits=8, crossbar_size=32, encoding="differential", adc_bits=bits)
        deployed = chip.deploy(network, [data[0][0][:1]])
        deployed(data[0][0][:1])
        return min(deployed.measurement().snr_db.values())

    assert quality(4) < quality(8) - 12


@pytest.mark.slow
def test_accuracy_on_the_whole_test_set(net, network):
    """As published; and in 8 bits, where the array and the quantised network give every score alike."""
    calibration = normalised(cifar10(0, 64)[0])
    reference = quantised(net, calibration, 8, 8)
    deployed = tj.accelerator("sata", weight_bits=8).ann_twin(8).deploy(network, [calibration])
    alone = quantised_right = 0
    for first in range(0, 10_000, 100):
        images, classes = cifar10(first, 100)
        x = normalised(images)
        with torch.no_grad():
            answer = deployed(x)
            assert torch.equal(answer, reference(x))
            alone += int((net(x).argmax(1) == classes).sum())
        quantised_right += int((answer.argmax(1) == classes).sum())
    assert (alone, quantised_right) == (RIGHT, RIGHT_IN_8_BITS)


@pytest.mark.slow
def test_on_crossbars_of_the_preset(net, network):
    x = normalised(cifar10(0, 32)[0])
    for encoding in ("twos_complement", "aware_offset", "full_offset", "differential"):
        chip = tj.accelerator("spikeflow", weight_bits=8, encoding=encoding).undisturbed()
        with torch.no_grad():
            assert torch.equal(chip.deploy(network, [x])(x), quantised(net, x, 8, 8)(x))
