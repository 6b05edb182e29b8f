"""A small systolic array walked cycle by cycle and operand by operand: the oracle for the counts of SATA. Shares no code with the model.

Every PE (i, j) of a fold is busy from cycle ``i + j`` on, once per element of its operand sequence. Edge PEs fetch whole words: a fetch is counted
when an address leaves the word in hand. Sums are really computed and compared with a plain convolution.
"""

from collections import Counter

import numpy as np


def window(x, layer, group, position):
    """Inputs ``(W,)`` under one output position of one group; padding is zero."""
    sides = x.shape[1:]
    out = layer.output_shape[1:]
    kernel, stride, padding, dilation = (
        v[2 - len(sides) :] for v in (layer.kernel, layer.stride, layer.padding, layer.dilation)
    )
    where = np.unravel_index(position, out) if out else ()
    channels = layer.in_channels // layer.groups
    values = []
    for c in range(group * channels, (group + 1) * channels):
        for offset in np.ndindex(*kernel):
            at = [w * s - p + o * d for w, s, p, o, d in zip(where, stride, padding, offset, dilation, strict=True)]
            inside = all(0 <= a < n for a, n in zip(at, sides, strict=True))
            values.append(x[(c, *at)] if inside else 0)
    return values


class Words:
    """Counts whole-word fetches of one stream whose elements lie side by side."""

    def __init__(self, word):
        self.word, self.bits, self.last = word, 0, None

    def fetch(self, first_bit, bits):
        for bit in range(first_bit, first_bit + bits):
            if bit // self.word != self.last:
                self.last = bit // self.word
                self.bits += self.word


class Walk:
    def __init__(self, layer, x, weights, s, bits, out_bits, planes):
        """x ``(T, C, ...)`` integers, weights ``(K, W)``."""
        self.layer, self.x, self.weights, self.s = layer, x, weights, s
        self.bits, self.out_bits, self.planes = bits, out_bits, planes
        self.steps, self.kg = len(x), layer.out_channels // layer.groups
        self.count, self.fetched = Counter(), []
        self.sums = np.zeros((self.steps, layer.out_channels, layer.positions), dtype=np.int64)
        self.seen = {}

    def inputs(self, t, group, position):
        key = t, group, position
        if key not in self.seen:
            self.seen[key] = window(self.x[t], self.layer, group, position)
        return self.seen[key]

    def chunks(self, total, size):
        return [range(a, min(a + size, total)) for a in range(0, total, size)]

    def fold(self, rows, columns, length):
        """Let a wavefront pass: cycles until the last PE is done."""
        last = 0
        for i in range(rows):
            for j in range(columns):
                for k in range(length):
                    last = max(last, i + j + k)
                    self.count["pe cycles"] += 1
        self.count["cycles"] += last + 1

    def write(self, items):
        """Outputs with byte enables."""
        bits = items * self.out_bits
        self.count["outputs"] += bits + -bits % 8

    def pixels_by_channels(self, passes, packed):
        """``passes``: lists of time steps that share one fetch of the weights."""
        layer, s, word = self.layer, self.s, self.s.buffer_word
        window_size = layer.fan_in
        last_columns = 0
        for g in range(layer.groups):
            for pixels in self.chunks(layer.positions, s.rows):
                for channels in self.chunks(self.kg, s.columns):
                    self.count["folds"] += 1
                    for steps in passes:
                        for _ in pixels:
                            streams = [Words(word)] if packed else [Words(word) for _ in steps]
                            for w in range(window_size):
                                for n, _ in enumerate(steps):
                                    at = (w * len(steps) + n) * self.bits if packed else w * self.bits
                                    streams[0 if packed else n].fetch(at, self.bits)
                            self.count["inputs"] += sum(stream.bits for stream in streams)
                            if packed:
                                self.write(len(channels) * len(steps))
                            else:
                                for _ in steps:
                                    self.write(len(channels))
                        for _ in channels:
                            stream = Words(word)
                            for w in range(window_size):
                                stream.fetch(w * s.operand_bits, s.operand_bits)
                            self.count["weights"] += stream.bits
                        for t in steps:
                            for p in pixels:
                                values = self.inputs(t, g, p)
                                for k in channels:
                                    total = 0
                                    for w in range(window_size):
                                        total += values[w] * self.weights[g * self.kg + k, w]
                                    self.sums[t, g * self.kg + k, p] = total
                        each = 1 if packed else len(steps)
                        self.fold(len(pixels), len(channels), window_size * self.planes * each)
                    last_columns = len(channels)
        self.count["cycles"] += last_columns

    def tiles(self):
        """Runs ``(positions, steps)`` whose partial sums fit in half the output buffer, the first that do when runs get shorter one by one."""
        s, layer = self.s, self.layer
        if layer.fan_in <= s.rows:
            return [(range(layer.positions), range(self.steps))]

        def runs(total, number):
            return [range(int(r[0]), int(r[-1]) + 1) for r in np.array_split(np.arange(total), number)]

        for positions, steps in [(n, 1) for n in range(1, layer.positions)] + [
            (layer.positions, n) for n in range(1, self.steps + 1)
        ]:
            tiles = [(p, t) for p in runs(layer.positions, positions) for t in runs(self.steps, steps)]
            longest = max(len(p) * len(t) for p, t in tiles)
            if longest * min(self.kg, s.columns) * s.accumulator_bits <= s.output_buffer / 2:
                return tiles
        raise AssertionError("not even one position in one step fits")

    def window_by_channels(self):
        layer, s, word = self.layer, self.s, self.s.buffer_word
        live, tiles = set(), self.tiles()
        self.count["tiles"] = len(tiles)
        for g in range(layer.groups):
            for channels in self.chunks(self.kg, s.columns):
                blocks = self.chunks(layer.fan_in, s.rows)
                for positions, steps in tiles:
                    for number, rows in enumerate(blocks):
                        self.count["folds"] += 1
                        self.count["cycles"] += len(rows)  # shift the weights in
                        for _ in channels:
                            stream = Words(word)
                            for n, _ in enumerate(rows):
                                stream.fetch(n * s.operand_bits, s.operand_bits)
                            self.count["weights"] += stream.bits
                        self.fetched.append((g, channels, number, len(rows) * len(channels) * s.operand_bits))
                        for _ in rows:
                            for _ in steps:
                                stream = Words(word)
                                for n, _ in enumerate(positions):
                                    stream.fetch(n * self.bits, self.bits)
                                self.count["inputs"] += stream.bits
                        for p in positions:
                            for t in steps:
                                values = self.inputs(t, g, p)
                                for k in channels:
                                    if number:
                                        self.count["partials"] += s.accumulator_bits
                                    if number < len(blocks) - 1:
                                        live.add((k, p, t))
                                    for w in rows:
                                        self.sums[t, g * self.kg + k, p] += values[w] * self.weights[g * self.kg + k, w]
                        self.fold(len(rows), len(channels), len(steps) * len(positions) * self.planes)
                    for _ in range(len(steps) * len(positions)):
                        self.write(len(channels))
                    self.count["live"] = max(self.count["live"], len(live) * s.accumulator_bits)
                    live.clear()

    def channels_by_windows(self, window_steps):
        layer, s, word = self.layer, self.s, self.s.buffer_word
        windows = self.chunks(self.steps, window_steps)
        last = 0
        for g in range(layer.groups):
            for p in range(layer.positions):
                for channels in self.chunks(self.kg, s.rows):
                    for group in self.chunks(len(windows), s.columns):
                        self.count["folds"] += 1
                        for j in group:
                            stream = Words(word)
                            for w in range(layer.fan_in):
                                stream.fetch(w * self.bits * len(windows[j]), self.bits * len(windows[j]))
                            self.count["inputs"] += stream.bits
                            self.write(len(channels) * len(windows[j]))
                            for t in windows[j]:
                                values = self.inputs(t, g, p)
                                for k in channels:
                                    row = self.weights[g * self.kg + k]
                                    self.sums[t, g * self.kg + k, p] = sum(
                                        a * b for a, b in zip(values, row, strict=True)
                                    )
                        for _ in channels:
                            stream = Words(word)
                            for w in range(layer.fan_in):
                                stream.fetch(w * s.operand_bits, s.operand_bits)
                            self.count["weights"] += stream.bits
                        longest = max(len(windows[j]) for j in group)
                        self.fold(len(channels), len(group), layer.fan_in * self.planes * longest)
                        last = len(group)
        self.count["cycles"] += last

    def run(self):
        steps = list(range(self.steps))
        batches = [steps[a : a + self.s.time_window] for a in range(0, self.steps, self.s.time_window)]
        match self.s.dataflow:
            case "output_stationary":
                for t in steps:
                    self.pixels_by_channels([[t]], packed=False)
            case "tick_batch":
                self.pixels_by_channels(batches, packed=False)
            case "temporal_parallel":
                self.pixels_by_channels(batches, packed=True)
            case "weight_stationary":
                self.window_by_channels()
            case "parallel_time_batching":
                self.channels_by_windows(self.s.time_window)
        return self


def dram_walk(weight_bits, map_bits, weight_half, map_half):
    """Bits fetched by the two orders of two nested loops over tiles; a tile stays as long as no other of its kind is needed."""

    def walk(outer_bits, outer_half, inner_bits, inner_half):
        fetched, in_hand = 0, None
        for start in range(0, outer_bits, outer_half):
            fetched += min(outer_half, outer_bits - start)
            for tile in range(0, inner_bits, inner_half):
                if tile != in_hand:
                    in_hand = tile
                    fetched += min(inner_half, inner_bits - tile)
        return fetched

    # The inner operand is streamed from its start each time: no credit for the tile in hand between two outer tiles.
    return min(walk(weight_bits, weight_half, map_bits, map_half), walk(map_bits, map_half, weight_bits, weight_half))


def least_recent(uses, capacity):
    """Bits fetched into a buffer that keeps what was used last: ``uses`` are folds of weights, their bits the last entry."""
    kept, fetched = {}, 0
    for use in uses:
        if use not in kept:
            fetched += use[-1]
        kept.pop(use, None)
        kept[use] = use[-1]
        while sum(kept.values()) > capacity:
            kept.pop(next(iter(kept)))
    return fetched
