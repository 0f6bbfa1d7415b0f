"""Builds the compiled simulation of a machine's Verilog, and keeps it.

A build lies in the user's cache (:mod:`~sparnn.sim.verilator.cache`), named by the hash of
everything that it is made from.

Amaranth gives every register and memory an initial value, so there are no unknowns, and Verilator
may treat them as it likes. Equal parts should become one piece of C++ that runs many times. A
machine of several clusters is built hierarchically, so that the cluster is translated once; a lane
stays a class of its own, in one piece, and all lanes run the same function: it stays in the
processor's instruction cache (a 1024-lane machine runs up to twice as fast).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from sparnn.sim.errors import SimulationError
from sparnn.sim.progress import progress

from .cache import cache_folder, drop_old, kept, key_of
from .toolchain import Toolchain, find_toolchain

__all__ = ["DRIVER", "KEPT_BUILDS", "build_driver"]

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
_COVERAGE = ["--coverage-line", "--coverage-toggle"]
# A sparse lane is compiled once however many there are, so the best code costs little time. The
# dense machine's blocks are long, and fill most of a build.
_OPTIMIZE_LANES, _OPTIMIZE_OTHERS = "OPT_FAST=-O3", "OPT_FAST=-O1"
_MAKE = ("OPT_SLOW=-O0", "OPT_GLOBAL=-O2")
# For short runs: a third of the time to build, and several times as long to run. Reading headers
# would fill half of it, so there is one file, and Verilator's headers are compiled once and kept
# beside its library.
_QUICK = ("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0", "VM_PARALLEL_BUILDS=0")
_HEADERS = "headers.h"


def _quick() -> bool:
    return os.environ.get("SPARNN_BUILD", "") == "quick"


def _optimization(text: bytes) -> list[str]:
    """What make is told; `SPARNN_BUILD=quick` asks for builds that are quick to make."""
    if _quick():
        return list(_QUICK)
    return [_OPTIMIZE_LANES if _LANE.search(text) else _OPTIMIZE_OTHERS, *_MAKE]


def build_driver(
    verilog: Path,
    *,
    waves: bool = False,
    coverage: bool = False,
    driver: Path = DRIVER,
    top: str = "sparnn",
) -> Path:
    """The driver program for some Verilog with the top module `top`.

    Parameters
    ----------
    waves
        Build it so that `--waves` can record; it is slower.
    coverage
        Build it so that `--coverage` can say which lines, branches and bits were reached.
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
    more = [*(_WAVES if waves else ()), *(_COVERAGE if coverage else ())]
    how = repr((top, more, _optimization(text))).encode()
    key = _key(toolchain, text, driver.read_bytes(), how)
    folder = kept(
        "verilated", key, lambda folder: _build(toolchain, text, more, folder, driver, top)
    )
    drop_old(folder.parent, KEPT_BUILDS)
    return folder / "driver"


def _key(toolchain: Toolchain, *what: bytes) -> str:
    """A name for what these tools make of ``what``."""
    version = subprocess.run(
        [*toolchain.compiler.split(), "--version"], capture_output=True, check=False
    ).stdout
    return key_of(
        *what,
        Path(__file__).read_bytes(),  # the flags, and what is done to the text
        toolchain.compiler,
        version,
        (toolchain.root / "include" / "verilated_config.h").read_bytes(),
    )


def _build(
    toolchain: Toolchain, text: bytes, more: list[str], folder: Path, driver: Path, top: str
) -> None:
    """Write the program ``driver`` into a folder; ``more``: what it has beyond a plain run."""
    build = folder / "build"
    objects = build / "obj"
    build.mkdir()
    # Waves and coverage need one model, so that one file holds them all.
    clusters = not more and len(_CLUSTER_COPY.findall(text)) > 1
    hierarchical = clusters
    if clusters:
        text = _CLUSTER.sub(rb"\g<0>\n  /*verilator hier_block*/", text)
    if not more and len(_TILE_COPY.findall(text)) > 2:
        hierarchical = True
        text = _TILE_BLOCK.sub(rb"\g<0>\n  /*verilator hier_block*/", text)
    text = _TILE_PART.sub(rb"\g<0>\n  /*verilator no_inline_module*/", text)
    text = _LANE_BODY.sub(
        lambda lane: _LANE_INPUT.sub(rb"\g<0> /*verilator public_flat_rd*/", lane[0]), text
    )
    text = _LANE.sub(rb"\g<0>\n  /*verilator no_inline_module*/", text)
    text = _LANE_PART.sub(rb"\g<0>\n  /*verilator inline_module*/", text)
    (build / "sparnn.v").write_bytes(text)
    # Copied, so that the folder's own path, with whatever it holds, is never on a command line.
    shutil.copyfile(driver, build / "driver.cpp")
    translate = [
        str(toolchain.verilator),
        *("--top-module", top, *_FLAGS),
        *(more or (_HIERARCHICAL if hierarchical else [])),
        *(_SHARED_LANES if clusters else []),
        *("-j", str(_JOBS), "sparnn.v", "driver.cpp"),
    ]
    # Not with --build: the makefile of a hierarchy names two products of a block's translation
    # in one rule, and a parallel make that needs both translates the block twice at once.
    makefile = "Vsparnn_hier.mk" if hierarchical else "Vsparnn.mk"
    target = ["hier_build"] if hierarchical else []
    compile_all = [
        *(os.environ.get("MAKE", "make"), "-C", "obj", "-f", makefile, f"-j{_JOBS}"),
        *_optimization(text),
        *target,
    ]

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=build,
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
            # Verilator's own library takes longer to compile than a small machine.
            how = repr((more, hierarchical, _optimization(text)))
            runtime = _key(toolchain, how.encode())
            library = cache_folder() / "runtime" / runtime
            _copy(library.glob("*.o"), objects)  # newer than their sources, so they stay
            if _quick():
                compile_all += _with_headers(objects, library, run)
            done = run(compile_all)
    built = objects / "driver"
    if done.returncode or not built.is_file():
        raise SimulationError(
            f"the simulation cannot be built: {_first_error(done.stdout)} (run sparnn doctor; "
            "if it finds nothing, this is a defect of sparnn)"
        )
    kept("runtime", runtime, lambda folder: _copy(_runtime(objects), folder))
    built.replace(folder / "driver")
    shutil.rmtree(build)


def _with_headers(
    objects: Path, library: Path, run: Callable[[list[str]], subprocess.CompletedProcess[str]]
) -> list[str]:
    """What make is told so that each file begins with the compiled headers. A compiler that cannot
    take them reads the headers themselves."""
    compiled = f"{_HEADERS}.gch"
    (objects / _HEADERS).write_text("#include <verilated.h>\n", encoding="utf-8")
    if (library / compiled).is_file():
        (objects / compiled).symlink_to(library / compiled)
    else:
        # By the rule of Verilator's makefile, so that all flags are those of the other files.
        rule = ["-C", "obj", "-f", "Vsparnn.mk", f"VK_PCH_H={_HEADERS}", f"{_HEADERS}.fast.gch"]
        run([os.environ.get("MAKE", "make"), *rule, *_QUICK])
        with suppress(FileNotFoundError):
            (objects / f"{_HEADERS}.fast.gch").rename(objects / compiled)
    for block in objects.glob("V*/"):
        for name in (_HEADERS, compiled):
            (block / name).symlink_to(Path("..", name))
    return [f"OPT_FAST=-O0 -include {_HEADERS}"]


def _runtime(objects: Path) -> Iterable[Path]:
    """Verilator's own library, and its headers where they were compiled."""
    return (*objects.glob("verilated*.o"), *objects.glob(f"{_HEADERS}.gch"))


def _copy(files: Iterable[Path], folder: Path) -> None:
    for file in files:
        shutil.copyfile(file, folder / file.name)


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in lines:
        if re.search(r"%Error|error:|\*\*\*", line):
            return line
    return lines[-1] if lines else "Verilator stopped without a word"
