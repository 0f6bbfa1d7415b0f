"""The float reference of a folder, where ONNX Runtime does not run the model itself."""

import json
from pathlib import Path

import numpy as np
import onnx
from support.onnx_builder import feeds_for, single

from sparnn.gen.compile import compile_model
from sparnn.sim.host_model import HostModel


def test_a_layout_that_the_reference_does_not_have(tmp_path: Path) -> None:
    model = single("GRU", steps="batch", batch="time", layout=1)
    onnx.save(model, tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", **feeds_for(model))
    compile_model(tmp_path / "m.onnx", tmp_path / "x.npz", tmp_path / "out", lanes=1)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["reference"] == "reference.onnx"
    assert HostModel(tmp_path / "out" / "reference.onnx", "the reference").inputs
