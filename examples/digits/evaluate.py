"""Float accuracy of ONNX classifiers on the held-out digits, in ONNX Runtime (no torch needed).

    python examples/digits/evaluate.py [MODEL.onnx ...]

Without arguments it takes every model of this folder.
"""

import argparse
import pathlib

import numpy as np
import onnxruntime

HERE = pathlib.Path(__file__).parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", type=pathlib.Path, help="default: every model of this folder"
    )
    parser.add_argument(
        "--data", type=pathlib.Path, default=HERE / "test.npz", help="arrays x, labels"
    )
    args = parser.parse_args()
    with np.load(args.data) as data:
        x, labels = data["x"], data["labels"]
    for path in args.models or sorted(HERE.glob("*.onnx")):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"x": x})
        right = int((logits.argmax(1) == labels).sum())
        print(f"{path.name:<32} {right}/{len(labels)}  {right / len(labels):.4f}")


if __name__ == "__main__":
    main()
