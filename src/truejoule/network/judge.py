"""What a written-out layer is: a neuron, a step, a sign, a staircase or a ReLU, judged from what its program answers."""

from __future__ import annotations

import torch

from truejoule.network.forms import Form
from truejoule.network.lanes import Lanes
from truejoule.network.probe import UnknownNeuron, measured
from truejoule.network.region import Refused
from truejoule.network.replay import NotReplayable, Replay, ReplayCaller
from truejoule.workload import Neuron
from truejoule.workload.layer import Op

SHORTEST = 3  # time steps with which a short memory, a long one and a second state can be told apart


def judge(replay: Replay, steps: int, unused: bool) -> tuple[Op | None, Neuron | None, str]:
    """Operation, neuron and note of a layer; no operation where values pass through (identity, signed quantiser).

    Parameters
    ----------
    steps : time steps that were found to belong together.
    unused : whether a state is computed that nothing reads.

    Raises
    ------
    Refused
    """
    try:
        if steps > 1:
            _require_sum(replay)
        if steps > 1 and _remembers(replay):
            if steps < SHORTEST:
                raise Refused(
                    f"{steps} time steps do not show what it remembers; read the network with {SHORTEST} or more"
                )
            lanes = Lanes(ReplayCaller(replay), Form(time=0, steps=replay.steps, neurons=(replay.neurons,)))
            return "neuron", measured(lanes, replay.constants(), "a neuron in the forward pass"), ""
        if unused:
            raise Refused(f"one time step does not show what it remembers; read the network with {SHORTEST} or more")
        return _stateless(replay)
    except NotReplayable as error:
        raise Refused(str(error)) from error
    except UnknownNeuron as error:
        raise Refused(error.reason) from error


def _remembers(replay: Replay) -> bool:
    """Whether some earlier input changes a later answer, for inputs of every size."""
    generator = torch.Generator().manual_seed(3)
    shape = (replay.steps, 4096 // replay.neurons + 16, replay.neurons)
    for trial in range(max(4, replay.steps - 1)):
        step = trial % (replay.steps - 1)
        x = (0.5 + torch.randn(shape, generator=generator)) * 10 ** (
            6.5 * torch.rand(shape[1:], generator=generator) - 2.5
        )
        other = x.clone()
        other[step] = x[step] * torch.randn(shape[1:], generator=generator)
        if not torch.equal(replay.run(x)[step + 1 :], replay.run(other)[step + 1 :]):
            return True
    return False


def _require_sum(replay: Replay) -> None:
    """Two inputs (feed-forward and recurrent) must act as their sum."""
    if max(len(d) for d in replay.drives) == 1:
        return
    if max(len(d) for d in replay.drives) > 2:
        raise Refused("more than two inputs enter it")
    generator = torch.Generator().manual_seed(2)
    shape = (replay.steps, 512, replay.neurons)
    x, other = (torch.randint(-16, 17, shape, generator=generator) / 8 for _ in range(2))
    if not torch.equal(replay.run(x), replay.run(x, other)):
        raise Refused("two inputs enter it that do not act as their sum")


def _stateless(replay: Replay) -> tuple[Op | None, Neuron | None, str]:
    """What a stateless elementwise function is, read from its values."""
    wide = torch.logspace(-4, 4, 400)
    x = torch.cat([-wide, torch.zeros(1), wide, torch.linspace(-8, 8, 1601), torch.linspace(-1.5, 1.5, 601)]).sort()[0]
    x = x[:, None].expand(-1, replay.neurons)
    every = replay.run(x.expand(replay.steps, -1, -1))
    y = every[-1]
    if not torch.equal(every, y.expand_as(every)):
        raise Refused("what it does changes from one time step to the next")
    if torch.equal(y, x):
        return None, None, ""
    if torch.equal(y, x.clamp(min=0)):
        return "relu", None, ""
    snapped = torch.where((y - y.round()).abs() < 1e-5, y.round(), y)
    levels, change = torch.unique(snapped), snapped.diff(dim=0)
    if not 2 <= levels.numel() <= 300 or (bool((change > 0).any()) and bool((change < 0).any())):
        raise Refused("neither a step, nor a staircase, nor a ReLU")
    low, high = float(levels[0]), float(levels[-1])
    if levels.numel() == 2:
        note = "" if (low, high) == (-1.0, 1.0) else f"times {high:g}" if low == -high else f"{low:g} or {high:g}"
        return "sign", None, note
    if levels.numel() == 3 and low == -high and bool((snapped[x != 0] != 0).all()):
        return "sign", None, "" if high == 1 else f"times {high:g}"
    return ("relu" if low >= 0 else None), None, f"quantised to {levels.numel()} levels"
