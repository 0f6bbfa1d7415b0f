"""A RISC-V system with the machine in it, in LiteX: processor, memory, console, sparnn.

Memory and console are LiteX's own; on a board the console would be its UART, in the simulation it
is bytes with a handshake.
"""

import importlib.util
import logging
import re
from pathlib import Path

from litex.build.generic_platform import Pins, Subsignal
from litex.build.io import CRG
from litex.build.sim import SimPlatform
from litex.soc.integration.export import get_csr_header, get_mem_header
from litex.soc.integration.soc_core import SoCCore

#: Bytes. The ROM holds the program, the network and the images; main memory what the driver needs.
ROM, STACK, MEMORY = 0x40000, 0x2000, 0x40000

_BYTE = [("valid", 1), ("ready", 1), ("data", 8)]
_PINS = [
    ("sys_clk", 0, Pins(1)),
    ("sys_rst", 0, Pins(1)),
    (
        "serial",
        0,
        *(
            Subsignal(f"{side}_{name}", Pins(bits))
            for side in ("source", "sink")
            for name, bits in _BYTE
        ),
    ),
]

#: LiteX assigns without delay and with one; Verilator takes both as what they mean.
_STYLE = "/* verilator lint_off COMBDLY */\n"


class System(SoCCore):
    """The system. ``folder``: what ``sparnn compile --bus axi`` wrote."""

    def __init__(self, folder):
        platform = SimPlatform("SIM", list(_PINS))
        self.crg = CRG(platform.request("sys_clk"), platform.request("sys_rst"))
        super().__init__(
            platform,
            clk_freq=50e6,
            cpu_type="vexriscv",
            cpu_variant="standard",
            integrated_rom_size=ROM,
            integrated_sram_size=STACK,
            integrated_main_ram_size=MEMORY,
            uart_name="sim",
            with_timer=True,
            ident="",
            ident_version=False,
        )
        _module(folder / "sparnn_litex.py").add_to(self)


def write_system(folder, output):
    """Write the system's Verilog with all of its sources, and its addresses as C headers.

    Parameters
    ----------
    folder: what ``sparnn compile --bus axi`` wrote. output: gets soc.v, csr.h, mem.h.

    The ROM's content is the file ``soc_rom.init`` there, which is read when a run starts.
    """
    logging.disable(logging.WARNING)  # LiteX tells every step
    system = System(Path(folder))
    system.finalize()
    verilog = system.platform.get_verilog(system, name="soc")
    sources = [Path(file) for file, *_ in system.platform.sources]
    texts = [source.read_text(encoding="utf-8") for source in sources]
    # Without LiteX's comments, one of which is the time: equal systems are built once.
    text = re.sub(r"^//.*\n", "", "\n".join([verilog.main_source, *texts]), flags=re.MULTILINE)
    (output / "soc.v").write_text(_STYLE + text, encoding="utf-8")
    for file, content in verilog.data_files.items():
        (output / file).write_text(content, encoding="utf-8")
    csr = get_csr_header(system.csr_regions, system.constants, with_access_functions=False)
    (output / "csr.h").write_text(csr, encoding="utf-8")
    (output / "mem.h").write_text(get_mem_header(system.mem_regions), encoding="utf-8")


def _module(file):
    """A Python file of a compiled folder."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
