"""`--bus`: what stands around the machine in a system, and what software needs to know of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from sparnn.gen.boards.vivado import ZYNQ_SCRIPT, zynq_script
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.fusesoc import FUSESOC, fusesoc_core
from sparnn.gen.output.ipxact import IPXACT, ipxact_component
from sparnn.gen.output.litex import LITEX, litex_module
from sparnn.gen.output.registers import c_header, markdown_page, system_rdl
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog
from sparnn.hdl.machine import MachineConfig

__all__ = ["BusChoice", "bus_choice"]


@dataclass(frozen=True)
class BusChoice:
    """A bus that was asked for. ``geometry``: of memory, where the machine reads it."""

    bus: Bus
    geometry: MemoryGeometry

    @property
    def options(self) -> dict[str, str | int]:
        """For the manifest."""
        given: dict[str, str | int] = {"bus": self.bus.value}
        if self.bus.jobs:
            given["bus_bits"] = self.geometry.data_bits
        return given

    def write(self, folder: Path, config: MachineConfig, *, bench: bool = False) -> None:
        """Write what stands beside the machine's Verilog: the wrapper's Verilog, the registers, and
        the component as other tools take it. ``bench``: the folder gets a network and its bench."""
        geometry, weights = self.geometry, bool(config.stream_bits)
        if weights and (not self.bus.jobs or geometry.data_bits != config.stream_bits):
            raise SparnnError(
                f"stream_bits = {config.stream_bits}: the machine reads weights through a master "
                f"of so many bits; use --bus axi --bus-bits {config.stream_bits}"
            )
        if weights:  # a stream without an end, so more of it has to be under way
            geometry = replace(geometry, burst=32, outstanding=8)
        texts = {
            f"{BUS_MODULE}.v": bus_verilog(BusMachine(config, self.bus, geometry)),
            "sparnn_regs.h": c_header(self.bus, weights),
            "sparnn_regs.rdl": system_rdl(self.bus, weights),
            "registers.md": markdown_page(self.bus, weights),
            IPXACT: ipxact_component(self.bus, config.link_words, self.geometry, weights),
            FUSESOC: fusesoc_core(bench=bench),
        }
        if self.bus is Bus.AXI:
            texts[LITEX] = litex_module(self.geometry)
            texts[ZYNQ_SCRIPT] = zynq_script()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")


def bus_choice(name: str | None, bits: int | None = None) -> BusChoice | None:
    """What ``--bus`` and ``--bus-bits`` mean; None where there is none.

    Raises
    ------
    SparnnError: there is no such bus, or it has no width to choose.
    ConfigurationError: an impossible width.
    """
    if name is None:
        if bits is not None:
            raise SparnnError(f"--bus-bits {bits} needs a bus: add --bus axi")
        return None
    names = [bus.value for bus in Bus]
    if name not in names:
        raise SparnnError(f"--bus {name} is unknown: use one of {', '.join(names)}")
    bus = Bus(name)
    if bits is None:
        return BusChoice(bus, MemoryGeometry())
    if not bus.jobs:
        raise SparnnError(f"--bus {name} reads no memory: leave out --bus-bits {bits}")
    return BusChoice(bus, MemoryGeometry(data_bits=bits))
