"""Train the gesture classifier: a GRU on the path of a hand.

    python examples/gestures/train.py --data data

DATA: GunPoint_TRAIN.ts and GunPoint_TEST.ts, see README.md.
"""

import pathlib
import sys

import numpy as np
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from common import arguments, export, fit, keep, read_ts

UNITS = 64


class Classifier(nn.Module):
    """A GRU over the path, a linear layer on each step, and their mean."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, UNITS, batch_first=True)
        self.head = nn.Linear(UNITS, 2)

    def forward(self, x):
        """x [batch, 150, 1] -> logits [batch, 2]."""
        out, _ = self.gru(x)
        return self.head(out).mean(1)


def load(path):
    x, names = read_ts(path)
    return x, np.array([int(name) - 1 for name in names])


def varied(x, generator):
    """Another hand: a little larger or smaller, earlier or later."""
    scale = 1 + 0.1 * torch.randn((len(x), 1, 1), generator=generator)
    shift = 0.05 * torch.randn((len(x), 1, 1), generator=generator)
    steps = int(torch.randint(-10, 11, (1,), generator=generator))
    moved = torch.roll(x, steps, dims=1)
    if steps > 0:
        moved[:, :steps] = x[:, :1]
    elif steps < 0:
        moved[:, steps:] = x[:, -1:]
    return moved * scale + shift


def main():
    found = arguments(__doc__, HERE)
    x, labels = load(found.data / "GunPoint_TRAIN.ts")
    test_x, test_labels = load(found.data / "GunPoint_TEST.ts")
    model, loss = Classifier(), nn.functional.cross_entropy
    fit(model, x, labels, loss, epochs=200, rate=4e-3, seed=found.seed, batch=25, change=varied)
    path = found.output / "gru.onnx"
    logits = export(model, test_x, path, "x", "logits")
    print(f"float: {int((logits.argmax(1) == test_labels).sum())} of {len(test_labels)}")
    keep(
        found.output,
        "gestures",
        train={"x": x, "labels": labels},
        calibrate={"x": x},
        test={"x": test_x, "labels": test_labels},
    )


if __name__ == "__main__":
    main()
