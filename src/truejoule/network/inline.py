"""Where a later run meets the layers that were written into a forward pass: counted torch calls."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from truejoule.errors import InputError
from truejoule.network.provenance import no_tracking
from truejoule.network.recognise import function_name, tensors


@dataclass(frozen=True, slots=True)
class Place:
    """The ``index``-th call of a torch function in a module during one inference."""

    path: str
    title: str
    index: int


@dataclass(frozen=True, slots=True)
class Role:
    """What a call means for one layer.

    Attributes
    ----------
    layer : number of the layer.
    what : ``"drive"``: an argument is its input; ``"result"``: the answer is its output; ``"written"``: so is an argument
        after the call; ``"passed"``: so is an argument before it.
    position : which of the tensors of the arguments or of the answer.
    first : for a drive: whether a new time step begins; for an output: whether it is not just the same values again.
    """

    layer: int
    what: Literal["drive", "result", "written", "passed"]
    position: int
    first: bool = False


@dataclass(slots=True)
class Inline:
    """Roles of calls, and calls that belong to such a layer and to nothing else."""

    roles: dict[Place, list[Role]] = field(default_factory=dict)
    inside: set[Place] = field(default_factory=set)
    counted: set[tuple[str, str]] = field(default_factory=set)

    def add(self, roles: Mapping[Place, Iterable[Role]], inside: Iterable[Place]) -> None:
        for place, many in roles.items():
            self.roles.setdefault(place, []).extend(many)
        self.inside.update(inside)
        self.counted.update((p.path, p.title) for p in (*roles, *self.inside))


class Follower:
    """Counts calls during one run and reports every time step of the layers.

    Parameters
    ----------
    take : what to keep of an input when it comes in; the tensor may be overwritten later.
    give : ``give(layer, inputs, output, first)`` at every output: what was kept of the inputs of this step, whose sum entered.
        ``first`` is false where the values were given before: then there are no inputs.
    """

    def __init__(
        self, inline: Inline, take: Callable[[Tensor], Any], give: Callable[[int, list[Any], Tensor, bool], None]
    ) -> None:
        self._inline, self._take, self._give = inline, take, give
        self._met: Counter[tuple[str, str]] = Counter()
        # A spike may become data after the input of the next step has come in (hybrid conversion).
        self._waiting: defaultdict[int, list[list[Any]]] = defaultdict(list)
        self._given: set[int] = set()

    def call(self, path: str, func: Any, args: Any, kwargs: Any, otherwise: Callable[..., Any]) -> Any:
        """One call of a run; ``otherwise(func, title, args, kwargs)`` where it belongs to none of the layers."""
        title = function_name(func)
        if (path, title) not in self._inline.counted:
            return otherwise(func, title, args, kwargs)
        place = Place(path, title, self._met[path, title])
        self._met[path, title] += 1
        roles = self._inline.roles.get(place, ())
        with no_tracking():
            for role in roles:
                if role.what in ("drive", "passed"):
                    self._report(role, place, tensors((args, kwargs)))
        inside = place in self._inline.inside
        output = func(*args, **kwargs) if inside else otherwise(func, title, args, kwargs)
        with no_tracking():
            for role in roles:
                if role.what in ("result", "written"):
                    self._report(role, place, tensors(output if role.what == "result" else (args, kwargs)))
        return output

    def _report(self, role: Role, place: Place, found: list[Tensor]) -> None:
        waiting = self._waiting[role.layer]
        if role.what == "drive":
            possible = len(waiting) <= 1 if role.first else bool(waiting)
        else:
            possible = 0 < len(waiting) <= 2 if role.first else role.layer in self._given
        if role.position >= len(found) or not possible:
            raise InputError(
                "a neuron in the forward pass that takes another path than with the example",
                where=place.path or "the network's own forward",
                got=f"call {place.index + 1} of {place.title}",
                expected="the same operations in every run",
                fix="put the neuron into a module of its own",
            )
        tensor = found[role.position]
        if role.what == "drive" and role.first:
            waiting.append([self._take(tensor)])
        elif role.what == "drive":
            waiting[-1].append(self._take(tensor))
        else:
            self._given.add(role.layer)
            self._give(role.layer, waiting.pop(0) if role.first else [], tensor, role.first)
