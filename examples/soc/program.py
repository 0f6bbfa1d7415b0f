"""The program of the system: the network and the images as data, and `zig cc` for RISC-V."""

import re
import subprocess
import sys
from pathlib import Path

import litex
import numpy as np

from sparnn.gen.errors import SparnnError

HERE = Path(__file__).resolve().parent
IMAGE_LEVELS = 16  # a pixel is 0 to 16, which the network takes as 0 to 1
#: The core is RV32IM.
ZIG = ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m", "-O2", "-std=c99")
#: No libraries; the driver has to know how the processor's cache is told.
BARE = ("-nostdlib", "-ffreestanding", "-include", "system.h")
WARNINGS = ("-Wall", "-Wextra", "-Werror")


def write_data(network, system, x):
    """Write data.h and data.c: the network's words and the images, constants of the program."""
    pixels = np.rint(x * IMAGE_LEVELS).astype(np.uint8)
    words = np.fromfile(network / "image.bin", "<u4")
    images, steps, inputs = pixels.shape
    (system / "data.h").write_text(
        f"#include <stdint.h>\n#define IMAGES {images}\n#define STEPS {steps}\n"
        f"extern const uint32_t image[{len(words)}];\n"
        f"extern const uint8_t pixels[IMAGES][{steps * inputs}];\n",
        encoding="utf-8",
    )
    rows = ",\n".join("{" + ",".join(map(str, one)) + "}" for one in pixels.reshape(images, -1))
    (system / "data.c").write_text(
        f'#include "data.h"\nconst uint32_t image[] = {{{",".join(f"{w}u" for w in words)}}};\n'
        f"const uint8_t pixels[][{steps * inputs}] = {{\n{rows}}};\n",
        encoding="utf-8",
    )


def write_program(network, system, x):
    """Compile the program for a system whose addresses are in the folder `generated`.

    Parameters
    ----------
    network: the compiled folder. system: the folder of the system.
    x: images, [images, steps, pixels], 0 to 1.

    Returns
    -------
    The words of the ROM.
    """
    write_data(network, system, x)
    script = (HERE / "link.ld").read_text(encoding="utf-8")
    addresses = (system / "generated" / "mem.h").read_text(encoding="utf-8")
    memories = re.findall(r"#define (\w+_(?:BASE|SIZE)) (\w+?)L?$", addresses, re.MULTILINE)
    for name, value in memories:
        script = script.replace(f"@{name}@", value)
    (system / "link.ld").write_text(script, encoding="utf-8")
    sources = [
        *(HERE / name for name in ("start.S", "main.c", "system.c", "memory.c")),
        system / "data.c",
        network / "sparnn_driver.c",
    ]
    folders = [f"-I{folder}" for folder in (HERE, system, network)]
    folders += ["-isystem", str(Path(litex.__file__).parent / "soc" / "software" / "include")]
    _zig(
        "cc", *ZIG, *WARNINGS, *BARE, *folders, *map(str, sources), "-T", "link.ld",
        "-o", "program.elf", folder=system,
    )  # fmt: skip
    _zig("objcopy", "-O", "binary", "program.elf", "program.bin", folder=system)
    content = (system / "program.bin").read_bytes()
    content += bytes(-len(content) % 4)
    return np.frombuffer(content, "<u4")


def _zig(*arguments, folder):
    command = [sys.executable, "-m", "ziglang", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SparnnError(f"zig {arguments[0]} failed: {done.stderr.strip().splitlines()[0]}")
