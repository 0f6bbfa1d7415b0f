"""Train the digit classifiers, prune one, and write the ONNX files and data of this folder.

    python examples/digits/train.py -o examples/digits

Needs torch (an optional extra), onnx, onnxruntime and scikit-learn. The seed is printed; training
runs on one thread, so a rerun with the same package versions repeats the same figures.
"""

import argparse
import pathlib
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from build_onnx import OPSET, classifier
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

HELD_OUT = 450
CALIBRATION = 128
HIDDEN = 64
PRUNED = 0.6
TOLERANCE = 1e-5


class Classifier(nn.Module):
    """A recurrent layer over the 8 rows, and a linear head on its last hidden state."""

    def __init__(self, kind, hidden=HIDDEN):
        super().__init__()
        layers = {
            "lstm": lambda: nn.LSTM(8, hidden, batch_first=True),
            "gru": lambda: nn.GRU(8, hidden, batch_first=True),
            "rnn_tanh": lambda: nn.RNN(8, hidden, batch_first=True, nonlinearity="tanh"),
            "rnn_relu": lambda: nn.RNN(8, hidden, batch_first=True, nonlinearity="relu"),
        }
        self.kind = kind
        self.rnn = layers[kind]()
        self.head = nn.Linear(hidden, 10)

    def forward(self, x):
        """x [batch, 8, 8] in 0..1 -> logits [batch, 10]."""
        out, _ = self.rnn(x)
        return self.head(out[:, -1])

    def arrays(self):
        """The parameters by the names build_onnx.classifier wants, float32."""
        named = {
            "weight_ih": self.rnn.weight_ih_l0,
            "weight_hh": self.rnn.weight_hh_l0,
            "bias_ih": self.rnn.bias_ih_l0,
            "bias_hh": self.rnn.bias_hh_l0,
            "head_weight": self.head.weight,
            "head_bias": self.head.bias,
        }
        return {name: value.detach().numpy() for name, value in named.items()}


def load(seed):
    """(train x, train labels, test x, test labels): x [n, 8, 8] float32 in 0..1, stratified."""
    digits = load_digits()
    x = (digits.images / 16.0).astype(np.float32)
    labels = digits.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        x, labels, test_size=HELD_OUT, random_state=seed, stratify=labels
    )
    return train_x, train_y, test_x, test_y


def fit(model, x, labels, *, epochs, rate, seed, masks=None):
    """Adam with a cosine schedule; with `masks` (parameter -> 0/1 tensor) the zeros stay zero."""
    masks = masks or {}
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    x, labels = torch.from_numpy(x), torch.from_numpy(labels)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), labels[batch]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for parameter, mask in masks.items():
                    parameter.mul_(mask)
        schedule.step()
    model.eval()


def magnitude_masks(parameters, fraction):
    """Per matrix, masks that drop the `fraction` of entries with the smallest magnitude."""
    masks = {}
    for parameter in parameters:
        drop = round(fraction * parameter.numel())
        order = parameter.detach().abs().flatten().argsort(stable=True)
        mask = torch.ones(parameter.numel())
        mask[order[:drop]] = 0.0
        masks[parameter] = mask.view_as(parameter)
    return masks


def prune(model, x, labels, *, seed):
    """Prune W and R in three steps (30, 45, 60 %), each with fine-tuning under its masks."""
    matrices = [model.rnn.weight_ih_l0, model.rnn.weight_hh_l0]
    for fraction in (PRUNED / 2, PRUNED * 3 / 4, PRUNED):
        masks = magnitude_masks(matrices, fraction)
        with torch.no_grad():
            for parameter, mask in masks.items():
                parameter.mul_(mask)
        fit(model, x, labels, epochs=20, rate=2e-3, seed=seed, masks=masks)


def torch_export(model, path, *, dynamo):
    """Write the model the way a user of torch.onnx.export would, with a dynamic batch."""
    sample = torch.zeros(2, 8, 8)
    dynamic = (
        {"dynamic_shapes": {"x": {0: torch.export.Dim("batch")}}}
        if dynamo
        else {"dynamic_axes": {"x": {0: "batch"}, "logits": {0: "batch"}}, "opset_version": OPSET}
    )
    with tempfile.TemporaryDirectory() as folder:
        raw = pathlib.Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            (sample,),
            raw,
            input_names=["x"],
            output_names=["logits"],
            dynamo=dynamo,
            verbose=False,
            **dynamic,
        )
        exported = onnx.load(raw)
    # The exporter records the source paths of the machine it ran on; the graph does not need them.
    for node in exported.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in [*exported.graph.input, *exported.graph.output, *exported.graph.value_info]:
        value.ClearField("metadata_props")
    for tensor in exported.graph.initializer:
        tensor.ClearField("metadata_props")
    exported.graph.ClearField("metadata_props")
    exported.ClearField("metadata_props")
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)


def check_and_score(path, model, x, labels):
    """Accuracy in ONNX Runtime, and its largest difference from PyTorch over the largest logit."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"x": x})
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    error = float(np.abs(logits - expected).max() / max(1.0, np.abs(expected).max()))
    if error > TOLERANCE:
        raise SystemExit(
            f"{path.name}: ONNX Runtime differs from PyTorch by {error:.2e} of the largest logit,"
            f" limit {TOLERANCE:.0e}"
        )
    return float((logits.argmax(1) == labels).mean()), error


def zeros(path):
    """Fraction of exact zeros in each of W and R of a file of build_onnx.classifier."""
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    return {name: float((tensors[name] == 0).mean()) for name in ("W", "R")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-o", "--output", type=pathlib.Path, required=True, help="folder to write into"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    train_x, train_y, test_x, test_y = load(args.seed)
    print(
        f"seed {args.seed}, {len(train_x)} training images, {len(test_x)} held out, hidden {HIDDEN}"
    )

    np.savez_compressed(args.output / "calibrate.npz", x=train_x[:CALIBRATION])
    np.savez_compressed(args.output / "test.npz", x=test_x, labels=test_y)

    print(f"{'file':<32} {'accuracy':>8}  max |onnxruntime - torch| / max |torch|")

    def report(path, model):
        accuracy, error = check_and_score(path, model, test_x, test_y)
        print(f"{path.name:<32} {accuracy:8.4f}  {error:.1e}")

    def save_plain(name, model):
        op, activation = {
            "lstm": ("LSTM", None),
            "gru": ("GRU", None),
            "rnn_tanh": ("RNN", "Tanh"),
            "rnn_relu": ("RNN", "Relu"),
        }[model.kind]
        path = args.output / f"{name}.onnx"
        onnx.save(classifier(op, model.arrays(), activation=activation), path)
        report(path, model)
        return path

    for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        torch.manual_seed(args.seed)
        model = Classifier(kind)
        rate = 2e-3 if kind.startswith("rnn") else 5e-3
        fit(model, train_x, train_y, epochs=args.epochs, rate=rate, seed=args.seed)
        save_plain(kind, model)
        if kind != "lstm":
            continue
        for suffix, dynamo in (("torch_export", False), ("torch_export_dynamo", True)):
            path = args.output / f"lstm_{suffix}.onnx"
            torch_export(model, path, dynamo=dynamo)
            report(path, model)
        prune(model, train_x, train_y, seed=args.seed)
        found = zeros(save_plain("lstm_pruned60", model))
        print("  exact zeros:", ", ".join(f"{name} {share:.4f}" for name, share in found.items()))


if __name__ == "__main__":
    main()
