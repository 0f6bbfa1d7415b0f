"""Builds the compiled simulation of a machine's Verilog, and keeps it.

A build is named by the hash of everything that it is made from, and lies in a cache of the user:
$SPARNN_CACHE, else $XDG_CACHE_HOME/sparnn, else ~/.cache/sparnn.

Amaranth gives every register and memory an initial value, so there are no unknowns, and Verilator
may treat them as it likes. Equal parts should become one piece of C++ that runs many times. A
machine of several clusters is built hierarchically, so that the cluster is translated once; a lane
stays a class of its own, in one piece, and all lanes run the same function: it stays in the
processor's instruction cache (a 1024-lane machine runs up to twice as fast).
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import SimulationError
from .progress import progress
from .toolchain import Toolchain, find_toolchain

__all__ = ["DRIVER", "KEPT_BUILDS", "build_driver", "cache_folder"]

DRIVER = Path(__file__).parent / "driver" / "driver.cpp"

KEPT_BUILDS = 64
"""Builds that stay in the cache; older ones go when a new one comes, but none of the last hour."""

_JOBS = 2
_FLAGS = [
    *("--cc", "--exe", "--prefix", "Vsparnn"),
    *("--Mdir", "obj", "-o", "driver", "-O3", "--no-timing"),
    *("--x-assign", "fast", "--x-initial", "fast", "-Wno-lint", "-Wno-style"),
]
# A cluster's ready follows from its valid outside of it: to the hierarchy that looks like a loop.
_HIERARCHICAL = ["--hierarchical", "-Wno-UNOPTFLAT"]
# Verilator's data-flow passes write each lane's function differently, so that none could be shared.
_SHARED_LANES = ["-fno-dfg"]
_CLUSTER = re.compile(rb"^module sparnn_cluster\([^;]*\);", re.MULTILINE)
_CLUSTER_COPY = re.compile(rb"^  sparnn_cluster ", re.MULTILINE)
# The same for the dense machine: banks and post slices are translated once, what they are made of
# is kept as functions.
_TILE_BLOCK = re.compile(rb"^module sparnn_(?:bank|post_slice)\([^;]*\);", re.MULTILINE)
_TILE_COPY = re.compile(rb"^  sparnn_(?:bank|post_slice) ", re.MULTILINE)
_TILE_PART = re.compile(
    rb"^module sparnn_(?:vector_lane|vector_add_\w+|tile_\w+)\([^;]*\);", re.MULTILINE
)
_LANE = re.compile(rb"^module sparnn_lane\([^;]*\);", re.MULTILINE)
# One-bit inputs differ from lane to lane; public ones stay variables of the lane instead of
# expressions of the cluster's, which would make each lane's function another one.
_LANE_BODY = re.compile(rb"^module sparnn_lane\(.*?^endmodule", re.MULTILINE | re.DOTALL)
_LANE_INPUT = re.compile(rb"^  input (?!clk;|rst;)\w+(?=;$)", re.MULTILINE)
_LANE_PART = re.compile(rb"^module \\sparnn_lane\.\S+ \([^;]*\);", re.MULTILINE)
_WAVES = ["--trace-vcd", "-CFLAGS", "-DSPARNN_WAVES"]
# A sparse lane is compiled once however many there are, so the best code costs little time. The
# dense machine's blocks are long, and fill most of a build.
_OPTIMIZE_LANES, _OPTIMIZE_OTHERS = "OPT_FAST=-O3", "OPT_FAST=-O1"
_MAKE = ("OPT_SLOW=-O0", "OPT_GLOBAL=-O2")


def cache_folder() -> Path:
    """Where builds are kept."""
    own = os.environ.get("SPARNN_CACHE", "")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(shared) if shared else Path.home() / ".cache") / "sparnn"


def build_driver(
    verilog: Path, *, waves: bool = False, driver: Path = DRIVER, top: str = "sparnn"
) -> Path:
    """The driver program for some Verilog with the top module `top`.

    Parameters
    ----------
    waves
        Build it so that `--waves` can record; it is slower.
    driver
        Its C++ source, which sees the top module as the class `Vsparnn`.

    Returns
    -------
    The program, from the cache where it is there.

    Raises
    ------
    SimulationError
        A tool is missing, the Verilog cannot be read or built, or the cache cannot be written.
    """
    toolchain = find_toolchain()
    try:
        text = Path(verilog).read_bytes()
    except OSError as error:
        raise SimulationError(
            f"{verilog} cannot be read ({error.strerror}): compile the model again"
        ) from None
    builds = cache_folder() / "verilated"
    key = _key(toolchain, text, driver.read_bytes(), repr((top, waves)).encode())
    program = builds / key / "driver"
    try:
        builds.mkdir(parents=True, exist_ok=True)
        with _locked(builds / f"{key}.lock"):
            if not program.is_file():
                _build(toolchain, text, waves, builds, program, driver, top)
                _drop_old(builds)
            os.utime(program.parent)
    except OSError as error:
        raise SimulationError(
            f"the cache {builds} cannot be written ({error.strerror or error}): set SPARNN_CACHE "
            "to a writable folder"
        ) from error
    return program


def _key(toolchain: Toolchain, *what: bytes) -> str:
    """A name for what these tools make of ``what``."""
    version = subprocess.run(
        [*toolchain.compiler.split(), "--version"], capture_output=True, check=False
    ).stdout
    digest = hashlib.sha256()
    parts = [
        *what,
        Path(__file__).read_bytes(),  # the flags, and what is done to the text
        toolchain.compiler.encode(),
        version,
        (toolchain.root / "include" / "verilated_config.h").read_bytes(),
    ]
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:32]


@contextmanager
def _kept_runtime(toolchain: Toolchain, objects: Path, kind: tuple[bool, ...]) -> Iterator[None]:
    """Verilator's own library, which takes longer to compile than a small machine, is kept.

    Parameters
    ----------
    objects: the folder that is being built in. kind: what the library's flags depend on.
    """
    kept = cache_folder() / "runtime" / _key(toolchain, repr(kind).encode())
    for file in kept.glob("*.o"):
        shutil.copyfile(file, objects / file.name)  # newer than its source, so it stays
    yield
    made = list(objects.glob("verilated*.o"))
    if not kept.is_dir() and made:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as aside:
            whole = Path(aside) / "whole"
            whole.mkdir()
            for file in made:
                shutil.copyfile(file, whole / file.name)
            with suppress(OSError):  # another build was first
                whole.rename(kept)


def _build(
    toolchain: Toolchain,
    text: bytes,
    waves: bool,
    builds: Path,
    program: Path,
    driver: Path,
    top: str,
) -> None:
    """Build aside, then rename."""
    with tempfile.TemporaryDirectory(dir=builds, prefix="build-") as aside:
        # Waves need one model, so that one file holds them all.
        clusters = not waves and len(_CLUSTER_COPY.findall(text)) > 1
        hierarchical = clusters
        if clusters:
            text = _CLUSTER.sub(rb"\g<0>\n  /*verilator hier_block*/", text)
        if not waves and len(_TILE_COPY.findall(text)) > 2:
            hierarchical = True
            text = _TILE_BLOCK.sub(rb"\g<0>\n  /*verilator hier_block*/", text)
        text = _TILE_PART.sub(rb"\g<0>\n  /*verilator no_inline_module*/", text)
        text = _LANE_BODY.sub(
            lambda lane: _LANE_INPUT.sub(rb"\g<0> /*verilator public_flat_rd*/", lane[0]), text
        )
        text = _LANE.sub(rb"\g<0>\n  /*verilator no_inline_module*/", text)
        text = _LANE_PART.sub(rb"\g<0>\n  /*verilator inline_module*/", text)
        (Path(aside) / "sparnn.v").write_bytes(text)
        # Copied, so that the folder's own path, with whatever it holds, is never on a command line.
        shutil.copyfile(driver, Path(aside) / "driver.cpp")
        translate = [
            str(toolchain.verilator),
            *("--top-module", top, *_FLAGS),
            *(_WAVES if waves else _HIERARCHICAL if hierarchical else []),
            *(_SHARED_LANES if clusters else []),
            *("-j", str(_JOBS), "sparnn.v", "driver.cpp"),
        ]
        # Not with --build: the makefile of a hierarchy names two products of a block's translation
        # in one rule, and a parallel make that needs both translates the block twice at once.
        makefile = "Vsparnn_hier.mk" if hierarchical else "Vsparnn.mk"
        target = ["hier_build"] if hierarchical else []
        compile_all = [
            *(os.environ.get("MAKE", "make"), "-C", "obj", "-f", makefile, f"-j{_JOBS}"),
            _OPTIMIZE_LANES if _LANE.search(text) else _OPTIMIZE_OTHERS,
            *(*_MAKE, *target),
        ]
        def run(command: list[str]) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command,
                cwd=aside,
                env=toolchain.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )

        with progress("Building the simulation"):
            done = run(translate)
            if not done.returncode:
                kind = (waves, hierarchical)
                with _kept_runtime(toolchain, Path(aside) / "obj", kind):
                    done = run(compile_all)
        built = Path(aside) / "obj" / "driver"
        if done.returncode or not built.is_file():
            raise SimulationError(
                f"the simulation cannot be built: {_first_error(done.stdout)} (run sparnn doctor; "
                "if it finds nothing, this is a defect of sparnn)"
            )
        finished = Path(aside) / "finished"
        finished.mkdir()
        built.replace(finished / "driver")
        finished.replace(program.parent)


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in lines:
        if re.search(r"%Error|error:|\*\*\*", line):
            return line
    return lines[-1] if lines else "Verilator stopped without a word"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One build of the same thing at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _drop_old(builds: Path) -> None:
    folders = [path for path in builds.iterdir() if path.is_dir()]
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in folders[KEPT_BUILDS:]:
        if time.time() - path.stat().st_mtime > 3600:
            shutil.rmtree(path, ignore_errors=True)
