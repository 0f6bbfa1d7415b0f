"""`make bench-fpga`: area of machines on every family, and the clock where nextpnr is fast enough.

One Markdown table. Place and route of the packaged nextpnr (WebAssembly) takes 3 minutes for
16 lanes on ECP5 and grows faster than the lanes, so it is run up to ``--pnr-lanes``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from sparnn.hdl.emit import TOP_MODULE, machine_verilog

from .errors import SparnnError
from .presets import load_config
from .synth import synth_verilog
from .targets import TARGETS

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", nargs="+", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--pnr-lanes", type=int, default=16, metavar="N", help="0: no clocks")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    print("| family | lanes | LUT (logic + carry + LUT RAM) | FF | DSP | block RAM | MHz |")
    print("|---|---|---|---|---|---|---|")
    reports: list[dict[str, Any]] = []
    for lanes in options.lanes:
        verilog = machine_verilog(load_config(None, lanes))
        for name in options.targets:
            target = TARGETS[name]
            device = target.default_device
            report = synth_verilog(verilog, TOP_MODULE, target, device, pnr=False)
            clock = "no open tool" if target.pnr is None else "not run"
            if target.pnr is not None and lanes <= options.pnr_lanes:
                try:
                    report = synth_verilog(verilog, TOP_MODULE, target, device, seeds=options.seeds)
                    runs = ", ".join(f"{run.fmax_mhz:.1f}" for run in report.routed)
                    clock = f"{report.fmax_mhz:.1f} ({runs})"
                except SparnnError as error:
                    clock = str(error).split(";")[0]
            total = report.total
            print(
                f"| {target.title}, {target.units['lut']} | {lanes} | {total['lut']} "
                f"({total['lut_logic']} + {total['lut_in_carry']} + {total['lut_in_lut_ram']}) | "
                f"{total['ff']} | {total['dsp']} | {total['bram']} of {target.units['bram']} | "
                f"{clock} |",
                flush=True,
            )
            reports.append({"lanes": lanes} | report.as_dict())
    if options.json is not None:
        options.json.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
