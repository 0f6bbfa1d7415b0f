"""One vector lane: K weights times one activation (SHARP's vector-scalar unit)."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.parity_memory import parity_memory
from sparnn.hdl.dense.config import DenseConfig

from .picker import ColumnPicker

__all__ = ["LANE_MODULE", "VectorLane", "lane_load_bits", "lane_signature"]

LANE_MODULE = "sparnn_vector_lane"


def lane_load_bits(config: DenseConfig) -> int:
    """Width of what the host writes to a lane at once: a weight word, or a mask word."""
    return max(config.weight_entry_bits, config.columns if config.mask_depth else 0)


def lane_signature(config: DenseConfig) -> wiring.Signature:
    """A lane's ports, explained in :class:`VectorLane`."""
    weight_addr = unsigned(clog2(config.weight_depth))
    address = unsigned(clog2(2 * config.columns))
    members = {
        "weight_addr": In(weight_addr),
        "read_en": In(1),
        "hold_en": In(1),
        "multiply_en": In(1),
        "hidden": In(1),
        "zero": In(1),
        "load_en": In(1),
        "load_addr": In(weight_addr),
        "load_data": In(lane_load_bits(config)),
        "products": Out(config.width * config.product_bits),
    }
    if config.mask_depth:
        mask_addr = unsigned(clog2(config.mask_depth))
        members |= {
            "base": In(address),
            "first": In(1),
            "mask_addr": In(mask_addr),
            "mask_en": In(1),
        }
    else:
        members["column"] = In(address)
    for half in ("x", "h"):
        members |= {
            f"{half}_en": In(1),
            f"{half}_addr": In(address),
            f"{half}_data": In(config.activation_bits),
        }
    if config.parity:
        members["wrong"] = Out(1)
    return wiring.Signature(members)


class VectorLane(wiring.Component):
    """Memory of weight words, local copies of x and h, K multipliers.

    The lane holds no control: the bank tells it when each stage moves. A product is registered
    three cycles after ``read_en``.

    Members
    -------
    weight_addr, read_en: reads a weight word.
    hold_en: one cycle later, registers it.
    column, hidden, zero, multiply_en: one cycle later, the activation to multiply by: an address in
        the copy of x or h, or zero. With ``operand_stage`` the first three come with hold_en.
    x_en, x_addr, x_data, h_en, h_addr, h_data: one activation into a copy; each copy has two
        buffers of ``columns`` entries.
    load_en, load_addr, load_data: the host writes a weight word.
    mask_en: a mask word.
    products: row 0 in the least significant ``product_bits``.
    first, mask_addr: with masks, where the lane picks the column itself: with ``read_en``, of its
        pass.
    base: with masks, instead of ``column``: where the copy's buffer begins.
    wrong: only with ``parity``: a word of weights or masks that was read is damaged; two cycles
        after it was registered.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(lane_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        shape, depth, attrs = config.weight_entry_bits, config.weight_depth, {"no_rw_check": 1}
        write: Any
        read: Any
        if config.parity:
            write, read = parity_memory(m, "weights", shape=shape, depth=depth, attrs=attrs)
        else:
            m.submodules.weights = weights = Memory(shape=shape, depth=depth, init=[], attrs=attrs)
            write, read = weights.write_port(), weights.read_port()
        held = Signal(config.weight_entry_bits, reset_less=True)
        m.d.comb += [
            write.en.eq(self.load_en),
            write.addr.eq(self.load_addr),
            write.data.eq(self.load_data),
            read.en.eq(self.read_en),
            read.addr.eq(self.weight_addr),
        ]
        with m.If(self.hold_en):
            m.d.sync += held.eq(read.data)

        wrong = []
        if config.parity:
            parity, looks = Signal(reset_less=True), Signal()
            m.d.sync += looks.eq(self.hold_en)
            with m.If(self.hold_en):
                m.d.sync += parity.eq(read.parity)
            wrong.append(looks & (held.xor() ^ parity))
        column = Signal.like(self.x_addr)
        none = Signal()
        if config.mask_depth:
            m.submodules.picker = picker = ColumnPicker(config)
            m.d.comb += [
                picker.read_en.eq(self.read_en),
                picker.first.eq(self.first),
                picker.mask_addr.eq(self.mask_addr),
                picker.pick_en.eq(self.hold_en),
                picker.load_en.eq(self.mask_en),
                picker.load_addr.eq(self.load_addr),
                picker.load_data.eq(self.load_data),
                column.eq(self.base + picker.column),
                none.eq(picker.none),
            ]
            if config.parity:
                wrong.append(picker.wrong)
        else:
            m.d.comb += column.eq(self.column)

        if wrong:
            m.d.sync += self.wrong.eq(Cat(wrong).any())

        values = []
        for half in ("x", "h"):
            copy = Memory(shape=signed(config.activation_bits), depth=2 * config.columns, init=[])
            m.submodules[half] = copy
            port, out = copy.write_port(), copy.read_port(domain="comb")
            m.d.comb += [
                port.en.eq(self[f"{half}_en"]),
                port.addr.eq(self[f"{half}_addr"]),
                port.data.eq(self[f"{half}_data"]),
                out.addr.eq(column),
            ]
            values.append(out.data)
        activation = Signal(signed(config.activation_bits))
        m.d.comb += activation.eq(Mux(self.zero | none, 0, Mux(self.hidden, values[1], values[0])))
        if config.operand_stage:
            operand = Signal.like(activation, reset_less=True)
            with m.If(self.hold_en):
                m.d.sync += operand.eq(activation)
            activation = operand
        # One register, so that a simulator has nothing to put together while the lane rests.
        products = Signal(len(self.products), reset_less=True)
        m.d.comb += self.products.eq(products)
        with m.If(self.multiply_en):
            for row in range(config.width):
                weight = held.word_select(row, config.weight_bits).as_signed()
                product = products.word_select(row, config.product_bits)
                m.d.sync += product.eq(weight * activation)
        return m

    def __getitem__(self, name: str) -> Signal:
        return getattr(self, name)
