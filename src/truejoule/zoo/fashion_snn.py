"""The convolutional spiking network of the zoo: three convolutions and two linear layers, for 28 x 28 grey images.

The shipped checkpoint (4-bit weights, T = 4) is right on 91.87 % of the 10,000 Fashion-MNIST test images and on 92.9 %
of the 1,000 bundled ones; ``README.md`` here has the recipe, the seed, the wall time and the spike density per layer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from truejoule.training.neurons import LIF, reset

STEPS = 4


class FashionSNN(nn.Module):
    """Direct coding: the image is presented to the first convolution at each time step; the answer is the mean output.

    All layers but the first see binary spikes (max-pooling of spikes is an OR). The first sees 8-bit pixels in [0, 1].

    Parameters
    ----------
    steps : T, time steps per image.
    conv, linear : constructors of the weight layers; training passes the quantised ones.
    """

    def __init__(
        self,
        steps: int = STEPS,
        conv: Callable[..., nn.Module] = nn.Conv2d,
        linear: Callable[..., nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        self.steps = steps
        self.layers = nn.Sequential(
            OrderedDict(
                conv1=conv(1, 32, 3, padding=1, bias=False),
                bn1=nn.BatchNorm2d(32),
                lif1=LIF(),
                pool1=nn.MaxPool2d(2),
                conv2=conv(32, 48, 3, padding=1, bias=False),
                bn2=nn.BatchNorm2d(48),
                lif2=LIF(),
                pool2=nn.MaxPool2d(2),
                conv3=conv(48, 64, 3, padding=1, bias=False),
                bn3=nn.BatchNorm2d(64),
                lif3=LIF(),
                pool3=nn.MaxPool2d(3, stride=2),
                flatten=nn.Flatten(),
                fc1=linear(576, 128, bias=False),
                bn4=nn.BatchNorm1d(128),
                lif4=LIF(),
                fc2=linear(128, 10),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) in [0, 1] to logits (N, 10), the mean over the time steps; starts from rest."""
        return self.outputs(x).mean(0)

    def outputs(self, x: Tensor) -> Tensor:
        """Logits (T, N, 10) of each time step; starts from rest."""
        reset(self)
        outputs = torch.stack([self.layers(x) for _ in range(self.steps)])
        reset(self)
        return outputs
