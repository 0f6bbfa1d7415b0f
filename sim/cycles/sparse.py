"""How long a step takes: a model of the lanes row by row, which the compiler chooses V by.

It follows each lane through the rows of each half, with the fixed order in which the collectors
take the sums, the queues between, and the tail before a hidden half. It knows rows and words, not
pairs and pipelines, so it is fast and a little optimistic; docs/sparse-array.md compares it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["HalfRows", "estimate_cycles"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: Steps over which the lanes are followed, and how many of them fill the pipeline first.
_STEPS, _FILLING = 24, 4
#: Cycles from the last sum of a step to its last word's token, apart from the adder tree, and from
#: a token to the first pair.
_TAIL, _START = 22, 8
#: Input vectors that may be on their way, and broadcast words per input word, fresh ones between.
_AHEAD, _SHARED_BUS = 2, 1.2
#: Cycles by which the scan of the masks may be ahead of the pairs.
_SCAN_AHEAD = 10


@dataclass(frozen=True, eq=False)
class HalfRows:
    """One half of a layer.

    Members
    -------
    pairs: of each lane of the row's group, [steps, positions, V]; all gates of a position together.
    group: of each position.
    chunks: mask words of each position's rows.
    gates: rows of each position.
    """

    pairs: FloatArray
    group: IntArray
    chunks: int
    gates: int

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
    ) -> "HalfRows":
        """From the non-zero weights of all gates, [positions, columns], and the columns that are
        not zero, [steps, columns], both by position. ``slice_``: of each column, of so many
        ``slices``; ``chunks``: of one row."""
        # The last ones: a sequence's first steps are quieter.
        steps = active[np.arange(-_STEPS, 0) % len(active)].astype(np.float64)
        values = present.astype(np.float64)
        pairs = np.stack(
            [steps[:, slice_ == s] @ values[:, slice_ == s].T for s in range(slices)], axis=-1
        )
        return cls(pairs, group, chunks * gates, gates)


def estimate_cycles(
    halves: Sequence[HalfRows],
    config: SparseConfig,
    v_log2: int,
    waits: Sequence[int | None] | None = None,
) -> float:
    """Expected cycles of one time through a loop.

    Parameters
    ----------
    halves: in the order in which they run: the input half and, unless the layer is linear, the
        hidden half of each thread.
    waits: of each half, the number of the half whose last results it needs; None, where it reads
        inputs. By default a hidden half needs its own results of the step before.
    """
    if waits is None:
        waits = [number if number % 2 else None for number in range(len(halves))]
    units = config.post_units
    groups = config.lanes >> v_log2
    lanes = np.zeros((groups, 1 << v_log2))  # when each lane is free
    scans = np.zeros_like(lanes)
    clusters = np.zeros(units)  # when each collector has taken its last row
    depth = max(1, config.queue_depth // halves[0].gates)
    taken = np.zeros((groups, depth))  # when the rows that are in the queue were
    rows = np.zeros(groups, np.int64)
    ready = [0.0] * len(halves)  # when what a half's results become is there
    inputs = [[0.0] * _AHEAD for _ in halves]
    filled = 0.0
    for step in range(_STEPS):
        for number, half in enumerate(halves):
            positions = len(half.group)
            source = waits[number]
            if source is not None:
                token = ready[source]
            else:
                token = inputs[number][step % _AHEAD] + _SHARED_BUS * positions / units
            np.maximum(lanes, token + _START, out=lanes)
            np.maximum(scans, token, out=scans)
            for first in range(0, positions, units):
                at = slice(first, min(first + units, positions))
                group = half.group[at]
                room = taken[group, rows[group] % depth]
                start = lanes[group]
                scans[group] = np.maximum(scans[group], start - _SCAN_AHEAD) + half.chunks
                end = np.maximum(start + half.pairs[step, at], scans[group])
                end = np.maximum(end, room[:, np.newaxis])
                lanes[group] = end
                mine = np.arange(at.stop - at.start)
                clusters[mine] = np.maximum(clusters[mine] + half.gates, end.max(axis=1))
                taken[group, rows[group] % depth] = clusters[mine]
                rows[group] += 1
            done = float(clusters.max())
            ready[number] = done + _TAIL + v_log2
            inputs[number][step % _AHEAD] = done
        if step == _FILLING - 1:
            filled = done
    return (done - filled) / (_STEPS - _FILLING)
