"""The pipeline on one page: read, run as it is, put on the machine, run there, account for it."""

from __future__ import annotations

import copy
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from truejoule.accelerators.accelerator import Accelerator
from truejoule.accelerators.against_ann import break_even
from truejoule.accelerators.over_time import Observed, energy_line
from truejoule.cost import Cost
from truejoule.entry import ends_in_sigmoid, module_of, read_with, readout_of
from truejoule.errors import InputError, some
from truejoule.evaluation import ChipRun, DropMap, Evaluation, OverTime, Training
from truejoule.gathering import DEFAULT_SAMPLES, Samples, calibration_samples, device_of
from truejoule.gathering import samples as gather
from truejoule.mitigation import Mitigation, Plan, apply
from truejoule.mitigation.plan import STAGES
from truejoule.readout import Readout
from truejoule.scoring import Asked, Score, check_finite, check_labels, remarks, score_for

if TYPE_CHECKING:
    from torch import Tensor, nn

    from truejoule.network import Network
    from truejoule.numerics.deployed import Deployed, Measurement
    from truejoule.workload import Activity, Work

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)`` in samples."""


def evaluate(
    net: nn.Module,
    chip: Accelerator,
    data: Iterable[tuple[Tensor, Tensor]] | Samples,
    *,
    mitigations: Sequence[Mitigation] = (),
    calibration: Iterable[Any] | Samples | None = None,
    samples: int | None = DEFAULT_SAMPLES,
    readout: str | Callable[[Any], Tensor] | None = None,
    score: Asked = "classification",
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    training_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    time_steps: int | None = None,
    time_axis: int | None = None,
    input_bits: int | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Accuracy, energy, latency and area of a network on a machine, from one run.

    Parameters
    ----------
    net : any ``nn.Module``; it is not changed.
    data : batches of ``(inputs, labels)``, or what ``truejoule.samples`` gathered of them. Their order and their batches change no number.
    mitigations : remedies, applied stage by stage.
    calibration : batches of inputs on which converter ranges are set (1,024 samples at most); by default 64 of the scored samples.
    samples : at most so many samples are scored, also of those gathered before; ``None`` for all.
    readout : how the outputs become scores: "mean", "sum", "last", "first" or "max" over time, or a function of the outputs; by default what is
        certain, see ``readout_for``.
    score : "classification", "binary-logit", "binary-probability", "regression" (mean absolute error), or a function of (scores, labels) that gives
        for each sample a bool or a number, larger is better.
    seeds : one physical chip each.
    training_loss : takes scores and labels; with it the energy of one training step is given too, with the zeros of a real step.
    time_steps, time_axis : see ``observe``.
    input_bits : width of integer inputs, where data can be larger than the calibration samples; see ``Network.calibrated``.

    Raises
    ------
    InputError : for a network, data or machine that cannot be evaluated; says what, where and what to do.
    """
    from truejoule.network import require_supported

    started = time.perf_counter()
    if not seeds:
        raise InputError("no chips to evaluate", where="seeds", got="none", expected="at least one seed")
    place, net = device_of(device), module_of(net)
    if any(tensor.device != place for tensor in [*net.parameters(), *net.buffers()]):
        net = copy.deepcopy(net).to(place)
    gathered = gather(data, samples, time_axis=time_axis)
    check_labels(score, gathered.labels)
    network, gathered = read_with(net, gathered, place, time_steps, time_axis, name)
    ranges = calibration_samples(calibration, gathered)
    network = network.calibrated(ranges.inputs(place), input_bits)
    machine = chip.suited(network.workload)
    plan = Plan(network, machine, ranges.inputs(place), seeds[0])
    plan = apply(apply(plan, mitigations, "network"), mitigations, "accelerator")
    require_supported(plan.network.workload)
    mapping = plan.accelerator.map(plan.network.workload)
    rule = readout_of(plan.network, gathered, place, readout, score)
    batches = gathered.batches(place)

    training = _training(plan, batches[0], rule, training_loss) if training_loss is not None else None

    report = progress or (lambda stage, done, total: None)
    recorder = plan.network.recorder()
    ideal = _scores(lambda x: plan.network.run(x, on_layer=recorder.on_layer), batches, rule, "ideal", report)
    activity = recorder.activity("measured (ideal)")
    judge = score_for(score, ideal, gathered.labels, sigmoid=ends_in_sigmoid(plan.network))

    def on_chip(seed: int) -> tuple[ChipRun, Cost, Measurement, tuple[DropMap, ...]]:
        """Program one chip, run all samples on it, and account for what it measured."""
        programmed = replace(plan, seed=seed, deployed=plan.accelerator.deploy(plan.network, plan.calibration, seed))
        deployed = apply(programmed, mitigations, "deployed").deployed
        assert deployed is not None
        deployed.restart()
        found = _scores(deployed, batches, rule, f"{plan.accelerator.name}, chip {seed}", report)
        measured = deployed.measurement()
        cost = plan.accelerator.cost(mapping, measured.activity, measured.work)
        return _chip_run(seed, judge, found, ideal, gathered.labels, measured, cost), cost, measured, _drops(deployed)

    first, cost, measured, drops = on_chip(seeds[0])
    over_time, without_ann = _over_time(plan, measured)
    chips = (first, *(on_chip(seed)[0] for seed in seeds[1:]))
    return Evaluation(
        network=plan.network.workload.name,
        accelerator=plan.accelerator.name,
        machine=plan.accelerator.machine,
        title=plan.accelerator.title,
        as_published=plan.accelerator.as_published,
        remedies=tuple(m.name for stage in STAGES for m in mitigations if m.stage == stage),
        ideal_accuracy=judge.accuracy(judge.marks(ideal, gathered.labels)),
        chips=chips,
        cost=cost,
        ideal_cost=plan.accelerator.cost(mapping, activity, _at(activity, measured)),
        alternatives=_alternatives(plan, measured, cost),
        workload=plan.network.workload.with_activity(activity),
        mapping=mapping,
        drops=drops,
        over_time=over_time,
        training=training,
        parameters=plan.accelerator.parameters,
        warnings=(
            *plan.network.notes,
            *_instead(chip, machine, plan.network),
            *remarks(judge, ideal),
            *_warnings(mapping.warnings, chips, cost),
            *without_ann,
        ),
        provenance={
            **_provenance(seeds, device, time.perf_counter() - started),
            "samples": len(gathered),
            "samples_digest": gathered.digest,
            "calibration": f"{len(ranges)} {'of the samples' if calibration is None else 'samples given by the user'} ({ranges.digest})",
            "scored": f"{judge.describe()}, {rule.describe()}",
        },
    )


def _alternatives(plan: Plan, measured: Measurement, cost: Cost) -> dict[str, Cost]:
    """The same run under other accountings, without those that change nothing for this network."""
    workload = plan.network.workload
    found = {
        text: other.cost(other.map(workload), measured.activity, measured.work)
        for text, other in plan.accelerator.alternatives().items()
    }
    return {text: c for text, c in found.items() if (c.energy_j, c.area_m2) != (cost.energy_j, cost.area_m2)}


def _over_time(plan: Plan, measured: Measurement) -> tuple[OverTime | None, list[str]]:
    """What the activity that the hardware measured would cost at other T, and beside an ANN; where there is none, why."""
    workload, machine = plan.network.workload, plan.accelerator
    if not workload.spiking:
        return None, []
    seen = Observed(workload.with_activity(measured.activity), measured.work)
    line = energy_line(machine, seen)
    if machine.as_published:
        return OverTime(line, ()), []
    try:
        return OverTime(line, break_even(machine, seen)), []
    except InputError as error:
        return OverTime(line, ()), [
            f"no ANN of the same topology to hold against this network: {error.what} ({error.got})"
        ]


def _training(
    plan: Plan, batch: tuple[Tensor, Tensor], readout: Readout, loss: Callable[[Tensor, Tensor], Tensor]
) -> Training:
    """A real training step, priced."""
    from truejoule.network import training_step

    x, y = batch
    sparsity = training_step(plan.network, x, y.to(x.device), loss, readout)
    return Training(plan.accelerator.training(plan.network.workload, sparsity), sparsity)


def _chip_run(
    seed: int, judge: Score, scores: Tensor, ideal: Tensor, labels: Tensor, measured: Measurement, cost: Cost
) -> ChipRun:
    check_finite(scores, f"chip {seed}")
    same, marks, before = judge.same(ideal, scores), judge.marks(scores, labels), judge.marks(ideal, labels)
    worse, better = (~same & (marks < before), ~same & (marks > before))[:: -1 if judge.smaller_is_better else 1]
    return ChipRun(
        seed=seed,
        accuracy=judge.accuracy(marks),
        agreement=float(same.float().mean()),
        lost=int(worse.sum()),
        gained=int(better.sum()),
        activity=measured.activity,
        clipped=measured.clipped,
        overflow=measured.overflow,
        rounded=measured.rounded,
        snr_db=measured.snr_db,
        ledger=cost.ledger,
    )


def _scores(
    run: Callable[[Tensor], Any],
    batches: Sequence[tuple[Tensor, Tensor]],
    readout: Readout,
    stage: str,
    report: Progress,
) -> Tensor:
    """Scores of all samples."""
    import torch

    total, done, found = sum(len(y) for _, y in batches), 0, []
    for x, y in batches:
        report(stage, done, total)
        found.append(readout(run(x)).cpu())
        done += len(y)
    report(stage, total, total)
    return torch.cat(found)


def _instead(chip: Accelerator, machine: Accelerator, network: Network) -> list[str]:
    """Said where another machine runs the network than was asked for."""
    if machine is chip:
        return []
    return [f"runs on {machine.name}: {chip.name} itself does not suit {network.workload.name}"]


def _at(ideal: Activity, measured: Measurement) -> Work:
    """The machine's own quantities at the ideal activity: all of them are driven by ones at the inputs, so they scale with these."""
    scaled = {}
    for name, quantities in measured.work.items():
        before, after = measured.activity.layers[name], ideal.layers[name]
        ratio = [
            (b / after.samples) / (a / before.samples) if a else 0.0
            for a, b in zip(before.input_ones, after.input_ones, strict=True)
        ]
        scaled[name] = {
            quantity: tuple(v * r for v, r in zip(values, ratio, strict=False))  # one value for a layer computed once
            for quantity, values in quantities.items()
        }
    return scaled


def _drops(deployed: Deployed, most: int = 4) -> tuple[DropMap, ...]:
    """The worst crossbar of each of the layers that lose most in their wires."""
    maps = []
    for name, loss in deployed.wire_loss().items():
        arrays = loss.flatten(0, -3)
        worst = arrays[int(arrays.mean((1, 2)).argmax())]
        maps.append(
            DropMap(
                name,
                tuple(tuple(round(float(v), 4) for v in row) for row in worst),
                float(arrays.mean()),
                float(arrays.max()),
            )
        )
    return tuple(sorted(maps, key=lambda m: -m.mean)[:most])


def _warnings(mapping: Sequence[str], chips: Sequence[ChipRun], cost: Cost) -> tuple[str, ...]:
    """Each warning once: assumed coefficients, mapping, saturated converters, weak layers."""
    found = []
    assumed = cost.ledger.where(lambda e: e.kind == "assumed")
    if assumed.total_j > 0.1 * cost.energy_j:
        parts = ", ".join(sorted(assumed.by("component"), key=lambda c: -assumed.by("component")[c])[:3])
        found.append(
            f"{100 * assumed.total_j / cost.energy_j:.0f} % of the energy rests on coefficients that nobody has published ({parts}); see the band"
        )
    found += mapping
    first = chips[0]
    saturated = [f"{name} {100 * share:.1f} %" for name, share in first.clipped.items() if share > 0.01]
    outside = [f"{name} {100 * share:.2g} %" for name, share in first.overflow.items() if share > 1e-4]
    off_grid = [f"{name} {100 * share:.2g} %" for name, share in first.rounded.items() if share]
    noisy = [f"{name} {snr:.1f} dB" for name, snr in first.snr_db.items() if snr < 10]
    for names, text in (
        (
            saturated,
            "values outside the range of their converters or accumulators (widen them, or calibrate on better data)",
        ),
        (outside, "inputs beyond the largest of the calibration samples were clipped (calibrate on more samples)"),
        (off_grid, "inputs off the integer grid of the calibration samples were rounded (calibrate on more samples)"),
        (noisy, "layers computed with a low signal-to-noise ratio"),
    ):
        found += [f"{text}: {some(names)}"] if names else []
    return tuple(found)


def _provenance(seeds: Sequence[int], device: str, seconds: float) -> dict[str, Any]:
    import torch

    import truejoule

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "truejoule": truejoule.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device,
        "threads": torch.get_num_threads(),
        "seeds": list(seeds),
        "wall_s": round(seconds, 2),
    }
