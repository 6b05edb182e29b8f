"""A CNN that the SNN toolbox converted to integrate-and-fire neurons: real-valued weights, its own starting potential, the image as a constant current."""

import pytest
import torch
from quantised import quantised
from torch.utils.flop_counter import FlopCounterMode
from trained_networks import CONVERTED, IF, cifar10, converted, needs, pixels

import truejoule as tj

pytestmark = needs(CONVERTED, "cifar10/test_x.npy.xz", "cifar10/test_y.npy")
KNOWN = {
    "conv1": (1 / 255, 0, 255),
    "conv2": (1.0, 0, 1),
    "conv3": (0.25, 0, 4),
    "conv4": (1.0, 0, 1),
    "fc1": (0.25, 0, 4),
    "fc2": (1.0, 0, 1),
}
"""Pixels, spikes, and spikes averaged over 2x2: step, least and most."""
RIGHT_AT_64, RIGHT_AT_16_IN_8_BITS = 846, 799
"""Of the first 1,000 images; 798 at T = 16 with real-valued weights."""


@pytest.fixture(scope="module")
def images():
    return pixels(cifar10(0, 8)[0])


@pytest.fixture(scope="module")
def network(images):
    return tj.read(converted(4), images[:2])


def test_what_is_read(network, images):
    workload = network.workload
    assert not workload.not_understood and workload.time_steps == 4 and workload.spiking
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.module(images)
    assert 2 * 8 * workload.macs == counter.get_total_flops()
    assert workload["conv1"].standing
    assert {layer.name: layer.input_bits for layer in workload.multiplying} == {
        **{"conv1": 8, "conv2": 1, "conv3": 3},
        **{"conv4": 1, "fc1": 3, "fc2": 1},
    }
    neurons = [layer.neuron for layer in workload.layers if layer.op == "neuron"]
    assert len(neurons) == 5 and len(set(neurons)) == 1
    only = neurons[0]
    assert (only.threshold, only.decay, only.reset, only.start, only.fires_at_equality) == (
        1.0,
        1.0,
        "subtract",
        0.5,
        True,
    )


def test_spikes_are_those_of_the_module(network, images):
    counts = {name: 0.0 for name, m in network.module.named_modules() if isinstance(m, IF)}

    def count(name):
        def hook(module, args, output):
            counts[name] += float(output.sum())

        return hook

    handles = [network.module.get_submodule(name).register_forward_hook(count(name)) for name in counts]
    with torch.no_grad():
        answer = network.module(images)
    for handle in handles:
        handle.remove()
    activity = network.measure([images[:3], images[3:]])
    assert {name: sum(activity.layers[name].nonzero_outputs) for name in counts} == counts
    assert torch.equal(network.run(images), answer)


@pytest.mark.parametrize("machine", ["sata", "spikeflow"])
def test_undisturbed_machines_equal_the_quantised_network(network, images, machine):
    x = images if machine == "sata" else images[:2]
    small = {"crossbar_size": 32} if machine == "spikeflow" else {}
    chip = tj.accelerator(machine, weight_bits=8, **small).suited(network.workload).undisturbed()
    with torch.no_grad():
        assert torch.equal(chip.deploy(network, [x])(x), quantised(network.module, x, 8, 8, KNOWN)(x))


@pytest.mark.slow
def test_accuracy_of_the_first_thousand():
    """As published at T = 64, run as truejoule read it; and at T = 16 in 8 bits on the array, where every score is that of the integer network."""
    images, classes = cifar10(0, 1000)
    network = tj.read(converted(64), pixels(images[:2]))
    parts = list(zip(pixels(images).split(50), classes.split(50), strict=True))
    assert sum(int((network.run(x).argmax(1) == y).sum()) for x, y in parts) == RIGHT_AT_64

    network = tj.read(converted(16), pixels(images[:2]))
    deployed = tj.accelerator("sata", weight_bits=8).undisturbed().deploy(network, [pixels(images[:8])])
    reference, right = quantised(network.module, pixels(images[:8]), 8, 8, KNOWN), 0
    for x, y in parts:
        with torch.no_grad():
            answer = deployed(x)
            assert torch.equal(answer, reference(x))
        right += int((answer.argmax(1) == y).sum())
    assert right == RIGHT_AT_16_IN_8_BITS
