"""Keeps the reset pin's wire out of the logic."""

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Module,
    ResetSignal,
    Signal,
)

__all__ = ["with_registered_reset"]


def with_registered_reset(core: Module) -> Module:
    """The module with its reset behind a register, one cycle later than outside.

    Otherwise the reset input reaches every register of the module through logic: a net of its own
    to route, and in a compiled simulation a reason to evaluate everything twice.
    """
    m = Module()
    # It begins as 0, which needs no inverter behind the flip-flop: until then initial values hold.
    reset = Signal(reset_less=True)
    m.domains.core = domain = ClockDomain("core")
    m.d.sync += reset.eq(ResetSignal("sync"))
    m.d.comb += [domain.clk.eq(ClockSignal("sync")), domain.rst.eq(reset)]
    m.submodules.core = DomainRenamer("core")(core)
    return m
