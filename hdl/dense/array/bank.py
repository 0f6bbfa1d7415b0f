"""A bank of vector lanes with its adder tree and accumulators."""

import itertools
from functools import reduce
from operator import add
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.instance import place
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.dense.config import DenseConfig

from .adder import adder_module, adder_signature
from .lane import LANE_MODULE, lane_load_bits, lane_signature

__all__ = [
    "BANK_MODULE",
    "Bank",
    "bank_signature",
    "broadcast_layout",
    "copy_base",
    "copy_share",
    "issue_layout",
    "times",
    "tree_nodes",
    "weight_load_layout",
]

BANK_MODULE = "sparnn_bank"


def issue_layout(config: DenseConfig) -> data.StructLayout:
    """One cycle of work of all lanes.

    column: of the pass. joined_log2: banks that split the columns. buffer, share: of the local
    copies, see :func:`copy_base`.
    zero: multiply by zero. first, last: cycle of the pass. mask_addr: of the pass, with masks.
    """
    masked = {"mask_addr": unsigned(clog2(config.mask_depth))}
    return data.StructLayout(
        {
            **(masked if config.mask_depth else {}),
            "valid": 1,
            "weight_addr": unsigned(clog2(config.weight_depth)),
            "column": unsigned(clog2(config.columns)),
            "joined_log2": unsigned(max(1, config.banks_log2.bit_length())),
            "buffer": 1,
            "share": config.turn_bits,
            "hidden": 1,
            "zero": 1,
            "first": 1,
            "last": 1,
        }
    )


def copy_share(config: DenseConfig, layer: data.View, turn: Value) -> Value:
    """The part of a buffer of h that belongs to a layer or stream of those that take turns: a half,
    or a quarter where there are more than two."""
    if config.turn_bits == 1:
        return turn
    return Mux(layer.streams_last[1], turn, turn << 1)[: config.turn_bits]


def copy_base(config: DenseConfig, buffer: Value, share: Value) -> Value:
    """Where a vector begins in a local copy: two buffers, each with equal shares."""
    return Mux(buffer, config.columns, 0) + times(config.columns >> config.turn_bits, share)


def times(value: Value | int, turn: Value) -> Value:
    """``value · turn``, of very few bits."""
    sums = [Mux(bit, Value.cast(value) << k, 0) for k, bit in enumerate(turn)]
    return reduce(add, sums)


def broadcast_layout(config: DenseConfig) -> data.StructLayout:
    """One word for the local copies. valid: of each slice's part. place: which of the bank's words
    of one column it is."""
    return data.StructLayout(
        {
            "valid": config.slices,
            "place": unsigned(clog2(config.words_per_column)),
            "addr": unsigned(clog2(2 * config.columns)),
            "data": data.ArrayLayout(signed(config.activation_bits), config.word),
        }
    )


def weight_load_layout(config: DenseConfig) -> data.StructLayout:
    """One word of one lane, from the host. en: a weight word. mask: a mask word.

    From external memory: a weight word for each of ``lanes_at_once`` lanes, ``lane`` counts these.
    """
    if config.stream_bits:
        return data.StructLayout(
            {
                "en": 1,
                "lane": unsigned(12),
                "addr": unsigned(clog2(config.weight_depth)),
                "data": config.lanes_at_once * config.weight_slot_bits,
            }
        )
    return data.StructLayout(
        {
            "en": 1,
            "mask": 1,
            "lane": unsigned(12),
            "addr": unsigned(clog2(config.weight_depth)),
            "data": lane_load_bits(config),
        }
    )


def bank_signature(config: DenseConfig) -> wiring.Signature:
    """A bank's ports, explained in :class:`Bank`."""
    return wiring.Signature(
        {
            "number": In(unsigned(max(1, config.banks_log2))),
            "issue": In(issue_layout(config)),
            "x": In(broadcast_layout(config)),
            "h": In(broadcast_layout(config)),
            "load": In(weight_load_layout(config)),
            "sums": Out(config.width * config.sum_bits),
        }
        | ({"wrong": Out(1)} if config.parity else {})
    )


def tree_nodes(config: DenseConfig) -> list[list[tuple[int, int]]]:
    """The registered levels before the accumulator: (bits, operands) of each node."""
    levels = []
    bits, count = config.product_bits, config.bank_lanes
    while count > config.tree_radix:
        nodes = [
            (bits, min(config.tree_radix, count - first))
            for first in range(0, count, config.tree_radix)
        ]
        levels.append(nodes)
        bits += clog2(config.tree_radix)
        count = len(nodes)
    return levels


class Bank(wiring.Component):
    """The lanes of one bank, their tree and K accumulators.

    ``sums`` is what the bank's lanes have made of one pass: valid
    ``config.issue_to_operand - 1`` cycles after the issue of its last cycle, until the next pass's
    take its place.

    Members
    -------
    number: which bank, constant.
    issue: :func:`issue_layout`, registered here.
    x, h: words for the local copies.
    load: weights from the host or from external memory.
    wrong: only with ``parity``: a word that a lane read is damaged; a cycle later than the lane's.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(bank_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        levels = tree_nodes(config)
        last = 4 + len(levels)
        stages = [Signal(issue_layout(config), name=f"issue{k}") for k in range(1, last + 1)]
        m.d.sync += stages[0].eq(self.issue)
        m.d.sync += [b.eq(a) for a, b in itertools.pairwise(stages)]

        # Local address: this bank's share of the pass's column, found one stage ahead.
        reading = config.issue_to_read - 1
        ahead, now = stages[reading - 1], stages[reading]
        base = Signal(unsigned(clog2(2 * config.columns)))
        address = Signal.like(base)
        local = Signal(unsigned(clog2(config.columns)))
        with m.Switch(ahead.joined_log2):
            for joined in range(config.banks_log2 + 1):
                with m.Case(joined):
                    m.d.comb += local.eq(Cat(self.number[:joined], ahead.column))
        start = copy_base(config, ahead.buffer, ahead.share)
        m.d.sync += [base.eq(start), address.eq(local + start)]

        load = Signal(weight_load_layout(config))
        m.d.sync += load.eq(self.load)
        vectors: list[Any] = []
        wrong = []
        at_once = clog2(config.lanes_at_once)
        for index in range(config.bank_lanes):
            lane = place(m, f"lane{index}", lane_signature(config), LANE_MODULE)
            part = index % config.word
            number = Signal(12, name=f"number{index}")
            m.d.comb += [
                number.eq(self.number * config.bank_lanes + index),
                lane.weight_addr.eq(stages[0].weight_addr),
                lane.read_en.eq(stages[0].valid),
                lane.hold_en.eq(stages[1].valid),
                lane.multiply_en.eq(stages[2].valid),
                lane.hidden.eq(now.hidden),
                lane.zero.eq(now.zero),
                lane.load_en.eq(load.en & (load.lane == number[at_once:])),
                lane.load_addr.eq(load.addr),
            ]
            if config.stream_bits:
                own = load.data.word_select(number[:at_once], config.weight_slot_bits)
                m.d.comb += lane.load_data.eq(own)
            else:
                m.d.comb += lane.load_data.eq(load.data)
            if config.mask_depth:
                m.d.comb += [
                    lane.base.eq(base),
                    lane.first.eq(stages[0].first),
                    lane.mask_addr.eq(stages[0].mask_addr),
                    lane.mask_en.eq(load.mask & (load.lane == number)),
                ]
            else:
                m.d.comb += lane.column.eq(address)
            for port, word in (("x", self.x), ("h", self.h)):
                m.d.comb += [
                    getattr(lane, f"{port}_en").eq(
                        word.valid[part // config.cells] & (word.place == index // config.word)
                    ),
                    getattr(lane, f"{port}_addr").eq(word.addr),
                    getattr(lane, f"{port}_data").eq(word.data[part]),
                ]
            vectors.append(lane.products)
            if config.parity:
                wrong.append(lane.wrong)
        if wrong:
            m.d.sync += self.wrong.eq(Cat(wrong).any())

        bits = config.product_bits
        for level, nodes in enumerate(levels):
            sums, first = [], 0
            grown = bits + clog2(config.tree_radix)
            for index, (_, operands) in enumerate(nodes):
                node = place(
                    m,
                    f"add{level}_{index}",
                    adder_signature(config.width, bits, operands),
                    adder_module(bits, operands),
                )
                m.d.comb += node.en.eq(stages[3 + level].valid)
                for port, vector in zip(
                    node.operands, vectors[first : first + operands], strict=True
                ):
                    m.d.comb += port.eq(vector)
                first += operands
                # A node of fewer operands makes a narrower sum.
                own = len(node.sum) // config.width
                if own == grown:
                    sums.append(node.sum)
                    continue
                rows = [node.sum.word_select(k, own).as_signed() for k in range(config.width)]
                wide = Signal(config.width * grown, name=f"wide{level}_{index}")
                m.d.comb += wide.eq(Cat(_extended(row, grown) for row in rows))
                sums.append(wide)
            vectors, bits = sums, grown

        end = stages[-1]
        outputs = []
        for row in range(config.width):
            total = Signal(signed(config.sum_bits), name=f"total{row}")
            running = Signal(signed(config.sum_bits), name=f"running{row}", reset_less=True)
            output = Signal(signed(config.sum_bits), name=f"output{row}", reset_less=True)
            parts = [v.word_select(row, bits).as_signed() for v in vectors]
            m.d.comb += total.eq(reduce(add, parts) + Mux(end.first, 0, running))
            with m.If(end.valid):
                m.d.sync += running.eq(total)
                with m.If(end.last):
                    m.d.sync += output.eq(total)
            outputs.append(output)
        m.d.comb += self.sums.eq(Cat(outputs))
        return m


def _extended(value: Any, bits: int) -> Any:
    missing = bits - len(value)
    return Cat(value, value[-1].replicate(missing))
