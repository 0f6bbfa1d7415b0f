"""Place and route by nextpnr: clock and critical path."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.sim.progress import progress

from .errors import SparnnError
from .synth_cache import kept, key_of
from .targets import Device, Target

__all__ = ["CriticalPath", "Routed", "block_of", "find_nextpnr", "place_and_route"]


@dataclass(frozen=True)
class CriticalPath:
    """The slowest path between registers of one clock.

    Members
    -------
    start, end: block and register. blocks: those that it runs through, in order.
    logic_ns, routing_ns: where the time goes. levels: cells passed.
    """

    start: str
    end: str
    blocks: tuple[str, ...]
    logic_ns: float
    routing_ns: float
    levels: int


@dataclass(frozen=True)
class Routed:
    """One run of place and route.

    Members
    -------
    fmax_mhz: of the slowest clock. used: nextpnr's own counts, (used, available) by its names.
    folder: where ``report.json``, ``nextpnr.log`` and what ``outputs`` asked for lie.
    """

    seed: int
    fmax_mhz: float
    path: CriticalPath | None
    used: Mapping[str, tuple[int, int]]
    folder: Path


def place_and_route(
    netlist: Path,
    target: Target,
    device: Device,
    *,
    seed: int = 1,
    mhz: float | None = None,
    options: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> Routed:
    """Place and route a netlist once; the same work is done once.

    Parameters
    ----------
    mhz: clock to ask for; ``target.request_mhz`` by default. Missing it is no error.
    options: more of nextpnr's; paths in them relative to the result's folder.
    files: name -> content of files that the options name, such as pin constraints.

    Raises
    ------
    SparnnError: nextpnr is missing, or the design does not fit.
    """
    if target.pnr is None:
        raise SparnnError(
            f"--target {target.name}: no open place and route for this family; use --no-pnr, or "
            f"--project for the vendor's program"
        )
    program, version = find_nextpnr(target.pnr)
    content = dict(files or {})
    mhz = target.request_mhz if mhz is None else mhz
    arguments = [
        *("--json", "netlist.json", *device.pnr, *target.pnr_options, "--seed", str(seed)),
        *("--freq", f"{mhz:g}", "--timing-allow-fail", "--report", "report.json"),
        *("--log", "nextpnr.log", "--quiet", *options),
    ]

    def make(folder: Path) -> None:
        shutil.copyfile(netlist, folder / "netlist.json")
        for name, data in content.items():
            (folder / name).write_bytes(data)
        with progress(f"Placing and routing for {device.title}, seed {seed}"):
            done = subprocess.run(
                [*program, *arguments],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        if done.returncode or not (folder / "report.json").is_file():
            log = folder / "nextpnr.log"
            text = done.stdout + (log.read_text(errors="replace") if log.is_file() else "")
            errors = re.findall(r"^ERROR: (.*)$", text, re.MULTILINE)
            said = errors[0] if errors else text.strip().splitlines()[-1:] or "nothing"
            raise SparnnError(
                f"place and route on {device.title} fails, nextpnr says: {said}; take a larger "
                f"device or a smaller machine"
            )
        (folder / "netlist.json").unlink()

    parts: list[str | bytes] = [version, *arguments, netlist.read_bytes()]
    for name in sorted(content):
        parts += [name, content[name]]
    folder = kept("pnr", key_of(*parts), make)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    clocks = {name: clock["achieved"] for name, clock in report["fmax"].items()}
    if not clocks:
        raise SparnnError(f"place and route on {device.title} found no clock in the design")
    slowest = min(clocks, key=lambda name: clocks[name])
    used = {n: (int(u["used"]), int(u["available"])) for n, u in report["utilization"].items()}
    path = _path(report.get("critical_paths", []), slowest)
    return Routed(seed, float(clocks[slowest]), path, used, folder)


def find_nextpnr(name: str) -> tuple[list[str], str]:
    """The command and version of a nextpnr: the one on PATH, else the packaged one.

    Raises
    ------
    SparnnError: neither is there.
    """
    native = shutil.which(name)
    if native is not None:
        done = subprocess.run([native, "--version"], capture_output=True, text=True, check=False)
        return [native], (done.stdout + done.stderr).strip()
    package = f"yowasp-{name}"
    beside = Path(sys.executable).parent / package
    packaged = str(beside) if beside.is_file() else shutil.which(package)
    if packaged is None:
        raise SparnnError(
            f"place and route needs {name}: install it with pip install {package}, put {name} on "
            f"PATH, or use --no-pnr"
        )
    return [packaged], f"{package} {importlib.metadata.version(package)}"


def block_of(cell: str) -> str:
    """The instance that a cell of the flattened netlist is in: ``cluster0.lane3.scan``."""
    parts = cell.split(".")[:-1]
    return ".".join(part for part in parts if part not in ("dut", "core")) or "top"


def _path(paths: list[Mapping[str, Any]], clock: str) -> CriticalPath | None:
    wanted = f"posedge {clock}"
    for path in paths:
        if path["from"] == wanted and path["to"] == wanted:
            hops = path["path"]
            routing = sum(hop["delay"] for hop in hops if hop["type"] == "routing")
            blocks: list[str] = []
            for hop in hops:
                for end in ("from", "to"):
                    block = block_of(hop[end]["cell"])
                    if not blocks or blocks[-1] != block:
                        blocks.append(block)
            return CriticalPath(
                start=_register(hops[0]["from"]["cell"]),
                end=_register(hops[-1]["to"]["cell"]),
                blocks=tuple(blocks),
                logic_ns=sum(hop["delay"] for hop in hops) - routing,
                routing_ns=routing,
                levels=sum(hop["type"] == "logic" for hop in hops),
            )
    return None


def _register(cell: str) -> str:
    return f"{block_of(cell)}: {cell.split('.')[-1]}"
