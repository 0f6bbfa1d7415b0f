"""Words of the vectors on their way to the lanes."""

from amaranth.lib import data

from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["sent_word_layout", "vector_word_layout"]


def vector_word_layout(config: SparseConfig) -> data.StructLayout:
    """The next word of a vector. half: 0 layer input, 1 hidden state. last: ends the vector."""
    return _layout(config, config.store_entry_bits)


def sent_word_layout(config: SparseConfig) -> data.StructLayout:
    """The same as it is sent: with ``delta``, its differences."""
    return _layout(config, config.lane_entry_bits)


def _layout(config: SparseConfig, bits: int) -> data.StructLayout:
    return data.StructLayout({"values": bits, "half": 1, "thread": config.thread_bits, "last": 1})
