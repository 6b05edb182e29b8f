"""The products of a training step as nests of loops, so that the array runs them by the formulas of inference.

With W, P, Kg as in ``dataflow``, Cg input channels per group, T steps::

    phase           window (reduction)                  positions             channels   steps   moving operand    other operand
    inference       W = Cg kh kw                        output positions P    Kg         T       inputs            weights
    backward        Kg taps                             input positions       Cg         T       16-bit gradients  weights
    weight update   P T                                 W                     Kg         1       stored inputs     16-bit gradients

``taps`` is the largest number of kernel elements that meet one input element, ``ceil(k gcd(stride, dilation) / stride)`` per axis: 3 at stride 1
and 2 at stride 2 for a kernel of 3. The zeros between the outputs of a strided layer are thus skipped, except that an input element that meets
fewer taps than others still takes their time. Input positions that no kernel element meets are left out.

Weight update on spikes is a spike-gated accumulate of gradients; inputs of several bits take the multiplier, all bits at once.
"""

from __future__ import annotations

import math

from truejoule.accelerators.sata.dataflow import Loops, input_bits, planes, weight_bits
from truejoule.accelerators.sata.design import Structure
from truejoule.workload import Layer

GRADIENT_BITS = 16
"""Width of gradients: the 16-bit words of SATA's training model (SATA_Sim, training_energy_cal)."""


def backward_loops(layer: Layer, s: Structure) -> Loops:
    """Gradient of the inputs: every input element gathers the gradients of the outputs that it went into."""
    return Loops(
        window=layer.out_channels // layer.groups * math.prod(_taps(layer, axis) for axis in (0, 1)),
        positions=math.prod(_reached(layer)),
        channels=layer.in_channels // layer.groups,
        groups=layer.groups,
        steps=layer.steps,
        planes=1,
        input_bits=GRADIENT_BITS,
        weight_bits=weight_bits(layer, s),
    )


def update_loops(layer: Layer, s: Structure) -> Loops:
    """Gradient of the weights: every weight gathers over output positions and time steps."""
    return Loops(
        window=layer.positions * layer.steps,
        positions=layer.fan_in,
        channels=layer.out_channels // layer.groups,
        groups=layer.groups,
        steps=1,
        planes=1 if multiplied(layer, s) else planes(layer, s),
        input_bits=input_bits(layer, s),
        weight_bits=GRADIENT_BITS,
    )


def multiplied(layer: Layer, s: Structure) -> bool:
    """Whether the weight update needs multipliers: always in a mac PE, for inputs of several bits in a spike PE."""
    return s.pe == "mac" or input_bits(layer, s) > 1


def _taps(layer: Layer, axis: int) -> int:
    stride, dilation = layer.stride[axis], layer.dilation[axis]
    return math.ceil(layer.kernel[axis] * math.gcd(stride, dilation) / stride)


def _reached(layer: Layer) -> list[int]:
    """Input coordinates per axis that go into any output."""
    sides = len(layer.input_shape) - 1
    counts = []
    for side in range(sides if layer.op == "conv" else 0):
        axis, size, out = 2 - sides + side, layer.input_shape[1 + side], layer.output_shape[1 + side]
        stride, padding, dilation = layer.stride[axis], layer.padding[axis], layer.dilation[axis]
        met = {o * stride - padding + k * dilation for o in range(out) for k in range(layer.kernel[axis])}
        counts.append(sum(0 <= at < size for at in met))
    return counts
