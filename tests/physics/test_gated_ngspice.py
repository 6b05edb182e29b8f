"""Gated arrays of every topology and many cell laws against ngspice, which shares no code with the solvers."""

import numpy as np
import pytest
import torch

from truejoule.circuit import (
    GATED_IDEAL,
    GATED_OPPOSITE_END,
    GATED_SAME_END,
    AlphaPower,
    Ekv,
    GatedColumns,
    GatedNonlinearColumns,
    Ohmic,
    Polynomial,
    ReadStack,
    Selector,
    Series,
    Sinh,
    Wires,
    gated_netlist,
    gated_ngspice_currents,
    reference,
    spice,
)
from truejoule.errors import InputError

needs_ngspice = pytest.mark.skipif(not spice.available(), reason="ngspice is not installed (apt install ngspice)")
TOPOLOGIES = {"ideal": GATED_IDEAL, "same end": GATED_SAME_END, "opposite end": GATED_OPPOSITE_END}
V_READ = 0.3
ROUNDING = 2e-16
"""Amperes that ngspice rounds away in a column that only leaks, where wires of 1 S join nodes of 0.3 V."""
CELLS = {
    "ohmic": Ohmic(),
    "read stack": ReadStack(0.1, 0.1),
    "alpha power": AlphaPower(0.1, 2.0, 0.1),
    "EKV": Ekv(0.2, 0.1),
    "sinh": Sinh(4.0),
    "Milo polynomial": Polynomial(
        (1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3), (8.871e-5, 6.792e-4, 1.2968e-3), 50e-6, 225e-6, 0.5
    ),
    "sinh behind access": Series(Sinh(5.0), 3e3),
    "selector": Selector(0.1, 0.03),
}


def array(rows, columns, open_share=0.15):
    rng = np.random.default_rng([rows, columns])
    g = rng.uniform(1e-6, 1e-4, (rows, columns))
    g[rng.random((rows, columns)) < open_share] = 0.0
    bits = rng.random((2, rows)) < 0.5
    bits[0, 0] = True
    return g, bits, rng.uniform(0, 1e-7, (rows, columns))


def wires_of(topology, rows, columns, zeros=0.3):
    """Unequal segments, some of them perfect, with driver and sense resistance."""
    rng = np.random.default_rng([rows, columns, 7])

    def ohms(high, *shape):
        return rng.uniform(0.5, high, shape) * (rng.random(shape) >= zeros)

    ideal = topology is GATED_IDEAL
    line, driver = ohms(6.0, rows, columns), ohms(200.0, columns)
    return Wires(
        r_wl_ohm=2.0,
        r_bl_ohm=ohms(8.0, rows, columns),
        r_sl_ohm=0.0 if ideal else line,
        r_source_ohm=0.0 if ideal else driver,
        r_sense_ohm=ohms(90.0, columns),
    )


@needs_ngspice
@pytest.mark.parametrize("shape", [(5, 4), (1, 3), (6, 1), (17, 9), (32, 32)], ids=str)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_ohmic_cells(name, shape):
    topology = TOPOLOGIES[name]
    (g, bits, off), wires = array(*shape), wires_of(topology, *shape)
    expected = np.stack([gated_ngspice_currents(g, wires, x, V_READ, topology, off) for x in bits])
    for method in ("auto", "scan"):
        columns = GatedColumns(g, wires, V_READ, topology=topology, g_off_siemens=off, method=method)
        np.testing.assert_allclose(columns(bits), expected, rtol=1e-9, atol=ROUNDING)
    np.testing.assert_allclose(
        reference.gated_currents(g, wires, bits, V_READ, topology, off), expected, rtol=1e-9, atol=ROUNDING
    )


@needs_ngspice
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_every_cell_in_every_topology(name, cell):
    topology, law, shape = TOPOLOGIES[name], CELLS[cell], (8, 5)
    (g, bits, off), wires = array(*shape), wires_of(topology, *shape)
    expected = np.stack([gated_ngspice_currents(g, wires, x, V_READ, topology, off, law) for x in bits])
    columns = GatedNonlinearColumns(g, law, wires, V_READ, topology=topology, g_off_siemens=off, tolerance=1e-8)
    found = columns.solve(bits)
    np.testing.assert_allclose(found.currents_a, expected, rtol=1e-8)
    assert (found.residual <= 1e-8).all()
    np.testing.assert_allclose(
        reference.gated_currents(g, wires, bits, V_READ, topology, off, law), expected, rtol=1e-8
    )


@needs_ngspice
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_larger_saturating_array(name):
    topology, law, shape = TOPOLOGIES[name], CELLS["read stack"], (32, 32)
    (g, bits, _), wires = array(*shape), wires_of(topology, *shape)
    expected = gated_ngspice_currents(g, wires, bits[0], V_READ, topology, 0.0, law)
    columns = GatedNonlinearColumns(g, law, wires, V_READ, topology=topology, tolerance=1e-8)
    np.testing.assert_allclose(columns(bits[0]), expected, rtol=1e-8)


@needs_ngspice
def test_a_negative_read_voltage_of_a_law_that_is_not_odd():
    (g, bits, _), wires, law = array(9, 4), wires_of(GATED_SAME_END, 9, 4), CELLS["Milo polynomial"]
    expected = gated_ngspice_currents(g, wires, bits[0], -V_READ, GATED_SAME_END, 0.0, law)
    found = GatedNonlinearColumns(g, law, wires, -V_READ).solve(bits[0])
    np.testing.assert_allclose(found.currents_a, expected, rtol=1e-8)
    assert (expected < 0).all() and (found.residual <= 1e-6).all()


def test_the_netlist_refuses_what_it_cannot_hold():
    with pytest.raises(InputError, match="one array and one input"):
        gated_netlist(np.ones((2, 3, 4)), Wires(1.0, 1.0), np.ones(3), 0.1)
    with pytest.raises(InputError, match="no resistance"):
        gated_netlist(np.ones((3, 4)), Wires(1.0, 1.0, r_sl_ohm=1.0), np.ones(3), 0.1, GATED_IDEAL)
    with pytest.raises(InputError, match="finite"):
        gated_netlist(np.full((3, 4), np.nan), Wires(1.0, 1.0), np.ones(3), 0.1)


def test_the_reference_agrees_on_larger_arrays():
    shape = (96, 40)
    (g, bits, off) = array(*shape)
    for topology in TOPOLOGIES.values():
        wires = wires_of(topology, *shape, zeros=0.0)
        expected = reference.gated_currents(g, wires, bits, V_READ, topology, off)
        found = GatedColumns(torch.from_numpy(g), wires, V_READ, topology=topology, g_off_siemens=off)(bits)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        expected = reference.gated_currents(g, wires, bits, V_READ, topology, off, CELLS["read stack"])
        columns = GatedNonlinearColumns(g, CELLS["read stack"], wires, V_READ, topology=topology, g_off_siemens=off)
        np.testing.assert_allclose(columns(bits), expected, rtol=1e-8)
