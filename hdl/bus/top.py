"""The machine in a system: registers, and memory or streams, with plain AXI names."""

from enum import Enum
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, Mux, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.host.protocol import IMAGE_VERSION, identity
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.placed import PlacedMachine
from sparnn.hdl.verilog import modules_verilog

from .axi_lite import AXI_LITE, AxiLite
from .axi_read import AxiReader, axi_read_ports
from .axi_stream import StreamPort, axi_stream_ports
from .axi_write import AxiWriter, axi_write_ports
from .geometry import MemoryGeometry
from .job_counters import JobCounters
from .jobs import JobEngine
from .registers import RegisterBlock
from .table import BUS_VERSION, MAGIC
from .weight_reader import ReadShare, WeightReader
from .wishbone import WISHBONE, Wishbone

__all__ = ["BUS_MODULE", "VLNV", "Bus", "BusMachine", "bus_ports", "bus_verilog"]

BUS_MODULE = "sparnn_bus"

#: What systems know the component by: vendor, library, name, version. Software that fits one
#: version of the registers fits all machines of that version.
VLNV = ("sparnn", "ip", BUS_MODULE, f"{BUS_VERSION}.0")

#: Jobs that may wait while one is at work.
QUEUE = 1


class Bus(Enum):
    """What a system attaches the machine by."""

    AXI = "axi"  #: registers behind AXI4-Lite, jobs from memory through an AXI4 master
    AXI_STREAM = "axi-stream"  #: registers behind AXI4-Lite, packets as AXI4-Stream
    WISHBONE = "wishbone"  #: registers behind Wishbone, jobs from memory through an AXI4 master

    @property
    def jobs(self) -> bool:
        return self is not Bus.AXI_STREAM


def bus_ports(
    bus: Bus, link_words: int, geometry: MemoryGeometry
) -> dict[str, dict[str, wiring.Member]]:
    """The ports of the buses: for each the prefix of its ports, and these without it.

    Parameters
    ----------
    link_words: packet words that the machine takes at once. geometry: of the memory.
    """
    interfaces = {"wb": WISHBONE} if bus is Bus.WISHBONE else {"s_axi": AXI_LITE}
    if bus.jobs:
        return interfaces | {"m_axi": axi_write_ports(geometry) | axi_read_ports(geometry)}
    streams = axi_stream_ports(link_words)
    return interfaces | {
        prefix: {
            name.removeprefix(f"{prefix}_"): member
            for name, member in streams.items()
            if name.startswith(prefix)
        }
        for prefix in ("s_axis", "m_axis")
    }


class BusMachine(wiring.Component):
    """Everything between a system's buses and the machine (docs/interface.md). One clock.

    Latency and flow control: those of the buses; see each adapter.

    Parameters
    ----------
    config: of the machine, whose module :func:`~sparnn.hdl.emit.machine_verilog` emits.
    bus: what it is attached by. geometry: of the memory, where there are jobs.

    Members
    -------
    aclk, aresetn: clock, and reset, synchronous and low. irq: high while an enabled interrupt is.
    s_axi_*: AXI4-Lite slave, or wb_*: Wishbone slave, the registers.
    m_axi_*: AXI4 master; or s_axis_*, m_axis_*: the streams.
    """

    def __init__(
        self, config: MachineConfig, bus: Bus = Bus.AXI, geometry: MemoryGeometry | None = None
    ) -> None:
        self._config, self._bus = config, bus
        self._geometry = geometry or MemoryGeometry()
        if config.stream_bits:
            assert bus.jobs
            assert self._geometry.data_bits == config.stream_bits
        ports: dict[str, wiring.Member] = {"aclk": In(1), "aresetn": In(1), "irq": Out(1)}
        for prefix, members in bus_ports(bus, config.link_words, self._geometry).items():
            ports |= {f"{prefix}_{name}": member for name, member in members.items()}
        super().__init__(ports)

    @property
    def config(self) -> MachineConfig:
        return self._config

    @property
    def bus(self) -> Bus:
        return self._bus

    @property
    def geometry(self) -> MemoryGeometry:
        return self._geometry

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, bus = self._config, self._bus
        m.domains.sync = ClockDomain("sync", local=True)
        m.domains.machine = ClockDomain("machine", local=True)
        m.submodules.registers = registers = RegisterBlock(
            jobs=bus.jobs, weights=bool(config.stream_bits)
        )
        if bus is Bus.WISHBONE:
            m.submodules.control = wishbone = Wishbone()
            self._name(m, wishbone, WISHBONE, "wb")
            wiring.connect(m, wishbone.access, registers.access)
        else:
            m.submodules.control = axi_lite = AxiLite()
            self._name(m, axi_lite, AXI_LITE, "s_axi")
            wiring.connect(m, axi_lite.access, registers.access)
        port = self._jobs(m, registers) if bus.jobs else self._streams(m, registers)

        m.submodules.machine = machine = DomainRenamer("machine")(
            PlacedMachine(config.link_words, config.stream_bits, config.parity)
        )
        wiring.connect(m, port.rx, machine.rx)
        wiring.connect(m, machine.tx, port.tx)
        if config.stream_bits:
            self._share_master(m, registers, port, machine)
        if config.parity:
            m.d.comb += port.wrong.eq(machine.wrong)
            with m.If(machine.wrong):
                m.d.sync += registers.parity_value.eq(registers.parity_value + 1)
        m.d.comb += [
            ClockSignal("sync").eq(self.aclk),
            ResetSignal("sync").eq(~self.aresetn),
            ClockSignal("machine").eq(self.aclk),
            ResetSignal("machine").eq(port.machine_reset),
        ]

        m.d.comb += [
            registers.magic_value.eq(MAGIC),
            registers.version_bus.eq(BUS_VERSION),
            registers.version_image.eq(IMAGE_VERSION),
            registers.identity_value.eq(identity(config)),
            registers.capabilities_jobs.eq(bus.jobs),
            registers.capabilities_parity.eq(config.parity),
            registers.capabilities_link_words.eq(config.link_words),
            registers.capabilities_data_bits.eq(self._geometry.data_bits if bus.jobs else 0),
            registers.capabilities_queue.eq(QUEUE if bus.jobs else 0),
            registers.control_reset_ready.eq(1),
            port.soft_reset.eq(registers.control_reset),
            registers.status_busy.eq(port.busy),
            registers.status_failed.eq(port.failed),
            registers.status_resetting.eq(port.resetting),
            registers.status_jobs.eq(port.jobs),
            registers.error_code.eq(port.fault),
            registers.error_word_value.eq(port.error_word),
            registers.irq_status_done_set.eq(port.done),
            registers.irq_status_error_set.eq(port.erred),
        ]
        m.d.sync += self.irq.eq(
            (registers.irq_status_done & registers.irq_enable_done)
            | (registers.irq_status_error & registers.irq_enable_error)
        )
        return m

    def _streams(self, m: Module, registers: RegisterBlock) -> StreamPort:
        m.submodules.port = port = StreamPort(
            self._config.link_words, parity=bool(self._config.parity)
        )
        for name, member in axi_stream_ports(self._config.link_words).items():
            self._join(m, name, getattr(port, name), member)
        return port

    def _jobs(self, m: Module, registers: RegisterBlock) -> JobEngine:
        config, geometry = self._config, self._geometry
        m.submodules.reader = self._reader = reader = AxiReader(geometry)
        m.submodules.writer = writer = AxiWriter(geometry)
        m.submodules.jobs = jobs = JobEngine(config, geometry)
        if not config.stream_bits:
            self._name(m, reader, axi_read_ports(geometry), "m_axi")
        self._name(m, writer, axi_write_ports(geometry), "m_axi")
        wiring.connect(m, reader.words_out, jobs.read_words)
        wiring.connect(m, jobs.write_words, writer.words_in)
        m.d.comb += [
            reader.start.eq(jobs.read_start),
            reader.address.eq(jobs.read_address),
            reader.words.eq(jobs.read_count),
            reader.stop.eq(jobs.read_stop),
        ]
        if not config.stream_bits:
            m.d.comb += [
                jobs.read_idle.eq(reader.idle),
                jobs.read_beat.eq(reader.beat),
                jobs.read_error.eq(reader.error),
                jobs.read_error_address.eq(reader.error_address),
            ]
        m.d.comb += [
            writer.start.eq(jobs.write_start),
            writer.address.eq(jobs.write_address),
            writer.finish.eq(jobs.write_finish),
            writer.drop.eq(jobs.write_drop),
            jobs.write_idle.eq(writer.idle),
            jobs.write_beat.eq(writer.beat),
            jobs.write_error.eq(writer.error),
            jobs.write_error_address.eq(writer.error_address),
        ]

        m.d.comb += [
            registers.control_start_ready.eq(jobs.ready),
            jobs.start.eq(registers.control_start),
            registers.status_ready.eq(jobs.ready),
            jobs.words.eq(registers.source_words_value),
            jobs.capacity.eq(registers.capacity_value),
            jobs.timeout.eq(registers.timeout_value),
            registers.written_value.eq(jobs.written),
            registers.error_address_lo_value.eq(jobs.error_address[:32]),
            registers.error_address_hi_value.eq(jobs.error_address[32:]),
            registers.error_part.eq(jobs.part),
            jobs.load.eq(registers.states_load),
            jobs.save.eq(registers.states_save),
            jobs.map_words.eq(registers.map_words_value),
            jobs.state_words.eq(registers.state_words_value),
        ]
        for name in ("source", "destination", "state_in", "state_out", "map"):
            halves = (getattr(registers, f"{name}_{half}_value") for half in ("lo", "hi"))
            m.d.comb += getattr(jobs, name).eq(Cat(*halves))
        m.d.comb += [
            getattr(registers, f"{name}_value").eq(getattr(jobs, name))
            for name in JobCounters.NAMES
        ]
        return jobs

    def _share_master(
        self, m: Module, registers: RegisterBlock, jobs: Any, machine: PlacedMachine
    ) -> None:
        """The read master of jobs is that of weights as well."""
        geometry = self._geometry
        reader = self._reader
        m.submodules.weights = weights = WeightReader(geometry)
        m.submodules.share = share = ReadShare(geometry)
        self._name(m, share, axi_read_ports(geometry), "m_axi")
        for number, one in enumerate((reader, weights)):
            for name, member in axi_read_ports(geometry).items():
                inside, outside = getattr(one, name), getattr(share, f"of{number}_{name}")
                m.d.comb += inside.eq(outside) if member.flow is In else outside.eq(inside)
        wiring.connect(m, machine.requests, weights.requests)
        wiring.connect(m, weights.words, machine.words)
        m.d.comb += [
            weights.base.eq(Cat(registers.weights_lo_value, registers.weights_hi_value)),
            # A machine that is being reset may still ask.
            weights.stop.eq(jobs.read_stop | jobs.machine_reset),
            jobs.damaged.eq(machine.damaged),
            jobs.read_idle.eq(reader.idle & weights.idle),
            jobs.read_beat.eq(reader.beat | weights.beat),
            jobs.read_error.eq(reader.error | weights.error),
            jobs.read_error_address.eq(
                Mux(reader.error, reader.error_address, weights.error_address)
            ),
        ]

    def _name(
        self,
        m: Module,
        component: wiring.Component,
        ports: dict[str, wiring.Member],
        prefix: str,
    ) -> None:
        """A component's ports are ours, with a prefix."""
        for name, member in ports.items():
            self._join(m, f"{prefix}_{name}", getattr(component, name), member)

    def _join(self, m: Module, name: str, inside: Any, member: wiring.Member) -> None:
        ours = getattr(self, name)
        m.d.comb += inside.eq(ours) if member.flow is In else ours.eq(inside)


def bus_verilog(top: BusMachine) -> str:
    """The Verilog of module :data:`BUS_MODULE`, which places the machine's own module."""
    return modules_verilog([(top, BUS_MODULE)])
