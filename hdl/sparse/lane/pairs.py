"""Back end of the lane: one column with work per cycle, multiplied and accumulated in each row."""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.counting import (
    added,
    lower_ones,
    lowest_index,
    population_count,
    several,
)
from sparnn.hdl.common.delay import later
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

from .guest import NO_GUEST, Host, own_product, take_guest
from .lane_memory import lane_memory
from .local_copy import local_copy
from .neighbor import sharing_members
from .ports import broadcast_layout, factors_layout, refill_layout
from .ring import Ring
from .scan import sub_mask_layout
from .slots import Slot

__all__ = ["PairStage", "issue_to_sum"]


#: Cycles after a pair's issue in which the registers hold: the weights below it, the addresses,
#: what was read, the memories' output registers, the operands, the product, the sum. With split
#: scales the weight times its factor stands between the operands and the product. Of a block of
#: rows everything from the weights' read on is a cycle later.
_BELOW, _ADDRESS, _READ, _OUTPUT, _OPERANDS, _PRODUCT, _SUM = range(1, 8)


def issue_to_sum(config: SparseConfig) -> int:
    """Cycles from issuing a pair to its product in the sum."""
    return _SUM + config.split_scales + _chosen_apart(config)


def _chosen_apart(config: SparseConfig) -> bool:
    """The activation has a register between its choice from a word and the multipliers of a block
    of rows: these do not all lie beside the memory, and the wires to them take a cycle."""
    return config.width > 1


class _Issue(NamedTuple):
    """The pair that is issued."""

    at_hand: data.View  #: the sub-mask that it is taken from
    lower: Signal  #: the bits above the lowest pair
    guest_here: Value  #: the sub-mask is the neighbour's
    issue: Signal  #: a pair of the own row is issued


class _Memories(NamedTuple):
    """The lane's ports of its weights and activations."""

    weights: Any
    activations: Any
    ring: Ring | None


class PairStage(wiring.Component):
    """Issues a pair per cycle from the sub-masks, reads its operands, and accumulates rows.

    Leading non-zero detect and the count of weights below it are ``sub_chunk`` wide. Once issued, a
    pair never stalls: only a row's last pair waits, while the queue behind has no room (``room``).

    With a ``width`` above 1 what is said of a row is true of a block of so many, whose mask has a
    one where any of them has a weight: a pair is an activation and the weights of all its rows.
    Without ``masks`` a pair's weights lie as far behind the chunk's first ones as its column does.

    Members
    -------
    subs: In(stream of sub-masks, :func:`~sparnn.hdl.sparse.lane.scan.sub_mask_layout`), ready also
        where none is valid.
    room: In(1). The queue can take another row's sum; sampled when a row's last pair is issued.
    commit: Out(1). A row's last pair is issued in this cycle.
    slot: Out(Slot), what this cycle is used for; IDLE also where the scan has not delivered.
    push: Out(1). ``sums`` are those of its rows, :func:`issue_to_sum` - 1 cycles after ``commit``.
    sums: Out, an array, signed, exact.
    broadcast: In, a word of ``post_units`` activations at once for the local copy.
    broadcast_en: In(1). The word is written.
    load_addr: In, an address of the weight memory.
    load_data: In, a word of ``width`` weights.
    load_en: In(1). The word is written.

    With weights from external memory, in place of the last three:

    refill: In, a word for their ring. room_there: Out(1). It has room for a block of them.
    clear: In(1). It is empty, and begins anew. written: Out, the position of the next word.
    oldest: In, the position of the oldest weight that no sub-mask taken here is in front of.
    held, base: In. Weights are kept from that position on.

    wrong: Out(1), with ``parity``: a word of weights does not match its parity.

    With ``sharing``, for the lane beside this one, which holds other columns of the same rows
    (hdl/sparse/lane/guest.py):

    sharing: In(1). The layer that runs splits rows.
    neighbor_load_en: In(1). As ``load_en``, of the neighbour, whose weights lie behind this lane's.
    neighbor_broadcast_en: In(1). The same of the activations.
    to_neighbor: Out(:func:`~sparnn.hdl.sparse.lane.neighbor.neighbor_signature`).
    from_neighbor: In, the same.
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
                "sums": Out(signed(config.lane_sum_bits)).array(config.width),
                "broadcast": In(broadcast_layout(config)),
                "broadcast_en": In(1),
            }
            | (
                {
                    "refill": In(refill_layout(config)),
                    "room_there": Out(1),
                    "clear": In(1),
                    "written": Out(clog2(config.weight_words) + 1),
                    "oldest": In(config.position_bits),
                    "held": In(1),
                    "base": In(config.position_bits),
                }
                if config.stream_bits
                else {
                    "load_addr": In(clog2(config.weight_depth)),
                    "load_data": In(config.weight_entry_bits),
                    "load_en": In(1),
                }
            )
            | ({"wrong": Out(1)} if config.parity else {})
            | sharing_members(config)
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memories = self._place_memories(m)
        issued = self._issue(m, memories)
        element, foreign, place = self._read(m, issued, memories)
        products, end = self._multiply(m, issued, memories, element, place)
        self._accumulate(m, products, end, foreign[-1])
        return m

    def _place_memories(self, m: Module) -> _Memories:
        config = self._config
        weight_addr_bits = clog2(config.weight_depth)
        if config.stream_bits:
            ring = self._place_ring(m)
            weight_read: Any = ring.read
        else:
            ring = None
            load, weight_read = lane_memory(
                m,
                "weights",
                config,
                shape=config.weight_entry_bits,
                depth=2 << weight_addr_bits if config.sharing else config.weight_depth,
            )
            m.d.comb += [
                load.addr.eq(self.load_addr),
                load.data.eq(self.load_data),
                load.en.eq(self.load_en),
            ]
        write, activation_read = local_copy(m, config)
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
        return _Memories(weight_read, activation_read, ring)

    def _place_ring(self, m: Module) -> Ring:
        config = self._config
        ring = Ring(
            m,
            "weights",
            config,
            shape=config.stream_bits,
            words=config.weight_words,
            word=self.refill.word.masks,
            write=self.refill.weight_en,
        )
        m.d.comb += [
            ring.clear.eq(self.clear),
            self.room_there.eq(ring.room),
            self.written.eq(ring.written),
        ]
        return ring

    def _issue(self, m: Module, memories: _Memories) -> _Issue:
        """Cycle 0: the lowest pair of the sub-mask at hand: the neighbour's, if there is one, or
        this lane's own."""
        config, width = self._config, self._config.sub_chunk
        offered, next_sub = self.subs.valid, self.subs.payload
        sub = Signal(sub_mask_layout(config), reset_less=True)
        valid, ready = Signal(), Signal()
        # More than one pair is left; known early for the clock. That and ``last`` are zero where
        # nothing is at hand, so that the answer to the scan is one gate.
        many, last = Signal(), Signal()
        lower, work = Signal(width), Signal(width)
        issue = Signal()
        at_hand, guest = sub, NO_GUEST
        if config.sharing:
            at_hand = Signal(sub_mask_layout(config))
            guest = take_guest(m, self, Host(sub, at_hand, valid, many, last, lower))
        guest_here, waits = guest.here, ~self.room | guest.lent
        low, high = at_hand.work[: width // 2], at_hand.work[width // 2 :]
        own_low = Signal()  # the lower half of ``sub.work`` is not zero; known early for the clock
        low_any = Mux(guest_here, low.any(), own_low) if config.sharing else own_low
        m.d.comb += [
            lower.eq(Cat(lower_ones(low), lower_ones(high) | low_any.replicate(len(high)))),
            # Pairs stay only where more than one was left, so that the one at the highest place is
            # never the lowest of them, and its bit of ``lower`` need not be known.
            work.eq(Mux(ready, next_sub.work, sub.work & Cat(lower[:-1], 1))),
            issue.eq(valid & ~guest_here & ~(last & ~many & waits)),
            self.commit.eq(issue & last & ~many),
            ready.eq(~(many | (last & waits) | (valid & guest_here))),
            # Not from ``ready``: as one gate it is half the way to the mask memory shorter.
            self.subs.ready.eq(
                ~((offered & many) | (offered & last & waits) | (offered & valid & guest_here))
                | guest.given
            ),
        ]
        with m.If(ready):
            m.d.sync += [
                sub.eq(next_sub),
                valid.eq(offered),
                last.eq(next_sub.last),
            ]
        with m.If(ready | issue):
            m.d.sync += [
                sub.work.eq(work),
                own_low.eq(work[: width // 2].any()),
                many.eq(several(work)),
            ]
        with m.If(ready & ~offered):
            m.d.sync += [many.eq(0), last.eq(0)]

        if memories.ring is not None:
            # A pair reads its weight two cycles after it was issued; a word that is free when the
            # next one is at hand is written later than that.
            needed = Mux(self.held, self.base, Mux(valid, sub.base, self.oldest))
            m.d.sync += memories.ring.oldest.eq(needed[clog2(config.weight_slots) :])

        with m.If(guest_here):
            m.d.comb += self.slot.eq(Slot.PAIR)
        with m.Elif(~valid):
            m.d.comb += self.slot.eq(Slot.IDLE)
        with m.Elif(~issue):
            m.d.comb += self.slot.eq(Slot.STALL)
        with m.Elif(sub.work == 0):
            m.d.comb += self.slot.eq(Slot.EMPTY)
        return _Issue(at_hand, lower, guest_here, issue)

    def _read(self, m: Module, issued: _Issue, memories: _Memories) -> tuple[Value, Signal, Value]:
        """Cycles 1 and 2: the address of the weight, that of the activation and the rest of its
        column; returns that, whether a pair is the neighbour's, and the weight's place in a word of
        the ring."""
        config, at_hand, width = self._config, issued.at_hand, self._config.sub_chunk
        # With slices an activation's place in its word is a part of its address.
        element_bits = 0 if config.sliced_copy else clog2(config.post_units)
        # Cycle 1: the weights below the pair in its sub-mask, and the pair's column.
        base = Signal(range(config.weight_depth), reset_less=True)
        column = Signal(len(at_hand.column) + clog2(width), reset_less=True)
        m.d.sync += [
            base.eq(at_hand.base),
            column.eq(Cat(lowest_index(at_hand.work), at_hand.column)),
        ]
        # Cycle 2: the number of the weights below, and with it the addresses.
        base_r = Signal.like(base)
        column_r = Signal.like(column)
        m.d.sync += [base_r.eq(base), column_r.eq(column)]
        offset_r: Value = column_r[: clog2(config.chunk)]
        if config.masks:
            offset_r = self._weights_below(m, issued)
        foreign = Signal(issue_to_sum(config) - 1)  # beside the pair, as far as its product
        m.d.sync += foreign.eq(Cat(issued.guest_here, foreign))
        weight_addr = Signal(clog2(config.weight_depth))
        domain = m.d.sync if _chosen_apart(config) else m.d.comb
        domain += weight_addr.eq(base_r + offset_r)
        m.d.comb += [
            memories.weights.addr.eq(
                weight_addr[clog2(config.weight_slots) :]
                if config.stream_bits
                else Cat(weight_addr, foreign[_ADDRESS - 1])
            ),
            memories.activations.addr.eq(Cat(column_r[element_bits:], foreign[_ADDRESS - 1])),
        ]
        place = weight_addr[: clog2(config.weight_slots)] if config.stream_bits else Const(0, 0)
        return column_r[:element_bits], foreign, place

    def _weights_below(self, m: Module, issued: _Issue) -> Signal:
        """The weights of the pair's chunk in front of it, in cycle 2."""
        config, at_hand, below_width = self._config, issued.at_hand, self._config.sub_chunk - 1
        below = Signal(below_width, reset_less=True)
        offset = Signal.like(at_hand.offset, reset_less=True)
        offset_r = Signal(range(config.chunk), reset_less=True)
        m.d.sync += [
            below.eq((at_hand.weights & ~(at_hand.work | issued.lower))[:below_width]),
            offset.eq(at_hand.offset),
            offset_r.eq(added(m, offset, population_count(m, below), config.chunk - 1)),
        ]
        return offset_r

    def _multiply(
        self,
        m: Module,
        issued: _Issue,
        memories: _Memories,
        column_element: Value,
        place: Value,
    ) -> tuple[list[Signal], Value]:
        """Cycles 3 to 6: what was read, and the product of each row; returns these, and whether a
        row ends."""
        config, at_hand = self._config, issued.at_hand
        apart = _chosen_apart(config)
        # {no pair, end of row} beside the pair, as far as its product.
        nothing = Signal(issue_to_sum(config) - 2, init=-1)
        ends = Signal(issue_to_sum(config) - 1)
        m.d.sync += [
            nothing.eq(Cat(~((issued.guest_here | issued.issue) & at_hand.work.any()), nothing)),
            ends.eq(Cat(self.commit, ends)),
        ]
        # Block RAMs have the enable for nothing, and chips save what a read takes.
        m.d.comb += [
            memories.weights.en.eq(~nothing[_ADDRESS - 1 + apart]),
            memories.activations.en.eq(~nothing[_ADDRESS - 1]),
        ]
        # Cycle 3: the memories' outputs. Cycle 4: a register behind each memory. Cycle 5: one
        # before the multiplier. On FPGAs both lie inside of the blocks, and what is between them
        # has a cycle of its own.
        weights_out = Signal(config.stream_bits or config.weight_entry_bits, reset_less=True)
        word_out = Signal.like(memories.activations.data, reset_less=True)
        activation = Signal(signed(config.lane_activation_bits), reset_less=True)
        read_element = Signal(len(column_element), reset_less=True)
        element = Signal(len(column_element), reset_less=True)
        m.d.sync += [
            read_element.eq(column_element),
            element.eq(read_element),
            weights_out.eq(memories.weights.data),
            word_out.eq(memories.activations.data),
        ]
        chosen = word_out.word_select(element, config.lane_activation_bits).as_signed()
        m.d.sync += activation.eq(later(m, "chosen", chosen, apart))
        if config.parity:
            parity = Signal()
            m.d.sync += [
                parity.eq(memories.weights.parity),
                self.wrong.eq(~nothing[_OUTPUT - 1 + apart] & (weights_out.xor() ^ parity)),
            ]
        entry: Value = weights_out
        if config.weight_slots > 1:
            placed = later(m, "weight_place", place, 2)
            entry = weights_out.word_select(placed, config.stream_bits // config.weight_slots)
        products = []
        for row in range(config.width):
            weight = Signal(signed(config.weight_bits), name=f"weight{row}", reset_less=True)
            m.d.sync += weight.eq(entry.word_select(row, config.weight_bits).as_signed())
            operands: tuple[Value, Value] = (weight, activation)
            if config.split_scales:
                operands = self._scaled(m, at_hand.factors, weight, activation)
            # Cycle 6: the product.
            product = Signal(
                signed(config.operand_bits + config.lane_activation_bits),
                name=f"product{row}",
                reset_less=True,
            )
            m.d.sync += product.eq(operands[0] * operands[1])
            with m.If(nothing[-1]):
                m.d.sync += product.eq(0)
            products.append(product)
        return products, ends[-1]

    def _accumulate(self, m: Module, products: list[Signal], end: Value, foreign: Value) -> None:
        """Cycle 7: the sums. A finished one leaves from the adder, so that clearing is a plain
        reset."""
        m.d.comb += self.push.eq(end)
        for row, product in enumerate(products):
            accumulator = Signal(signed(self._config.lane_sum_bits), name=f"accumulator{row}")
            own: Value = product
            if self._config.sharing:
                own = own_product(m, self, product, foreign)
            m.d.comb += self.sums[row].eq(accumulator + own)
            m.d.sync += accumulator.eq(self.sums[row])
            with m.If(self.push):
                m.d.sync += accumulator.eq(Const(0))

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
