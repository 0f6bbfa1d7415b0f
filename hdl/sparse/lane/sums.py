"""The lane's queue of sums, of one row at a time or of whole blocks."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.sparse.config import SparseConfig

from .pairs import issue_to_sum

__all__ = ["SumQueue"]


class SumQueue(wiring.Component):
    """Keeps finished sums until the collector takes them, row by row.

    A block claims its places when its last pair is issued, so that its sums always find room. Those
    of a block come at once and go into the queue one after the other: the first from the adder,
    each other from the first of ``width`` - 1 registers, while those behind move up. So blocks end
    at least ``width`` cycles apart, which costs nothing, as the collector takes a row a cycle.

    Members
    -------
    commit: In(1). A block's last pair is issued; only while there is ``room``.
    room: Out(1), from registers.
    push: In(1), ``sums``: In, an array: those of a block, ``issue_to_sum`` - 1 cycles later.
    arrived: Out(1). The first sum of a block is written, and the others follow in every cycle; they
        may be taken from the next cycle on.
    pop: In(1). The oldest sum is taken.
    move: In(1), with ``pop``, of a machine with a ``width`` above 1: it is the last one of its
        block, of which the rest is dropped.
    partial_sum: Out. The popped sum one cycle later, zero if none was popped.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "commit": In(1),
                "room": Out(1),
                "push": In(1),
                "sums": In(signed(config.lane_sum_bits)).array(config.width),
                "arrived": Out(1),
                "pop": In(1),
                "move": In(1),
                "partial_sum": Out(signed(config.lane_sum_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.sums = sums = memory.Memory(
            shape=signed(config.lane_sum_bits), depth=config.queue_places, init=[]
        )
        write, read = sums.write_port(), sums.read_port(domain="comb")
        if config.width == 1:
            self._rows(m, write, read)
        else:
            self._blocks(m, write, read)
        popped = Signal(signed(config.lane_sum_bits), reset_less=True)
        m.d.comb += self.partial_sum.eq(popped)
        m.d.sync += popped.eq(Mux(self.pop, read.data, 0))
        return m

    def _rows(self, m: Module, write: Any, read: Any) -> None:
        """A sum goes to the place that was claimed. Pointers that are equal after a claim mean that
        no place is left."""
        depth = self._config.queue_places
        head, claim = Signal(range(depth)), Signal(range(depth))
        next_claim = (claim + 1)[: len(claim)]
        room = Signal(init=1)  # a register of its own, for the clock
        tail = claim
        for stage in range(issue_to_sum(self._config) - 1):
            arriving = Signal.like(claim, name=f"tail{stage}")
            m.d.sync += arriving.eq(tail)
            tail = arriving
        m.d.comb += [
            self.room.eq(room),
            write.addr.eq(tail),
            write.data.eq(self.sums[0]),
            write.en.eq(self.push),
            read.addr.eq(head),
            self.arrived.eq(self.push),
        ]
        with m.If(self.commit):
            m.d.sync += [claim.eq(next_claim), room.eq(next_claim != head)]
        with m.If(self.pop):
            m.d.sync += [head.eq(head + 1), room.eq(1)]

    def _blocks(self, m: Module, write: Any, read: Any) -> None:
        """Blocks are counted: those that have claimed and are not all taken."""
        config = self._config
        width, depth, blocks = config.width, config.queue_places, config.queue_blocks
        head, tail = Signal(range(depth)), Signal(range(depth))
        leaving = [
            Signal.like(one, name=f"leaving{k}", reset_less=True)
            for k, one in enumerate(list(self.sums)[1:])
        ]
        left = Signal(width - 1)  # a one for each row that has not left
        close = Signal(width - 1)  # the cycles in which no other block may end
        held = Signal(range(blocks + 1))
        next_held = Signal.like(held)
        m.d.comb += [
            next_held.eq(held + self.commit - (self.pop & self.move)),
            write.addr.eq(tail),
            write.data.eq(Mux(self.push, self.sums[0], leaving[0])),
            write.en.eq(self.push | left[0]),
            read.addr.eq(head),
            self.arrived.eq(self.push),
        ]
        m.d.sync += [
            held.eq(next_held),
            close.eq(Mux(self.commit, -1, close >> 1)),
            self.room.eq((next_held != blocks) & ~self.commit & ~close[1:].any()),
            tail.eq(tail + write.en),
            left.eq(Mux(self.push, -1, left >> 1)),
            *(
                register.eq(Mux(self.push, one, behind))
                for register, one, behind in zip(
                    leaving, list(self.sums)[1:], [*leaving[1:], leaving[-1]], strict=True
                )
            ),
        ]
        with m.If(self.pop):
            m.d.sync += head.eq(Mux(self.move, (head | (width - 1)) + 1, head + 1))
