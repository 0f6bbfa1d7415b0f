"""The choice of binary points: by the error that each format causes on calibration data."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.run import FloatTrace, run_layer, run_network, run_reset_first
from sparnn.sim.aliases import FloatArray

from .calibrate import Ranges, TensorRange

__all__ = [
    "Probe",
    "best_format",
    "candidate_formats",
    "format_for_maximum",
    "quantized_values",
    "rounding_sqnr_db",
    "saturated_share",
    "sqnr_db",
]

#: How much larger than the calibration maximum a 16-bit tensor may get without saturation.
HEADROOM = 1.25
#: Rows of a batch up to which a step takes hardly longer: formats are compared in one run.
SIDE_BY_SIDE = 12


def format_for_maximum(max_abs: float, headroom: float = HEADROOM) -> int:
    """The finest format, 0 … 15, in which 16 bits hold ``headroom · max_abs``."""
    if max_abs == 0:
        return 15
    return int(np.clip(np.floor(np.log2(32767 / (headroom * max_abs))), 0, 15))


def quantized_values(values: FloatArray, f: int, bits: int) -> FloatArray:
    """The nearest numbers that ``bits`` bits hold in format ``f``."""
    limit = 2.0 ** (bits - 1)
    scaled = np.rint(np.ldexp(values, f))
    return np.ldexp(np.clip(scaled, -limit, limit - 1), -f)


def best_format(tensor: TensorRange, bits: int, weights: FloatArray | None = None) -> int:
    """The format, −16 … 15, with the smallest squared error of rounding and saturation.

    Parameters
    ----------
    weights : [features], how much an error in each feature counts (the squared length of the weight
        columns that read it); None: all the same.
    """
    candidates = candidate_formats(tensor.max_abs, bits)
    values = tensor.sample.astype(np.float64)
    if weights is None or not weights.any():
        weights = np.ones(values.shape[1])
    errors = [
        float((((quantized_values(values, f, bits) - values) ** 2) @ weights).sum())
        for f in candidates
    ]
    return candidates[int(np.argmin(errors))]


def candidate_formats(max_abs: float, bits: int) -> list[int]:
    """From the finest format without saturation to eight finer ones, within −16 … 15.

    The first comes first, so that equal errors choose the one with the larger range.
    """
    if max_abs == 0:
        return [15]
    coarse = int(np.floor(np.log2((2.0 ** (bits - 1) - 1) / max_abs)))
    return [int(f) for f in np.unique(np.clip(range(coarse, coarse + 9), -16, 15))]


def saturated_share(tensor: TensorRange, f: int, bits: int) -> float:
    """The share of the sample that saturates, 0 … 1."""
    limit = 2.0 ** (bits - 1)
    scaled = np.rint(np.ldexp(tensor.sample.astype(np.float64), f))
    return float(np.mean((scaled < -limit) | (scaled > limit - 1)))


def rounding_sqnr_db(tensor: TensorRange, f: int, bits: int) -> float:
    """Signal to quantization noise of the sample in decibels; infinite where nothing is lost."""
    values = tensor.sample.astype(np.float64)
    return sqnr_db(values, quantized_values(values, f, bits))


def sqnr_db(reference: FloatArray, values: FloatArray) -> float:
    """10 log10(Σ reference² / Σ (values − reference)²); infinite where they are equal."""
    noise = float(((values - reference) ** 2).sum())
    signal = float((reference**2).sum())
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal > 0 else float("-inf")


@dataclass(frozen=True)
class Rounding:
    """Rounds each of several copies that lie one after the other in the batch to its format."""

    formats: tuple[int, ...]
    bits: int

    def __call__(self, values: FloatArray) -> FloatArray:
        parts = values.reshape(len(self.formats), -1)
        limit = 2.0 ** (self.bits - 1)
        scale = np.ldexp(1.0, self.formats)[:, np.newaxis]
        scaled = np.rint(parts * scale)
        np.clip(scaled, -limit, limit - 1, out=scaled)
        return (scaled / scale).reshape(values.shape)


class Probe:
    """Runs single layers with one tensor rounded, and measures the error at the layer's output.

    Rounding of a layer's input or of the output that it feeds back spreads through gates and
    recurrence, so its own error says little. The rest of the layer stays in float64.
    """

    def __init__(self, network: FloatNetwork, ranges: Ranges):
        self.network = network
        self.groups: list[tuple[dict[tuple[str, int], FloatArray], list[FloatTrace]]] = []
        by_length: dict[int, list[int]] = {}
        for i, sequence in enumerate(ranges.probe):
            by_length.setdefault(len(sequence.x), []).append(i)
        for group in by_length.values():
            chosen = [ranges.probe[i] for i in group]
            x = np.stack([s.x for s in chosen])
            initial = {k: np.stack([s.initial[k] for s in chosen]) for k in chosen[0].initial}
            self.groups.append((initial, run_network(network, x, initial)))

    def input_db(self, formats: Sequence[int], bits: int) -> Iterator[float]:
        """Output of the first layer when the network's input is rounded to each format."""
        return self._each(formats, bits, lambda rounding: self._db(0, rounding, None))

    def output_db(self, index: int, formats: Sequence[int], bits: int) -> Iterator[float]:
        """Output of a layer when that output, fed back where the layer is recurrent, is rounded to
        each format."""
        return self._each(formats, bits, lambda rounding: self._db(index, None, rounding))

    def _each(
        self, formats: Sequence[int], bits: int, effects: Callable[[Rounding], list[float]]
    ) -> Iterator[float]:
        """Formats side by side in the batch, as many as fill :data:`SIDE_BY_SIDE` rows, and only
        those that are asked for."""
        widest = max(traces[0].x.shape[0] for _, traces in self.groups)
        count = max(1, SIDE_BY_SIDE // widest)
        for first in range(0, len(formats), count):
            yield from effects(Rounding(tuple(formats[first : first + count]), bits))

    def _db(self, index: int, round_x: Rounding | None, round_h: Rounding | None) -> list[float]:
        rounding = round_x or round_h
        assert rounding is not None
        copies = len(rounding.formats)
        # A GRU that resets first is two layers; what either gives is judged by what both give.
        stage = next(stage for stage in self.network.stages if index in stage)
        pair = [self.network.layers[one] for one in stage]
        layer = self.network.layers[index]
        exact: list[FloatArray] = []
        rounded: list[FloatArray] = []  # [formats, values]
        for initial, traces in self.groups:
            x = np.tile(traces[index].x, (copies, 1, 1))
            states = {key: np.tile(values, (copies, 1)) for key, values in initial.items()}
            with np.errstate(over="ignore", invalid="ignore"):
                given = round_x(x) if round_x else x
                if pair[-1].join == "reset":
                    index = stage[-1]
                    h0 = states.get(("initial_h", stage[0]))
                    run = run_reset_first(pair[0], pair[1], given, h0, round_h=round_h)[1]
                else:
                    h0, c0 = states.get(("initial_h", index)), states.get(("initial_c", index))
                    run = run_layer(layer, given, h0, c0, round_h=round_h)
            exact.append(traces[index].h.reshape(-1))
            rounded.append(run.h.reshape(copies, -1))
        reference, values = np.concatenate(exact), np.concatenate(rounded, axis=1)
        found = (sqnr_db(reference, one) for one in values)
        return [db if np.isfinite(db) or db > 0 else float("-inf") for db in found]
