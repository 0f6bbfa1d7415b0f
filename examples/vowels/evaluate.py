"""Float accuracy on the held-out utterances, in ONNX Runtime (no torch needed).

    python examples/vowels/evaluate.py [MODEL.onnx ...]

An utterance's speaker is the largest mean of its frames' logits. Without arguments it takes every
model of this folder.
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
        "--data", type=pathlib.Path, default=HERE / "test.npz", help="arrays x, lengths, labels"
    )
    args = parser.parse_args()
    with np.load(args.data) as data:
        x, lengths, labels = data["x"], data["lengths"], data["labels"]
    for path in args.models or sorted(HERE.glob("*.onnx")):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        right = 0
        for one, length, label in zip(x, lengths, labels, strict=True):
            (logits,) = session.run(["logits"], {"x": one[np.newaxis, :length]})
            right += int(logits[0].mean(axis=0).argmax() == label)
        print(f"{path.name:<20} {right}/{len(labels)}  {right / len(labels):.4f}")


if __name__ == "__main__":
    main()
