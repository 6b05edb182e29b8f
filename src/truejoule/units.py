"""Quantities: text with a unit at the outside, SI floats inside. The only module that parses or formats units."""

from __future__ import annotations

import math
import re

from truejoule.errors import InputError

PREFIXES = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
}
"""SI prefixes we read; ``a`` (atto) is left out because it clashes with nothing worth its confusion."""

UNITS = {
    "J": "J",
    "s": "s",
    "V": "V",
    "A": "A",
    "W": "W",
    "Hz": "Hz",
    "ohm": "ohm",
    "Ω": "ohm",
    "S": "S",
    "F": "F",
    "m": "m",
    "m2": "m2",
    "m²": "m2",
}
"""Symbols that take a prefix, and the SI unit they stand for."""

COUNTED = {
    "bit": (1.0, "bit"),
    "B": (8.0, "bit"),
    "byte": (8.0, "bit"),
    "KB": (8.0 * 1024, "bit"),
    "MB": (8.0 * 1024**2, "bit"),
}
"""Information units; kept apart because 1 KB is 1024 bytes in this field."""

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")


def parse(text: object, unit: str, *, where: str = "") -> float:
    """Turn ``"2.5 pJ"`` into ``2.5e-12`` after checking that it has the wanted SI ``unit`` (such as ``"J"`` or ``"J/bit"``).

    Ratios have the unit ``""`` and are plain numbers.

    Raises
    ------
    InputError : for a bare number, an unknown unit, or a unit of another dimension.
    """
    if not unit and isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    example = f'"{_example(unit)}"' if unit else "0.5"
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        raise InputError(
            "a number without a unit",
            where=where,
            got=text,
            expected=f"a quantity in {unit}",
            fix=f"write it with its unit, for example {example}",
        )
    match = _NUMBER.match(text) if isinstance(text, str) else None
    if match is None:
        raise InputError(
            "not a quantity",
            where=where,
            got=text,
            expected=f"a number with a unit of {unit}",
            fix=f"for example {example}",
        )
    scale, found = _unit(match.group(2), where, example)
    if found != unit:
        raise InputError(
            "a quantity of the wrong kind" if found else "a number without a unit",
            where=where,
            got=text,
            expected=f"a quantity in {unit}",
            fix=f"for example {example}",
        )
    # Dividing by the exact power of ten keeps "2.5 pJ" == 2.5e-12 to the last bit, as a reader expects.
    return (
        float(match.group(1)) / (1.0 / scale)
        if scale < 1 and (1.0 / scale).is_integer()
        else float(match.group(1)) * scale
    )


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """Engineering notation: ``format_si(4.7e-9, "J") == "4.70 nJ"``; areas use mm² and µm², ratios no unit."""
    if not math.isfinite(value):
        return f"{value} {unit}".strip()
    if value == 0:
        return f"0 {unit}".strip()
    if unit.split("/")[0] == "m2":
        rest = unit[2:]
        size, symbol = (1e-6, "mm²") if abs(value) >= 1e-9 else (1e-12, "µm²")
        return f"{_digits(value / size, digits)} {symbol}{rest}"
    power = min(max(3 * math.floor(math.log10(abs(value)) / 3 + 1e-12), -15), 12)
    if abs(float(f"{value / 10.0**power:.{digits}g}")) >= 1000 and power < 12:
        power += 3
    symbol = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}[power]
    return f"{_digits(value / 10.0**power, digits)} {symbol}{unit}".strip()


def _digits(value: float, digits: int) -> str:
    """``digits`` significant digits, without an exponent where it reads well."""
    if value == 0 or not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits}g}"
    places = digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits}g}"))))
    return f"{value:.{max(places, 0)}f}"


def _unit(text: str, where: str, example: str) -> tuple[float, str]:
    """Scale and SI name of a unit such as ``fJ/bit/mm``."""
    if not text:
        return 1.0, ""
    scale, names = 1.0, []
    for position, part in enumerate(p.strip() for p in text.split("/")):
        factor, name = _single(part, where, example)
        scale = scale * factor if position == 0 else scale / factor
        names.append(name)
    return scale, "/".join(names)


def _single(part: str, where: str, example: str) -> tuple[float, str]:
    if part in COUNTED:
        return COUNTED[part]
    if part in UNITS:
        return 1.0, UNITS[part]
    prefix, symbol = part[:1], part[1:]
    if prefix in PREFIXES and symbol in UNITS:
        factor = PREFIXES[prefix]
        return (factor**2 if UNITS[symbol] == "m2" else factor), UNITS[symbol]
    raise InputError(
        f"unknown unit {part!r}",
        where=where,
        got=part,
        expected="SI units such as J, s, V, ohm, S, m2, bit with an SI prefix",
        fix=f"for example {example}",
    )


def _example(unit: str) -> str:
    first = {
        "J": "2.5 pJ",
        "s": "104 ns",
        "V": "0.1 V",
        "A": "5 uA",
        "W": "3 mW",
        "Hz": "250 MHz",
        "ohm": "10 kohm",
        "S": "50 uS",
        "F": "0.2 fF",
        "m": "65 nm",
        "m2": "26 um2",
        "bit": "4 KB",
    }
    head, *rest = unit.split("/")
    return "/".join([first.get(head, f"1 {head}"), *rest])
