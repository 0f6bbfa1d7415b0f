"""`sparnn compile`: from a trained model to an output folder.

The folder holds

- `sparnn.v`, `sparnn.h`: the machine, and the C header of its packets and addresses;
- `network.npz`: the integer network, which the golden model runs;
- `image.bin`: the packets that load the network, little-endian 32-bit words;
- `program.json`: what the host has to know to run it (`sparnn.sim.host.program.MachineProgram`);
- `model.onnx`: the model as given; with `--prune` also `reference.onnx`, the same network with the
  pruned weights: the float reference judges the quantization, not the pruning;
- `manifest.json`: all of it described, with what is needed to make it again.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

from sparnn.hdl.emit import machine_verilog
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.arrays import load_inputs
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.progress import Phases

from .machines.backend import backend
from .machines.emit import HEADER, VERILOG, config_option
from .machines.presets import is_file, load_machine
from .machines.shared.placement import FITTED_STEPS, Placement
from .network.prune import prune as prune_network
from .network.to_onnx import float_model
from .onnx.reader import import_onnx
from .output.folder import check_replaceable, written_aside
from .output.header import header_text
from .output.manifest import MANIFEST, file_hashes, manifest_text, network_section, sha256
from .quantize.activity import measure_activity
from .quantize.calibrate import calibrate as measure_ranges
from .quantize.quantize import Quantized, proposals, quantize, saturation_report

__all__ = ["CompileSummary", "compile_model"]


@dataclass(frozen=True, eq=False)
class CompileSummary:
    """What was compiled."""

    output: Path
    quantized: Quantized
    placement: Placement
    verilog_bytes: int
    pruned: bool
    phases: Phases

    def lines(self) -> list[str]:
        """For the user."""
        program = self.placement.program
        config = self.placement.config
        lines = backend(config).lines(config)
        for layer, placed in zip(self.quantized.network.layers, program.layers, strict=True):
            weights = [w for w in (layer.w_x, layer.w_h) if w is not None]
            total = sum(w.size for w in weights)
            present = sum(int(np.count_nonzero(w)) for w in weights)
            lines.append(
                f"layer          {layer.name}: {layer.kind}, {layer.inputs} inputs, {layer.units} "
                f"units, {present} of {total} weights, {placed.tiling}"
            )
        lines += [
            f"image          {4 * len(self.placement.image)} bytes, up to {program.max_steps} "
            "steps in one run",
            f"Verilog        {self.verilog_bytes} bytes",
        ]
        lines += [f"saturation     {line}" for line in saturation_report(self.quantized)]
        lines += [f"precision      {line}" for line in proposals(self.quantized)]
        if self.pruned:
            lines.append("pruned         by magnitude, without retraining: check the accuracy")
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
    streams: int = 1,
) -> CompileSummary:
    """Compile a model into a folder; nothing is written unless all of it succeeds.

    Parameters
    ----------
    model: an ONNX file. calibrate: an npz file with sample inputs.
    output: the folder; a previous output of sparnn is replaced.
    config, lanes, weight_bits, activation_bits, split_scales: see
        :func:`~sparnn.gen.machines.presets.load_machine`. The memories of a machine from a preset
        are enlarged to what the network needs; a file is taken as it is.
    prune: share of the weights to set to zero.
    streams: sequences that take turns, on a dense machine.

    Raises
    ------
    SparnnError, ConfigurationError, SimulationError: something that the user has to change.
    """
    model, calibrate, output = Path(model), Path(calibrate), Path(output)
    check_replaceable(output)
    machine = load_machine(
        config,
        lanes,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        split_scales=split_scales,
    )
    phase = Phases()
    with phase("Reading the model"):
        network = import_onnx(model)
    pruned = prune is not None and prune > 0
    if prune is not None:
        network = prune_network(network, prune)
    sequences = load_inputs(calibrate, network.io, network.input_sizes)
    with phase("Calibrating"):
        ranges = measure_ranges(network, sequences)
    with phase("Quantizing"):
        quantized = quantize(
            network,
            ranges,
            machine.weight_bits,
            machine.activation_bits,
            split_scales=machine.split_scales == 1,
        )
    with phase("Measuring activity"):
        activity = measure_activity(quantized.network, sequences)
    with phase("Placing"):
        placement = backend(machine).place(
            quantized.network,
            machine,
            quantized.io["outputs"],
            fit=not is_file(config),
            activity=activity,
            steps=_longest_run(quantized.network, sequences),
            streams=streams,
        )
    with phase("Packing"):
        program, image = placement.program, placement.image
    with phase("Writing Verilog"):
        verilog = machine_verilog(placement.config).encode()
    with phase("Writing the folder"), written_aside(output) as folder:
        (folder / VERILOG).write_bytes(verilog)
        (folder / HEADER).write_text(
            header_text(placement.config, program, quantized.network.layers[0].f_x),
            encoding="utf-8",
        )
        quantized.network.save(folder / "network.npz")
        (folder / "image.bin").write_bytes(image.astype("<u4").tobytes())
        (folder / "program.json").write_text(
            json.dumps(program.to_dict(), indent=1) + "\n", encoding="utf-8"
        )
        _copy_model(model, folder / "model.onnx")
        if pruned:
            content = float_model(network).SerializeToString(deterministic=True)
            (folder / "reference.onnx").write_bytes(content)
        options = {
            "model": {"name": model.name, "sha256": sha256(model)},
            "calibrate": {"name": calibrate.name, "sha256": sha256(calibrate)},
            "config": config_option(config),
            "lanes": lanes,
            "prune": prune,
            "weight_bits": weight_bits,
            "activation_bits": activation_bits,
            "split_scales": split_scales,
            "streams": streams,
        }
        sections: Mapping[str, Any] = {
            "io": quantized.io,
            "reference": "reference.onnx" if pruned else "model.onnx",
            **network_section(quantized.network, program),
        }
        text = manifest_text(
            command="compile",
            options=options,
            config=placement.config,
            files=file_hashes(folder),
            sections=sections,
        )
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    return CompileSummary(output, quantized, placement, len(verilog), pruned, phase)


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
