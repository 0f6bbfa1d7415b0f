"""A RISC-V system with the machine in it, in LiteX: processor, memory, console, sparnn.

Memory and console are LiteX's own; on a board the console would be its UART, in the simulation it
is bytes with a handshake.
"""

import importlib.util
import logging
import re
from pathlib import Path

from litedram.init import get_sdram_phy_c_header
from litedram.modules import MT48LC16M16
from litedram.phy.model import SDRAMPHYModel
from litex.build.generic_platform import Pins, Subsignal
from litex.build.io import CRG
from litex.build.sim import SimPlatform
from litex.soc.integration.export import get_csr_header, get_mem_header, get_soc_header
from litex.soc.integration.soc_core import SoCCore

#: Bytes. The ROM holds the program, the network and the images; main memory what the driver needs.
ROM, STACK, MEMORY = 0x40000, 0x2000, 0x40000
MHZ = 50

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
    """The system.

    Parameters
    ----------
    folder: what ``sparnn compile --bus axi`` wrote.
    sdram: main memory is LiteDRAM with a model of a chip, as on ULX3S, instead of a RAM.
    """

    def __init__(self, folder, *, sdram=False):
        platform = SimPlatform("SIM", list(_PINS))
        self.crg = CRG(platform.request("sys_clk"), platform.request("sys_rst"))
        super().__init__(
            platform,
            clk_freq=MHZ * 1e6,
            cpu_type="vexriscv",
            cpu_variant="standard",
            integrated_rom_size=ROM,
            integrated_sram_size=STACK,
            integrated_main_ram_size=0 if sdram else MEMORY,
            uart_name="sim",
            with_timer=True,
            ident="",
            ident_version=False,
        )
        if sdram:
            module = MT48LC16M16(MHZ * 1e6, "1:1")
            self.sdrphy = SDRAMPHYModel(module, data_width=16, clk_freq=MHZ * 1e6)
            self.add_sdram("sdram", phy=self.sdrphy, module=module, l2_cache_size=8192)
        litex_module(folder).add_to(self)


def write_system(folder, output, *, sdram=False):
    """Write the system's Verilog with all of its sources, and its addresses as C headers.

    Parameters
    ----------
    folder, sdram: as of :class:`System`. output: gets soc.v and headers.

    The ROM's content is the file ``soc_rom.init`` there, which is read when a run starts.
    """
    logging.disable(logging.WARNING)  # LiteX tells every step
    system = System(Path(folder), sdram=sdram)
    system.finalize()
    write_headers(system, output)
    verilog = system.platform.get_verilog(system, name="soc")
    sources = [Path(file) for file, *_ in system.platform.sources]
    texts = [source.read_text(encoding="utf-8") for source in sources]
    # Without LiteX's comments, one of which is the time: equal systems are built once.
    text = re.sub(r"^//.*\n", "", "\n".join([verilog.main_source, *texts]), flags=re.MULTILINE)
    (output / "soc.v").write_text(_STYLE + text, encoding="utf-8")
    for file, content in verilog.data_files.items():
        (output / file).write_text(content, encoding="utf-8")


def write_headers(system, output):
    """Write addresses and constants of a system, and how its SDRAM is woken up: `generated/*.h`."""
    texts = {
        "csr.h": get_csr_header(system.csr_regions, system.constants),
        "soc.h": get_soc_header(system.constants),
        "mem.h": get_mem_header(system.mem_regions),
    }
    if hasattr(system, "sdram"):
        settings = system.sdram.controller.settings
        texts["sdram_phy.h"] = get_sdram_phy_c_header(settings.phy, settings.timing, settings.geom)
    (output / "generated").mkdir(exist_ok=True)
    for name, text in texts.items():
        (output / "generated" / name).write_text(text, encoding="utf-8")


def litex_module(folder):
    """The module `sparnn_litex` of a compiled folder."""
    spec = importlib.util.spec_from_file_location("sparnn_litex", folder / "sparnn_litex.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
