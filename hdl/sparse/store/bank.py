"""The non-zero values of one element of the packed store's words, and where they lie."""

from amaranth.hdl import Array, Module, Mux, Signal, signed, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["ValueBank"]


class ValueBank(wiring.Component):
    """A memory of ``value_rows`` values that two logs share, one from each end.

    Side 0 begins behind the ``dense_rows`` first rows and grows upwards, side 1 begins at the last
    row and grows downwards, so neither needs a size of its own. A log only grows, until it begins
    anew. It overflows when the two have met; nothing stops then, but :attr:`overflow` says so.

    Members
    -------
    append, side, value: In(1), In(1), In. The value is appended to a log.
    anew: In(2), one bit of each log: it begins anew, from this cycle's ``append`` on.
    whole, row: In(1), In(row). The value is written to this row instead.
    place: Out(row) that the value appended next to ``side`` gets.
    overflow: Out(1), of the appends up to two cycles before.
    step, context: In(1), In(1). A word is read by one of two readers; of this bank it has a value
        if ``present``, In(1).
    begins, first: In(1), In(row). The word begins a vector, whose first value lies there; other
        words' values follow those of the word before, downwards if ``backwards``, In(1).
    step_whole, step_row: In(1), In(row). It is read from this row instead.
    data: Out, the value, 0 if it has none; three cycles after ``step``, until three after the next
        one.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        row, value = unsigned(clog2(config.value_rows)), config.activation_bits
        super().__init__(
            {
                "append": In(1),
                "side": In(1),
                "value": In(value),
                "anew": In(2),
                "whole": In(1),
                "row": In(row),
                "place": Out(row),
                "overflow": Out(1),
                "step": In(1),
                "context": In(1),
                "present": In(1),
                "begins": In(1),
                "first": In(row),
                "backwards": In(1),
                "step_whole": In(1),
                "step_row": In(row),
                "data": Out(value),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        # A row is never read while it is written: readers are steps or loops behind.
        m.submodules.values = values = memory.Memory(
            shape=config.activation_bits,
            depth=config.value_rows,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, read = values.write_port(), values.read_port()

        # The next row of each log: one of them may be behind the last row or before row 0.
        starts = (config.dense_rows, config.value_rows - 1)
        wide = signed(len(self.row) + 2)
        ends = [Signal(wide, init=start, name=f"end{k}") for k, start in enumerate(starts)]
        here = [Mux(self.anew[k], starts[k], ends[k]) for k in range(2)]
        place, after = Signal(wide), Signal(wide)
        m.d.comb += [
            place.eq(Mux(self.side, here[1], here[0])),
            after.eq(place + Mux(self.side, -1, 1)),
            self.place.eq(place),
            write.en.eq(self.append | self.whole),
            write.addr.eq(Mux(self.whole, self.row, place)),
            write.data.eq(self.value),
        ]
        for k in range(2):
            m.d.sync += ends[k].eq(Mux(self.append & (self.side == k), after, here[k]))
        # As many rows are left as lie between the two; fewer than none were one too many.
        left = Signal(wide)
        m.d.comb += left.eq(ends[1] - ends[0] + 1)
        m.d.sync += self.overflow.eq(left < 0)

        following = Array(Signal(self.row.shape(), name=f"following{k}") for k in range(2))
        found, address = Signal.like(self.row), Signal.like(self.row, reset_less=True)
        fetch, present = Signal(), Signal()
        fetched, fetched_present, shown = Signal(), Signal(), Signal()
        data = Signal.like(self.data, reset_less=True)
        m.d.comb += [
            found.eq(Mux(self.begins, self.first, following[self.context])),
            read.en.eq(fetch),
            read.addr.eq(address),
            self.data.eq(Mux(shown, data, 0)),
        ]
        m.d.sync += [fetch.eq(self.step), fetched.eq(fetch)]
        with m.If(self.step):
            m.d.sync += [
                address.eq(Mux(self.step_whole, self.step_row, found)),
                present.eq(self.present | self.step_whole),
            ]
            with m.If(~self.step_whole):
                m.d.sync += following[self.context].eq(
                    found + Mux(self.present, Mux(self.backwards, -1, 1), 0)
                )
        with m.If(fetch):
            m.d.sync += fetched_present.eq(present)
        # Nothing between the memory and its register: the block RAM's own does.
        with m.If(fetched):
            m.d.sync += [data.eq(read.data), shown.eq(fetched_present)]
        return m
