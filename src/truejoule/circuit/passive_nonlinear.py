"""Passive arrays of non-linear cells: Newton's method on the cell currents, with a certificate.

With ``Z`` the impedance of the wires (`truejoule.circuit.passive_iterative`), drives ``E`` and the law ``i(V)`` of the
cells, the currents ``j`` obey

    V = E - Z j,        j = i(V).

The iterates obey the first equation exactly; Newton's step solves ``(1 + D Z) δj = ρ`` with ``D = di/dV`` and the
mismatch ``ρ = i(V) - j``, by conjugate gradients on its symmetric form. The solution minimises the convex function
``½ j·Zj + Σ ∫ i dV``, whose slope along a step needs no integral, ``Z δj · (j - i(V))``; a search for its zero makes
the method converge from anywhere, however sharply the cells switch. It starts from each cell solved by itself behind
the resistance that it would see if all cells carried its current.

A resistance in series with each cell (`truejoule.circuit.cells.Series`) is a wire like any other and goes into ``Z``.

**Certificate.** ``j`` is exact for the array with current sources ``ρ`` added across the cells. In a network of
monotone cells a source changes no output by more than itself, so every output current is within ``Σ |ρ|`` of the
true one, rounding of the sums apart: `NonlinearSolution.error_bound_a`. It is computed in fp64 whatever the input. A
solution that does not reach its tolerance is refused, never returned.

Sources: derived here; method of the co-content, W. Millar, Phil. Mag. 42, 1150 (1951). Checked against ngspice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from truejoule.circuit.cells import Cell, Ohmic, Series, evaluate, inner_voltage
from truejoule.circuit.passive import _Array
from truejoule.circuit.passive_iterative import WireImpedance, shifted_solve
from truejoule.circuit.topology import PASSIVE, Topology, require_one_ended
from truejoule.circuit.wires import Wires
from truejoule.errors import InputError

_MOST_NEWTON = 200
_MOST_STUCK = 30
"""Newton steps without halving the residual, which is no merit function and may rise for a while."""
_MOST_SEARCH = 40
_STEEP = 1e3
"""Largest product of cell conductance and series resistance that conjugate gradients are asked to cope with."""
_START_STEPS = 8
"""Of the scalar solves that the iteration starts from; strong selectors profit from a good start."""
_CHUNK_BYTES = 8 * 2**20
"""Working memory of the inputs and tiles solved together."""
_ARRAYS = 16
"""Arrays of the size of the problem that are alive at once."""


@dataclass(frozen=True)
class NonlinearSolution:
    """An array of non-linear cells under given inputs; the dimension ``N`` is absent where ``v`` had none."""

    currents_a: Tensor
    """Into the virtual grounds, ``(..., N, columns)``."""
    cell_voltages_v: Tensor
    """Across each cell, word line minus bit line, ``(..., N, rows, columns)``."""
    power_w: Tensor
    """Delivered by the drivers, ``(..., N)``."""
    error_bound_a: Tensor
    """No output current is off by more than this, ``(..., N)``; fp64. See the module."""
    residual: Tensor
    """``error_bound_a`` relative to the largest sum of absolute cell currents in a column, ``(..., N)``; fp64."""
    newton_steps: int
    """Of the slowest chunk."""
    cg_steps: int
    """In all Newton steps of the slowest chunk together."""
    warnings: tuple[str, ...] = ()
    """Cells beyond the voltages their law was measured at."""


def solve_nonlinear(
    g_siemens: Tensor | np.ndarray,
    wires: Wires,
    v: Tensor | np.ndarray,
    cell: Cell,
    tolerance: float = 1e-10,
    *,
    topology: Topology = PASSIVE,
) -> NonlinearSolution:
    """Currents and voltages of a passive array of cells with law ``cell`` in states ``g_siemens (..., rows, columns)``.

    ``v``: ``(rows,)`` or ``(..., N, rows)`` in V, as in `truejoule.circuit.passive`. Perfect wires and open cells are
    exact. Differentiable with respect to conductances, voltages and wires, to first order (implicit function; one
    linear solve of the adjoint network). Memory stays bounded for any number of tiles and inputs.

    Raises
    ------
    InputError : as `transfer_matrix`; a topology other than `PASSIVE`; the law overflows or falls within the driven voltages; or ``tolerance`` (of the
        certified relative ``residual``) is not met, for example because it is below rounding.
    """
    require_one_ended(topology, "solve_nonlinear")
    return _solve(g_siemens, wires, v, cell, tolerance)


def solve_iterative(
    g_siemens: Tensor | np.ndarray,
    wires: Wires,
    v: Tensor | np.ndarray,
    tolerance: float = 1e-12,
    *,
    topology: Topology = PASSIVE,
) -> NonlinearSolution:
    """Ohmic cells without forming a transfer matrix: for a few inputs of an array that is reprogrammed all the time.

    Certified as `solve_nonlinear`. Same arguments and errors.
    """
    require_one_ended(topology, "solve_iterative")
    return _solve(g_siemens, wires, v, Ohmic(), tolerance)


def _solve(g_siemens: Tensor | np.ndarray, wires: Wires, v: object, cell: Cell, tolerance: float) -> NonlinearSolution:
    if not 0.0 < tolerance < 1.0:
        raise InputError("a relative tolerance lies between 0 and 1", where="tolerance", got=tolerance)
    array = _Array.of(g_siemens, wires)
    inputs, restore = array.inputs(v)  # type: ignore[arg-type]
    if not bool(torch.isfinite(inputs).all()):
        raise InputError("input voltages must be finite", where="v", got="inf or nan")
    _check_law(cell, array.g, inputs)
    tiles, rows, columns = array.g.shape
    count = inputs.shape[1]
    z = WireImpedance.of(array.segments, rows, columns)
    law = cell
    if not (z.word is None and z.bit is None):
        law, own_ohm = _inner(cell, array.g, inputs)
        z = replace(z, own_ohm=own_ohm)
    fit = max(1, _CHUNK_BYTES // (8 * _ARRAYS * rows * columns))
    wide, high = min(max(count, 1), fit), max(1, fit // max(count, 1))
    finished: list[tuple[Tensor, ...]] = []
    newton = cg = 0
    for first in range(0, max(tiles, 1), high):
        row = []
        for k in range(0, max(count, 1), wide):
            chunk = inputs[first : first + high, k : k + wide]
            part, steps = _chunk(
                z.tiles(first, first + high), array.g[first : first + high].unsqueeze(1), chunk, law, tolerance
            )
            row.append(part)
            newton, cg = max(newton, steps[0]), max(cg, steps[1])
        finished.append(tuple(torch.cat(x, 1) for x in zip(*row, strict=True)))
    currents, volts, inside, power, bound, residual = (torch.cat(x) for x in zip(*finished, strict=True))
    return NonlinearSolution(
        currents_a=restore(currents),
        cell_voltages_v=restore(volts),
        power_w=restore(power),
        error_bound_a=restore(bound).to(torch.float64),
        residual=restore(residual).to(torch.float64),
        newton_steps=newton,
        cg_steps=cg,
        warnings=_beyond(law, inside),
    )


def _chunk(
    z: WireImpedance, g: Tensor, x: Tensor, cell: Cell, tolerance: float
) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
    drive = x.unsqueeze(-1)
    with torch.no_grad():
        found = _newton(z, g.detach(), drive.detach(), cell, tolerance)
    j, volts = found.j, found.volts
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (g, x, z.word, z.bit)):
        j, volts = _attached(z, g, drive, cell, j, volts)
    power = (x * j.sum(-1)).sum(-1)
    outside = volts + z.own_ohm * j
    return (j.sum(-2), outside, volts.detach(), power, found.bound, found.residual), (found.newton, found.cg)


@dataclass(frozen=True)
class _Found:
    j: Tensor
    volts: Tensor
    bound: Tensor
    residual: Tensor
    newton: int
    cg: int


def _newton(z: WireImpedance, g: Tensor, drive: Tensor, cell: Cell, tolerance: float) -> _Found:
    shape = torch.broadcast_shapes(drive.shape, g.shape)
    drive_everywhere = drive.expand(shape)
    linear = isinstance(cell, Ohmic)
    narrow = z.each(lambda x: x.to(torch.float32))

    alone = z(torch.ones(1, 1, *shape[2:], dtype=g.dtype, device=g.device))
    volts = drive_everywhere if linear else inner_voltage(cell, drive_everywhere, g, alone, _START_STEPS)
    i, d = evaluate(cell, volts, g)
    root = d.sqrt()
    off = drive - volts - z(i)
    y, cg = _correction(narrow, root, off, 1e-6 if linear else 0.05)
    j = i + root * y
    volts = drive - z(j)
    i, d = evaluate(cell, volts, g)
    if not bool(torch.isfinite(i).all()):  # thrown beyond the law's range: start from no current at all instead
        j, volts = torch.zeros_like(j), drive_everywhere.clone()
        i, d = evaluate(cell, volts, g)

    best, stuck, fresh, newton = math.inf, 0, True, 1
    damped = torch.zeros(*shape[:2], 1, 1, dtype=torch.bool, device=g.device)
    for _ in range(_MOST_NEWTON):
        rho = i - j
        bound = rho.abs().sum((-1, -2))
        scale = torch.maximum(j.abs(), i.abs()).sum(-2).amax(-1)
        residual = torch.where(bound == 0, 0.0, bound / scale.clamp_min(1e-300)).nan_to_num(nan=math.inf)
        worst = float(residual.max()) if residual.numel() else 0.0
        if worst <= tolerance:
            if fresh:
                return _Found(j, volts, bound, residual, newton, cg)
            volts, fresh = drive - z(j), True  # certify without what rounding has added up on the way
            i, d = evaluate(cell, volts, g)
            continue
        fresh = False
        stuck = stuck + 1 if worst > 0.5 * best else 0
        best = min(best, worst)
        if stuck >= _MOST_STUCK:
            break
        # where Newton's step had to be shortened, cells that saturate count with their chord, which cannot overshoot
        chord = torch.where(volts != 0, i / volts, d).clamp_min(0)
        root = torch.where(damped, torch.maximum(d, chord), d).sqrt()
        goal = 0.03 * tolerance / residual.clamp_min(1e-300)
        goal = (goal if linear else torch.maximum(goal, residual)).clamp(1e-6, 0.01)[..., None, None]
        goal = torch.where(damped, 1e-4, goal)
        y, steps = _correction(narrow, root, -z(rho), goal)
        newton, cg = newton + 1, cg + steps
        dj = rho + root * y
        dv = -z(dj)
        t, i, d = _search(cell, g, j, volts, dj, dv, rho, residual > tolerance)
        damped = (t < 1) & ~damped
        j = j + t * dj
        volts = volts + t * dv
    raise InputError(
        "the array could not be solved to this tolerance",
        where="tolerance",
        got=f"certified residual {best:.1e}",
        expected=f"{tolerance:.1e}",
        fix="raise the tolerance above rounding; give cells that conduct far better than wires their series resistance",
    )


def _correction(narrow: WireImpedance, root: Tensor, off: Tensor, goal: float | Tensor) -> tuple[Tensor, int]:
    """``y`` of the Newton step for voltages ``off`` missing, in fp32: the outer iteration sees to the digits."""
    small = root.to(torch.float32)
    y, steps = shifted_solve(narrow, small, (root * off).to(torch.float32), goal)
    return y.to(torch.float64), steps


def _search(
    cell: Cell, g: Tensor, j: Tensor, volts: Tensor, dj: Tensor, dv: Tensor, rho: Tensor, open_: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Step length ``t (tiles, N, 1, 1)`` of each system, and the law there.

    ``slope(t) = -δV · (j + t δj - i(V + t δV))`` rises with ``t`` from a negative value; a step is good where it has
    come close to zero. Longer steps are tried where it is still far below.
    """

    def slope(t: Tensor, i: Tensor) -> Tensor:
        value = -torch.einsum("tnij,tnij->tn", dv, j + t * dj - i)[..., None, None]
        return torch.where(torch.isnan(value), math.inf, value)

    start = torch.einsum("tnij,tnij->tn", dv, rho)[..., None, None].abs()
    t = torch.where(open_[..., None, None], torch.ones_like(start), torch.zeros_like(start))
    low, high = torch.zeros_like(t), torch.full_like(t, math.inf)
    i, d = evaluate(cell, volts + t * dv, g)
    for _ in range(_MOST_SEARCH):
        s = slope(t, i)
        done = (s.abs() <= 0.5 * start) | (t == 0) | (t >= 16)
        done &= torch.isfinite(s) | (t == 0)
        if bool(done.all()):
            break
        low = torch.where(~done & (s < 0), t, low)
        high = torch.where(~done & ~(s < 0), t, high)
        t = torch.where(done, t, torch.where(torch.isinf(high), 2 * t, 0.5 * (low + high)))
        i, d = evaluate(cell, volts + t * dv, g)
    return t, i, d


def _attached(
    z: WireImpedance, g: Tensor, drive: Tensor, cell: Cell, j: Tensor, volts: Tensor
) -> tuple[Tensor, Tensor]:
    """``j`` and ``volts`` with gradients: ``dj = (1 + D Z)^-1 (∂i/∂g dg + D (dE - dZ j))``."""
    j, volts = j.detach(), volts.detach()
    slope = cell.conductance(volts, g).detach()
    root = slope.sqrt()
    passive = z.each(torch.Tensor.detach)

    def adjoint(grad: Tensor | None) -> Tensor | None:
        if grad is None:
            return None
        y, _ = shifted_solve(passive, root, root * grad, 1e-13)
        return grad - passive(root * y)

    free = cell.current(volts, g) + slope * (drive - z(j) - volts)
    free.register_hook(adjoint)
    return free, drive - z(free)


def _inner(cell: Cell, g: Tensor, inputs: Tensor) -> tuple[Cell, float]:
    """The law without its series resistances, and their sum, where the solver may count them as wires: not where the
    inner law is so steep that only the resistance keeps the equations well-conditioned."""
    law, ohm = cell, 0.0
    while isinstance(law, Series):
        law, ohm = law.cell, ohm + law.r_ohm
    if isinstance(law, Ohmic) or not (g.numel() and inputs.numel()):
        return cell, 0.0
    span = inputs.detach().abs().max()
    steepest = law.conductance(torch.stack([-span, span]), g.detach().max())
    return (law, ohm) if bool((steepest * ohm <= _STEEP).all()) else (cell, 0.0)


def _check_law(cell: Cell, g: Tensor, inputs: Tensor) -> None:
    """No cell can see more than the largest difference between driven voltages and ground."""
    if not (inputs.numel() and g.numel()):
        return
    span = float(inputs.detach().abs().max())
    states = torch.stack(torch.aminmax(g.detach()))
    ends = torch.tensor([-span, -0.5 * span, 0.0, 0.5 * span, span], dtype=g.dtype, device=g.device)[:, None]
    i, d = evaluate(cell, ends, states)
    if not bool((torch.isfinite(i) & torch.isfinite(d)).all()):
        raise InputError("the law of the cells overflows at these voltages", where="cell, v", got=f"{span:g} V")
    if not bool((d >= 0).all() & (i * ends >= 0).all() & (i[2] == 0).all()):
        raise InputError(
            "the law of the cells is not passive and rising",
            where="cell",
            got=f"{type(cell).__name__}: currents {i[:, -1].tolist()} A at {ends[:, 0].tolist()} V",
            expected="v · i >= 0, di/dv >= 0, and no current at 0 V",
        )


def _beyond(cell: Cell, volts: Tensor) -> tuple[str, ...]:
    trusted = getattr(cell, "trusted_v", None)
    if trusted is None or volts.numel() == 0:
        return ()
    share = float(((volts < trusted[0]) | (volts > trusted[1])).double().mean())
    if share == 0:
        return ()
    return (
        f"{share:.1%} of the cell voltages lie outside {trusted[0]:g} to {trusted[1]:g} V, where "
        f"{type(cell).__name__} was measured; its law is extrapolated there",
    )
