"""Speech probability from a hidden sequence (of the hardware, say) against the original model's.

    python examples/silero/compare.py HIDDEN.npz [--json]

HIDDEN.npz holds `y`, [453, 128] or [453, 1, 128], float: what the LSTM gave for input.npz. The
back end (ReLU, 1x1 convolution, sigmoid) runs in ONNX Runtime. Exit status 2: a file or array is
missing or of the wrong shape.
"""

import argparse
import json
import pathlib
import sys
import zipfile

import numpy as np
import onnxruntime

HERE = pathlib.Path(__file__).parent
THRESHOLD = 0.5


def array(path, name):
    """One array of an npz file, float32; ValueError when it is not there."""
    try:
        with np.load(path) as data:
            if name not in data:
                raise ValueError(f"{path} has arrays {list(data)}, needed {name!r}")
            return data[name].astype(np.float32)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from None


def compare(hidden, reference, backend):
    """Differences of probability per frame: a dict of plain numbers."""
    if hidden.ndim == 2:
        hidden = hidden[:, None, :]
    expected = (len(reference), 1, 128)
    if hidden.shape != expected:
        raise ValueError(f"the hidden sequence is {hidden.shape}, the reference needs {expected}")
    if not np.isfinite(hidden).all():
        raise ValueError("the hidden sequence holds NaN or infinity")
    session = onnxruntime.InferenceSession(backend, providers=["CPUExecutionProvider"])
    (probability,) = session.run(["probability"], {"y": hidden})
    difference = np.abs(probability.astype(np.float64) - reference)
    return {
        "frames": len(reference),
        "max_abs_difference": float(difference.max()),
        "worst_frame": int(difference.argmax()),
        "mean_abs_difference": float(difference.mean()),
        "decisions_changed": int(((probability > THRESHOLD) != (reference > THRESHOLD)).sum()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hidden", type=pathlib.Path, help="npz file with the hidden sequence `y`")
    parser.add_argument("--reference", type=pathlib.Path, default=HERE / "reference.npz")
    parser.add_argument("--backend", type=pathlib.Path, default=HERE / "backend.onnx")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    try:
        reference = array(args.reference, "probability")
        result = compare(array(args.hidden, "y"), reference, args.backend)
    except ValueError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(result))
        return 0
    print(f"speech probability over {result['frames']} frames against the original model")
    worst = result["worst_frame"]
    print(f"  largest difference  {result['max_abs_difference']:.6f} (frame {worst})")
    print(f"  mean difference     {result['mean_abs_difference']:.6f}")
    print(f"  decisions changed   {result['decisions_changed']} (threshold {THRESHOLD})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
