"""A crossbar alone: what `truejoule circuit` reads, solves, exports and draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truejoule.errors import InputError
from truejoule.units import parse

if TYPE_CHECKING:
    from truejoule.circuit import Cell, Wires
    from truejoule.circuit.files import Crossbar


def settle(crossbar: Crossbar, ohms: Mapping[str, str | None], volts: str | None) -> tuple[Wires, Any]:
    """Wires and input voltages: what the command line says, else what the file says.

    Parameters
    ----------
    ohms : per field of ``Wires`` a text such as ``"1 ohm"``, or ``None``.
    volts : one voltage for all rows such as ``"0.1 V"``, or ``None``.

    Raises
    ------
    InputError : for text without a unit, or where neither says anything.
    """
    import numpy as np

    from truejoule.circuit.files import with_wires

    given = {name: parse(text, "ohm", where=name) for name, text in ohms.items() if text is not None}
    if crossbar.wires is None and not given:
        raise InputError(
            "no wire resistances",
            where="--r-wl, --r-bl",
            expected="in the file or on the command line",
            fix='for example --r-wl "1 ohm" --r-bl "2 ohm"; "0 ohm" for perfect wires',
        )
    v = np.full(crossbar.g_siemens.shape[0], parse(volts, "V", where="--v")) if volts is not None else crossbar.v
    if v is None:
        raise InputError(
            "no input voltages",
            where="--v",
            expected="in the file or on the command line",
            fix='for example --v "0.1 V"',
        )
    return with_wires(crossbar.wires, **given), v


def write_netlist(crossbar: Crossbar, wires: Wires, v: Any, cell: Cell | None, path: Path) -> None:
    """The array under its first input vector as a netlist for ngspice."""
    import numpy as np

    from truejoule.circuit import netlist

    try:
        path.write_text(netlist(crossbar.g_siemens, wires, np.atleast_2d(v)[0], cell), encoding="utf-8")
    except OSError as error:
        raise InputError("the netlist cannot be written", where=str(path), got=error.strerror or str(error)) from None


def draw_drop(found: Mapping[str, Any], v: Any, title: str, path: Path) -> None:
    """IR drop under the first input vector: share of the row's drive voltage that does not reach each cell; idle rows show none."""
    import numpy as np

    from truejoule.report import figure

    drive = np.atleast_2d(v)[0]
    drop = found["drop_v"] if np.ndim(v) == 1 else found["drop_v"][0]
    share = np.where(drive[:, None] != 0, drop / np.where(drive == 0, 1.0, drive)[:, None], 0.0)
    figure(
        {"drops": [{"layer": title, "loss": share.tolist(), "mean": float(share.mean()), "worst": float(share.max())}]},
        "wires",
        path,
    )


def plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """The result as JSON: arrays as lists, undefined losses as null."""

    def value(x: Any) -> Any:
        if hasattr(x, "tolist"):
            x = x.tolist()
        if isinstance(x, list):
            return [value(part) for part in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return {key: value(x) for key, x in found.items()}
