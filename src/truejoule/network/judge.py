"""What a written-out layer is: a neuron, a step, a sign, a staircase or a ReLU, judged from what its program answers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from truejoule.network.probe import UnknownNeuron, measured
from truejoule.network.region import Refused
from truejoule.network.replay import NotReplayable, Replay
from truejoule.workload import Neuron
from truejoule.workload.layer import Op


def judge(replay: Replay, steps: int, unused: bool) -> tuple[Op | None, Neuron | None, str]:
    try:
        if steps == 1:
            if unused:
                raise Refused("one time step does not show what it remembers; read the network with two steps or more")
            return _stateless(lambda x: replay.run(x.unsqueeze(0))[0])
        _require_sum(replay)
        neuron = measured(replay, replay.constants(), "a neuron in the forward pass")
        if neuron is None:
            return _stateless(lambda x: replay.run(x.expand(replay.longest, -1))[-1])
        return "neuron", neuron, ""
    except NotReplayable as error:
        raise Refused(str(error)) from error
    except UnknownNeuron as error:
        raise Refused(error.reason) from error


def _require_sum(replay: Replay) -> None:
    """Two inputs (feed-forward and recurrent) must act as their sum."""
    if max(len(d) for d in replay.drives) == 1:
        return
    if max(len(d) for d in replay.drives) > 2:
        raise Refused("more than two inputs enter it")
    generator = torch.Generator().manual_seed(2)
    x, other = (torch.randint(-16, 17, (replay.longest, 512), generator=generator) / 8 for _ in range(2))
    if not torch.equal(replay.run(x), replay.split(x, other)):
        raise Refused("two inputs enter it that do not act as their sum")


def _stateless(function: Callable[[Tensor], Tensor]) -> tuple[Op | None, Neuron | None, str]:
    """What a stateless elementwise function is, read from its values."""
    wide = torch.logspace(-4, 4, 400)
    x = torch.cat([-wide, torch.zeros(1), wide, torch.linspace(-8, 8, 1601), torch.linspace(-1.5, 1.5, 601)]).sort()[0]
    y = function(x)
    if torch.equal(y, x):
        return None, None, ""
    if torch.equal(y, x.clamp(min=0)):
        return "relu", None, ""
    snapped = torch.where((y - y.round()).abs() < 1e-5, y.round(), y)
    levels = torch.unique(snapped)
    change = snapped.diff()
    if not 2 <= levels.numel() <= 300 or (bool((change > 0).any()) and bool((change < 0).any())):
        raise Refused("neither a step, nor a staircase, nor a ReLU")
    low, high = float(levels[0]), float(levels[-1])
    if levels.numel() == 2:
        note = "" if (low, high) == (-1.0, 1.0) else f"times {high:g}" if low == -high else f"{low:g} or {high:g}"
        return "sign", None, note
    if snapped[x == 0].numel() and levels.numel() == 3 and low == -high and bool((snapped[x != 0] != 0).all()):
        return "sign", None, "" if high == 1 else f"times {high:g}"
    return ("relu" if low >= 0 else None), None, f"quantised to {levels.numel()} levels"
