"""Fine-tune a network of this folder on the integer grid, and write its variants beside it.

    python examples/tune.py gestures w4 pruned delta

Needs torch, and what the network's train.py has left in build/zoo; the digits come from
scikit-learn. Variants: ``w4``: weights of 4 bits; ``pruned``: 30 % of the weights, 8 bits;
``delta``: thresholds of differences, 8 bits; ``untuned``: measures what these cost without tuning.
"""

import argparse
import pathlib
import time

import numpy as np
import torch
from torch.nn.functional import cross_entropy, mse_loss

from sparnn import train

HERE = pathlib.Path(__file__).parent
DATA = pathlib.Path("build/zoo")
SEED = 1


def classes(logits, target):
    return cross_entropy(logits, target)


def mean_classes(logits, target):
    return cross_entropy(logits.mean(1), target)


def gains(found, target):
    return mse_loss(found, target.double())


def hidden(found, target):
    """Of silero, which is not trained anew: what its own LSTM gives in real numbers."""
    return mse_loss(found, target.double())


#: Of each network: file, loss, epochs, rate, batch, threshold of differences.
NETWORKS = {
    "digits": ("lstm.onnx", classes, 15, 2e-3, 64, 0.1),
    "gestures": ("gru.onnx", mean_classes, 80, 2e-3, 25, 0.1),
    "motions": ("gru.onnx", classes, 20, 1e-3, 20, 0.1),
    "languages": ("lstm.onnx", classes, 4, 2e-3, 256, 0.1),
    "keywords": ("gru.onnx", classes, 3, 1e-3, 64, 0.1),
    "spoken": ("gru.onnx", classes, 4, 1e-3, 64, 0.1),
    "denoiser": ("gru.onnx", gains, 5, 2e-3, 32, 0.1),
    "silero": ("lstm.onnx", hidden, 12, 1e-4, 8, 0.1),
}


def training_data(name):
    """(inputs by name, answers)."""
    if name == "digits":
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        x, _, labels, _ = train_test_split(  # the split of digits/train.py
            (digits.images / 16.0).astype(np.float32),
            digits.target.astype(np.int64),
            test_size=450,
            random_state=1,
            stratify=digits.target,
        )
        return {"x": x}, labels
    file = DATA / f"{name}.npz"
    if not file.is_file():
        raise SystemExit(f"{file} is not there: run examples/{name}/train.py first")
    arrays = dict(np.load(file))
    target = arrays.pop("labels", None)
    return arrays, arrays.pop("target") if target is None else target


#: Options of :func:`tuned` for each variant.
VARIANTS = {
    "w4": {"weight_bits": 4},
    "pruned": {"density": 0.3},
    "delta": {"delta": None},
}


def tuned(
    name,
    output,
    *,
    start=None,
    share=1.0,
    density=None,
    kind="unstructured",
    width=4,
    lanes=4,
    delta=None,
    weight_bits=8,
):
    """Fine-tune a network of this folder and write it into ``output``, which is given back.

    start: a file that was tuned before, to go on with. share: of the network's epochs. density,
    kind, width, lanes: of sparnn.train.GradualPruning and Structure. delta: threshold.
    """
    file, loss, epochs, rate, batch, _ = NETWORKS[name]
    folder = HERE / name
    epochs = max(1, round(share * epochs))
    inputs, target = training_data(name)
    torch.set_num_threads(1)
    begin = time.monotonic()
    model = train.load(
        folder / file if start is None else start,
        folder / "calibrate.npz",
        weight_bits=weight_bits,
        delta=delta,
    )
    x = model.sequences(inputs)
    pruning = None
    if density is not None:
        structure = train.Structure(kind, width=width, lanes=lanes)
        pruning = train.GradualPruning(model.module, density, structure)
    means = train.fine_tune(
        model.module,
        [train.Example(one, other) for one, other in zip(x, target, strict=True)],
        loss,
        epochs=epochs,
        rate=rate,
        batch=batch,
        pruning=pruning,
        seed=SEED,
    )
    model.save(output)
    seconds = time.monotonic() - begin
    print(f"{output}: loss {means[0]:.4f} to {means[-1]:.4f} in {seconds:.0f} s", flush=True)
    return output


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("variants", nargs="+", choices=VARIANTS)
    found = parser.parse_args()
    file, delta = NETWORKS[found.network][0], NETWORKS[found.network][-1]
    for variant in found.variants:
        options = {"delta": delta} if variant == "delta" else VARIANTS[variant]
        stem = pathlib.Path(file).stem
        tuned(found.network, HERE / found.network / f"{stem}_{variant}.onnx", **options)


if __name__ == "__main__":
    main()
