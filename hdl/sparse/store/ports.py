"""What both kinds of sequence store have in common: their ports."""

from amaranth.hdl import unsigned
from amaranth.lib.wiring import In, Member, Out

from sparnn.hdl.host.protocol import OVERFLOW_BITS
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

__all__ = ["STORE_PROGRAM", "store_members"]

#: What a packed store must know of the loop that runs; static from before ``start``.
STORE_PROGRAM = DESCRIPTOR.layout(("store_side", "store_anew"))


def store_members(config: SparseConfig) -> dict[str, Member]:
    """The ports of a sequence store.

    Members
    -------
    program, start: of the loop that begins; In(1), a pulse while not busy.
    loop: number, from 1.
    write_en, write_addr, write_data: one word.
    write_begins: it begins a vector; the vector's other words follow in order.
    write_host: it is the host's.
    read_en, read_addr: one word; ``read_data`` has it ``config.store_latency`` cycles later, until
        another one is read.
    read_context: who reads, 0 or 1: each reads the words of one vector, or of several in a row, in
        order.
    overflow: values have been lost since the host last began a sequence: 1 of the host's, 1 + the
        loop's number of a loop's; else 0.
    busy: it may still change.
    """
    address, word = unsigned(config.store_address_bits), unsigned(config.store_entry_bits)
    return {
        "program": In(STORE_PROGRAM),
        "start": In(1),
        "loop": In(OVERFLOW_BITS),
        "write_en": In(1),
        "write_addr": In(address),
        "write_data": In(word),
        "write_begins": In(1),
        "write_host": In(1),
        "read_en": In(1),
        "read_addr": In(address),
        "read_context": In(1),
        "read_data": Out(word),
        "overflow": Out(OVERFLOW_BITS),
        "busy": Out(1),
    }
