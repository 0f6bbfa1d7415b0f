"""`sparnn synth`: area, clock and latency of an output folder's hardware on an FPGA family."""

import importlib.metadata
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.emit import VERILOG
from sparnn.gen.output.manifest import read_manifest
from sparnn.gen.targets import Device, Target, find_device, find_target
from sparnn.hdl.emit import TOP_MODULE

from .mapping import Netlist, synthesize
from .place_route import CriticalPath, Routed, place_and_route
from .tools import find_nextpnr

__all__ = ["SynthReport", "area_rows", "synth", "synth_verilog"]


@dataclass(frozen=True)
class SynthReport:
    """What one design takes on one family.

    Members
    -------
    total: resources, see :meth:`~sparnn.gen.targets.Target.count`.
    blocks: for each module that was kept whole its ``module``, ``copies`` and the resources of all
        its copies, without those of kept modules inside.
    flat: whether Yosys optimized across blocks.
    routed: one run of place and route per seed; empty without.
    cycles_per_step, simulated: of a simulate report, None without.
    """

    target: Target
    device: Device
    flat: bool
    total: Mapping[str, int | float]
    blocks: Sequence[Mapping[str, Any]]
    routed: Sequence[Routed] = ()
    cycles_per_step: float | None = None

    @property
    def fmax_mhz(self) -> float | None:
        """Median over the seeds."""
        if not self.routed:
            return None
        return statistics.median(run.fmax_mhz for run in self.routed)

    @property
    def critical_path(self) -> CriticalPath | None:
        """Of the run with the median clock (the slower of the middle two)."""
        runs = sorted(self.routed, key=lambda run: run.fmax_mhz)
        return runs[(len(runs) - 1) // 2].path if runs else None

    @property
    def latency_us(self) -> float | None:
        """Of one step: cycles / clock."""
        if self.cycles_per_step is None or self.fmax_mhz is None:
            return None
        return self.cycles_per_step / self.fmax_mhz

    def as_dict(self) -> dict[str, Any]:
        """The JSON object."""
        path = self.critical_path
        return {
            "target": self.target.name,
            "device": self.device.title,
            "units": dict(self.target.units),
            **self.total,
            "fmax_mhz": {
                "median": self.fmax_mhz,
                "list": [run.fmax_mhz for run in self.routed],
                "seeds": [run.seed for run in self.routed],
            },
            "critical_path": asdict(path) if path else None,
            "placed": {
                name: {"used": used, "available": available}
                for name, (used, available) in (self.routed[0].used if self.routed else {}).items()
                if used
            },
            "synthesis": "flat" if self.flat else "by block",
            "hierarchy": [dict(block) for block in self.blocks],
            "cycles_per_step": self.cycles_per_step,
            "step_latency_us": self.latency_us,
            "versions": _versions(self.target if self.routed else None),
        }

    def lines(self) -> list[str]:
        """For the user."""
        total, units = self.total, self.target.units
        lines = [
            f"target         {self.target.title}, {self.device.title}",
            f"area           {total['lut']} {units['lut']} (logic {total['lut_logic']}, "
            f"{total['carry_cells']} carry cells, {total['lut_ram_cells']} LUT RAM cells), "
            f"{total['ff']} FF, {total['dsp']} DSP, {total['bram']} block RAM of {units['bram']}",
        ]
        lines += [
            f"block          {row['module']} x {row['copies']}: {row['lut']} {units['lut']}, "
            f"{row['ff']} FF, {row['dsp']} DSP, {row['bram']} block RAM"
            for row in self.blocks
        ]
        if self.routed:
            runs = ", ".join(f"{run.fmax_mhz:.1f}" for run in self.routed)
            lines.append(f"clock          {self.fmax_mhz:.1f} MHz, median of {runs}")
        path = self.critical_path
        if path:
            lines.append(f"slowest path   {path.title}")
        if self.latency_us is not None:
            lines.append(
                f"latency        {self.latency_us:.2f} us per step, {self.cycles_per_step:.1f} "
                "cycles"
            )
        lines += [f"too large      {line}" for line in exceeded(self.total, self.device)]
        return lines


def synth(
    folder: Path,
    target: str,
    *,
    device: str | None = None,
    pnr: bool = True,
    seeds: int = 3,
    flat: bool = False,
    report: Path | None = None,
    plot: Path | None = None,
) -> SynthReport:
    """Synthesize the Verilog of an output folder.

    Parameters
    ----------
    folder: what compile or emit wrote.
    target, device: names.
    pnr: place and route with seeds 1 to ``seeds``; families without nextpnr need False.
    flat: see :func:`~sparnn.gen.synth.mapping.synthesize`.
    report: JSON of `sparnn simulate`, for the latency; ``report.json`` in the folder by default.
    plot: SVG or PNG of the area by block.

    Raises
    ------
    SparnnError: a wrong name, a missing tool, a design that does not fit.
    """
    family = find_target(target)
    part = find_device(family, device)
    if plot is not None:
        from .plot import check_plot

        check_plot(plot)
    if pnr and family.pnr is not None:
        find_nextpnr(family.pnr)  # before the long part
    elif pnr:
        raise SparnnError(
            f"--target {family.name}: no open place and route for this family; add --no-pnr for "
            f"the area alone, or use --project for the vendor's program"
        )
    read_manifest(folder)
    verilog = folder / VERILOG
    try:
        text = verilog.read_text(encoding="utf-8")
    except OSError as error:
        raise SparnnError(
            f"{verilog} cannot be read ({error.strerror}): compile the model again"
        ) from None
    cycles = _cycles_per_step(folder / "report.json" if report is None else report, report is None)
    result = synth_verilog(
        text, TOP_MODULE, family, part, pnr=pnr, seeds=seeds, flat=flat, cycles_per_step=cycles
    )
    if plot is not None:
        from .plot import plot_area

        plot_area(result.blocks, family, plot)
    return result


def synth_verilog(
    verilog: str,
    top: str,
    target: Target,
    device: Device,
    *,
    pnr: bool = True,
    seeds: int = 3,
    flat: bool = False,
    cycles_per_step: float | None = None,
) -> SynthReport:
    """The same of a Verilog text."""
    # The wrapper is in no figure, so that one synthesis serves area and place and route.
    netlist = synthesize(verilog, top, target, device, flat=flat, pins=target.pnr is not None)
    total = target.count(netlist.cells)
    rows = area_rows(netlist, target)
    runs: list[Routed] = []
    if pnr:
        large = exceeded(total, device)
        if large:
            raise SparnnError(
                f"the design does not fit {device.title}: {'; '.join(large)}; take a larger "
                f"device, a smaller machine (sparnn fit), or --no-pnr"
            )
        if target.flat_pnr and not flat:
            netlist = synthesize(verilog, top, target, device, flat=True, pins=True)
        runs = [
            place_and_route(netlist.json, target, device, seed=seed, constraints=device.pins)
            for seed in range(1, seeds + 1)
        ]
    return SynthReport(target, device, flat, total, rows, runs, cycles_per_step)


def area_rows(netlist: Netlist, target: Target) -> list[dict[str, Any]]:
    """Resources by kept module, all copies together, the largest first."""
    rows = [
        {"module": block.module, "copies": block.copies}
        | target.count({name: n * block.copies for name, n in block.cells.items()})
        for block in netlist.blocks
    ]
    return sorted(rows, key=lambda row: -row["lut"])


def exceeded(total: Mapping[str, int | float], device: Device) -> list[str]:
    """What does not fit, and by how much. Logic counts without doubled carry cells."""
    needs = dict(total)
    # A carry cell may share its place with a LUT (iCE40), so the count of LUTs alone is certain.
    needs["lut"] = total["lut_logic"]
    return [
        f"{needs[name]:g} {name} of {available} ({needs[name] - available:g} too many)"
        for name, available in device.capacity.items()
        if needs.get(name, 0) > available
    ]


def _cycles_per_step(path: Path, optional: bool) -> float | None:
    if optional and not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return float(content["cycles"]) / float(content["steps"])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise SparnnError(
            f"{path} is not a report of sparnn simulate --json ({error!r}): simulate again"
        ) from None


def _versions(routed: Target | None) -> dict[str, str | None]:
    packages = ["sparnn", "amaranth", "pyosys"]
    found: dict[str, str | None] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    if routed is not None and routed.pnr is not None:
        found[routed.pnr] = find_nextpnr(routed.pnr)[1]
    return found
