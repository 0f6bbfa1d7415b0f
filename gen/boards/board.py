"""What is to be known of a board beside what amaranth-boards says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sparnn.gen.targets import TARGETS, Device, Target
from sparnn.hdl.board.clock import ClockPlan, plan_clock
from sparnn.hdl.board.top import BoardTop
from sparnn.hdl.link.protocol import uart_divisor
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["Board", "Pin", "SerialBoard", "SystemBoard"]


@dataclass(frozen=True)
class Pin:
    """A pin of amaranth-boards: resource, number, name within the resource."""

    resource: str
    number: int = 0
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board: its FPGA, and the machine that it is for.

    Members
    -------
    name, title: for the command line, for people.
    family, device: the FPGA, of gen/targets.
    machine_mhz: the machine's clock.
    machine: parameters of :class:`~sparnn.hdl.sparse.config.MachineConfig` for a preset of the
        board's name. The memories are the least; compile enlarges them to what the network needs.
    """

    name: str
    title: str
    family: str
    device: str
    machine_mhz: float
    machine: Mapping[str, int]

    @property
    def structure(self) -> dict[str, int]:
        """Of :attr:`machine`, what is not the size of a memory."""
        return {
            name: value
            for name, value in self.machine.items()
            if not name.endswith("_depth") and name not in ("columns", "rows")
        } | {"queue_depth": self.machine.get("queue_depth", SparseConfig.queue_depth)}

    @property
    def target(self) -> Target:
        """The FPGA's family."""
        return TARGETS[self.family]

    @property
    def part(self) -> Device:
        """The FPGA."""
        return self.target.devices[self.device]


@dataclass(frozen=True, kw_only=True)
class SystemBoard(Board):
    """A board whose FPGA has a processor: the machine stands on its bus (``--bus axi``).

    Members
    -------
    files: the board in the names of Vivado's board files.
    """

    files: str


@dataclass(frozen=True, kw_only=True)
class SerialBoard(Board):
    """A board on which the machine is behind a UART: what is to be known beside amaranth-boards.

    Members
    -------
    family: ecp5, ice40, gowin or xilinx7.
    platform: module and class of amaranth-boards.
    extra: attribute of the class with more resources, such as a plugged-on part.
    clock, clock_mhz: the oscillator, of which the PLL makes ``machine_mhz``.
    uart_rx, uart_tx: as the FPGA sees them.
    lights: state (:data:`~sparnn.hdl.board.top.LIGHTS`) -> pin.
    reset: a button.
    low: those of ``lights`` and "reset" that are on when low.
    high: name -> pin that has to be high.
    pad: the clock comes in on the PLL's pad.
    depth: words in each queue of the link.
    baud: of the link.
    flash: the command that loads a bitstream.
    """

    platform: str
    clock: Pin
    clock_mhz: float
    lights: Mapping[str, Pin]
    uart_rx: Pin = Pin("uart", 0, "rx")
    uart_tx: Pin = Pin("uart", 0, "tx")
    extra: str = ""
    reset: Pin | None = None
    low: tuple[str, ...] = ()
    high: Mapping[str, Pin] = field(default_factory=dict)
    pad: bool = False
    depth: int = 512
    baud: int = 1_000_000
    flash: str = ""

    def ports(self) -> dict[str, Pin]:
        """Port of the top -> pin."""
        pins = {"clock": self.clock, "uart_rx": self.uart_rx, "uart_tx": self.uart_tx}
        pins |= {f"light_{name}": pin for name, pin in self.lights.items()}
        pins |= self.high
        if self.reset is not None:
            pins["reset_pin"] = self.reset
        return pins

    def plan(self, mhz: float | None = None) -> ClockPlan:
        """The machine's clock.

        Raises
        ------
        ConfigurationError: the PLL cannot make it.
        """
        return plan_clock(self.family, self.clock_mhz, mhz or self.machine_mhz)

    def top(self, mhz: float | None = None, baud: int | None = None) -> BoardTop:
        """The board's top.

        Raises
        ------
        ConfigurationError: the PLL cannot make the clock, or the clock not the baud rate.
        """
        plan = self.plan(mhz)
        return BoardTop(
            plan,
            uart_divisor(float(plan.output_mhz) * 1e6, baud or self.baud),
            depth=self.depth,
            pad=self.pad,
            lights=tuple(self.lights),
            low=self.low,
            reset=self.reset is not None,
            high=tuple(self.high),
        )
