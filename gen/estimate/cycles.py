"""Cycles of a placed network, without simulating it.

On the dense machine they follow from its cycle model, exactly. On the sparse machine they follow
from a model of the lanes row by row (:mod:`sparnn.sim.cycles.sparse`) and from which activations
are not zero in sample steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.dense.program import DensePlacement, model_layers
from sparnn.gen.machines.shared.descriptors import is_seen
from sparnn.gen.machines.shared.layers import runs_step_by_step
from sparnn.gen.machines.shared.order import by_position
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.machines.sparse.program import SparsePlacement, is_kept
from sparnn.gen.machines.sparse.stage import at_once, chunks_per_row
from sparnn.gen.quantize.activity import Activity, BoolArray
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.cycles.dense import layer_cycles
from sparnn.sim.cycles.sparse import HalfRows, follow, output_latency
from sparnn.sim.network.network import IntegerLayer

__all__ = ["LoopCycles", "half_vectors", "loop_cycles", "run_cycles"]

#: Sample steps that are followed.
_SAMPLES = 24
#: Steps from whose difference the dense machine's cycles of one more step are taken.
_LONG, _SHORT = 72, 40
#: Cycles that a post unit takes for a neuron at least, in the half that completes it: more than it
#: has rows, where it needs its multiplier or its tables more often (docs/post.md, "Post unit").
_NEURON = {"lstm": 5.0, "gru": 5.24, "gru_gates": 3.0, "gru_candidate": 3.0}
_SIMPLE = {"identity", "relu"}
_NEURON_SIMPLE, _NEURON_OTHER = 1.0, 1.3
_NEURON_PEEPHOLE = 25.0
#: Cycles before the state of a run's last step is in the store.
_TWICE = 2
#: Cycles of a serial post unit: for a row of the input half, and for a neuron in the hidden half
#: (docs/post.md, "Serial").
_SERIAL_ROW = 9.7
_SERIAL_NEURON = {"lstm": 157, "gru": 123}
_SERIAL_SIMPLE, _SERIAL_OTHER = 23, 40


@dataclass(frozen=True)
class LoopCycles:
    """Layers that run together.

    Members
    -------
    layers: their indices.
    first: cycles of a sequence's first step, before which the state is zero, and of beginning.
    steady: cycles of each further step; 0 where the layers run one step.
    macs: products of all weights that are not zero, in a step.
    pairs, longest: in a step, the lanes' cycles with a weight and an activation that are not zero,
        on the sample inputs, and one for each row without any; of all lanes together, and of the
        lane that has the most. 0 on a machine whose lanes all work at once.
    mode: how its weights come from external memory (docs/external-memory.md), "" where they do not.
    reading: cycles that the memory takes for them, once in a step or once in a run.
    """

    layers: tuple[int, ...]
    first: float
    steady: float
    macs: int
    mode: str = ""
    reading: float = 0.0
    pairs: float = 0.0
    longest: float = 0.0

    @property
    def step(self) -> float:
        """Cycles of each further step, waiting for the memory included."""
        return max(self.steady, self.reading) if self.mode == "streamed" else self.steady

    @property
    def waits(self) -> bool:
        """Whether the memory sets the pace."""
        return self.step > self.steady


def run_cycles(loops: Sequence[LoopCycles], steps: int) -> float:
    """Cycles from RUN to the last output of a sequence of so many steps.

    Words that are read once in a run are read while the loop before runs, once it has begun: what
    it waited for before were its own.
    """
    total = before = 0.0
    for loop in loops:
        own = loop.first + (steps - 1) * loop.step
        if loop.mode == "streamed":
            own += max(0.0, loop.reading - loop.first)
        wait = max(0.0, loop.reading - before) if loop.mode == "swapped" else 0.0
        total, before = total + wait + own, own
    return total


def loop_cycles(
    placement: Placement,
    activity: Sequence[BoolArray] | None = None,
    *,
    bytes_per_cycle: float | None = None,
) -> list[LoopCycles]:
    """Cycles of each loop of a placed network.

    Parameters
    ----------
    activity: which activations are not zero, as
        :func:`~sparnn.gen.quantize.activity.measure_activity` gives them; None: all of them.
    bytes_per_cycle: what an external memory gives; None: one of its words.
    """
    return _LOOPS[placement.config.MACHINE](placement, activity, bytes_per_cycle)


def _sparse_loops(
    placement: SparsePlacement,
    activity: Sequence[BoolArray] | None,
    bytes_per_cycle: float | None,
) -> list[LoopCycles]:
    if activity is None:
        layers = placement.network.layers
        sizes = [layers[0].inputs, *(layer.units for layer in layers)]
        activity = [np.ones((1, size), np.bool_) for size in sizes]
    # Spread over all sample steps: the model follows few.
    sent = activity.sent if isinstance(activity, Activity) else None
    spread = Activity(activity, sent).changed(
        lambda one: one[np.linspace(0, len(one) - 1, _SAMPLES).round().astype(int)]
    )
    loops = [_sparse(placement, loop, spread) for loop in placement.layout.loops]
    if not placement.config.stream_bits:
        return loops
    rate = bytes_per_cycle or placement.config.stream_bits / 8
    return [
        replace(loop, mode=mode, reading=4 * section.size / rate)
        for loop, section, mode in zip(loops, placement.sections, placement.modes, strict=True)
    ]


def _macs(layers: Sequence[IntegerLayer]) -> int:
    weights = [one for layer in layers for one in (layer.w_x, layer.w_h) if one is not None]
    return sum(int(np.count_nonzero(one)) for one in weights)


def _sparse(placed: SparsePlacement, loop: tuple[int, ...], activity: Activity) -> LoopCycles:
    network, config = placed.network, placed.config
    layers = [network.layers[index] for index in loop]
    v_log2 = placed.layout.layers[loop[0]].v_log2
    halves = [half for index in loop for half in _halves(placed, index, activity)]
    waits = None
    if network.layers[loop[-1]].kind == "linear":
        waits = [None]
    time = follow(halves, config, v_log2, waits)
    ends = max(_last_words(placed, index) for index in loop)
    # A step is no shorter than what all of it needs of the bus.
    steady = max(time.step, _broadcast(placed, loop))
    if runs_step_by_step(network):  # every step is a run, which begins anew
        steady = follow(halves, config, v_log2, waits, fresh=False).first + ends
    single = placed.single[loop[0]]
    each = _per_lane(halves, config.lanes >> v_log2)
    return LoopCycles(
        loop,
        time.first + ends,
        0.0 if single else steady,
        _macs(layers),
        pairs=float(each.sum()),
        longest=float(each.max()),
    )


def _per_lane(halves: Sequence[HalfRows], groups: int) -> npt.NDArray[np.float64]:
    """Pairs of each lane in a step, [groups, V], a cycle for each."""
    found = np.zeros((groups, halves[0].pairs.shape[2]))
    for half in halves:
        np.add.at(found, half.group, half.pairs.mean(axis=0))
    return found


def _broadcast(placed: SparsePlacement, loop: Sequence[int]) -> float:
    """Words of inputs and hidden states that come over the bus in a step, one in a cycle."""
    units = placed.config.post_units
    words = 0
    for index in loop:
        place, layer = placed.layout.layers[index], placed.network.layers[index]
        words += ceil_div(len(place.columns), units)
        words += ceil_div(layer.units, units) * layer.has_hidden
    return float(words)


def half_vectors(
    placed: SparsePlacement, index: int, activity: Activity
) -> list[tuple[npt.NDArray[np.int32], BoolArray, npt.NDArray[np.int64]]]:
    """Of the input and of the hidden half of a layer: the weights, which elements of the vector
    that they meet are not zero, or are sent, and the column of each position."""
    layer, place = placed.network.layers[index], placed.layout.layers[index]
    read: list[tuple[npt.NDArray[np.int32], BoolArray, npt.NDArray[np.int64]]] = [
        (layer.w_x, _arriving(placed, index, activity), place.columns)
    ]
    if layer.w_h is not None:
        # The two layers of a GRU that resets first read each other's output.
        source = {"gru_gates": index + 1, "gru_candidate": index - 1}.get(layer.kind, index)
        read.append((layer.w_h, activity[source + 1], place.neurons))
    if activity.sent is not None:
        read = [
            (weights, sent, columns)
            for (weights, _, columns), sent in zip(read, activity.sent[index], strict=False)
            if sent is not None
        ]
    return read


def _halves(placed: SparsePlacement, index: int, activity: Activity) -> list[HalfRows]:
    """The input and the hidden half of a layer, with what they read."""
    config, layer = placed.config, placed.network.layers[index]
    read = half_vectors(placed, index, activity)
    halves = []
    for half, (weights, active, columns) in enumerate(read):
        rows = [_rows(placed, index, half, one, active, columns) for one in _apart(config, weights)]
        # A row without a pair takes a lane's cycle all the same.
        pairs = np.sum([np.maximum(one.pairs, 1.0) for one in rows], axis=0)
        chunks, gates = (sum(getattr(one, name) for one in rows) for name in ("chunks", "gates"))
        halves.append(replace(rows[0], pairs=pairs, chunks=chunks, gates=gates))
    last, (latency, pace) = halves[-1], _output(placed, index)
    if config.by_word:
        halves[-1] = replace(last, pace=pace, latency=latency)
    else:
        # A block has several neurons, and the last one of a half fewer rows.
        short = -layer.gates * ceil_div(layer.units, config.post_units) % config.width
        neurons = config.width / layer.gates
        late = max(last.late, (neurons - 1) * pace + layer.gates - 1)
        halves = [replace(half, short=short) for half in halves]
        halves[-1] = replace(halves[-1], pace=neurons * pace, latency=latency, late=late)
    if config.compact and layer.has_hidden:
        halves[0] = replace(halves[0], pace=layer.gates * _SERIAL_ROW)
    return halves


def _output(placed: SparsePlacement, index: int) -> tuple[int, float]:
    """Of a layer's outputs: from the last sum to it, and cycles from one of a post unit to the
    next at least."""
    layer, config = placed.network.layers[index], placed.config
    peepholes = layer.w_c is not None
    simple = layer.activation in _SIMPLE
    pace: float
    if config.compact:
        latency = _SERIAL_NEURON.get(layer.kind, _SERIAL_SIMPLE if simple else _SERIAL_OTHER)
        pace = latency
    else:
        latency = output_latency(layer.kind, layer.activation, peepholes)
        pace = _NEURON.get(layer.kind, _NEURON_SIMPLE if simple else _NEURON_OTHER)
        pace = _NEURON_PEEPHOLE if peepholes else pace
    if _sends(placed, index):
        # To the host one value leaves in a cycle, one is lost for each word, and one a step.
        words = ceil_div(layer.units, config.post_units)
        pace = max(pace, (layer.units + words + 1) / words)
    return latency, pace


def _last_words(placed: SparsePlacement, index: int) -> float:
    """Cycles that the words of a run's last step take more than others: they go to two places of
    the store, as outputs and as the state."""
    layer, (_, pace) = placed.network.layers[index], _output(placed, index)
    if not layer.has_hidden or not is_kept(placed, _stage(placed, index), index):
        return 0.0
    return _TWICE + ceil_div(layer.units, placed.config.post_units) * max(0.0, 2 - pace)


def _stage(placed: SparsePlacement, index: int) -> int:
    return next(k for k, stage in enumerate(placed.network.stages) if index in stage)


def _sends(placed: SparsePlacement, index: int) -> bool:
    """Whether the host gets a layer's outputs of each step while it runs."""
    number = _stage(placed, index)
    sent = "sequence" in placed.wanted[number] and number not in placed.read
    return sent and is_seen(placed.network.layers[index])


def _apart(config: SparseConfig, weights: npt.NDArray[np.int32]) -> list[npt.NDArray[np.int32]]:
    """The gates one by one, where a lane works on a row at a time."""
    return [weights[k : k + 1] for k in range(len(weights))] if config.by_word else [weights]


def _rows(
    placed: SparsePlacement,
    index: int,
    half: int,
    weights: npt.NDArray[np.int32],
    active: BoolArray,
    columns: npt.NDArray[np.int64],
) -> HalfRows:
    config, place = placed.config, placed.layout.layers[index]
    present, group = at_once(config, placed.network.layers[index], place, half, weights)
    return HalfRows.of(
        by_position(present, columns),
        by_position(active, columns),
        group,
        place.slices(config, half),
        1 << place.v_log2,
        chunks_per_row(config, len(columns), place.v_log2),
        1 if config.by_word else config.width,
        blocks=not config.by_word,
    )


def _arriving(placed: SparsePlacement, index: int, activity: Sequence[BoolArray]) -> BoolArray:
    """Which columns of a layer's input are not zero."""
    stages, number = placed.network.stages, _stage(placed, index)
    if number == 0:
        return activity[0]
    before = stages[number - 1]
    outputs = [activity[one + 1] for one in before]
    join = placed.network.layers[before[-1]].join
    if join == "reset":
        return outputs[-1]
    return np.logical_or.reduce(outputs) if join == "sum" else np.hstack(outputs)


def _dense_loops(
    placed: DensePlacement, activity: Sequence[BoolArray] | None, bytes_per_cycle: float | None
) -> list[LoopCycles]:
    alone = runs_step_by_step(placed.network)  # every step is a run
    runs = [model_layers(placed, steps, fresh=not alone) for steps in (1, _SHORT, _LONG)]
    found = []
    starts = [0, 0, 0]
    index = 0
    for number, layer in enumerate(runs[0]):
        indices = (index, index + 1) if layer.paired else (index,)
        index += len(indices)
        lengths = []
        for run, layers in enumerate(runs):
            end, start = layer_cycles(placed.config, layers[number], starts[run])
            last = number == len(layers) - 1
            lengths.append((end if last else start) - starts[run])
            starts[run] = start
        one, short, long = lengths
        single = placed.single[indices[0]]
        # One step more costs the same from some step on; what the first ones cost less stands in
        # the first.
        steady = 0.0 if single else (long - short) / (_LONG - _SHORT)
        first = one if single else short - (_SHORT - 1) * steady
        if alone:
            first = steady = one
        layers_of = [placed.network.layers[k] for k in indices]
        found.append(LoopCycles(indices, first, steady, _macs(layers_of)))
    # Of a network that stays nothing is read while it runs.
    if "swapped" not in placed.modes:
        return [replace(loop, mode=mode) for loop in found for mode in placed.modes or ("",)]
    rate = bytes_per_cycle or placed.config.stream_bits / 8
    return [
        replace(loop, mode="swapped", reading=4 * section.size / rate)
        for loop, section in zip(found, placed.sections, strict=True)
    ]


#: Machine's name -> cycles of each loop of a network that is placed on it.
_LOOPS: Mapping[str, Callable[[Any, Sequence[BoolArray] | None, float | None], list[LoopCycles]]]
_LOOPS = {"sparse": _sparse_loops, "dense": _dense_loops}
