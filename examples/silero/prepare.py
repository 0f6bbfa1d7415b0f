"""Take silero-vad's detector apart around its LSTM, and run recorded speech through the parts.

    pip install --no-deps silero-vad
    python examples/silero/prepare.py -o examples/silero --recordings FOLDER

FOLDER holds the WAV files of Debian's alsa-utils (see README.md). Needs onnx, onnxruntime and
numpy; of the silero-vad package only files are read, nothing is imported. Exit status 2: the
package, the model or the recordings are missing or not as expected.
"""

import argparse
import importlib.metadata
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import Extractor
from speech import CALIBRATION, CONTEXT, FRAME, INPUT, frames, utterance

PACKAGE = "silero-vad"
MODEL = "silero_vad/data/silero_vad_16k_sequence.onnx"
PRODUCER = "sparnn examples/silero"
OPSET = 16
HIDDEN = 128
TOLERANCE = 1e-6


class PrepareError(Exception):
    """Something that the caller has to install or point at; the message says what."""


def packaged(path):
    """A file of the installed silero-vad package, without importing it."""
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise PrepareError(f"{PACKAGE} is not installed: pip install --no-deps {PACKAGE}") from None
    found = pathlib.Path(distribution.locate_file(path))
    if not found.is_file():
        raise PrepareError(f"{PACKAGE} {distribution.version} has no {path}; 6.2.3 has it")
    return found


def single(graph, op_type):
    """The only node of this type."""
    nodes = [node for node in graph.node if node.op_type == op_type]
    if len(nodes) != 1:
        raise PrepareError(f"the model has {len(nodes)} {op_type} nodes, expected 1")
    return nodes[0]


def rename(model, old, new):
    """Rename a graph input or output, and every use of it."""
    for value in [*model.graph.input, *model.graph.output]:
        if value.name == old:
            value.name = new
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def cut(model, source, target, input_info, output_info):
    """The nodes between two tensors as a float32 model; the infos are (name, shape)."""
    part = Extractor(onnx.shape_inference.infer_shapes(model)).extract_model([source], [target])
    part.producer_name = PRODUCER
    part.graph.ClearField("value_info")
    part.graph.name = f"silero-vad {input_info[0]} to {output_info[0]}"
    rename(part, source, input_info[0])
    rename(part, target, output_info[0])
    for value, info in ((part.graph.input[0], input_info), (part.graph.output[0], output_info)):
        value.CopyFrom(helper.make_tensor_value_info(info[0], TensorProto.FLOAT, info[1]))
    onnx.checker.check_model(part, full_check=True)
    return part


def split(model):
    """(front end, LSTM, back end) of the sequence model.

    Front end ``audio`` [frames, 576] -> ``x`` [frames, 1, 128]; LSTM ``x`` -> ``y``
    [frames, 1, 128] with a zero initial state; back end ``y`` -> ``probability`` [frames].
    """
    graph = model.graph
    lstm = single(graph, "LSTM")
    consumers = [node for node in graph.node if lstm.output[0] in node.input]
    if [node.op_type for node in consumers] != ["Squeeze"]:
        raise PrepareError(
            f"the LSTM feeds {[node.op_type for node in consumers]}, expected one Squeeze"
        )
    attributes = {a.name: helper.get_attribute_value(a) for a in lstm.attribute}
    if attributes != {"hidden_size": HIDDEN}:
        raise PrepareError(
            f"the LSTM has attributes {attributes}, expected hidden_size {HIDDEN} alone"
        )
    audio = ("audio", ["frames", CONTEXT + FRAME])
    features, hidden = ("x", ["frames", 1, HIDDEN]), ("y", ["frames", 1, HIDDEN])
    front = cut(model, graph.input[0].name, lstm.input[0], audio, features)
    back = cut(
        model, consumers[0].output[0], graph.output[0].name, hidden, ("probability", ["frames"])
    )

    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    weights = {new: tensors[old] for new, old in zip("WRB", lstm.input[1:4], strict=True)}
    constants = {**weights, "direction_axis": np.array([1], np.int64)}
    any_batch = ["frames", "batch", HIDDEN]
    plain = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(
                    "LSTM", ["x", "W", "R", "B"], ["hidden"], "lstm", hidden_size=HIDDEN
                ),
                helper.make_node("Squeeze", ["hidden", "direction_axis"], ["y"], "squeeze"),
            ],
            "silero-vad lstm",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, any_batch)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, any_batch)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name=PRODUCER,
    )
    onnx.checker.check_model(plain, full_check=True)
    return front, plain, back


def run(model, **inputs):
    """All outputs of a model in ONNX Runtime."""
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def prepare(output, recordings):
    """Write the parts and the data; print what was checked."""
    model = onnx.load(packaged(MODEL))
    missing = [n for n in CALIBRATION + INPUT if not (recordings / f"{n}.wav").is_file()]
    if missing:
        raise PrepareError(f"{recordings} has no {missing[0]}.wav; see 'Recordings' in README.md")
    front, lstm, back = split(model)
    output.mkdir(parents=True, exist_ok=True)
    for name, part in (("frontend", front), ("lstm", lstm), ("backend", back)):
        onnx.save(part, output / f"{name}.onnx")
    version = importlib.metadata.version(PACKAGE)
    licence = packaged(f"silero_vad-{version}.dist-info/licenses/LICENSE")
    (output / "LICENSE.silero-vad").write_bytes(licence.read_bytes())

    features = {}
    for name, recorded in (("calibrate", CALIBRATION), ("input", INPUT)):
        audio = frames(utterance(recordings, recorded))
        (features[name],) = run(front, audio=audio)
        np.savez_compressed(output / f"{name}.npz", x=features[name])
        print(f"{name}: {len(audio)} frames of {', '.join(recorded)}")

    zero = np.zeros((1, 1, HIDDEN), np.float32)
    names = [value.name for value in model.graph.input]
    original = run(model, **dict(zip(names, (audio, zero, zero), strict=True)))[0]
    (hidden,) = run(lstm, x=features["input"])
    (probability,) = run(back, y=hidden)
    difference = float(np.abs(probability - original).max())
    if difference > TOLERANCE:
        raise PrepareError(
            f"the parts differ from the original model by {difference:.1e}, limit {TOLERANCE:.0e}"
        )
    np.savez_compressed(output / "reference.npz", probability=original)
    print(f"parts against the original model: max |difference| {difference:.1e}")
    speech = int((original > 0.5).sum())
    print(f"frames of speech (probability over 0.5): {speech} of {len(original)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-o", "--output", type=pathlib.Path, required=True, help="folder to write into"
    )
    parser.add_argument(
        "--recordings",
        type=pathlib.Path,
        default=pathlib.Path("/usr/share/sounds/alsa"),
        help="folder of alsa-utils' WAV files (default: %(default)s)",
    )
    args = parser.parse_args()
    try:
        prepare(args.output, args.recordings)
    except (PrepareError, ValueError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
