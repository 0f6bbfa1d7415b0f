"""Ranges of every tensor of the LSTM over recorded speech, and its hidden sequence in float.

    python examples/silero/ranges.py                      calibrate.npz and input.npz
    python examples/silero/ranges.py --hidden FILE.npz    also writes `y` for input.npz

A float64 LSTM written from the formulas of the ONNX operator, checked against ONNX Runtime.
"""

import argparse
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

HERE = pathlib.Path(__file__).parent
GATES = ("i", "o", "f", "c")
TOLERANCE = 1e-5


def lstm(x, w, r, b):
    """x [frames, inputs]; W, R, B of one direction -> dict of tensors over the frames, float64."""
    hidden = r.shape[1]
    h = c = np.zeros(hidden)
    names = [f"pre-activation {gate}" for gate in GATES] + ["cell state", "hidden state"]
    record = {name: [] for name in names}
    for step in x.astype(np.float64):
        gates = np.split(w @ step + r @ h + b[: 4 * hidden] + b[4 * hidden :], 4)
        i, o, f = (1 / (1 + np.exp(-g)) for g in gates[:3])
        c = f * c + i * np.tanh(gates[3])
        h = o * np.tanh(c)
        for values, value in zip(record.values(), [*gates, c, h], strict=True):
            values.append(value)
    return {name: np.array(values) for name, values in record.items()}


def row(name, values):
    """One line of the table: minimum, maximum, quantiles of the magnitude, share of exact zeros."""
    magnitude = np.abs(values[values != 0])
    median, high = np.quantile(magnitude, [0.5, 0.999])
    return (
        f"{name:<18} {values.min():9.3f} {values.max():9.3f} {median:9.3f} {high:9.3f}"
        f" {magnitude.max() / median:9.1f} {np.mean(values == 0):7.3f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--hidden", type=pathlib.Path, help="npz file to write the float hidden sequence to"
    )
    args = parser.parse_args()
    model = HERE / "lstm.onnx"
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(model).graph.initializer}
    w, r, b = (tensors[name][0].astype(np.float64) for name in "WRB")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for file in ("calibrate.npz", "input.npz"):
        with np.load(HERE / file) as data:
            x = data["x"]
        record = lstm(x[:, 0], w, r, b)
        (expected,) = session.run(["y"], {"x": x})
        error = np.abs(record["hidden state"] - expected[:, 0]).max()
        if error > TOLERANCE:
            raise SystemExit(
                f"{file}: differs from ONNX Runtime by {error:.1e}, limit {TOLERANCE:.0e}"
            )
        print(f"{file}, {len(x)} frames")
        heads = "".join(f"{head:>10}" for head in ("min", "max", "median", "99.9 %", "max/med"))
        print(f"{'':<18}{heads}{'zeros':>8}")
        for name, values in {"input x": x, **record}.items():
            print(row(name, values))
        share = (x == 0).all(axis=(0, 1)).mean()
        print(f"inputs that are zero in every frame: {share:.3f}\n")
    print("median and 99.9 %: of the magnitudes of the values that are not exactly zero")
    if args.hidden:
        np.savez_compressed(args.hidden, y=expected)


if __name__ == "__main__":
    main()
