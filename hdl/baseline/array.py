"""A whole EIE or ESE array between two host streams."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.instance import place
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.common.reset import with_registered_reset
from sparnn.hdl.emit import TOP_MODULE
from sparnn.hdl.verilog import modules_verilog

from .config import BaselineConfig
from .control import CentralControl
from .group import ELEMENT_MODULE, Group, group_signature
from .host import BaselineHost
from .nonzero import NonzeroNode, node_signature
from .pe import ProcessingElement
from .ports import beat_bits

__all__ = ["BaselineArray", "GROUP_MODULE", "baseline_verilog"]

#: The simulation's build looks for this name (sim/verilator/verilate.py).
GROUP_MODULE = "sparnn_cluster"

#: Levels of the tree, from the root, that take an item per cycle: below, more children than needed
#: share the rate.
_FULL_RATE_LEVELS = 2


def _levels(config: BaselineConfig) -> list[tuple[int, int, bool]]:
    """Of the tree, from the groups on: children of a node, bits of their numbers, full rate."""
    levels = []
    count, bits = config.groups, 2
    while count > 1:
        width = 4 if count % 4 == 0 else 2
        levels.append((width, bits))
        count //= width
        bits += clog2(width)
    return [
        (width, bits, depth >= len(levels) - _FULL_RATE_LEVELS)
        for depth, (width, bits) in enumerate(levels)
    ]


def _node_module(depth: int) -> str:
    """Nodes of a level are one module, so that they are synthesized once."""
    return f"{TOP_MODULE}_node{depth}"


class BaselineArray(wiring.Component):
    """Groups of elements, the tree of leading non-zero detect nodes above them, central control.

    Members
    -------
    rx, tx: streams, :class:`~sparnn.hdl.baseline.host.BaselineHost`.
    """

    def __init__(self, config: BaselineConfig) -> None:
        self._config = config
        super().__init__(
            {"rx": In(stream.Signature(beat_bits(config))), "tx": Out(stream.Signature(32))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.host = host = BaselineHost(config)
        m.submodules.control = control = CentralControl(config)
        wiring.connect(m, wiring.flipped(self.rx), host.rx)
        wiring.connect(m, wiring.flipped(self.tx), host.tx)
        wiring.connect(m, control.values, host.values)
        m.d.comb += [
            control.program.eq(host.program),
            control.run.eq(host.run),
            control.steps.eq(host.steps),
            control.read.eq(host.read),
            control.read_base.eq(host.read_base),
            host.busy.eq(control.busy),
            host.reading.eq(control.reading),
            host.cycles.eq(control.cycles),
        ]

        groups = []
        for number in range(config.groups):
            group = place(m, f"group{number}", group_signature(config), GROUP_MODULE)
            groups.append(group)
            m.d.comb += [
                group.number.eq(Const(number, len(group.number))),
                group.layer.eq(host.program),
                group.fresh.eq(control.fresh),
                group.item.eq(control.item),
                group.item_valid.eq(control.item_valid),
                group.scan.eq(control.scan),
                group.start.eq(control.start),
                group.load.eq(host.load),
            ]
        x_there, h_there = Signal(config.groups), Signal(config.groups)
        for number, group in enumerate(groups):
            m.d.sync += [
                x_there[number].eq(group.x_taken == control.x_begun),
                h_there[number].eq(group.steps_done == control.h_begun),
            ]
        m.d.comb += [
            control.room.eq(Cat(group.room for group in groups).all()),
            control.x_taken.eq(x_there.all()),
            control.steps_done.eq(h_there.all()),
        ]

        level: list[Any] = [group.nonzero for group in groups]
        for depth, (width, bits, _) in enumerate(_levels(config)):
            parents = []
            for number in range(len(level) // width):
                name = f"node{depth}_{number}"
                node = place(m, name, node_signature(config, width, bits), _node_module(depth))
                for child in range(width):
                    wiring.connect(m, level[number * width + child], node.inputs[child])
                parents.append(node.out)
            level = parents
        wiring.connect(m, level[0], control.root)
        return with_registered_reset(m)


def baseline_verilog(config: BaselineConfig) -> str:
    """The array as one Verilog text, named like sparnn's own so that the same driver runs it."""
    return modules_verilog(
        (
            (BaselineArray(config), TOP_MODULE),
            (Group(config), GROUP_MODULE),
            (ProcessingElement(config), ELEMENT_MODULE),
            *(
                (NonzeroNode(config, *level), _node_module(depth))
                for depth, level in enumerate(_levels(config))
            ),
        )
    )
