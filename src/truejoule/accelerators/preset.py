"""Machines as data: read a preset, check every entry, say where each value comes from."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from truejoule.components.coefficient import Coefficient
from truejoule.errors import InputError, did_you_mean
from truejoule.units import parse

FOLDER = Path(__file__).parent / "presets"


@dataclass(frozen=True, slots=True)
class Unit:
    """Marks a field of a design: ``Annotated[float, Unit("ohm")]`` for a quantity, ``Annotated[Coefficient, Unit("J")]`` for a constant with a band."""

    name: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One line of ``truejoule accelerators show``: a value and where it comes from."""

    name: str
    value: Any
    unit: str
    source: str
    kind: str
    low: float | None = None
    high: float | None = None
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Preset:
    """A machine as written in a YAML file.

    Attributes
    ----------
    name, machine, title : ``machine`` is the folder of ``accelerators/`` that runs it.
    entries : per parameter what the file says: a mapping with ``value``, ``source``, ``kind`` and optionally ``low``, ``high``, ``node``, ``meaning``.
    origin : the file.
    lines : line number per parameter.
    """

    name: str
    machine: str
    title: str
    summary: str
    entries: Mapping[str, Mapping[str, Any]]
    origin: str
    lines: Mapping[str, int]

    def where(self, parameter: str) -> str:
        return (
            f"{self.origin}:{self.lines[parameter]}, {parameter}"
            if parameter in self.lines
            else f"{self.origin}, {parameter}"
        )


def names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def path_of(name_or_path: str | Path) -> Path:
    """The file of a preset name, or the path itself if it ends in .yaml. Raises ``InputError`` for an unknown name."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    path = FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        raise InputError(
            f"no accelerator {str(name_or_path)!r}",
            fix=did_you_mean(str(name_or_path), names()) + "; or give the path of a .yaml file",
        )
    return path


def load(name_or_path: str | Path) -> Preset:
    """Read a preset by name, or a YAML file by path.

    Raises
    ------
    InputError : unknown name, unreadable file, or a file that is not a preset.
    """
    import yaml

    path = path_of(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            "the accelerator file cannot be read", where=str(path), got=error.strerror or str(error)
        ) from None
    try:
        tree, data = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError("the accelerator file is not valid YAML", where=str(path), got=str(error)) from None
    needed = ("machine", "title", "summary", "parameters")
    if not isinstance(data, dict) or any(key not in data for key in needed):
        raise InputError(
            "not an accelerator file",
            where=str(path),
            expected="the keys " + ", ".join(needed),
            fix="start from the output of `truejoule accelerators show NAME --yaml`",
        )
    if extra := set(data) - {*needed, "name"}:
        raise InputError(
            f"unknown key {sorted(extra)[0]!r}", where=str(path), fix=did_you_mean(sorted(extra)[0], [*needed, "name"])
        )
    lines = {}
    for key, node in tree.value:
        if key.value == "parameters" and hasattr(node, "value"):
            lines = {k.value: k.start_mark.line + 1 for k, _ in node.value}
    if not isinstance(data["parameters"], dict):
        raise InputError(
            "the parameters of an accelerator file are a mapping",
            where=str(path),
            got=data["parameters"],
            expected="parameters: {name: {value: ..., source: ...}}",
        )
    return Preset(
        str(data.get("name", path.stem)),
        str(data["machine"]),
        str(data["title"]),
        " ".join(str(data["summary"]).split()),
        data["parameters"],
        path.name if path.parent == FOLDER else str(path),
        lines,
    )


def fill(
    kinds: Sequence[type], preset: Preset, overrides: Mapping[str, object]
) -> tuple[tuple[Any, ...], tuple[Parameter, ...]]:
    """One instance of each frozen dataclass in ``kinds``, filled from a preset and the user's overrides.

    Every field of every kind must be in the preset; a field's ``metadata["meaning"]`` explains it.

    Raises
    ------
    InputError : unknown or missing parameter, bare number where a unit is due, value outside the field's choices, no source.
    """
    known = {f.name: f for kind in kinds for f in fields(kind)}
    hints = {name: hint for kind in kinds for name, hint in typing.get_type_hints(kind, include_extras=True).items()}
    for name in [*preset.entries, *overrides]:
        if name not in known:
            raise InputError(
                f"unknown parameter {name!r}",
                where=preset.where(name) if name in preset.entries else f"override of {preset.name}",
                fix=did_you_mean(name, known),
            )
    values, parameters = {}, []
    for name, field in known.items():
        if name not in preset.entries:
            raise InputError(
                f"the parameter {name!r} is missing",
                where=preset.origin,
                expected=str(field.metadata.get("meaning", "")),
                fix="add it with value, source and kind",
            )
        entry, where = preset.entries[name], preset.where(name)
        if not isinstance(entry, Mapping) or not {"value", "source", "kind"} <= set(entry):
            raise InputError(
                "a parameter needs value, source and kind",
                where=where,
                got=entry,
                expected='{value: "2.5 pJ", source: "paper, table", kind: published}',
            )
        if extra := set(entry) - {"value", "source", "kind", "low", "high", "node"}:
            raise InputError(
                f"unknown key {sorted(extra)[0]!r}",
                where=where,
                fix=did_you_mean(sorted(extra)[0], ["value", "source", "kind", "low", "high", "node"]),
            )
        if name in overrides:
            entry, where = (
                {"value": overrides[name], "source": "set by the user", "kind": "assumed"},
                f"override {name}",
            )
        value, unit = _value(hints[name], name, entry, where)
        values[name] = value
        band = (value.low, value.high) if isinstance(value, Coefficient) else (None, None)
        shown = value.value if isinstance(value, Coefficient) else value
        parameters.append(
            Parameter(
                name,
                shown,
                unit,
                str(entry["source"]),
                str(entry["kind"]),
                *band,
                str(field.metadata.get("meaning", "")),
            )
        )
    return tuple(kind(**{f.name: values[f.name] for f in fields(kind)}) for kind in kinds), tuple(parameters)


def _value(hint: Any, name: str, entry: Mapping[str, Any], where: str) -> tuple[Any, str]:
    """Value of one field, converted and checked, and its unit."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        base, unit = typing.get_args(hint)[0], typing.get_args(hint)[1].name
        if base is Coefficient:
            numbers = {key: parse(entry[key], unit, where=where) for key in ("value", "low", "high") if key in entry}
            node = parse(entry["node"], "m", where=where) if "node" in entry else None
            try:
                return Coefficient(
                    name=name.replace("_", " "),
                    unit=unit,
                    source=str(entry["source"]),
                    kind=entry["kind"],
                    node_m=node,
                    **numbers,
                ), unit
            except InputError as error:
                raise InputError(
                    error.what, where=where, got=error.got, expected=error.expected, fix=error.fix
                ) from None
        value = parse(entry["value"], unit, where=where)
        if value < 0:
            raise InputError(f"a negative {name}", where=where, got=entry["value"], expected="zero or more")
        return value, unit
    return _plain(hint, name, entry["value"], where), ""


def _plain(hint: Any, name: str, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise InputError(
                f"not a value of {name}",
                where=where,
                got=value,
                fix=did_you_mean(str(value), map(str, typing.get_args(hint))),
            )
        return value
    options = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    kind = next(o for o in options if o is not type(None))
    right = isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value, right = float(value), True
    if not right:
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
        raise InputError(
            f"not a value of {name}",
            where=where,
            got=value,
            expected=expected + (" or null" if type(None) in options else ""),
        )
    if isinstance(value, (int, float)) and value < 0:
        raise InputError(f"a negative {name}", where=where, got=value, expected="zero or more")
    return value
