"""The tests of LSTM, GRU and RNN that the onnx package ships, float and in integers.

Part of :mod:`.conformance`.
"""

import importlib
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.network.to_onnx import float_model
from sparnn.gen.onnx.reader import network_of
from sparnn.sim.errors import SimulationError
from sparnn.sim.host_model import HostModel
from sparnn.sim.network.arrays import write_npz
from sparnn.sim.session.session import InferenceSession

__all__ = ["NodeTest", "node_test_row", "node_tests"]

Arrays = Mapping[str, npt.NDArray[Any]]
#: Machines in the order in which they are tried: only the dense one has peepholes.
_MACHINES: Mapping[str, dict[str, Any]] = {
    "machine": {"lanes": 1},
    "dense machine": {"config": "dense64"},
}


@dataclass(frozen=True, eq=False)
class NodeTest:
    """One test: a model of one node, whose other inputs are constants; X, and what it gives."""

    name: str
    model: ModelProto
    x: Arrays
    outputs: Arrays


def node_tests() -> list[NodeTest]:
    """All of them, in the package's order."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, class_name in (("lstm", "LSTM"), ("gru", "GRU"), ("rnn", "RNN")):
            module: Any = importlib.import_module(f"onnx.backend.test.case.node.{name}")
            original = module.expect

            def keep(node: Any, inputs: Any, outputs: Any, name: str) -> None:
                found.append(_test(name, node, list(inputs), list(outputs)))

            try:
                module.expect = keep
                cases = getattr(module, class_name)
                for attribute in dir(cases):
                    if attribute.startswith("export"):
                        getattr(cases, attribute)()
            finally:
                module.expect = original
    return found


def _test(name: str, node: Any, inputs: list[Any], outputs: list[Any]) -> NodeTest:
    feeds = dict(zip([n for n in node.input if n], inputs, strict=True))
    x, *others = feeds
    out = dict(zip([n for n in node.output if n], outputs, strict=True))
    graph = helper.make_graph(
        [node],
        name,
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, feeds[x].shape)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in out.items()],
        [numpy_helper.from_array(feeds[n], n) for n in others],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=8)
    return NodeTest(name, model, {x: feeds[x]}, out)


def node_test_row(test: NodeTest) -> dict[str, Any]:
    """The float path's largest error, and the golden model's signal to noise in 8 bits or more,
    calibrated on the test's own input; where it is refused, why."""
    row: dict[str, Any] = {"test": test.name.removeprefix("test_"), "why": ""}
    with tempfile.TemporaryDirectory(prefix="sparnn-node-") as name:
        folder = Path(name)
        onnx.save(test.model, folder / "m.onnx")
        write_npz(folder / "x.npz", dict(test.x))
        for where, options in _MACHINES.items():
            try:
                summary = compile_model(
                    folder / "m.onnx", folder / "x.npz", folder / "out", **options
                )
            except (SparnnError, SimulationError) as error:
                row |= {"where": "refused", "why": str(error)}
            else:
                row |= {"where": "with the host" if summary.host else where, "why": ""}
                break
        else:
            return row
        session = InferenceSession(folder / "out")
        golden = session.run(list(test.outputs), dict(test.x))
    wanted = np.concatenate([array.ravel() for array in test.outputs.values()]).astype(np.float64)
    noise = float(((wanted - np.concatenate([array.ravel() for array in golden])) ** 2).sum())
    decibels = float(10 * np.log10(float((wanted**2).sum()) / noise)) if noise else float("inf")
    row |= {"golden_db": decibels, "golden": f"{decibels:.1f} dB" if noise else "exact"}
    try:
        network = network_of(test.model)
    except SparnnError:
        return row
    model = HostModel(float_model(network).SerializeToString(), "the network")
    found = model.run(test.x, list(test.outputs))
    return row | {"error": max(float(np.abs(found[n] - a).max()) for n, a in test.outputs.items())}
