"""Networks that others trained with one or two bits: read as they are, and the same answer from every undisturbed machine, sample for sample."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from trained_networks import (
    CNV_W1A1,
    CNV_W2A2,
    LFC_W1A1,
    TFC_W1A1,
    bipolar_padded,
    cifar10,
    cnv,
    eight_bit,
    lfc,
    mnist,
    needs,
    pixels,
    tfc,
)

import truejoule as tj


@dataclass(frozen=True)
class Trained:
    """A network, its images, and what is known of it: right answers on the whole test set, bits, thresholds."""

    file: str
    build: Callable[[], nn.Module]
    images: Callable[..., tuple[Tensor, Tensor]]
    prepared: Callable[[Tensor], Tensor]
    right: int
    weights: tuple[int, str]
    first_input: tuple[int, bool]
    activations: tuple[str, int]

    def samples(self, count: int, first: int = 0) -> tuple[Tensor, Tensor]:
        x, y = self.images(first, count)
        return self.prepared(x), y


BINARY, TERNARY = (1, "binary"), (2, "signed")
NETWORKS = {
    "cnv-w1a1": Trained(CNV_W1A1, lambda: cnv(CNV_W1A1), cifar10, eight_bit, 7937, BINARY, (8, True), ("", 8)),
    "cnv-w2a2": Trained(
        CNV_W2A2, lambda: cnv(CNV_W2A2), cifar10, eight_bit, 8416, TERNARY, (8, True), ("quantised to 3 levels", 8)
    ),
    "lfc-w1a1": Trained(LFC_W1A1, lfc, mnist, bipolar_padded, 9834, BINARY, (1, True), ("", 3)),
    "tfc-w1a1": Trained(TFC_W1A1, tfc, mnist, pixels, 9296, BINARY, (1, True), ("", 4)),
}
SMALL = {"crossbar_size": 32, "row_order": "im2col"}
"""Crossbars that are solved quickly; the presets' own are behind ``slow``."""
ENCODINGS = ("twos_complement", "aware_offset", "full_offset", "differential")


def data_of(name: str) -> str:
    return "cifar10" if NETWORKS[name].images is cifar10 else "mnist"


every_network = pytest.mark.parametrize(
    "trained",
    [
        pytest.param(t, id=name, marks=needs(t.file, f"{data_of(name)}/test_x.npy.xz", f"{data_of(name)}/test_y.npy"))
        for name, t in NETWORKS.items()
    ],
)


@torch.no_grad()
def same(chip: tj.Accelerator, net: nn.Module, network: tj.Network, x: Tensor) -> None:
    """Every score of every sample, not only the class."""
    deployed = chip.deploy(network, [x])
    assert torch.equal(deployed(x), net(x))
    measured = deployed.measurement()
    assert max(measured.clipped.values()) == 0 and max(measured.overflow.values()) == 0


@every_network
def test_what_is_read(trained):
    net, (x, _) = trained.build(), trained.samples(4)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    workload = tj.observe(net, x)
    assert not workload.not_understood
    assert 2 * 4 * workload.macs == counter.get_total_flops()
    assert {(layer.weight_bits, layer.weight_levels) for layer in workload.multiplying} == {trained.weights}
    first, *hidden = workload.multiplying
    assert (first.input_bits, first.inputs_signed) == trained.first_input
    assert {(layer.input_bits, layer.inputs_signed) for layer in hidden} == {(trained.weights[0], True)}
    note, count = trained.activations
    assert [layer.note for layer in workload.layers if layer.op == "sign"] == [note] * count


@every_network
def test_the_same_on_every_undisturbed_machine(trained):
    net, (x, _) = trained.build(), trained.samples(16)
    network = tj.read(net, x[:2])
    with torch.no_grad():
        assert torch.equal(network.run(x), net(x))
    sata = tj.accelerator("sata")
    assert sata.suited(network.workload).name == sata.ann_twin(8).name
    same(sata.ann_twin(8), net, network, x)
    same(sata.undisturbed(), net, network, x)
    same(tj.accelerator("spikeflow", **SMALL).undisturbed(), net, network, x[:2])


@pytest.mark.slow
@every_network
def test_accuracy_on_the_whole_test_set(trained):
    """All 10,000 images in their order: as published, as read, and on the digital array."""
    net, right = trained.build(), {"alone": 0, "array": 0}
    network = tj.read(net, trained.samples(2)[0])
    deployed = tj.accelerator("sata").ann_twin(8).deploy(network, [trained.samples(64)[0]])
    for first in range(0, 10_000, 100):
        x, y = trained.samples(100, first)
        with torch.no_grad():
            alone, array = net(x), deployed(x)
        assert torch.equal(alone, array)
        right["alone"] += int((alone.argmax(1) == y).sum())
        right["array"] += int((array.argmax(1) == y).sum())
    assert right == {"alone": trained.right, "array": trained.right}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
@every_network
def test_every_encoding_on_crossbars_of_the_preset(trained, encoding):
    net, (x, _) = trained.build(), trained.samples(32)
    same(tj.accelerator("spikeflow", encoding=encoding).undisturbed(), net, tj.read(net, x[:2]), x)
