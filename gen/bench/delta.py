"""GRUs on a machine with deltas, where a stated share of elements is not sent: `bench delta`.

EdgeDRNN's networks are GRUs of layers of equal size on 40 inputs. Weights are drawn. In each step a
share of the inputs moves and the rest stays; thresholds of the hidden states are the largest
that still send as much, and the amplitude of the inputs is then lowered until the share is met over
all columns and steps, the first ones included. What the lanes see is what the network computes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.presets import structure
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.network.model import GATES, FloatLayer, FloatNetwork
from sparnn.gen.quantize.activity import Activity, measure_activity
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize as quantize_network
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import FloatArray
from sparnn.sim.golden.layers import run_network
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.arrays import quantize
from sparnn.sim.network.network import IntegerNetwork

from .masr import every_output, run_layer

__all__ = [
    "INPUTS",
    "DeltaWork",
    "delta_machine",
    "delta_points",
    "drawn_gru",
    "drawn_work",
    "lanes_of",
    "parse_gru",
]

#: Inputs of EdgeDRNN's networks.
INPUTS = 40
#: Halvings of the amplitude.
_ROUNDS = 14
#: Where a tenth of the elements is sent, 32 mask bits hold three: too few to be ahead of the pairs.
_SCAN = {"chunk": 128, "sub_chunk": 16}


@dataclass(frozen=True, eq=False)
class DeltaWork:
    """A network with thresholds and its input. sent: the share of all elements that is sent."""

    network: IntegerNetwork
    sequence: InputSequence
    sent: float


def parse_gru(name: str) -> tuple[int, int]:
    """Layers and units of ``gru2x768``.

    Raises
    ------
    SparnnError: the name is of another form.
    """
    match = re.fullmatch(r"gru([1-9]\d?)x([1-9]\d{0,3})", name)
    if match is None:
        raise SparnnError(
            f"--network {name}: name layers and units of a GRU, such as gru2x768 for two layers "
            "of 768"
        )
    return int(match[1]), int(match[2])


def drawn_work(
    layers: int, units: int, *, sparsity: float, steps: int, seed: int, bits: int = 8
) -> DeltaWork:
    """A network, thresholds and inputs of which about this share is not sent."""
    rng = np.random.default_rng(seed)
    drawn = drawn_gru(rng, layers, units)
    moves = rng.normal(size=(steps, INPUTS)) * (rng.random((steps, INPUTS)) < 1 - sparsity)
    walk = _bounded(moves)
    integers = quantize_network(
        drawn, calibrate(drawn, [InputSequence(walk, {})]), bits, bits
    ).network
    target = 1 - sparsity

    def share(network: IntegerNetwork, amplitude: float) -> float:
        activity = measure_activity(network, [InputSequence(amplitude * walk, {})])
        return _sent(activity)

    network = _with_thresholds(integers, walk, target)
    low, high = 0.0, 1.0
    best = (abs(share(network, high) - target), high)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        found = share(network, middle)
        best = min(best, (abs(found - target), middle))
        low, high = (middle, high) if found < target else (low, middle)
    sequence = InputSequence(best[1] * walk, {})
    return DeltaWork(network, sequence, share(network, best[1]))


def drawn_gru(rng: np.random.Generator, layers: int, units: int) -> FloatNetwork:
    """A network of GRUs with drawn weights."""
    chain = []
    for number, inputs in enumerate([INPUTS] + [units] * (layers - 1)):
        gates = len(GATES["gru"])
        w_x, w_h = (
            rng.uniform(-1, 1, (gates, units, columns)) * columns**-0.5
            for columns in (inputs, units)
        )
        zero = np.zeros((gates, units))
        chain.append(FloatLayer(f"gru{number}", "gru", "", w_x, w_h, zero, zero))
    io = {
        "inputs": [{"name": "x", "role": "x", "layer": 0, "axes": ["time", "feature"]}],
        "outputs": [
            {"name": "h", "layer": layers - 1, "what": "last", "axes": ["time", "feature"]}
        ],
    }
    return FloatNetwork(tuple(chain), io)


def _bounded(moves: FloatArray) -> FloatArray:
    """Positions after the moves, which turn back at 2, so that inputs stay within a format."""
    place = np.zeros(moves.shape[1])
    found = np.empty_like(moves)
    for step, move in enumerate(moves):
        there = place + move
        place = np.where(np.abs(there) > 2, place - move, there)
        found[step] = place = np.clip(place, -2, 2)
    return found


def _with_thresholds(network: IntegerNetwork, x: FloatArray, target: float) -> IntegerNetwork:
    """Layer after layer the largest threshold of its output with which no less than ``target`` is
    sent; who reads it next has the same. Inputs have 0."""
    layers = [replace(one, delta_x=0, delta_h=0) for one in network.layers]
    for index in range(len(layers)):
        low, high = 0, (1 << network.activation_bits - 1) - 1
        while low < high:
            middle = (low + high + 1) // 2
            layers[index] = replace(layers[index], delta_h=middle)
            activity = measure_activity(
                replace(network, layers=tuple(layers)), [InputSequence(x, {})]
            )
            assert activity.sent is not None
            hidden = activity.sent[index][1]
            assert hidden is not None
            low, high = (middle, high) if hidden.mean() >= target else (low, middle - 1)
        layers[index] = replace(layers[index], delta_h=low)
        if index + 1 < len(layers):
            layers[index + 1] = replace(layers[index + 1], delta_x=low)
    return replace(network, layers=tuple(layers))


def _sent(activity: Activity, halves: Sequence[int] = (0, 1)) -> float:
    """The share of the elements that is sent: of inputs, of hidden states or of both."""
    assert activity.sent is not None
    parts = [one[half] for one in activity.sent for half in halves]
    values = np.concatenate([part.reshape(-1) for part in parts if part is not None])
    return float(values.mean())


def lanes_of(macs: int, width: int) -> int:
    """Lanes of so many rows that make these MAC units.

    Raises
    ------
    SparnnError: none do.
    """
    if macs % width:
        raise SparnnError(
            f"--macs {macs}: lanes have {width} multipliers; give a multiple of that, or another "
            "--width"
        )
    return macs // width


def delta_machine(lanes: int, width: int, *, delta: int = 1) -> SparseConfig:
    """Lanes without masks, which skip what is not sent; ``delta`` of 0: every element is."""
    own = structure(lanes, width=width, delta=delta)
    return SparseConfig(**own, **_SCAN, lanes=lanes, width=width, masks=0, delta=delta)


def delta_points(
    name: str,
    macs: Sequence[int],
    *,
    width: int = 8,
    sparsity: float = 0.9,
    steps: int = 48,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """The network on machines of so many MAC units, on the RTL.

    Raises
    ------
    SparnnError: a number of MAC units that lanes of this width do not make.
    """
    layers, units = parse_gru(name)
    sizes = [(count, lanes_of(count, width)) for count in macs]
    work = drawn_work(layers, units, sparsity=sparsity, steps=steps, seed=seed)
    activity = measure_activity(work.network, [work.sequence])
    x, _ = quantize(work.sequence.x, work.network.layers[0].f_x, work.network.activation_bits)
    trace = run_network(work.network, x)
    for count, lanes in sizes:
        machine = delta_machine(lanes, width)
        placed = place(
            work.network,
            machine,
            [every_output(work.network)],
            fit=True,
            steps=steps,
            activity=activity,
        )
        run = run_layer(placed, x, trace, activity=activity)
        yield {
            "network": name,
            "width": width,
            "macs": count,
            "lanes": lanes,
            "v": 1 << placed.layout.layers[0].v_log2,
            "seed": seed,
            "steps": steps,
            "sparsity": sparsity,
            "bit_exact": run.bit_exact,
            "cycles_per_step": run.cycles / steps,
            "utilization": trace.useful_macs / (count * run.cycles),
            "useful_macs_per_step": trace.useful_macs / steps,
            "sent_x": _sent(activity, [0]),
            "sent_h": _sent(activity, [1]),
            "thresholds": [[one.delta_x, one.delta_h] for one in work.network.layers],
        }
