"""`python -m sparnn.gen.bench.conformance`: what becomes of every attribute and option of ONNX's
LSTM, GRU and RNN, and of PyTorch's modules as its exporter writes them.

Each case is one small model with drawn weights. ``machine``: the importer takes all of it;
``with the host``: the graph is cut; ``refused``: with the reason. The error is the largest one of
the float path, what sparnn made of the file written back as ONNX, against ONNX Runtime on the file
itself (with layout = 1, which that does not run, against ONNX's reference). ``--write`` puts the
table, and one of the tests that onnx ships (:mod:`.node_tests`), into docs/results/conformance.json
and docs/results/conformance.md.
"""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from sparnn.gen.errors import SparnnError
from sparnn.gen.graph.cut import Part, cut
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.to_onnx import float_model
from sparnn.gen.onnx.reader import network_of
from sparnn.sim.errors import SimulationError
from sparnn.sim.host_model import HostModel

from .node_tests import node_test_row, node_tests
from .tables import write_pages

__all__ = ["Case", "cases", "main", "row"]

RESULTS = Path("docs/results/conformance.json")
_STEPS, _BATCH, _INPUTS, _UNITS = 5, 3, 4, 6
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_OUTPUTS = {"LSTM": ("Y", "Y_h", "Y_c"), "GRU": ("Y", "Y_h"), "RNN": ("Y", "Y_h")}

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Case:
    """One option. ``of``: the operator or module. ``feeds``: inputs, two sequences of them."""

    of: str
    option: str
    model: ModelProto
    feeds: Arrays


class _Builder:
    """A recurrent node with what it reads, and perhaps nodes around it."""

    def __init__(self, op: str, seed: int, **attributes: Any):
        self.op, self.rng, self.attributes = op, np.random.default_rng(seed), attributes
        self.nodes: list[Any] = []
        self.weights: list[TensorProto] = []
        self.inputs: dict[str, npt.NDArray[Any]] = {}
        self.open: dict[str, list[Any]] = {}
        self.opset = 17

    def drawn(self, *shape: int) -> npt.NDArray[np.float32]:
        return (self.rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

    def weight(self, array: npt.NDArray[Any]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def input(self, name: str, array: npt.NDArray[Any], shape: Sequence[Any]) -> str:
        self.inputs[name], self.open[name] = array, list(shape)
        return name

    def node(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), name, **attributes))

    def recurrent(
        self,
        x: str,
        given: Mapping[int, str] | None = None,
        *,
        inputs: int = _INPUTS,
        bias: bool = True,
        size: bool = True,
        names: Sequence[str] | None = None,
    ) -> list[str]:
        """The node itself; ``given``: optional inputs by their place."""
        directions = 2 if self.attributes.get("direction") == "bidirectional" else 1
        rows = _GATES[self.op] * _UNITS
        read = [
            x,
            self.weight(self.drawn(directions, rows, inputs)),
            self.weight(self.drawn(directions, rows, _UNITS)),
            self.weight(self.drawn(directions, 2 * rows)) if bias else "",
            *[""] * 4,
        ]
        for place, name in (given or {}).items():
            read[place] = name
        while not read[-1]:
            read.pop()
        outputs = list(names or _OUTPUTS[self.op])
        attributes = {"hidden_size": _UNITS} if size else {}
        self.node(self.op, read, outputs, **attributes | self.attributes)
        return outputs

    def case(self, of: str, option: str, outputs: Sequence[str]) -> Case:
        kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
        graph = helper.make_graph(
            self.nodes,
            "g",
            [
                helper.make_tensor_value_info(name, kinds[array.dtype], self.open[name])
                for name, array in self.inputs.items()
            ],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return Case(of, option, shape_inference.infer_shapes(model), self.inputs)


def _x(b: _Builder, *, layout: int = 0, batch: Any = "batch", time: Any = "time") -> str:
    if layout:
        return b.input("x", b.drawn(_BATCH, _STEPS, _INPUTS), [batch, time, _INPUTS])
    return b.input("x", b.drawn(_STEPS, _BATCH, _INPUTS), [time, batch, _INPUTS])


def _attributes(op: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Option -> attributes of the node."""
    yield "defaults", {}
    for direction in ("reverse", "bidirectional"):
        yield f"direction = {direction}", {"direction": direction}
    yield "layout = 1", {"layout": 1}
    yield "clip = 1", {"clip": 1.0}
    yield "clip = 20", {"clip": 20.0}
    if op == "LSTM":
        yield "input_forget = 1", {"input_forget": 1}
    if op == "GRU":
        for direction in ("forward", "reverse", "bidirectional"):
            yield (
                f"linear_before_reset = 1, {direction}",
                {"linear_before_reset": 1, "direction": direction},
            )
    plain = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[op]
    functions: dict[str, dict[str, Any]] = {
        "Relu": {},
        "Tanh": {},
        "Sigmoid": {},
        "HardSigmoid": {"activation_alpha": [0.2], "activation_beta": [0.5]},
        "Affine": {"activation_alpha": [0.7], "activation_beta": [0.1]},
        "ScaledTanh": {"activation_alpha": [1.0], "activation_beta": [0.7]},
        "LeakyRelu": {"activation_alpha": [0.1]},
        "ThresholdedRelu": {"activation_alpha": [0.1]},
        "Elu": {"activation_alpha": [1.0]},
        "Softsign": {},
        "Softplus": {},
    }
    for place in range(len(plain)):
        for name, arguments in functions.items():
            if name != plain[place]:
                chosen = [*plain[:place], name, *plain[place + 1 :]]
                yield f"activations = {', '.join(chosen)}", {"activations": chosen, **arguments}


def _onnx_cases() -> Iterator[Case]:
    for number, op in enumerate(_OUTPUTS):
        for k, (option, attributes) in enumerate(_attributes(op)):
            b = _Builder(op, 100 * number + k, **attributes)
            outputs = b.recurrent(_x(b, layout=attributes.get("layout", 0)))
            yield b.case(op, option, outputs)
        yield from _inputs_of(op, 50 + 100 * number)


def _inputs_of(op: str, seed: int) -> Iterator[Case]:
    """Optional inputs and outputs."""
    b = _Builder(op, seed)
    yield b.case(op, "no B", b.recurrent(_x(b), bias=False))
    b = _Builder(op, seed + 1)
    yield b.case(op, "no hidden_size", b.recurrent(_x(b), size=False))
    for output in _OUTPUTS[op]:
        b = _Builder(op, seed + 2)
        b.recurrent(_x(b))
        yield b.case(op, f"{output} alone", [output])
    lengths = {
        "sequence_lens constant, whole": np.full(_BATCH, _STEPS, np.int32),
        "sequence_lens constant, shorter": np.array([5, 2, 3], np.int32),
    }
    for option, array in lengths.items():
        b = _Builder(op, seed + 3)
        x = _x(b, batch=_BATCH, time=_STEPS)
        yield b.case(op, option, b.recurrent(x, {4: b.weight(array)}))
    b = _Builder(op, seed + 4)
    n = b.input("n", np.array([5, 1, 4], np.int32), ["batch"])
    yield b.case(op, "sequence_lens given", b.recurrent(_x(b), {4: n}))
    for place, name in ((5, "initial_h"), (6, "initial_c"))[: 1 + (op == "LSTM")]:
        b = _Builder(op, seed + 5)
        h = b.input("h", b.drawn(1, _BATCH, _UNITS), [1, "batch", _UNITS])
        yield b.case(op, f"{name} given", b.recurrent(_x(b), {place: h}))
        b = _Builder(op, seed + 6)
        same = np.repeat(b.drawn(1, 1, _UNITS), _BATCH, axis=1)
        yield b.case(
            op, f"{name} constant", b.recurrent(_x(b, batch=_BATCH), {place: b.weight(same)})
        )
    if op == "LSTM":
        b = _Builder(op, seed + 7)
        yield b.case(op, "P (peepholes)", b.recurrent(_x(b), {7: b.weight(b.drawn(1, 3 * _UNITS))}))
    for opset in (7, 13, 14, 21):
        b = _Builder(op, seed + 8)
        b.opset = opset
        yield b.case(op, f"operator set {opset}", b.recurrent(_x(b)))


def _torch_cases() -> Iterator[Case]:
    """PyTorch's modules, as `torch.onnx.export(dynamo=False)` writes them."""
    for number, op in enumerate(_OUTPUTS):
        of = f"nn.{op}"
        extra: dict[str, Any] = {"linear_before_reset": 1} if op == "GRU" else {}
        if op == "RNN":
            extra = {"activations": ["Tanh"]}
        options: list[tuple[str, dict[str, Any]]] = [
            ("defaults", {}),
            ("batch_first = True", {"first": True}),
            ("num_layers = 2", {"layers": 2}),
            ("bidirectional = True", {"both": True}),
            ("num_layers = 2, bidirectional = True", {"layers": 2, "both": True}),
            ("bias = False", {"bias": False}),
            ("h_0 given", {"state": True}),
            ("output of the last step", {"last": True}),
            ("h_n", {"final": True}),
        ]
        if op == "RNN":
            options.append(("nonlinearity = relu", {"attributes": {"activations": ["Relu"]}}))
        for k, (option, how) in enumerate(options):
            yield _torch(op, of, option, 500 + 20 * number + k, extra, **how)


def _torch(
    op: str,
    of: str,
    option: str,
    seed: int,
    extra: Mapping[str, Any],
    *,
    first: bool = False,
    layers: int = 1,
    both: bool = False,
    bias: bool = True,
    state: bool = False,
    last: bool = False,
    final: bool = False,
    attributes: Mapping[str, Any] | None = None,
) -> Case:
    direction = "bidirectional" if both else "forward"
    chosen = {**extra, **(attributes or {}), "direction": direction}
    if both and "activations" in chosen:
        chosen["activations"] = chosen["activations"] * 2
    b = _Builder(op, seed, **chosen)
    x = _x(b, layout=int(first))
    if first:
        b.node("Transpose", [x], ["xt"], perm=[1, 0, 2])
        x = "xt"
    width, finals = _INPUTS, []
    for layer in range(layers):
        given = {}
        if state:
            shape = (1 + both, _BATCH, _UNITS)
            given[5] = b.input("h0", b.drawn(*shape), [1 + both, "batch", _UNITS])
            if op == "LSTM":
                given[6] = b.input("c0", b.drawn(*shape), [1 + both, "batch", _UNITS])
        names = [f"{name}{layer}" for name in _OUTPUTS[op]]
        b.recurrent(x, given, inputs=width, bias=bias, names=names)
        finals.append(names[1])
        x = f"y{layer}"
        if both:
            b.node("Transpose", [names[0]], [f"t{layer}"], perm=[0, 2, 1, 3])
            shape_of = b.weight(np.array([0, 0, -1], np.int64))
            b.node("Reshape", [f"t{layer}", shape_of], [x])
        else:
            b.node("Squeeze", [names[0], b.weight(np.array([1], np.int64))], [x])
        width = _UNITS * (1 + both)
    if last:
        b.node("Gather", [x, b.weight(np.array(-1, np.int64))], ["last"], axis=0)
        return b.case(of, option, ["last"])
    if final:
        return b.case(of, option, [finals[-1]])
    if first:
        b.node("Transpose", [x], ["out"], perm=[1, 0, 2])
        x = "out"
    return b.case(of, option, [x])


def cases() -> list[Case]:
    """All of them, in the order of the table."""
    return [*_onnx_cases(), *_torch_cases()]


def row(case: Case) -> dict[str, Any]:
    """What becomes of a case, and how far the float path is from ONNX Runtime."""
    entry: dict[str, Any] = {"of": case.of, "option": case.option}
    names = [value.name for value in case.model.graph.output]
    try:
        exact = _exact(case, names)
    except SimulationError:
        why = "ONNX Runtime takes no such node"
        return entry | {"where": "not compared", "why": why}
    where = "machine"
    try:
        found = _machine(case, names)
    except SparnnError:
        where = "with the host"
        try:
            found = _with_host(case, names)
        except SparnnError as error:
            return entry | {"where": "refused", "why": str(error)}
    largest = max(float(np.abs(found[name] - exact[name]).max()) for name in names)
    return entry | {"where": where, "error": largest, "why": ""}


def _exact(case: Case, names: Sequence[str]) -> Arrays:
    if case.option == "layout = 1":
        found = ReferenceEvaluator(case.model).run(None, dict(case.feeds))
        return dict(zip(names, found, strict=True))
    return HostModel(case.model.SerializeToString(), "the case").run(case.feeds, names)


def _machine(case: Case, names: Sequence[str]) -> Arrays:
    return _run(network_of(case.model), case.feeds, names)


def _run(network: FloatNetwork, feeds: Arrays, names: Sequence[str]) -> Arrays:
    """What the importer made of nodes, as ONNX again; each sequence with its own length."""
    lengths = [entry["name"] for entry in network.io["inputs"] if entry["role"] == "lengths"]
    others = [entry for entry in network.io["inputs"] if entry["role"] != "lengths"]
    whole = replace(network, io={**network.io, "inputs": others})
    model = HostModel(float_model(whole).SerializeToString(), "the network")
    if not lengths:
        return model.run(feeds, names)
    (x,) = (entry["name"] for entry in network.io["inputs"] if entry["role"] == "x")
    axes = {entry["name"]: list(entry["axes"]) for entry in network.io["outputs"]}
    steps = feeds[x].shape[0]
    found: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    for number, length in enumerate(feeds[lengths[0]]):
        one = model.run({x: feeds[x][:length, number : number + 1]}, names)
        for name in names:
            array = one[name]
            if "time" in axes[name]:
                behind = [(0, 0)] * array.ndim
                behind[axes[name].index("time")] = (0, steps - int(length))
                array = np.pad(array, behind)
            found[name].append(array)
    return {name: np.concatenate(a, axes[name].index("batch")) for name, a in found.items()}


def _with_host(case: Case, names: Sequence[str]) -> Arrays:
    found = cut(case.model, [case.feeds])
    known: dict[str, npt.NDArray[Any]] = dict(case.feeds)
    for stage in found.stages:
        outputs = [value.name for value in stage.model.graph.output]
        if isinstance(stage, Part):
            known |= _run(stage.network, known, outputs)
        else:
            known |= HostModel(stage.model.SerializeToString(), "a stage").run(known, outputs)
    return {name: known[name] for name in names}


def content(
    rows: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The content of docs/results/conformance.json."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("onnx", "onnxruntime")
    )
    table = {
        "provenance": {
            "command": "python -m sparnn.gen.bench.conformance --write",
            "date": datetime.date.today().isoformat(),
            "versions": versions,
        },
        "columns": [
            {"title": "of", "text": "{of}"},
            {"title": "option", "text": "{option}"},
            {"title": "computed by", "text": "{where}"},
            {"title": "error", "text": "{error:.1e}"},
            {"title": "why not", "text": "{why}"},
        ],
        "rows": [dict(one) for one in rows],
    }
    names = {
        "provenance": table["provenance"],
        "columns": [
            {"title": "test", "text": "{test}"},
            {"title": "computed by", "text": "{where}"},
            {"title": "error, float", "text": "{error:.1e}"},
            {"title": "SQNR, integers", "text": "{golden}"},
            {"title": "why not", "text": "{why}"},
        ],
        "rows": [dict(one) for one in tests],
    }
    return {"tables": {"operators": table, "node_tests": names}}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="docs/results/conformance.json")
    options = parser.parse_args(arguments)
    rows = [row(case) for case in cases()]
    for one in rows:
        error = f"{one['error']:.1e}" if "error" in one else ""
        print(f"{one['of']:8} {one['option']:45} {one['where']:14} {error:8} {one['why'][:90]}")
    if options.write:
        tests = [node_test_row(one) for one in node_tests()]
        text = json.dumps(content(rows, tests), indent=1, ensure_ascii=False)
        RESULTS.write_text(text + "\n", encoding="utf-8")
        write_pages(Path())


if __name__ == "__main__":
    main()
