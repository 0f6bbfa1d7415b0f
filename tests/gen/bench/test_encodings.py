"""What the encodings take, against counts by hand."""

import numpy as np

from sparnn.gen.bench.encodings import EIE_INDEX_BITS, encoding_points
from sparnn.gen.bench.masr import MASR_BITS
from sparnn.gen.bench.masr_plot import plot_encodings, plot_utilization
from sparnn.gen.bench.workload import masr_workload


def test_bits_of_a_small_layer():
    workload = masr_workload(hidden=48, steps=16, seed=1)
    points = encoding_points(workload, [2, 16])
    assert [(point.encoding, point.lanes) for point in points] == [
        ("masks", 2), ("pointers", 2), ("masks", 16), ("pointers", 16)
    ]  # fmt: skip
    layer = workload.network.layers[0]
    nonzeros = sum(int(np.count_nonzero(w)) for w in (layer.w_x, layer.w_h))
    for point in points:
        assert point.total == point.weights + point.where + point.control
        assert point.per_weight == point.total / nonzeros
        if point.encoding == "masks":
            assert point.weights == nonzeros * MASR_BITS
            # 48 rows of each half, two chunks of 32 for 48 columns, and the flags beside them.
            assert point.where == 2 * 48 * 2 * 32
            assert point.control == 2 * 48 * 2 * 4
        else:
            entries = point.weights // MASR_BITS
            assert entries >= nonzeros  # and the padding
            assert point.where == entries * EIE_INDEX_BITS
            assert point.control % (point.lanes * (2 * 48 + 1)) == 0  # a pointer for each column


def test_plots(tmp_path):
    workload = masr_workload(hidden=16, steps=16)
    rows = [vars(point) for point in encoding_points(workload, [1, 2])]
    plot_encodings(rows, tmp_path / "bits.svg")
    lost = {"stall": 0.0, "empty": 0.1, "idle": 0.0, "tail": 0.1}
    plot_utilization(
        [
            {"lanes": 64, "utilization": 0.8, "lost": lost},
            {"lanes": 8, "utilization": 0.8, "lost": lost},
        ],
        tmp_path / "use.svg",
    )
    for name in ("bits.svg", "use.svg"):
        assert (tmp_path / name).read_text().startswith("<?xml")
