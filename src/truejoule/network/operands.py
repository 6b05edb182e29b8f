"""The operands of an operation on a tape: data by reference, everything else by its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from truejoule.network.recognise import tensors


@dataclass(frozen=True, slots=True)
class Ref:
    """An operand that is data: the number of the node that made it."""

    node: int


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """An operand that does not depend on the data: one number (0-dim or (1, 1)), or (1, K) for K channels or neurons of a sample;
    ``None`` where it differs from sample to sample."""

    value: Tensor | None


def uniform(tensor: Tensor) -> Tensor | None:
    """The one value of a constant tensor, as a tensor of one element (0-dim if it was); ``None`` where they differ."""
    if tensor.numel() == 0:
        return None
    first = tensor.detach().flatten()[:1]
    if tensor.numel() > 1 and not bool((tensor == first).all()):
        return None
    value = first.to(torch.float32) if first.is_floating_point() else first
    return value.clone().reshape(()) if tensor.dim() == 0 else value.clone().reshape(1, 1)


def per_neuron(tensor: Tensor, shape: torch.Size) -> Tensor | None:
    """As ``uniform``, else one value for each channel or neuron of data of a shape (samples, channels, ...)."""
    value = uniform(tensor)
    if value is not None or len(shape) < 2:
        return value
    try:
        spread = tensor.detach().expand(shape)
    except RuntimeError:
        return None
    if not bool((spread == spread[:1]).all()):
        return None
    channels = spread[0].flatten(1) if spread.dim() > 2 else spread[0].unsqueeze(1)
    alike = bool((channels == channels[:, :1]).all())
    found = (channels[:, :1] if alike else channels).flatten()
    return (found.to(torch.float32) if found.is_floating_point() else found).clone().unsqueeze(0)


def program_of(args: Any, kwargs: Any, before: list[int | None]) -> tuple[Any, Any]:
    """Arguments with data replaced by references and other tensors by their values."""
    nodes = iter(before)
    data = [t.shape for t, n in zip(tensors((args, kwargs)), before, strict=True) if n is not None]
    shape = max(data, key=lambda s: (len(s), s.numel()))

    def replace(tree: Any) -> Any:
        if isinstance(tree, Tensor):
            node = next(nodes)
            return Constant(per_neuron(tree, shape)) if node is None else Ref(node)
        if isinstance(tree, (list, tuple)):
            return tuple(replace(item) for item in tree)
        if isinstance(tree, dict):
            return {key: replace(value) for key, value in tree.items()}
        return tree

    return replace(args), replace(kwargs)


def refs(tree: Any) -> list[Ref]:
    """Every reference in arguments."""
    if isinstance(tree, Ref):
        return [tree]
    if isinstance(tree, (list, tuple)):
        return [r for item in tree for r in refs(item)]
    if isinstance(tree, dict):
        return [r for item in tree.values() for r in refs(item)]
    return []


def choice_of(args: Any, before: list[int | None], operands: list[Tensor]) -> tuple[Any, ...] | None:
    """``x[mask] = value`` as (mask, value, x), where mask has the shape of x and value is one number."""
    target, indices, value = args[0], args[1], args[2]
    if len(args) > 3 and args[3]:
        return None
    mask = indices[0] if len(indices) == 1 else None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != target.shape or value.numel() != 1:
        return None
    nodes = {id(t): n for t, n in zip(operands, before, strict=True)}

    def operand(tensor: Tensor) -> Any:
        node = nodes[id(tensor)]
        return Constant(per_neuron(tensor, target.shape)) if node is None else Ref(node)

    return (operand(mask), operand(value), operand(target)) if nodes[id(value)] is None else None
