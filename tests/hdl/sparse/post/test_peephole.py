"""LSTMs with peepholes in a whole post unit, against docs/numerics.md."""

import random
from dataclasses import replace

import pytest

from sparnn.hdl.sparse.config import SparseConfig
from tests.hdl.sparse.post.test_cell import Layer, random_layer
from tests.hdl.sparse.post.test_unit import check

CONFIG = SparseConfig(peepholes=1)


def peephole_layer(rng: random.Random, weights: tuple[int, ...] | None = None) -> Layer:
    """Weights are drawn, the extremes among them."""
    layer = random_layer(rng, "lstm")
    some = weights or (-32768, 32767, 0, *(rng.randrange(-32768, 32768) for _ in range(9)))
    layer.cell.peepholes = {
        layer.base + index: tuple(rng.choice(some) for _ in range(3))
        for index in range(layer.neurons)
    }
    layer.cell.cell_shift = rng.choice([0, 1, 12, 15, 20, 31])
    return layer


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.4, 0.6)])
def test_layers_in_turn(idle: float, stall: float) -> None:
    """With and without peepholes, of other kinds between them, states kept or begun anew."""
    rng = random.Random(3)
    layers = [
        peephole_layer(rng),
        random_layer(rng, "gru"),
        peephole_layer(rng),
        random_layer(rng, "lstm"),
        replace(peephole_layer(rng), fresh=False),
        random_layer(rng, "rnn"),
    ]
    check(layers, CONFIG, idle, stall, seed=5)


@pytest.mark.parametrize("weight", [-32768, 32767])
def test_every_share_at_its_limit(weight: int) -> None:
    rng = random.Random(7)
    layer = peephole_layer(rng, (weight,))
    layer.cell.cell_shift = 0
    check([layer], CONFIG, 0, 0, seed=1)


def test_gates_of_other_functions() -> None:
    rng = random.Random(11)
    layers = []
    for gate in ("relu", "tanh", "sigmoid"):
        layer = peephole_layer(rng)
        layer.cell.gate = gate
        layers.append(layer)
    options = {"peepholes": 1, "cell_functions": 1, "gate_functions": 1}
    check(layers, SparseConfig(**options), 0.1, 0.1, seed=6)


def test_weights_of_zero_are_no_peepholes() -> None:
    rng = random.Random(9)
    check([peephole_layer(rng, (0,))], CONFIG, 0.2, 0.2, seed=2)


def test_interval() -> None:
    """What a neuron costs: the way from g to the new state, and from there through o."""
    layer = Layer(random_layer(random.Random(1), "lstm").cell, neurons=12, holes=0, steps=2)
    layer.cell.peepholes = dict.fromkeys(range(12), (1, 2, 3))
    _, taken = check([layer], CONFIG, 0, 0, seed=0)
    assert taken[-1] - taken[-2] == 25
