"""Laws that hold for every gated array, over five decades of severity κ = N² r G_max, and the precision of fp32."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.circuit import (
    GATED_OPPOSITE_END,
    GATED_SAME_END,
    AlphaPower,
    GatedColumns,
    GatedNonlinearColumns,
    ReadStack,
    Selector,
    Sinh,
    Wires,
    reference,
)

G_MAX, V = 1e-4, 0.3
FP32_TABLE, FP32_SCAN = 6e-6, 1.5e-5
CELLS = (ReadStack(0.1, 0.1), AlphaPower(0.1, 2.0), Sinh(5.0), Selector(0.1, 0.03))


@st.composite
def cases(draw, most=40, low=1e-3, high=50.0):
    rows, columns = draw(st.integers(1, most)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1.0, 0.1, 1e-4]))
    g = G_MAX * spread ** rng.random((rows, columns))
    g[rng.random((rows, columns)) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0.0
    r = math.exp(draw(st.floats(math.log(low), math.log(high)))) / (rows**2 * G_MAX)
    share = draw(st.sampled_from([0.0, 0.3, 1.0]))
    lines = [r * rng.random((rows, columns)), share * r * rng.random((rows, columns))]
    ends = [draw(st.sampled_from([0.0, 1.0, 10.0])) * r * rng.random(columns) for _ in range(2)]
    bits = rng.random((3, rows)) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    off = draw(st.sampled_from([0.0, 1e-9]))
    topology = draw(st.sampled_from([GATED_SAME_END, GATED_OPPOSITE_END]))
    return torch.from_numpy(g), (lines, ends), torch.from_numpy(bits), off, topology


def wires(lines, ends, factor=1.0):
    return Wires(0.0, lines[0] * factor, lines[1] * factor, ends[0] * factor, ends[1] * factor)


def rounding(r):
    """Nodal analysis rounds at 1e-16 of what wires of fixed voltage at both ends would carry."""
    ohms = np.concatenate([np.ravel(x) for part in r for x in part])
    return 1e-15 * V * (1 / ohms[ohms > 0].min() + G_MAX)


@settings(max_examples=80, deadline=None)
@given(cases())
def test_tables_scans_and_nodal_analysis_are_one(case):
    g, r, bits, off, topology = case
    more = dict(topology=topology, g_off_siemens=off)
    table = GatedColumns(g, wires(*r), V, **more)(bits)
    scan = GatedColumns(g, wires(*r), V, method="scan", **more)(bits)
    for k in (1, 3, 8):
        grouped = GatedColumns(g, wires(*r), V, group_rows=k, **more)(bits)
        torch.testing.assert_close(grouped, scan, rtol=1e-13, atol=0)
    torch.testing.assert_close(table, scan, rtol=1e-13, atol=0)
    nodal = reference.gated_currents(g, wires(*r), bits, V, topology, off)
    np.testing.assert_allclose(table, nodal, rtol=1e-9, atol=rounding(r))


@settings(max_examples=80, deadline=None)
@given(cases(most=512))
def test_what_fp32_is_good_for(case):
    g, r, bits, off, topology = case
    more = dict(topology=topology, g_off_siemens=off)
    exact = GatedColumns(g, wires(*r), V, **more)(bits)
    for method in ("auto", "scan"):
        narrow = GatedColumns(g.float(), wires(*r), V, method=method, **more)(bits)
        assert narrow.dtype == torch.float32
        tolerance = FP32_TABLE if method == "auto" else FP32_SCAN
        torch.testing.assert_close(narrow.double(), exact, rtol=tolerance, atol=0)


@settings(max_examples=80, deadline=None)
@given(cases(), st.floats(1.0, 10.0), st.integers(0, 10**6))
def test_currents_are_bounded_and_monotone(case, factor, where):
    g, r, bits, off, topology = case
    more = dict(topology=topology, g_off_siemens=off)
    base = GatedColumns(g, wires(*r), V, **more)(bits)
    x = bits.double()
    ideal = V * (x @ g + (1 - x).sum(-1, keepdim=True) * off)
    slack = 1e-13 * ideal + 1e-30
    assert (base >= 0).all() and (base <= ideal + slack).all()
    assert (GatedColumns(g, wires(*r, factor), V, **more)(bits) <= base + slack).all()
    better = g.reshape(-1).clone()
    better[where % better.numel()] = better[where % better.numel()] * factor + 1e-7
    assert (GatedColumns(better.reshape(g.shape), wires(*r), V, **more)(bits) >= base - slack).all()
    more_bits = bits.clone()
    more_bits[:, where % bits.shape[1]] = True
    if off == 0.0:
        assert (GatedColumns(g, wires(*r), V, **more)(more_bits) >= base - slack).all()


@settings(max_examples=60, deadline=None)
@given(cases(most=24), st.sampled_from(CELLS))
def test_nonlinear_columns_keep_their_promise(case, cell):
    g, r, bits, off, topology = case
    more = dict(topology=topology, g_off_siemens=off)
    solution = GatedNonlinearColumns(g, cell, wires(*r), V, **more).solve(bits)
    assert torch.isfinite(solution.currents_a).all() and (solution.currents_a >= 0).all()
    assert (solution.residual <= 1e-6).all()
    nodal = torch.from_numpy(reference.gated_currents(g, wires(*r), bits, V, topology, off, cell))
    slack = rounding(r) + 1e-9 * nodal
    assert ((solution.currents_a - nodal).abs() <= solution.residual * nodal + slack).all()


@settings(max_examples=60, deadline=None)
@given(cases(most=60, low=50.0, high=1e9), st.sampled_from(CELLS))
def test_nothing_is_ever_nan(case, cell):
    g, r, bits, off, topology = case
    more = dict(topology=topology, g_off_siemens=off)
    for columns in (
        GatedColumns(g.float(), wires(*r), V, **more),
        GatedColumns(g.float(), wires(*r), V, method="scan", **more),
        GatedNonlinearColumns(g, cell, wires(*r), V, **more),
    ):
        i = columns(bits)
        assert torch.isfinite(i).all() and (i >= 0).all()


@settings(max_examples=40, deadline=None)
@given(cases())
def test_more_tiles_change_nothing(case):
    g, r, bits, off, topology = case
    more = dict(topology=topology, g_off_siemens=off)
    stacked = GatedColumns(torch.stack([g, g * 0.5, g.flip(0)]), wires(*r), V, **more)(bits)
    for k, one in enumerate((g, g * 0.5, g.flip(0))):
        # a stack has one unit of conductance, its largest: rounding may differ
        torch.testing.assert_close(stacked[k], GatedColumns(one, wires(*r), V, **more)(bits), rtol=1e-13, atol=0)
