"""ResNet-18 on one systolic array: our cycles and wall time beside those of SCALE-Sim and ZigZag, in one table per dataflow.

    python -m venv /tmp/ss && /tmp/ss/bin/pip install scalesim "numpy<2"
    python -m venv /tmp/zz && /tmp/zz/bin/pip install zigzag-dse six
    python benchmarks/peers_systolic.py --scalesim-python /tmp/ss/bin/python --zigzag-python /tmp/zz/bin/python

runs both peers in both dataflows. Their inputs are written from our workload, so that all run the same layers; the MACs of each tool are compared
before its cycles. A peer that is not named is left out. CPU seconds are those that the system charged to the finished process. With ``--folder``
a finished run is kept with its seconds and read again. Reading of the columns: docs/peers.md. Needs 5 to 15 minutes, nearly all of it theirs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import truejoule as tj
from truejoule.accelerators.sata.dataflow import demand, loops
from truejoule.accelerators.sata.design import SATA, Structure
from truejoule.workload import Layer, Workload, shapes
from truejoule.workload.profiles import with_profile

KB = 8 * 1024
WEIGHT_KB, INPUT_KB, OUTPUT_KB = 128, 1024, 1024
DRAM_BITS = 64
DATAFLOWS = {"os": "output_stationary", "ws": "weight_stationary"}


@dataclass(frozen=True)
class Result:
    """What one tool says: per layer array cycles, cycles with its memories, and MACs; wall and CPU seconds of its process; its version."""

    array: list[int]
    total: list[int]
    macs: list[int]
    version: str
    seconds: float = 0.0
    cpu: float = 0.0


def machine(dataflow: str, rows: int, columns: int) -> SATA:
    """The ANN twin (multipliers, 8 bit) with the buffers that the peers get."""
    sizes = {"weight_buffer": WEIGHT_KB, "input_buffer": INPUT_KB, "output_buffer": OUTPUT_KB}
    twin = tj.accelerator("sata").ann_twin(8)
    assert isinstance(twin, SATA)
    return twin.using(
        rows=rows,
        columns=columns,
        dataflow=DATAFLOWS[dataflow],
        dram_bits_per_cycle=DRAM_BITS,
        **{name: float(kb * KB) for name, kb in sizes.items()},
    )


def ours(workload: Workload, array: SATA) -> tuple[Result, float]:
    """Cycles, and seconds of map and cost (median of five); the seconds of the result are those of a fresh process."""
    assert workload.activity is not None
    cost, times = array.cost(array.map(workload), workload.activity), []
    for _ in range(5):
        start = time.perf_counter()
        cost = array.cost(array.map(workload), workload.activity)
        times.append(time.perf_counter() - start)
    clock = array.structure.clock
    slots = {slot.layer: slot for slot in cost.schedule.slots}
    layers = workload.multiplying
    return (
        Result(
            [round(demand(loops(layer, array.structure), array.structure).cycles.total(1)) for layer in layers],
            [round((slots[layer.name].end_s - slots[layer.name].start_s) * clock) for layer in layers],
            [layer.macs for layer in layers],
            tj.__version__,
        ),
        statistics.median(times),
    )


def closed_form(layer: Layer, s: Structure) -> int:
    """SCALE-Sim's cycles of a layer: every fold is charged the whole array, and the first cycle is cycle 0."""
    window, pixels, channels = layer.fan_in, layer.positions, layer.out_channels
    across = math.ceil(channels / s.columns)
    if s.dataflow == "output_stationary":
        return math.ceil(pixels / s.rows) * across * (window + s.rows + s.columns - 2) - 1
    return math.ceil(window / s.rows) * across * (pixels + 2 * s.rows + s.columns - 2) - 1


def partial_tiles(layer: Layer, s: Structure) -> int:
    """Skew that SCALE-Sim charges for PEs without work in partial tiles, and we do not; counted tile by tile."""
    stationary = s.dataflow == "weight_stationary"
    down, across = (layer.fan_in if stationary else layer.positions), layer.out_channels
    per_row = 2 if stationary else 1
    return sum(
        per_row * (s.rows - min(s.rows, down - top)) + s.columns - min(s.columns, across - left)
        for top in range(0, down, s.rows)
        for left in range(0, across, s.columns)
    )


def last_drain(layer: Layer, s: Structure) -> int:
    """Columns of the last output-stationary fold, which we shift out after the last product."""
    if s.dataflow == "weight_stationary":
        return 0
    return layer.out_channels - (math.ceil(layer.out_channels / s.columns) - 1) * s.columns


def refills(layer: Layer, s: Structure) -> int:
    """Cycles of our weight-stationary tiles beyond the first: all weights are shifted in again. SCALE-Sim, which has no partial sums, has none."""
    if s.dataflow != "weight_stationary":
        return 0
    fill = sum(
        2 * min(s.rows, layer.fan_in - top) + min(s.columns, layer.out_channels - left) - 2
        for top in range(0, layer.fan_in, s.rows)
        for left in range(0, layer.out_channels, s.columns)
    )
    return (demand(loops(layer, s), s).tiles - 1) * fill


def without_skew(layer: Layer, s: Structure) -> int:
    """Our cycles if all folds followed each other without a gap: folds times what streams through one."""
    streams = layer.positions if s.dataflow == "weight_stationary" else layer.fan_in
    return demand(loops(layer, s), s).folds * streams


def sizes(layer: Layer) -> tuple[int, int]:
    """Height and width of the output; 1 for linear layers."""
    return (layer.output_shape[1], layer.output_shape[2]) if layer.op == "conv" else (1, 1)


# --------------------------------------------------------------------------------------------------------------------------- SCALE-Sim

SCALESIM = """
import sys
from importlib.metadata import version
from scalesim.scale_sim import scalesim
run = scalesim(save_disk_space=True, verbose=False, config="run.cfg", topology="net.csv", layout="layout.csv", input_type_gemm=False)
run.run_scale(top_path=".")
print("VERSION", version("scalesim"), "numpy", version("numpy"))
"""


def scalesim_inputs(layers: list[Layer], s: Structure) -> dict[str, str]:
    """Configuration, topology and layout. The topology lists the part of the padded input that is used, (out - 1) stride + kernel.

    Their output is ceil((in - kernel + stride) / stride): an input with its full padding would give 113 rows for the first layer.
    """
    short = {name: key for key, name in DATAFLOWS.items()}[s.dataflow]
    config = f"""[general]
run_name = out
[architecture_presets]
ArrayHeight : {s.rows}
ArrayWidth : {s.columns}
IfmapSramSzkB : {INPUT_KB}
FilterSramSzkB : {WEIGHT_KB}
OfmapSramSzkB : {OUTPUT_KB}
IfmapOffset : 0
FilterOffset : 10000000
OfmapOffset : 20000000
Dataflow : {short}
Bandwidth : 10
ReadRequestBuffer : 64
WriteRequestBuffer : 64
[layout]
IfmapCustomLayout : False
FilterCustomLayout : False
IfmapSRAMBankBandwidth : 10
IfmapSRAMBankNum : 10
IfmapSRAMBankPort : 2
FilterSRAMBankBandwidth : 10
FilterSRAMBankNum : 10
FilterSRAMBankPort : 2
[sparsity]
SparsitySupport : false
[run_presets]
InterfaceBandwidth : CALC
UseRamulatorTrace : False
"""
    rows = ["Layer, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"]
    for number, layer in enumerate(layers):
        (kh, kw), stride = layer.kernel, layer.stride[0]
        height, width = ((n - 1) * stride + k for n, k in zip(sizes(layer), (kh, kw), strict=True))
        channels = layer.fan_in // (kh * kw)
        rows.append(f"L{number}, {height}, {width}, {kh}, {kw}, {channels}, {layer.out_channels}, {stride},")
    layout = ["Layer, " + "x, " * 20] + [f"L{number}, " + "1, " * 20 for number in range(len(layers))]
    return {"run.cfg": config, "net.csv": "\n".join(rows) + "\n", "layout.csv": "\n".join(layout) + "\n"}


def scalesim_result(folder: Path, log: str, s: Structure) -> Result:
    with (folder / "out" / "COMPUTE_REPORT.csv").open() as file:
        found = [{k.strip(): v.strip() for k, v in row.items() if k} for row in csv.DictReader(file)]
    array = [int(row["Total Cycles"]) for row in found]
    stalls = sum(float(row["Stall Cycles"]) for row in found)
    assert not stalls, f"SCALE-Sim reports {stalls} stall cycles in a mode without bandwidth limit"
    # Products from their own utilisation: Overall Util % = 100 MACs / (cycles PEs).
    macs = [round(float(row["Overall Util %"]) / 100 * int(row["Total Cycles"]) * s.pes) for row in found]
    return Result(array, [int(row["Total Cycles (incl. prefetch)"]) for row in found], macs, version_of(log))


# ------------------------------------------------------------------------------------------------------------------------------- ZigZag

ZIGZAG = """
import glob, json, sys
from importlib.metadata import version
from zigzag.api import get_hardware_performance_zigzag
energy, cycles, results = get_hardware_performance_zigzag(
    workload="net.yaml", accelerator="array.yaml", mapping="mapping.yaml", opt="latency", lpf_limit=LIMIT,
    dump_folder="out", pickle_filename="out/costs.pickle", loma_show_progress_bar=False)
def leaves(found):
    for cme, below in found:
        if hasattr(cme, "layer"):
            yield cme
        else:
            yield from leaves(below)
rows = [dict(name=c.layer.name, macs=c.layer.total_mac_count, ideal=c.ideal_cycle, array=c.ideal_temporal_cycle,
             stalled=c.latency_total0, loaded=c.latency_total1, total=c.latency_total2) for c in leaves(results)]
json.dump(rows, open("rows.json", "w"))
print("VERSION", version("zigzag-dse"))
"""


def _memory(name: str, bits: int, operands: str, ports: list[tuple[str, int, int, str]], served: str) -> str:
    lines = [f"  {name}:", f"    size: {bits}", "    r_cost: 1.0", "    w_cost: 1.0", "    area: 0", "    latency: 1"]
    lines += [f"    operands: [{operands}]", "    ports:"]
    for number, (kind, least, most, moves) in enumerate(ports, start=1):
        prefix = "".join(word[0] for word in kind.split("_"))
        lines += [f"      - name: {prefix}_port_{number}", f"        type: {kind}", f"        bandwidth_min: {least}"]
        lines += [f"        bandwidth_max: {most}", "        allocation:"]
        lines += [f"          - {move}" for move in moves.split("; ")]
    return "\n".join([*lines, f"    served_dimensions: [{served}]"])


def zigzag_inputs(layers: list[Layer], s: Structure) -> dict[str, str]:
    """Workload, array and mapping: one register per PE for what is stationary, memories for weights, inputs and outputs, DRAM.

    D1 holds output channels; D2 a block of input channels x kernel (weight stationary) or of output pixels (output stationary), the block
    that needs fewest tiles. ZigZag lays out whole blocks where we lay out any ``rows`` of the flattened window or map.
    """
    stationary = s.dataflow == "weight_stationary"
    sums = s.accumulator_bits
    every = "I1, fh; I1, tl; I2, fh; I2, tl; O, fh; O, tl; O, fl; O, th"
    if stationary:
        register = _memory("weights", 8, "I2", [("read", 8, 8, "I2, tl"), ("write", 8, 8, "I2, fh")], "")
    else:
        ports = [("read", "O, tl"), ("read", "O, th"), ("write", "O, fh"), ("write", "O, fl")]
        register = _memory("sums", sums, "O", [(kind, sums, sums, move) for kind, move in ports], "")
    wide = 2 * s.columns * sums
    array = [
        "name: array",
        "memories:",
        register,
        _memory(
            "weight_sram",
            WEIGHT_KB * KB,
            "I2",
            [("read", 8, 8 * s.columns, "I2, tl"), ("write", 8, 8 * s.columns, "I2, fh")],
            "D1, D2",
        ),
        _memory(
            "input_sram",
            INPUT_KB * KB,
            "I1",
            [("read", 8, 8 * s.rows, "I1, tl"), ("write", 8, 8 * s.rows, "I1, fh")],
            "D1, D2",
        ),
        _memory(
            "output_sram",
            OUTPUT_KB * KB,
            "O",
            [("read", 8, wide, "O, tl; O, th"), ("write", 8, wide, "O, fh; O, fl")],
            "D1, D2",
        ),
        _memory("dram", 10**10, "I1, I2, O", [("read_write", DRAM_BITS, DRAM_BITS, every)], "D1, D2"),
        "operational_array:",
        "  unit_energy: 0.04",
        "  unit_area: 1",
        "  dimensions: [D1, D2]",
        f"  sizes: [{s.columns}, {s.rows}]",
        "  systolic_dimensions: [D1, D2]",
    ]
    workload: list[dict[str, Any]] = []
    mapping: list[dict[str, Any]] = []
    for number, layer in enumerate(layers):
        (fy, fx), (oy, ox) = layer.kernel, sizes(layer)
        channels = layer.fan_in // (fy * fx)
        workload.append(
            {
                "id": number,
                "name": f"L{number}",
                "operator_type": "Conv",
                "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
                "dimension_relations": [
                    f"ix={layer.stride[1]}*ox+{layer.dilation[1]}*fx",
                    f"iy={layer.stride[0]}*oy+{layer.dilation[0]}*fy",
                ],
                "loop_dims": ["B", "K", "G", "OX", "OY", "C", "FX", "FY"],
                "loop_sizes": [1, layer.out_channels, 1, ox, oy, channels, fx, fy],
                "pr_loop_dims": ["IX", "IY"],
                "pr_loop_sizes": [layer.input_shape[2], layer.input_shape[1]] if layer.op == "conv" else [1, 1],
                "padding": [[layer.padding[1]] * 2, [layer.padding[0]] * 2],
                "operand_precision": {"W": 8, "I": 8, "O": sums, "O_final": 8},
                "operand_source": {"W": number, "I": number},
            }
        )
        inner = {"C": channels, "FX": fx, "FY": fy} if stationary else {"OX": ox, "OY": oy}
        rows = unroll(inner, s.rows)
        used = [f"{dim}, {n}" for dim, n in rows.items() if n > 1] or [f"{next(iter(rows))}, 1"]
        mapping.append(
            {
                "name": f"L{number}",
                "spatial_mapping": {"D1": [f"K, {min(s.columns, layer.out_channels)}"], "D2": used},
                "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
            }
        )
    mapping.insert(0, {**mapping[-1], "name": "default"})
    # JSON is YAML.
    return {
        "array.yaml": "\n".join(array) + "\n",
        "net.yaml": json.dumps(workload, indent=1),
        "mapping.yaml": json.dumps(mapping, indent=1),
    }


def unroll(sizes: dict[str, int], rows: int) -> dict[str, int]:
    """How much of each dimension to lay along the rows for the fewest tiles; the fewest rows among equals."""
    choices = itertools.product(*(range(1, min(size, rows) + 1) for size in sizes.values()))

    def order(choice: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
        tiles = math.prod(math.ceil(size / n) for size, n in zip(sizes.values(), choice, strict=True))
        return tiles, math.prod(choice), tuple(-n for n in choice)

    return dict(zip(sizes, min((c for c in choices if math.prod(c) <= rows), key=order), strict=True))


def zigzag_result(folder: Path, log: str, s: Structure) -> Result:
    del s
    rows = json.loads((folder / "rows.json").read_text())
    rows.sort(key=lambda row: int(row["name"][1:]))
    array, total = ([round(row[key]) for row in rows] for key in ("array", "total"))
    return Result(array, total, [round(row["macs"]) for row in rows], version_of(log))


# ------------------------------------------------------------------------------------------------------------------------------- runs


def once_each(layers: list[Layer]) -> tuple[list[Layer], list[int]]:
    """Layers of different shapes, and which of them every layer is."""
    keys = [(y.op, y.input_shape, y.output_shape, y.kernel, y.stride, y.padding, y.dilation) for y in layers]
    different = list(dict.fromkeys(keys))
    return [layers[keys.index(key)] for key in different], [different.index(key) for key in keys]


def spread(result: Result | str, which: list[int]) -> Result | str:
    """A result for every layer from one for every shape; the seconds stay those of the shapes."""
    if isinstance(result, str):
        return result
    array, total, macs = ([values[i] for i in which] for values in (result.array, result.total, result.macs))
    return replace(result, array=array, total=total, macs=macs)


def version_of(log: str) -> str:
    return next((line.removeprefix("VERSION ") for line in log.splitlines() if line.startswith("VERSION ")), "unknown")


def run(
    python: str, code: str, files: dict[str, str], folder: Path, read: Callable[..., Result], s: Structure, limit: int
) -> Result | str:
    """The result of a peer, or why there is none. A finished run of the same inputs in ``folder`` is read again, with the seconds that it took."""
    inputs, done, log = {**files, "run.py": code}, folder / "finished.json", folder / "log.txt"
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    if done.is_file():
        saved = json.loads(done.read_text())
        if saved["inputs_sha256"] == digest:
            return replace(read(folder, log.read_text(), s), seconds=saved["wall_s"], cpu=saved["cpu_s"])
    folder.mkdir(parents=True, exist_ok=True)
    done.unlink(missing_ok=True)
    for name, text in inputs.items():
        (folder / name).write_text(text)
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    python = str(Path(shutil.which(python) or python).absolute())
    start, before = time.perf_counter(), children_seconds()
    try:
        ended = subprocess.run(
            [python, "run.py"], cwd=folder, env={**os.environ, **one}, capture_output=True, text=True, timeout=limit
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    seconds, cpu = time.perf_counter() - start, children_seconds() - before
    log.write_text(ended.stdout + ended.stderr)
    if ended.returncode:
        last = (ended.stderr.strip() or "no message").splitlines()[-1]
        return f"exit status {ended.returncode}: {last} (log in {folder})"
    result = replace(read(folder, log.read_text(), s), seconds=seconds, cpu=cpu)
    done.write_text(json.dumps({"inputs_sha256": digest, "wall_s": seconds, "cpu_s": cpu}, indent=1) + "\n")
    return result


def children_seconds() -> float:
    """CPU seconds, user and system, of all child processes that were waited for, and of theirs: on a shared machine a better measure than the wall clock."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fresh_process(network: str, dataflow: str, rows: int, columns: int) -> tuple[float, float]:
    """Wall and CPU seconds of a new interpreter that imports, builds the workload, maps and costs; what the peers' seconds are."""
    start, before = time.perf_counter(), children_seconds()
    command = [sys.executable, __file__, "--network", network, "--array", f"{rows}x{columns}", "--once", dataflow]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start, children_seconds() - before


def named(network: str) -> Workload:
    return with_profile(shapes.network(network, weight_bits=8), "dense")


def columns_of(results: dict[str, Result | str]) -> dict[str, Result]:
    return {name: found for name, found in results.items() if isinstance(found, Result)}


def table(layers: list[Layer], results: dict[str, Result | str]) -> None:
    """Cycles of every layer: array, and with the memories of the tool."""
    found = columns_of(results)
    print(f"{'layer':<20}{'MMAC':>8}" + "".join(f"{f'{name} array':>18}{'total':>11}" for name in found))
    for number, layer in enumerate(layers):
        cells = "".join(f"{r.array[number]:>18,}{r.total[number]:>11,}" for r in found.values())
        print(f"{layer.name:<20}{layer.macs / 1e6:>8.1f}{cells}")
    cells = "".join(f"{sum(r.array):>18,}{sum(r.total):>11,}" for r in found.values())
    print(f"{'sum':<20}{sum(layer.macs for layer in layers) / 1e6:>8.1f}{cells}\n")


def summary(results: dict[str, Result | str], costing: float, s: Structure) -> None:
    """Totals, efficiency against MACs / PEs, wall time and ratios to ours."""
    base = results["ours"]
    assert isinstance(base, Result)
    print(
        f"{'tool':<11}{'MACs':>15}{'array':>12}{'/ours':>7}{'eff.':>6}{'total':>12}{'/ours':>7}{'wall s':>9}{'/ours':>8}{'CPU s':>8}"
    )
    for name, r in results.items():
        if isinstance(r, str):
            print(f"{name:<11}not run: {r}")
            continue
        macs, array, total = sum(r.macs), sum(r.array), sum(r.total)
        if abs(macs / sum(base.macs) - 1) > 0.001:
            print(f"{name:<11}ran {macs:,} MACs instead of {sum(base.macs):,}: cycles are not compared")
            continue
        print(
            f"{name:<11}{macs:>15,}{array:>12,}{array / sum(base.array):>7.3f}{macs / s.pes / array:>6.0%}{total:>12,}"
            f"{total / sum(base.total):>7.2f}{r.seconds:>9.1f}{r.seconds / base.seconds:>8.0f}{r.cpu:>8.1f}"
        )
    print(f"ours, map and cost alone, network in memory: {1e3 * costing:.1f} ms")
    print("versions: " + "; ".join(f"{name} {r.version}" for name, r in columns_of(results).items()) + "\n")


def agreement(layers: list[Layer], results: dict[str, Result | str], s: Structure) -> None:
    """Our cycles against SCALE-Sim's, layer by layer: what differs must be what the two count differently, to the cycle."""
    base, peer = results["ours"], results.get("SCALE-Sim")
    assert isinstance(base, Result)
    idle, drain = ([of(layer, s) for layer in layers] for of in (partial_tiles, last_drain))
    again = [refills(layer, s) for layer in layers]
    closed = [closed_form(layer, s) for layer in layers]
    ours_as_theirs = [n + i - d - f - 1 for n, i, d, f in zip(base.array, idle, drain, again, strict=True)]
    same = sum(a == b for a, b in zip(ours_as_theirs, closed, strict=True))
    print(f"ours + idle skew - last drain - refills - 1 = closed form of SCALE-Sim: {same} of {len(layers)} layers")
    print(
        f"  idle skew of partial tiles {sum(idle):,}, last drains {sum(drain):,}, refills {sum(again):,}, first cycle is cycle 0 {len(layers)}"
    )
    for layer, cycles in zip(layers, again, strict=True):
        tiles = demand(loops(layer, s), s).tiles
        if tiles > 1:
            print(
                f"  {layer.name}: {tiles} tiles here so that the partial sums fit, one in SCALE-Sim; refills {cycles:,}"
            )
    if isinstance(peer, Result):
        same = sum(a == b for a, b in zip(peer.array, closed, strict=True))
        print(f"SCALE-Sim as run = closed form: {same} of {len(layers)} layers")
        for layer, a, b in zip(layers, peer.array, closed, strict=True):
            if a != b:
                print(f"  {layer.name}: SCALE-Sim {a:,}, closed form {b:,}, difference {a - b:,}")
    other = results.get("ZigZag")
    if isinstance(other, Result):
        bare = [without_skew(layer, s) for layer in layers]
        unequal = [(layer, a, b) for layer, a, b in zip(layers, other.array, bare, strict=True) if a != b]
        print(
            f"ours without skew and drain = array cycles of ZigZag: {len(layers) - len(unequal)} of {len(layers)} layers"
        )
        print(
            f"  sum {sum(bare):,} here, {sum(other.array):,} there; skew and drain here {sum(base.array) - sum(bare):,}"
        )
        for layer, a, b in unequal:
            print(
                f"  {layer.name}: ZigZag {a:,}, ours {b:,} ({a / b:.2f} times: its tiles are blocks, ours runs of the flattened map)"
            )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scalesim-python", help="interpreter of an environment with scalesim")
    parser.add_argument("--zigzag-python", help="interpreter of an environment with zigzag-dse")
    parser.add_argument("--network", default="resnet18-imagenet", help="a name of truejoule.workload.shapes")
    parser.add_argument("--array", default="32x32", help="rows x columns")
    parser.add_argument("--dataflow", choices=tuple(DATAFLOWS), action="append", help="default: both")
    parser.add_argument("--lpf-limit", type=int, default=6, help="ZigZag's bound on loop factors")
    parser.add_argument("--limit", type=int, default=1800, help="seconds for one run of a peer")
    parser.add_argument(
        "--folder", type=Path, help="keep inputs and outputs of the peers here, and read finished runs again"
    )
    parser.add_argument(
        "--distinct",
        action="store_true",
        help="peers run every layer shape once, in half the time; cycles are repeated",
    )
    parser.add_argument("--layers", action="store_true", help="also print the cycles of every layer")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    args = parser.parse_args()
    rows, columns = (int(n) for n in args.array.split("x"))
    workload = named(args.network)
    layers = list(workload.multiplying)
    if args.once:
        array = machine(args.once, rows, columns)
        assert workload.activity is not None
        array.cost(array.map(workload), workload.activity)
        return
    if any(layer.groups > 1 or layer.stride[0] != layer.stride[1] for layer in layers):
        sys.exit("grouped convolutions and unequal strides are not written for the peers")
    folder = args.folder or Path(tempfile.mkdtemp(prefix="peers-"))
    print(
        f"{args.network}, {args.array} array, 8 bit, batch 1, DRAM {DRAM_BITS} bits per cycle (SCALE-Sim: its own estimate)\n"
    )
    if args.distinct:
        print("peers run every layer shape once; their seconds are for those\n")
    for short in args.dataflow or DATAFLOWS:
        array = machine(short, rows, columns)
        s = array.structure
        mine, costing = ours(workload, array)
        fresh = sorted(fresh_process(args.network, short, rows, columns) for _ in range(3))[1]
        results: dict[str, Result | str] = {
            "ours": replace(mine, seconds=fresh[0], cpu=fresh[1]),
            "SCALE-Sim": "no --scalesim-python",
            "ZigZag": "no --zigzag-python",
        }
        for name, python, code, files, read in (
            ("SCALE-Sim", args.scalesim_python, SCALESIM, scalesim_inputs, scalesim_result),
            (
                "ZigZag",
                args.zigzag_python,
                ZIGZAG.replace("LIMIT", str(args.lpf_limit)),
                zigzag_inputs,
                zigzag_result,
            ),
        ):
            if python:
                shapes_only = "-distinct" if args.distinct else ""
                at = folder / f"{name.lower()}-{args.network}-{args.array}-{short}{shapes_only}"
                given, which = once_each(layers) if args.distinct else (layers, list(range(len(layers))))
                results[name] = spread(run(python, code, files(given, s), at, read, s, args.limit), which)
        print(f"== {s.dataflow} ==")
        if args.layers:
            table(layers, results)
        summary(results, costing, s)
        agreement(layers, results, s)


if __name__ == "__main__":
    main()
