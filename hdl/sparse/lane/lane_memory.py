"""The memories of a lane that the host fills and runs only read."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Shape, ShapeCastable, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import Out

from sparnn.hdl.common.banked_memory import banked_memory
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.common.parity_memory import parity_memory
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["LARGE_BITS", "lane_memory"]

#: Bits of a word of a large memory.
LARGE_BITS = 16


def lane_memory(
    m: Module, name: str, config: SparseConfig, *, shape: Any, depth: int
) -> tuple[Any, Any]:
    """A memory in ``m``, and its ports: of the host (``en``, ``addr``, ``data``) and of the lane,
    with ``parity`` beside ``data`` where the machine has it. With ``bank_bytes`` it is in banks.

    Latency: ``data`` of the lane's port one cycle after ``addr``; ``en`` is high unless driven. The
    lane's port holds nothing useful after a cycle in which the host writes, which never happens
    during a run.

    With ``large_memory`` both share one port of a memory without initial values, as large ones
    have it (SB_SPRAM256KA). Entries of half a word or less lie in a word beside each other.
    """
    bits, attrs = Shape.cast(shape).width, {"no_rw_check": 1}
    if config.bank_bytes:
        banks, parity = config.banks(depth, bits), bool(config.parity)
        return banked_memory(
            m, name, shape=shape, depth=depth, banks=banks, attrs=attrs, parity=parity
        )
    if config.parity:
        return parity_memory(m, name, shape=shape, depth=depth, attrs=attrs)
    if not config.large_memory or depth < config.large_memory:
        words = memory.Memory(shape=shape, depth=depth, init=[], attrs=attrs)
        m.submodules[name] = words
        return words.write_port(), words.read_port()

    each = 1 << max(0, (LARGE_BITS // bits).bit_length() - 1)  # entries in a word
    low = each.bit_length() - 1
    words = memory.Memory(
        shape=data.ArrayLayout(bits, each),
        depth=ceil_div(depth, each),
        init=[],
        attrs=attrs | {"ram_style": "huge"},
    )
    m.submodules[name] = words
    write, read = words.write_port(granularity=1), words.read_port()
    address = range(depth)
    load = wiring.Signature({"en": Out(1), "addr": Out(address), "data": Out(shape)}).create(
        path=(name, "load")
    )
    lane = wiring.Signature({"en": Out(1, init=1), "addr": Out(address), "data": Out(shape)})
    port = lane.create(path=(name, "read"))
    here = Signal.like(port.addr, name=f"{name}_addr")
    m.d.comb += [
        here.eq(Mux(load.en, load.addr, port.addr)),
        write.addr.eq(here[low:]),
        read.addr.eq(here[low:]),
        read.en.eq(port.en & ~load.en),
    ]
    value = load.data if not isinstance(shape, ShapeCastable) else load.data.as_value()
    for place in range(each):
        m.d.comb += [
            write.data[place].eq(value),
            write.en[place].eq(load.en & (here[:low] == place)),
        ]
    result = read.data[0]
    if low:
        chosen = Signal(low, name=f"{name}_place")
        with m.If(port.en):
            m.d.sync += chosen.eq(port.addr[:low])
        result = Array(read.data[place] for place in range(each))[chosen]
    target = port.data if not isinstance(shape, ShapeCastable) else port.data.as_value()
    m.d.comb += target.eq(result)
    return load, port
