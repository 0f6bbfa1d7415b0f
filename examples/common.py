"""What the training scripts of this folder share: data files, a training loop, the exported file.

Needs torch and onnxruntime. Training runs on one thread from a seed, so a rerun with the same
package versions repeats the same figures.
"""

import argparse
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from sparnn.sim.network.arrays import write_npz

__all__ = ["arguments", "export", "fit", "keep", "read_ts"]

OPSET = 17
TOLERANCE = 1e-4


def arguments(text, folder):
    """What every training script is told."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="see README.md")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=folder)
    parser.add_argument("--seed", type=int, default=1)
    found = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(found.seed)
    found.output.mkdir(parents=True, exist_ok=True)
    return found


def read_ts(path):
    """Series of a .ts file of equal lengths: x [n, steps, dimensions] float32, labels by name."""
    rows = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip() and line[0] not in "#@"
    ]
    series = [[[float(v) for v in d.split(",")] for d in row.split(":")[:-1]] for row in rows]
    labels = [row.split(":")[-1].strip() for row in rows]
    return np.array(series, np.float32).transpose(0, 2, 1), labels


def fit(model, x, target, loss, *, epochs, rate, seed, batch=32, change=None):
    """Adam with a cosine schedule; ``change`` alters a batch before it is used."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    x, target = torch.from_numpy(x), torch.from_numpy(target)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=generator).split(batch):
            optimizer.zero_grad()
            given = x[chosen] if change is None else change(x[chosen], generator)
            loss(model(given), target[chosen]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        schedule.step()
    model.eval()


def export(model, x, path, name, output):
    """Write an ONNX file by PyTorch's exporter, and compare it with PyTorch on ``x``."""
    given = torch.from_numpy(x)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about its own future
        torch.onnx.export(
            model,
            (given[:2],),
            str(path),
            input_names=[name],
            output_names=[output],
            dynamic_axes={name: {0: "batch"}, output: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
        exact = model(given).numpy()
    file = onnx.load(path)
    for node in file.graph.node:
        node.doc_string = ""
    path.write_bytes(file.SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run([output], {name: x})
    error = float(np.abs(found - exact).max() / max(1e-9, np.abs(exact).max()))
    if error > TOLERANCE:
        raise SystemExit(f"{path}: ONNX Runtime is {error:.1e} off PyTorch; the export is wrong")
    return found


def keep(folder, name, *, train, calibrate, test):
    """Write calibrate.npz and test.npz, and into build/zoo what examples/tune.py reads."""
    write_npz(folder / "calibrate.npz", calibrate)
    write_npz(folder / "test.npz", test)
    place = pathlib.Path("build/zoo")
    place.mkdir(parents=True, exist_ok=True)
    write_npz(place / f"{name}.npz", train)
