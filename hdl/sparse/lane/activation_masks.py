"""A lane's masks of its activations: which of them are not zero."""

from amaranth.hdl import Cat, Module, Value, unsigned
from amaranth.lib import data, memory

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

from .ports import local_word_bits

__all__ = ["activation_mask"]


def activation_mask(
    m: Module,
    config: SparseConfig,
    broadcast: data.View,
    broadcast_en: Value,
    column: Value,
    enable: Value,
) -> Value:
    """The mask of the chunk at ``column``, {half, parity, thread, chunk}, in the cycle after
    ``enable``. Of a word that is broadcast, the mask of its chunk is written.
    """
    depth = 1 << len(column)
    m.submodules.activation_masks = masks = memory.Memory(
        shape=unsigned(config.chunk),
        depth=depth,
        init=[],
        attrs={"no_rw_check": 1} | config.memory_style(depth),
    )
    write, read = masks.write_port(), masks.read_port()
    low = clog2(config.chunk // config.post_units)
    m.d.comb += [
        write.addr.eq(
            Cat(
                broadcast.word[low : local_word_bits(config)],
                broadcast.thread,
                broadcast.parity,
                broadcast.half,
            )
        ),
        write.data.eq(broadcast.mask),
        write.en.eq(broadcast_en),
        read.addr.eq(column),
        read.en.eq(enable),
    ]
    return read.data
