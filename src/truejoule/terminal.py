"""What the command line prints: progress on the error stream, tables or JSON on the output."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from truejoule.errors import InputError
from truejoule.units import format_si

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from truejoule.accelerators import Accelerator
    from truejoule.accelerators.preset import Preset
    from truejoule.reproduce import Claim
    from truejoule.workload import Workload


WIDTH = 140
"""Columns of what is not printed on a terminal."""


def show(what: Any) -> None:
    """A rich renderable, or plain data as JSON."""
    if isinstance(what, (list, dict)):
        print(json.dumps(what, indent=1))
        return
    _console().print(what)


def _console() -> Console:
    """As wide as the terminal; wide enough for the tables where nobody looks (a pipe, a file)."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=WIDTH)


class Live:
    """Progress with the time that is left, on the error stream; silent for short work and where nobody looks."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}
        self._announced: set[str] = set()
        self._began: dict[str, float] = {}

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._quiet:
            return
        now = time.perf_counter()
        self._began.setdefault(stage, now)
        if 0 < done < total and stage not in self._announced:
            self._announced.add(stage)
            left = (now - self._began[stage]) * (total - done) / done
            if left > 2 and self._progress is None:
                print(f"{stage}: {total} samples, about {left:.0f} s", file=sys.stderr, flush=True)
        if self._progress is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=total)
            self._progress.update(self._tasks[stage], completed=done)


def show_evaluations(
    evaluations: Sequence[dict[str, Any]], folders: Sequence[Path], together: Path | None = None
) -> None:
    """Summary, where the energy goes, warnings, and where the reports are."""
    from truejoule.report.numbers import labels, verdicts
    from truejoule.report.tables import breakdown, summary

    console = _console()
    console.print(summary(evaluations))
    for evaluation in evaluations:
        console.print(f"\n{evaluation['verdict']}", style="bold", soft_wrap=True)
        for warning in evaluation["warnings"]:
            console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    for verdict in verdicts(evaluations):
        console.print(f"\n{verdict}", soft_wrap=True)
    for name, evaluation, folder in zip(labels(evaluations), evaluations, folders, strict=True):
        console.rule(name)
        console.print(breakdown(evaluation, "component"))
        console.print(breakdown(evaluation, "layer"))
        for other in evaluation["alternatives"]:
            console.print(
                f"  with {other['description']}: {format_si(other['energy_j'], 'J')}, {format_si(other['area_m2'], 'm2')}",
                style="dim",
                soft_wrap=True,
            )
        if evaluation["over_time"] is not None:
            _show_over_time(console, evaluation["over_time"])
        if evaluation["training"] is not None:
            console.print(f"\nOne training step of one sample, zeros {evaluation['training']['origin']}:", style="bold")
            console.print(evaluation["training"]["note"], style="dim", soft_wrap=True)
            if evaluation["training"]["latency_s"] is not None:
                console.print(f"latency {format_si(evaluation['training']['latency_s'], 's')}")
            console.print(breakdown(evaluation["training"], "component"))
        console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
        console.print(f"every number: truejoule explain {folder} energy LAYER", style="dim", soft_wrap=True)
    if together is not None:
        console.print(f"side by side: {together}", soft_wrap=True)


def _show_over_time(console: Console, over_time: Mapping[str, Any]) -> None:
    """E(T), the ANN of the same topology at each precision, and the sentence about the first."""
    from truejoule.report import numbers
    from truejoule.report.tables import against_ann

    line = f"E(T) = {format_si(over_time['e0_j'], 'J')} + {format_si(over_time['e1_j'], 'J')} × T"
    console.print(f"\n{line} (at most {100 * over_time['worst']:.1f} % off)", style="bold")
    if over_time["against_ann"]:
        console.print(against_ann(over_time))
        console.print(numbers.against_ann(over_time), soft_wrap=True)


def show_workload(workload: Workload, *, as_json: bool) -> None:
    """Layers, and what was not understood."""
    if as_json:
        show(
            {
                "name": workload.name,
                "time_steps": workload.time_steps,
                "macs": workload.macs,
                "weights": workload.weights,
                "layers": [asdict(layer) for layer in workload.layers],
                "edges": [asdict(e) for e in workload.edges],
                "not_understood": [asdict(n) for n in workload.not_understood],
            }
        )
        return
    print(workload.table())


def random_example(shape: str) -> Tensor:
    """A batch of uniform numbers in [0, 1) of a shape such as ``1,3,32,32``."""
    import torch

    try:
        sizes = [int(part) for part in shape.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) < 2 or min(sizes) < 1:
        raise InputError(
            "not a shape",
            where="--input",
            got=shape,
            expected="whole numbers with commas, the batch first",
            fix="for example --input 1,3,32,32",
        )
    return torch.rand(sizes, generator=torch.Generator().manual_seed(0))


def parse_overrides(pairs: Sequence[str]) -> dict[str, object]:
    """``["adc_bits=5", "r_on=10 kohm"]`` as machine parameters; values are read as YAML scalars."""
    import yaml

    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(
                "not an override",
                where="--set",
                got=pair,
                expected="parameter=value",
                fix='for example --set adc_bits=5 or --set "r_on=10 kohm"',
            )
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[name.strip()] = value
    return found


def claims_table(claims: Sequence[Claim]) -> Any:
    """Claims by paper: published value, ours under both models, deviation and verdict; below each claim, why."""
    from rich.table import Table

    table = Table(title="Published claims, re-run", show_lines=True)
    table.add_column("claim, and why ours differs or should", overflow="fold", ratio=1)
    for column in ("published", "as released", "corrected", "deviation"):
        table.add_column(column, justify="right", no_wrap=column != "deviation")

    def text(value: float | None, unit: str) -> str:
        if value is None:
            return "–"
        return format_si(value, unit, 4) if unit in ("J", "s", "m2") else f"{value:.4g} {unit}"

    paper = ""
    for c in claims:
        if c.paper != paper:
            paper = c.paper
            table.add_row(f"[bold]{paper}[/]", "", "", "", "")
        deviation = "" if c.deviation is None else f"{100 * c.deviation:+.1f} %\n"
        style = "green" if c.verdict == "reproduced" else "yellow"
        published = ("> " if c.at_least else "") + text(c.published, c.unit)
        ours = [text(c.released, c.unit), text(c.corrected, c.unit)]
        table.add_row(f"{c.claim}\n[dim]{c.reason}[/]", published, *ours, f"{deviation}[{style}]{c.verdict}[/]")
    return table


def presets_table(presets: Sequence[Preset]) -> Any:
    """Name, machine and summary."""
    from rich.table import Table

    table = Table(title="Accelerators")
    for column in ("name", "machine", "what it is"):
        table.add_column(column, overflow="fold")
    for p in presets:
        table.add_row(p.name, p.machine, p.summary)
    return table


def parameters_table(machine: Accelerator, full: bool) -> Any:
    """Parameters of a machine with sources; with ``full`` also their meaning."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{machine.name}: {machine.title}", caption=machine.summary, show_lines=full)
    for column in ("parameter", "value", "low to high", "kind", *(("meaning",) if full else ()), "source"):
        table.add_column(column, overflow="fold")
    for p in machine.parameters:
        number = isinstance(p.value, (int, float)) and not isinstance(p.value, bool)
        value = format_si(float(p.value), p.unit, 4) if number and p.unit else str(p.value)  # type: ignore[arg-type]
        band = ""
        if p.low is not None and p.high is not None and p.low < p.high:
            band = f"{format_si(p.low, p.unit)} to {format_si(p.high, p.unit)}"
        source = p.source if full or len(p.source) < 90 else p.source[:88] + "…"
        table.add_row(p.name, escape(value), band, p.kind, *((p.meaning,) if full else ()), escape(source))
    return table


def crossbar_table(found: Mapping[str, Any], title: str) -> Any:
    """Currents of the first input vector with and without wires, then power and the bound on the error."""
    import numpy as np
    from rich.console import Group
    from rich.table import Table

    currents, ideal, loss = (np.atleast_2d(found[key])[0] for key in ("currents_a", "ideal_currents_a", "loss"))
    table = Table(title=f"{title}: {found['rows']} x {found['columns']}, severity {found['severity']:.3g}")
    for column in ("column", "current", "without wires", "loss"):
        table.add_column(column, justify="right")
    shown = range(len(currents)) if len(currents) <= 32 else [*range(16), *range(len(currents) - 8, len(currents))]
    for k in shown:
        share = "–" if np.isnan(loss[k]) else f"{100 * loss[k]:.2f} %"
        table.add_row(str(k), format_si(float(currents[k]), "A", 6), format_si(float(ideal[k]), "A", 6), share)
    power = format_si(float(np.atleast_1d(found["power_w"])[0]), "W", 4)
    bound = format_si(float(np.atleast_1d(found["error_bound_a"])[0]), "A")
    inputs = len(np.atleast_2d(found["currents_a"]))
    lines = [f"mean loss {100 * found['mean_loss']:.2f} %, power {power}, currents certain to {bound}"]
    lines += [f"first of {inputs} input vectors; --json has all"] if inputs > 1 else []
    lines += [f"columns 16 to {len(currents) - 9} not shown; --json has all"] if len(currents) > 32 else []
    return Group(table, *lines, *(f"warning: {text}" for text in found["warnings"]))
