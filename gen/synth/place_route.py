"""Place and route by nextpnr: clock and critical path."""

import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.targets import Device, Target
from sparnn.sim.progress import progress
from sparnn.sim.verilator.cache import kept, key_of

from .floorplan import with_floorplan
from .tools import find_nextpnr

__all__ = [
    "CriticalPath",
    "Routed",
    "block_of",
    "packed_cells",
    "place_and_route",
    "utilization",
]


@dataclass(frozen=True)
class CriticalPath:
    """The slowest path between registers of one clock.

    Members
    -------
    start, end: block and register.
    blocks: those that it runs through, in order.
    logic_ns, routing_ns: where the time goes.
    levels: cells passed.
    """

    start: str
    end: str
    blocks: tuple[str, ...]
    logic_ns: float
    routing_ns: float
    levels: int

    @property
    def title(self) -> str:
        """For people."""
        return (
            f"{self.start} -> {self.end}: logic {self.logic_ns:.1f} ns, routing "
            f"{self.routing_ns:.1f} ns, {self.levels} levels; through {', '.join(self.blocks)}"
        )


@dataclass(frozen=True)
class Routed:
    """One run of place and route.

    Members
    -------
    fmax_mhz: of the slowest clock.
    used: nextpnr's own counts, (used, available) by its names.
    folder: where ``report.json``, ``nextpnr.log`` and what was asked to be written lie.
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
    constraints: str = "",
    write: bool = False,
) -> Routed:
    """Place and route a netlist once; the same work is done once.

    Parameters
    ----------
    mhz: clock to ask for; ``target.request_mhz`` by default. Missing it is no error.
    constraints: pins and clocks, in the family's format.
    write: leave ``target.placed`` in the result's folder, for the packer.

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
    mhz = target.request_mhz if mhz is None else mhz
    arguments = [
        *("--json", "netlist.json", *device.pnr, *target.pnr_options, "--seed", str(seed)),
        *("--freq", f"{mhz:g}", "--timing-allow-fail", "--report", "report.json"),
        *("--log", "nextpnr.log", "--quiet"),
        *(target.constrain if constraints else ()),
        *(target.write if write else ()),
    ]

    content = netlist.read_bytes()
    plan = inspect.getsource(sys.modules[with_floorplan.__module__]) if target.floorplan else ""

    def make(folder: Path) -> None:
        placed = with_floorplan(content, target, device) if target.floorplan else content
        (folder / "netlist.json").write_bytes(placed)
        if constraints:
            (folder / target.constraints).write_text(constraints, encoding="utf-8")
        with progress(f"Placing and routing for {device.title}, seed {seed}"):
            done = subprocess.run(
                [program, *arguments],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        if done.returncode or not (folder / "report.json").is_file():
            log = folder / "nextpnr.log"
            text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
            raise SparnnError(_failure(text + done.stdout, device))
        (folder / "netlist.json").unlink()

    folder = kept("pnr", key_of(version, *arguments, constraints, plan, content), make)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    clocks = {name: clock["achieved"] for name, clock in report["fmax"].items()}
    if not clocks:
        raise SparnnError(f"place and route on {device.title} found no clock in the design")
    slowest = min(clocks, key=lambda name: clocks[name])
    used = {n: (int(u["used"]), int(u["available"])) for n, u in report["utilization"].items()}
    path = _path(report.get("critical_paths", []), slowest)
    return Routed(seed, float(clocks[slowest]), path, used, folder)


def packed_cells(netlist: Path, target: Target, device: Device) -> int:
    """Logic cells of an iCE40 netlist, packed but not placed; the same work is done once.

    Raises
    ------
    SparnnError: nextpnr is missing or does not pack the design.
    """
    assert target.pnr is not None
    program, version = find_nextpnr(target.pnr)
    arguments = [*("--json", "netlist.json", *device.pnr), "--pack-only", "--log", "nextpnr.log"]

    def make(folder: Path) -> None:
        shutil.copyfile(netlist, folder / "netlist.json")
        done = subprocess.run(
            [program, *arguments, "--quiet"], cwd=folder, capture_output=True, check=False
        )
        log = folder / "nextpnr.log"
        if done.returncode or not log.is_file():
            text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
            raise SparnnError(_failure(text, device))
        (folder / "netlist.json").unlink()

    folder = kept("pnr", key_of(version, *arguments, netlist.read_bytes()), make)
    log = (folder / "nextpnr.log").read_text(encoding="utf-8", errors="replace")
    cells = sum(int(count) for count in _PACKED.findall(log))
    if not cells:
        raise SparnnError(f"{target.pnr} says of no logic cell that it packed it; is it newer?")
    return cells


_PACKED = re.compile(r"Info:\s+(\d+) LCs used as")
_USED = re.compile(r"Info:\s+([A-Za-z]\w*):\s*(\d+)/\s*(\d+)\s+\d+%")


def utilization(log: str) -> dict[str, tuple[int, int]]:
    """Resource -> (used, there are) of a log of nextpnr, where any is used."""
    return {name: (int(used), int(most)) for name, used, most in _USED.findall(log) if int(used)}


def _failure(log: str, device: Device) -> str:
    over = ", ".join(
        f"{used} {name} of {most} ({used - most} too many)"
        for name, (used, most) in utilization(log).items()
        if used > most
    )
    if over:
        return (
            f"the design does not fit {device.title}: {over}; take a smaller network or fewer "
            f"weights (--prune, --weight-bits), a smaller machine, or a larger device"
        )
    errors = re.findall(r"^ERROR: (.*)$", log, re.MULTILINE)
    said = errors[0] if errors else (log.strip().splitlines() or ["nothing"])[-1]
    return (
        f"place and route on {device.title} fails, nextpnr says: {said}; take a larger device or "
        f"a smaller machine"
    )


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
