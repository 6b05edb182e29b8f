"""Which torch functions have a meaning for hardware, and how their arguments read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from truejoule.network.operation import Operation, Parser, pair
from truejoule.network.pools import adaptive, mean, over_sequence, pool


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    raw: Tensor | None = None,
) -> Operation:
    kernel, dilated = (int(weight.shape[-2]), int(weight.shape[-1])), pair(dilation)
    raw = input if raw is None else raw
    if padding == "valid":
        padding = 0
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilated, kernel, strict=True)]
        if any(t % 2 for t in total):  # torch pads one more at the end; do it here so that the rest is symmetric
            input = F.pad(input, (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2))
            total = [0, 0]
        padding = [t // 2 for t in total]
    return Operation("conv", (input,), weight, bias, kernel, pair(stride), pair(padding), dilated, groups, raw=raw)


def _conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Operation:
    if not isinstance(padding, str):
        padding = (0, pair(padding, True)[1])
    return _conv2d(
        input.unsqueeze(-2),
        weight.unsqueeze(-2),
        bias,
        pair(stride, True),
        padding,
        pair(dilation, True),
        groups,
        raw=input,
    )


def _linear(input: Tensor, weight: Tensor, bias: Any = None) -> Operation:
    return Operation("linear", (input,), weight, bias)


def _matmul(input: Tensor, other: Tensor, **_: Any) -> Operation:
    return (
        Operation("linear", (input,), other.transpose(-1, -2))
        if other.dim() == 2
        else Operation("host", (input, other), note="matmul")
    )


def _addmm(input: Tensor, mat1: Tensor, mat2: Tensor, **_: Any) -> Operation:
    return Operation("linear", (mat1,), mat2.transpose(-1, -2), input)


def _norm(
    input: Tensor, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, *_: Any, **__: Any
) -> Operation:
    given = tuple(t for t in (running_mean, running_var, weight, bias) if isinstance(t, Tensor))
    return Operation("norm", (input,), weight, statistics=given)


def _relu(input: Tensor, *_: Any, **__: Any) -> Operation:
    return Operation("relu", (input,))


def _clip(input: Tensor, low: float | None, high: float | None) -> Operation | None:
    if low is None:
        return None
    return Operation(
        "relu",
        (input,),
        note="" if low == 0 and high is None else f"clipped to {low:g}…{'∞' if high is None else f'{high:g}'}",
    )


def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, *_: Any, **__: Any) -> Operation | None:
    return _clip(input, min_val, max_val)


def _relu6(input: Tensor, *_: Any, **__: Any) -> Operation | None:
    return _clip(input, 0.0, 6.0)


def _clamp(input: Tensor, min: Any = None, max: Any = None, **_: Any) -> Operation | None:
    plain = (int, float)
    if not isinstance(min, plain) or (max is not None and not isinstance(max, plain)) or min != 0:
        return None  # bounds that are tensors, or a two-sided range: part of a quantiser, seen in the values
    return _clip(input, float(min), None if max is None else float(max))


def _slope(input: Tensor, *_: Any, **__: Any) -> Operation:
    """A leaky ReLU scales every value, by 1 or by its slope: the digital unit does what it does for a norm."""
    return Operation("norm", (input,), note="negative values times a slope")


def _sign(input: Tensor, *_: Any, **__: Any) -> Operation:
    return Operation("sign", (input,))


def _add(input: Any, other: Any, *_: Any, **__: Any) -> Operation | None:
    if not (isinstance(input, Tensor) and isinstance(other, Tensor)) or not (
        input.is_floating_point() and other.is_floating_point()
    ):
        return None
    return Operation("add", (input, other)) if input.dim() and other.dim() and input.shape == other.shape else None


RECOGNISED: Mapping[str, Parser] = {
    "conv2d": _conv2d, "conv1d": _conv1d, "linear": _linear,
    "matmul": _matmul, "__matmul__": _matmul, "mm": _matmul, "addmm": _addmm,
    "batch_norm": _norm,
    "max_pool2d": pool("max_pool", False), "max_pool1d": pool("max_pool", True),
    "avg_pool2d": pool("avg_pool", False), "avg_pool1d": pool("avg_pool", True),
    "adaptive_avg_pool2d": adaptive("avg_pool", False), "adaptive_avg_pool1d": adaptive("avg_pool", True),
    "adaptive_max_pool2d": adaptive("max_pool", False), "adaptive_max_pool1d": adaptive("max_pool", True),
    "avg_pool3d": over_sequence(pool("avg_pool", False)), "max_pool3d": over_sequence(pool("max_pool", False)),
    "adaptive_avg_pool3d": over_sequence(adaptive("avg_pool", False)),
    "mean": mean,
    "relu": _relu, "relu_": _relu, "relu6": _relu6, "hardtanh": _hardtanh, "hardtanh_": _hardtanh,
    "clamp": _clamp, "clamp_": _clamp, "clip": _clamp, "clip_": _clamp, "clamp_min": _clamp, "clamp_min_": _clamp,
    "prelu": _slope, "leaky_relu": _slope, "leaky_relu_": _slope,
    "sign": _sign, "sign_": _sign, "sgn": _sign,
    "add": _add, "add_": _add, "__add__": _add, "__radd__": _add, "__iadd__": _add,
    "sub": _add, "sub_": _add, "__sub__": _add, "__isub__": _add,
}  # fmt: skip
"""torch function name → reader of its arguments, which answers ``None`` where the call means nothing for hardware."""

PRODUCTS = frozenset(
    """
    __div__ __imul__ __itruediv__ __mul__ __rdiv__ __rmul__ __rtruediv__ __truediv__ div div_ divide mul mul_
    multiply true_divide
    """.split()
)

TRANSPARENT = frozenset(
    """
    masked_fill_ masked_scatter masked_scatter_
     __add__ __and__ __array__ __bool__ __contains__ __deepcopy__ __float__ __format__ __get__
    __getitem__ __hash__ __iadd__ __index__ __int__ __invert__ __isub__ __iter__ __len__ __neg__ __or__ __radd__
    __repr__ __rsub__ __set__ __setitem__ __sub__ __xor__ _has_compatible_shallow_copy_type add add_ addcmul
    all allclose alpha_dropout any arange argmax argmin as_tensor backward bernoulli bernoulli_
    bfloat16 bool broadcast_tensors broadcast_to cat ceil channel_shuffle chunk clamp clamp_ clamp_max
    clamp_max_ clip clone concat concatenate constant_pad_nd contiguous copy_ count_nonzero cpu cuda cumsum data
    data_ptr detach detach_ diagonal dim double dropout dropout1d dropout2d dropout_ dstack element_size empty
    empty_like equal expand expand_as eye fake_quantize_per_channel_affine fake_quantize_per_tensor_affine
    feature_dropout fill_ fix flatten flip float floor frac full full_like gather get_device half hardtanh heaviside
    hstack index_select int is_complex is_contiguous is_floating_point is_inference is_nonzero is_pinned
    is_same_size is_storage is_tensor isclose isfinite isinf isnan item lerp linspace logical_and logical_not
    logical_or long masked_fill masked_select mean meshgrid moveaxis movedim narrow
    ndimension neg negative nelement new_empty new_full new_ones new_tensor new_zeros nonzero normal_ numel
    numpy one_hot ones ones_like pad permute pixel_shuffle pixel_unshuffle poisson promote_types rand rand_like
    randint randn randn_like ravel register_hook repeat repeat_interleave requires_grad_ reshape reshape_as
    result_type retain_grad roll rot90 round round_ rsub select set_ shape signbit size split squeeze
    squeeze_ stack storage_offset stride sub sub_ subtract sum swapaxes swapdims t take tensor tensor_split tile
    to tolist transpose trunc type type_as unbind unflatten unfold uniform_ unsafe_chunk unsafe_split
    unsqueeze unsqueeze_ untyped_storage view view_as vstack where zero_ zeros zeros_like
    """.split()
)
"""Functions that move, choose, scale or round values without a meaning of their own: origins flow through."""

READ_OUT = "membrane read-out"
"""The note of a stateful layer that never fires and answers its membrane."""

FINAL_ONLY = frozenset(
    """
    softmax log_softmax sigmoid tanh logsumexp max min amax amin maximum minimum topk sort abs __abs__
    """.split()
) | {READ_OUT}
"""Harmless behind the last layer with weights: listed as host layers there, refused in front of one."""

TWO_ACTIVATIONS = "a product of two activations"
FROM_THE_LEFT = "weights that multiply data from the left: they mix time steps or samples"
_CELL, _STATISTICS = "a gated recurrent cell", "statistics of the running sample are needed"
_PRODUCT = "multiplies activations with activations"
THRESHOLD = "a threshold written in the forward pass, with no module we could probe"

REASONS: Mapping[str, str] = {
    "scaled_dot_product_attention": f"attention {_PRODUCT}",
    "multi_head_attention_forward": f"attention {_PRODUCT}",
    "matmul": f"it {_PRODUCT}",
    "bmm": f"it {_PRODUCT}",
    "einsum": "a free tensor product",
    "lstm": _CELL,
    "lstm_cell": _CELL,
    "gru": _CELL,
    "gru_cell": _CELL,
    "rnn_tanh": "a recurrent cell with tanh",
    "rnn_tanh_cell": "a recurrent cell with tanh",
    "rnn_relu": "a fused recurrent cell",
    "layer_norm": _STATISTICS,
    "group_norm": _STATISTICS,
    "instance_norm": _STATISTICS,
    "conv3d": "three-dimensional convolution is not modelled",
    "embedding": "a table look-up",
}


def reason(name: str) -> str:
    if name.startswith("conv_transpose"):
        return "transposed convolution is not modelled"
    return REASONS.get(name, "no accelerator model has this operation")


def function_name(func: Any) -> str:
    return getattr(func, "__name__", "") or str(func)


def tensors(tree: Any) -> list[Tensor]:
    """Every tensor in nested tuples, lists and dicts, in order; of a wrapper the values alone, not its scale or bit width."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(value_of(tree), Tensor):
        return [value_of(tree)]
    if isinstance(tree, (list, tuple)):
        return [t for item in tree for t in tensors(item)]
    if isinstance(tree, dict):
        return [t for item in tree.values() for t in tensors(item)]
    return []


def first_tensor(tree: Any) -> Tensor | None:
    found = tensors(tree)
    return found[0] if found else None


def recognise(title: str, args: Any, kwargs: Any) -> Operation | None:
    """What a call means for hardware, ``None`` for nothing; quantised-tensor wrappers count as the values they hold."""
    parser = RECOGNISED.get(title)
    if parser is None:
        return None
    return parser(*[value_of(a) for a in args], **{key: value_of(a) for key, a in kwargs.items()})


def wraps(argument: Any) -> bool:
    """Whether something is no tensor, but overrides torch functions as if it were one (such as a quantised tensor with a scale)."""
    return not isinstance(argument, Tensor) and hasattr(type(argument), "__torch_function__")


def value_of(argument: Any) -> Any:
    """The tensor inside a wrapper; anything else as it is."""
    value = getattr(argument, "value", None) if wraps(argument) else None
    return value if isinstance(value, Tensor) else argument
