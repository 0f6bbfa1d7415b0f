"""The machine's blocks, each to be synthesized and placed alone: `python -m
sparnn.gen.bench.blocks`.

Their ports become shift registers, so that every path begins and ends at a register; what a path
loses between blocks of a whole machine is not in these figures.
"""

import argparse
from collections.abc import Sequence

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.presets import load_machine
from sparnn.gen.synth.report import SynthReport, synth_verilog
from sparnn.gen.targets import TARGETS, find_target
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.verilog import modules_verilog

from .fpga import bench_machine

__all__ = ["block_verilog", "measure_block"]

_TOP = "sparnn_block"


def block_verilog(name: str, config: MachineConfig) -> str:
    """Verilog of one block; its top module is ``sparnn_block``.

    Raises
    ------
    SparnnError: there is no such block.
    """
    machine = backend(config)
    if name not in machine.blocks:
        raise SparnnError(f"no block {name}; the blocks are {', '.join(machine.blocks)}")
    return modules_verilog(machine.block(name, config, _TOP))


def measure_block(
    name: str, config: MachineConfig, target: str = "ecp5", *, seeds: int = 0
) -> SynthReport:
    """Area of one block, synthesized flat, and its clock for ``seeds`` of place and route.

    Raises
    ------
    SparnnError: a wrong name, a missing tool.
    """
    family = find_target(target)
    return synth_verilog(
        block_verilog(name, config),
        _TOP,
        family,
        family.default_device,
        pnr=seeds > 0,
        seeds=seeds,
        flat=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", nargs="+", help="All, by default.")
    parser.add_argument("--lanes", type=int, help="Of the machine of bench-fpga, 64.")
    parser.add_argument("--config", help="A preset, of dense machines too, or a file.")
    parser.add_argument("--target", choices=TARGETS, default="ecp5")
    parser.add_argument("--seeds", type=int, default=3, help="0: areas alone")
    options = parser.parse_args(arguments)
    config: MachineConfig
    if options.config is None:
        config = bench_machine(options.lanes or 64, TARGETS[options.target])
    else:
        config = load_machine(options.config, options.lanes)
    print("| block | LUT (logic + carry + LUT RAM) | FF | DSP | block RAM | MHz | slowest path |")
    print("|---|---|---|---|---|---|---|")
    for name in options.blocks or backend(config).blocks:
        report = measure_block(name, config, options.target, seeds=options.seeds)
        total, path = report.total, report.critical_path
        clock = "not run"
        if report.fmax_mhz is not None:
            runs = ", ".join(f"{run.fmax_mhz:.0f}" for run in report.routed)
            clock = f"{report.fmax_mhz:.0f} ({runs})"
        print(
            f"| {name} | {total['lut']} ({total['lut_logic']} + {total['lut_in_carry']} + "
            f"{total['lut_in_lut_ram']}) | {total['ff']} | {total['dsp']} | {total['bram']} | "
            f"{clock} | {path.title if path else ''} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
