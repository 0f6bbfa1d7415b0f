"""The system on ULX3S, with its SDRAM as main memory, up to the bitstream with open tools.

LiteX's own system of the board gets the machine; Yosys, nextpnr and ecppack are the packages of
YoWASP, which LiteX finds by the names that it knows in a folder of their own.
"""

import argparse
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from litex_boards.targets.radiona_ulx3s import BaseSoC
from program import write_program
from system import litex_module, write_headers

from sparnn.gen.compile import compile_model

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parent / "digits"
NAME = "ulx3s"
#: LiteX calls them so; the packages of YoWASP have a prefix.
TOOLS = ("yosys", "nextpnr-ecp5", "ecppack")
#: Bytes. The ROM holds program, network and images.
ROM = 0x20000


class System(BaseSoC):
    """LiteX's system of the board and the machine. ``folder``: the compiled network's."""

    def __init__(self, folder):
        super().__init__(
            device="LFE5U-85F",
            sys_clk_freq=50e6,
            with_led_chaser=False,
            cpu_type="vexriscv",
            cpu_variant="standard",
            integrated_rom_size=ROM,
            integrated_sram_size=0x2000,
            ident_version=False,
        )
        litex_module(folder).add_to(self)


def build(system, folder):
    """Let LiteX write its scripts, and run them with the programs of YoWASP.

    The sources are copied beside the scripts: those programs do not see every folder.
    """
    system.platform.build(system, build_dir=str(folder), build_name=NAME, run=False)
    script = folder / f"{NAME}.ys"
    text = script.read_text(encoding="utf-8")
    for source in re.findall(r"^read_verilog (\S+)$", text, re.MULTILINE):
        if Path(source).parent != folder:
            shutil.copy(source, folder)
        text = text.replace(source, Path(source).name)
    script.write_text(text, encoding="utf-8")
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name in TOOLS:
        (programs / name).unlink(missing_ok=True)
        found = shutil.which(f"yowasp-{name}") or Path(sys.executable).parent / f"yowasp-{name}"
        (programs / name).symlink_to(found)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    with (folder / "build.log").open("w") as log:
        subprocess.run(
            ["bash", f"build_{NAME}.sh"],
            cwd=folder,
            env=os.environ | {"PATH": path},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
        )


def main():
    parser = argparse.ArgumentParser(prog="python examples/soc/ulx3s.py", description=__doc__)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--images", type=int, default=20, help="held-out images in the ROM")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/soc-ulx3s"))
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    network = output / "network"
    compile_model(
        DIGITS / "lstm.onnx",
        DIGITS / "calibrate.npz",
        network,
        config="ulx3s",
        lanes=arguments.lanes,
        bus="axi",
        bus_bits=32,
    )
    logging.disable(logging.WARNING)
    system = System(network)
    system.finalize()
    write_headers(system, output)
    x = np.load(DIGITS / "test.npz")["x"][: arguments.images]
    rom = write_program(network, output, x)
    system.init_rom("rom", contents=rom.tolist(), auto_size=False)
    gateware = output / "gateware"
    build(system, gateware)
    for line in report((gateware / "build.log").read_text(encoding="utf-8")):
        print(line)
    print(f"written        {gateware / NAME}.bit")
    return 0


def report(log):
    """What nextpnr says of the clock, after routing, and of what is used."""
    used = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)", log, re.MULTILINE)
    clocks = re.findall(r"Max frequency for clock\s+'(\S+)': ([\d.]+) MHz", log)
    return [
        *(f"{name:<14} {value} MHz" for name, value in dict(clocks).items()),
        *(f"{name:<14} {count} of {most}" for name, count, most in used if int(count)),
    ]


if __name__ == "__main__":
    sys.exit(main())
