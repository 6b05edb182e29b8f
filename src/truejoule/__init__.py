"""truejoule: what a trained network truly costs, and how accurate it stays, on real inference hardware.

The public names; each is loaded when first used, so that ``import truejoule`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from truejoule import circuit as circuit
    from truejoule import zoo as zoo
    from truejoule.accelerators.accelerator import Accelerator as Accelerator
    from truejoule.accelerators.accelerator import accelerator as accelerator
    from truejoule.errors import InputError as InputError
    from truejoule.errors import TrueJouleError as TrueJouleError
    from truejoule.evaluation import Evaluation as Evaluation
    from truejoule.gathering import Samples as Samples
    from truejoule.gathering import samples as samples
    from truejoule.mitigation import Mitigation as Mitigation
    from truejoule.mitigation import Plan as Plan
    from truejoule.network import Network as Network
    from truejoule.network import observe as observe
    from truejoule.network import read as read
    from truejoule.pipeline import evaluate as evaluate
    from truejoule.workload import Activity as Activity
    from truejoule.workload import Layer as Layer
    from truejoule.workload import Neuron as Neuron
    from truejoule.workload import Workload as Workload

_WHERE = {
    "Accelerator": "accelerators.accelerator",
    "accelerator": "accelerators.accelerator",
    "InputError": "errors",
    "TrueJouleError": "errors",
    "samples": "gathering",
    "Samples": "gathering",
    "evaluate": "pipeline",
    "Evaluation": "evaluation",
    "Mitigation": "mitigation",
    "Plan": "mitigation",
    "Network": "network",
    "observe": "network",
    "read": "network",
    "Activity": "workload",
    "Layer": "workload",
    "Neuron": "workload",
    "Workload": "workload",
    "circuit": None,
    "zoo": None,
}
__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'truejoule' has no attribute {name!r}")
    where = _WHERE[name]
    found = (
        importlib.import_module(f"truejoule.{name}")
        if where is None
        else getattr(importlib.import_module(f"truejoule.{where}"), name)
    )
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
