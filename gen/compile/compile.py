"""`sparnn compile`: from a trained model to an output folder.

The folder holds

- `sparnn.v`, `sparnn.h`: the machine, and the C header of its packets and addresses;
- `network.npz`: the integer network, which the golden model runs;
- `image.bin`: the packets that load the network, little-endian 32-bit words;
- `weights.bin`, of a machine with `stream_bits`: what external memory holds;
- `program.json`: what the host has to know to run it (`sparnn.sim.host.program.MachineProgram`);
- `model.onnx`: the model as given; with `--prune` also `reference.onnx`, the same network with the
  pruned weights: the float reference judges the quantization, not the pruning;
- `tb/`: self-checking benches for Icarus, Verilator and cocotb (`sparnn.gen.output.testbench`);
- `estimate.json`: expected cycles, and the machine on boards (`sparnn.gen.estimate`);
- `manifest.json`: all of it described, with what is needed to make it again;
- with `--bus` also `sparnn_bus.v`, `sparnn_regs.h`, `sparnn_regs.rdl`, `registers.md` and, where
  there are jobs, `sparnn_driver.c` and `sparnn_driver.h` (docs/interface.md).
"""

from dataclasses import replace
from pathlib import Path

from sparnn.gen.boards import BOARDS, SYSTEM_BOARDS
from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.boards import check_board
from sparnn.gen.estimate.machine import estimate_machine
from sparnn.gen.graph.cells import export_warnings
from sparnn.gen.graph.read import ReadModel, read_model
from sparnn.gen.graph.write import placement_lines
from sparnn.gen.machines.bus import bus_choice
from sparnn.gen.machines.emit import config_option
from sparnn.gen.machines.presets import (
    is_file,
    load_machine,
    named_widths,
    with_whole_blocks,
)
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.prune import prune as prune_network
from sparnn.gen.output.folder import check_replaceable, written_aside
from sparnn.gen.output.manifest import sha256
from sparnn.gen.quantize.calibration import parse_calibration
from sparnn.gen.quantize.deltas import DeltaChoice, parse_delta
from sparnn.gen.quantize.widths import Wanted, choose_widths
from sparnn.hdl.bus.top import Bus
from sparnn.sim.progress import Phases
from sparnn.sim.threads import one_thread

from .place import place_all
from .summary import CompileSummary
from .write import write_folder

__all__ = ["compile_model"]


@one_thread()
def compile_model(
    model: Path,
    calibrate: Path,
    output: Path,
    *,
    config: str | None = None,
    lanes: int | None = None,
    prune: float | None = None,
    prune_rows: int | None = None,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    split_scales: bool | None = None,
    width: int | None = None,
    masks: bool | None = None,
    sqnr: float | None = None,
    calibration: str | None = None,
    steps: int | None = None,
    streams: int = 1,
    delta: str | float | None = None,
    delta_sqnr: float | None = None,
    bus: str | None = None,
    bus_bits: int | None = None,
) -> CompileSummary:
    """Compile a model into a folder; nothing is written unless all of it succeeds.

    A model that is not one network for the machine is cut (:mod:`sparnn.gen.graph`): its parts for
    the machine lie in ``parts/``, and what the host runs, in ONNX Runtime, in ``host/``.

    Parameters
    ----------
    model: an ONNX file. calibrate: an npz file with sample inputs.
    output: the folder; a previous output of sparnn is replaced.
    config, lanes, weight_bits, activation_bits, split_scales, width, masks: see
        :func:`~sparnn.gen.machines.presets.load_machine`. The memories of a machine from a preset
        are enlarged to what the network needs; a file is taken as it is. A machine that a board is
        too small for, by the prediction of ``sparnn estimate``, is refused.
    prune, prune_rows: share of the weights to set to zero, and rows in which they are so together,
        see :func:`~sparnn.gen.network.prune.prune`; one by one.
    sqnr: decibels of signal to quantization noise that the outputs keep on the sample inputs, with
        the fewest bits that do. Without it the machine's widths stay where they give
        :data:`~sparnn.gen.quantize.widths.DEFAULT_DB`, else wider ones are taken. Bits that are
        named, here or by ``config``, stay in any case.
    calibration: see :func:`~sparnn.gen.quantize.calibration.parse_calibration`.
    steps: that a run has room for. By default :data:`FITTED_STEPS`, or as many as the longest
        sample sequence has where layers run backwards, whose sequences cannot be split.
    streams: sequences that take turns, on a dense machine.
    delta, delta_sqnr: thresholds of differences, see
        :func:`~sparnn.gen.quantize.deltas.parse_delta`. Without them a machine from a file with
        ``delta = 1`` has thresholds of 0.
    bus, bus_bits: see :func:`~sparnn.gen.machines.bus.bus_choice`. AXI on a board whose machine is
        beside a processor.

    Raises
    ------
    SparnnError, ConfigurationError, SimulationError: something that the user has to change.
    """
    model, calibrate, output = Path(model), Path(calibrate), Path(output)
    check_replaceable(output)
    if bus is None and config in SYSTEM_BOARDS:
        bus = Bus.AXI.value
    around = bus_choice(bus, bus_bits)
    if prune is None and prune_rows is not None:
        raise SparnnError(f"--prune-rows {prune_rows}: say what share becomes zero, as --prune 0.6")
    way = parse_calibration(calibration)
    deltas = parse_delta(None if delta is None else str(delta), delta_sqnr)
    machine = load_machine(
        config,
        lanes,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        split_scales=split_scales,
        width=width,
        masks=masks,
        delta=None if deltas is None or is_file(config) else 1,
    )
    if deltas is None and machine.delta:
        deltas = DeltaChoice(0.0)
    phase = Phases()
    with phase("Reading the model"):
        read = read_model(model, calibrate)
    machine = with_whole_blocks(machine, _sizes(read), config)
    with phase("Quantizing"):
        widths = choose_widths(
            [(_pruned(one.network, prune, prune_rows), one.sequences) for one in read.parts],
            Wanted.of(machine, named_widths(config), sqnr, weight_bits, activation_bits),
            split_scales=machine.split_scales == 1,
            calibration=way,
        )
    parts = place_all(
        widths.networks,
        replace(machine, weight_bits=widths.weight_bits, activation_bits=widths.activation_bits),
        phase,
        deltas=deltas,
        fit=not is_file(config),
        pruned=prune is not None and prune > 0,
        steps=steps,
        streams=streams,
    )
    machine = parts[-1].placement.config
    if config is not None and config in BOARDS:
        check_board(machine, config)
    with phase("Packing"):
        for one in parts:
            one.pack()
    with phase("Writing Verilog"):
        verilog = kept_verilog(machine).encode()
    with phase("Estimating"):
        estimate = estimate_machine(
            [part.placement for part in parts],
            [part.activity for part in parts],
            max(len(one.x) for part in read.parts for one in part.sequences),
        )
    options = {
        "model": {"name": model.name, "sha256": sha256(model)},
        "calibrate": {"name": calibrate.name, "sha256": sha256(calibrate)},
        "config": config_option(config),
        "lanes": lanes,
        "prune": prune,
        **({} if prune_rows is None else {"prune_rows": prune_rows}),
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "split_scales": split_scales,
        **({} if width is None else {"width": width}),
        **({} if masks is None else {"masks": masks}),
        "sqnr": sqnr,
        "calibration": str(way),
        "streams": streams,
        **({} if steps is None else {"steps": steps}),
        **({} if delta is None else {"delta": str(delta), "delta_sqnr": delta_sqnr}),
        **(around.options if around is not None else {}),
    }
    with phase("Writing the folder"), written_aside(output) as folder:
        write_folder(folder, model, read, parts, verilog, estimate, around, options)
    lines = _model_lines(read)
    return CompileSummary(output, tuple(parts), lines, widths, len(verilog), estimate, phase)


def _sizes(read: ReadModel) -> list[tuple[int, ...]]:
    """[gates, units] of the recurrent layers."""
    layers = (layer for part in read.parts for layer in part.network.layers)
    return [layer.w_x.shape[:2] for layer in layers if layer.kind != "linear"]


def _model_lines(read: ReadModel) -> tuple[str, ...]:
    """What the user should know of the model: what runs where, and how it was taken."""
    return (
        *(() if read.cut is None else placement_lines(read.cut)),
        *(f"fixed          {line}, in what was compiled" for line in read.notes),
        *(f"recognized     {line}" for line in read.cells),
        *(f"warning        {line}" for line in export_warnings(read.model)),
    )


def _pruned(network: FloatNetwork, share: float | None, rows: int | None) -> FloatNetwork:
    return network if share is None else prune_network(network, share, rows or 1)
