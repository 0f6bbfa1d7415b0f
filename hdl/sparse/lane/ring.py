"""A lane's memory as a ring, which is refilled from external memory while the lane reads it."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

from .lane_memory import lane_memory

__all__ = ["LoopPlaces", "Ring", "weight_places_members", "whole_words"]


class Ring:
    """The memory of a ring in ``m``, its write side, and what its reader has to know.

    Positions count words without end, modulo twice the ring: full and empty differ. A word is
    written as soon as it comes, since whoever sends looks for ``room`` first.

    Parameters
    ----------
    name, shape, words: of the memory.
    word, write: what comes, and that it does.

    Members
    -------
    read: the memory's read port, by the place in the ring. Data, and ``parity``,
        one cycle after its address.
    written: the position of the word that comes next; a word is there in the cycle after it came.
    oldest: to be driven: the position of the first word that is still needed.
    room: a register: ``config.ring_reserve`` words are free.
    clear: to be driven: the ring is empty, and begins anew.
    """

    def __init__(
        self,
        m: Module,
        name: str,
        config: SparseConfig,
        *,
        shape: Any,
        words: int,
        word: Value,
        write: Value,
    ) -> None:
        port: Any
        if config.parity or config.bank_bytes:
            port, self.read = lane_memory(m, name, config, shape=shape, depth=words)
        else:
            ring = memory.Memory(shape=shape, depth=words, init=[], attrs={"no_rw_check": 1})
            m.submodules[name] = ring
            port = ring.write_port()
            self.read = ring.read_port()
        self.written = Signal(range(2 * words), name=f"{name}_written")
        self.oldest = Signal(range(2 * words), name=f"{name}_oldest")
        self.room = Signal(name=f"{name}_room")
        self.clear = Signal(name=f"{name}_clear")
        taken = Signal(range(2 * words), name=f"{name}_taken")
        m.d.comb += [
            port.addr.eq(self.written[: clog2(words)]),
            port.data.eq(word),
            port.en.eq(write),
            taken.eq(self.written - self.oldest),
        ]
        m.d.sync += [
            self.written.eq(self.written + write),
            self.room.eq(taken <= words - config.ring_reserve),
        ]
        with m.If(self.clear):
            m.d.sync += self.written.eq(0)


def weight_places_members(config: SparseConfig) -> dict[str, wiring.Member]:
    """What whoever walks through the weights tells about their ring."""
    return {
        "clear": In(1),
        "position": Out(config.position_bits),
        "held": Out(1),
        "base": Out(config.position_bits),
    }


def whole_words(config: SparseConfig, position: Value) -> Value:
    """The first position at or behind one at which a word of memory begins."""
    low = clog2(config.weight_slots)
    if not low:
        return position
    return Cat(Const(0, low), (position[low:] + position[:low].any())[: len(position) - low])


class LoopPlaces:
    """Where a layer's loop lies in a ring; positions as of :class:`Ring`, or of entries in it.

    Members
    -------
    held: of the layer that runs. base: its first position.
    first: the base of the layer that starts in this cycle.
    ends, after: to be driven: a loop ends, and the position behind it.
    """

    def __init__(
        self, m: Module, name: str, bits: int, layer: Any, start: Value, clear: Value
    ) -> None:
        self.held = Signal(name=f"{name}_held")
        self.base = Signal(bits, name=f"{name}_base")
        self.first = Signal(bits, name=f"{name}_first")
        self.ends = Signal(name=f"{name}_ends")
        self.after = Signal(bits, name=f"{name}_after")
        behind = Signal(bits, name=f"{name}_behind")
        m.d.comb += self.first.eq(Mux(layer.rewind, 0, behind))
        with m.If(self.ends):
            m.d.sync += behind.eq(self.after)
        with m.If(start):
            m.d.sync += [self.base.eq(self.first), self.held.eq(layer.held)]
        with m.If(clear):
            m.d.sync += [behind.eq(0), self.base.eq(0), self.held.eq(0)]
