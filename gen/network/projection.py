"""An LSTM with recurrent projections as an ONNX model: `python -m sparnn.gen.network.projection`.

No ONNX operator has a projection. With ``h = P m``, ``m = o · tanh(c)``, the recurrent half is
``R h = (R P) m``, so the layer is an ordinary LSTM of ``m`` with the weights ``R P`` and a linear
layer ``P`` behind it: exact, in float64 (Sak et al., arXiv 1402.1128; PyTorch's ``proj_size``).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from sparnn.gen.errors import SparnnError
from sparnn.sim.aliases import FloatArray
from sparnn.sim.errors import SimulationError
from sparnn.sim.network.arrays import read_npz

from .model import FloatLayer, FloatNetwork
from .to_onnx import float_model

__all__ = ["main", "projected_network"]

_AXES = ("time", "batch", "feature")


def projected_network(weights: Mapping[str, NDArray[np.floating]]) -> FloatNetwork:
    """The network of a state dict of PyTorch's ``LSTM(…, proj_size=…)``.

    Parameters
    ----------
    weights: by PyTorch's names, for each layer k and, of a bidirectional one, with ``_reverse``:
        ``weight_ih_lk`` [4 units, inputs], ``weight_hh_lk`` [4 units, projection],
        ``weight_hr_lk`` [projection, units], and ``bias_ih_lk``, ``bias_hh_lk`` [4 units] or none.
        Gates in the order i, f, g, o.

    Returns
    -------
    Input ``x``, output ``y``, [time, batch, features]; the initial state is zero.

    Raises
    ------
    SparnnError: a name is missing or unknown, or a shape does not fit.
    """
    left = dict(weights)
    layers: list[FloatLayer] = []
    number = inputs = 0
    while number == 0 or f"weight_ih_l{number}" in left:
        sides = [""] + ["_reverse"] * (f"weight_ih_l{number}_reverse" in left)
        parts = [_direction(left, f"l{number}{side}", inputs) for side in sides]
        layers += [layer for layer, _ in parts]
        if len({layer.units for layer, _ in parts}) > 1:
            raise SparnnError(f"layer {number}: its directions have different sizes")
        layers.append(_linear(f"l{number}_projection", [p for _, p in parts]))
        inputs = layers[-1].units
        number += 1
    if left:
        raise SparnnError(
            f"{min(left)!r} is no name of PyTorch's LSTM with proj_size, or its layer is not there"
        )
    io = {
        "inputs": [
            {
                "name": "x",
                "role": "x",
                "layer": 0,
                "axes": _AXES,
                "sizes": [None, None, layers[0].inputs],
            }
        ],
        "outputs": [{"name": "y", "layer": len(layers) - 1, "what": "sequence", "axes": _AXES}],
    }
    return FloatNetwork(tuple(layers), io)


def _direction(
    left: dict[str, NDArray[np.floating]], name: str, inputs: int
) -> tuple[FloatLayer, FloatArray]:
    """One LSTM with folded weights, and P."""

    def take(kind: str, *shape: int) -> FloatArray:
        full = f"{kind}_{name}"
        if full not in left:
            if kind.startswith("bias"):
                return np.zeros(shape)
            raise SparnnError(f"{full!r} is missing; give the whole state dict, by PyTorch's names")
        array = np.asarray(left.pop(full), np.float64)
        fits = array.ndim == len(shape) and all(
            want in (0, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join(str(size) if size else "…" for size in shape)
            raise SparnnError(f"{full!r} has the shape {list(array.shape)}, expected [{wanted}]")
        return array

    projection = take("weight_hr", 0, 0)
    size, units = projection.shape
    w_x = take("weight_ih", 4 * units, inputs)
    w_h = take("weight_hh", 4 * units, size) @ projection
    biases = [take(kind, 4 * units).reshape(4, units) for kind in ("bias_ih", "bias_hh")]
    reverse = name.endswith("_reverse")
    layer = FloatLayer(
        name=name,
        kind="lstm",
        activation="",
        w_x=w_x.reshape(4, units, -1),
        w_h=w_h.reshape(4, units, units),
        b_x=biases[0],
        b_h=biases[1],
        reverse=reverse,
        join="concat" if reverse else "",
    )
    return layer, projection


def _linear(name: str, projections: Sequence[FloatArray]) -> FloatLayer:
    """The projections of all directions side by side."""
    size, units = (sum(p.shape[axis] for p in projections) for axis in (0, 1))
    weights = np.zeros((1, size, units))
    row = column = 0
    for p in projections:
        weights[0, row : row + p.shape[0], column : column + p.shape[1]] = p
        row, column = row + p.shape[0], column + p.shape[1]
    none = np.zeros((1, size))
    return FloatLayer(name, "linear", "identity", weights, None, none, none)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 where the user has to change something."""
    parser = argparse.ArgumentParser(
        prog="python -m sparnn.gen.network.projection", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("weights", type=Path, help="an npz file of PyTorch's state dict")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the ONNX model to write")
    chosen = parser.parse_args(arguments)
    try:
        model = float_model(projected_network(read_npz(chosen.weights)))
        onnx.save(model, chosen.output)
    except (SparnnError, SimulationError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {chosen.output} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
