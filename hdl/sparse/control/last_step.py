"""Where the last step of a sequence lies: what a reverse layer reads and writes first."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.host.protocol import RUN_STEPS_BITS
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

__all__ = ["LAST_STEP_PROGRAM", "LastStep"]

LAST_STEP_PROGRAM = DESCRIPTOR.layout(
    ("in_base", "in_words", "out_base", "out_stride", "single_step")
)


class LastStep(wiring.Component):
    """``in_base + (steps - 1) · in_words`` and ``out_base + (steps - 1) · out_stride``.

    One bit of ``steps - 1`` per cycle, so it needs two adders and no multiplier. A layer with
    ``single_step`` has its output at ``out_base``.

    Members
    -------
    program: static from ``start`` until ``done``.
    start: In(1), a pulse.
    steps: In, of the run, at least 1.
    done: Out(1), low from the cycle after ``start`` for as many cycles as ``steps - 1`` has bits.
    in_addr, out_addr: Out, addresses modulo the store's address space; valid while ``done``.
    """

    def __init__(self, config: SparseConfig) -> None:
        address = config.store_address_bits
        super().__init__(
            {
                "program": In(LAST_STEP_PROGRAM),
                "start": In(1),
                "steps": In(RUN_STEPS_BITS),
                "done": Out(1),
                "in_addr": Out(address),
                "out_addr": Out(address),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        program = self.program
        # More steps than the store has words cannot be: bits beyond its address do not matter.
        left = Signal.like(self.in_addr)
        in_stride, out_stride = Signal.like(self.in_addr), Signal.like(self.out_addr)
        m.d.comb += self.done.eq(left == 0)
        with m.If(self.start):
            m.d.sync += [
                left.eq(self.steps - 1),
                self.in_addr.eq(program.in_base),
                self.out_addr.eq(program.out_base),
                in_stride.eq(program.in_words),
                out_stride.eq(Mux(program.single_step, 0, program.out_stride)),
            ]
        with m.Else():
            m.d.sync += [
                left.eq(left >> 1),
                in_stride.eq(in_stride << 1),
                out_stride.eq(out_stride << 1),
            ]
            with m.If(left[0]):
                m.d.sync += [
                    self.in_addr.eq(self.in_addr + in_stride),
                    self.out_addr.eq(self.out_addr + out_stride),
                ]
        return m
