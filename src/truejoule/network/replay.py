"""The elementwise program of a layer that was written into a forward pass, run on independent trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from truejoule.network.operands import Constant, Ref
from truejoule.network.provenance import no_tracking
from truejoule.network.tape import Node


class NotReplayable(Exception):  # noqa: N818 - internal signal, never leaves the room
    """The program needs something that independent trials do not hold."""


@dataclass(frozen=True, eq=False)
class Replay:
    """What happened to one element of the input over time, as a function of sequences.

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
    def steps(self) -> int:
        return len(self.results)

    @property
    def neurons(self) -> int:
        """How many neurons have to be told apart: 1, or as many as the constants are given for.

        Raises
        ------
        NotReplayable : for a constant that differs from sample to sample.
        """
        found = [c.value for node in self.nodes for c in _constants((node.args, node.kwargs))]
        if any(value is None for value in found):
            raise NotReplayable("a constant differs from sample to sample")
        return max((v.shape[-1] for v in found if v is not None and v.dim()), default=1)

    def run(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Outputs (steps, lanes, neurons) for inputs of the same shape, from the start of the forward pass.

        Parameters
        ----------
        other : the part of ``x`` that enters through the second operand of every step, where there are two.

        Raises
        ------
        NotReplayable : for an operation that does not take them.
        """
        still = {drive for drive, _ in self.uses}
        values: dict[tuple[int, int], Tensor] = {}
        for step, row in enumerate(x.to(torch.float32)):
            part = torch.zeros_like(row) if other is None else other[step].to(torch.float32)
            shares = [row] if len(self.drives[step]) == 1 else [row - part, part]
            for drive, share in zip(self.drives[step], shares, strict=True):
                values[drive, step if drive in still else 0] = share
        with no_tracking(), torch.no_grad():
            for node in self.nodes:
                if (node.index, 0) not in values:
                    values[node.index, 0] = self._value(node, values, x[0].shape)
            return torch.stack([values[r, 0].to(torch.float32) for r in self.results])

    def key(self) -> Any:
        """The program as a value: equal for neurons that are written alike, with equal constants."""
        names: dict[int, Any] = {d: (step, k) for step, ds in enumerate(self.drives) for k, d in enumerate(ds)}
        names |= {node.index: place for place, node in enumerate(self.nodes)}

        def plain(node: Node, tree: Any) -> Any:
            if isinstance(tree, Ref):
                return "ref", names.get(tree.node), self.uses.get((tree.node, node.index))
            if isinstance(tree, Constant):
                return None if tree.value is None else (str(tree.value.dtype), str(tree.value.tolist()))
            if isinstance(tree, (list, tuple)):
                return tuple(plain(node, item) for item in tree)
            return str(tree)

        program = tuple((str(n.func), plain(n, n.args), plain(n, tuple(n.kwargs.items()))) for n in self.nodes)
        return program, tuple(map(len, self.drives)), tuple(names.get(r) for r in self.results)

    def constants(self) -> nn.Module:
        """The numbers of the program as attributes of a module, for those who look for round constants."""
        holder = nn.Module()
        for node in self.nodes:
            for k, number in enumerate(_numbers((node.args, node.kwargs))):
                setattr(holder, f"c{node.index}_{k}", number)
        return holder

    def _value(self, node: Node, values: dict[tuple[int, int], Tensor], shape: torch.Size) -> Tensor:
        def operand(tree: Any) -> Any:
            if isinstance(tree, Ref):
                key = (tree.node, self.uses.get((tree.node, node.index), 0))
                if key not in values:
                    raise NotReplayable("a value from outside of it")
                return values[key].clone()  # operations in place must not reach it
            if isinstance(tree, Constant):
                assert tree.value is not None
                if not tree.value.dim():
                    return tree.value
                return tree.value.repeat_interleave(shape[-1] // tree.value.shape[-1], -1).expand(shape).clone()
            if isinstance(tree, tuple):
                return [operand(item) for item in tree]
            return tree

        args = operand(node.args)
        kwargs = {k: operand(v) for k, v in node.kwargs.items()}
        if node.name == "_to_copy":
            return args[0].to(_lane(kwargs["dtype"])) if kwargs.get("dtype") is not None else args[0]
        if "dtype" in kwargs and kwargs["dtype"] is not None:
            kwargs["dtype"] = _lane(kwargs["dtype"])
        try:
            return node.func(*args, **kwargs).expand(shape)
        except RuntimeError as error:
            raise NotReplayable(f"{node.name} does not take rows of numbers ({error})") from error


@dataclass(frozen=True, slots=True)
class ReplayCaller:
    """A replay where a module is expected: one call takes the whole sequence, time first."""

    replay: Replay
    dtype: torch.dtype = torch.float32

    def answers(self, inputs: list[Tensor]) -> list[Tensor]:
        """Outputs of the only call, (T, lanes, neurons)."""
        return [self.replay.run(inputs[0])]


def _lane(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype.is_floating_point else dtype


def _constants(tree: Any) -> list[Constant]:
    if isinstance(tree, Constant):
        return [tree]
    if isinstance(tree, (list, tuple)):
        return [c for item in tree for c in _constants(item)]
    return [c for value in tree.values() for c in _constants(value)] if isinstance(tree, dict) else []


def _numbers(tree: Any) -> list[float | Tensor]:
    if isinstance(tree, Constant):
        value = tree.value
        if value is None or value.dtype == torch.bool:
            return []
        return [float(value)] if value.numel() == 1 else [value.flatten().to(torch.float32)]
    if isinstance(tree, (int, float)) and not isinstance(tree, bool):
        return [float(tree)]
    if isinstance(tree, (list, tuple)):
        return [n for item in tree for n in _numbers(item)]
    return [n for value in tree.values() for n in _numbers(value)] if isinstance(tree, dict) else []
