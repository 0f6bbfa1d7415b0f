"""What values each tensor of the float network takes on sample inputs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer, FloatNetwork
from sparnn.gen.network.run import FloatTrace, run_network
from sparnn.sim.aliases import FloatArray
from sparnn.sim.network.arrays import Sequence
from sparnn.sim.network.network import WITH_STATE

__all__ = ["LayerRanges", "Ranges", "TensorRange", "calibrate"]

#: Values kept per tensor, and steps kept for runs that compare formats.
SAMPLE = 1 << 18
PROBE_STEPS = 4096
#: Multiply-accumulates that one run of those steps may cost; large networks keep fewer steps.
PROBE_MACS = 1 << 29
#: Elements of one tensor that one block of sequences may fill.
BLOCK = 1 << 22


@dataclass(frozen=True, eq=False)
class TensorRange:
    """The values of one tensor.

    Members
    -------
    max_abs : the largest magnitude of all values, not only of the sample.
    count : how many values there were.
    sample : float32 [rows, features], rows drawn at random (all, where they are few).
    """

    max_abs: float
    count: int
    sample: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LayerRanges:
    """The tensors of one layer that get a format: ``h`` and ``state`` include initial states;
    ``pre`` holds ``u``, ``v``, ``pre`` and the biases; ``state`` is None where there is none;
    ``joined`` is the sum of two layers, of the second one."""

    pre: TensorRange
    state: TensorRange | None
    h: TensorRange
    joined: TensorRange | None = None


@dataclass(frozen=True, eq=False)
class Ranges:
    """What ``calibrate`` measured.

    Members
    -------
    x : the network's input.
    layers : one entry per layer.
    probe : some of the sequences, for runs that compare formats.
    """

    x: TensorRange
    layers: tuple[LayerRanges, ...]
    probe: tuple[Sequence, ...]


class _Collector:
    """Keeps the maximum and a random sample of a tensor whose size is known beforehand."""

    def __init__(self, rows: int, features: int, seed: int):
        self.share = min(1.0, SAMPLE / max(1, rows * features))
        self.random = np.random.default_rng(seed)
        self.max_abs, self.count = 0.0, 0
        self.parts: list[NDArray[np.float32]] = []

    def add(self, array: FloatArray) -> None:
        """Add values, features last."""
        flat = array.reshape(-1, array.shape[-1])
        self.max_abs = max(self.max_abs, float(np.abs(flat).max(initial=0)))
        self.count += flat.size
        if self.share < 1:
            flat = flat[self.random.random(len(flat)) < self.share]
        self.parts.append(flat.astype(np.float32))

    def range(self) -> TensorRange:
        return TensorRange(self.max_abs, self.count, np.concatenate(self.parts))


def calibrate(network: FloatNetwork, sequences: Iterable[Sequence]) -> Ranges:
    """Run the float network on sample sequences and note what values its tensors take.

    Parameters
    ----------
    sequences : as ``sparnn.sim.network.arrays.load_inputs`` gives them; lengths may differ. The
        result is the same every time.

    Raises
    ------
    SparnnError : no sequences, an input of the wrong size, or values that are not finite.
    """
    given = list(sequences)
    _check(network, given)
    steps = sum(len(s.x) for s in given)
    x = _Collector(steps, network.layers[0].inputs, 0)
    collectors = []
    for index, layer in enumerate(network.layers):
        rows = len(given) if layer.last_only else steps
        collectors.append(
            [
                _Collector(k * rows * layer.gates, layer.units, 4 * index + i)
                for i, k in enumerate((3, 1, 1, 1))
            ]
        )
    for batch in _batches(network, given):
        stacked = np.stack([s.x for s in batch])
        initial = {k: np.stack([s.initial[k] for s in batch]) for k in batch[0].initial}
        x.add(stacked)
        with np.errstate(over="ignore", invalid="ignore"):
            traces = run_network(network, stacked, initial)
        for layer, trace, parts in zip(network.layers, traces, collectors, strict=True):
            _collect(layer, trace, *parts)
    layers = tuple(
        LayerRanges(
            pre.range(),
            state.range() if layer.kind in WITH_STATE else None,
            h.range(),
            joined.range() if layer.join == "sum" else None,
        )
        for layer, (pre, state, h, joined) in zip(network.layers, collectors, strict=True)
    )
    return Ranges(x.range(), layers, _probe(network, given))


def _check(network: FloatNetwork, sequences: list[Sequence]) -> None:
    if not sequences:
        raise SparnnError("calibration needs at least one sequence; give sample inputs")
    sizes = network.input_sizes
    wanted = {(entry["role"], entry["layer"]) for entry in network.io.get("inputs", [])}
    wanted -= {("x", 0), ("lengths", 0)}
    for number, sequence in enumerate(sequences):
        where = f"calibration sequence {number}"
        if sequence.x.ndim != 2 or len(sequence.x) == 0 or sequence.x.shape[1] != sizes["x", 0]:
            raise SparnnError(
                f"{where} has shape {list(sequence.x.shape)}, the model reads [steps, "
                f"{sizes['x', 0]}] with at least one step; give inputs in the model's layout"
            )
        if set(sequence.initial) != wanted:
            raise SparnnError(
                f"{where} gives initial states {sorted(sequence.initial)}, the model takes "
                f"{sorted(wanted)}; give exactly those"
            )
        for key, values in sequence.initial.items():
            if values.shape != (sizes[key],):
                raise SparnnError(
                    f"{where}: {key[0]} of layer {key[1]} has shape {list(values.shape)}, "
                    f"expected [{sizes[key]}]; give it in the model's layout"
                )
        if not all(np.isfinite(v).all() for v in (sequence.x, *sequence.initial.values())):
            raise SparnnError(f"{where} holds NaN or infinite values; give finite inputs")


def _batches(network: FloatNetwork, sequences: list[Sequence]) -> Iterator[list[Sequence]]:
    """Sequences of equal length together, as many as fit a block."""
    widest = max(layer.gates * layer.units for layer in network.layers)
    by_length: dict[int, list[Sequence]] = {}
    for sequence in sequences:
        by_length.setdefault(len(sequence.x), []).append(sequence)
    for length, group in by_length.items():
        size = max(1, BLOCK // (length * widest))
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _collect(
    layer: FloatLayer,
    trace: FloatTrace,
    pre: _Collector,
    state: _Collector,
    h: _Collector,
    joined: _Collector,
) -> None:
    if not (np.isfinite(trace.pre).all() and np.isfinite(trace.h).all()):
        raise SparnnError(
            f"layer {layer.name!r} overflows to infinity on the calibration inputs; the float "
            "model itself diverges there, so give shorter or smaller inputs"
        )
    for part in (trace.u, trace.v, trace.pre):
        if part is not None:
            pre.add(part)
    pre.max_abs = max(pre.max_abs, float(np.abs(layer.b_x + layer.b_h).max()))
    if layer.kind == "gru":
        biases = np.abs([layer.b_x[2], layer.b_h[2]])
        pre.max_abs = max(pre.max_abs, float(biases.max()))
    h.add(trace.h)
    if layer.join == "sum":
        joined.add(trace.sequence)
    if layer.w_h is not None:
        h.add(trace.h0)
    if trace.state is not None:
        state.add(trace.state)
        state.add(trace.c0 if layer.kind == "lstm" else trace.h0)


def _probe(network: FloatNetwork, sequences: list[Sequence]) -> tuple[Sequence, ...]:
    """Sequences spread over all, up to ``PROBE_STEPS`` steps; at least one, cut if need be."""
    macs = sum(m.size for layer in network.layers for m in (layer.w_x, layer.w_h) if m is not None)
    order = np.random.default_rng(0).permutation(len(sequences))
    chosen: list[Sequence] = []
    left = max(64, min(PROBE_STEPS, PROBE_MACS // macs))
    for index in order:
        if left <= 0:
            break
        sequence = sequences[index]
        chosen.append(Sequence(sequence.x[:left], sequence.initial))
        left -= len(sequence.x)
    return tuple(chosen)
