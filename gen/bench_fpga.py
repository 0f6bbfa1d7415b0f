"""`make bench-fpga`: machines on every family, and networks on every board.

Two Markdown tables: area of 8, 16, 32 and 64 lanes and the clock where nextpnr is fast enough;
then latency of two networks on the boards' clocks. Place and route of the packaged nextpnr
(WebAssembly) grows faster than the lanes, so it is run up to ``--pnr-lanes``. Synthesis, placed
designs and simulations are kept in the cache: a run that was stopped goes on where it was, and each
row is written to ``--json`` as soon as it is there.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.emit import TOP_MODULE, machine_verilog
from sparnn.hdl.errors import ConfigurationError
from sparnn.sim.errors import SimulationError
from sparnn.sim.hardware import load_program
from sparnn.sim.runner import simulate

from .boards import BOARDS, Board
from .compile import compile_model
from .errors import SparnnError
from .fit import FILLED
from .fit_model import predict
from .presets import structure
from .synth import exceeded, synth_verilog
from .targets import TARGETS, Target

__all__ = ["bench_machine", "main"]

#: Network -> model, calibration and inputs below examples/.
_NETWORKS = {
    "digits LSTM": ("digits/lstm.onnx", "digits/calibrate.npz", "digits/calibrate.npz"),
    "silero LSTM": ("silero/lstm.onnx", "silero/calibrate.npz", "silero/input.npz"),
}


def bench_machine(lanes: int, target: Target) -> MachineConfig:
    """So many lanes with 2,048 weights each: three block RAMs of 18 kbit a lane.

    Small memories are LUTs where a family has such memory, so that 64 lanes fit the largest ECP5.
    """
    return MachineConfig(
        **structure(lanes),
        lanes=lanes,
        lut_memory=128 if target.distributed else 0,
        columns=512,
        mask_depth=512,
        weight_depth=2048,
        rows=256,
        parameter_depth=512,
        state_depth=128,
        store_depth=512,
    )


def area_row(lanes: int, target: Target, *, pnr: bool, seeds: int) -> tuple[str, dict[str, Any]]:
    """One row of the first table: as text, as JSON."""
    device = target.default_device
    verilog = machine_verilog(bench_machine(lanes, target))
    report = synth_verilog(verilog, TOP_MODULE, target, device, pnr=False)
    large = exceeded(report.total, device)
    if large:
        clock = f"too large for {device.title}: {'; '.join(large)}"
    elif target.pnr is None:
        clock = "no open tool"
    elif not pnr:
        clock = "not run"
    else:
        try:
            report = synth_verilog(verilog, TOP_MODULE, target, device, seeds=seeds)
            runs = ", ".join(f"{run.fmax_mhz:.1f}" for run in report.routed)
            clock = f"{report.fmax_mhz:.1f} ({runs})"
        except SparnnError as error:
            clock = str(error).split(";")[0]
    total = report.total
    text = (
        f"| {target.title}, {target.units['lut']} | {lanes} | {total['lut']} "
        f"({total['lut_logic']} + {total['lut_in_carry']} + {total['lut_in_lut_ram']}) | "
        f"{total['ff']} | {total['dsp']} | {total['bram']} of {target.units['bram']} | {clock} |"
    )
    return text, {"lanes": lanes, "clock": clock} | report.as_dict()


def latency_row(board: Board, network: str, examples: Path) -> tuple[str, dict[str, Any]]:
    """One row of the second table: the board's lanes and clock, cycles from simulation."""
    model, calibrate, inputs = (examples / name for name in _NETWORKS[network])
    entry: dict[str, Any] = {"board": board.name, "network": network, "mhz": board.machine_mhz}
    with tempfile.TemporaryDirectory(prefix="sparnn-latency-") as name:
        folder = Path(name) / "network"
        try:
            compile_model(model, calibrate, folder, config=board.name)
            config = load_program(folder).config
            assert isinstance(config, MachineConfig)
            needs = predict(config, board.target)
            short = [
                f"{needs[key]:.0f} {key} of {most}"
                for key, most in board.part.capacity.items()
                if needs.get("lut_logic" if key == "lut" else key, 0) > FILLED.get(key, 1.0) * most
            ]
            report = simulate(folder, inputs)
        except (SparnnError, ConfigurationError, SimulationError) as error:
            entry["error"] = str(error)
            return f"| {board.name} | {network} | refused: {error} |", entry
    step = report.cycles_per_step / board.machine_mhz
    fits = "fits" if not short else f"does not fit: {', '.join(short)}"
    entry |= {
        "lanes": config.lanes,
        "bit_exact": report.bit_exact,
        "cycles_per_step": report.cycles_per_step,
        "step_latency_us": step,
        "predicted": fits,
    }
    return (
        f"| {board.name} | {network} | {config.lanes} | {report.cycles_per_step:.1f} | "
        f"{board.machine_mhz:g} | {step:.1f} | {fits} |"
    ), entry


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", nargs="*", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--pnr-lanes", type=int, default=16, metavar="N", help="0: no clocks")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--boards", nargs="*", choices=BOARDS, default=list(BOARDS))
    parser.add_argument("--examples", type=Path, default=Path("examples"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []

    def show(row: tuple[str, dict[str, Any]]) -> None:
        print(row[0], flush=True)
        rows.append(row[1])
        if options.json is not None:
            options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")

    print("| family | lanes | LUT (logic + carry + LUT RAM) | FF | DSP | block RAM | MHz |")
    print("|---|---|---|---|---|---|---|")
    for lanes in options.lanes:
        for name in options.targets:
            pnr = lanes <= options.pnr_lanes
            show(area_row(lanes, TARGETS[name], pnr=pnr, seeds=options.seeds))
    print("\n| board | network | lanes | cycles a step | MHz | µs a step | predicted |")
    print("|---|---|---|---|---|---|---|")
    for board in options.boards:
        for network in _NETWORKS:
            show(latency_row(BOARDS[board], network, options.examples))


if __name__ == "__main__":
    main()
