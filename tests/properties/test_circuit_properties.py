"""Laws that hold for every passive array, over five decades of severity κ = N² r G_max.

``A[i, j] <= g[i, j]`` is not among them: sneak paths feed weak cells' columns (they even cross an open cell). What
Rayleigh's monotonicity does give is bounds on sums, and on the power for every input.
"""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.circuit import Wires, input_admittance, transfer_matrix

G_MAX = 1e-4
ROUND = 1e-12


@st.composite
def cases(draw, open_cells=True):
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1.0, 0.1, 1e-3]))
    g = G_MAX * spread ** rng.random((rows, columns))
    if open_cells:
        g[rng.random((rows, columns)) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = 0.0
    kappa = math.exp(draw(st.floats(math.log(1e-3), math.log(50.0))))
    r = kappa / (max(rows, columns) ** 2 * G_MAX)
    share = draw(st.sampled_from([0.0, 0.01, 1.0]))
    if draw(st.booleans()):
        word, bit = (r * factor * rng.random((rows, columns)) for factor in (1.0, share))
    else:
        word, bit = r, r * share
    ends = draw(st.sampled_from([0.0, 1.0, 10.0]))
    return torch.from_numpy(g), (word, bit, 0.0, ends * r * rng.random(rows), ends * r * rng.random(columns))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_both_methods_are_one(case):
    g, r = case
    a, b = (transfer_matrix(g, Wires(*r), method) for method in ("block", "dissection"))
    torch.testing.assert_close(a, b, rtol=1e-11, atol=ROUND * G_MAX)
    a, b = (input_admittance(g, Wires(*r), method) for method in ("block", "dissection"))
    torch.testing.assert_close(a, b, rtol=1e-11, atol=ROUND * G_MAX)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_positive_and_bounded(case):
    g, r = case
    a, y = transfer_matrix(g, Wires(*r)), input_admittance(g, Wires(*r))
    tiny = ROUND * G_MAX
    assert (a >= -tiny).all()
    assert (y - torch.diag(y.diagonal()) <= tiny).all()
    # a driver alone: what reaches the grounds <= what it delivers <= what it would deliver without wires
    assert (a.sum(1) <= y.diagonal() + tiny).all()
    assert (y.diagonal() <= g.sum(1) + tiny).all()
    assert (a.sum(0) <= g.sum(0) + tiny).all()
    assert torch.linalg.eigvalsh((y + y.mT) / 2).min() >= -tiny


@settings(max_examples=60, deadline=None)
@given(cases(), st.floats(1.0, 10.0), st.floats(0.0, 1.0))
def test_more_resistance_never_delivers_more_power(case, factor, which):
    g, r = case
    more = [x * (1 + (factor - 1) * (which if k % 2 else 1)) for k, x in enumerate(r)]
    drop = input_admittance(g, Wires(*r)) - input_admittance(g, Wires(*more))
    assert torch.linalg.eigvalsh((drop + drop.mT) / 2).min() >= -ROUND * G_MAX
    assert transfer_matrix(g, Wires(*more)).sum() <= transfer_matrix(g, Wires(*r)).sum() + ROUND * G_MAX


@settings(max_examples=60, deadline=None)
@given(cases(), st.floats(1.0, 10.0), st.integers(0, 10**6))
def test_a_better_cell_never_delivers_less_power(case, factor, where):
    g, r = case
    better = g.clone().reshape(-1)
    better[where % better.numel()] = better[where % better.numel()] * factor + 1e-6
    gain = input_admittance(better.reshape(g.shape), Wires(*r)) - input_admittance(g, Wires(*r))
    assert torch.linalg.eigvalsh((gain + gain.mT) / 2).min() >= -ROUND * G_MAX


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.floats(math.log(1e-3), math.log(50.0)), st.floats(1.1, 10.0))
def test_equal_cells_lose_current_each_and_more_with_more_resistance(rows, columns, log_kappa, factor):
    g = torch.full((rows, columns), G_MAX, dtype=torch.float64)
    r = math.exp(log_kappa) / (max(rows, columns) ** 2 * G_MAX)
    a = transfer_matrix(g, Wires(r, r))
    assert (a <= G_MAX * (1 + ROUND)).all() and (a > 0).all()
    assert transfer_matrix(g, Wires(r * factor, r * factor)).sum() < a.sum()


@settings(max_examples=40, deadline=None)
@given(cases(), st.floats(-6, 6))
def test_only_the_product_of_ohm_and_siemens_matters(case, decades):
    g, r = case
    scale = 10.0**decades
    scaled = transfer_matrix(g * scale, Wires(*(x / scale for x in r))) / scale
    torch.testing.assert_close(scaled, transfer_matrix(g, Wires(*r)), rtol=1e-11, atol=ROUND * G_MAX)
