"""The check that a record says what a module does: random sequences, every output compared."""

from __future__ import annotations

import torch
from torch import Tensor

from truejoule.network.calling import NotElementwise
from truejoule.network.lanes import Lanes
from truejoule.network.predict import predict, shaped, trajectory
from truejoule.workload.neuron import Constant, Neuron, values

CLOSE = 2e-5  # relative distance from the threshold within which float32 rounding may decide
STEPS, WIDTH = 50, 384
EXCUSED = 0.05  # largest share of random lanes whose spikes may be decided by rounding


def disagreement(
    neuron: Neuron, lanes: Lanes, at: Tensor, *, steps: int = STEPS, close: float = CLOSE, exact: bool = False
) -> str:
    """What a module does that its record does not say, on random sequences; empty if the record holds.

    Only a spike that rounding can decide may differ, in lanes that stay the exception.

    Parameters
    ----------
    at : (neurons,) smallest input that fires.
    steps : length of the sequences.
    close : relative distance from the threshold within which rounding may decide.
    exact : the module's constants are short binary fractions, so that where the record needs no rounding the module needs none.
    """
    steps = min(steps, lanes.form.steps or steps)

    def of(constant: Constant) -> Tensor:
        return torch.tensor(values(constant), dtype=torch.float64)

    width = max(WIDTH // lanes.neurons // 8, 2) * 8
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([0.3, 0.7, 1.5, 4.0]).repeat(width // 8)[:, None]
    shape = (steps, width // 2, lanes.neurons)
    smooth = torch.randn(shape, generator=generator) * scales * at + 0.2 * at
    exactly = ((of(neuron.threshold) - of(neuron.decay) * of(neuron.start)) / of(neuron.gain)).float()
    lattice = torch.randint(-3, 9, shape, generator=generator) * (exactly / 4)
    x = torch.cat([smooth, lattice], 1).to(lanes.precision)
    try:
        got = lanes.run(x).double()
    except NotElementwise as error:
        return str(error)
    return compare(neuron, x, got, close, width // 2, exact)


def compare(neuron: Neuron, x: Tensor, got: Tensor, close: float, smooth: int, exact: bool = False) -> str:
    """The first difference between outputs (T, lanes, ...) and those of a record that rounding cannot explain."""
    spikes, membrane, unrounded = trajectory(neuron, x)
    rough, coarse = predict(neuron, x, torch.float32)
    threshold, height = shaped(neuron.threshold, x), shaped(neuron.height, x)
    nearest = torch.round(membrane.abs() / threshold).clamp(1, neuron.max_spikes) * threshold
    scale = (membrane.abs() + threshold).cummax(0).values
    tight = ((membrane.abs() - nearest).abs() <= close * scale) | _between(neuron, unrounded, x, close * scale)
    certain = (coarse.double() == membrane).to(torch.int8).cummin(0).values > 0
    wrong = (got - spikes).abs() > 1e-3 * height
    # A lane that passed a knife-edge may go another way from there on; but such lanes must stay the exception.
    excused = (tight.to(torch.int8).cummax(0).values > 0) & wrong
    hard = (wrong & ~excused) | (exact & certain & ((got - rough.double()).abs() > 1e-3 * height))
    if bool(hard.any()):
        step, *lane = (int(i[0]) for i in hard.nonzero(as_tuple=True))
        here = (slice(None), *lane)
        return (
            f"at step {step} it predicts {spikes[here][step]:g} and the module gives {got[here][step]:g} "
            f"(inputs {[round(float(v), 4) for v in x[here][max(0, step - 3) : step + 1]]})"
        )
    share = float(excused[:, :smooth].any(0).double().mean()) if smooth else 0.0
    if share > EXCUSED:
        return f"{share:.0%} of random sequences differ by what rounding may decide"
    return ""


def _between(neuron: Neuron, unrounded: Tensor, x: Tensor, width: Tensor) -> Tensor:
    """Where a state lies in the middle between two points of its grid, so that rounding may take either."""
    if neuron.grid == 0:
        return torch.zeros_like(unrounded, dtype=torch.bool)
    grid = shaped(neuron.grid, x)
    return ((unrounded / grid - torch.floor(unrounded / grid) - 0.5) * grid).abs() <= width
