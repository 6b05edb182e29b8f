"""Pooling: windows of one and two dimensions, adaptive ones, means over maps, and 3-D ones that leave time alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from truejoule.network.operation import Operation, Parser, pair
from truejoule.workload.layer import Op


def pool(op: Op, one_dimensional: bool) -> Parser:
    def parse(
        input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, *_: Any, **__: Any
    ) -> Operation:
        kernel = pair(kernel_size, one_dimensional)
        step = pair(stride, one_dimensional) if stride not in (None, [], ()) else kernel
        pad = pair(padding, one_dimensional)
        if one_dimensional:
            pad = (0, pad[1])
        dilated = pair(dilation, one_dimensional) if op == "max_pool" else (1, 1)
        spatial = 1 if one_dimensional else 2
        return Operation(op, (input,), kernel=kernel, stride=step, padding=pad, dilation=dilated, spatial=spatial)

    return parse


def adaptive(op: Op, one_dimensional: bool) -> Parser:
    def parse(input: Tensor, output_size: Any, *_: Any, **__: Any) -> Operation:
        spatial = (1, int(input.shape[-1])) if one_dimensional else (int(input.shape[-2]), int(input.shape[-1]))
        raw = output_size if isinstance(output_size, (tuple, list)) else [output_size] * 2
        wanted = [
            int(size if size is not None else full)
            for size, full in zip(([1, raw[0]] if one_dimensional else raw), spatial, strict=False)
        ]
        kernel = (-(-spatial[0] // wanted[0]), -(-spatial[1] // wanted[1]))
        even = all(full % size == 0 for full, size in zip(spatial, wanted, strict=True))
        return Operation(
            op,
            (input,),
            kernel=kernel,
            stride=kernel if even else (max(spatial[0] // wanted[0], 1), max(spatial[1] // wanted[1], 1)),
            note="" if even else "adaptive windows of unequal size",
            spatial=1 if one_dimensional else 2,
        )

    return parse


def over_sequence(parse: Parser) -> Parser:
    """A 3-D pooling of (T, N, C, H, W) that leaves the third axis from the end as it is: a 2-D one of every step."""

    def inner(input: Tensor, size: Any, *rest: Any, **options: Any) -> Operation | None:
        given = [size, *rest, *options.values()]
        triples = [tuple(g) for g in given if isinstance(g, (tuple, list)) and len(g) == 3]
        flat = bool(triples) and triples[0][0] in (1, None, int(input.shape[-3])) and input.dim() == 5
        if not flat or any(t[0] not in (0, 1, triples[0][0]) for t in triples):
            return Operation("host", (input,), note="three-dimensional pooling")
        cut = [tuple(g)[1:] if isinstance(g, (tuple, list)) and len(g) == 3 else g for g in (size, *rest)]
        return parse(
            input, *cut, **{k: tuple(v)[1:] if isinstance(v, (tuple, list)) else v for k, v in options.items()}
        )

    return inner


def mean(input: Tensor, dim: Any = None, *_: Any, **__: Any) -> Operation | None:
    """A mean over the trailing (spatial) axes of a map is a global pool; over time or batch it is bookkeeping."""
    axes = sorted(d % input.dim() for d in ([dim] if isinstance(dim, int) else dim or []))
    trailing = list(range(input.dim() - len(axes), input.dim()))
    if not axes or axes != trailing or axes[0] < 2:
        return None
    kernel = (1, int(input.shape[-1])) if len(axes) == 1 else (int(input.shape[-2]), int(input.shape[-1]))
    if len(axes) > 2:
        return None
    return Operation("avg_pool", (input,), kernel=kernel, stride=kernel, spatial=len(axes))
