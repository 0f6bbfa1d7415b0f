"""Train the motion classifier: a GRU on what a watch measures.

    python examples/motions/train.py --data data

DATA: BasicMotions_TRAIN.ts and BasicMotions_TEST.ts, see README.md.
"""

import pathlib
import sys

import numpy as np
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from common import arguments, export, fit, keep, read_ts

UNITS = 32
CLASSES = ("Standing", "Running", "Walking", "Badminton")


class Classifier(nn.Module):
    """A GRU over acceleration and rotation, and a linear layer on its last hidden state."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, len(CLASSES))

    def forward(self, x):
        """x [batch, 100, 6] -> logits [batch, 4]."""
        out, _ = self.gru(x)
        return self.head(out[:, -1])


def load(path):
    x, names = read_ts(path)
    low = [name.lower() for name in CLASSES]
    return x, np.array([low.index(name.lower()) for name in names])


def main():
    found = arguments(__doc__, HERE)
    x, labels = load(found.data / "BasicMotions_TRAIN.ts")
    test_x, test_labels = load(found.data / "BasicMotions_TEST.ts")
    model, loss = Classifier(), nn.functional.cross_entropy
    fit(model, x, labels, loss, epochs=120, rate=5e-3, seed=found.seed, batch=10)
    path = found.output / "gru.onnx"
    logits = export(model, test_x, path, "x", "logits")
    print(f"float: {int((logits.argmax(1) == test_labels).sum())} of {len(test_labels)}")
    keep(
        found.output,
        "motions",
        train={"x": x, "labels": labels},
        calibrate={"x": x},
        test={"x": test_x, "labels": test_labels},
    )


if __name__ == "__main__":
    main()
