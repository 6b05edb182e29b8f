"""Errors teach: what, where, got, expected, fix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truejoule.errors import InputError, InvariantError, TrueJouleError, did_you_mean


def test_input_error_prints_only_what_it_knows():
    assert str(InputError("wrong")) == "wrong"
    text = str(InputError("wrong", where="conv1", got=3, expected="a string", fix="quote it"))
    assert [line.split()[0] for line in text.splitlines()] == ["wrong", "where:", "got:", "expected:", "fix:"]
    assert "0" in str(InputError("wrong", got=0)) and "False" in str(InputError("wrong", got=False))


def test_fields_are_kept():
    error = InputError("wrong", where="w", got=[1], expected="e", fix="f")
    assert (error.what, error.where, error.got, error.expected, error.fix) == ("wrong", "w", [1], "e", "f")


def test_long_values_are_cut():
    assert len(str(InputError("wrong", got="x" * 10_000))) < 300


def test_family():
    assert issubclass(InputError, TrueJouleError) and issubclass(InvariantError, TrueJouleError)
    assert "bug in truejoule" in str(InvariantError("a law", "a detail"))


def test_did_you_mean():
    assert did_you_mean("enrgy", ["energy", "latency"]) == "did you mean 'energy'?"
    assert did_you_mean("zzz", ["b", "a"]) == "choose one of: a, b"


@given(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=10), max_size=5))
def test_a_hint_always_comes(name, options):
    hint = did_you_mean(name, options)
    assert hint.startswith(("did you mean", "choose one of"))


@given(st.one_of(st.integers(), st.text(), st.none(), st.lists(st.integers())))
def test_any_value_can_be_shown(value):
    with pytest.raises(InputError, match="wrong"):
        raise InputError("wrong", got=value)
