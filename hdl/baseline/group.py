"""Four elements, their leading non-zero detect node and their write-back."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.instance import place
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.reset import with_registered_reset

from .config import GROUP, BaselineConfig
from .nonzero import NonzeroNode
from .pe import element_signature
from .ports import PROGRAM, Target, broadcast_layout, load_layout, nonzero_layout, scan_layout
from .writeback import WriteBack

__all__ = ["ELEMENT_MODULE", "Group", "group_signature"]

#: The simulation's build looks for this name (sim/verilator/verilate.py).
ELEMENT_MODULE = "sparnn_lane"


def group_signature(config: BaselineConfig) -> wiring.Signature:
    """Ports, explained in :class:`Group`."""
    return wiring.Signature(
        {
            "number": In(max(1, clog2(config.groups))),
            "layer": In(PROGRAM),
            "fresh": In(1),
            "item": In(broadcast_layout(config)),
            "item_valid": In(1),
            "room": Out(1),
            "scan": In(scan_layout(config)),
            "start": In(1),
            "nonzero": Out(stream.Signature(nonzero_layout(config, 2))),
            "x_taken": Out(2),
            "steps_done": Out(2),
            "load": In(load_layout(config)),
        }
    )


class Group(wiring.Component):
    """What is local in EIE: :class:`~sparnn.hdl.baseline.pe.ProcessingElement`, four times.

    Members
    -------
    number: this group's; constant.
    layer, fresh: the layer; one cycle, a run begins.
    item, item_valid, room: the broadcast, and whether all four queues have room.
    scan, start, nonzero: the vector to pass over, and the activations found.
    x_taken, steps_done: see :class:`~sparnn.hdl.baseline.writeback.WriteBack`.
    load: the host's bus.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(group_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.node = node = NonzeroNode(config, GROUP, 0, full_rate=config.groups == 1)
        m.submodules.write_back = back = WriteBack(config)
        item, item_valid = Signal(broadcast_layout(config), reset_less=True), Signal()
        load, mine, rooms = self.load, Signal(), []
        m.d.comb += mine.eq(load.en & (load.index == self.number))
        domain = m.d.sync if config.pipelined_broadcast else m.d.comb
        domain += [item.eq(self.item), item_valid.eq(self.item_valid)]
        for number in range(GROUP):
            element = place(m, f"element{number}", element_signature(config), ELEMENT_MODULE)
            rooms.append(element.room)
            wiring.connect(m, element.nonzero, node.inputs[number])
            m.d.comb += [
                element.number.eq(Cat(Const(number, 2), self.number)),
                element.item.eq(item),
                element.item_valid.eq(item_valid),
                element.scan.eq(self.scan),
                element.start.eq(self.start),
                element.clear.eq(back.clear),
                element.row.eq(back.row),
                element.half.eq(back.half),
                element.write_en.eq(back.write_en[number]),
                element.write_addr.eq(back.write_addr),
                element.write_data.eq(back.write_data),
                element.load.matrix_en.eq(mine & (load.target == Target.MATRIX)),
                element.load.pointer_en.eq(mine & (load.target == Target.POINTER)),
                element.load.activation_en.eq(mine & (load.target == Target.ACTIVATION)),
                element.load.addr.eq(load.addr),
                element.load.word.eq(load.data.word_select(number, config.word_bits)),
                element.load.pair.eq(load.data.word_select(number, 2 * config.cursor_bits)),
                element.load.value.eq(load.data.word_select(number, config.activation_bits)),
                back.done[number].eq(element.done),
                back.sums[number].eq(element.sum),
            ]
        domain += self.room.eq(Cat(rooms).all())
        wiring.connect(m, node.out, wiring.flipped(self.nonzero))
        m.d.comb += [
            back.number.eq(self.number),
            back.layer.eq(self.layer),
            back.start.eq(self.fresh),
            self.x_taken.eq(back.x_taken),
            self.steps_done.eq(back.steps_done),
            back.load_en.eq(mine & (load.target == Target.PARAMETER)),
            back.load_addr.eq(load.addr),
            back.load_data.eq(load.data),
        ]
        return with_registered_reset(m)
