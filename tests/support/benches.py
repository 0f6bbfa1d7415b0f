"""Builds Verilog for cocotb, and runs a bench on it."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cocotb_tools.runner import get_runner

from sparnn.sim.verilator.toolchain import find_toolchain

__all__ = ["BENCHES", "build_bench", "run_bench"]

BENCHES = Path(__file__).parents[1] / "system" / "benches"

#: `make cocotb` keeps the results of every bench there, as JUnit XML, and what it has met.
KEPT = "SPARNN_JUNIT"


def build_bench(folder: Path, top: str, sources: tuple[str, ...], *, inside: bool = False) -> Any:
    """Build Verilog files of a folder, in which the simulation stays: the runner that knows it."""
    with _toolchain():
        runner = get_runner("verilator")
        runner.build(
            sources=[folder / source for source in sources],
            hdl_toplevel=top,
            build_dir=_build(folder, top),
            build_args=[
                *("-Wno-lint", "-Wno-style", "-Wno-SYMRSVDWORD"),  # signals of any name
                *(() if inside else ("--no-public-flat-rw", "--public-depth", "1")),
            ],
            timescale=("1ns", "1ns"),
            log_file=folder / "build.log",
        )
    return runner


def run_bench(
    folder: Path,
    bench: str,
    top: str,
    sources: tuple[str, ...],
    *,
    tests: str | None = None,
    parameters: dict[str, str] | None = None,
    inside: bool = False,
    built: Path | None = None,
) -> list[str]:
    """Build Verilog files of a folder and run a module of tests/system/benches on them.

    The bench finds the folder by ``SPARNN_BENCH``. The folder is used once for each ``top``.

    Parameters
    ----------
    tests: a pattern; only the tests that it matches. parameters: of the environment.
    inside: the bench reaches what is inside of the machine, its memories too.
    built: a folder of :func:`build_bench`, which serves many runs; nothing is built then.

    Returns
    -------
    The names of the tests that ran; all have passed.
    """
    runner = get_runner("verilator") if built else build_bench(folder, top, sources, inside=inside)
    with _toolchain() as patch:
        patch.setenv("SPARNN_BENCH", str(folder))
        patch.setenv("COCOTB_LOG_LEVEL", "WARNING")  # the buses' models say much
        for name, value in (parameters or {}).items():
            patch.setenv(name, value)
        reports = Path(os.environ[KEPT]).absolute() if KEPT in os.environ else None
        label = f"{bench}_{top}_{folder.name}"
        if reports is not None:
            reports.mkdir(parents=True, exist_ok=True)
            patch.setenv("SPARNN_CROSSINGS", str(reports / f"{label}.yml"))
        patch.setattr(sys, "path", [str(BENCHES), *sys.path])
        patch.delenv("PYTEST_CURRENT_TEST", raising=False)
        log_file = folder / f"{bench}.log"
        results = runner.test(
            test_module=bench,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=_build(built or folder, top),
            test_dir=folder,
            test_filter=tests,
            log_file=log_file,
        )
        cases = list(ElementTree.parse(results).iter("testcase"))
        if reports is not None:
            shutil.copyfile(results, reports / f"{label}.xml")
        failed = [case.get("name") for case in cases if case.find("failure") is not None]
        log = log_file.read_text(encoding="utf-8")
        assert not failed, f"{failed}\n{log[-8000:]}"
        assert cases, log[-8000:]
        return [str(case.get("name")) for case in cases if case.find("skipped") is None]


def _build(folder: Path, top: str) -> Path:
    return folder / f"build_{top}"


@contextmanager
def _toolchain() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in find_toolchain().environment().items():
            patch.setenv(name, value)
        # The bench's own Python takes most of the time: build fast, and publish the ports alone.
        quick = " OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0 VM_PARALLEL_BUILDS=0"
        quick += f" OBJCACHE={sys.executable}\\ {Path(__file__).with_name('compile_kept.py')}"
        patch.setenv("MAKEFLAGS", os.environ["MAKEFLAGS"] + quick)
        yield patch
