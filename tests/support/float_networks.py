"""Networks in floats beside ONNX Runtime, and in integers beside floats."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto
from support.onnx_builder import feeds_for

from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.run import named_output, run_network
from sparnn.gen.onnx.reader import network_of
from sparnn.gen.quantize.quantize import Quantized
from sparnn.sim.golden.layers import run_network as run_golden
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.network.arrays import Sequence, assemble_outputs, load_inputs

__all__ = ["check", "onnx_runtime", "outputs", "run_float", "sample"]

Arrays = dict[str, np.ndarray[Any, Any]]


def onnx_runtime(model: ModelProto, feeds: Arrays) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Optimized, ONNX Runtime approximates products with dequantized weights (3e-3 off here).
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [o.name for o in model.graph.output]
    return dict(zip(names, session.run(names, feeds), strict=True))


def run_float(network: FloatNetwork, feeds: Arrays, folder: Path) -> Arrays:
    """The float network on arrays in the model's layout, through the io section."""
    path = folder / "feeds.npz"
    np.savez(path, **feeds)
    per_sequence: list[dict[str, Any]] = []
    for sequence in load_inputs(path, network.io, network.input_sizes):
        initial = {key: value[np.newaxis] for key, value in sequence.initial.items()}
        traces = run_network(network, sequence.x[np.newaxis], initial)
        outputs: dict[str, Any] = {}
        for entry in network.io["outputs"]:
            outputs[entry["name"]] = named_output(traces, entry)[0]
        per_sequence.append(outputs)
    # Floats in format 0.
    io = {"outputs": [{**entry, "f": 0} for entry in network.io["outputs"]]}
    return assemble_outputs(io, per_sequence)


def check(model: ModelProto, folder: Path, **sizes: int) -> FloatNetwork:
    network = network_of(model)
    feeds = feeds_for(model, **sizes)
    expected, got = onnx_runtime(model, feeds), run_float(network, feeds, folder)
    assert expected.keys() == got.keys()
    for name, array in expected.items():
        assert got[name].shape == array.shape
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)
    return network


def sample(network: FloatNetwork, count: int = 6, steps: int = 12, seed: int = 0) -> list[Sequence]:
    random = np.random.default_rng(seed)
    roles = [(e["role"], e["layer"]) for e in network.io["inputs"] if e["role"] != "x"]
    sizes = network.input_sizes
    return [
        Sequence(
            random.normal(size=(steps, sizes["x", 0])),
            {key: random.normal(size=sizes[key]) * 0.5 for key in roles},
        )
        for _ in range(count)
    ]


def outputs(
    network: FloatNetwork, quantized: Quantized, sequences: list[Sequence]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(float, integer) of every io output, over all sequences."""
    pairs: list[tuple[list[np.ndarray], list[np.ndarray]]] = [
        ([], []) for _ in network.io["outputs"]
    ]
    for s in sequences:
        exact = run_network(network, s.x[None], {k: v[None] for k, v in s.initial.items()})
        fed = quantize_sequence(quantized.network, s)
        trace = run_golden(quantized.network, fed.x, fed.initial)
        for (a, b), entry in zip(pairs, quantized.io["outputs"], strict=True):
            a.append(np.atleast_2d(named_output(exact, entry)[0]))
            integers = np.atleast_2d(trace.output(entry["layer"], entry["what"]))
            b.append(np.ldexp(integers.astype(float), -entry["f"]))
    return [(np.concatenate(a), np.concatenate(b)) for a, b in pairs]
