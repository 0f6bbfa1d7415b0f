"""A lane's copy of the activations, written a word of the broadcast at a time."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import memory

from sparnn.hdl.common.banked_memory import banked_memory
from sparnn.hdl.sparse.config import SparseConfig

from .ports import local_word_bits

__all__ = ["local_copy"]


def local_copy(m: Module, config: SparseConfig) -> tuple[Any, Any]:
    """The copy in ``m``, and its ports: of the broadcast, to write a word, and of the pairs.

    A pair reads a word, one cycle after its address. With ``sliced_copy`` each activation of a word
    has a memory of its own, and a pair reads the one that it needs: the place of an activation in
    its word stands below the address of the word.
    """
    words = 4 << local_word_bits(config) + config.thread_bits + config.sharing
    attrs = {"no_rw_check": 1}
    if config.sliced_copy:
        return banked_memory(
            m,
            "activations",
            shape=config.lane_activation_bits,
            depth=words * config.post_units,
            banks=config.post_units,
            attrs=attrs,
            row_writes=True,
        )
    m.submodules.activations = activations = memory.Memory(
        shape=config.lane_entry_bits, depth=words, init=[], attrs=attrs
    )
    write, activation_read = activations.write_port(), activations.read_port()
    return write, activation_read
