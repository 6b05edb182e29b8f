"""Commands about hardware: machines, published claims, a crossbar alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

Json = Annotated[bool, Parameter(name="--json", negative="", help="print JSON instead of tables")]
Flag = Annotated[bool, Parameter(negative="")]

accelerators = App(name="accelerators", help="The machines: list them, show one.")


@accelerators.default
def list_accelerators(*, json_: Json = False) -> None:
    """The presets that come with truejoule."""
    from truejoule.accelerators import preset
    from truejoule.terminal import presets_table, show

    found = [preset.load(name) for name in preset.names()]
    as_json = [{"name": p.name, "machine": p.machine, "title": p.title, "summary": p.summary} for p in found]
    show(as_json if json_ else presets_table(found))


@accelerators.command(name="show")
def show_accelerator(name: str, /, *, explain: Flag = False, yaml: Flag = False, json_: Json = False) -> None:
    """Every parameter of a machine with its value, unit and source.

    Parameters
    ----------
    name
        preset or YAML file
    explain
        with the meaning of each parameter and the whole source
    yaml
        print the file itself, to change and use
    """
    from dataclasses import asdict

    from truejoule.accelerators import accelerator, preset
    from truejoule.terminal import parameters_table, show

    if yaml:
        print(preset.path_of(name).read_text(encoding="utf-8"), end="")
        return
    machine = accelerator(name)
    show([asdict(p) for p in machine.parameters] if json_ else parameters_table(machine, explain))


def reproduce(paper: str | None = None, /, *, json_: Json = False) -> None:
    """Published claims re-run: published value, ours, deviation, and why.

    Parameters
    ----------
    paper
        only this one; all by default
    """
    from truejoule.reproduce import claims
    from truejoule.terminal import claims_table, show

    found = claims(paper)
    show([c.to_json() for c in found] if json_ else claims_table(found))


def circuit(
    array: Path,
    /,
    *,
    r_wl: str | None = None,
    r_bl: str | None = None,
    r_source: str | None = None,
    r_sense: str | None = None,
    v: str | None = None,
    cell: str | None = None,
    export: Path | None = None,
    figure: Path | None = None,
    json_: Json = False,
) -> None:
    """A crossbar alone: currents, loss in the wires, IR-drop picture, netlist.

    Parameters
    ----------
    array
        .npz with g_siemens (rows, columns) and optionally v and wire resistances, or .csv of conductances in siemens
    r_wl
        word-line resistance per segment, such as "1 ohm"; comes before what the file says
    r_bl
        bit-line resistance per segment
    r_source
        driver resistance of each row
    r_sense
        resistance of each sense input
    v
        voltage on all rows, such as "0.1 V"
    cell
        law of the cells: a preset such as rram-milo or pcm; ohmic by default
    export
        write a netlist for ngspice
    figure
        draw the IR drop: .svg, .pdf or .png
    """
    from truejoule.circuit import cell_preset
    from truejoule.circuit.files import analyse, load_crossbar
    from truejoule.crossbar import draw_drop, plain, settle, write_netlist
    from truejoule.terminal import crossbar_table, show

    crossbar = load_crossbar(array)
    ohms = {"r_wl_ohm": r_wl, "r_bl_ohm": r_bl, "r_source_ohm": r_source, "r_sense_ohm": r_sense}
    wires, volts = settle(crossbar, ohms, v)
    law = cell_preset(cell).cell if cell is not None else None
    found = analyse(crossbar, wires, volts, law)
    if export is not None:
        write_netlist(crossbar, wires, volts, law, export)
    if figure is not None:
        draw_drop(found, volts, array.name, figure)
    show(plain(found) if json_ else crossbar_table(found, array.name))
