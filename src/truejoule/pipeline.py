"""The pipeline on one page: read, run as it is, put on the machine, run there, account for it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from truejoule.accelerators.accelerator import Accelerator
from truejoule.errors import InputError
from truejoule.evaluation import Accuracy, ChipRun, DropMap, Evaluation
from truejoule.mitigation import Mitigation, Plan, apply

if TYPE_CHECKING:
    from torch import Tensor, nn

    from truejoule.network import Network
    from truejoule.numerics.deployed import Deployed, Measurement, Work
    from truejoule.workload import Activity

DEFAULT_SAMPLES = 1000
"""Samples scored when nobody says otherwise: a 95 % interval of about ±2 points at 90 %."""
CALIBRATION_SAMPLES = 64
"""Samples whose inputs (never their labels) set the ranges when no calibration data are given."""

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)`` in samples."""


def evaluate(
    net: nn.Module,
    chip: Accelerator,
    data: Iterable[tuple[Tensor, Tensor]],
    *,
    mitigations: Sequence[Mitigation] = (),
    calibration: Iterable[Any] | None = None,
    samples: int | None = DEFAULT_SAMPLES,
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    time_steps: int | None = None,
    time_axis: int | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Accuracy, energy, latency and area of a network on a machine, from one run.

    Parameters
    ----------
    net : any ``nn.Module``; it is not changed.
    data : batches of ``(inputs, labels)``.
    mitigations : remedies, applied stage by stage.
    calibration : batches on which converter ranges are set; by default the inputs of the first 64 samples of ``data``.
    samples : how many samples are scored, ``None`` for all.
    seeds : one physical chip each.
    time_steps, time_axis : see ``observe``.

    Raises
    ------
    InputError : for a network, data or machine that cannot be evaluated; says what, where and what to do.
    """
    from truejoule.network import read, require_supported

    started = time.perf_counter()
    report = progress or (lambda stage, done, total: None)
    batches = _batches(data, samples)
    network = read(net.to(device), batches[0][0].to(device), time_steps=time_steps, time_axis=time_axis, name=name)
    batches = [(x.to(device), y.to(device)) for x, y in batches]
    plan = Plan(network, chip, _calibration(calibration, batches), seeds[0])
    plan = apply(apply(plan, mitigations, "network"), mitigations, "accelerator")
    network, chip = plan.network, plan.accelerator
    require_supported(network.workload)
    mapping = chip.map(network.workload)

    recorder = network.recorder()
    ideal = _answers(lambda x: network.run(x, on_layer=recorder.on_layer), batches, network, "ideal", report)
    workload = network.workload.with_activity(recorder.activity("measured (ideal)"))
    labels = _labels(batches)
    chips, costs, drops = [], [], ()
    for seed in seeds:
        seeded = apply(replace(plan, seed=seed, deployed=chip.deploy(network, plan.calibration, seed)), mitigations, "deployed")
        assert seeded.deployed is not None
        seeded.deployed.restart()
        answers = _answers(seeded.deployed, batches, network, f"{chip.name}, chip {seed}", report)
        measured = seeded.deployed.measurement()
        cost = chip.cost(mapping, measured.activity, measured.work)
        costs.append((cost, measured))
        drops = drops or _drops(seeded.deployed)
        chips.append(ChipRun(seed, Accuracy.of(int((answers == labels).sum()), len(labels)), float((answers == ideal).float().mean()), measured.activity, measured.clipped,
                             measured.overflow, measured.snr_db, cost.ledger))
    cost, measured = costs[0]
    assert workload.activity is not None
    return Evaluation(
        network=network.workload.name, accelerator=chip.name, title=chip.title, remedies=seeded.remedies,
        ideal_accuracy=Accuracy.of(int((ideal == labels).sum()), len(labels)), chips=tuple(chips), cost=cost,
        ideal_cost=chip.cost(mapping, workload.activity, _at(workload.activity, measured)), alternatives={text: other.cost(other.map(workload), measured.activity, measured.work) for text, other in chip.alternatives().items()},
        workload=workload, mapping=mapping, drops=drops, parameters=chip.parameters, warnings=_warnings(mapping.warnings, chips),
        provenance=_provenance(len(labels), seeds, device, calibration is None, time.perf_counter() - started),
    )


def _batches(data: Iterable[tuple[Tensor, Tensor]], samples: int | None) -> list[tuple[Tensor, Tensor]]:
    """The first ``samples`` of the data."""
    import torch

    if samples is not None and samples < 1:
        raise InputError("no samples to evaluate", where="samples", got=samples, expected="at least 1")
    batches, found = [], 0
    for batch in data:
        if not (isinstance(batch, (tuple, list)) and len(batch) == 2 and all(isinstance(part, torch.Tensor) for part in batch)):
            raise InputError("data that are not labelled batches", where=f"batch {len(batches)}", got=type(batch).__name__, expected="(inputs, labels), two tensors",
                             fix="wrap your data in a torch DataLoader that yields images and class numbers")
        x, y = batch
        if y.dim() != 1 or y.is_floating_point():
            raise InputError("labels that are not class numbers", where=f"batch {len(batches)}", got=f"{y.dtype} of shape {tuple(y.shape)}", expected="whole numbers, shape (batch,)")
        keep = len(y) if samples is None else min(len(y), samples - found)
        if keep:
            batches.append((x[:keep] if len(x) == len(y) else x[:, :keep], y[:keep]))
        found += keep
        if samples is not None and found >= samples:
            break
    if not found:
        raise InputError("no data", where="data", got="an empty loader", expected="at least one batch of (inputs, labels)", fix="check the data set and its path")
    return batches


def _calibration(given: Iterable[Any] | None, batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
    """Input batches for ranges."""
    import torch

    if given is None:
        inputs, found = [], 0
        for x, y in batches:
            inputs.append(x[: CALIBRATION_SAMPLES - found] if len(x) == len(y) else x)
            found += len(y)
            if found >= CALIBRATION_SAMPLES:
                break
        return tuple(inputs)
    picked = [batch if isinstance(batch, torch.Tensor) else batch[0] for batch in islice(given, 8)]
    if not picked:
        raise InputError("no calibration data", where="calibration", got="an empty loader", expected="at least one batch", fix="leave it out to use the first samples of the data")
    return tuple(x.to(batches[0][0].device) for x in picked)


def _answers(run: Callable[[Tensor], Any], batches: Sequence[tuple[Tensor, Tensor]], network: Network, stage: str, report: Progress) -> Tensor:
    """Predicted classes of all samples."""
    import torch

    total, done, answers = sum(len(y) for _, y in batches), 0, []
    for x, y in batches:
        report(stage, done, total)
        answers.append(_scores(run(x), len(y), network.time_steps).argmax(1))
        done += len(y)
    report(stage, total, total)
    return torch.cat(answers).cpu()


def _scores(output: Any, samples: int, time_steps: int) -> Tensor:
    """Class scores ``(N, classes)`` of what a network returned; outputs per time step are added up."""
    import torch

    first = output
    while isinstance(first, (tuple, list)) and first:
        first = first[0]
    if isinstance(first, torch.Tensor) and first.dim() == 3 and first.shape[0] == time_steps and first.shape[1] == samples:
        first = first.sum(0)
    if not isinstance(first, torch.Tensor) or first.dim() != 2 or len(first) != samples:
        got = f"shape {tuple(first.shape)}" if isinstance(first, torch.Tensor) else type(first).__name__
        raise InputError("the network's output is not a score per class", where="output of the network", got=got, expected=f"({samples}, classes), or ({time_steps}, {samples}, classes)",
                         fix="return class scores; sum or average over time and space yourself")
    return first


def _at(ideal: Activity, measured: Measurement) -> Work:
    """The machine's own quantities at the ideal activity: all of them are driven by ones at the inputs, so they scale with these."""
    scaled = {}
    for name, quantities in measured.work.items():
        before, after = measured.activity.layers[name], ideal.layers[name]
        ratio = [(b / after.samples) / (a / before.samples) if a else 0.0 for a, b in zip(before.input_ones, after.input_ones, strict=True)]
        scaled[name] = {quantity: tuple(v * r for v, r in zip(values, ratio, strict=True)) for quantity, values in quantities.items()}
    return scaled


def _drops(deployed: Deployed, most: int = 4) -> tuple[DropMap, ...]:
    """The worst crossbar of each of the layers that lose most in their wires."""
    maps = []
    for name, loss in deployed.wire_loss().items():
        arrays = loss.flatten(0, -3)
        worst = arrays[int(arrays.mean((1, 2)).argmax())]
        maps.append(DropMap(name, tuple(tuple(round(float(v), 4) for v in row) for row in worst), float(arrays.mean()), float(arrays.max())))
    return tuple(sorted(maps, key=lambda m: -m.mean)[:most])


def _labels(batches: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    import torch

    return torch.cat([y for _, y in batches]).cpu()


def _warnings(mapping: Sequence[str], chips: Sequence[ChipRun]) -> tuple[str, ...]:
    """Each warning once: mapping, saturated converters, weak layers."""
    found = list(mapping)
    first = chips[0]
    found += [f"{name}: {100 * share:.1f} % of its conversions are outside the converter's range" for name, share in first.clipped.items() if share > 0.01]
    found += [f"{name}: {100 * share:.1f} % of its inputs are outside the integer grid seen in the first batch" for name, share in first.overflow.items() if share > 0.001]
    found += [f"{name}: computed with a signal-to-noise ratio of only {snr:.1f} dB" for name, snr in first.snr_db.items() if snr < 10]
    return tuple(dict.fromkeys(found))


def _provenance(samples: int, seeds: Sequence[int], device: str, own_calibration: bool, seconds: float) -> dict[str, Any]:
    import torch

    import truejoule

    return {"truejoule": truejoule.__version__, "torch": torch.__version__, "python": platform.python_version(), "device": device, "threads": torch.get_num_threads(),
            "samples": samples, "seeds": list(seeds), "calibration": f"inputs of the first {CALIBRATION_SAMPLES} samples" if own_calibration else "given by the user", "wall_s": round(seconds, 2)}
