"""Arrays, wires and topologies that the tests of passive topologies share."""

import itertools
from dataclasses import replace

import numpy as np

from truejoule.circuit import PASSIVE, Topology, Wires
from truejoule.circuit.topology import PASSIVE_BOTH_ENDS

DRIVEN = Topology("passive", "rows", driven_ends="both")
SENSED = Topology("passive", "rows", sensed_ends="both")
ENDS = (PASSIVE, DRIVEN, SENSED, PASSIVE_BOTH_ENDS)
ALL = {
    f"{t.driven_ends}-{t.sensed_ends}{'-interleaved' if i else ''}": replace(t, interleaved=i)
    for t, i in itertools.product(ENDS, (False, True))
    if i or t != PASSIVE
}


def array(rows: int, columns: int, open_share: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng([rows, columns])
    g = rng.uniform(1e-6, 1e-4, (rows, columns))
    g[rng.random((rows, columns)) < open_share] = 0.0
    return g


def unequal(rows: int, columns: int, zeros: float = 0.0) -> Wires:
    rng = np.random.default_rng([rows, columns, 1])

    def ohms(high: float, *shape: int) -> np.ndarray:
        return rng.uniform(0.5, high, shape) * (rng.random(shape) >= zeros)

    return Wires(ohms(5, rows, columns), ohms(8, rows, columns), 0.0, ohms(200, rows), ohms(90, columns))


def inputs(rows: int, topology: Topology, count: int = 3) -> np.ndarray:
    return np.random.default_rng(rows).uniform(-0.2, 0.3, (count, rows // 2 if topology.interleaved else rows))


def even(shape: tuple[int, int], topology: Topology) -> tuple[int, int]:
    return (shape[0] + shape[0] % 2 if topology.interleaved else shape[0]), shape[1]


def assert_close(found, expected, tolerance):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
