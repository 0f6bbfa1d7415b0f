"""A memory in banks, of which a read wakes the one that it needs."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Array, Cat, Module, Shape, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import Out

from .numbers import ceil_div, clog2
from .parity_memory import parity_memory, plain_bits

__all__ = ["bank_count", "banked_memory"]


def bank_count(words: int, bits: int, bank_bytes: int) -> int:
    """Banks of at most so many bytes that hold so many words: a power of two."""
    return 1 << clog2(ceil_div(words, 8 * bank_bytes // bits))


def banked_memory(
    m: Module,
    name: str,
    *,
    shape: Any,
    depth: int,
    banks: int,
    attrs: Mapping[str, Any],
    parity: bool = False,
    row_writes: bool = False,
) -> tuple[Any, Any]:
    """Memories in ``m`` that are one to whoever reads, and its ports.

    The low bits of an entry's address name its bank. They are the first ones that an adder gives,
    so that the bank is known before the address is.

    Latency: one cycle from ``addr`` to ``data``, which stays where ``en`` is low; ``en`` is high
    unless driven. Only the read port of the bank that ``addr`` names is enabled.

    Parameters
    ----------
    shape, depth: of an entry, and how many there are.
    banks: a power of two.
    attrs: of each bank.
    parity: entries have a bit of parity, as of
        :func:`~sparnn.hdl.common.parity_memory.parity_memory`.
    row_writes: a write is of a row: of one entry in each bank, with one address for all.

    Returns
    -------
    The port to write, with ``en``, ``addr`` and ``data``; that to read with the same, and
    ``parity`` where it is asked for.
    """
    bits, low = Shape.cast(shape).width, clog2(banks)
    rows = ceil_div(depth, banks)

    def port(which: str, **members: wiring.Member) -> Any:
        return wiring.Signature(members).create(path=(name, which))

    write = port(
        "write",
        en=Out(1),
        addr=Out(range(rows if row_writes else depth)),
        data=Out(banks * bits if row_writes else shape),
    )
    read = port(
        "read",
        en=Out(1, init=1),
        addr=Out(range(depth)),
        data=Out(shape),
        **({"parity": Out(1)} if parity else {}),
    )
    chosen = Signal(low, name=f"{name}_bank", reset_less=True)
    with m.If(read.en):
        m.d.sync += chosen.eq(read.addr[:low])
    given, found = plain_bits(write.data), []
    for bank in range(banks):
        own_write, own_read = _bank(m, f"{name}_{bank}", bits, rows, attrs, parity)
        place, here, value = write.addr, write.en, given
        if row_writes:
            value = given.word_select(bank, bits)
        else:
            place, here = write.addr[low:], write.en & (write.addr[:low] == bank)
        m.d.comb += [
            own_write.addr.eq(place),
            own_write.en.eq(here),
            own_write.data.eq(value),
            own_read.addr.eq(read.addr[low:]),
            own_read.en.eq(read.en & (read.addr[:low] == bank)),
        ]
        found.append(Cat(own_read.data, own_read.parity) if parity else own_read.data)
    result: Value = Array(found)[chosen] if low else found[0]
    m.d.comb += Cat(plain_bits(read.data), *([read.parity] if parity else [])).eq(result)
    return write, read


def _bank(
    m: Module, name: str, bits: int, rows: int, attrs: Mapping[str, Any], parity: bool
) -> tuple[Any, Any]:
    if parity:
        return parity_memory(m, name, shape=bits, depth=rows, attrs=attrs)
    bank = memory.Memory(shape=bits, depth=rows, init=[], attrs=dict(attrs))
    m.submodules[name] = bank
    return bank.write_port(), bank.read_port()
