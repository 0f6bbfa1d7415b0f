"""Leading non-zero detect node (EIE, arXiv 1602.01528, figure 4a)."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.numbers import clog2

from .config import BaselineConfig
from .ports import nonzero_layout

__all__ = ["NonzeroNode", "node_signature"]


def node_signature(config: BaselineConfig, children: int, element_bits: int) -> wiring.Signature:
    """Ports, explained in :class:`NonzeroNode`."""
    bits = element_bits + clog2(children)
    return wiring.Signature(
        {
            "inputs": In(stream.Signature(nonzero_layout(config, element_bits))).array(children),
            "out": Out(stream.Signature(nonzero_layout(config, bits))),
        }
    )


class NonzeroNode(wiring.Component):
    """Takes the first activation that one of its children offers and sends it up.

    The order among activations does not matter: sums are exact. Its end follows the ends of all
    children.

    Latency 1 cycle. One item per cycle with ``full_rate``, else one in two, without a ready chain:
    what lies below a node is at least twice as fast as what it needs to deliver.

    Parameters
    ----------
    children: 2-4 (1 only as the root of a single group).
    element_bits: of the children's items; the items of this node have as many more as number the
        children.
    """

    def __init__(
        self, config: BaselineConfig, children: int, element_bits: int, full_rate: bool
    ) -> None:
        self._children, self._element_bits = children, element_bits
        self._full_rate = full_rate
        self._layout = nonzero_layout(config, element_bits + clog2(children))
        super().__init__(node_signature(config, children, element_bits))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(self._layout, reset_less=True)
        valid, ready = Signal(), Signal()
        offers = [child.valid & ~child.payload.end for child in self.inputs]
        ended = Signal()
        m.d.comb += [
            ready.eq(~valid | (self.out.ready if self._full_rate else 0)),
            ended.eq(Cat(child.valid & child.payload.end for child in self.inputs).all()),
            self.out.valid.eq(valid),
            self.out.payload.eq(held),
        ]
        found: Value = Const(0, 1)
        with m.If(ready):
            m.d.sync += [valid.eq(Cat(*offers, ended).any()), held.end.eq(ended)]
        with m.Elif(self.out.ready):
            m.d.sync += valid.eq(0)
        for number in reversed(range(self._children)):
            child = self.inputs[number]
            with m.If(ready & offers[number]):
                m.d.sync += [
                    held.value.eq(child.payload.value),
                    held.row.eq(child.payload.row),
                    held.element.eq(
                        Cat(
                            child.payload.element,
                            Const(number, clog2(self._children)),
                        )
                    ),
                ]
        for number, child in enumerate(self.inputs):
            m.d.comb += child.ready.eq(ready & ((offers[number] & ~found) | ended))
            found = found | offers[number]
        return m
