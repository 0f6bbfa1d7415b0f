"""The output folder: the machine, and the files of each network."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx.external_data_helper import uses_external_data

from sparnn.gen.estimate.machine import ESTIMATE, MachineEstimate
from sparnn.gen.graph.inputs import model_sizes
from sparnn.gen.graph.read import ReadModel
from sparnn.gen.graph.write import write_graph
from sparnn.gen.machines.bus import BusChoice
from sparnn.gen.machines.emit import HEADER, VERILOG
from sparnn.gen.network.to_onnx import float_model
from sparnn.gen.output.c_driver import write_c_driver
from sparnn.gen.output.header import header_text
from sparnn.gen.output.manifest import MANIFEST, file_hashes, manifest_text, network_section
from sparnn.gen.output.testbench import write_testbench
from sparnn.gen.quantize.features import unscaled_features
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.host_model import HostModel

from .summary import CompiledPart

__all__ = ["write_folder"]


def write_folder(
    folder: Path,
    model: Path,
    read: ReadModel,
    parts: Sequence[CompiledPart],
    verilog: bytes,
    estimate: MachineEstimate,
    around: BusChoice | None,
    options: Mapping[str, Any],
) -> None:
    """All files of an empty folder. ``options``: what the manifest says the command was given."""
    machine = parts[-1].placement.config
    (folder / VERILOG).write_bytes(verilog)
    if around is not None:
        one_at_a_time = parts[0].placement.program.streams == 1
        around.write(folder, machine, bench=read.cut is None and one_at_a_time)
    estimated = json.dumps(estimate.as_dict(), indent=1)
    (folder / ESTIMATE).write_text(estimated + "\n", encoding="utf-8")
    _copy_model(model, read.model, folder / "model.onnx")
    if read.cut is None:
        _write_part(folder, parts[0], options, around, f"../{VERILOG}")
        return
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


def _write_part(
    folder: Path,
    part: CompiledPart,
    options: Mapping[str, Any],
    around: BusChoice | None,
    verilog: str,
) -> None:
    """A network's files, and the manifest of its folder. ``verilog``: its path from tb/."""
    network, program = part.quantized.network, part.placement.program
    image, external = part.placement.image, part.placement.external
    words = {"image_words": len(image)}
    if program.config.stream_bits:
        words["weights_words"] = len(external)
    (folder / HEADER).write_text(
        header_text(part.placement.config, program, network.layers[0].f_x, **words),
        encoding="utf-8",
    )
    if around is not None and around.bus.jobs:
        write_c_driver(folder, program, network)
    if program.streams == 1:
        write_testbench(
            folder / "tb",
            program,
            network,
            image,
            [quantize_sequence(network, one) for one in part.samples],
            verilog,
            external,
        )
    network.save(folder / "network.npz")
    (folder / "image.bin").write_bytes(image.astype("<u4").tobytes())
    if program.config.stream_bits:
        (folder / "weights.bin").write_bytes(external.astype("<u4").tobytes())
    (folder / "program.json").write_text(
        json.dumps(program.to_dict(), indent=1) + "\n", encoding="utf-8"
    )
    own = part.pruned or not _runs(folder / "model.onnx")
    if own:
        content = float_model(unscaled_features(part.network)).SerializeToString(deterministic=True)
        (folder / "reference.onnx").write_bytes(content)
    sections: Mapping[str, Any] = {
        "io": part.quantized.io,
        "reference": "reference.onnx" if own else "model.onnx",
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


def _runs(model: Path) -> bool:
    """Whether ONNX Runtime takes a model: it has no layout = 1, and asks for hidden_size."""
    try:
        HostModel(model, str(model))
    except SimulationError:
        return False
    return True


def _copy_model(model: Path, loaded: onnx.ModelProto, copy: Path) -> None:
    """One file, whatever the model and its weights lie in."""
    if model.suffix == ".onnx":
        given = onnx.load(model, load_external_data=False)
        apart = any(uses_external_data(tensor) for tensor in given.graph.initializer)
        if not apart and given == loaded:
            shutil.copyfile(model, copy)
            return
    copy.write_bytes(loaded.SerializeToString(deterministic=True))
