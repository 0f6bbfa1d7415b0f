"""The networks of `bench memory`: drawn ones by name, any other by its ONNX file."""

import re
from pathlib import Path

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer, FloatNetwork
from sparnn.gen.onnx.reader import import_onnx

from .delta import drawn_gru

__all__ = ["drawn_masr", "named_network"]

_DRAWN = re.compile(r"(gru|masr)([1-9]\d?)x([1-9]\d{0,3})")


def named_network(name: str, rng: np.random.Generator) -> FloatNetwork:
    """A network of GRUs (``gru2x768``), MASR's (``masr5x800``), or that of a file.

    Raises
    ------
    SparnnError: the name is of another form, or the file cannot be used.
    """
    if name.endswith(".onnx"):
        return import_onnx(Path(name))
    match = _DRAWN.fullmatch(name)
    if match is None:
        raise SparnnError(
            f"--network {name}: name layers and units, such as gru2x768 (GRUs) or masr5x800 "
            "(layers of two directions whose outputs are added), or an .onnx file"
        )
    draw = drawn_gru if match[1] == "gru" else drawn_masr
    return draw(rng, int(match[2]), int(match[3]))


def drawn_masr(rng: np.random.Generator, layers: int, units: int) -> FloatNetwork:
    """Layers as in MASR's speech network (arXiv 1908.08976): plain recurrent, ReLU, in both
    directions, whose outputs are added; drawn weights, as many inputs as units.

    The gain keeps values from growing along the sequence.
    """
    chain = []
    for number in range(layers):
        for reverse in (False, True):
            w_x, w_h = (
                rng.uniform(-1, 1, (1, units, units)) * scale * units**-0.5 for scale in (1.7, 0.8)
            )
            zero = np.zeros((1, units))
            chain.append(
                FloatLayer(
                    f"rnn{number}{'b' if reverse else 'f'}",
                    "rnn",
                    "relu",
                    w_x,
                    w_h,
                    zero,
                    zero,
                    reverse=reverse,
                    join="sum" if reverse else "",
                )
            )
    last = 2 * layers - 1
    io = {
        "inputs": [{"name": "x", "role": "x", "layer": 0, "axes": ["time", "feature"]}],
        "outputs": [
            {
                "name": "y",
                "layer": last,
                "layers": [last - 1, last],
                "directions": 1,
                "what": "sequence",
                "axes": ["time", "feature"],
            }
        ],
    }
    return FloatNetwork(tuple(chain), io)
