"""The machine's blocks, each to be synthesized and placed alone: `python -m
sparnn.gen.bench.blocks`.

Their ports become shift registers, so that every path begins and ends at a register; what a path
loses between blocks of a whole machine is not in these figures.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

from amaranth.lib import wiring

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.blocks import TILE_BLOCKS, block_components
from sparnn.gen.machines.presets import load_machine
from sparnn.gen.synth.report import SynthReport, synth_verilog
from sparnn.gen.targets import TARGETS, find_target
from sparnn.hdl.arithmetic.sigma import ActivationUnit
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.host_port import HostPort
from sparnn.hdl.host.results import ResultWriter
from sparnn.hdl.link.link import SerialLink
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.array.addends import StoredAddends
from sparnn.hdl.sparse.array.broadcast import Broadcaster
from sparnn.hdl.sparse.array.collector import Collector
from sparnn.hdl.sparse.array.gather import Gather
from sparnn.hdl.sparse.array.tree import ReductionTree
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.control.dispatcher import Dispatcher
from sparnn.hdl.sparse.lane.fetch import ChunkFetch
from sparnn.hdl.sparse.lane.lane import Lane
from sparnn.hdl.sparse.lane.pairs import PairStage
from sparnn.hdl.sparse.lane.scan import MaskScan
from sparnn.hdl.sparse.post.cell import CellUpdater
from sparnn.hdl.sparse.post.halves import HalfJoin
from sparnn.hdl.sparse.post.requantize import Requantizer
from sparnn.hdl.sparse.post.unit import PostUnit
from sparnn.hdl.sparse.store.bank import ValueBank
from sparnn.hdl.sparse.store.store import sequence_store
from sparnn.hdl.verilog import modules_verilog

from .fpga import bench_machine

__all__ = ["MACHINE_BLOCKS", "block_verilog", "measure_block"]

#: Name -> the block of a machine.
MACHINE_BLOCKS: Mapping[str, Callable[[SparseConfig], wiring.Component]] = {
    "lane": Lane,
    "lane_fetch": ChunkFetch,
    "lane_scan": MaskScan,
    "lane_pairs": PairStage,
    "collector": Collector,
    "tree": ReductionTree,
    "requantizer": Requantizer,
    "halves": HalfJoin,
    "activation": lambda config: ActivationUnit(3),
    "cell": CellUpdater,
    "post": PostUnit,
    "gather": Gather,
    "addends": StoredAddends,
    "store": sequence_store,
    "store_bank": ValueBank,
    "broadcaster": Broadcaster,
    "dispatcher": Dispatcher,
    "host_port": HostPort,
    "results": ResultWriter,
    "link": lambda config: SerialLink(50),
}

_TOP = "sparnn_block"


def block_verilog(name: str, config: MachineConfig) -> str:
    """Verilog of one block; its top module is ``sparnn_block``.

    Raises
    ------
    SparnnError: there is no such block.
    """
    known = TILE_BLOCKS if isinstance(config, DenseConfig) else MACHINE_BLOCKS
    if name not in known:
        raise SparnnError(f"no block {name}; the blocks are {', '.join(known)}")
    if isinstance(config, DenseConfig):
        return modules_verilog(block_components(name, config, _TOP))
    return modules_verilog([(MACHINE_BLOCKS[name](config), _TOP)])


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
    known = TILE_BLOCKS if isinstance(config, DenseConfig) else MACHINE_BLOCKS
    print("| block | LUT (logic + carry + LUT RAM) | FF | DSP | block RAM | MHz | slowest path |")
    print("|---|---|---|---|---|---|---|")
    for name in options.blocks or known:
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
