"""Accesses of a sparse machine's memories in a step.

Masks follow from the placement, pairs and words of the local copies from the activations that are
not zero in sample steps, the rest from rows, neurons and words. Queues of a few words, the refill
of rings from external memory, and what is read once in a run are left out.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sparnn.gen.estimate.cycles import half_vectors
from sparnn.gen.fit.structure import TABLE
from sparnn.gen.machines.shared.layers import KINDS
from sparnn.gen.machines.shared.order import by_position
from sparnn.gen.machines.sparse.program import SparsePlacement
from sparnn.gen.machines.sparse.stage import at_once
from sparnn.gen.quantize.activity import Activity, BoolArray
from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.machine import Target
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["sparse_accesses", "sparse_memories"]

_WEIGHTS, _COPY = "sparnn_lane.pairs:weights", "sparnn_lane.pairs:activations"
_MASKS, _ACTIVE = "sparnn_lane.fetch:weight_masks", "sparnn_lane.fetch:activation_masks"
_POST = "sparnn_cluster.core.post"
_PARAMETERS, _HALVES = f"{_POST}.requantizer.memory:memory", f"{_POST}.join.memory:memory"
_STATES, _TABLE = f"{_POST}.cell.state:memory", f"{_POST}.cell.activation:table"
_TOTALS, _ROWS = f"{_POST}.totals.memory:memory", "sparnn_cluster.core.rows:memory"
_STORE, _VALUES = "sparnn.core.store:words", "sparnn.core.store.bank:values"
_CODE, _WORDS = f"{_POST}:code", f"{_POST}:words"
_REFERENCES = "sparnn.core.broadcaster.differences:references"

#: Sample steps that are looked at.
_SAMPLES = 8
#: Reads of a row's tables and of the rows' queue: their addresses move on without a row as well.
_IDLE_READS = 1.4
#: For a row, of a serial post unit: instructions, and words read and written (measured, LSTM).
_INSTRUCTIONS, _WORD_READS, _WORD_WRITES = 18.5, 4.25, 1.0
#: Instructions of a serial post unit and their bits; words that are no states or halves.
_CODE_WORDS, _CODE_BITS, _SERIAL_WORDS = 90, 32, 512
#: Bits of a sum's tags, of a parameter those that are the same in all; words of the rows' queue.
_TAGS, _CONSTANT, _QUEUE = 8, 2, 16


def sparse_memories(config: SparseConfig) -> dict[str, tuple[int, int, int]]:
    """Words, bits and copies of the memories whose accesses are counted here."""
    lanes, posts = config.lanes, config.post_units
    weights = config.stream_bits or config.weight_entry_bits
    masks = config.stream_bits or config.mask_entry_bits
    copy = 4 << clog2(config.local_words) + config.thread_bits + config.sharing
    active = 4 << clog2(config.column_chunks) + config.thread_bits
    parameter = config.entry_bits(Target.PARAMETER) - _CONSTANT
    found = {
        _WEIGHTS: (config.weight_words << config.sharing, weights, lanes),
        _COPY: (copy, config.lane_entry_bits, lanes),
        _ACTIVE: (active, config.chunk, lanes),
        _MASKS: (config.mask_words if config.stream_bits else config.mask_depth, masks, lanes),
        _PARAMETERS: (config.parameter_depth, parameter, posts),
        _HALVES: (config.rows, PREACTIVATION_BITS, posts),
        _STATES: (config.state_depth, PREACTIVATION_BITS, posts),
        _TABLE: (TABLE[0] << config.hard_sigmoid, TABLE[1], posts),
        _ROWS: (_QUEUE, config.sum_bits + _TAGS, posts),
        _TOTALS: (config.parameter_depth, config.total_bits, posts),
        _REFERENCES: (config.reference_depth, config.store_entry_bits, 1),
        _STORE: (config.store_depth, config.store_entry_bits, 1),
    }
    if config.compact:
        for name in (_HALVES, _STATES, _TABLE):
            del found[name]
        words = config.rows + config.state_depth + _SERIAL_WORDS
        found[_CODE] = (_CODE_WORDS, _CODE_BITS, posts)
        found[_WORDS] = (words, PREACTIVATION_BITS, posts)
    if config.packed_store:
        found[_STORE] = (config.store_depth, posts + 1, 1)
        found[_VALUES] = (config.value_rows, config.activation_bits, posts)
    if config.sliced_copy:
        found[_COPY] = (copy, config.lane_activation_bits, lanes * posts)
    if not config.masks:
        del found[_MASKS]
    for name in (_WEIGHTS, _MASKS) if config.masks else (_WEIGHTS,):
        words, bits, copies = found[name]
        banks = config.banks(words, bits)
        found[name] = (ceil_div(words, banks), bits, copies * banks)
    return found


def sparse_accesses(
    placed: SparsePlacement, activity: Sequence[BoolArray]
) -> dict[str, tuple[float, float]]:
    """Reads and writes in a step, on activations of sample steps."""
    config, network, layouts = placed.config, placed.network, placed.layout.layers
    sent = activity.sent if isinstance(activity, Activity) else None
    spread = Activity(activity, sent).changed(
        lambda one: one[np.linspace(0, len(one) - 1, _SAMPLES).round().astype(int)]
    )
    pairs = words = copied = vectors = 0.0
    for index, place in enumerate(layouts):
        for half, (weights, active, columns) in enumerate(half_vectors(placed, index, spread)):
            met = by_position(active, columns)
            rows, group = _rows(placed, index, half, weights)
            present = by_position(rows, columns)
            pairs += float(met.mean(axis=0) @ present.sum(axis=0))
            slices = place.slices(config, half)[:: config.post_units]
            words += _words(present, met, group, slices, config.post_units)
            vectors += len(slices)
            copied += len(slices) * (config.lanes >> place.v_log2) * (1 + config.sharing)
    halves = [half for loop in placed.packed for half in loop.halves]
    chunks = float(sum(int(half.blocks.sum()) * half.chunks for half in halves))
    layers = network.layers
    in_rows = float(sum(KINDS[one.kind].gates * one.units for one in layers))
    hidden_rows = float(sum(KINDS[one.kind].gates * one.units * one.has_hidden for one in layers))
    neurons = float(sum(one.units for one in layers if one.kind in ("lstm", "gru")))
    rows_all = in_rows + hidden_rows
    read = float(sum(ceil_div(len(place.columns), config.post_units) for place in layouts))
    written = float(sum(ceil_div(one.units, config.post_units) for one in layers[:-1]))
    density = float(np.mean([one.mean() for one in spread]))
    sliced, posts = bool(config.sliced_copy), config.post_units
    return {
        _WEIGHTS: (pairs, 0.0),
        _COPY: (pairs, copied * posts) if sliced else (words, copied),
        _MASKS: (chunks * config.masks / (config.mask_slots or 1), 0.0),
        _ACTIVE: (chunks, copied),
        _PARAMETERS: (rows_all, 0.0),
        _HALVES: (hidden_rows, in_rows),
        _STATES: (neurons, neurons),
        _TABLE: (_IDLE_READS * rows_all, 0.0),
        _ROWS: (_IDLE_READS * rows_all, rows_all),
        _CODE: (_INSTRUCTIONS * rows_all, 0.0),
        _WORDS: (_WORD_READS * rows_all, _WORD_WRITES * rows_all),
        _TOTALS: (rows_all * config.delta, rows_all * config.delta),
        _REFERENCES: (vectors * config.delta, vectors * config.delta),
        _STORE: (read, written),
        _VALUES: (read * density * posts, written * density * posts),
    }


def _rows(
    placed: SparsePlacement, index: int, half: int, weights: npt.NDArray[np.int32]
) -> tuple[BoolArray, npt.NDArray[np.int64]]:
    """Where rows of a half, or blocks of them, have weights, in the order in which lanes work them
    off, and the group of each."""
    config, layer, place = placed.config, placed.network.layers[index], placed.layout.layers[index]
    if not config.by_word:
        blocks, group = at_once(config, layer, place, half, weights)
        return blocks != 0, group
    gates = len(weights)
    rows = (weights != 0)[:, place.neurons].transpose(1, 0, 2).reshape(-1, weights.shape[2])
    return rows, np.repeat(place.groups(config, half), gates)


def _words(
    present: BoolArray,
    met: BoolArray,
    group: npt.NDArray[np.int64],
    slices: npt.NDArray[np.int64],
    units: int,
) -> float:
    """Words of the local copies that pairs read in a step, where a word is read once for pairs that
    follow one another. present: [rows, positions]; met: [steps, positions]."""
    holes = -present.shape[1] % units
    shape = (-1, len(slices), units)
    whole = [
        np.pad(one, ((0, 0), (0, holes))).reshape(shape).astype(np.float32)
        for one in (present, met)
    ]
    met_here = np.einsum("rwp,swp->srw", *whole, optimize=True)
    used = met_here > 0
    reads = int(used.sum())
    order = np.argsort(group, kind="stable")
    same = group[order][1:] == group[order][:-1]
    for own in _by_slice(used[:, order], slices):
        # In a lane the word that ends a row may be the one that begins the next.
        first, last = own.argmax(axis=2), own.shape[2] - 1 - own[:, :, ::-1].argmax(axis=2)
        there = own.max(axis=2)
        again = (first[:, 1:] == last[:, :-1]) & there[:, 1:] & there[:, :-1] & same
        reads -= int(again.sum())
    return reads / len(met)


def _by_slice(used: BoolArray, slices: npt.NDArray[np.int64]) -> Iterator[BoolArray]:
    for slice_ in np.unique(slices):
        yield used[:, :, slices == slice_]
