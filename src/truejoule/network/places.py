"""One module at several places of a network: which call of a time step is which place."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from truejoule.errors import InputError
from truejoule.network.execution import PASSING, Execution, History, Trace
from truejoule.network.forms import Form
from truejoule.network.provenance import Origins

Numbers = tuple[Hashable, ...]
"""Per call of one inference, in order: the number of its place."""


@dataclass(frozen=True, slots=True)
class Places:
    """Calls that stand at several places of one time step, though module and origins are the same.

    Attributes
    ----------
    leaves : module path → numbers, for modules that are one layer as a whole.
    calls : (module path, operation) → numbers, for functions.
    """

    leaves: Mapping[str, Numbers] = field(default_factory=dict)
    calls: Mapping[tuple[str, str], Numbers] = field(default_factory=dict)

    def of_leaf(self, path: str, index: int) -> Hashable:
        """The place of the ``index``-th call of a module; ``None`` where nothing is to be told apart."""
        return _at(self.leaves.get(path), index)

    def of_call(self, path: str, op: str, index: int) -> Hashable:
        return _at(self.calls.get((path, op)), index)


def find_places(seen: Trace, forms: Mapping[str, Form], known: Places) -> Places | None:
    """Places that a run did not tell apart, added to those that it knew; ``None`` if there are none.

    In a loop over time each place is called once per step and in the same order, so the position within a step tells the place. How
    many steps the loop takes is known from layers with weights; without any in the loop, from the channels that a call takes.
    """
    by_name: dict[str, list[Execution]] = {}
    history = History()
    for execution in seen.executions:
        by_name.setdefault(execution.name, []).append(execution)
        history.add(execution)
    runs = {name: len(found) for name, found in by_name.items()}
    loop = max((n for name, n in runs.items() if by_name[name][0].op in ("conv", "linear")), default=1)
    leaves, calls = dict(known.leaves), dict(known.calls)
    rounds, steps = loop, loop
    for path, names in seen.names.leaves.items():
        neurons = [by_name[name][0] for name in dict.fromkeys(names) if name is not None]
        if not neurons or neurons[0].op != "neuron":
            continue
        executions = [e for e in seen.executions if e.path == path and e.op == "neuron"]
        per_step = _per_step(executions, forms.get(path), loop, history, by_name)
        if per_step > max(len(neurons), 1) and path not in known.leaves:
            leaves[path] = _numbered([name is not None for name in names], per_step)
        rounds = max(rounds, len(executions) // max(per_step, len(neurons)))
        if path in forms:
            steps = max(steps, rounds * forms[path].steps_in(executions[0].input_shape))
    steps = max([rounds, steps, *(runs[name] for name in seen.neurons if name in runs)])
    # Both tables hold tuples of places; only what they are keyed by differs.
    orders: list[tuple[dict[Any, Any], Mapping[Any, Any]]] = [
        (leaves, seen.names.leaves),
        (calls, seen.names.sequence),
    ]
    for table, order in orders:
        for key, names in order.items():
            for name in dict.fromkeys(names):
                if name is None or by_name[name][0].op not in PASSING:
                    continue
                standing = all(_stands(e, by_name) for e in by_name[name])
                per_step = _stateless(runs[name], steps, rounds, standing)
                if per_step > 1:
                    fresh = _numbered([n == name for n in names], per_step)
                    before = table.get(key, (None,) * len(names))
                    table[key] = tuple(zip(before, fresh, strict=True))
    changed = leaves != dict(known.leaves) or calls != dict(known.calls)
    return Places(leaves, calls) if changed else None


def check_rounds(seen: Trace, places: Places, forms: Mapping[str, Form]) -> None:
    """The calls of one neuron object must be the same in every time step, in the same order among the layers that run in every step.

    Raises
    ------
    InputError : if they are not, so that the position within a step does not tell the place.
    """
    executions = seen.executions
    at: dict[str, list[int]] = {}
    for position, execution in enumerate(executions):
        at.setdefault(execution.name, []).append(position)
    for path in places.leaves:
        names = list(dict.fromkeys(e.name for e in executions if e.path == path and e.op == "neuron"))
        if not names:
            continue
        if path in forms and forms[path].time is not None and any(name in seen.shared for name in names):
            raise InputError(
                "one neuron object is used at two places of the network, and each starts with what the other leaves",
                where=path,
                got=f"{len(names)} calls with whole sequences, and a state that is kept between them",
                expected="a neuron that starts anew, or that takes one time step per call",
                fix="give each place its own neuron",
            )
        rounds = len(at[names[0]])
        others = [
            e.name for e in executions if e.index == 0 and len(at[e.name]) == rounds and e.op in ("conv", "linear")
        ]
        for name in names:
            even = len(at[name]) == rounds and all(
                len({mine < other for mine, other in zip(at[name], at[layer], strict=True)}) == 1 for layer in others
            )
            sources = [_now(executions[position], at) for position in at[name]]
            if not even or any(s != sources[0] for s in sources):
                raise InputError(
                    "one neuron object is used at two places of the network, which then share its state, and its calls are not the same in every time step",
                    where=path,
                    got=f"{sum(len(at[n]) for n in names)} calls in {rounds} time steps",
                    expected="every place once per time step, in the same order",
                    fix="give each place its own neuron",
                )


def _at(numbers: Numbers | None, index: int) -> Hashable:
    return numbers[index] if numbers is not None and index < len(numbers) else None


def _numbered(counted: Sequence[bool], per_step: int) -> Numbers:
    numbers: list[Hashable] = []
    met = 0
    for counts in counted:
        numbers.append(met % per_step if counts else None)
        met += counts
    return tuple(numbers)


def _per_step(
    executions: Sequence[Execution],
    form: Form | None,
    loop: int,
    history: History,
    by_name: Mapping[str, Sequence[Execution]],
) -> int:
    """Calls of one neuron module in one time step (or in all, if one call takes them all); 1 where that is not certain."""
    count = len(executions)
    whole = form is not None and form.time is not None
    if count == 1:
        return 1
    if loop > 1 and not whole:
        return count // loop if count % loop == 0 else 1
    if not history.one_place(executions):
        return 1 if whole else count
    groups = _groups(executions[0], by_name)
    return groups if groups > 1 and count % groups == 0 else 1


def _groups(execution: Execution, by_name: Mapping[str, Sequence[Execution]]) -> int:
    """Into how many equal parts of its channels the output of a layer was cut before it came here."""
    if len(execution.sources[0]) != 1 or (source := next(iter(execution.sources[0]))) not in by_name:
        return 1
    whole, part = by_name[source][0].output_shape, execution.input_shape
    channels = len(whole) - (3 if len(whole) > 3 else 1)
    rest = whole[:channels] == part[:channels] and whole[channels + 1 :] == part[channels + 1 :]
    if len(whole) != len(part) or channels < 1 or not rest or whole[channels] % part[channels]:
        return 1
    return whole[channels] // part[channels]


def _stands(execution: Execution, by_name: Mapping[str, Sequence[Execution]]) -> bool:
    """Whether a call works on what runs once per inference, and not on single time steps of that."""
    for source in (s for sources in execution.sources for s in sources if s in by_name):
        whole, part = by_name[source][0].output_shape, execution.input_shape
        if len(by_name[source]) > 1 or whole[0] != part[0] or len(whole) == len(part) + 1:
            return False
    return True


def _stateless(runs: int, steps: int, rounds: int, standing: bool) -> int:
    """Calls in one time step of a function that remembers nothing."""
    if runs in (1, steps, rounds):
        return 1
    if steps > 1 and runs % steps == 0:
        return runs // steps
    if rounds > 1 and runs % rounds == 0:
        return runs // rounds
    return runs if standing else 1


def _now(execution: Execution, at: Mapping[str, Sequence[int]]) -> frozenset[str]:
    """Origins of this time step, and those that stand still."""
    found: Origins = {s: i for sources in execution.sources for s, i in sources.items()}
    return frozenset(s for s, i in found.items() if i >= execution.index or len(at.get(s, ())) < 2)
