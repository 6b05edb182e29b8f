"""Every error a user or developer can meet, and the one way to phrase it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TrueJouleError(Exception):
    """Root of all errors raised on purpose."""


class InputError(TrueJouleError):
    """The user's input is wrong; the command line exits with code 2.

    Parameters
    ----------
    what : the problem in one sentence.
    where : layer name, file path and line, or argument name.
    got, expected : the offending value and what would have been right.
    fix : what to do now.
    """

    def __init__(self, what: str, *, where: str = "", got: object = None, expected: str = "", fix: str = "") -> None:
        self.what, self.where, self.got, self.expected, self.fix = what, where, got, expected, fix
        lines = [what]
        for label, text in (
            ("where", where),
            ("got", "" if got is None else _short(got)),
            ("expected", expected),
            ("fix", fix),
        ):
            if text:
                lines.append(f"  {label + ':':<10}{text}")
        super().__init__("\n".join(lines))


class InvariantError(TrueJouleError):
    """A result broke a law it must obey (negative energy, parts that do not sum): our bug, never the user's."""

    def __init__(self, law: str, detail: str) -> None:
        super().__init__(f"internal check failed: {law}: {detail}. This is a bug in truejoule; please report it.")


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """A hint that names the closest option, or lists the options when none is close."""
    names = sorted(options)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else "choose one of: " + ", ".join(names)


def some(names: Iterable[str], most: int = 3) -> str:
    """``conv1, conv2, conv3 and 18 more``."""
    found = list(names)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


def in_one_line(error: BaseException, most: int = 200) -> str:
    """Kind and first useful line of somebody else's error: frameworks write whole pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else lines[0] if lines else ""
    return f"{type(error).__name__}: {_short(text, most)}" if text else type(error).__name__


def _short(value: object, limit: int = 200) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
