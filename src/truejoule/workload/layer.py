"""One operation of a network with its loop bounds and operand precisions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from truejoule.errors import InputError
from truejoule.workload.neuron import Neuron

Op = Literal["conv", "linear", "norm", "neuron", "relu", "sign", "max_pool", "avg_pool", "add", "host"]
OPS: tuple[str, ...] = Op.__args__  # type: ignore[attr-defined]
Levels = Literal["signed", "binary", "mid_rise", "float"]
REAL = 32
"""Width of values that lie on no integer grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One operation, executed ``steps`` times per inference.

    Shapes are those of one sample in one time step, without batch and time: ``(C, H, W)`` for maps, ``(features,)`` for vectors.

    Attributes
    ----------
    name : module path in the user's network, unique in a workload.
    op : ``conv`` and ``linear`` multiply; ``norm`` is a per-channel scale and offset; ``neuron`` spikes; ``relu`` and ``sign`` are stateless
        activations; ``max_pool``, ``avg_pool``, ``add`` (residual) are digital helpers; ``host`` is what no accelerator runs.
    steps : executions per inference; a layer outside the time loop has 1.
    kernel, stride, padding, dilation : (vertical, horizontal); 1-D and linear layers use 1 for the unused direction.
    weight_bits, input_bits : operand precisions as found in the values; 1 for spikes and binary operands.
    weight_levels : what a weight can be: ``"signed"`` integers, ``"binary"`` (±1 times a scale), ``"mid_rise"`` (odd multiples of a step, up to
        ``2**weight_bits - 1``) or ``"float"`` (not quantised).
    inputs_signed : whether inputs can be negative.
    inputs_full_range : whether the lowest two's complement code occurs, for example -128 in 8 bits.
    standing : whether its inputs are the same in every time step (a directly coded image), so that it could be computed once.
    neuron : the spiking semantics, for op ``neuron``.
    state_of : the neuron layer whose state this one goes on with within a time step (LIF sharing); empty for a state of its own.
    bias : whether a bias is added after accumulation.
    """

    name: str
    op: Op
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    steps: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = False
    weight_bits: int = REAL
    weight_levels: Levels = "float"
    input_bits: int = REAL
    inputs_signed: bool = False
    inputs_full_range: bool = False
    standing: bool = False
    neuron: Neuron | None = None
    state_of: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.op not in OPS:
            raise InputError(f"unknown operation {self.op!r}", where=self.name, expected=", ".join(OPS))
        sizes = (
            *self.input_shape,
            *self.output_shape,
            self.steps,
            *self.kernel,
            *self.stride,
            *self.dilation,
            self.groups,
        )
        if not self.input_shape or not self.output_shape or min(sizes) < 1 or min(self.padding) < 0:
            raise InputError(
                "a layer with an empty or negative size",
                where=self.name,
                got=self.loops(),
                expected="every size at least 1",
            )
        if self.op == "neuron" and self.neuron is None:
            raise InputError("a neuron layer without its semantics", where=self.name, expected="neuron=Neuron(...)")

    @property
    def in_channels(self) -> int:
        return self.input_shape[0]

    @property
    def out_channels(self) -> int:
        return self.output_shape[0]

    @property
    def positions(self) -> int:
        """Output positions per channel: H·W of the output map, 1 for vectors."""
        return math.prod(self.output_shape[1:])

    @property
    def inputs(self) -> int:
        """Input elements of one sample in one time step."""
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """Output elements of one sample in one time step."""
        return math.prod(self.output_shape)

    @property
    def states(self) -> int:
        """Numbers that its neurons keep from one time step to the next; 0 for layers that are no neurons."""
        return self.outputs * self.neuron.states if self.neuron is not None else 0

    @property
    def own_states(self) -> int:
        """Those among ``states`` that need memory of their own."""
        return 0 if self.state_of else self.states

    @property
    def multiplies(self) -> bool:
        """Whether the layer holds weights and accumulates (conv or linear)."""
        return self.op in ("conv", "linear")

    @property
    def fan_in(self) -> int:
        """Products per output: C/groups · R · S."""
        return self.in_channels // self.groups * math.prod(self.kernel) if self.multiplies else 0

    @property
    def weights(self) -> int:
        """Number of weights: K · C/groups · R · S."""
        return self.out_channels * self.fan_in

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one sample in one time step, padded positions included (dense)."""
        return self.outputs * self.fan_in

    def loops(self) -> str:
        """``64→128@16×16 k3×3 s1`` for tables."""

        def size(shape: tuple[int, ...]) -> str:
            return "×".join(map(str, shape[1:])) or "1"

        text = f"{self.in_channels}→{self.out_channels}@{size(self.output_shape)}"
        if self.op == "conv" or self.op.endswith("pool"):
            text += f" k{self.kernel[0]}×{self.kernel[1]} s{self.stride[0]}" + (
                f" g{self.groups}" if self.groups > 1 else ""
            )
        return text


def two_complement_bits(lowest: int, highest: int) -> int:
    """Width of the integers from ``lowest`` to ``highest``: two's complement if some are negative, at least 1."""
    if lowest >= 0:
        return max(highest.bit_length(), 1)
    return max((-lowest - 1).bit_length(), highest.bit_length()) + 1
