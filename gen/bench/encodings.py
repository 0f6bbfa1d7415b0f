"""Bits that a layer's weights take in all lanes' memories: masks against column pointers.

No hardware runs for this: what is counted is what the packers write (gen/machines/sparse/pack.py
    for ours,
gen/bench/csc.py for EIE's encoding).
"""

from dataclasses import dataclass

import numpy as np

from sparnn.gen.machines.presets import load_config
from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.pack import pack_network
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize as quantize_network
from sparnn.sim.network.arrays import Sequence as InputSequence

from .csc import encode_csc
from .masr import MASR_BITS
from .workload import Workload

__all__ = ["EIE_INDEX_BITS", "EncodingPoint", "encoding_points"]

#: Of EIE's zero runs.
EIE_INDEX_BITS = 4
#: Lanes among which rows alone are split; with more, groups of lanes share a row.
_ROW_LANES = 256
_CALIBRATION_STEPS = 16


@dataclass(frozen=True)
class EncodingPoint:
    """One encoding of the weights on so many lanes, in bits.

    weights: values, padding zeros included. where: what says to which row and column they belong:
        mask bits, or zero runs. control: ends of rows and halves, or column pointers.
    per_weight: all bits over the non-zero weights.
    """

    encoding: str
    lanes: int
    v: int
    weights: int
    where: int
    control: int
    total: int
    per_weight: float


def encoding_points(workload: Workload, lanes: list[int]) -> list[EncodingPoint]:
    """Both encodings of a workload's weights for several numbers of lanes."""
    sample = InputSequence(workload.x[:_CALIBRATION_STEPS], {})
    network = quantize_network(
        workload.network, calibrate(workload.network, [sample]), MASR_BITS, MASR_BITS
    ).network
    matrices = [
        weights[0].astype(np.int64)
        for layer in network.layers
        for weights in (layer.w_x, layer.w_h)
        if weights is not None
    ]
    nonzeros = sum(int(np.count_nonzero(matrix)) for matrix in matrices)
    points = []
    for count in lanes:
        v = max(1, count // _ROW_LANES)
        config = load_config(None, count, weight_bits=MASR_BITS, activation_bits=MASR_BITS)
        layout = lay_out(
            network, config, v=[v] * len(network.layers), balance=False, limit_columns=False
        )
        loops = pack_network(network, layout, config)
        words = sum(int(loop.mask_counts.sum()) for loop in loops)
        csc = encode_csc(matrices, count, EIE_INDEX_BITS)
        entries = int(csc.entries.sum())
        pointer_bits = int(csc.entries.max()).bit_length()
        for name, weights, where, control in (
            (
                "masks",
                sum(int(loop.weight_counts.sum()) for loop in loops) * MASR_BITS,
                words * config.chunk,
                words * (config.mask_entry_bits - config.chunk),
            ),
            (
                "pointers",
                entries * MASR_BITS,
                entries * EIE_INDEX_BITS,
                csc.pointers.size * pointer_bits,
            ),
        ):
            total = weights + where + control
            points.append(
                EncodingPoint(
                    name, count, v, weights, where, control, total, total / max(1, nonzeros)
                )
            )
    return points
