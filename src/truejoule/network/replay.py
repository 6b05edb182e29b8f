"""The elementwise program of a neuron that was written into a forward pass, run on rows of scalars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.network.provenance import no_tracking
from truejoule.network.tape import Constant, Node, Ref


class NotReplayable(Exception):  # noqa: N818 - internal signal, never leaves the room
    """The program needs something that a row of scalars does not hold."""


@dataclass(frozen=True, eq=False)
class Replay:
    """What happened to one element of the input over time, as a function of scalar sequences.

    Attributes
    ----------
    nodes : the operations in order; every operand is a drive, an earlier node or a constant.
    drives : per time step, the nodes that hold the input of this step; their values are added.
    results : per time step, the node that holds the output.
    uses : for an input that is the same tensor in every step: (it, the operation that reads it) → the step it is read for.
    """

    nodes: Sequence[Node]
    drives: Sequence[Sequence[int]]
    results: Sequence[int]
    uses: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        """Time steps of the longest sequence that can be tried: those of the forward pass."""
        return min(50, len(self.results))

    def run(self, x: Tensor) -> Tensor:
        """Outputs (T, P) for inputs (T, P), from the start of the forward pass; T at most ``longest``.

        Raises
        ------
        NotReplayable : for a constant that differs from element to element.
        """
        return self.split(x, torch.zeros_like(x))

    def split(self, x: Tensor, other: Tensor) -> Tensor:
        """As ``run`` on ``x``, where a part ``other`` of it arrives through the second operand of every step."""
        rows = x.to(torch.float32), other.to(torch.float32)
        values: dict[tuple[int, int], Tensor] = {}
        still = {drive for drive, _ in self.uses}
        for step, (row, part) in enumerate(zip(*rows, strict=True)):
            shares = [row] if len(self.drives[step]) == 1 else [row - part, part]
            for drive, share in zip(self.drives[step], shares, strict=True):
                values[drive, step if drive in still else 0] = share.unsqueeze(0)
        last = max(self.results[: len(x)], default=-1)
        with no_tracking(), torch.no_grad():
            for node in self.nodes:
                if node.index <= last and (node.index, 0) not in values:
                    values[node.index, 0] = self._value(node, values)
            return torch.stack([values[r, 0][0].to(torch.float32) for r in self.results[: len(x)]])

    def last(self, *inputs: Tensor | float) -> Tensor:
        """Outputs of the last step for a sequence of inputs, each a scalar or one value per lane."""
        width = max((t.numel() for t in inputs if isinstance(t, Tensor)), default=1)
        rows = [t.flatten().expand(width) if isinstance(t, Tensor) else torch.full((width,), float(t)) for t in inputs]
        return self.run(torch.stack([r.to(torch.float32) for r in rows]))[-1]

    def constants(self) -> nn.Module:
        """The numbers of the program as attributes of a module, for those who look for round constants."""
        holder = nn.Module()
        for node in self.nodes:
            for k, number in enumerate(_numbers((node.args, node.kwargs))):
                setattr(holder, f"c{node.index}_{k}", number)
        return holder

    def _value(self, node: Node, values: dict[tuple[int, int], Tensor]) -> Tensor:
        def operand(tree: Any) -> Any:
            if isinstance(tree, Ref):
                key = (tree.node, self.uses.get((tree.node, node.index), 0))
                if key not in values:
                    raise NotReplayable("a value from outside of it")
                return values[key].clone()  # operations in place must not reach it
            if isinstance(tree, Constant):
                if tree.value is None:
                    raise NotReplayable("a constant differs from neuron to neuron; one record cannot hold it")
                return tree.value.expand(1, width).clone() if tree.value.dim() else tree.value
            if isinstance(tree, tuple):
                return [operand(item) for item in tree]
            return tree

        width = max(v.shape[-1] for v in values.values())
        args = operand(node.args)
        kwargs = {k: operand(v) for k, v in node.kwargs.items()}
        if node.name == "_to_copy":
            return args[0].to(_lane(kwargs["dtype"])) if kwargs.get("dtype") is not None else args[0]
        if "dtype" in kwargs and kwargs["dtype"] is not None:
            kwargs["dtype"] = _lane(kwargs["dtype"])
        try:
            result = node.func(*args, **kwargs)
        except RuntimeError as error:
            raise NotReplayable(f"{node.name} does not take a row of scalars ({error})") from error
        return result.expand(1, width) if result.dim() else result.expand(width).unsqueeze(0)


def _lane(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype.is_floating_point else dtype


def _numbers(tree: Any) -> list[float]:
    if isinstance(tree, Constant):
        return [] if tree.value is None or tree.value.dtype == torch.bool else [float(tree.value)]
    if isinstance(tree, (int, float)) and not isinstance(tree, bool):
        return [float(tree)]
    if isinstance(tree, (list, tuple)):
        return [n for item in tree for n in _numbers(item)]
    if isinstance(tree, dict):
        return [n for value in tree.values() for n in _numbers(value)]
    return []
