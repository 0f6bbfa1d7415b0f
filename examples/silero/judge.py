"""`sparnn evaluate --metric examples/silero/judge.py:same`: decisions that are the original's."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from compare import array, compare


def same(outputs, data):
    """outputs: hidden states of input.npz. The share of frames, decided by the original decoder."""
    (hidden,) = outputs.values()
    found = compare(hidden, array(HERE / "reference.npz", "probability"), HERE / "backend.onnx")
    return 1 - found["decisions_changed"] / found["frames"]
