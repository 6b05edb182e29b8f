"""Cells and non-linear arrays for random laws, arrays, wires and severities."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.circuit import (
    AlphaPower,
    Ekv,
    Ohmic,
    Polynomial,
    ReadStack,
    Selector,
    Series,
    Sinh,
    Table,
    Wires,
    solve_nonlinear,
    transfer_matrix,
)
from truejoule.circuit.cells import evaluate


def number(low: float, high: float):
    return st.floats(low, high, allow_nan=False)


@st.composite
def tables(draw):
    steps = draw(st.lists(number(0.02, 0.3), min_size=2, max_size=6))
    rises = draw(st.lists(number(0.0, 1.0), min_size=len(steps), max_size=len(steps)))
    v, i = np.cumsum(steps), np.cumsum(rises) * 1e-5
    return Table(tuple(v), (tuple(i),), (3e-5,))


PLAIN = st.one_of(
    st.just(Ohmic()),
    st.builds(Sinh, number(0.1, 15.0)),
    st.builds(Polynomial.relative, number(-2.0, 2.0), number(-3.0, 3.0), number(0.05, 2.0)),
    st.builds(ReadStack, number(0.02, 1.0), number(0.0, 1.0)),
    st.builds(AlphaPower, number(0.02, 1.0), number(1.0, 8.0), number(0.0, 1.0)),
    st.builds(Ekv, number(-0.3, 0.8), number(0.0, 1.0)),
    st.builds(Selector, number(0.0, 0.5), number(0.01, 0.1), st.booleans()),
    tables(),
)
LAWS = st.one_of(PLAIN, st.builds(Series, PLAIN, number(0.0, 1e5)))


@settings(max_examples=150, deadline=None)
@given(law=LAWS, g=number(1e-9, 1e-3), span=number(0.01, 1.5))
def test_laws_rise_and_take_power(law, g, span):
    v = torch.linspace(-span, span, 201, dtype=torch.float64)
    v[100] = 0.0
    i, d = evaluate(law, v, torch.tensor(g, dtype=torch.float64))
    top = float(i.abs().max())
    assert torch.isfinite(i).all() and torch.isfinite(d).all() and (d >= 0).all()
    assert (i.diff() >= -1e-12 * top).all() and (i * v >= 0).all() and float(i[100]) == 0
    # the mean slope over a step lies between the least and the largest slope around it
    mean, h = i.diff() / v.diff(), 1e-9 * float(d.max())
    fine = torch.linspace(0, 1, 41, dtype=torch.float64)
    inner = law.conductance(v[:-1, None] + fine * v.diff()[:, None], torch.tensor(g, dtype=torch.float64))
    slack = 0.2 * (inner.amax(1) - inner.amin(1)) + 1e-7 * inner.amax(1) + h
    assert (mean <= inner.amax(1) + slack).all() and (mean >= inner.amin(1) - slack).all()


@settings(max_examples=60, deadline=None)
@given(
    law=LAWS, seed=st.integers(0, 10_000), kappa=number(-3.0, 1.7), rows=st.integers(1, 14), columns=st.integers(1, 14)
)
def test_arrays_converge_certified_and_within_their_bounds(law, seed, kappa, rows, columns):
    rng = np.random.default_rng(seed)
    g = 1e-4 * 10 ** rng.uniform(-2, 0, (rows, columns)) * (rng.random((rows, columns)) < 0.9)
    r = 10**kappa / (rows * columns * 1e-4)
    wires = Wires(
        r * rng.uniform(0, 1, (rows, columns)),
        r * rng.uniform(0, 1, (rows, columns)),
        0.0,
        r * rng.uniform(0, 5, rows),
        r * rng.uniform(0, 5, columns),
    )
    v = rng.uniform(0, 0.6, (2, rows))
    found = solve_nonlinear(g, wires, v, law)
    assert (found.residual <= 1e-10).all()
    state, drive = torch.from_numpy(g), torch.from_numpy(v).unsqueeze(-1).expand(2, rows, columns)
    ideal = law.current(drive, state)
    # power is taken from the drivers; all of it and no output exceeds what perfect wires would give in total
    assert (found.power_w >= 0).all()
    assert (found.currents_a.sum(-1) <= ideal.sum((-1, -2)) * (1 + 1e-9)).all()
    assert (found.currents_a >= -found.error_bound_a[:, None]).all()
    assert (found.cell_voltages_v <= torch.from_numpy(v.max(1))[:, None, None] * (1 + 1e-9)).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), kappa=number(-3.0, 1.7))
def test_ohmic_arrays_are_linear_at_every_severity(seed, kappa):
    rng = np.random.default_rng(seed)
    g = rng.uniform(0, 1e-4, (12, 9))
    r = 10**kappa / (108 * 1e-4)
    wires, v = Wires(r, 2 * r, 0.0, 3 * r, r), rng.uniform(0.01, 0.5, (3, 12))
    found = solve_nonlinear(g, wires, v, Ohmic(), tolerance=1e-12)
    np.testing.assert_allclose(found.currents_a, v @ transfer_matrix(g, wires).numpy(), rtol=1e-10)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), factor=number(1.05, 4.0))
def test_worse_wires_never_give_more_current(seed, factor):
    """All drivers at one voltage: then every added resistance lowers the total (Rayleigh, for monotone laws too)."""
    rng = np.random.default_rng(seed)
    g, v = rng.uniform(1e-6, 1e-4, (8, 7)), np.full(8, 0.4)
    ohms = rng.uniform(0, 50, (2, 8, 7))
    totals = [
        float(solve_nonlinear(g, Wires(s * ohms[0], s * ohms[1], 0.0, 20.0, 10.0), v, Sinh(6.0)).power_w)
        for s in (1.0, factor)
    ]
    assert totals[1] <= totals[0] * (1 + 1e-9)
