"""The memories of a machine, listed without its Verilog where that can be said in a few lines."""

from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.machine import Target
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["TABLE", "Held", "in_banks", "is_plain", "plain_memories"]

Held = tuple[tuple[int, int, int], ...]

#: What :func:`plain_memories` knows no memories of.
_PLAIN = {
    "packed_store": 0,
    "threads": 1,
    "sharing": 0,
    "compact": 0,
    "large_memory": 0,
    "stream_bits": 0,
    "parity": 0,
}
#: Words of the tables of σ and tanh, and bits of an entry.
TABLE = (256, 26)
#: Depth and bits of the queues of a post unit; depth of those of the broadcaster.
_POST_QUEUES, _BUS_QUEUE = ((8, 32), (16, 16), (16, 16)), 8

#: Bits of a parameter that are the same in all entries, and bits of a sum's tags.
_CONSTANT, _TAGS = 2, 8


def is_plain(config: SparseConfig) -> bool:
    """Whether :func:`plain_memories` knows them."""
    return all(getattr(config, name) == value for name, value in _PLAIN.items())


def in_banks(config: SparseConfig, words: int, bits: int) -> tuple[int, int, int]:
    """The lanes' memories of so many words, in banks where the machine has them."""
    banks = config.banks(words, bits)
    return ceil_div(words, banks), bits, config.lanes * banks


def plain_memories(config: SparseConfig) -> Held:
    """Those of a sparse machine that has none of the options of ``_PLAIN``."""
    lanes, posts = config.lanes, config.post_units
    bus = posts * config.activation_bits
    slices = posts if config.sliced_copy else 1
    held = [
        in_banks(config, config.weight_depth, config.weight_entry_bits),
        # Two vectors of each half, as words of the bus and as masks.
        (4 * config.local_words, posts // slices * config.lane_activation_bits, lanes * slices),
        (4 * config.column_chunks, config.chunk, lanes),
        (config.queue_places, config.lane_sum_bits, lanes),
        (config.parameter_depth, config.entry_bits(Target.PARAMETER) - _CONSTANT, posts),
        (config.rows, PREACTIVATION_BITS, posts),
        (
            config.state_depth,
            PREACTIVATION_BITS,
            posts * (1 + config.reset_first + config.peepholes),
        ),
        (TABLE[0] << config.hard_sigmoid, TABLE[1], posts),
        *((words, bits, posts) for words, bits in _POST_QUEUES),
        (16 if config.cluster_lanes > 1 else 8, config.sum_bits + _TAGS, posts),
        (config.store_depth, bus, 1),
        (_BUS_QUEUE, bus, 1),
        (_BUS_QUEUE, bus + 2, 1),
        (2 * config.max_v, config.chunk, 1),
        (config.memories()[Target.PROGRAM][1], 32, 1),
    ]
    if config.masks:
        held.append(in_banks(config, config.mask_depth, config.mask_entry_bits))
    if config.delta:
        held.append((config.parameter_depth, config.total_bits, posts))
        held.append((config.reference_depth, config.store_entry_bits, 1))
    return tuple(held)
