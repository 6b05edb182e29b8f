"""What a comparison looks at besides single elements: sums over positions or time steps that no layer stands for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable

from truejoule.network.operands import Constant
from truejoule.network.tape import Node

_RUNNING = ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
_SUMS = ("sum", "mean", "nansum")
_PRODUCTS = ("mul", "div")
_MOVES = frozenset("permute transpose t select".split())
"""Operations that put whole axes elsewhere, or take one position out of an axis."""


def mixed(nodes: list[Node], entering: Iterable[int], ends: Container[int]) -> str:
    """Why values are not single elements of what layers answered; empty if they are.

    Parameters
    ----------
    entering : what enters the elementwise operations in front of one comparison.
    ends : the walk back ends there, and at layers.
    """
    copies: defaultdict[int, set[int]] = defaultdict(set)
    moved = set[int]()
    for leaf in entering:
        between, origins = _behind(nodes, leaf, ends)
        for node in (nodes[index] for index in between):
            if node.name in _RUNNING:
                return f"it compares a running sum over an axis ({node.name})"
            if node.name in _SUMS and any(_weighs(nodes[p]) for p in node.parents):
                return "it compares sums weighted by constants: a layer with weights, written as a product and a sum"
        for origin in origins:
            copies[origin].add(leaf)
        if any(nodes[index].kind == "mixed" and nodes[index].name not in _MOVES for index in between):
            moved.add(leaf)
    for origin, leaves in copies.items():
        if len(leaves) > 1 and leaves & moved and sum(nodes[leaf].size for leaf in leaves) > nodes[origin].size:
            return "it compares sums of several elements (positions, time steps) of one layer"
    return ""


def _weighs(node: Node) -> bool:
    """Whether constants that are no single number multiply data, or spread it over more elements than it has."""
    if node.name not in _PRODUCTS or len(node.parents) != 1:
        return False
    constants = [a for a in node.args if isinstance(a, Constant)]
    return node.kind == "mixed" or any(c.value is None or c.value.numel() > 1 for c in constants)


def _behind(nodes: list[Node], leaf: int, ends: Container[int]) -> tuple[set[int], set[int]]:
    """The operations between a value and the layers behind it, and those layers."""
    between, origins, stack = set[int](), set[int](), [leaf]
    while stack:
        index = stack.pop()
        if nodes[index].kind in ("layer", "input") or index in ends:
            origins.add(index)
        elif index not in between:
            between.add(index)
            stack += nodes[index].parents
    return between, origins
