"""Off-chip memory: energy per bit by kind, each with the boundary at which it was counted.

The boundary (device, + PHY, + path on chip) moves the number by up to five, so it is part of the name. Background and
refresh power are not in these numbers; nobody in this field publishes them per inference.
"""

from __future__ import annotations

from dataclasses import dataclass

from truejoule.components.coefficient import Coefficient, Kind
from truejoule.errors import InputError, did_you_mean


@dataclass(frozen=True, slots=True)
class Memory:
    """One kind of off-chip memory.

    Attributes
    ----------
    kind : key, for example ``"lpddr4"``.
    boundary : what the energy covers: device, interface, path on the chip; ``"not stated"`` if the source does not say.
    energy : J/bit, reads and writes alike where only one number is published.
    """

    kind: str
    boundary: str
    energy: Coefficient


_DEVICE, _CHANNEL, _UNSTATED = "device", "device and interface", "not stated"
# fmt: off
_ROWS: tuple[tuple[str, str, float, float, float, Kind, str], ...] = (  # kind, boundary, pJ/bit: value, low, high
    ("default", _UNSTATED, 12.45, 3.9, 40.0, "published",
     "Prosperity simulator (HPCA 2025, dubcyfor3/Prosperity); band from HBM2 (O'Connor et al., MICRO 2017) "
     "to Horowitz, ISSCC 2014"),
    ("ddr3", _CHANNEL, 70.0, 58.6, 70.0, "published",
     "Chatterjee et al., MICRO 2017, through hwcomponents; low end CACTI DDR3 in SATA_Sim"),
    ("ddr4", _CHANNEL, 20.3, 20.0, 40.0, "published", "1300 pJ per 64 bit, TPU papers; high end Horowitz, ISSCC 2014"),
    ("horowitz", _CHANNEL, 28.7, 20.3, 40.6, "derived",
     "1300 to 2600 pJ per 64 bit, Horowitz, ISSCC 2014; value is the geometric mean"),
    ("lpddr", _CHANNEL, 40.0, 40.0, 40.0, "published", "Malladi et al., ISCA 2012, through hwcomponents"),
    ("lpddr4", _UNSTATED, 8.0, 4.0, 8.0, "published",
     "hwcomponents public data; low end Dally, Turakhia, Han, CACM 2020"),
    ("hbm2", _DEVICE, 3.9, 3.9, 7.03, "published",
     "O'Connor et al., MICRO 2017 lineage; high end 450 pJ per 64 bit, TPU papers through AccelForge"),
    ("hbm2-gpu-path", "device to L2 of a GPU", 21.0, 21.0, 21.0, "published",
     "whole path DRAM to L2, private note on GPUs"),
    ("hbm3", _DEVICE, 4.0, 3.9, 7.03, "published", "device level, rounded; band of HBM2"),
    ("zigzag-read", _UNSTATED, 10.9, 10.9, 10.9, "published", "ZigZag tpu_like, read"),
    ("zigzag-write", _UNSTATED, 11.7, 11.7, 11.7, "published", "ZigZag tpu_like, write"),
    ("stream", _UNSTATED, 4.0, 4.0, 4.0, "published", "Stream default"),
    ("sata-released", "device, 32-byte block charged to each byte", 58.59525, 58.59525, 58.59525, "published",
     "SATA_Sim released mem-stat.yaml: 0.468762 nJ per byte (CACTI 32 nm DDR3; each byte charged a whole access)"),
)
# fmt: on
MEMORIES: dict[str, Memory] = {
    kind: Memory(
        kind,
        boundary,
        Coefficient(f"{kind} DRAM access ({boundary})", value / 1e12, "J/bit", source, how, low / 1e12, high / 1e12),
    )
    for kind, boundary, value, low, high, how, source in _ROWS
}
"""Every kind by its key."""


def memory(kind: str = "default") -> Memory:
    """The memory of one kind.

    Raises
    ------
    InputError : for an unknown kind, with the closest known one.
    """
    if kind not in MEMORIES:
        raise InputError(f"unknown off-chip memory {kind!r}", where="dram", got=kind, fix=did_you_mean(kind, MEMORIES))
    return MEMORIES[kind]


def access_energy(kind: str = "default") -> Coefficient:
    """Energy of one bit read from or written to off-chip memory, J/bit."""
    return memory(kind).energy
