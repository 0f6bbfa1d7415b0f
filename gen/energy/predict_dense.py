"""Accesses of a dense machine's memories in a step: they follow from the tiles."""

from collections.abc import Sequence

from sparnn.gen.fit.structure import TABLE
from sparnn.gen.machines.dense.program import DensePlacement, issues
from sparnn.gen.machines.shared.layers import KINDS
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.machine import Target

__all__ = ["dense_accesses", "dense_memories"]

_WEIGHTS, _MASKS = "sparnn_vector_lane:weights", "sparnn_vector_lane.picker:masks"
_X, _H = "sparnn_vector_lane:x", "sparnn_vector_lane:h"
_PARAMETERS, _HALVES = "sparnn_tile_row:parameters", "sparnn_tile_row:halves"
_STATES, _TABLE, _STORE = "sparnn_tile_cell:states", "sparnn_tile_sigma:table", "sparnn.core:store"

#: Tables and states are read at whatever address goes by, a row after a row and nothing between.
_TABLE_READS, _STATE_READS = 1.9, 2


def dense_memories(config: DenseConfig) -> dict[str, tuple[int, int, int]]:
    """Words, bits and copies of the memories whose accesses are counted here."""
    rows, cells = config.slices * config.width, config.slices * ceil_div(config.width, 4)
    copy = (2 * config.columns, config.activation_bits, config.lanes)
    return {
        _WEIGHTS: (config.weight_depth, config.weight_entry_bits, config.lanes),
        _MASKS: (config.mask_depth, config.columns, config.lanes),
        _X: copy,
        _H: copy,
        _PARAMETERS: (config.parameter_depth, config.entry_bits(Target.PARAMETER), rows),
        _HALVES: (config.parameter_depth, PREACTIVATION_BITS, rows),
        _STATES: (config.state_depth, PREACTIVATION_BITS, cells),
        _TABLE: (TABLE[0] << config.hard_sigmoid, TABLE[1], rows + cells),
        _STORE: (config.store_depth, config.store_entry_bits, 1),
    }


def dense_accesses(
    placed: DensePlacement, activity: Sequence[BoolArray]
) -> dict[str, tuple[float, float]]:
    """Reads and writes in a step; every column is read, whatever its activation."""
    config, layers = placed.config, placed.network.layers
    columns = passes = rows = hidden_rows = 0.0
    for index, layer in enumerate(layers):
        if config.mask_depth:
            columns += float(sum(placed.lanes[index].lengths))
            passes += float(len(placed.lanes[index].lengths))
        else:
            columns += issues(placed.plans[index], layer)
        own = KINDS[layer.kind].gates * layer.units
        rows, hidden_rows = rows + own, hidden_rows + own * layer.has_hidden
    neurons = float(sum(one.units for one in layers if one.kind in ("lstm", "gru")))
    hidden = float(sum(one.units * one.has_hidden for one in layers))
    inputs = float(sum(one.inputs for one in layers))
    read = sum(ceil_div(one.inputs, config.post_units) for one in layers)
    written = sum(ceil_div(one.units, config.post_units) for one in layers)
    reads = columns * config.lanes
    both = rows + hidden_rows
    return {
        _WEIGHTS: (reads, 0.0),
        _MASKS: (passes * config.lanes, 0.0),
        _X: (reads, inputs * config.banks),
        _H: (reads, hidden * config.banks),
        _PARAMETERS: (both, 0.0),
        _HALVES: (both, rows),
        _STATES: (_STATE_READS * neurons, neurons),
        _TABLE: (_TABLE_READS * (both + neurons), 0.0),
        _STORE: (float(read), float(written)),
    }
