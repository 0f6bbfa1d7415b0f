"""Back end of the lane: one non-zero pair per cycle, multiplied and accumulated."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.counting import (
    added,
    lower_ones,
    lowest_index,
    population_count,
    several,
)
from sparnn.hdl.sparse.config import SparseConfig

from .lane_memory import lane_memory
from .neighbor import sharing_members
from .ports import broadcast_layout, factors_layout, local_word_bits
from .scan import sub_mask_layout
from .slots import Slot

__all__ = ["PairStage", "issue_to_sum"]


def issue_to_sum(config: SparseConfig) -> int:
    """Cycles from issuing a pair to its product in the sum: weights below the pair, address, read,
    the memories' output registers, operands, product, add; with split scales, the weight times its
    factor before the product."""
    return 7 + config.split_scales


class PairStage(wiring.Component):
    """Issues a pair per cycle from the sub-masks, reads its operands, and accumulates rows.

    Leading non-zero detect and the count of weights below it are ``sub_chunk`` wide. Once issued, a
    pair never stalls: only a row's last pair waits, while the queue behind has no room (``room``).

    Members
    -------
    subs: stream of sub-masks (:func:`~sparnn.hdl.sparse.lane.scan.sub_mask_layout`), ready also
        where none is valid.
    room: the queue can take another row's sum; sampled when a row's last pair is issued.
    commit: a row's last pair is issued in this cycle.
    slot: what this cycle is used for; IDLE also where the scan has not delivered.
    push, sum: that row's sum, :func:`issue_to_sum` - 1 cycles later; signed, exact.
    broadcast, broadcast_en: writes the local activation copy, a word of ``post_units`` at once.
    load_addr, load_data, load_en: writes the weight memory.

    With ``sharing``, for the lane beside this one, which holds other columns of the same rows:

    sharing: the layer that runs splits rows.
    neighbor_load_en, neighbor_broadcast_en: as ``load_en`` and ``broadcast_en``, of the neighbour;
        its weights and activations lie behind this lane's own.
    to_neighbor, from_neighbor: :func:`~sparnn.hdl.sparse.lane.neighbor.neighbor_signature`. A lane
        that has nothing to do takes the sub-mask that waits at its neighbour's while that one is
        busy, and sends back the products, which arrive as early as the neighbour's own would. A
        row's last sub-mask stays, and its last pair waits for those that were given away.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "subs": In(stream.Signature(sub_mask_layout(config))),
                "room": In(1),
                "commit": Out(1),
                "push": Out(1),
                "slot": Out(Slot),
                "sum": Out(signed(config.lane_sum_bits)),
                "broadcast": In(broadcast_layout(config)),
                "broadcast_en": In(1),
                "load_addr": In((config.weight_depth - 1).bit_length()),
                "load_data": In(config.weight_bits),
                "load_en": In(1),
            }
            | sharing_members(config)
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        width = config.sub_chunk
        element_bits = (config.post_units - 1).bit_length()

        weight_addr_bits = (config.weight_depth - 1).bit_length()
        load, weight_read = lane_memory(
            m,
            "weights",
            config,
            shape=signed(config.weight_bits),
            depth=2 << weight_addr_bits if config.sharing else config.weight_depth,
        )
        m.d.comb += [
            load.addr.eq(self.load_addr),
            load.data.eq(self.load_data),
            load.en.eq(self.load_en),
        ]
        m.submodules.activations = activations = memory.Memory(
            shape=config.store_entry_bits,
            depth=4 << local_word_bits(config) + config.thread_bits + config.sharing,
            init=[],
            attrs={"no_rw_check": 1},
        )
        write, activation_read = activations.write_port(), activations.read_port()
        m.d.comb += [
            write.addr.eq(
                Cat(
                    self.broadcast.word,
                    self.broadcast.thread,
                    self.broadcast.parity,
                    self.broadcast.half,
                )
            ),
            write.data.eq(self.broadcast.values),
            write.en.eq(self.broadcast_en),
        ]
        if config.sharing:
            # A word of both, which there is only while nothing is shared, is written once.
            m.d.comb += [
                load.addr[weight_addr_bits].eq(self.neighbor_load_en),
                load.en.eq(self.load_en | self.neighbor_load_en),
                write.addr[-1].eq(~self.broadcast_en),
                write.en.eq(self.broadcast_en | self.neighbor_broadcast_en),
            ]

        # Issue: the lowest pair of the sub-mask at hand: the neighbour's, if there is one, or ours.
        sub = Signal(sub_mask_layout(config), reset_less=True)
        valid, ready = Signal(), Signal()
        # More than one pair is left; known early for the clock. That and ``last`` are zero where
        # nothing is at hand, so that the answer to the scan is one gate.
        many, last = Signal(), Signal()
        lower, work = Signal(width), Signal(width)
        issue = Signal()
        at_hand, guest_here, given, lent = sub, Const(0), Const(0), Const(0)
        if config.sharing:
            there, here = self.from_neighbor, self.to_neighbor
            guest = Signal(sub_mask_layout(config), reset_less=True)
            guest_here, guest_single, guest_work = Signal(), Signal(), Signal(width)
            given, lent = here.give, there.held
            at_hand = Signal(sub_mask_layout(config))
            m.d.comb += [
                at_hand.eq(Mux(guest_here, guest, sub)),
                guest_work.eq(Mux(there.give, there.sub.work, guest.work & lower)),
                here.hungry.eq(
                    (self.sharing & (~guest_here | guest_single))
                    & (Mux(valid, last & ~many & ~self.room, ~self.subs.valid))
                ),
                here.give.eq(
                    (there.hungry & valid & ~last & (many | guest_here))
                    & (self.subs.valid & ~self.subs.payload.last)
                ),
                here.sub.eq(self.subs.payload),
                here.held.eq(guest_here & ~guest_single),
            ]
            with m.If(there.give):
                m.d.sync += guest.eq(there.sub)
            m.d.sync += [
                guest.work.eq(guest_work),
                guest_single.eq(~several(guest_work)),
                guest_here.eq(there.give | (guest_here & ~guest_single)),
            ]
        offered, waits = self.subs.valid, ~self.room | lent
        low, high = at_hand.work[: width // 2], at_hand.work[width // 2 :]
        own_low = Signal()  # the lower half of ``sub.work`` is not zero; known early for the clock
        low_any = Mux(guest_here, low.any(), own_low) if config.sharing else own_low
        m.d.comb += [
            lower.eq(Cat(lower_ones(low), lower_ones(high) | low_any.replicate(len(high)))),
            # What stays was not alone, so its highest place has one below it.
            work.eq(Mux(ready, self.subs.payload.work, sub.work & Cat(lower[:-1], 1))),
            issue.eq(valid & ~guest_here & ~(last & ~many & waits)),
            self.commit.eq(issue & last & ~many),
            ready.eq(~(many | (last & waits) | (valid & guest_here))),
            # Not from ``ready``: as one gate it is half the way to the mask memory shorter.
            self.subs.ready.eq(
                ~((offered & many) | (offered & last & waits) | (offered & valid & guest_here))
                | given
            ),
        ]
        with m.If(ready):
            m.d.sync += [
                sub.eq(self.subs.payload),
                valid.eq(self.subs.valid),
                last.eq(self.subs.payload.last),
            ]
        with m.If(ready | issue):
            m.d.sync += [
                sub.work.eq(work),
                own_low.eq(work[: width // 2].any()),
                many.eq(several(work)),
            ]
        with m.If(ready & ~self.subs.valid):
            m.d.sync += [many.eq(0), last.eq(0)]

        with m.If(guest_here):
            m.d.comb += self.slot.eq(Slot.PAIR)
        with m.Elif(~valid):
            m.d.comb += self.slot.eq(Slot.IDLE)
        with m.Elif(~issue):
            m.d.comb += self.slot.eq(Slot.STALL)
        with m.Elif(sub.work == 0):
            m.d.comb += self.slot.eq(Slot.EMPTY)

        # Address: the weights below the pair in its sub-mask, their number, and the pair's column.
        below_width = width - 1
        below = Signal(below_width, reset_less=True)
        base = Signal(range(config.weight_depth), reset_less=True)
        offset = Signal.like(at_hand.offset, reset_less=True)
        column = Signal(len(sub.column) + (width - 1).bit_length(), reset_less=True)
        m.d.sync += [
            below.eq((at_hand.weights & ~(at_hand.work | lower))[:below_width]),
            base.eq(at_hand.base),
            offset.eq(at_hand.offset),
            column.eq(Cat(lowest_index(at_hand.work), at_hand.column)),
        ]
        base_r = Signal.like(base)
        offset_r = Signal(range(config.chunk), reset_less=True)
        column_r = Signal.like(column)
        m.d.sync += [
            base_r.eq(base),
            offset_r.eq(added(m, offset, population_count(m, below), config.chunk - 1)),
            column_r.eq(column),
        ]
        foreign = Signal(issue_to_sum(config) - 1)  # beside the pair, as far as its product
        m.d.sync += foreign.eq(Cat(guest_here, foreign))
        weight_addr = Signal(weight_addr_bits)
        m.d.comb += [
            weight_addr.eq(base_r + offset_r),
            weight_read.addr.eq(Cat(weight_addr, foreign[1])),
            activation_read.addr.eq(Cat(column_r[element_bits:], foreign[1])),
        ]

        # {no pair, end of row} beside the pair, as far as its product.
        nothing = Signal(issue_to_sum(config) - 2, init=-1)
        ends = Signal(issue_to_sum(config) - 1)
        m.d.sync += [
            nothing.eq(Cat(~((guest_here | issue) & at_hand.work.any()), nothing)),
            ends.eq(Cat(self.commit, ends)),
        ]
        # A register behind each memory and one before the multiplier: on FPGAs both lie inside of
        # the blocks, and what is between them has a cycle of its own.
        weight_out = Signal(signed(config.weight_bits), reset_less=True)
        word_out = Signal.like(activation_read.data, reset_less=True)
        weight = Signal(signed(config.weight_bits), reset_less=True)
        activation = Signal(signed(config.activation_bits), reset_less=True)
        product = Signal(signed(config.operand_bits + config.activation_bits), reset_less=True)
        read_element = Signal(element_bits, reset_less=True)
        element = Signal(element_bits, reset_less=True)
        m.d.sync += [
            read_element.eq(column_r[:element_bits]),
            element.eq(read_element),
            weight_out.eq(weight_read.data),
            word_out.eq(activation_read.data),
            weight.eq(weight_out),
            activation.eq(word_out.word_select(element, config.activation_bits).as_signed()),
        ]
        operands: tuple[Value, Value] = (weight, activation)
        if config.split_scales:
            operands = self._scaled(m, at_hand.factors, weight, activation)
        m.d.sync += product.eq(operands[0] * operands[1])
        with m.If(nothing[-1]):
            m.d.sync += product.eq(0)

        # Accumulate. The finished sum leaves from the adder, so that clearing is a plain reset.
        accumulator = Signal(signed(config.lane_sum_bits))
        own = product
        if config.sharing:
            own = Signal(signed(len(product) + 1))
            m.d.comb += [
                own.eq(Mux(foreign[-1], 0, product) + Mux(there.product_valid, there.product, 0)),
                here.product.eq(product),
                here.product_valid.eq(foreign[-1]),
            ]
        m.d.comb += [self.sum.eq(accumulator + own), self.push.eq(ends[-1])]
        m.d.sync += accumulator.eq(self.sum)
        with m.If(self.push):
            m.d.sync += accumulator.eq(Const(0))
        return m

    def _scaled(
        self, m: Module, factors: data.View, weight: Signal, activation: Signal
    ) -> tuple[Signal, Signal]:
        """The operands a cycle later, the weight times the factor of its sign: 1, 2 or 3.

        ``factors`` are those of the pair that is issued, five cycles before its operands.
        """
        for stage in ("below", "address", "read", "output", "operands"):
            delayed = Signal(factors_layout(self._config), name=f"{stage}_factors", reset_less=True)
            m.d.sync += delayed.eq(factors)
            factors = delayed
        factor = Mux(weight[-1], factors.negative, factors.positive)
        scaled = Signal(signed(self._config.operand_bits), reset_less=True)
        later = Signal.like(activation, name="later_activation")
        m.d.sync += [
            scaled.eq(Mux(factor[0], weight, 0) + Mux(factor[1], weight << 1, 0)),
            later.eq(activation),
        ]
        return scaled, later
