"""A compiler in front of the compiler, for make's OBJCACHE: keeps what it made of a library's file.

Verilator's own library takes longer to compile than a small machine does, and stays the same.
Arguments: the compiler and what it is given; the last one is the source, after ``-o`` the object.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sparnn.sim.verilator.cache import kept, key_of


def main() -> int:
    command = sys.argv[1:]
    source = Path(command[-1])
    if "-o" not in command or not source.name.startswith("verilated"):
        return subprocess.run(command, check=False).returncode
    target = Path(command[command.index("-o") + 1])
    key = key_of(*command, source.read_bytes(), os.environ.get("CXX", ""))

    def compile_it(folder: Path) -> None:
        subprocess.run(command, check=True)
        shutil.copyfile(target, folder / "object.o")

    shutil.copyfile(kept("bench-objects", key, compile_it) / "object.o", target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
