"""How long a step takes: a model of the lanes row by row, which the compiler chooses V by.

It follows each lane through the rows of each half, with the fixed order in which the collectors
take the sums, the queues between, and the tail before a hidden half. It knows rows and words, not
pairs and pipelines, so it is fast; docs/results/fpga.md compares it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.sparse.array.tree import tree_latency
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import FloatArray, IntArray

__all__ = ["HalfRows", "LoopTime", "estimate_cycles", "follow", "output_latency"]

#: Steps over which the lanes are followed, and how many of them fill the pipeline first.
_STEPS, _FILLING = 24, 4
#: Cycles from a token to the first pair; from a row's last pair to the collector's pop; from there
#: to the post unit, apart from the adder tree; from an output to the token of the word that it ends
#: (docs/array.md).
_START, _POP, _ARRIVE, _RETURN = 8, 4, 3, 7
#: From a row's last pair, where nothing waits, until its place in the queue may be claimed again.
_FREE = 8
#: Cycles that collector and post unit lose between two halves (docs/array.md, docs/post.md).
_BETWEEN = 3
#: From RUN, or the last output before, to the first word of a layer's inputs, and from its last
#: output to the end (docs/control.md).
_BEGIN = 32
#: From an input half's last pop to the token of the next vector but one, apart from its words;
#: input vectors that may be on their way; broadcast words per input word, fresh ones between.
_REQUEST, _AHEAD, _SHARED_BUS = 10, 2, 1.2
#: Positions that a collector may be ahead of the outputs.
_IN_FLIGHT = 16
#: From a neuron's last sum to its output, by kind or else by activation (docs/post.md).
_OUTPUT = {"lstm": 35, "gru": 34, "gru_gates": 27, "gru_candidate": 34}
_OUTPUT_BY_ACTIVATION = {"identity": 14, "relu": 14}
_OUTPUT_OTHER = 21
_PEEPHOLE = 5
#: Lanes of a machine up to which they are followed one by one, which is faster then.
_FEW = 32
#: Cycles by which the scan of the masks may be ahead of the pairs.
_SCAN_AHEAD = 10


def output_latency(kind: str, activation: str, peepholes: bool = False) -> int:
    """Cycles from a neuron's last sum to its output."""
    other = _OUTPUT_BY_ACTIVATION.get(activation, _OUTPUT_OTHER)
    return _OUTPUT.get(kind, other) + _PEEPHOLE * peepholes


@dataclass(frozen=True)
class LoopTime:
    """How long layers take that run together, in cycles.

    Members
    -------
    first: a sequence's first step, before which the state is zero, from RUN, or the last output
        of the layers before, to its last output.
    step: each further one.
    """

    first: float
    step: float


@dataclass(frozen=True, eq=False)
class HalfRows:
    """One half of a layer.

    Members
    -------
    pairs: of each lane of the row's group, [steps, positions, V]; all gates of a position together.
        Where a lane works on several rows at once, blocks of them stand for positions.
    group: of each position.
    chunks: that are read for each position's rows.
    gates: rows of each position, which the collector takes one by one.
    columns: of the vector that it meets.
    pace: cycles that what comes behind the collector takes for a position, where these are more.
    latency: from a neuron's last sum to its output.
    late: cycles after a position's last pair in which the last of its rows is taken: not 0 where
        several are ready at once.
    short: rows that the last position has less.
    """

    pairs: FloatArray
    group: IntArray
    chunks: int
    gates: int
    columns: int
    pace: float = 0.0
    latency: int = _OUTPUT_BY_ACTIVATION["relu"]
    late: float = 0.0
    short: int = 0

    @property
    def taking(self) -> float:
        """Cycles between two positions that a collector takes."""
        return max(float(self.gates), self.pace)

    @property
    def mean(self) -> "HalfRows":
        """The same in one step, with what lanes have in the mean of all."""
        return replace(self, pairs=self.pairs.mean(axis=0)[np.newaxis])

    @property
    def quiet(self) -> "HalfRows":
        """The same with a vector of zeros: a lane takes a cycle to see that of what it works on."""
        return replace(self, pairs=np.full_like(self.pairs, 1 if self.late else self.gates))

    @cached_property
    def turns(self) -> IntArray:
        """How many positions of its group come before each."""
        found = np.empty(len(self.group), np.int64)
        for group in np.unique(self.group):
            at = np.flatnonzero(self.group == group)
            found[at] = np.arange(len(at))
        return found

    @classmethod
    def of(
        cls,
        present: npt.NDArray[np.integer],
        active: npt.NDArray[np.bool_],
        group: IntArray,
        slice_: IntArray,
        slices: int,
        chunks: int,
        gates: int,
        *,
        blocks: bool = False,
    ) -> "HalfRows":
        """From the non-zero weights of all gates, [positions, columns], and the columns that are
        not zero, [steps, columns], both by position. ``slice_``: of each column, of so many
        ``slices``; ``chunks``: of one row; ``gates``: rows of a position, which a lane that works
        on ``blocks`` has at once."""
        # The last ones: a sequence's first steps are quieter.
        steps = active[np.arange(-_STEPS, 0) % len(active)].astype(np.float64)
        values = present.astype(np.float64)
        pairs = np.stack(
            [steps[:, slice_ == s] @ values[:, slice_ == s].T for s in range(slices)], axis=-1
        )
        read, late = (chunks, gates - 1) if blocks else (chunks * gates, 0)
        return cls(pairs, group, read, gates, active.shape[1], late=late)


def estimate_cycles(
    halves: Sequence[HalfRows],
    config: SparseConfig,
    v_log2: int,
    waits: Sequence[int | None] | None = None,
) -> float:
    """Expected cycles of one time through a loop, as :func:`follow`, which begins anew."""
    return follow(halves, config, v_log2, waits).step


def follow(
    halves: Sequence[HalfRows],
    config: SparseConfig,
    v_log2: int,
    waits: Sequence[int | None] | None = None,
    *,
    fresh: bool = True,
) -> LoopTime:
    """Expected cycles of a loop.

    Parameters
    ----------
    halves: in the order in which they run: the input half and, unless the layer is linear, the
        hidden half of each thread.
    waits: of each half, the number of the half whose last results it needs; None, where it reads
        inputs. By default a hidden half needs its own results of the step before.
    fresh: the state before the first step is zero.
    """
    if waits is None:
        waits = [number if number % 2 else None for number in range(len(halves))]
    model = (_FewLanes if config.lanes <= _FEW else _Lanes)(config, v_log2, halves[0].gates)
    wide = config.width > 1
    pop = _POP + wide + (wide and config.bank_bytes > 0)
    arrive = _ARRIVE + tree_latency(config)
    words = [ceil_div(half.columns, config.post_units) for half in halves]
    # When what a half's results become is there, and when its last vectors had been collected: the
    # first ones and the states before them come one after the other, and then the second ones.
    token = float(_BEGIN)
    ready = [token := token + one for one in words]
    inputs = [[token - _REQUEST] * _AHEAD for _ in halves]
    shared = _SHARED_BUS if len(halves) > 1 else 1.0
    plans = [model.rounds(half.group) for half in halves]
    ends = []
    for step in range(_STEPS):
        for number, (half, rounds) in enumerate(zip(halves, plans, strict=True)):
            source, now = waits[number], half
            if not step:
                token = ready[number]
                now = half.quiet if fresh and source is not None else half.mean
            elif source is not None:
                token = ready[source]
            else:
                token = inputs[number][step % _AHEAD] + _REQUEST + shared * words[number]
            done = model.half(now, rounds, step, token) + pop
            end = done + arrive + half.latency
            ready[number] = end + _RETURN
            positions = ceil_div(len(half.group), config.post_units)
            ahead = (half.taking - half.gates) * (min(positions, _IN_FLIGHT) - 1)
            inputs[number][step % _AHEAD] = done - ahead
        ends.append(end)
    each = (ends[-1] - ends[_FILLING - 1]) / (_STEPS - _FILLING)
    return LoopTime(ends[0], each)


class _Lanes:
    """When each lane, scan and collector is free, in cycles.

    Positions are worked off in rounds, in each of which every group has one at most: all groups of
    a round go on at once. A collector takes the sums of a round one after the other, so what it
    has taken is a running maximum.
    """

    def __init__(self, config: SparseConfig, v_log2: int, gates: int):
        self.units = config.post_units
        self.groups = config.lanes >> v_log2
        # Positions of a round: whole words in which no group comes twice.
        self.stretch = max(1, self.groups // self.units) * self.units
        self.lanes = np.zeros((self.groups, 1 << v_log2))
        self.scans = np.zeros_like(self.lanes)
        self.clusters = np.zeros(self.units)  # when each collector has taken its last row
        self.depth = max(1, config.queue_places // gates)
        # When the places in the queues are free again: so many for each group, used in turn.
        self.taken = np.zeros(self.groups * self.depth)
        self.again = _FREE + (config.width > 1)
        self.rows = np.zeros(self.groups, np.int64)

    def rounds(self, group: IntArray) -> list[slice]:
        """Stretches of positions, of whole words, in each of which no group comes twice."""
        edges = range(0, len(group) + self.stretch, self.stretch)
        return [slice(a, min(b, len(group))) for a, b in pairwise(edges) if a < len(group)]

    def half(self, half: HalfRows, rounds: list[slice], step: int, token: float) -> float:
        """Work off one half of a step, from the token on; when its last row has been taken."""
        lanes, all_scans, taken = self.lanes, self.scans, self.taken
        np.maximum(lanes, token + _START, out=lanes)
        np.maximum(all_scans, token, out=all_scans)
        groups, pairs = half.group, half.pairs[step]
        places = groups * self.depth + (self.rows[groups] + half.turns) % self.depth
        for at in rounds:
            group, place = groups[at], places[at]
            end = lanes[group]
            scans = np.maximum(all_scans[group], end - _SCAN_AHEAD)
            scans += half.chunks
            end += pairs[at]
            np.maximum(end, scans, out=end)
            np.maximum(end, taken[place][:, np.newaxis], out=end)
            all_scans[group], lanes[group] = scans, end
            due = np.maximum.reduce(end, axis=1) + half.late
            taken[place] = self._collect(due, half.taking) + self.again
        self.rows += np.bincount(groups, minlength=self.groups)
        return self._done(half)

    def _done(self, half: HalfRows) -> float:
        """When the half's last row has been taken. The next one's may follow after that."""
        self.clusters -= half.short * half.taking / half.gates
        done = float(self.clusters.max())
        if half.taking == half.gates:  # else it waits for outputs in any case
            self.clusters += _BETWEEN
        return done

    def _collect(self, due: FloatArray, pace: float) -> FloatArray:
        """When each row of a round has been taken, of those that are due then, word by word."""
        words = ceil_div(len(due), self.units)
        missing = words * self.units - len(due)
        padded = np.append(due, np.full(missing, -np.inf)) if missing else due
        at = padded.reshape(words, self.units)
        first = self.clusters + pace
        if words == 1:  # as below, with less to do
            taken: FloatArray = np.maximum(at, first)
            self.clusters[: len(due)] = taken[0, : len(due)]
            return taken[0, : len(due)]
        later = pace * np.arange(words)[:, np.newaxis]  # a row takes so many cycles to take
        taken = np.maximum.accumulate(np.maximum(at - later, first), axis=0) + later
        last = self.units - missing
        self.clusters[:last] = taken[-1, :last]
        self.clusters[last:] = taken[-2, last:]
        return taken.reshape(-1)[: len(due)]


class _FewLanes(_Lanes):
    """The same lane by lane and row by row, in numbers of Python's: of a few lanes arrays are
    slower. Every sum and every maximum is the same, so the cycles are, to the last digit."""

    def half(self, half: HalfRows, rounds: list[slice], step: int, token: float) -> float:
        start = token + _START
        lanes = np.maximum(self.lanes, start).tolist()
        all_scans = np.maximum(self.scans, token).tolist()
        clusters, taken = self.clusters.tolist(), self.taken.tolist()
        places = half.group * self.depth + (self.rows[half.group] + half.turns) % self.depth
        rows = zip(half.group.tolist(), places.tolist(), half.pairs[step].tolist(), strict=True)
        pace, late = half.taking, half.late
        chunks, units, again = half.chunks, self.units, self.again
        ready = [0.0] * units  # of each collector, without the rows of the round before
        for number, (group, place, pairs) in enumerate(rows):
            ends, scans, room = lanes[group], all_scans[group], taken[place]
            due = room
            for lane, pair in enumerate(pairs):
                end = ends[lane]
                scan = scans[lane]
                if scan < end - _SCAN_AHEAD:
                    scan = end - _SCAN_AHEAD
                scan += chunks
                end += pair
                if end < scan:
                    end = scan
                if end < room:
                    end = room
                scans[lane], ends[lane] = scan, end
                if due < end:
                    due = end
            due += late
            word, unit = divmod(number % self.stretch, units)
            if not word:
                first = clusters[unit] + pace
                ready[unit] = due if due > first else first
                at = ready[unit]
            else:
                later = pace * word
                if ready[unit] < due - later:
                    ready[unit] = due - later
                at = ready[unit] + later
            clusters[unit], taken[place] = at, at + again
        self.lanes, self.scans = np.array(lanes), np.array(all_scans)
        self.clusters, self.taken = np.array(clusters), np.array(taken)
        self.rows += np.bincount(half.group, minlength=self.groups)
        return self._done(half)
