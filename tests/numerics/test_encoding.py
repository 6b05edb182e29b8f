"""Encodings are exact: codes and correction give the integers back, as numbers and as dot products."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truejoule.errors import InputError
from truejoule.numerics.encoding import decode, encode
from truejoule.numerics.schemes import SCHEMES, slices_of


def integers(bits: int, scheme: str, rows: int, columns: int, seed: int, mid_rise: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if mid_rise:
        return 2.0 * torch.randint(0, 2**bits, (rows, columns), generator=generator) + 1 - 2**bits
    if bits == 1:
        return torch.full(
            (rows, columns), 0.0
        )  # one bit in two's complement is -1 and 0; differential pairs hold 0 alone
    low = -(2 ** (bits - 1)) + (scheme == "differential")
    return torch.randint(low, 2 ** (bits - 1), (rows, columns), generator=generator).float()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(SCHEMES),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 12),
    st.integers(1, 9),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_round_trip(scheme, bits, cell_bits, rows, columns, seed, mid_rise):
    weights = integers(bits, scheme, rows, columns, seed, mid_rise)
    encoded = encode(weights, bits, cell_bits, scheme, mid_rise)
    assert torch.equal(decode(encoded), weights)
    assert encoded.codes.min() >= 0 and encoded.codes.max() <= 2**cell_bits - 1
    assert encoded.slices == slices_of(scheme, bits, cell_bits, mid_rise)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SCHEMES), st.integers(1, 8), st.integers(1, 4), st.integers(0, 10**6), st.booleans())
def test_dot_products(scheme, bits, cell_bits, seed, mid_rise):
    """What the machine does: dot products per slice, radix, digital correction."""
    weights = integers(bits, scheme, 20, 7, seed, mid_rise)
    x = torch.randint(0, 2, (20,), generator=torch.Generator().manual_seed(seed + 1)).float()
    e = encode(weights, bits, cell_bits, scheme, mid_rise)
    slices = torch.einsum("r,src->sc", x, e.codes)
    correction = e.offset * (x.sum() if e.mask is None else x @ e.mask)
    assert torch.equal(e.radix @ slices - correction, x @ weights)


def test_aware_offset_uses_fewer_low_resistance_cells():
    """Facts 8.1: mean code 4.26 for two's complement and 1.07 for the aware offset at p = 2, Gaussian weights of sigma 0.1."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.round(torch.randn(4000, 50, generator=generator) * 0.1 * 8).clamp(-4, 4)
    plain = encode(weights, 4, 4, "twos_complement").codes.mean()
    aware = encode(weights, 4, 4, "aware_offset").codes.mean()
    assert plain == pytest.approx(4.26, abs=0.15)
    assert aware == pytest.approx(1.07, abs=0.05)


@pytest.mark.parametrize(
    "weights, bits, scheme",
    [
        ([[9.0]], 4, "twos_complement"),
        ([[0.5]], 4, "full_offset"),
        ([[-8.0]], 4, "differential"),
        ([[1.0]], 4, "nonsense"),
        ([[2.0]], 1, "full_offset"),
    ],
)
def test_refusals(weights, bits, scheme):
    with pytest.raises(InputError):
        encode(torch.tensor(weights), bits, 4, scheme)


def test_mid_rise_levels_are_odd():
    for weights in ([[2.0]], [[0.0]], [[5.0]]):
        with pytest.raises(InputError, match="bit width"):
            encode(torch.tensor(weights), 2, 4, "full_offset", mid_rise=True)
