"""Run by the Python of an environment with hls4ml, PyTorch and Keras, never by sparnn's own:
``python peer_hls4ml.py FOLDER``.

It makes small recurrent networks in PyTorch and in Keras 3, writes each as ONNX by its own exporter
beside inputs and the framework's outputs, converts it by hls4ml, and says in FOLDER/peer.json how
far hls4ml's C simulation is from the framework, or why it refuses. 32-bit fixed point with 16 bits
of integers, so that what differs is what was converted and not how it was rounded.
"""

import contextlib
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH, STEPS, INPUTS, UNITS = 4, 8, 6, 10
PRECISION = "fixed<32,16>"


def torch_networks() -> dict[str, Callable[[], Any]]:
    """PyTorch modules by what they are; each takes [batch, steps, inputs]."""
    torch = importlib.import_module("torch")
    nn = torch.nn

    class First(nn.Module):  # type: ignore[name-defined]
        """The outputs of a recurrent module, or what a head makes of its last step."""

        def __init__(self, rnn: Any, head: Any = None, front: Any = None) -> None:
            super().__init__()
            self.rnn, self.head, self.front = rnn, head, front

        def forward(self, x: Any) -> Any:
            if self.front is not None:
                x = self.front(x.transpose(1, 2)).transpose(1, 2)
            y, _ = self.rnn(x)
            return y if self.head is None else self.head(y[:, -1])

    class Loop(nn.Module):  # type: ignore[name-defined]
        """A cell in a loop."""

        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(INPUTS, UNITS), nn.Linear(UNITS, 3)

        def forward(self, x: Any) -> Any:
            h = x.new_zeros(x.shape[0], UNITS)
            for t in range(STEPS):
                h = self.cell(x[:, t], h)
            return self.head(h)

    def own(kind: str, **options: Any) -> Any:
        return getattr(nn, kind)(INPUTS, UNITS, batch_first=True, **options)

    def linear(width: int = UNITS) -> Any:
        return nn.Linear(width, 3)

    return {
        "LSTM, all steps": lambda: First(own("LSTM")),
        "GRU, all steps": lambda: First(own("GRU")),
        "RNN, all steps": lambda: First(own("RNN")),
        "RNN with ReLU, all steps": lambda: First(own("RNN", nonlinearity="relu")),
        "LSTM, last step, linear": lambda: First(own("LSTM"), linear()),
        "GRU, last step, linear": lambda: First(own("GRU"), linear()),
        "LSTM without biases": lambda: First(own("LSTM", bias=False)),
        "two layers": lambda: First(own("LSTM", num_layers=2)),
        "both directions": lambda: First(own("GRU", bidirectional=True), linear(2 * UNITS)),
        "proj_size": lambda: First(own("LSTM", proj_size=4)),
        "convolution in front": lambda: First(
            nn.GRU(7, UNITS, batch_first=True), linear(), nn.Conv1d(INPUTS, 7, 3, padding=1)
        ),
        "GRUCell in a loop": Loop,
    }


def keras_networks() -> dict[str, Callable[[], Any]]:
    """Keras 3 models by what they are."""
    keras = importlib.import_module("keras")
    layers = keras.layers

    def model(*own: Any) -> Any:
        return keras.Sequential([keras.Input((STEPS, INPUTS)), *own])

    return {
        "LSTM, all steps": lambda: model(layers.LSTM(UNITS, return_sequences=True)),
        "LSTM, last step, Dense": lambda: model(layers.LSTM(UNITS), layers.Dense(3)),
        "GRU, all steps": lambda: model(layers.GRU(UNITS, return_sequences=True)),
        "GRU, reset_after = False": lambda: model(
            layers.GRU(UNITS, return_sequences=True, reset_after=False)
        ),
        "SimpleRNN, all steps": lambda: model(layers.SimpleRNN(UNITS, return_sequences=True)),
        "SimpleRNN with ReLU": lambda: model(
            layers.SimpleRNN(UNITS, activation="relu", return_sequences=True)
        ),
        "LSTM, go_backwards": lambda: model(
            layers.LSTM(UNITS, go_backwards=True, return_sequences=True)
        ),
        "LSTM with ReLU": lambda: model(
            layers.LSTM(UNITS, activation="relu", return_sequences=True)
        ),
        "Bidirectional": lambda: model(
            layers.Bidirectional(layers.LSTM(UNITS, return_sequences=True))
        ),
        "Bidirectional, last step, Dense": lambda: model(
            layers.Bidirectional(layers.GRU(UNITS)), layers.Dense(3)
        ),
        "TimeDistributed": lambda: model(
            layers.LSTM(UNITS, return_sequences=True), layers.TimeDistributed(layers.Dense(3))
        ),
        "Conv1D, GRU, Dense, softmax": lambda: model(
            layers.Conv1D(7, 3, padding="same", activation="relu"),
            layers.GRU(UNITS),
            layers.Dense(3, activation="softmax"),
        ),
        "two layers": lambda: model(
            layers.LSTM(UNITS, return_sequences=True), layers.GRU(8), layers.Dense(3)
        ),
    }


def converted(model: Any, of: str, folder: Path) -> Any:
    """The network by hls4ml, its C++ compiled."""
    hls4ml = importlib.import_module("hls4ml")
    if of == "PyTorch":
        config = hls4ml.utils.config_from_pytorch_model(
            model, input_shape=(STEPS, INPUTS), granularity="name", default_precision=PRECISION,
            channels_last_conversion="off",
        )  # fmt: skip
        found = hls4ml.converters.convert_from_pytorch_model(
            model, output_dir=str(folder), backend="Vitis", hls_config=config, io_type="io_parallel"
        )
    else:
        config = hls4ml.utils.config_from_keras_model(
            model, granularity="name", default_precision=PRECISION
        )
        found = hls4ml.converters.convert_from_keras_model(
            model, output_dir=str(folder), backend="Vitis", hls_config=config, io_type="io_parallel"
        )
    found.compile()
    return found


def tried(kind: str, of: str, make: Callable[[], Any], folder: Path) -> dict[str, Any]:
    """One network: exported, run, converted."""
    np = importlib.import_module("numpy")
    torch = importlib.import_module("torch")
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(BATCH, STEPS, INPUTS)).astype(np.float32)
    samples = np.random.default_rng(1).normal(size=(16, STEPS, INPUTS)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    if of == "PyTorch":
        model = make().eval()
        y = model(torch.tensor(x)).detach().numpy()
        # Only the newer exporter writes projections.
        newer = kind == "proj_size"
        sizes: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}}}
        if newer:
            sizes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
        torch.onnx.export(
            model, (torch.tensor(x),), str(folder / "m.onnx"), dynamo=newer, input_names=["x"],
            output_names=["y"], **sizes,
        )  # fmt: skip
    else:
        importlib.import_module("keras").utils.set_random_seed(0)
        model = make()
        y = np.asarray(model.predict(x, verbose=0))
        model.export(str(folder / "m.onnx"), format="onnx", verbose=False)
    np.savez(folder / "m.npz", x=x, y=y, samples=samples)
    row: dict[str, Any] = {"of": of, "kind": kind, "folder": folder.name}
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            found = converted(model, of, folder / "hls")
            given = np.asarray(found.predict(x))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc()
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return row | {"refused": f"{type(error).__name__}: {line}"}
    if given.size != y.size:
        return row | {"refused": "", "shape": [given.size // BATCH, y.size // BATCH]}
    noise = float(((given.reshape(y.shape) - y) ** 2).sum())
    return row | {"refused": "", "sqnr_db": float(10 * np.log10(float((y**2).sum()) / noise))}


def main() -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    folder = Path(sys.argv[1]).resolve()
    rows = []
    for of, networks in (("PyTorch", torch_networks()), ("Keras", keras_networks())):
        for number, (kind, make) in enumerate(networks.items()):
            rows.append(tried(kind, of, make, folder / f"{of.lower()}{number}"))
            print(rows[-1], flush=True)
    names = ("hls4ml", "torch", "keras")
    metadata = importlib.import_module("importlib.metadata")
    versions = {name: metadata.version(name) for name in names}
    (folder / "peer.json").write_text(json.dumps({"versions": versions, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
