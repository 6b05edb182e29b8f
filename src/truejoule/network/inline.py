"""Where a later run meets the layers that were written into a forward pass: counted torch calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor

from truejoule.errors import InputError
from truejoule.network.recognise import tensors


class Place(NamedTuple):
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
    """Counts calls during one run and reports inputs and outputs of the layers.

    ``on_drive(layer, tensor, first)`` and ``on_result(layer, tensor, first)`` are called in the order of the run.
    """

    def __init__(
        self,
        inline: Inline,
        on_drive: Callable[[int, Tensor, bool], None],
        on_result: Callable[[int, Tensor, bool], None],
    ) -> None:
        self._inline, self._on_drive, self._on_result = inline, on_drive, on_result
        self._met: Counter[tuple[str, str]] = Counter()
        self._begun: Counter[int] = Counter()
        self._ended: Counter[int] = Counter()

    def arrive(self, path: str, title: str) -> Place | None:
        """To be called once for every torch call; ``None`` for those without a meaning here."""
        key = (path, title)
        if key not in self._inline.counted:
            return None
        place = Place(path, title, self._met[key])
        self._met[key] += 1
        return place if place in self._inline.roles or place in self._inline.inside else None

    def is_inside(self, place: Place) -> bool:
        return place in self._inline.inside

    def before(self, place: Place, args: Any, kwargs: Any) -> None:
        for role in self._inline.roles.get(place, ()):
            if role.what in ("drive", "passed"):
                self._report(role, place, tensors((args, kwargs)))

    def after(self, place: Place, args: Any, kwargs: Any, output: Any) -> None:
        for role in self._inline.roles.get(place, ()):
            if role.what == "result":
                self._report(role, place, tensors(output))
            elif role.what == "written":
                self._report(role, place, tensors((args, kwargs)))

    def _report(self, role: Role, place: Place, found: list[Tensor]) -> None:
        # A spike may become data after the input of the next step has come in (hybrid conversion).
        lead = self._begun[role.layer] - self._ended[role.layer]
        possible = role.what == "drive" or (lead > 0 if role.first else self._ended[role.layer] > 0)
        strange = role.position >= len(found) or not possible or lead > 1 + (role.what != "drive")
        if strange:
            raise InputError(
                "a neuron in the forward pass that takes another path than with the example",
                where=place.path or "the network's own forward",
                got=f"call {place.index + 1} of {place.title}",
                expected="the same operations in every run",
                fix="put the neuron into a module of its own",
            )
        if role.what == "drive":
            self._begun[role.layer] += role.first
            self._on_drive(role.layer, found[role.position], role.first)
        else:
            self._ended[role.layer] += role.first
            self._on_result(role.layer, found[role.position], role.first)
