"""RNNoise 0.1's network as an ONNX file, from its published weights.

    python examples/rnnoise/build_onnx.py            # writes rnnoise.onnx

`x` [frames, batch, 42] gives `gains` [frames, batch, 22], one for each band, and `vad` [frames,
batch, 1], the probability of speech. The structure is that of J.-M. Valin, "A Hybrid DSP/Deep
Learning Approach to Real-Time Full-Band Speech Enhancement" (2018): three GRUs with ReLU, which
reset before the product, each of which also reads what the layers before it read and gave.
"""

import argparse
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
OPSET = 17
FEATURES, BANDS = 42, 22
#: Of the weights' integers.
SCALE = 1 / 256


class Network:
    """Nodes and constants of the graph."""

    def __init__(self, weights):
        self.weights = {name: array.astype(np.float32) * SCALE for name, array in weights.items()}
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def dense(self, name, value, function, output):
        """[inputs, outputs] and a bias."""
        bias = self.weights[f"{name}_bias"]
        matrix = self.constant(f"{name}_w", self.weights[f"{name}_weights"].reshape(-1, len(bias)))
        product = self.node("MatMul", [value, matrix], f"{name}_product")
        total = self.node("Add", [product, self.constant(f"{name}_b", bias)], f"{name}_sum")
        return self.node(function, [total], output)

    def gru(self, name, value):
        """Gates z, r, h, as ONNX orders them too; one bias for both halves."""
        bias = self.weights[f"{name}_bias"]
        units = len(bias) // 3

        def rows(kind):
            return self.weights[f"{name}_{kind}"].reshape(-1, 3 * units).T[np.newaxis]

        both = np.concatenate([bias, np.zeros_like(bias)])[np.newaxis]
        inputs = [
            value,
            self.constant(f"{name}_w", rows("weights")),
            self.constant(f"{name}_r", rows("recurrent_weights")),
            self.constant(f"{name}_b", both),
        ]
        functions = ["Sigmoid", "Relu"]
        self.node(
            "GRU", inputs, f"{name}_y", hidden_size=units, activations=functions,
            linear_before_reset=0,
        )  # fmt: skip
        axis = self.constant(f"{name}_axis", np.array([1]))
        return self.node("Squeeze", [f"{name}_y", axis], f"{name}_h")


def rnnoise(weights):
    """The model."""
    net = Network(weights)
    dense = net.dense("input_dense", "x", "Tanh", "dense")
    voice = net.gru("vad_gru", dense)
    net.dense("vad_output", voice, "Sigmoid", "vad")
    noise_input = net.node("Concat", [dense, voice, "x"], "noise_input", axis=2)
    noise = net.gru("noise_gru", noise_input)
    denoise_input = net.node("Concat", [voice, noise, "x"], "denoise_input", axis=2)
    net.dense("denoise_output", net.gru("denoise_gru", denoise_input), "Sigmoid", "gains")

    def info(name, features):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["frames", "batch", features])

    graph = helper.make_graph(
        net.nodes,
        "rnnoise",
        [info("x", FEATURES)],
        [info("gains", BANDS), info("vad", 1)],
        net.constants,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", default=HERE / "rnnoise.onnx", type=pathlib.Path)
    arguments = parser.parse_args()
    with np.load(HERE / "weights.npz") as weights:
        onnx.save(rnnoise(weights), arguments.output)
    print(f"written        {arguments.output}")


if __name__ == "__main__":
    main()
