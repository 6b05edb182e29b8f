"""Presets: every number has a source and a band, states fit their laws, wires are plausible."""

import numpy as np
import pytest
import torch

from truejoule.circuit import cell_preset, low_field, solve_nonlinear
from truejoule.circuit.cell_presets import NODES_NM, crosspoint_wires, preset_names, wire_ohm_per_m
from truejoule.errors import InputError

EVERY = [(n, node) for n in preset_names() for node in (NODES_NM if n in ("8t-sram", "1t1r") else (None,))]


@pytest.mark.parametrize(("name", "node"), EVERY)
def test_presets_state_their_sources_and_make_sense(name, node):
    preset = cell_preset(name, node)
    assert preset.what and all(c.source and c.low <= c.value <= c.high for c in preset.coefficients())
    assert all(c.low < c.high for c in preset.coefficients() if c.kind == "assumed")
    assert 0 < preset.g_off.value < preset.g_on.value < 1e-2 and 0 < preset.v_read.value <= 1
    v = torch.tensor(preset.v_read.value, dtype=torch.float64)
    on, off = (preset.cell.current(v, torch.tensor(g.value, dtype=torch.float64)) for g in (preset.g_on, preset.g_off))
    assert on > 2 * off > 0
    on_off = torch.tensor([preset.g_on.value, preset.g_off.value], dtype=torch.float64)
    assert (low_field(preset.cell, on_off) <= on_off * (1 + 1e-12)).all()
    trusted = getattr(preset.cell, "trusted_v", (-9, 9))
    assert trusted[0] <= preset.v_read.value <= trusted[1]
    assert all(effect.source for effect in preset.variation.static + preset.variation.per_read)


@pytest.mark.parametrize("name", ["rram-milo", "rram-sinh", "rram-1s1r"])
def test_passive_presets_can_be_solved(name):
    preset = cell_preset(name)
    g = np.random.default_rng(0).uniform(preset.g_off.value, preset.g_on.value, (16, 16))
    from truejoule.circuit import Wires

    word, bit = crosspoint_wires(28)
    found = solve_nonlinear(g, Wires(word.value, bit.value), np.full(16, preset.v_read.value), preset.cell)
    assert (found.currents_a > 0).all() and found.warnings == ()


def test_wires():
    ohm = [wire_ohm_per_m(n) for n in (65, 45, 32, 28, 22, 14, 7, 5, 3)]
    assert ohm == sorted(ohm)
    # order of magnitude of published wires: about 1.5 ohm/µm at 65 nm, 50 to 150 ohm/µm at 7 nm
    assert 1e6 < ohm[0] < 2e6 and 5e7 < wire_ohm_per_m(7) < 1.5e8
    sram = cell_preset("8t-sram", 7)
    assert sram.r_bl.low < 7.8 < sram.r_bl.high and sram.r_wl.low < 22 < sram.r_wl.high
    wires = sram.wires()
    assert wires.r_bl_ohm == wires.r_sl_ohm == sram.r_bl.value
    assert cell_preset("fefet-28nm").wires().r_wl_ohm > 0


def test_wrong_presets():
    with pytest.raises(InputError, match="rram-milo"):
        cell_preset("rram-millo")
    with pytest.raises(InputError, match="needs a node"):
        cell_preset("8t-sram")
    with pytest.raises(InputError, match="no data for this node"):
        cell_preset("1t1r", 40)
    with pytest.raises(InputError, match="own node"):
        cell_preset("pcm", 28)
    with pytest.raises(InputError, match="wires are unknown"):
        cell_preset("pcm").wires()
