"""Measures machines for the resource model: `python -m sparnn.gen.fit.measure`.

Every machine is synthesized (Yosys; on iCE40 nextpnr packs it as well, see
:func:`~sparnn.gen.synth.place_route.packed_cells`). The result, fit_data.json, lies beside this
file; it is written after each machine, and ``--families`` replaces the rows of those alone.
"""

import argparse
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sparnn.gen.boards import BOARDS
from sparnn.gen.machines.dense.presets import dense_preset
from sparnn.gen.machines.presets import structure
from sparnn.gen.synth.mapping import synthesize
from sparnn.gen.synth.memories import memories
from sparnn.gen.synth.place_route import packed_cells
from sparnn.gen.targets import TARGETS, Target
from sparnn.hdl.emit import MACHINES, TOP_MODULE, machine_verilog
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.config import SparseConfig

from .model import DATA

__all__ = [
    "CONFIGURATIONS",
    "FAMILIES",
    "HELD_OUT",
    "base_structure",
    "configurations",
    "main",
]

#: Machine -> the families that it is predicted on; ``--families`` may measure others as well.
FAMILIES: Mapping[str, Sequence[str]] = {
    "sparse": ("ecp5", "ice40", "xilinx7", "gowin"),
    "dense": ("ecp5",),
}

#: What a family's machines have that others do not: iCE40 UP holds a compact one only.
_STRUCTURES: Mapping[str, Mapping[str, int]] = {"ice40": BOARDS["icebreaker"].structure}


def base_structure(target: Target, lanes: int) -> dict[str, int]:
    """Everything but the sizes of memories, for a machine on this family."""
    own = dict(_STRUCTURES.get(target.name, {}))
    return structure(lanes, post_units=1 if own.get("compact") else None) | own | {"lanes": lanes}


_SMALL = {"columns": 128, "weight_depth": 1024, "mask_depth": 256, "store_depth": 512}
_ROWS = {"rows": 256, "parameter_depth": 512}
_BANKS = {"bank_bytes": 1024, "sliced_copy": 1, "post_units": 2, "max_v": 4}
_UNIT_EACH = {"post_units": 4, "max_v": 1}
_EIGHT = {"width": 8, "queue_depth": 16}

#: Lanes and what else is not as in :class:`~sparnn.hdl.sparse.config.SparseConfig`, in the order of
#: measuring.
CONFIGURATIONS: Sequence[Mapping[str, int]] = (
    {"lanes": 1},
    {"lanes": 2, **_SMALL},
    {"lanes": 4, **_SMALL, **_ROWS, "store_depth": 4096},
    {"lanes": 4, **_ROWS, "columns": 64, "weight_depth": 2048, "mask_depth": 512},
    {"lanes": 16},
    {"lanes": 2, "activation_bits": 16},
    {"lanes": 2, "weight_bits": 4, **_ROWS},
    {"lanes": 8, "weight_bits": 16, "activation_bits": 16, **_SMALL},
    {"lanes": 32, "weight_bits": 10, **_SMALL},
    {"lanes": 32, **_SMALL, **_ROWS},
    {"lanes": 8, "hard_sigmoid": 1, "reset_first": 1, **_SMALL},
    {"lanes": 16, "weight_bits": 6, "activation_bits": 12, "hard_sigmoid": 1, **_ROWS},
    {"lanes": 64, "weight_bits": 12, "activation_bits": 10, **_SMALL, **_ROWS},
    {"lanes": 4, "chunk": 16, "activation_bits": 12, **_SMALL},
    {"lanes": 64, "reset_first": 1, **_SMALL},
    # Lanes of several rows, with and without masks; deltas; cells of any function.
    {"lanes": 2, "width": 4, "masks": 0, **_SMALL},
    {"lanes": 4, "width": 8, **_SMALL, **_ROWS},
    {"lanes": 8, "width": 4, **_SMALL},
    {"lanes": 2, "width": 16, "masks": 0, "queue_depth": 16, **_SMALL, "activation_bits": 10},
    {"lanes": 4, "width": 2, "weight_bits": 12, "activation_bits": 12, **_SMALL, **_ROWS},
    {"lanes": 8, "width": 8, "masks": 0, "weight_bits": 6, **_SMALL, **_ROWS},
    {"lanes": 2, "delta": 1, **_SMALL},
    {"lanes": 8, "width": 4, "masks": 0, "delta": 1, **_SMALL, **_ROWS},
    {"lanes": 4, "width": 4, "delta": 1, **_SMALL},
    {"lanes": 2, "cell_functions": 1, "clip": 1, "reset_first": 1, **_SMALL},
    {"lanes": 16, "width": 8, "masks": 0, **_SMALL},
    {"lanes": 4, "width": 8, "masks": 0, "cell_functions": 1, "clip": 1, **_SMALL},
    # Small banks, and a memory for each activation of a word.
    {"lanes": 4, "bank_bytes": 1024, **_ROWS},
    {"lanes": 8, "post_units": 4, "max_v": 2, "sliced_copy": 1, **_SMALL},
    {"lanes": 8, **_BANKS, **_SMALL, "weight_depth": 4096},
    {"lanes": 4, "width": 4, **_BANKS, "bank_bytes": 512, "max_v": 2, **_SMALL, **_ROWS},
    {"lanes": 16, **_BANKS, "post_units": 4, "bank_bytes": 512, **_SMALL},
    {"lanes": 4, "width": 8, "masks": 0, **_BANKS, "max_v": 2, **_SMALL, **_ROWS},
    # Wide lanes with a post unit each, or one for all.
    {"lanes": 4, **_EIGHT, **_UNIT_EACH, **_SMALL},
    {"lanes": 4, "width": 4, **_UNIT_EACH, **_SMALL, **_ROWS},
    {"lanes": 4, "width": 4, "masks": 0, **_UNIT_EACH, "weight_bits": 12, **_SMALL},
    {"lanes": 4, **_EIGHT, "masks": 0, **_UNIT_EACH, "weight_bits": 4, **_SMALL, **_ROWS},
    {"lanes": 4, "width": 2, **_UNIT_EACH, "activation_bits": 16, **_SMALL},
    {"lanes": 4, **_EIGHT, **_UNIT_EACH, "chunk": 16, "activation_bits": 12, **_SMALL},
    {"lanes": 16, "width": 2, "post_units": 1, "max_v": 16, **_SMALL},
    {"lanes": 8, **_EIGHT, "post_units": 1, "max_v": 8, "chunk": 32, **_SMALL},
    {"lanes": 8, "width": 4, "masks": 0, "post_units": 4, "max_v": 2, **_SMALL},
    # Short chunks without masks.
    {"lanes": 24, "masks": 0, "chunk": 16, "weight_bits": 4, **_SMALL, "columns": 512},
    {"lanes": 8, **_EIGHT, "masks": 0, "chunk": 16, "weight_bits": 4, **_SMALL, "columns": 512},
    {"lanes": 16, "masks": 0, "post_units": 4, "max_v": 4, "chunk": 16, **_SMALL},
    {"lanes": 8, "masks": 0, "weight_bits": 6, **_SMALL, **_ROWS},
    {"lanes": 4, "width": 2, "masks": 0, "chunk": 16, "activation_bits": 12, **_SMALL},
    {"lanes": 16, "width": 4, "masks": 0, "chunk": 64, "weight_bits": 4, **_SMALL},
    # Long chunks with masks, whose masks of activations become LUT RAM.
    {"lanes": 8, "width": 2, "chunk": 64, "activation_bits": 10, **_SMALL, "columns": 512},
    {"lanes": 4, "chunk": 64, "weight_bits": 4, **_SMALL, **_ROWS},
    {"lanes": 4, **_EIGHT, "chunk": 64, "post_units": 2, "max_v": 2, **_SMALL, "columns": 512},
)

#: The same for iCE40 UP.
_COMPACT: Sequence[Mapping[str, int]] = tuple(
    {"rows": 64, "state_depth": 64, "program_depth": 4, "mask_depth": 2048} | values
    for values in (
        {"lanes": 1, "columns": 64, "parameter_depth": 512, "store_depth": 512},
        {"lanes": 2, "columns": 128, "parameter_depth": 256, "store_depth": 256},
        {"lanes": 2, "columns": 64, "parameter_depth": 512, "weight_bits": 6, "store_depth": 512},
        {"lanes": 1, "columns": 32, "parameter_depth": 128, "activation_bits": 12},
        {"lanes": 4, "columns": 64, "parameter_depth": 256, "weight_bits": 4, "store_depth": 512},
        {"lanes": 1, "columns": 128, "parameter_depth": 256, "weight_bits": 12},
    )
)

#: The same for families whose boards hold fewer lanes.
_FEW_LANES: Sequence[Mapping[str, int]] = (
    {"lanes": 1, **_SMALL},
    {"lanes": 8, **_SMALL, **_ROWS},
    {"lanes": 4, **_SMALL, **_ROWS, "store_depth": 4096},
    {"lanes": 8, "weight_bits": 16, "activation_bits": 16, **_SMALL},
    {"lanes": 16, "weight_bits": 6, "activation_bits": 12, "hard_sigmoid": 1, **_ROWS},
    {"lanes": 2, "activation_bits": 16, **_SMALL},
    {"lanes": 8, "reset_first": 1, **_SMALL},
    {"lanes": 4, "chunk": 16, "activation_bits": 12, **_SMALL},
    {"lanes": 16, **_SMALL},
    {"lanes": 32, **_SMALL},
    {"lanes": 1, "chunk": 16, "weight_bits": 12, **_ROWS},
    {"lanes": 2, "chunk": 16, "weight_bits": 4, **_ROWS},
    {"lanes": 1, "weight_bits": 16, "activation_bits": 16, **_SMALL},
    {"lanes": 16, "weight_bits": 12, "activation_bits": 10, **_SMALL, **_ROWS},
    {"lanes": 4, "weight_bits": 10, "activation_bits": 14, **_SMALL, **_ROWS},
)

#: What is not as in the preset ``dense64``, of the dense machines.
_DENSE: Sequence[Mapping[str, int]] = (
    {},
    {"lanes": 4, "width": 4, "banks": 1, "weight_depth": 512},
    {"width": 4, "weight_depth": 1024},
    {"lanes": 16, "banks": 4, "slices": 2, "weight_depth": 1024},
    {"lanes": 4, "weight_bits": 16, "activation_bits": 16, "weight_depth": 1024},
    {"weight_bits": 6, "activation_bits": 12, "columns": 32},
    {"width": 16, "banks": 1, "weight_depth": 512},
    {"lanes": 16, "width": 4, "banks": 1, "activation_bits": 10, "parameter_depth": 256},
    {"lanes": 16, "width": 4, "slices": 2, "weight_depth": 1024},
    {"lanes": 6, "width": 12, "banks": 1, "weight_bits": 12, "weight_depth": 512},
)

#: Every third machine judges the model and is not in it.
HELD_OUT = 3


def configurations(target: Target, machine: str = "sparse") -> list[MachineConfig]:
    """The machines that are measured on a family."""
    if machine == "dense":
        return [dense_preset("dense64", **values) for values in _DENSE]
    chosen = _COMPACT if target.name in _STRUCTURES else _FEW_LANES
    if target.name == "ecp5":
        chosen = CONFIGURATIONS
    return [
        SparseConfig(**base_structure(target, values["lanes"]) | dict(values)) for values in chosen
    ]


def _measure(verilog: str, target: Target) -> dict[str, float]:
    netlist = synthesize(verilog, TOP_MODULE, target, netlist=target.packs_cells)
    counted = target.count(netlist.cells)
    if target.packs_cells:
        counted["cells"] = packed_cells(netlist.json, target, target.default_device)
    return counted


def _machine(name: str, values: Mapping[str, Any]) -> MachineConfig:
    return MACHINES[name](**values)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", choices=tuple(FAMILIES), default="sparse")
    parser.add_argument("--families", nargs="+", choices=TARGETS)
    parser.add_argument("--missing", action="store_true", help="keep what was measured already")
    parser.add_argument("-o", "--output", type=Path, default=DATA)
    options = parser.parse_args(arguments)
    families = options.families or FAMILIES[options.machine]
    replaced = [(options.machine, family) for family in families]
    kept: list[dict[str, Any]] = []
    if options.output.is_file():
        rows = json.loads(options.output.read_text(encoding="utf-8"))["measured"]
        kept = [
            row
            for row in rows
            if options.missing or (row["machine"], row["target"]) not in replaced
        ]
    known = {(row["target"], _machine(row["machine"], row["config"])) for row in kept}
    measured: list[dict[str, Any]] = []
    for family in families:
        for index, config in enumerate(configurations(TARGETS[family], options.machine)):
            if (family, config) in known:
                continue
            verilog = machine_verilog(config)
            total = _measure(verilog, TARGETS[family])
            measured.append(
                {
                    "machine": options.machine,
                    "target": family,
                    "config": asdict(config),
                    "held_out": index % HELD_OUT == HELD_OUT - 1,
                    "resources": total,
                    "memories": memories(verilog, TOP_MODULE),
                }
            )
            print(family, config.mac_units, total, flush=True)
            content = {
                "command": "python -m sparnn.gen.fit.measure",
                "versions": {
                    name: importlib.metadata.version(name) for name in ("amaranth", "pyosys")
                },
                "measured": sorted(
                    [*kept, *measured], key=lambda row: (str(row["machine"]), str(row["target"]))
                ),
            }
            options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
