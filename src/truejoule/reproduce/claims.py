"""What a claim is, and the list of papers whose claims are re-run: one file each."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from truejoule.errors import InputError, did_you_mean

Verdict = Literal["reproduced", "differs", "not reproducible"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A published number beside ours.

    Attributes
    ----------
    paper, claim : which, and what it says, with its conditions.
    published, unit : the printed value.
    released, corrected : our number under the as-published and under the corrected model, ``None`` where one does not apply.
    about : which of the two the claim is about; its relative deviation is reported.
    tolerance : relative deviation up to which it counts as reproduced.
    reason : why it deviates, or why it should.
    """

    paper: str
    claim: str
    published: float
    unit: str
    released: float | None
    corrected: float | None
    about: Literal["released", "corrected"]
    tolerance: float
    reason: str
    at_least: bool = False
    """The published value is a lower bound."""

    @property
    def deviation(self) -> float | None:
        """``ours / published - 1``."""
        ours = self.released if self.about == "released" else self.corrected
        return None if ours is None else ours / self.published - 1.0

    @property
    def verdict(self) -> Verdict:
        if self.deviation is None:
            return "not reproducible"
        within = self.deviation >= -self.tolerance if self.at_least else abs(self.deviation) <= self.tolerance
        return "reproduced" if within else "differs"

    def to_json(self) -> dict[str, Any]:
        """One row of ``truejoule reproduce --json``."""
        return asdict(self) | {"deviation": self.deviation, "verdict": self.verdict}


def papers() -> list[str]:
    """Names for ``claims``: the files beside this one."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in ("__init__", "claims"))


def claims(paper: str | None = None) -> Sequence[Claim]:
    """Re-run the claims of one paper, or of all.

    Raises
    ------
    InputError : for an unknown paper.
    """
    if paper is not None and paper not in papers():
        raise InputError(f"no claims of {paper!r}", fix=did_you_mean(paper, papers()))
    found: list[Claim] = []
    for name in [paper] if paper else papers():
        found += importlib.import_module(f"truejoule.reproduce.{name}").claims()
    return found
