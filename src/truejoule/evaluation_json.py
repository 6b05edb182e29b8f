"""The JSON form of an evaluation: what run folders hold and reports show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from truejoule.components import logic
from truejoule.cost import Cost
from truejoule.workload import Activity

if TYPE_CHECKING:
    from truejoule.evaluation import Accuracy, Evaluation, OverTime


def as_json(e: Evaluation) -> dict[str, Any]:
    """See ``Evaluation.to_json``. SI units; the unit is in the key."""
    from truejoule.evaluation import SCHEMA

    workload, mapping = e.workload, e.mapping
    return {
        "schema": SCHEMA,
        "network": e.network,
        "accelerator": e.accelerator,
        "machine": e.machine,
        "title": e.title,
        "as_published": e.as_published,
        "remedies": list(e.remedies),
        "verdict": e.verdict(),
        "accuracy": _accuracy(e.accuracy),
        "ideal_accuracy": _accuracy(e.ideal_accuracy),
        "energy_j": e.cost.energy_j,
        "energy_band_j": list(e.cost.ledger.band_j),
        "latency_s": e.cost.latency_s,
        "area_m2": e.cost.area_m2,
        "area_band_m2": list(e.cost.floorplan.band_m2),
        "power_w": e.cost.power_w,
        "edp_js": {"mean_per_sample": e.cost.edp_js, "of_means": e.cost.edp_js},
        "by_component": e.cost.ledger.by("component"),
        "by_layer": _in_order(e.cost.ledger.by("layer"), e),
        "by_kind": e.cost.ledger.by("kind"),
        "by_layer_and_component": _in_order(e.cost.ledger.table(), e),
        "energy_fixed_j": e.cost.ledger.fixed_j,
        "energy_step_j": list(e.cost.ledger.step_j()),
        "ideal_activity": _totals(e.ideal_cost),
        "alternatives": [{"description": name, **_totals(cost)} for name, cost in e.alternatives.items()],
        "proxy": _proxy(e),
        "ledger": [
            {
                "layer": r.layer,
                "component": r.component,
                "action": r.action,
                "when": r.when,
                "counts": list(r.counts),
                "count": r.count,
                "energy_j": r.energy_j,
                "low_j": r.low_j,
                "high_j": r.high_j,
                "total_j": r.total_j,
                "kind": r.kind,
                "source": r.source,
            }
            for r in e.cost.ledger
        ],
        "schedule": {
            "latency_s": e.cost.latency_s,
            "interval_s": e.cost.schedule.interval_s,
            "first_output_s": e.cost.schedule.first_output_s,
            "throughput_hz": e.cost.schedule.throughput_hz,
            "slots": [
                {
                    "layer": s.layer,
                    "step": s.step,
                    "start_s": s.start_s,
                    "end_s": s.end_s,
                    "busy_s": s.busy_s,
                    "stall_s": s.stall_s,
                }
                for s in e.cost.schedule.slots
            ],
        },
        "floorplan": [
            {
                "component": b.component,
                "instances": b.instances,
                "area_m2": b.area_m2,
                "total_m2": b.total_m2,
                "kind": b.kind,
                "source": b.source,
            }
            for b in e.cost.floorplan.blocks
        ],
        "workload": {
            "name": workload.name,
            "time_steps": workload.time_steps,
            "macs": workload.macs,
            "weights": workload.weights,
            "layers": [
                {
                    "name": x.name,
                    "op": x.op,
                    "loops": x.loops(),
                    "steps": x.steps,
                    "weights": x.weights,
                    "macs": x.macs,
                    "weight_bits": x.weight_bits,
                    "input_bits": x.input_bits,
                    "standing": x.standing,
                    "neuron": x.neuron.describe() if x.neuron else None,
                    "outputs": x.outputs,
                }
                for x in workload.layers
            ],
            "edges": [{"source": x.source, "target": x.target, "recurrent": x.recurrent} for x in workload.edges],
            "not_understood": [
                {"where": x.where, "operation": x.operation, "reason": x.reason} for x in workload.not_understood
            ],
        },
        "activity": {"ideal": _activity(workload.activity), "hardware": _activity(e.activity)},
        "mapping": {
            "units": mapping.units,
            "unit_name": mapping.unit_name,
            "array_name": mapping.array_name,
            "in_use": mapping.in_use,
            "grid": list(mapping.grid),
            "arrays": mapping.arrays,
            "utilisation": mapping.utilisation,
            "placements": [
                {
                    "layer": p.layer,
                    "units": list(p.units),
                    "arrays": p.arrays,
                    "row_blocks": p.row_blocks,
                    "column_blocks": p.column_blocks,
                    "utilisation": p.utilisation,
                }
                for p in mapping.placements
            ],
            "transfers": [
                {"source": t.source, "target": t.target, "elements": t.elements, "bits": t.bits, "hops": t.hops}
                for t in mapping.transfers
            ],
        },
        "drops": [
            {"layer": d.layer, "loss": [list(row) for row in d.loss], "mean": d.mean, "worst": d.worst} for d in e.drops
        ],
        "over_time": _over_time(e.over_time),
        "training": _training(e),
        "chips": [
            {
                "seed": c.seed,
                "accuracy": _accuracy(c.accuracy),
                "agreement": c.agreement,
                "lost": c.lost,
                "gained": c.gained,
                "energy_j": c.ledger.total_j,
                "clipped": dict(c.clipped),
                "overflow": dict(c.overflow),
                "rounded": dict(c.rounded),
                "snr_db": {k: (v if abs(v) != float("inf") else None) for k, v in c.snr_db.items()},
            }
            for c in e.chips
        ],
        "parameters": [
            {
                "name": p.name,
                "value": p.value,
                "unit": p.unit,
                "low": p.low,
                "high": p.high,
                "kind": p.kind,
                "source": p.source,
                "meaning": p.meaning,
            }
            for p in e.parameters
        ],
        "assumptions": [
            {"name": p.name, "value": p.value, "unit": p.unit, "source": p.source}
            for p in e.parameters
            if p.kind == "assumed"
        ],
        "warnings": list(e.warnings),
        "provenance": dict(e.provenance),
    }


def _in_order(found: dict[str, Any], e: Evaluation) -> dict[str, Any]:
    """By layer, in the order of the network; what belongs to no layer comes last."""
    names = [layer.name for layer in e.workload.layers if layer.name in found]
    return {name: found[name] for name in [*names, *(n for n in found if n not in names)]}


def _accuracy(a: Accuracy) -> dict[str, Any]:
    return {
        "value": a.value,
        "low": a.low,
        "high": a.high,
        "samples": a.samples,
        "what": a.what,
        "interval": a.interval,
    }


def _totals(cost: Cost) -> dict[str, Any]:
    return {
        "energy_j": cost.energy_j,
        "energy_band_j": list(cost.ledger.band_j),
        "latency_s": cost.latency_s,
        "area_m2": cost.area_m2,
        "by_component": cost.ledger.by("component"),
    }


def _activity(activity: Activity | None) -> dict[str, Any] | None:
    if activity is None:
        return None
    return {
        "origin": activity.origin,
        "samples": activity.samples,
        "layers": {
            name: {
                "input_density": list(a.density()),
                "output_density": list(a.output_density()),
                "active_patches": list(a.patch_density()),
                "spikes": [n / a.samples for n in a.nonzero_outputs],
            }
            for name, a in activity.layers.items()
        },
    }


def _proxy(e: Evaluation) -> dict[str, Any]:
    """The rule of thumb that papers print, for comparison only: 0.9 pJ per synaptic operation of an SNN, 4.6 pJ per multiply-accumulate of an ANN
    (FP32 at 45 nm)."""
    spiking = e.workload.spiking
    operations = e.workload.synaptic_operations() if spiking else e.workload.macs
    price = logic.PROXY_AC if spiking else logic.PROXY_MAC
    return {
        "what": "synaptic operations" if spiking else "multiply-accumulates",
        "operations": operations,
        "energy_j": operations * price.value,
        "per_operation_j": price.value,
        "source": price.source,
    }


def _over_time(o: OverTime | None) -> dict[str, Any] | None:
    if o is None:
        return None
    return {
        "e0_j": o.line.e0_j,
        "e1_j": o.line.e1_j,
        "worst": o.line.worst,
        "points": [list(point) for point in o.line.points],
        "against_ann": [
            {
                "bits": b.bits,
                "built": b.built,
                "snn_j": b.energy.first_j,
                "ann_j": b.energy.second_j,
                "ratio": b.energy.ratio,
                "ratio_band": [b.energy.low, b.energy.high],
                "verdict": b.energy.verdict,
                "by_component": dict(b.energy.components),
                "time_ratio": b.snn_s / b.ann_s,
                "area_ratio": b.snn_m2 / b.ann_m2,
                "time_steps": b.time_steps,
                "spike_rate": b.spike_rate,
                "own_spike_rate": b.rate,
                "proxy_ratio": b.proxy,
                "sentence": b.describe(),
            }
            for b in o.against_ann
        ],
    }


def _training(e: Evaluation) -> dict[str, Any] | None:
    if e.training is None:
        return None
    ledger, sparsity = e.training.cost.ledger, e.training.sparsity
    return {
        "origin": sparsity.origin,
        "note": e.training.cost.note,
        "energy_j": ledger.total_j,
        "energy_band_j": list(ledger.band_j),
        "latency_s": e.training.cost.latency_s,
        "by_component": ledger.by("component"),
        "by_layer": ledger.by("layer"),
        "zeros": {kind: dict(getattr(sparsity, kind)) for kind in ("spike", "membrane_gradient", "surrogate")},
    }
