"""The machine's blocks, each to be synthesized and placed alone: `python -m sparnn.gen.blocks`.

Their ports become shift registers, so that every path begins and ends at a register; what a path
loses between blocks of a whole machine is not in these figures.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

from amaranth.lib import wiring

from sparnn.hdl.array.addends import StoredAddends
from sparnn.hdl.array.broadcast import Broadcaster
from sparnn.hdl.array.collector import Collector
from sparnn.hdl.array.gather import Gather
from sparnn.hdl.array.tree import ReductionTree
from sparnn.hdl.config import MachineConfig
from sparnn.hdl.control.dispatcher import Dispatcher
from sparnn.hdl.control.host_port import HostPort
from sparnn.hdl.control.results import ResultWriter
from sparnn.hdl.emit import modules_verilog
from sparnn.hdl.lane.fetch import ChunkFetch
from sparnn.hdl.lane.lane import Lane
from sparnn.hdl.lane.pairs import PairStage
from sparnn.hdl.lane.scan import MaskScan
from sparnn.hdl.link.link import SerialLink
from sparnn.hdl.post.activation import ActivationUnit
from sparnn.hdl.post.cell import CellUpdater
from sparnn.hdl.post.halves import HalfJoin
from sparnn.hdl.post.requantize import Requantizer
from sparnn.hdl.post.unit import PostUnit
from sparnn.hdl.store.bank import ValueBank
from sparnn.hdl.store.store import sequence_store
from sparnn.hdl.tile.config import TileConfig

from .bench_fpga import bench_machine
from .errors import SparnnError
from .presets import load_machine
from .synth import SynthReport, synth_verilog
from .targets import TARGETS, find_target
from .tile_blocks import TILE_BLOCKS, block_components

__all__ = ["MACHINE_BLOCKS", "block_verilog", "measure_block"]

#: Name -> the block of a machine.
MACHINE_BLOCKS: Mapping[str, Callable[[MachineConfig], wiring.Component]] = {
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


def block_verilog(name: str, config: MachineConfig | TileConfig) -> str:
    """Verilog of one block; its top module is ``sparnn_block``.

    Raises
    ------
    SparnnError: there is no such block.
    """
    known = TILE_BLOCKS if isinstance(config, TileConfig) else MACHINE_BLOCKS
    if name not in known:
        raise SparnnError(f"no block {name}; the blocks are {', '.join(known)}")
    if isinstance(config, TileConfig):
        return modules_verilog(block_components(name, config, _TOP))
    return modules_verilog([(MACHINE_BLOCKS[name](config), _TOP)])


def measure_block(
    name: str, config: MachineConfig | TileConfig, target: str = "ecp5", *, seeds: int = 0
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
    config: MachineConfig | TileConfig
    if options.config is None:
        config = bench_machine(options.lanes or 64, TARGETS[options.target])
    else:
        config = load_machine(options.config, options.lanes)
    known = TILE_BLOCKS if isinstance(config, TileConfig) else MACHINE_BLOCKS
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
