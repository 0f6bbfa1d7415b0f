"""Measures machines for the resource model: `python -m sparnn.gen.fit_calibrate`.

Every configuration is synthesized by block (Yosys alone) on the families that ``sparnn fit``
knows. The result, fit_data.json, lies beside this file; every third configuration is held out of
the fit and judges it.
"""

import argparse
import importlib.metadata
import json
from dataclasses import asdict
from pathlib import Path

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.emit import TOP_MODULE, machine_verilog

from .presets import structure
from .synth_yosys import synthesize
from .targets import TARGETS

__all__ = ["CONFIGURATIONS", "DATA", "main"]

DATA = Path(__file__).with_name("fit_data.json")

_FAMILIES = ("ecp5",)


def _machine(lanes: int, **values: int) -> MachineConfig:
    return MachineConfig(
        **structure(lanes, post_units=values.pop("post_units", None)) | values, lanes=lanes
    )


#: In the order of measuring; every third (index 2 and 5) is held out.
CONFIGURATIONS = (
    _machine(1),
    _machine(2, columns=128, weight_depth=1024, mask_depth=256, store_depth=512),
    _machine(4, columns=128, weight_depth=1024, mask_depth=256, rows=256, parameter_depth=512),
    _machine(4, columns=64, weight_depth=2048, mask_depth=512, rows=256, parameter_depth=512),
    _machine(16),
    _machine(2),
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", choices=_FAMILIES, default=_FAMILIES)
    parser.add_argument("-o", "--output", type=Path, default=DATA)
    options = parser.parse_args(arguments)
    measured = []
    for index, config in enumerate(CONFIGURATIONS):
        verilog = machine_verilog(config)
        for family in options.families:
            target = TARGETS[family]
            total = target.count(synthesize(verilog, TOP_MODULE, target, netlist=False).cells)
            measured.append(
                {
                    "target": family,
                    "config": asdict(config),
                    "held_out": index % 3 == 2,
                    "resources": total,
                }
            )
            print(family, config.lanes, total, flush=True)
    content = {
        "command": "python -m sparnn.gen.fit_calibrate",
        "versions": {name: importlib.metadata.version(name) for name in ("amaranth", "pyosys")},
        "measured": measured,
    }
    options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
