"""The command line: one short function per command, no logic."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import App, CycloptsError, Parameter

from truejoule.cli_hardware import Json, accelerators, circuit, reproduce
from truejoule.errors import InputError, TrueJouleError

app = App(
    name="truejoule", help="What a trained network truly costs, and how accurate it stays, on real inference hardware."
)
app.command(accelerators)
app.command(reproduce)
app.command(circuit)

RUNS = Path("truejoule-runs")


@app.command
def demo(
    *,
    samples: int = 1000,
    on: Sequence[str] = ("spikeflow", "sata"),
    ann_on: Sequence[str] = ("sata",),
    seeds: int = 1,
    out: Path = RUNS,
    json_: Json = False,
) -> None:
    """Put the bundled trained networks and real images on the machines and write reports. Works offline.

    Parameters
    ----------
    samples
        images to run, at most the 1,000 bundled ones
    on
        machine (preset or YAML file) for the spiking network; repeat for more than one
    ann_on
        machine whose ANN twins run the 8-bit and the 4-bit ANN of the same topology
    seeds
        physical chips, each with its own variation
    out
        folder for the run folders
    """
    from truejoule import zoo
    from truejoule.accelerators import accelerator
    from truejoule.gathering import calibration_samples
    from truejoule.gathering import samples as gather

    scored = gather(zoo.loader(n=samples), samples)
    runs = [Run(zoo.load("fashion_snn"), accelerator(name), "Fashion-MNIST SNN") for name in on]
    for name in ann_on:
        runs.append(Run(zoo.load("fashion_ann"), accelerator(name).ann_twin(8), "Fashion-MNIST ANN, 8 bit"))
        runs.append(Run(zoo.load("fashion_ann_4bit"), accelerator(name).ann_twin(4), "Fashion-MNIST ANN, 4 bit"))
    _evaluate(
        runs,
        scored,
        calibration=calibration_samples(zoo.calibration(), scored),
        samples=samples,
        seeds=seeds,
        device="cpu",
        out=out,
        json_=json_,
    )


@app.command
def inspect(
    net: str,
    /,
    *,
    input: str,
    time_steps: int | None = None,
    time_axis: int | None = None,
    data: str | None = None,
    json_: Json = False,
) -> None:
    """Show what was recognised in a network, what was not, and why.

    Parameters
    ----------
    net
        file.py:name of a torch module (or a function that makes one)
    input
        shape of an example batch, such as 1,3,32,32
    time_steps
        time steps, for a module that computes one step per call
    time_axis
        axis of time in the example, where it cannot be seen
    data
        file.py:name of a data loader, to measure activity
    """
    from truejoule.network import observe
    from truejoule.network.load import load_object
    from truejoule.terminal import random_example, show_workload

    loader = load_object(data) if data else None
    workload = observe(load_object(net), random_example(input), time_steps=time_steps, time_axis=time_axis, data=loader)
    show_workload(workload, as_json=json_)


@app.command
def evaluate(
    net: str,
    /,
    *,
    data: str,
    on: Sequence[str] = ("spikeflow",),
    set: Sequence[str] = (),
    ann: str | None = None,
    ann_bits: Sequence[int] = (),
    calibration: str | None = None,
    training_loss: str | None = None,
    samples: int = 1000,
    readout: str | None = None,
    score: str = "classification",
    seeds: int = 1,
    device: str = "cpu",
    time_steps: int | None = None,
    time_axis: int | None = None,
    input_bits: int | None = None,
    out: Path = RUNS,
    json_: Json = False,
) -> None:
    """Accuracy, energy, latency and area of a network on one or more machines, from one run each.

    Parameters
    ----------
    net
        file.py:name of a torch module (or a function that makes one)
    data
        file.py:name of a loader that yields (inputs, labels)
    on
        machine (preset or YAML file); repeat for more than one
    set
        override of a machine parameter, such as adc_bits=5 or "r_on=10 kohm"
    ann
        file.py:name of a trained ANN to compare with: it runs on the ANN twin of every machine
    ann_bits
        bits of its activations, 8 by default; repeat for more than one
    calibration
        file.py:name of a loader for converter ranges; by default 64 of the scored samples
    training_loss
        file.py:name of a loss of (scores, labels); adds the energy of a training step
    samples
        samples to score; gathered once, for every machine
    readout
        how outputs become scores where it cannot be seen: mean, sum, last, first or max over time, or file.py:name of a function of the outputs
    score
        classification, binary-logit, binary-probability, regression, or file.py:name of a function of (scores, labels), larger is better
    seeds
        physical chips, each with its own variation
    device
        cpu or cuda
    time_steps
        time steps, for a module that computes one step per call
    time_axis
        axis of time in the inputs, where it cannot be seen
    input_bits
        width of integer inputs (event counts), where data can be larger than the calibration samples
    out
        folder for the run folders
    """
    from truejoule.accelerators import accelerator
    from truejoule.entry import check_ann
    from truejoule.gathering import calibration_samples
    from truejoule.gathering import samples as gather
    from truejoule.network.load import load_function, load_module, load_object
    from truejoule.terminal import parse_overrides

    machines = [accelerator(machine, **parse_overrides(set)) for machine in on]
    module, read_as = load_module(net), dict(time_steps=time_steps, time_axis=time_axis, input_bits=input_bits)
    batches = gather(load_object(data), samples, time_axis=time_axis)
    runs = [Run(module, machine, None, read_as) for machine in machines]
    if ann_bits and ann is None:
        raise InputError("bits of an ANN without an ANN", where="--ann-bits", fix="name it with --ann file.py:net")
    if ann is not None:
        twins = [machine.ann_twin(bits) for machine in machines for bits in ann_bits or (8,)]
        other = load_module(ann)
        check_ann(module, other, batches, twins, time_steps=time_steps, time_axis=time_axis)
        runs += [Run(other, twin, None) for twin in twins]
    _evaluate(
        runs,
        batches,
        calibration=calibration_samples(load_object(calibration), batches) if calibration else None,
        samples=samples,
        readout=load_function(readout) if readout and ":" in readout else readout,
        score=load_function(score) if ":" in score else score,
        seeds=seeds,
        device=device,
        out=out,
        json_=json_,
        training_loss=load_function(training_loss) if training_loss else None,
    )


@app.command
def compare(
    runs: Annotated[list[Path], Parameter(negative="")], /, *, report: Path | None = None, json_: Json = False
) -> None:
    """Runs side by side; a verdict only where the uncertainty bands leave no other answer.

    Parameters
    ----------
    runs
        run folders
    report
        HTML file to write: all of them in one report
    """
    from truejoule.experiment import read, write_page
    from truejoule.report import page
    from truejoule.report.tables import comparison
    from truejoule.terminal import show

    found = [read(path) for path in runs]
    if report is not None:
        write_page(report, page(found))
    show([{k: e[k] for k in HEADLINES} for e in found] if json_ else comparison(found))


@app.command
def explain(run: Path, what: str = "energy", layer: str | None = None, /, *, component: str | None = None) -> None:
    """The arithmetic of one number: every count, every coefficient, every source.

    Parameters
    ----------
    run
        run folder
    what
        energy, area or latency
    layer
        only this layer
    component
        only this component
    """
    from truejoule.experiment import read
    from truejoule.receipt import explain as arithmetic

    print(arithmetic(read(run), what, layer, component))


@app.command
def figure(
    run: Path, name: str, /, *, out: Path | None = None, pdf: Annotated[bool, Parameter(negative="")] = False
) -> None:
    """A chart of a run for a paper, as SVG (or PDF, or what the ending of --out says).

    Parameters
    ----------
    run
        run folder
    name
        which chart; an unknown name lists them
    out
        file to write
    pdf
        write a PDF
    """
    from truejoule.experiment import read
    from truejoule.report import figure as draw

    path = out or Path(f"{name}.{'pdf' if pdf else 'svg'}")
    draw(read(run), name, path)
    print(path)


HEADLINES = (
    "network",
    "accelerator",
    "accuracy",
    "ideal_accuracy",
    "energy_j",
    "energy_band_j",
    "latency_s",
    "area_m2",
    "edp_js",
    "over_time",
    "training",
    "by_component",
    "by_layer",
    "warnings",
    "assumptions",
    "provenance",
)


class Run(NamedTuple):
    """One evaluation to come; ``name`` of the network, ``None`` for that of its class."""

    net: Any
    machine: Any
    name: str | None
    read_as: Mapping[str, int | None] = {}


def _evaluate(runs: Sequence[Run], data: Any, *, out: Path, json_: bool, seeds: int, **options: Any) -> None:
    """Do every run, keep each as soon as it is done, and show them."""
    from truejoule.experiment import write, write_page
    from truejoule.pipeline import evaluate
    from truejoule.report import page
    from truejoule.terminal import Live, show, show_evaluations

    if seeds < 1:
        raise InputError("no chips to evaluate", where="--seeds", got=seeds, expected="at least 1")
    found, folders = [], []
    try:
        with Live(quiet=json_) as live:
            for net, machine, name, read_as in runs:
                one = evaluate(
                    net, machine, data, name=name, seeds=range(seeds), progress=live, **read_as, **options
                ).to_json()
                found.append(one)
                folders.append(write(out, one, {"report.html": page([one])}))
    finally:
        if len(folders) < len(runs):
            for folder in folders:
                print(f"kept: {folder}", file=sys.stderr)
    together = write_page(out / "comparison.html", page(found)) if len(found) > 1 else None
    if json_:
        show([{key: e[key] for key in HEADLINES} | {"run": str(f)} for e, f in zip(found, folders, strict=True)])
    else:
        show_evaluations(found, folders, together)


def main() -> None:
    """Exit codes: 0 done, 2 the input is wrong (one clear message), 1 our fault."""
    try:
        app(exit_on_error=False, print_error=False)
    except (InputError, CycloptsError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except TrueJouleError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; what was finished is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
