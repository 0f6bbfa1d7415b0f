"""Random machines and integer networks, from a seed: for tests and `make regress`."""

from dataclasses import replace
from typing import Any

import numpy as np

from sparnn.gen.machines.shared.steps import single_steps
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.network.network import (
    CELL_FUNCTIONS,
    GATE_FUNCTIONS,
    GATES,
    STRAIGHT,
    WITH_STATE,
    IntegerLayer,
    IntegerNetwork,
)

__all__ = [
    "random_config",
    "random_held",
    "random_initial",
    "random_network",
    "random_thresholds",
    "random_v",
    "random_x",
]


def random_config(rng: np.random.Generator, **fixed: int) -> SparseConfig:
    """A legal machine with large memories."""
    post_units = int(rng.choice([1, 1, 2, 4, 8]))
    max_v = int(rng.choice([1, 2, 4, 8]))
    lanes = post_units * max_v * int(rng.integers(1, 4))
    chunk = int(rng.choice([c for c in (8, 16, 32, 64, 128) if c >= post_units]))
    values = {
        "lanes": lanes,
        "post_units": post_units,
        "max_v": max_v,
        "chunk": chunk,
        "sub_chunk": int(rng.choice([s for s in (4, 8, 16, 32) if s < chunk])),
        "weight_bits": int(rng.integers(4, 17)),
        "activation_bits": int(rng.integers(8, 17)),
        "queue_depth": int(rng.choice([2, 3, 8])),
        "columns": 128,
        "reset_first": int(rng.integers(0, 2)),
        "threads": int(rng.integers(1, 3)),
        "hard_sigmoid": int(rng.integers(0, 2)),
        "split_scales": int(rng.integers(0, 2)),
        "sharing": int(rng.integers(0, 2)) if max_v > 1 else 0,
    }
    # Drawn behind all else, so that a seed's other values are those that they were.
    if rng.random() < 0.5:
        values |= {"width": int(rng.choice([1, 2, 4, 8, 16])), "masks": int(rng.integers(0, 2))}
        values["queue_depth"] = max(values["queue_depth"], values["width"])
        if values["width"] > 1 or not values["masks"]:
            values |= {"split_scales": 0, "sharing": 0}
    if rng.random() < 0.4:
        values |= {name: int(rng.integers(0, 2)) for name in ("cell_functions", "clip")}
    return SparseConfig(**values | fixed)


#: What two layers of one loop have in common, beside sizes.
_FORMS = ("activation", "f_pre", "f_state", "f_out", "gate", "candidate", "cell", "clip")


def random_network(
    rng: np.random.Generator,
    config: SparseConfig,
    *,
    layers: int | None = None,
    largest: int = 24,
    directions: bool = True,
) -> IntegerNetwork:
    """A chain of random layers, of every kind, size, density and format.

    ``directions``: some run backwards, some in both directions, side by side or added.
    """
    count = int(rng.integers(1, 4)) if layers is None else layers
    chain: list[IntegerLayer] = []
    width, f_x = int(rng.integers(1, largest + 1)), int(rng.integers(0, 12))
    recurrent = added = False
    # A GRU that resets first keeps the others from running backwards.
    reset_first = bool(config.reset_first) and rng.random() < 0.4
    directions &= not reset_first
    kinds = ["lstm", "gru", "rnn", "linear"] + 2 * reset_first * ["gru_gates"]
    for index in range(count):
        kind = str(rng.choice(kinds))
        units = int(rng.integers(1, largest + 1))
        final = index == count - 1 and kind == "linear"
        layer = _layer(rng, config, f"layer{index}", kind, width, units, f_x, final)
        if kind == "linear" and recurrent and rng.random() < 0.4 and (final or not reset_first):
            layer["last_only"] = True
            layer["last_step"] = added or rng.random() < 0.5
        chain.append(IntegerLayer(**layer))
        if kind == "gru_gates":
            second = _layer(
                rng, config, f"layer{index}b", "gru_candidate", width, units, f_x, False,
                layer["f_out"],
            )  # fmt: skip
            second |= {"f_state": layer["f_state"], "join": "reset"}
            if second.get("candidate") in STRAIGHT:
                second["f_pre"] = max(second["f_pre"], second["f_state"])
            chain.append(IntegerLayer(**second))
        width, f_x, added = units, layer["f_out"], False
        if kind == "linear":
            continue
        recurrent = True
        drawn = rng.random() if directions else 1.0
        if drawn < 0.3:
            chain[-1] = replace(chain[-1], reverse=bool(rng.random() < 0.5))
        elif drawn < 0.6:
            chain += _second(rng, config, chain[-1], largest)
            added = chain[-1].join == "sum"
            width = units if added else units + chain[-1].units
            f_x -= chain[-1].sum_shift
    return IntegerNetwork(tuple(chain), config.weight_bits, config.activation_bits)


def _second(
    rng: np.random.Generator, config: SparseConfig, first: IntegerLayer, largest: int
) -> list[IntegerLayer]:
    """Another layer that reads what ``first`` reads, mostly its other direction, which is often
    like it in all but its weights: two threads can run the two together."""
    twin = rng.random() < 0.5
    kind = first.kind if twin or rng.random() < 0.4 else str(rng.choice(["lstm", "gru", "rnn"]))
    join = str(rng.choice(["concat", "sum"]))
    same = twin or join == "sum" or rng.random() < 0.6
    units = first.units if same else int(rng.integers(1, largest + 1))
    layer = _layer(
        rng, config, f"{first.name}b", kind, first.inputs, units, first.f_x, False, first.f_out
    )
    layer |= {"join": join, "reverse": rng.random() < 0.8}
    if twin:
        layer |= {name: getattr(first, name) for name in _FORMS}
        layer["reverse"] = not first.reverse
        layer |= {"w_c": first.w_c, "cell_shift": first.cell_shift}
        if first.w_c is not None:
            layer["bias_h"] = np.zeros_like(layer["bias_h"])
    if join == "sum" and first.f_out > -4:
        layer["sum_shift"] = int(rng.integers(0, 2))
    return [IntegerLayer(**layer)]


def random_thresholds(rng: np.random.Generator, network: IntegerNetwork) -> IntegerNetwork:
    """The network with thresholds of differences, zero, small or of any size, mostly the same for
    two layers that are joined."""
    most = (1 << network.activation_bits - 1) - 1
    single, layers = single_steps(network), list(network.layers)

    def drawn() -> int:
        return int(rng.choice([0, 1, 5, int(rng.integers(0, most + 1))]))

    x, h = 0, 0
    for index, layer in enumerate(layers):
        if not layer.join or rng.random() < 0.3:
            x, h = drawn(), drawn()
        here = (0, 0) if single[index] else (x, h)
        layers[index] = replace(
            layer, delta_x=here[0], delta_h=here[1] if layer.has_hidden else None
        )
    return replace(network, layers=tuple(layers))


def random_v(rng: np.random.Generator, config: SparseConfig, network: IntegerNetwork) -> list[int]:
    """Any V of each layer, not only the one that the compiler would choose."""
    most = config.v_log2_max
    if not config.masks:  # each lane of a row has a word of every vector
        sizes = [size for layer in network.layers for size in (layer.inputs, layer.units)]
        most = min(most, ceil_div(min(sizes), config.post_units).bit_length() - 1)
    return [1 << int(rng.integers(0, most + 1)) for _ in network.layers]


def random_x(rng: np.random.Generator, network: IntegerNetwork, steps: int) -> IntArray:
    """[steps, inputs], sparse, with extremes."""
    return _sparse(rng, (steps, network.layers[0].inputs), network.activation_bits, low=1)


def random_held(rng: np.random.Generator, x: IntArray) -> IntArray:
    """[steps, inputs], of which a share stays as it was, or nearly."""
    held = x.copy()
    stays = rng.random(x.shape) < rng.choice([0, 0.5, 0.9])
    low, high = x.min(), x.max()
    for step in range(1, len(x)):
        near = np.clip(held[step - 1] + rng.integers(-2, 3, x.shape[1]), low, high)
        held[step] = np.where(stays[step], near, x[step])
    return held


def random_initial(
    rng: np.random.Generator, network: IntegerNetwork
) -> dict[tuple[str, int], IntArray]:
    """Initial states of some layers."""
    states = {}
    for role, index in network.input_sizes:
        layer = network.layers[index]
        if role != "x" and rng.random() < 0.6:
            bits = layer.out_bits if role == "initial_h" else 16
            states[role, index] = _sparse(rng, (layer.units,), bits, low=1)
    return states


def _layer(
    rng: np.random.Generator,
    config: SparseConfig,
    name: str,
    kind: str,
    inputs: int,
    units: int,
    f_x: int,
    final: bool,
    f_out: int | None = None,
) -> dict[str, Any]:
    gates = GATES[kind]
    hidden = kind != "linear"
    f_pre = int(rng.integers(0, 16))
    if f_out is None:
        f_out = f_pre if final else int(rng.integers(-4, 16))
    out_bits = 16 if final else config.activation_bits
    fields: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "activation": str(rng.choice(["identity", "relu", "tanh", "sigmoid"]))
        if kind in ("rnn", "linear")
        else "",
        "w_x": _sparse(rng, (gates, units, inputs), config.weight_bits),
        "w_h": _sparse(rng, (gates, units, units), config.weight_bits) if hidden else None,
        "f_x": f_x,
        "f_pre": f_pre,
        "f_state": int(rng.integers(0, 16)) if kind in WITH_STATE else 0,
        "f_out": f_out,
        "out_bits": out_bits,
    }
    for half, width in (("x", inputs), ("h", units)):
        if half == "h" and not hidden:
            fields |= {"mult_h": None, "shift_h": None, "bias_h": None}
            continue
        # A typical sum, brought to a typical pre-activation.
        size = config.weight_bits + config.activation_bits + int(np.log2(width)) - 4
        shift = np.clip(size + 15 - 13 + rng.integers(-3, 4, (gates, units)), 0, 47)
        fields[f"mult_{half}"] = rng.integers(0, 32768, (gates, units))
        fields[f"shift_{half}"] = shift
        fields[f"bias_{half}"] = rng.integers(-32768, 32768, (gates, units)) >> rng.integers(0, 16)
        if config.split_scales and rng.random() < 0.7:
            fields[f"factors_{half}"] = rng.integers(1, 4, (2, gates, units))
    has_sigma = fields["activation"] == "sigmoid" or kind in WITH_STATE
    if has_sigma and config.hard_sigmoid and rng.random() < 0.4:
        fields["activation"] = "hard_sigmoid"
    if config.cell_functions and kind in ("lstm", "gru", "gru_candidate"):
        fields["candidate"] = str(rng.choice(CELL_FUNCTIONS))
        if kind == "lstm":
            fields["cell"] = str(rng.choice(CELL_FUNCTIONS))
        if fields["candidate"] in STRAIGHT:
            fields["f_pre"] = max(f_pre, fields["f_state"])
    functions = {fields["activation"], fields.get("candidate"), fields.get("cell")}
    if config.clip and not functions & {*STRAIGHT} and rng.random() < 0.5:
        fields["clip"] = int(rng.integers(1, 32768))
    if kind == "lstm" and config.gate_functions:
        own = rng.spawn(1)[0]  # the other values are those of a machine without
        fields["gate"] = str(own.choice(GATE_FUNCTIONS))
        f_cell = fields["f_state"] if fields.get("cell") in STRAIGHT else 15
        if fields["gate"] in STRAIGHT:
            fields["f_pre"] = max(fields["f_pre"], f_out - f_cell)
            fields.pop("clip", None)
    if kind == "lstm" and config.peepholes and rng.random() < 0.5:
        fields |= {
            "w_c": _sparse(rng, (3, units), 16, low=1),
            "cell_shift": int(rng.integers(0, 32)),
            "bias_h": np.zeros_like(fields["bias_h"]),
        }
    if hidden and kind != "gru_candidate" and rng.random() < 0.2:
        fields["initial_h"] = _sparse(rng, (units,), out_bits, low=1)
    if kind == "lstm" and rng.random() < 0.2:
        fields["initial_c"] = _sparse(rng, (units,), 16, low=1)
    return fields


def _sparse(rng: np.random.Generator, shape: tuple[int, ...], bits: int, low: int = 0) -> IntArray:
    """Integers of a random density; with ``low`` = 1 including the most negative value."""
    limit = 1 << bits - 1
    values = rng.integers(-limit + 1 - low, limit, shape)
    values = np.where(rng.random(shape) < 0.05, rng.choice([-limit + 1 - low, limit - 1]), values)
    return np.where(rng.random(shape) < rng.choice([0, 0.1, 0.5, 0.9, 1]), values, 0)
