"""One small evaluation for all tests of the report, and one whose every name tries to break out."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'&{{7*7}} \u2028 层 [red]ü"


@pytest.fixture
def evaluation() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "evaluation.json").read_text(encoding="utf-8"))


@pytest.fixture
def hostile(evaluation: dict[str, Any]) -> dict[str, Any]:
    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {rename(k) if k == "c2" else k: rename(v) for k, v in value.items()}
        if isinstance(value, list):
            return [rename(v) for v in value]
        return HOSTILE if value == "c2" else value

    found = rename(copy.deepcopy(evaluation))
    for key in ("network", "title", "verdict"):
        found[key] = f"{key} {HOSTILE}"
    found["remedies"], found["warnings"] = [HOSTILE], [HOSTILE]
    found["workload"]["not_understood"] = [{"where": HOSTILE, "operation": HOSTILE, "reason": HOSTILE}]
    found["provenance"][HOSTILE] = HOSTILE
    found["parameters"][0]["source"] = HOSTILE
    found["ledger"][0]["source"] = found["ledger"][0]["action"] = HOSTILE
    return found
