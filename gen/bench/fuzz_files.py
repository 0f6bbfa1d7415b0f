"""Corrupt, truncated and hostile models and archives, each from its number."""

import io
import struct
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

__all__ = ["mutated", "seeds"]

#: Names that a hostile file may write to or read from.
_OUTSIDE = ("../outside", "/etc/passwd", "../../x.bin", "a/../../b")
_ABSURD = (0, -1, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 63))

Random = np.random.Generator


def seeds() -> list[ModelProto]:
    """Small models that are taken."""
    models = []
    rng = np.random.default_rng(0)
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        weights = [
            numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
            for name, shape in (
                ("w", (1, gates * 5, 3)),
                ("r", (1, gates * 5, 5)),
                ("b", (1, gates * 10)),
                ("v", (5, 2)),
            )
        ]
        weights.append(numpy_helper.from_array(np.array([1]), "one"))
        nodes = [
            helper.make_node("Softmax" if op == "RNN" else "Identity", ["x"], ["xs"], "front"),
            helper.make_node(op, ["xs", "w", "r", "b"], ["y"], "cell", hidden_size=5),
            helper.make_node("Squeeze", ["y", "one"], ["s"], "flat"),
            helper.make_node("MatMul", ["s", "v"], ["out"], "head"),
        ]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["t", "n", 3])],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["t", "n", 2])],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        models.append(model)
    return [*models, _branched(models[0]), _unrolled(), _scanned()]


def _weights() -> list[TensorProto]:
    """Of an RNN that stands as single operators, and its first state, of each sequence the same."""
    rng = np.random.default_rng(1)
    w, r, h = (rng.normal(size=(rows, 5)).astype(np.float32) for rows in (3, 5, 1))
    arrays = {"w": w, "r": r, "h": h.repeat(2, axis=0)}
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def _step(x: str, h: str, out: str) -> list[NodeProto]:
    return [
        helper.make_node("MatMul", [x, "w"], [f"{out}_x"]),
        helper.make_node("MatMul", [h, "r"], [f"{out}_h"]),
        helper.make_node("Add", [f"{out}_x", f"{out}_h"], [f"{out}_sum"]),
        helper.make_node("Tanh", [f"{out}_sum"], [out]),
    ]


def _unrolled() -> ModelProto:
    """An RNN whose six steps stand as single operators."""
    nodes, h = [], "h"
    weights = _weights()
    for t in range(6):
        weights.append(numpy_helper.from_array(np.array(t), f"t{t}"))
        nodes.append(helper.make_node("Gather", ["x", f"t{t}"], [f"x{t}"], axis=0))
        nodes += _step(f"x{t}", h, f"h{t}")
        h = f"h{t}"
    return _model(nodes, weights, h, [2, 5])


def _scanned() -> ModelProto:
    """An RNN whose step is the body of a Scan."""
    kind = TensorProto.FLOAT
    body = helper.make_graph(
        [*_step("step", "before", "after"), helper.make_node("Identity", ["after"], ["each"])],
        "body",
        [
            helper.make_tensor_value_info("before", kind, [2, 5]),
            helper.make_tensor_value_info("step", kind, [2, 3]),
        ],
        [helper.make_tensor_value_info(name, kind, [2, 5]) for name in ("after", "each")],
    )
    node = helper.make_node("Scan", ["h", "x"], ["last", "out"], body=body, num_scan_inputs=1)
    return _model([node], _weights(), "out", [6, 2, 5])


def _model(
    nodes: list[NodeProto], weights: list[TensorProto], out: str, shape: list[int]
) -> ModelProto:
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [6, 2, 3])],
        [helper.make_tensor_value_info(out, kind, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _branched(model: ModelProto) -> ModelProto:
    """The same with its recurrent node in a branch, which the number of axes chooses."""
    copy = ModelProto()
    copy.CopyFrom(model)
    nodes = list(copy.graph.node)
    del copy.graph.node[:]
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    body = helper.make_graph([nodes[1]], "body", [], result)
    copy.graph.initializer.append(numpy_helper.from_array(np.array(3), "three"))
    copy.graph.node.extend(
        [
            nodes[0],
            helper.make_node("Shape", ["xs"], ["shape"]),
            helper.make_node("Size", ["shape"], ["axes"]),
            helper.make_node("Equal", ["axes", "three"], ["known"]),
            helper.make_node("If", ["known"], ["y"], then_branch=body, else_branch=body),
            *nodes[2:],
        ]
    )
    return copy


def _archive() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, x=np.random.default_rng(1).normal(size=(6, 2, 3)).astype(np.float32))
    return file.getvalue()


# Ways to break a file: bytes, and the model as it is meant --------------------------------------


def _flipped(rng: Random, content: bytes) -> bytes:
    array = np.frombuffer(content, np.uint8).copy()
    at = rng.integers(len(array), size=int(rng.integers(1, 16)))
    array[at] ^= rng.integers(1, 256, size=len(at)).astype(np.uint8)
    return array.tobytes()


def _truncated(rng: Random, content: bytes) -> bytes:
    return content[: int(rng.integers(len(content)))]


def _inserted(rng: Random, content: bytes) -> bytes:
    at = int(rng.integers(len(content)))
    return content[:at] + rng.bytes(int(rng.integers(1, 64))) + content[at:]


def _doubled(rng: Random, content: bytes) -> bytes:
    a, b = sorted(int(one) for one in rng.integers(len(content), size=2))
    return content[:b] + content[a:]


_BYTES_WAYS: Sequence[Callable[[Random, bytes], bytes]] = (
    _flipped,
    _truncated,
    _inserted,
    _doubled,
)


def _dimensions(rng: Random, model: ModelProto) -> None:
    """Absurd sizes of a weight, an input or an output."""
    size = int(rng.choice(_ABSURD))
    kind = int(rng.integers(3))
    if kind == 0:
        tensor = model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]
        tensor.dims[int(rng.integers(len(tensor.dims)))] = size
        return
    value = model.graph.input[0] if kind == 1 else model.graph.output[0]
    value.type.tensor_type.shape.dim[int(rng.integers(3))].dim_value = size


def _external(rng: Random, model: ModelProto) -> None:
    """A weight in a file elsewhere."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (
        ("location", str(rng.choice(_OUTSIDE))),
        ("offset", str(int(rng.choice(_ABSURD)))),
        ("length", str(int(rng.choice(_ABSURD)))),
    ):
        tensor.external_data.add(key=key, value=value)


def _cyclic(rng: Random, model: ModelProto) -> None:
    """A node that reads what comes of it."""
    nodes = model.graph.node
    nodes[int(rng.integers(2))].input[0] = nodes[-int(rng.integers(1, 3))].output[0]


def _attributes(rng: Random, model: ModelProto) -> None:
    node = model.graph.node[1]
    name = str(rng.choice(["hidden_size", "direction", "layout", "clip", "activations"]))
    value: object = rng.choice([int(rng.choice(_ABSURD[:4])), 7])
    node.attribute.append(helper.make_attribute(name, int(str(value))))


def _renamed(rng: Random, model: ModelProto) -> None:
    node = model.graph.node[int(rng.integers(len(model.graph.node)))]
    node.op_type = str(rng.choice(["", "Loop", "If", "Conv", "ConstantOfShape", "Ünïcode", "LSTM"]))


def _types(rng: Random, model: ModelProto) -> None:
    model.graph.initializer[0].data_type = int(rng.integers(40))
    model.graph.input[0].type.tensor_type.elem_type = int(rng.integers(40))


def _huge_constant(rng: Random, model: ModelProto) -> None:
    """A state that is expanded to terabytes, or a weight that is."""
    shape = numpy_helper.from_array(np.array([1, 1 << 20, 1 << int(rng.integers(8, 30))]), "huge")
    model.graph.initializer.append(shape)
    made = helper.make_node("ConstantOfShape", ["huge"], ["h0"], "fill")
    model.graph.node.insert(0, made)
    cell = model.graph.node[2]
    place = int(rng.choice([1, 3, 5]))
    while len(cell.input) <= place:
        cell.input.append("")
    cell.input[place] = "h0"


def _nested(rng: Random, model: ModelProto) -> None:
    """Bodies in bodies."""
    graph = model.graph
    for depth in range(int(rng.integers(2, 40))):
        node = helper.make_node("If", ["c"], ["out"], f"if{depth}")
        names = ("then_branch", "else_branch")[: 2 if depth < 5 else 1]
        node.attribute.extend([helper.make_attribute(name, graph) for name in names])
        graph = helper.make_graph([node], f"g{depth}", [], list(graph.output))
    model.graph.CopyFrom(graph)


def _versions(rng: Random, model: ModelProto) -> None:
    model.ir_version = int(rng.choice([0, 1, 99, 1 << 40]))
    model.opset_import[0].version = int(rng.choice([-1, 0, 6, 99, 1 << 40]))


_MODEL_WAYS: Sequence[Callable[[Random, ModelProto], None]] = (
    _dimensions,
    _external,
    _cyclic,
    _attributes,
    _renamed,
    _types,
    _huge_constant,
    _nested,
    _versions,
)


def _bomb(rng: Random, content: bytes) -> bytes:
    """An archive that unpacks to gigabytes, or says that it does."""
    file = io.BytesIO()
    shape = tuple(int(one) for one in rng.choice([1 << 10, 1 << 14, 1 << 20], size=3))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as entry,
    ):
        entry.write(start)
        for _ in range(int(rng.choice([0, 64, 1024]))):
            entry.write(bytes(1 << 20))
    return file.getvalue()


def _pickled(rng: Random, content: bytes) -> bytes:
    """An archive with an object, which must not be unpickled."""
    file = io.BytesIO()
    np.savez(file, x=np.array([{"a": 1}, None], dtype=object))
    return file.getvalue()


def _named(rng: Random, content: bytes) -> bytes:
    """An archive whose members' names leave the folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(str(rng.choice(_OUTSIDE)) + ".npy", content)
    return file.getvalue()


_ARCHIVE_WAYS: Sequence[Callable[[Random, bytes], bytes]] = (
    *_BYTES_WAYS,
    _bomb,
    _pickled,
    _named,
)


def mutated(number: int) -> tuple[str, bytes, bytes]:
    """What was done, the model's file and the archive of sample inputs."""
    rng = np.random.default_rng(number)
    models = seeds()
    model = models[int(rng.integers(len(models)))]
    archive = _archive()
    kind = number % 3
    if kind == 0:
        way = _BYTES_WAYS[int(rng.integers(len(_BYTES_WAYS)))]
        return way.__name__, way(rng, model.SerializeToString()), archive
    if kind == 1:
        names = []
        for _ in range(int(rng.integers(1, 3))):
            change = _MODEL_WAYS[int(rng.integers(len(_MODEL_WAYS)))]
            try:
                change(rng, model)
            except Exception:
                continue  # an earlier change has taken away what this one changes
            names.append(change.__name__)
        return "+".join(names), model.SerializeToString(), archive
    spoil = _ARCHIVE_WAYS[int(rng.integers(len(_ARCHIVE_WAYS)))]
    return f"archive {spoil.__name__}", model.SerializeToString(), spoil(rng, archive)
