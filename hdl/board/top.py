"""A board's top: the machine, its serial link, a clock, a reset, and lights."""

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Module,
    Mux,
    ResetSignal,
    Signal,
)
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from sparnn.hdl.emit import machine_verilog
from sparnn.hdl.link.link import SerialLink
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.placed import PlacedMachine
from sparnn.hdl.verilog import modules_verilog

from .clock import ClockPlan
from .pll import place_pll

__all__ = ["BOARD_MODULE", "LIGHTS", "BoardTop", "board_verilog"]

BOARD_MODULE = "sparnn_board"

#: What lights can show: the link is open and the machine waits; the machine works or answers;
#: something was lost on the line (until the next RESET); the clock runs.
LIGHTS = ("idle", "busy", "error", "heartbeat")


class BoardTop(wiring.Component):
    """Everything between a board's pins and the machine. One clock domain.

    Parameters
    ----------
    plan: of the clock.
    divisor: of the serial line, in cycles of the planned clock.
    depth: words in each queue of the link.
    pad: see :func:`~sparnn.hdl.board.pll.place_pll`.
    lights: which of :data:`LIGHTS` there are.
    low: those of ``lights`` and "reset" that are on when low.
    reset: there is a reset pin.
    high: names of pins that are always high.

    Members
    -------
    clock: of the board.
    uart_rx, uart_tx: as the board sees them. light_*: as ``lights``.
    reset_pin: where there is one.
    """

    #: log2 of the cycles that the reset lasts after the clock is stable: 10 us at 24 MHz, which is
    #: more than iCE40 takes to make its block RAMs readable.
    RESET_LOG2 = 8

    def __init__(
        self,
        plan: ClockPlan,
        divisor: int,
        *,
        depth: int = 512,
        pad: bool = False,
        lights: tuple[str, ...] = LIGHTS,
        low: tuple[str, ...] = (),
        reset: bool = False,
        high: tuple[str, ...] = (),
    ) -> None:
        assert set(lights) <= set(LIGHTS)
        self._plan = plan
        self._divisor = divisor
        self._depth = depth
        self._pad = pad
        self._lights = lights
        self._low = low
        self._reset = reset
        self._high = high
        members = {
            "clock": In(1),
            "uart_rx": In(1, init=1),
            "uart_tx": Out(1, init=1),
            **{f"light_{name}": Out(1) for name in lights},
            **{name: Out(1, init=1) for name in high},
        }
        if reset:
            members["reset_pin"] = In(1)
        super().__init__(members)

    @property
    def plan(self) -> ClockPlan:
        return self._plan

    @property
    def divisor(self) -> int:
        return self._divisor

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.boot = ClockDomain("boot", reset_less=True, local=True)
        m.domains.sync = ClockDomain("sync", local=True)
        m.domains.machine = ClockDomain("machine", local=True)
        clock, locked = place_pll(m, self._plan, self.clock, pad=self._pad)
        m.d.comb += [
            ClockSignal("boot").eq(clock),
            ClockSignal("sync").eq(clock),
            ClockSignal("machine").eq(clock),
        ]

        hold = Const(0, 1) if not self._reset else self.reset_pin ^ ("reset" in self._low)
        stable = Signal()
        m.submodules.stable = FFSynchronizer(locked & ~hold, stable, o_domain="boot")
        waited = Signal(self.RESET_LOG2 + 1)
        in_reset = Signal(init=1)
        with m.If(~stable):
            m.d.boot += waited.eq(0)
        with m.Elif(~waited[-1]):
            m.d.boot += waited.eq(waited + 1)
        m.d.boot += in_reset.eq(~waited[-1])
        m.d.comb += ResetSignal("sync").eq(in_reset)

        m.submodules.link = link = SerialLink(
            self._divisor, receive_depth=self._depth, transmit_depth=self._depth
        )
        m.submodules.machine = machine = DomainRenamer("machine")(PlacedMachine())
        m.d.comb += [
            ResetSignal("machine").eq(in_reset | link.machine_reset),
            link.line_in.eq(self.uart_rx),
            self.uart_tx.eq(link.line_out),
            machine.rx.valid.eq(link.words.valid),
            machine.rx.payload.eq(link.words.payload),
            link.words.ready.eq(machine.rx.ready),
            link.answers.valid.eq(machine.tx.valid),
            link.answers.payload.eq(machine.tx.payload),
            machine.tx.ready.eq(link.answers.ready),
        ]

        # About two beats a second; what happened in half a beat is seen in the next.
        megahertz = max(1, round(float(self._plan.output_mhz)))
        beat = Signal((megahertz * 250_000).bit_length())
        tick, busy, seen, shown = Signal(), Signal(), Signal(), Signal()
        m.d.sync += beat.eq(beat + 1)
        m.d.comb += [tick.eq(beat[:-1] == 0), busy.eq(link.words.valid | ~machine.rx.ready)]
        with m.If(tick):
            m.d.sync += [shown.eq(seen | busy), seen.eq(0)]
        with m.Elif(busy):
            m.d.sync += seen.eq(1)
        states = {
            "idle": link.open & ~shown,
            "busy": shown,
            "error": link.faulty,
            "heartbeat": beat[-1],
        }
        for name in self._lights:
            light = getattr(self, f"light_{name}")
            m.d.sync += light.eq(Mux(name in self._low, ~states[name], states[name]))
        for name in self._high:
            m.d.comb += getattr(self, name).eq(1)
        return m


def board_verilog(config: MachineConfig, top: BoardTop) -> str:
    """One Verilog text: the machine and the board's top, module :data:`BOARD_MODULE`."""
    return machine_verilog(config) + "\n" + modules_verilog([(top, BOARD_MODULE)])
