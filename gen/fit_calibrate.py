"""Measures machines for the resource model: `python -m sparnn.gen.fit_calibrate`.

Every configuration is synthesized by block (Yosys alone) on the families that ``sparnn fit``
knows. The result, fit_data.json, lies beside this file; every fourth configuration is held out of
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

_FAMILIES = ("ecp5", "ice40")


def _machine(lanes: int, **values: int) -> MachineConfig:
    return MachineConfig(
        **structure(lanes, post_units=values.pop("post_units", None)) | values, lanes=lanes
    )


#: In the order of measuring; every fourth (index 3, 7, …) is held out.
CONFIGURATIONS = (
    _machine(1),
    _machine(2, columns=128, weight_depth=1024, mask_depth=256, store_depth=512),
    _machine(4, columns=64, weight_depth=2048, mask_depth=512, rows=256, parameter_depth=512),
    _machine(4, columns=128, weight_depth=1024, mask_depth=256, rows=256, parameter_depth=512),
    _machine(8),
    _machine(8, activation_bits=10, weight_bits=6),
    _machine(16, columns=256, weight_depth=2048, mask_depth=512),
    _machine(8, columns=128, weight_depth=2048, mask_depth=512),
    _machine(2, activation_bits=12, weight_bits=8, columns=256),
    _machine(8, post_units=2, weight_bits=4, columns=128),
    _machine(32, columns=256, weight_depth=2048, mask_depth=512),
    _machine(16),
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", choices=_FAMILIES, default=_FAMILIES)
    parser.add_argument("-o", "--output", type=Path, default=DATA)
    parser.add_argument("--reversed", action="store_true", help="Fill the cache from the end.")
    options = parser.parse_args(arguments)
    if options.reversed:
        for config in reversed(CONFIGURATIONS):
            for family in options.families:
                verilog = machine_verilog(config)
                synthesize(verilog, TOP_MODULE, TARGETS[family], netlist=False)
        return
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
                    "held_out": index % 4 == 3,
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
