"""Comparisons of data on a tape: which of them belong together, and in which time step each was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from truejoule.network.mixing import mixed
from truejoule.network.tape import Node, Tape

_STEPS = ("sign", "sgn", "heaviside")
_CHECKS = ("isnan", "isinf", "isfinite", "isposinf", "isneginf")
_ROUNDINGS = ("floor", "ceil", "round", "trunc", "fix")

Predicate = Callable[[Node], bool]


def is_comparison(node: Node) -> bool:
    """Whether an elementwise operation answers yes or no, or a sign."""
    return node.name in _STEPS or (node.dtype == torch.bool and node.name not in _CHECKS)


def is_rounding(node: Node) -> bool:
    """Whether an elementwise operation cuts its operand to whole numbers."""
    return node.name in _ROUNDINGS or (node.name == "_to_copy" and not node.dtype.is_floating_point)


@dataclass(slots=True, eq=False)
class Group:
    """Comparisons of one membrane (or of one stateless value).

    Attributes
    ----------
    roots : the comparisons in order.
    analog : every elementwise value between the last layers and the comparisons.
    ends : per time step, the last operation that read a fresh input for it; ``step`` counts from 0.
    lost : whether the state passes through something that is not elementwise.
    mixed : why it is not single elements that are compared; empty if they are.
    """

    roots: list[int] = field(default_factory=list)
    analog: set[int] = field(default_factory=set)
    keys: dict[int, int] = field(default_factory=dict)
    site: Any = None
    lost: bool = False
    mixed: str = ""

    @property
    def ends(self) -> list[int]:
        return sorted(set(self.keys.values()))

    def step(self, index: int) -> int:
        """Time step to which an operation at this place of the tape belongs."""
        return next((t for t, end in enumerate(self.ends) if index <= end), len(self.ends) - 1)

    def still(self, nodes: list[Node]) -> set[int]:
        """Inputs that are the same tensor in several time steps."""
        read = [p for end in self.ends for p in nodes[end].parents if p not in self.analog]
        return {p for p in read if read.count(p) > 1}

    def step_of_root(self, root: int) -> int:
        return self.ends.index(self.keys[root])


@dataclass(slots=True, eq=False)
class Comparisons:
    """Groups, and what every value that is made of nothing but answers is made of."""

    groups: list[Group]
    binary: dict[int, frozenset[int]]
    """Node → the comparisons that alone decide its value."""


def find(tape: Tape, is_root: Predicate, spikes: Mapping[int, frozenset[int]]) -> Comparisons:
    """Comparisons of data that passed a layer. Comparisons with the input alone are encoders, and left out.

    ``spikes`` : values that are answers although more than answers went into them → the comparisons behind them.
    """
    nodes = tape.nodes
    binary: dict[int, frozenset[int]] = {}
    for node in nodes:
        if node.kind != "point" or not node.parents:
            continue
        if node.index in spikes:
            binary[node.index] = spikes[node.index]
            continue
        made_of = [binary.get(p) for p in node.parents]
        if all(m is not None for m in made_of):
            binary[node.index] = frozenset().union(*[m for m in made_of if m is not None])
        elif node.deep and is_root(node):
            binary[node.index] = frozenset((node.index,))
    groups = _grouped(nodes, binary)
    return Comparisons(_merged(nodes, groups, binary), binary)


def _grouped(nodes: list[Node], binary: dict[int, frozenset[int]]) -> list[Group]:
    """Two comparisons share a membrane if the later one reads a value of the earlier one and new input of the same layer."""
    group_of: dict[int, Group] = {}
    owner: dict[int, int] = {}
    read: dict[int, int] = {}  # layer → the comparison that read it first
    groups: list[Group] = []
    for root in sorted(r for n, roots in binary.items() for r in roots if r == n):
        fresh, leaves, hits, use = _behind(nodes, root, binary, owner)
        hidden = {leaf: _hidden(nodes, leaf, binary, owner) for leaf in leaves}
        # A shortcut that was cut and padded on its way is no new input of the layer that it comes from.
        newest = max([leaf for leaf in leaves if not hidden[leaf]] or leaves, default=None)
        again = not fresh and newest in read  # another look at what was compared before
        twice = sum(newest in nodes[n].parents for n in (root, *fresh)) > 1  # as state and as input
        hits |= {read[leaf] for leaf in leaves if leaf in read and (leaf != newest or again or twice)}
        site = nodes[newest].site if newest is not None else None
        mine = [group_of[h] for h in sorted(hits, reverse=True) if newest is None or group_of[h].site == site]
        through = [h for earlier in hidden.values() for h in earlier if group_of[h].site == site]
        group = mine[0] if mine else group_of[max(through)] if through else None
        if group is None:
            group = Group(site=site)
            groups.append(group)
        group.lost |= bool(through) and not mine
        group.mixed = group.mixed or mixed(nodes, leaves, binary)
        group.roots.append(root)
        group.analog |= fresh
        earlier = max((group.keys[h] for h in hits if h in group.keys), default=root)
        group.keys[root] = use if use and not again else earlier
        group_of[root] = group
        owner.update(dict.fromkeys(fresh, root))
        for leaf in leaves:
            read.setdefault(leaf, root)
    return groups


def _behind(
    nodes: list[Node], root: int, binary: dict[int, frozenset[int]], owner: dict[int, int]
) -> tuple[set[int], set[int], set[int], int]:
    """Elementwise values behind a comparison that nobody met before, the layers behind those, earlier comparisons."""
    fresh, leaves, hits, use = set[int](), set[int](), set[int](), 0
    stack = [root]
    while stack:
        index = stack.pop()
        for parent in nodes[index].parents:
            if parent in binary:
                hits |= binary[parent]
            elif parent in owner:
                hits.add(owner[parent])
            elif nodes[parent].kind == "point":
                if parent not in fresh:
                    fresh.add(parent)
                    stack.append(parent)
            else:
                leaves.add(parent)
                use = max(use, index)
    return fresh, leaves, hits, use


def _hidden(nodes: list[Node], leaf: int, binary: dict[int, frozenset[int]], owner: dict[int, int]) -> set[int]:
    """Earlier comparisons that reach a value through operations that are not elementwise, but no layer either."""
    found, seen, stack = set[int](), {leaf}, [leaf]
    while stack:
        node = nodes[stack.pop()]
        if node.kind in ("layer", "input"):
            continue
        for parent in node.parents:
            if parent in owner:
                found.add(owner[parent])
            elif parent in binary:
                found |= binary[parent]
            elif parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return found


def _merged(nodes: list[Node], groups: list[Group], binary: dict[int, frozenset[int]]) -> list[Group]:
    """Several comparisons of one stateless value whose answers are put together (a window, three levels) are one."""
    group_of = {root: group for group in groups for root in group.roots}
    for roots in binary.values():
        several = {id(group_of[r]): group_of[r] for r in roots}
        if len(several) < 2 or any(len(g.ends) > 1 for g in several.values()):
            continue
        if len({nodes[r].parents for r in roots}) > 1:
            continue
        first, *others = several.values()
        for other in others:
            first.roots += other.roots
            first.analog |= other.analog
            groups.remove(other)
        first.roots.sort()
        first.keys = dict.fromkeys(
            first.roots, max([*first.keys.values(), *(k for o in others for k in o.keys.values())])
        )
        group_of.update(dict.fromkeys(first.roots, first))
    return groups


def closure(nodes: list[Node], targets: Iterable[int], stops: set[int]) -> tuple[list[int], set[int]]:
    """Every elementwise operation behind ``targets`` up to ``stops``, in order, and what else was run into."""
    found, others, stack = set[int](), set[int](), [t for t in targets if t not in stops]
    while stack:
        index = stack.pop()
        if nodes[index].kind != "point":
            others.add(index)
        elif index not in found:
            found.add(index)
            stack += [p for p in nodes[index].parents if p not in stops and p not in found]
    return sorted(found), others
