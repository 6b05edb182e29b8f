"""Networks of the literature by shape alone: workloads without weights or data.

Convolutions are followed by batch-norm (where the network has it) and an activation: the spiking neuron that was asked
for, else ReLU (sign in the binary networks). Layers outside 1x1 kernels are zero-padded to keep the size unless a
network says otherwise. Pools follow the activation. The first layer sees the image in every time step (direct
encoding).

Names with ``-sata`` are the workload files of the SATA_Sim release (folder icassp): "VGG9" there has conv4 at 8x8,
conv5 to conv7 at 4x4 and 1024→1024→512 linear layers, the true one is ``vgg9``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from truejoule.errors import InputError, did_you_mean
from truejoule.workload.layer import Layer, Op
from truejoule.workload.neuron import Neuron
from truejoule.workload.workload import Edge, Workload

P = "P"


@dataclass(slots=True)
class _Builder:
    """Appends layers to the end of a chain; ``at`` is the name, ``shape`` and ``bits`` the output of the last one."""

    steps: int
    neuron: Neuron | None
    weight_bits: int
    activation_bits: int
    activation: Op
    norm: bool
    shape: tuple[int, ...]
    bits: int
    at: str = "input"
    layers: list[Layer] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    still: set[str] = field(default_factory=set)

    @property
    def point(self) -> tuple[str, tuple[int, ...], int]:
        return self.at, self.shape, self.bits

    def go(self, point: tuple[str, tuple[int, ...], int]) -> None:
        self.at, self.shape, self.bits = point

    def put(self, name: str, op: Op, output: tuple[int, ...], bits_out: int, **more: Any) -> None:
        layer = Layer(
            name=name,
            op=op,
            input_shape=self.shape,
            output_shape=output,
            steps=self.steps,
            input_bits=self.bits,
            standing=self.at in self.still and op != "neuron",
            **more,
        )
        if layer.standing:
            self.still.add(name)
        self.layers.append(layer)
        self.edges.append(Edge(self.at, name))
        self.at, self.shape, self.bits = name, output, bits_out

    def multiply(self, name: str, op: Op, output: tuple[int, ...], fan_in: int, **more: Any) -> None:
        wide = min(self.weight_bits + self.bits + math.ceil(math.log2(max(fan_in, 2))), 32)
        signed = self.activation == "sign" and self.neuron is None and self.at != "input"
        levels = {1: "binary", 32: "float"}.get(self.weight_bits, "signed")
        self.put(
            name, op, output, wide, weight_bits=self.weight_bits, weight_levels=levels, inputs_signed=signed, **more
        )

    def conv(
        self, tag: str, channels: int, kernel: int = 3, stride: int = 1, padding: int | None = None, *, act: bool = True
    ) -> None:
        """Convolution, norm and (unless ``act`` is off) activation; ``tag`` is put behind conv, norm, act."""
        pad = kernel // 2 if padding is None else padding
        height, width = ((n + 2 * pad - kernel) // stride + 1 for n in self.shape[1:])
        square = {"kernel": (kernel, kernel), "stride": (stride, stride), "padding": (pad, pad)}
        fan_in = self.shape[0] * kernel**2
        self.multiply(f"conv{tag}", "conv", (channels, height, width), fan_in, bias=not self.norm, **square)
        if self.norm:
            self.normalise(f"norm{tag}")
        if act:
            self.act(f"act{tag}")

    def normalise(self, name: str) -> None:
        self.put(name, "norm", self.shape, self.bits, inputs_signed=True)

    def act(self, name: str) -> None:
        if self.neuron is not None:
            levels = self.neuron.spike_bits
            self.put(name, "neuron", self.shape, levels, neuron=self.neuron, inputs_signed=True)
        else:
            bits = 1 if self.activation == "sign" else self.activation_bits
            self.put(name, self.activation, self.shape, bits, inputs_signed=True)

    def pool(self, name: str, op: Op, size: int, stride: int | None = None, padding: int = 0, note: str = "") -> None:
        """Pooling; an average over spikes needs more than one bit, averages of ReLU networks are requantised."""
        step = stride or size
        output = (self.shape[0], *((n + 2 * padding - size) // step + 1 for n in self.shape[1:]))
        wider = op == "avg_pool" and self.neuron is not None
        bits = math.ceil(math.log2((2**self.bits - 1) * size**2 + 1)) if wider else self.bits
        self.put(
            name, op, output, bits, kernel=(size, size), stride=(step, step), padding=(padding, padding), note=note
        )

    def linear(self, tag: str, features: int, *, act: bool) -> None:
        self.shape = (math.prod(self.shape),)
        self.multiply(f"fc{tag}", "linear", (features,), self.shape[0], bias=True)
        if act:
            self.act(f"fc{tag}_act")

    def join(self, name: str, other: str) -> None:
        """Residual addition of the end of the chain and ``other``."""
        self.put(name, "add", self.shape, min(self.bits + 1, 32), inputs_signed=True)
        self.edges.append(Edge(other, name))


@dataclass(frozen=True, slots=True)
class _Net:
    """How one named network is built, and what it assumes unless told otherwise; ``classes`` 0 means fixed outputs."""

    build: Callable[[_Builder, int, Op], None]
    size: int
    classes: int
    norm: bool
    about: str
    activation: Op = "relu"
    weight_bits: int = 4


def _chain(
    convs: Sequence[int | str], hidden: Sequence[int], *, padding: int | None = None, spike_last: bool = False
) -> Callable[[_Builder, int, Op], None]:
    """VGG style: channel counts, pools and hidden linear layers; ``"256/2"`` is 256 channels at stride 2."""

    def build(b: _Builder, classes: int, pool: Op) -> None:
        index = 0
        for item in convs:
            if item == P:
                b.pool(f"pool{index}", pool, 2)
                continue
            index += 1
            channels, _, stride = str(item).partition("/")
            b.conv(str(index), int(channels), stride=int(stride or 1), padding=padding)
        outputs = [*hidden, *([classes] if classes else [])]
        for number, features in enumerate(outputs, start=1):
            b.linear(str(number), features, act=spike_last or number < len(outputs))

    return build


def _resnet(
    widths: Sequence[int],
    blocks: Sequence[int],
    *,
    stem: int,
    bottleneck: bool = False,
    option_a: bool = False,
    hidden: Sequence[int] = (),
) -> Callable[[_Builder, int, Op], None]:
    """Residual stages, addition before the activation; ``stem`` 7 is ImageNet's (7x7 stride 2, max-pool), 3 CIFAR's."""

    def build(b: _Builder, classes: int, pool: Op) -> None:
        b.conv("1", 64 if stem == 7 else widths[0], stem, 2 if stem == 7 else 1)
        if stem == 7:
            b.pool("pool1", "max_pool", 3, 2, 1)
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
            for block in range(1, count + 1):
                stride = 2 if block == 1 and stage > 1 else 1
                _block(b, f"{stage}.{block}", width, stride, bottleneck, option_a)
        b.pool("pool", "avg_pool", b.shape[1])
        outputs = [*hidden, classes]
        for number, features in enumerate(outputs, start=1):
            b.linear("" if len(outputs) == 1 else str(number), features, act=number < len(outputs))

    return build


def _block(b: _Builder, tag: str, width: int, stride: int, bottleneck: bool, option_a: bool) -> None:
    start = b.point
    channels = 4 * width if bottleneck else width
    if bottleneck:
        b.conv(f"{tag}.1", width, 1)
        b.conv(f"{tag}.2", width, 3, stride)
        b.conv(f"{tag}.3", channels, 1, act=False)
    else:
        b.conv(f"{tag}.1", width, 3, stride)
        b.conv(f"{tag}.2", width, 3, act=False)
    end, other = b.point, start[0]
    if start[1] != end[1]:
        b.go(start)
        if option_a:
            b.pool(
                f"shortcut{tag}", "avg_pool", 1, stride, note="option A: every second pixel, missing channels are zero"
            )
        else:
            b.conv(f"{tag}.shortcut", channels, 1, stride, act=False)
        other = b.at
        b.go(end)
    b.join(f"add{tag}", other)
    b.act(f"act{tag}")


_VGG11 = (64, P, 128, P, 256, 256, P, 512, 512, P, 512, 512, P)
_VGG16 = (64, 64, P, 128, 128, P, 256, 256, 256, P, 512, 512, 512, P, 512, 512, 512, P)
_CHAIN19 = (*[128] * 7, "256/2", *[256] * 5, "512/2", *[512] * 3, P)
_VGG9_SATA = (64, 64, P, 128, P, 128, P, 256, 256, 256, P)
_HE = "He et al., CVPR 2016"
_CHAIN5 = (128, 256, P, 512, P, 1024, P, 512)
_CNV = (64, 64, P, 128, 128, P, 256, 256)
_SIMONYAN = "Simonyan and Zisserman, ICLR 2015"
_FOUR = (64, 128, 256, 512)
_NETS: dict[str, _Net] = {
    "vgg5": _Net(_chain((64, P, 128, 128, P), (1024,)), 32, 10, False, "SATA_Sim training model"),
    "vgg9": _Net(_chain((64, 64, P, 128, 128, P, 256, 256, 256, P), (1024,)), 32, 10, False, "SpikeSim NICE"),
    "vgg9-sata": _Net(_chain(_VGG9_SATA, (1024, 512), spike_last=True), 32, 0, False, "SATA_Sim sbp, bntt"),
    "wide5-sata": _Net(_chain(_CHAIN5, (1024, 512), spike_last=True), 32, 0, False, "SATA_Sim direct, tssl"),
    "resnet19-sata": _Net(_chain(_CHAIN19, (256,), spike_last=True), 32, 0, False, "SATA_Sim lth, tdbn"),
    "vgg11-cifar": _Net(_chain(_VGG11, ()), 32, 10, True, f"{_SIMONYAN}, one linear layer"),
    "vgg11-imagenet": _Net(_chain(_VGG11, (4096, 4096)), 224, 1000, False, _SIMONYAN),
    "vgg16-cifar": _Net(_chain(_VGG16, ()), 32, 10, True, f"{_SIMONYAN}, 13 convolutions and one linear layer"),
    "vgg16-tinyimagenet": _Net(_chain(_VGG16, ()), 64, 200, True, f"{_SIMONYAN}, 13 convolutions and one linear layer"),
    "vgg16-imagenet": _Net(_chain(_VGG16, (4096, 4096)), 224, 1000, False, _SIMONYAN),
    "resnet18-imagenet": _Net(_resnet(_FOUR, (2, 2, 2, 2), stem=7), 224, 1000, True, _HE),
    "resnet34-imagenet": _Net(_resnet(_FOUR, (3, 4, 6, 3), stem=7), 224, 1000, True, _HE),
    "resnet50-imagenet": _Net(
        _resnet(_FOUR, (3, 4, 6, 3), stem=7, bottleneck=True), 224, 1000, True, f"{_HE}, stride in 3x3"
    ),
    "resnet18-cifar": _Net(_resnet(_FOUR, (2, 2, 2, 2), stem=3), 32, 10, True, f"{_HE}, 3x3 stem"),
    "resnet34-cifar": _Net(_resnet(_FOUR, (3, 4, 6, 3), stem=3), 32, 10, True, f"{_HE}, 3x3 stem"),
    "resnet50-cifar": _Net(_resnet(_FOUR, (3, 4, 6, 3), stem=3, bottleneck=True), 32, 10, True, f"{_HE}, 3x3 stem"),
    "resnet19": _Net(
        _resnet((128, 256, 512), (3, 3, 2), stem=3, hidden=(256,)), 32, 10, True, "Zheng et al., AAAI 2021"
    ),
    **{
        f"resnet{6 * n + 2}": _Net(
            _resnet((16, 32, 64), (n, n, n), stem=3, option_a=True), 32, 10, True, f"{_HE}, option A"
        )
        for n in (3, 5, 9)
    },
    "cnv": _Net(_chain(_CNV, (512, 512), padding=0), 32, 10, True, "Umuroglu et al., FPGA 2017", "sign", 1),
}


def names() -> tuple[str, ...]:
    """Names that ``network`` knows."""
    return tuple(_NETS)


def describe(name: str) -> str:
    """Where the shapes of a named network come from."""
    return _find(name).about


def network(
    name: str,
    *,
    time_steps: int = 1,
    neuron: Neuron | None = None,
    weight_bits: int | None = None,
    input_bits: int = 8,
    activation_bits: int | None = None,
    classes: int | None = None,
    input_size: int | None = None,
    channels: int = 3,
    norm: bool | None = None,
    pool: Op = "max_pool",
) -> Workload:
    """A network by name, without activity (see ``profiles.with_profile``).

    Parameters
    ----------
    time_steps : T; every layer runs T times.
    neuron : semantics of the spiking neurons; ``None`` gives the ReLU (or sign) network. An image of more than one bit is shown directly, the
      same in every time step.
    weight_bits : 4 unless the network says otherwise (1 in ``cnv``); 1 is binary, 32 is not quantised.
    input_bits : of the image.
    activation_bits : after ReLU; ``input_bits`` if not given. Spikes have 1 bit, averages of spikes more.
    channels : of the image; 2 for event cameras.
    classes, input_size, norm : outputs, side of the square image, batch-norm; ``None`` takes what the network was
      published with.
    pool : ``"max_pool"`` or ``"avg_pool"`` in the VGG-like networks. NICE trains with averages, whose inputs to the
      next layer have 3 bits.

    Raises
    ------
    InputError : for an unknown name, an image too small for the network, time steps without neurons, or classes where
      outputs are fixed.
    """
    net = _find(name)
    if time_steps < 1 or (time_steps > 1 and neuron is None):
        raise InputError(
            "time steps without spiking neurons",
            where=name,
            got=time_steps,
            expected="1, or neuron=Neuron(...)",
            fix="pass neuron=Neuron()",
        )
    if pool not in ("max_pool", "avg_pool"):
        raise InputError(f"unknown pooling {pool!r}", where=name, fix=did_you_mean(pool, ("max_pool", "avg_pool")))
    if classes is not None and not net.classes:
        raise InputError(
            "the outputs of this network are fixed",
            where=name,
            got=f"classes={classes}",
            expected="no classes",
            fix="leave classes out",
        )
    size = input_size or net.size
    builder = _Builder(
        steps=time_steps,
        neuron=neuron,
        weight_bits=weight_bits or net.weight_bits,
        activation_bits=activation_bits or input_bits,
        activation=net.activation,
        norm=net.norm if norm is None else norm,
        shape=(channels, size, size),
        bits=input_bits,
        still={"input"} if neuron is not None and input_bits > 1 else set(),
    )
    try:
        net.build(builder, classes or net.classes, pool)
    except InputError as error:
        if "empty or negative size" not in error.what:
            raise
        raise InputError(
            "an image too small for this network",
            where=name,
            got=f"{size}x{size}",
            expected=f"{net.size}x{net.size} or so",
            fix="raise input_size",
        ) from None
    return Workload(name, tuple(builder.layers), tuple(builder.edges), time_steps)


def _find(name: str) -> _Net:
    if name not in _NETS:
        raise InputError(f"no network called {name!r}", where="shapes.network", fix=did_you_mean(name, _NETS))
    return _NETS[name]
