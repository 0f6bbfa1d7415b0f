"""Output prediction (MASR, arXiv 1908.08976): what it saves, what it costs in accuracy and cycles.

A ReLU unit whose hidden half is far below zero will most likely give zero, so its input half can be
left out. The golden model has that exactly (docs/numerics.md); no machine does it. The cycles here
are those of the model by rows (sim/cycles/sparse.py), with the halves in the order that it needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.presets import load_config
from sparnn.gen.machines.shared.order import by_position
from sparnn.gen.machines.sparse.layout import NetworkLayout, chunks_per_row, lay_out
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.prediction import with_thresholds
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.formats import sqnr_db
from sparnn.gen.quantize.quantize import quantize
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.cycles.sparse import HalfRows, estimate_cycles
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.golden.trace import NetworkTrace
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.progress import progress

from .workload import Workload

__all__ = ["PredictionCycles", "PredictionPoint", "prediction_cycles", "prediction_points"]


@dataclass(frozen=True)
class PredictionPoint:
    """A network with one share of :func:`~sparnn.gen.network.prediction.with_thresholds`; None:
    without.

    rows_skipped: of the input halves. macs_saved: of all useful multiply-accumulates. wrong: zeros
    among the outputs that were predicted and would not have been. output_db: the network's output
    against the one without prediction. right: share of the labels found, where there are any.
    """

    share: float | None
    rows_skipped: float
    macs_saved: float
    wrong: float
    output_db: float | None
    right: float | None


@dataclass(frozen=True)
class PredictionCycles:
    """MASR's layer on a machine, by the model of rows, in cycles per step.

    today: input halves first, nothing skipped. reordered: the hidden halves of all directions
    first, then the input halves, nothing skipped. predicted: that, without the rows left out, whose
    mask words are still read. speedup: of *predicted* over *today*. macs_saved: in the steps that
    are followed.
    """

    lanes: int
    directions: int
    share: float
    output_db: float
    macs_saved: float
    v: int
    today: float
    reordered: float
    predicted: float
    speedup: float


def prediction_points(
    network: FloatNetwork,
    sample: Sequence[InputSequence],
    sequences: Sequence[InputSequence],
    labels: npt.NDArray[np.int64] | None,
    shares: Sequence[float],
) -> list[PredictionPoint]:
    """A network with each share in the golden model, in the widths of the preset ``masr``."""
    config = load_config("masr")
    plain = quantize(
        network, calibrate(network, sample), config.weight_bits, config.activation_bits
    )
    entry = plain.io["outputs"][0]
    inputs = [quantize_sequence(plain.network, one) for one in sequences]
    points: list[PredictionPoint] = []
    exact: list[NetworkTrace] = []
    with progress("Predicting", (1 + len(shares)) * len(inputs)) as advance:
        for share in (None, *shares):
            integers = plain.network
            if share is not None:
                integers = with_thresholds(integers, network, sample, share)
            traces = []
            for one in inputs:
                traces.append(run_network(integers, one.x, one.initial))
                advance(1)
            exact = exact or traces
            points.append(_point(share, exact, traces, entry, labels))
    return points


def _point(
    share: float | None,
    exact: Sequence[NetworkTrace],
    traces: Sequence[NetworkTrace],
    entry: Mapping[str, Any],
    labels: npt.NDArray[np.int64] | None,
) -> PredictionPoint:
    skipped = wrong = count = 0
    for before, after in zip(exact, traces, strict=True):
        for one, other in zip(before.layers, after.layers, strict=True):
            if other.left_out is not None:
                count += other.left_out.size
                skipped += int(other.left_out.sum())
                wrong += int((other.left_out & (one.outputs > 0)).sum())
    outputs = [trace.output(entry["layer"], entry["what"]) for trace in traces]
    right = None
    if labels is not None:
        rows = [output.reshape(-1, output.shape[-1]) for output in outputs]
        right = float(np.mean([row.mean(axis=0).argmax() for row in rows] == labels))
    return PredictionPoint(
        share,
        skipped / max(1, count),
        1 - sum(t.useful_macs for t in traces) / max(1, sum(t.useful_macs for t in exact)),
        wrong / max(1, count),
        None if share is None else _output_db(exact, traces, entry),
        right,
    )


def _output_db(
    exact: Sequence[NetworkTrace], traces: Sequence[NetworkTrace], entry: Mapping[str, Any]
) -> float:
    before, after = (
        np.concatenate([one.output(entry["layer"], entry["what"]).reshape(-1) for one in both])
        for both in (exact, traces)
    )
    return sqnr_db(before.astype(np.float64), after.astype(np.float64))


def prediction_cycles(
    workload: Workload, lanes: Sequence[int], shares: Sequence[float]
) -> list[PredictionCycles]:
    """MASR's layer on machines of several sizes, followed over its last steps."""
    directions = len(workload.network.layers)
    sample = [InputSequence(workload.sample, {})]
    config = load_config("masr", threads=directions)
    plain = quantize(
        workload.network,
        calibrate(workload.network, sample),
        config.weight_bits,
        config.activation_bits,
    )
    x = quantize_sequence(plain.network, InputSequence(workload.x, {})).x
    exact = run_network(plain.network, x)
    predicted = [with_thresholds(plain.network, workload.network, sample, one) for one in shares]
    traces = [run_network(network, x) for network in predicted]
    activity = measure_activity(plain.network, sample)
    # Every half waits for the other one of its direction.
    order = [*range(2 * directions)]
    waits = [*order[directions:], *order[:directions]]
    points = []
    for count in lanes:
        config = load_config("masr", count, threads=directions)
        with progress(f"Balancing {count} lanes"):
            layout = lay_out(plain.network, config, activity=activity, limit_columns=False)
        v_log2 = layout.layers[0].v_log2
        inputs, hidden = _halves(plain.network, layout, config, x, exact)
        today = estimate_cycles(
            [half for both in zip(inputs, hidden, strict=True) for half in both], config, v_log2
        )
        reordered = estimate_cycles([*hidden, *inputs], config, v_log2, waits)
        for share, network, trace in zip(shares, predicted, traces, strict=True):
            left_inputs, left_hidden = _halves(network, layout, config, x, trace)
            left = [*left_hidden, *left_inputs]
            cycles = estimate_cycles(left, config, v_log2, waits)
            points.append(
                PredictionCycles(
                    lanes=count,
                    directions=directions,
                    share=share,
                    output_db=_output_db([exact], [trace], plain.io["outputs"][0]),
                    macs_saved=1 - _pairs(left) / _pairs([*inputs, *hidden]),
                    v=1 << v_log2,
                    today=today,
                    reordered=reordered,
                    predicted=cycles,
                    speedup=today / cycles,
                )
            )
    return points


def _pairs(halves: Sequence[HalfRows]) -> float:
    return sum(float(half.pairs.sum()) for half in halves)


def _halves(
    network: IntegerNetwork,
    layout: NetworkLayout,
    config: SparseConfig,
    x: npt.NDArray[np.int64],
    trace: NetworkTrace,
) -> tuple[list[HalfRows], list[HalfRows]]:
    """The input halves and the hidden halves of all directions, without the rows left out."""
    halves: tuple[list[HalfRows], list[HalfRows]] = ([], [])
    for layer, place, one in zip(network.layers, layout.layers, trace.layers, strict=True):
        order = slice(None, None, -1 if layer.reverse else 1)
        outputs = one.outputs[order]
        before = np.vstack([np.zeros_like(outputs[:1]), outputs[:-1]])
        for half, (weights, values, columns) in enumerate(
            ((layer.w_x, x[order], place.columns), (layer.w_h, before, place.neurons))
        ):
            assert weights is not None
            present = by_position(np.count_nonzero(weights, axis=0), columns)
            rows = HalfRows.of(
                present[place.neurons],
                by_position(values != 0, columns),
                place.groups(config, half),
                place.slices(config, half),
                1 << place.v_log2,
                chunks_per_row(config, len(columns), place.v_log2),
                layer.gates,
            )
            if half == 0 and one.left_out is not None:
                steps = np.arange(-len(rows.pairs), 0) % len(x)
                kept = ~one.left_out[order][steps][:, place.neurons]
                rows = replace(rows, pairs=rows.pairs * kept[..., np.newaxis])
            halves[half].append(rows)
    return halves
