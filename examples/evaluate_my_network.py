"""A network of your own on SpikeFlow: change the functions and run it, here or with the command line.

python examples/evaluate_my_network.py
truejoule evaluate examples/evaluate_my_network.py:net --data examples/evaluate_my_network.py:test
"""

import torch
from torch import nn

import truejoule as tj
from truejoule import zoo


def net() -> nn.Module:
    """Any torch module: snnTorch, SpikingJelly, Brevitas or plain torch. Here: the bundled one."""
    return zoo.load("fashion_snn")


def ann() -> nn.Module:
    """A trained ANN to hold against it, here of the same topology (``truejoule evaluate ... --on sata --ann FILE:ann``)."""
    return zoo.load("fashion_ann")


def test() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Anything that yields (inputs, labels)."""
    return list(zoo.loader(batch_size=50, n=200))


if __name__ == "__main__":
    for adc_bits in (4, 6, 8):
        chip = tj.accelerator("spikeflow", adc_bits=adc_bits)
        result = tj.evaluate(net(), chip, test(), calibration=zoo.calibration())
        print(f"{adc_bits} bits: {result.accuracy}, {1e6 * result.cost.energy_j:.1f} µJ")
    print(result.explain("energy", layer="layers.conv2"))
