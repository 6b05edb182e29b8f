"""How often every operand is fetched, and how long the array is busy, as a function of T, for each dataflow.

One layer: ``W`` products per output, ``P`` output positions, ``K`` output channels in ``g`` groups of ``Kg``, ``b`` bit planes per input (1 for
spikes; a mac PE takes all bits at once), T time steps. Array of ``R x C`` PEs, operands enter at the left and top edge with a skew of one cycle,
so a fold that uses ``r x c`` PEs for ``n`` cycles each lasts ``n + r + c - 2`` cycles. A stream is what one edge PE receives in one fold; it is
fetched in whole words of the buffer.

====================== =============== =============================== ========================= ======================= ===================
dataflow               array           cycles                          weights from the buffer   inputs                  membrane
====================== =============== =============================== ========================= ======================= ===================
output_stationary      pixels x chan.  T sum(W b + r + c - 2) + T c'   T K ceil(P/R) W           T P W ceil(Kg/C) g      2 T P K (register
                                                                                                                         if P K <= R C)
tick_batch             pixels x chan.  sum(T W b + B (r + c - 2)) + c' B K ceil(P/R) W           T P W ceil(Kg/C) g      register
temporal_parallel      pixels x chan.  B sum(W b + r + c - 2) + c'     B K ceil(P/R) W           as above, T bits packed register
weight_stationary      window x chan.  sum(T P b + n (2 r + c - 2))    n K W                     T P W ceil(Kg/C) g      register
parallel_time_batching chan. x windows P sum(W b t + r + c - 2) + c'   P K W ceil(B/C)           P W ceil(Kg/R) g packed register
====================== =============== =============================== ========================= ======================= ===================

``B = ceil(T / time_window)`` passes over the weights, t steps per window, c' columns of the last fold, which still have to be shifted out. All
but the last drain and all neuron updates hide behind the next fold. In tick_batch a PE holds one partial sum per time step and each weight for
all of them; that needs ``time_window`` partial sums of scratchpad, in temporal_parallel as many accumulators. Weight-stationary folds meet again
only in the output buffer: P K T partial sums are read and written between the ``ceil(W/R)`` row folds, in n tiles (``_tiles``).

Sources: SCALE-Sim output and weight stationary as used by SATA_Sim (their closed forms charge the whole array's skew in every fold; here partial
tiles are exact); tick batching arXiv 2309.03388; LoAS (MICRO 2024) packs all T; PTB (HPCA 2022) gives a column a window of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from truejoule.accelerators.sata.design import Structure
from truejoule.numerics.schemes import count_planes
from truejoule.workload import Layer
from truejoule.workload.layer import REAL

BYTE = 8
"""Outputs are written with byte enables."""


@dataclass(frozen=True, slots=True)
class Amount:
    """``once + step * T``: what happens once per inference, and in every time step."""

    once: float = 0.0
    step: float = 0.0

    def total(self, steps: int) -> float:
        return self.once + self.step * steps


@dataclass(frozen=True, slots=True)
class Demand:
    """What one layer asks of the array and of the buffers beside it.

    Attributes
    ----------
    folds : tiles of the array that the layer is cut into, per pass.
    cycles : clock cycles of the array, fill and drain included.
    inputs, weights, outputs : bits read from and written to the buffers, in whole words.
    partials : bits of partial sums that are read, and as many written.
    tiles : times that the folds are gone through for other positions and steps, with their weights fetched again: n of the table above.
    """

    folds: int
    cycles: Amount
    inputs: Amount
    weights: Amount
    outputs: Amount
    partials: Amount
    tiles: int = 1


@dataclass(frozen=True, slots=True)
class Loops:
    """The nest of loops that the array runs: ``groups`` products of a ``positions x window`` by a ``window x channels`` matrix, in every step.

    Attributes
    ----------
    window, positions, channels : W, P and Kg of the table above.
    steps : T.
    planes : cycles per product.
    input_bits, weight_bits : widths of the operands in the buffers.
    """

    window: int
    positions: int
    channels: int
    groups: int
    steps: int
    planes: int
    input_bits: int
    weight_bits: int

    @property
    def outputs(self) -> int:
        """Sums of one time step."""
        return self.positions * self.channels * self.groups


def loops(layer: Layer, s: Structure) -> Loops:
    """Inference of one layer with weights."""
    return Loops(
        layer.fan_in,
        layer.positions,
        layer.out_channels // layer.groups,
        layer.groups,
        layer.steps,
        planes(layer, s),
        input_bits(layer, s),
        weight_bits(layer, s),
    )


def demand(nest: Loops, s: Structure, out_bits: int = 1) -> Demand:
    """Cycles and buffer traffic of a nest of loops, all its time steps; ``out_bits`` is the width of what leaves the array."""
    return {
        "output_stationary": _output_stationary,
        "tick_batch": _tick_batch,
        "temporal_parallel": _temporal_parallel,
        "weight_stationary": _weight_stationary,
        "parallel_time_batching": _parallel_time_batching,
    }[s.dataflow](nest, s, out_bits)


def weight_bits(layer: Layer, s: Structure) -> int:
    """Integer weights keep their own width; real ones are rounded to the machine's."""
    return layer.weight_bits if layer.weight_levels != "float" else s.weight_bits


def input_bits(layer: Layer, s: Structure) -> int:
    """Integer inputs keep their width; real ones are rounded to the machine's."""
    return layer.input_bits if layer.input_bits < REAL else s.input_bits


def planes(layer: Layer, s: Structure) -> int:
    """Cycles that one product takes: a spike PE adds the shifted weight once per input bit, in a positive and a negative pass if signed."""
    bits = input_bits(layer, s)
    if s.pe == "mac":
        return math.ceil(bits / s.input_bits)
    return count_planes(bits, layer.inputs_signed, layer.inputs_full_range)


@cache
def valid_products(layer: Layer) -> int:
    """Products of one time step that do not fall on zero padding; ``layer.macs`` counts those too."""
    if layer.op != "conv":
        return layer.macs
    pairs = 1
    sides = len(layer.input_shape) - 1
    for axis in range(2 - sides, 2):
        size, out = layer.input_shape[axis - 2 + sides + 1], layer.output_shape[axis - 2 + sides + 1]
        pairs *= sum(
            0 <= o * layer.stride[axis] - layer.padding[axis] + k * layer.dilation[axis] < size
            for o in range(out)
            for k in range(layer.kernel[axis])
        )
    return pairs * layer.out_channels * (layer.in_channels // layer.groups)


def _words(bits: float, word: int) -> int:
    """Bits fetched for ``bits`` useful ones that lie side by side."""
    return math.ceil(bits / word) * word


def _sides(nest: Loops) -> tuple[int, int, int, int]:
    """W, P, Kg, g."""
    return nest.window, nest.positions, nest.channels, nest.groups


def _blocks(total: int, size: int, count: int) -> list[tuple[int, int]]:
    """``(extent, how many)`` of the tiles of ``total`` in ``count`` equal runs: full ones and the rest."""
    full, rest = divmod(total, size)
    return [(n, times * count) for n, times in ((size, full), (rest, 1)) if n and times]


def _skew(nest: Loops, s: Structure) -> tuple[int, int, int]:
    """Folds of pixels x channels, the sum of ``r + c - 2`` over them, and the columns of the last one."""
    _, p, kg, g = _sides(nest)
    down, across = math.ceil(p / s.rows), math.ceil(kg / s.columns)
    folds = g * down * across
    return folds, g * (p * across + kg * down) - 2 * folds, kg - (across - 1) * s.columns


def _on_chip_streams(nest: Loops, s: Structure, out_bits: int) -> tuple[float, float, float]:
    """Bits of inputs per time step, of weights per pass, of outputs per time step, pixels x channels on the array."""
    w, p, kg, g = _sides(nest)
    inputs = g * p * math.ceil(kg / s.columns) * _words(w * nest.input_bits, s.buffer_word)
    weights = kg * g * math.ceil(p / s.rows) * _words(w * nest.weight_bits, s.buffer_word)
    outputs = p * sum(n * _words(c * out_bits, BYTE) for c, n in _blocks(kg, s.columns, g))
    return inputs, weights, outputs


def _output_stationary(nest: Loops, s: Structure, out_bits: int) -> Demand:
    folds, skew, drain = _skew(nest, s)
    inputs, weights, outputs = _on_chip_streams(nest, s, out_bits)
    cycles = folds * nest.window * nest.planes + skew + drain
    return Demand(
        folds,
        Amount(step=cycles),
        Amount(step=inputs),
        Amount(step=weights),
        Amount(step=outputs),
        Amount(),
    )


def _tick_batch(nest: Loops, s: Structure, out_bits: int) -> Demand:
    folds, skew, drain = _skew(nest, s)
    inputs, weights, outputs = _on_chip_streams(nest, s, out_bits)
    passes = math.ceil(nest.steps / s.time_window)
    return Demand(
        folds,
        Amount(once=passes * skew + drain, step=folds * nest.window * nest.planes),
        Amount(step=inputs),
        Amount(once=passes * weights),
        Amount(step=outputs),
        Amount(),
    )


def _temporal_parallel(nest: Loops, s: Structure, out_bits: int) -> Demand:
    folds, skew, drain = _skew(nest, s)
    w, p, kg, g = _sides(nest)
    _, weights, _ = _on_chip_streams(nest, s, out_bits)
    passes = _blocks(nest.steps, s.time_window, 1)
    count = sum(n for _, n in passes)
    streams = g * p * math.ceil(kg / s.columns)
    inputs = streams * sum(n * _words(w * nest.input_bits * t, s.buffer_word) for t, n in passes)
    outputs = p * sum(n * m * _words(c * out_bits * t, BYTE) for t, n in passes for c, m in _blocks(kg, s.columns, g))
    cycles = count * (folds * w * nest.planes + skew) + drain
    once = [Amount(once=v) for v in (cycles, inputs, count * weights, outputs)]
    return Demand(folds, once[0], once[1], once[2], once[3], Amount())


def _weight_stationary(nest: Loops, s: Structure, out_bits: int) -> Demand:
    w, p, kg, g = _sides(nest)
    down, across = math.ceil(w / s.rows), math.ceil(kg / s.columns)
    folds = g * down * across
    fill = g * (2 * w * across + kg * down) - 2 * folds
    runs, cuts = _tiles(nest, s)
    tiles = runs * cuts
    shorter, longer = runs - p % runs, p % runs
    stream = sum(
        m * _words(n * nest.input_bits, s.buffer_word) for n, m in ((p // runs, shorter), (p // runs + 1, longer))
    )
    weights = kg * g * sum(n * _words(r * nest.weight_bits, s.buffer_word) for r, n in _blocks(w, s.rows, 1))
    outputs = p * sum(n * _words(c * out_bits, BYTE) for c, n in _blocks(kg, s.columns, g))
    return Demand(
        folds,
        Amount(once=tiles * fill, step=folds * p * nest.planes),
        Amount(step=g * w * across * stream),
        Amount(once=tiles * weights),
        Amount(step=outputs),
        Amount(step=nest.outputs * (down - 1) * s.accumulator_bits),
        tiles,
    )


def _tiles(nest: Loops, s: Structure) -> tuple[int, int]:
    """Runs of positions, and of time steps, into which weight_stationary is cut so that its partial sums fit in half the output buffer.

    The loops are, from outside: groups, blocks of channels, tiles, blocks of the window (folds), positions, steps. So the sums of a tile's positions
    and steps in one block of channels exist at the same time, if the window takes more than one fold. Cut are first the positions, with all their
    steps, because a neuron that gets its steps in a row keeps its potential in the register of its column; steps only if those of one position do not fit.
    Runs are of equal length to within one, and as few as possible; all blocks of channels are cut alike. ``check_buffers`` has made sure that
    one sum per column fits. Each tile fetches all weights again and begins with a new word of inputs.
    """
    if nest.window <= s.rows:
        return 1, 1
    room = int(0.5 * s.output_buffer // (min(nest.channels, s.columns) * s.accumulator_bits))
    if room < nest.steps:
        return nest.positions, math.ceil(nest.steps / room)
    return math.ceil(nest.positions / (room // nest.steps)), 1


def _parallel_time_batching(nest: Loops, s: Structure, out_bits: int) -> Demand:
    w, p, kg, g = _sides(nest)
    windows = _blocks(nest.steps, s.time_window, 1)
    total = sum(n for _, n in windows)
    groups = _blocks(total, s.columns, 1)
    across, down = sum(n for _, n in groups), math.ceil(kg / s.rows)
    folds = g * p * down * across
    # The last window may be shorter; it decides the length of its fold only if it is alone in it.
    drain = total - (across - 1) * s.columns
    longest = min(s.time_window, nest.steps)
    work = (across - 1) * longest + (windows[-1][0] if drain == 1 else longest)
    cycles = g * p * (down * work * w * nest.planes + kg * across + total * down) - 2 * folds
    inputs = g * p * down * sum(n * _words(w * nest.input_bits * t, s.buffer_word) for t, n in windows)
    weights = kg * g * p * across * _words(w * nest.weight_bits, s.buffer_word)
    outputs = p * sum(n * m * _words(r * out_bits * t, BYTE) for t, n in windows for r, m in _blocks(kg, s.rows, g))
    once = [Amount(once=v) for v in (cycles + drain, inputs, weights, outputs)]
    return Demand(folds, once[0], once[1], once[2], once[3], Amount())
