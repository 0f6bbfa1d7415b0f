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

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.bus.top import Bus
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.progress import Phases

from .boards import BOARDS, SYSTEM_BOARDS
from .estimate.boards import check_board
from .estimate.machine import ESTIMATE, MachineEstimate, estimate_machine
from .graph.cells import export_warnings
from .graph.read import model_sizes, read_model
from .graph.write import placement_lines, write_graph
from .machines.backend import backend
from .machines.bus import BusChoice, bus_choice
from .machines.emit import HEADER, VERILOG, config_option
from .machines.presets import is_file, load_machine, named_widths
from .machines.shared.placement import FITTED_STEPS, Placement
from .machines.shared.steps import single_steps
from .network.model import FloatNetwork
from .network.prune import prune as prune_network
from .network.to_onnx import float_model
from .output.c_driver import write_c_driver
from .output.folder import check_replaceable, written_aside
from .output.header import header_text
from .output.manifest import MANIFEST, file_hashes, manifest_text, network_section, sha256
from .output.testbench import SEQUENCES, write_testbench
from .quantize.activity import Activity, measure_activity
from .quantize.calibration import parse_calibration
from .quantize.deltas import DeltaChoice, delta_lines, parse_delta, with_thresholds
from .quantize.features import Fitted, unscaled_features
from .quantize.quantize import Quantized, proposals, saturation_report
from .quantize.widths import DEFAULT_DB, Chosen, Wanted, choose_widths

__all__ = ["CompileSummary", "CompiledPart", "compile_model"]


@dataclass(frozen=True, eq=False)
class CompiledPart:
    """One network on the machine.

    Members
    -------
    network: its real numbers, pruned where that was wanted. quantized: its integers.
    activity: see :func:`~sparnn.gen.quantize.activity.measure_activity`.
    placement: where they lie. pruned: whether weights were set to zero.
    samples: the first calibration sequences, for the benches.
    """

    network: FloatNetwork
    quantized: Quantized
    activity: Activity
    placement: Placement
    pruned: bool
    samples: Sequence[InputSequence]

    def pack(self) -> None:
        """Make program and image, which refuse what does not fit."""
        _ = self.placement.program, self.placement.image

    def lines(self, *, propose: bool) -> list[str]:
        """For the user. ``propose``: name the tensors that more bits would serve."""
        lines = []
        program = self.placement.program
        for layer, placed in zip(self.quantized.network.layers, program.layers, strict=True):
            weights = [w for w in (layer.w_x, layer.w_h) if w is not None]
            total = sum(w.size for w in weights)
            present = sum(int(np.count_nonzero(w)) for w in weights)
            lines.append(
                f"layer          {layer.name}: {layer.kind}, {layer.inputs} inputs, {layer.units} "
                f"units, {present} of {total} weights, {placed.tiling}"
            )
        lines.append(
            f"image          {4 * len(self.placement.image)} bytes, up to {program.max_steps} "
            "steps in one run"
        )
        lines += [f"memory         {line}" for line in self.placement.memory_lines()]
        lines += [
            f"deltas         {line}" for line in delta_lines(self.quantized.network, self.activity)
        ]
        lines += [f"saturation     {line}" for line in saturation_report(self.quantized)]
        if propose:
            lines += [f"precision      {line}" for line in proposals(self.quantized)]
        if self.pruned:
            lines.append("pruned         by magnitude, without retraining: check the accuracy")
        return lines


@dataclass(frozen=True, eq=False)
class CompileSummary:
    """What was compiled. ``host``: what runs on the host, and warnings, for people."""

    output: Path
    parts: tuple[CompiledPart, ...]
    host: tuple[str, ...]
    widths: Chosen
    verilog_bytes: int
    estimate: MachineEstimate
    phases: Phases

    def lines(self) -> list[str]:
        """For the user."""
        config = self.parts[-1].placement.config
        lines = backend(config).lines(config)
        for number, part in enumerate(self.parts):
            if len(self.parts) > 1:
                lines.append(f"part {number}")
            lines += part.lines(propose=not self.widths.reached)
        lines += self.host
        lines += self.widths.lines()
        lines += self.estimate.lines()
        lines.append(f"Verilog        {self.verilog_bytes} bytes")
        return [*lines, f"written        {self.output}"]


def compile_model(
    model: Path,
    calibrate: Path,
    output: Path,
    *,
    config: str | None = None,
    lanes: int | None = None,
    prune: float | None = None,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    split_scales: bool | None = None,
    width: int | None = None,
    masks: bool | None = None,
    sqnr: float | None = None,
    calibration: str | None = None,
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
    prune: share of the weights to set to zero.
    sqnr: decibels of signal to quantization noise that the outputs keep on the sample inputs, with
        the fewest bits that do. Without it the machine's widths stay where they give
        :data:`~sparnn.gen.quantize.widths.DEFAULT_DB`, else wider ones are taken. Bits that are
        named, here or by ``config``, stay in any case.
    calibration: see :func:`~sparnn.gen.quantize.calibration.parse_calibration`.
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
    )
    if deltas is None and machine.delta:
        deltas = DeltaChoice(0.0)
    phase = Phases()
    with phase("Reading the model"):
        read = read_model(model, calibrate)
    with phase("Quantizing"):
        networks = [
            one.network if prune is None else prune_network(one.network, prune)
            for one in read.parts
        ]
        named = named_widths(config)
        wanted = Wanted(
            sqnr_db=DEFAULT_DB if sqnr is None else sqnr,
            weight_bits=machine.weight_bits,
            activation_bits=machine.activation_bits,
            weights_fixed=weight_bits is not None or "weight_bits" in named,
            activations_fixed=activation_bits is not None or "activation_bits" in named,
            cheapest=sqnr is not None,
        )
        widths = choose_widths(
            [(one, part.sequences) for one, part in zip(networks, read.parts, strict=True)],
            wanted,
            split_scales=machine.split_scales == 1,
            calibration=way,
        )
        machine = replace(
            machine, weight_bits=widths.weight_bits, activation_bits=widths.activation_bits
        )
    parts: list[CompiledPart] = []
    pruned = prune is not None and prune > 0
    for fitted in widths.networks:
        if deltas is not None:
            with phase("Choosing thresholds"):
                fitted = with_thresholds(fitted, deltas, single_steps(fitted.quantized.network))
        placed = _compile_part(
            fitted, machine, phase, fit=not is_file(config), pruned=pruned, streams=streams
        )
        machine = placed.placement.config
        parts.append(placed)
    with phase("Placing"):  # on one machine for all, as the last one left it
        parts = [
            part if part.placement.config == machine else _moved(part, machine, streams)
            for part in parts
        ]
    if config is not None and config in BOARDS:
        check_board(machine, config)
    with phase("Packing"):
        for part in parts:
            part.pack()
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
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "split_scales": split_scales,
        **({} if width is None else {"width": width}),
        **({} if masks is None else {"masks": masks}),
        "sqnr": sqnr,
        "calibration": str(way),
        "streams": streams,
        **({} if delta is None else {"delta": str(delta), "delta_sqnr": delta_sqnr}),
        **(around.options if around is not None else {}),
    }
    with phase("Writing the folder"), written_aside(output) as folder:
        (folder / VERILOG).write_bytes(verilog)
        if around is not None:
            around.write(folder, machine, bench=read.cut is None and streams == 1)
        estimated = json.dumps(estimate.as_dict(), indent=1)
        (folder / ESTIMATE).write_text(estimated + "\n", encoding="utf-8")
        _copy_model(model, folder / "model.onnx")
        if read.cut is None:
            _write_part(folder, parts[0], options, around, f"../{VERILOG}")
        else:
            graph = write_graph(folder, read.cut, model_sizes(read.model))
            for part, place, cut in zip(parts, graph.parts, read.cut.parts, strict=True):
                content = cut.model.SerializeToString(deterministic=True)
                (place / "model.onnx").write_bytes(content)
                _write_part(place, part, options, around, f"../../../{VERILOG}")
            text = manifest_text(
                command="compile",
                options=options,
                config=machine,
                files=file_hashes(folder),
                sections={"graph": graph.section},
            )
            (folder / MANIFEST).write_text(text, encoding="utf-8")
    host = () if read.cut is None else tuple(placement_lines(read.cut))
    host += tuple(f"warning        {line}" for line in export_warnings(read.model))
    return CompileSummary(output, tuple(parts), host, widths, len(verilog), estimate, phase)


def _compile_part(
    fitted: Fitted,
    machine: MachineConfig,
    phase: Phases,
    *,
    fit: bool,
    pruned: bool,
    streams: int,
) -> CompiledPart:
    """Place one network; the machine grows where it may."""
    quantized, sequences = fitted.quantized, fitted.sequences
    with phase("Measuring activity"):
        activity = measure_activity(quantized.network, sequences)
    with phase("Placing"):
        placement = backend(machine).place(
            quantized.network,
            machine,
            quantized.io["outputs"],
            fit=fit,
            activity=activity,
            steps=_longest_run(quantized.network, sequences),
            streams=streams,
        )
    samples = sequences[:SEQUENCES]
    return CompiledPart(fitted.network, quantized, activity, placement, pruned, samples)


def _moved(part: CompiledPart, machine: MachineConfig, streams: int) -> CompiledPart:
    """The same network on a machine that has grown since."""
    placement = backend(machine).place(
        part.quantized.network,
        machine,
        part.quantized.io["outputs"],
        activity=part.activity,
        streams=streams,
    )
    return replace(part, placement=placement)


def _write_part(
    folder: Path,
    part: CompiledPart,
    options: Mapping[str, Any],
    around: BusChoice | None,
    verilog: str,
) -> None:
    """A network's files, and the manifest of its folder. ``verilog``: its path from tb/."""
    network, program = part.quantized.network, part.placement.program
    (folder / HEADER).write_text(
        header_text(
            part.placement.config, program, network.layers[0].f_x, len(part.placement.image)
        ),
        encoding="utf-8",
    )
    if around is not None and around.bus.jobs and not program.config.stream_bits:
        write_c_driver(folder, program, network)
    if program.streams == 1 and not program.config.stream_bits:
        write_testbench(
            folder / "tb",
            program,
            network,
            part.placement.image,
            [quantize_sequence(network, one) for one in part.samples],
            verilog,
        )
    network.save(folder / "network.npz")
    (folder / "image.bin").write_bytes(part.placement.image.astype("<u4").tobytes())
    if program.config.stream_bits:
        (folder / "weights.bin").write_bytes(part.placement.external.astype("<u4").tobytes())
    (folder / "program.json").write_text(
        json.dumps(program.to_dict(), indent=1) + "\n", encoding="utf-8"
    )
    if part.pruned:
        content = float_model(unscaled_features(part.network)).SerializeToString(deterministic=True)
        (folder / "reference.onnx").write_bytes(content)
    sections: Mapping[str, Any] = {
        "io": part.quantized.io,
        "reference": "reference.onnx" if part.pruned else "model.onnx",
        **network_section(network, program),
    }
    text = manifest_text(
        command="compile",
        options=options,
        config=part.placement.config,
        files=file_hashes(folder),
        sections=sections,
    )
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def _longest_run(network: IntegerNetwork, sequences: Sequence[InputSequence]) -> int:
    """Steps to make room for: sequences that run backwards have to fit the store whole."""
    if not any(layer.reverse for layer in network.layers):
        return FITTED_STEPS
    return max(FITTED_STEPS, *(len(sequence.x) for sequence in sequences))


def _copy_model(model: Path, copy: Path) -> None:
    """One file, whatever the model's weights lie in."""
    loaded = onnx.load(model, load_external_data=False)
    if any(uses_external_data(tensor) for tensor in loaded.graph.initializer):
        copy.write_bytes(onnx.load(model).SerializeToString(deterministic=True))
    else:
        shutil.copyfile(model, copy)
