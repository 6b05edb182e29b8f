"""What tables, figures and page say about an evaluation, in words: every number comes from its JSON form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import combinations
from typing import Any

from truejoule.cost import Entry, Ledger, compare
from truejoule.units import PREFIXES, format_si

RIGHT = "right answers"
"""What an accuracy is of, where each answer is right or wrong."""
Evaluation = dict[str, Any]
"""The JSON form of an evaluation, as ``Evaluation.to_json`` writes it."""


def percent(share: float, digits: int = 1) -> str:
    """``0.078`` as ``7.8 %``; small but non-zero shares say so."""
    if 0 < abs(share) < 0.5 * 10 ** -(digits + 2):
        return f"< {10.0**-digits:.{digits}f} %"
    return f"{100 * share:.{digits}f} %"


def density(share: float) -> str:
    """A share of values in use, to three digits or so: ``100 %``, ``4.89 %``, ``< 0.01 %``."""
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    return percent(share, 2 if share < 0.0995 else 1)


def count(value: float) -> str:
    """Whole numbers with thousands separators, others with four digits."""
    if float(value).is_integer() and abs(value) < 1e12:
        return f"{int(value):,}"
    if 1e4 <= abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if 1 <= abs(value) < 1e4 else f"{value:.4g}"


def span(low: float, high: float, unit: str) -> str:
    """``6.71 to 189 µJ``: the unit is said once where both ends share it."""
    first, last = format_si(low, unit), format_si(high, unit)
    number, _, symbol = first.rpartition(" ")
    return f"{number if number and last.endswith(' ' + symbol) else first} to {last}"


def band(ends: Sequence[float], unit: str) -> str:
    """The span of a pair of ends."""
    return span(ends[0], ends[1], unit)


def unit_of(values: Iterable[float], unit: str) -> tuple[float, str]:
    """Scale and symbol of the unit that suits the largest value: ``(1e-6, "µJ")``."""
    largest = max((abs(v) for v in values), default=0.0)
    symbol = format_si(largest, unit).rpartition(" ")[2] if largest else unit
    if unit == "m2":
        return {"mm²": 1e-6, "µm²": 1e-12}.get(symbol, 1.0), symbol
    return PREFIXES[symbol.removesuffix(unit)], symbol


def label(evaluation: Evaluation) -> str:
    """The machine and the remedies."""
    remedies = ", ".join(evaluation["remedies"])
    return f"{evaluation['title']} + {remedies}" if remedies else evaluation["title"]


def labels(evaluations: Sequence[Evaluation]) -> list[str]:
    """A different name for every evaluation: the machine, the network too where there are several, then a number."""
    names = [label(e) for e in evaluations]
    if len(set(names)) < len(names) or len({e["network"] for e in evaluations}) > 1:
        names = [f"{e['network']} on {name}" for e, name in zip(evaluations, names, strict=True)]
    return [name if names.count(name) == 1 else f"{name} ({names[:i].count(name) + 1})" for i, name in enumerate(names)]


def is_share(a: Mapping[str, Any]) -> bool:
    """Whether an accuracy is a share of right answers, or the mean of another score."""
    return a.get("what", RIGHT) == RIGHT


def mark(a: Mapping[str, Any]) -> str:
    """The value of an accuracy: ``91.2 %``, or ``0.0312`` of another score."""
    return percent(a["value"]) if is_share(a) else f"{a['value']:.4g}"


def interval(a: Mapping[str, Any]) -> str:
    """The confidence interval of an accuracy: ``90.1 to 92.3 %``."""
    return f"{100 * a['low']:.1f} to {percent(a['high'])}" if is_share(a) else f"{a['low']:.4g} to {a['high']:.4g}"


def accuracy(a: Mapping[str, Any]) -> str:
    """Accuracy with its confidence interval."""
    return f"{mark(a)} ({interval(a)})"


def accuracy_change(evaluation: Evaluation) -> str:
    """``91.2 → 88.4 %``; ``0.031 → 0.034 (absolute error)`` of another score."""
    ideal, here = evaluation["ideal_accuracy"], evaluation["accuracy"]
    if is_share(ideal):
        return f"{100 * ideal['value']:.1f} → {mark(here)}"
    return f"{mark(ideal)} → {mark(here)} ({ideal['what']})"


def same_samples(evaluations: Sequence[Evaluation]) -> list[str]:
    """A sentence where runs were made on different samples, so that nothing in them is of the same data."""
    digests = [e["provenance"].get("samples_digest") for e in evaluations]
    if len({d for d in digests if d}) < 2:
        return []
    runs = [
        f"{name}: {count(e['accuracy']['samples'])} ({digest or 'unknown'})"
        for name, e, digest in zip(labels(evaluations), evaluations, digests, strict=True)
    ]
    return [
        f"Warning: these runs were made on different samples ({'; '.join(runs)}): differences between them may come from the data. "
        "Gather the samples once, with one command or truejoule.samples."
    ]


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent."""
    return percent(part / whole) if whole else "–"


def receipt(row: dict[str, Any]) -> str:
    """``451,584 conversion x 2.03 pJ``."""
    return f"{count(row['count'])} × {format_si(row['energy_j'], 'J')} ({row['action']})"


def receipts(rows: Iterable[dict[str, Any]], limit: int = 3, *, layers: bool = False) -> str:
    """The largest receipts of a group of ledger rows (with their layers), then how many are left."""
    found = sorted((r for r in rows if r["total_j"]), key=lambda r: -r["total_j"])
    texts = [f"{r['layer']}: {receipt(r)}" if layers else receipt(r) for r in found[:limit]]
    if len(found) > limit:
        texts.append(f"and {len(found) - limit} more")
    return "; ".join(texts)


def ratio(value: float, reference: float) -> str:
    """``1.8×``; a dash where the reference is zero."""
    if not reference:
        return "–"
    found = value / reference
    return f"{found:.2f}×" if 0.095 <= found < 9.995 else f"{found:.3g}×" if found < 1000 else f"{found:,.0f}×"


def verdicts(evaluations: Sequence[Evaluation]) -> list[str]:
    """Who uses less energy and why, for every two evaluations of one network or on one kind of machine. Decided only where the uncertainty bands
    leave no other answer, and never of an as-published account: it has no bands, and leaves out what the published model leaves out."""
    found = same_samples(evaluations)
    for (first, a), (second, b) in combinations(zip(labels(evaluations), evaluations, strict=True), 2):
        if a["network"] != b["network"] and a["machine"] != b["machine"]:
            continue
        if a["as_published"] or b["as_published"]:
            published = " and ".join(name for name, e in ((first, a), (second, b)) if e["as_published"])
            found.append(
                f"{first} and {second}: no verdict; {published} follows a published model, to check its claims."
            )
            continue
        if a["energy_j"] < b["energy_j"]:
            first, a, second, b = second, b, first, a
        shared = a["machine"] == b["machine"]
        c = compare(_ledger(a), _ledger(b), shared=shared, same_layers=_weighted(a) == _weighted(b))
        if c.low == c.high == 1.0:
            found.append(f"{first} and {second} take the same energy, {format_si(c.first_j, 'J')}.")
            continue
        decided = {
            "more expensive": "outside the uncertainty bands",
            "undecided": "which the uncertainty bands leave undecided",
            "cheaper": "",
        }[c.verdict]
        found.append(
            f"{first} ({_quality(a)}) takes {c.ratio:.2f} times the energy of {second} ({_quality(b)}), "
            f"{format_si(c.first_j, 'J')} against {format_si(c.second_j, 'J')}, {decided}: "
            f"{c.low:.2f} to {c.high:.2f} times{', the same coefficient being off alike on both' if shared else ''}. "
            f"It takes {a['latency_s'] / b['latency_s']:.2g} times the time and {a['area_m2'] / b['area_m2']:.2g} times the area"
            + (f"; it {c.why()}." if shared else ".")
            + _built_otherwise(a, b)
        )
    return found


def against_ann(over_time: Mapping[str, Any]) -> str:
    """The sentences about the first ANN, and the ratio to it where its machine is built otherwise."""
    found = over_time["against_ann"]
    if not found:
        return ""
    others = [a for a in found[1:] if a["bits"] == found[0]["bits"]]
    return found[0]["sentence"] + "".join(
        f" Against an ANN machine with {a['built']} it would take {a['ratio']:.2f} times the energy ({a['verdict']}: {a['ratio_band'][0]:.2f} to "
        f"{a['ratio_band'][1]:.2f}) and {a['area_ratio']:.2g} times the area."
        for a in others
    )


def _quality(evaluation: Evaluation) -> str:
    a = evaluation["accuracy"]
    return f"{mark(a)} right" if is_share(a) else f"{a['what']} {mark(a)}"


def _ledger(evaluation: Evaluation) -> Ledger:
    """The account again, from its JSON form."""
    rows: list[dict[str, Any]] = [
        {f.name: tuple(r[f.name]) if f.name == "counts" else r[f.name] for f in fields(Entry)}
        for r in evaluation["ledger"]
    ]
    return Ledger(tuple(Entry(**row) for row in rows))


def _built_otherwise(a: Evaluation, b: Evaluation) -> str:
    """What the second would take under accountings that the first does not have (the ANN's machine built otherwise), and whether they compute alike."""
    known = {other["description"] for other in a["alternatives"]}
    own = (
        [other for other in b["alternatives"] if other["description"] not in known]
        if a["machine"] == b["machine"]
        else []
    )
    text = "".join(
        f" With {other['description']} the second would take {format_si(other['energy_j'], 'J')}, and the first "
        f"{a['energy_j'] / other['energy_j']:.2f} times that on {a['area_m2'] / other['area_m2']:.2g} times the area."
        for other in own
    )
    if a["network"] != b["network"] and [w for _, w in _weighted(a)] != [w for _, w in _weighted(b)]:
        text += " Their layers are not the same: this compares two networks, not spikes with ReLU."
    return text


def _weighted(evaluation: Evaluation) -> list[tuple[str, int]]:
    """Layers with weights: the same list is the same topology."""
    return [(x["name"], x["weights"]) for x in evaluation["workload"]["layers"] if x["weights"]]


def rising(rows: dict[str, float]) -> list[tuple[str, float]]:
    """Largest first."""
    return sorted(rows.items(), key=lambda item: -item[1])
