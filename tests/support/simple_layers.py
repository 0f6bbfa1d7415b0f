"""Integer layers in which every weight and every requantization is one: only sizes matter."""

from typing import Any

import numpy as np

from sparnn.sim.network.network import GATES, IntegerLayer

__all__ = ["head", "layer"]


def layer(kind: str, inputs: int, units: int, **other: Any) -> IntegerLayer:
    gates = GATES[kind]
    rows = np.ones((gates, units), int)
    hidden = kind != "linear"
    fields = {
        "name": f"{kind}{units}",
        "kind": kind,
        "activation": "relu" if kind in ("rnn", "linear") else "",
        "w_x": np.ones((gates, units, inputs), int),
        "w_h": np.ones((gates, units, units), int) if hidden else None,
        **{f"{name}_x": rows for name in ("mult", "shift", "bias")},
        **{f"{name}_h": rows if hidden else None for name in ("mult", "shift", "bias")},
        "f_x": 7,
        "f_pre": 9,
        "f_state": 11 if kind in ("lstm", "gru") else 0,
        "f_out": 7,
        "out_bits": 8,
    }
    return IntegerLayer(**fields | other)


def head(inputs: int, units: int, **other: Any) -> IntegerLayer:
    """A last linear layer."""
    return layer("linear", inputs, units, f_out=9, out_bits=16, **other)
