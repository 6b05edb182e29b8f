"""The network without spikes and without time beside ``FashionSNN``: the same layers, ReLU instead of neurons.

Weights of 4 bits as there, activations of 8 bits or fewer, unsigned. ``README.md`` here has the recipe, the accuracy and what differs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from truejoule.training.quantised import QuantReLU


class FashionANN(nn.Module):
    """Shapes, batch-norm and pooling of ``FashionSNN``; one pass per image.

    All weight layers but the first see ``step * integer``, integers of ``activation_bits`` bits (max-pooling keeps them). The first sees
    8-bit pixels in [0, 1].

    Parameters
    ----------
    activation_bits : width of what a ReLU gives.
    conv, linear : constructors of the weight layers; training passes the quantised ones.
    """

    steps = 1

    def __init__(
        self,
        activation_bits: int = 8,
        conv: Callable[..., nn.Module] = nn.Conv2d,
        linear: Callable[..., nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            OrderedDict(
                conv1=conv(1, 32, 3, padding=1, bias=False),
                bn1=nn.BatchNorm2d(32),
                relu1=QuantReLU(activation_bits),
                pool1=nn.MaxPool2d(2),
                conv2=conv(32, 48, 3, padding=1, bias=False),
                bn2=nn.BatchNorm2d(48),
                relu2=QuantReLU(activation_bits),
                pool2=nn.MaxPool2d(2),
                conv3=conv(48, 64, 3, padding=1, bias=False),
                bn3=nn.BatchNorm2d(64),
                relu3=QuantReLU(activation_bits),
                pool3=nn.MaxPool2d(3, stride=2),
                flatten=nn.Flatten(),
                fc1=linear(576, 128, bias=False),
                bn4=nn.BatchNorm1d(128),
                relu4=QuantReLU(activation_bits),
                fc2=linear(128, 10),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 1, 28, 28) in [0, 1] to logits (N, 10)."""
        return self.layers(x)
