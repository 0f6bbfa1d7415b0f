"""Published latencies and the cycles beside them."""

from sparnn.gen.bench.latency import BRAINWAVE_MHZ, DEEPBENCH, SHARP_MHZ, deepbench_rows, vollo_rows
from sparnn.gen.bench.networks import BRAINWAVE


def test_published():
    """BrainWave's milliseconds are its cycles at its clock, to the digits that were published."""
    for shape, (published, *_) in BRAINWAVE.items():
        cycles = DEEPBENCH[shape][0] * 1000 * BRAINWAVE_MHZ / shape[2]
        assert abs(cycles - published) < 0.02 * published


def test_deepbench():
    for row in deepbench_rows():
        assert 0 < row["sharp_use"] <= 100
        assert row["sharp_ms"] == row["sharp_cycles"] / SHARP_MHZ / 1000 < row["published_ms"]


def test_vollo():
    """The networks' MACs are those of their documents, and more multipliers are not slower."""
    rows = vollo_rows()
    assert [row["macs"] for row in rows] == [266240, 1581056, 5544960, 4925440, 22149120]
    for row in rows:
        assert row["cycles_1024"] * 1024 >= row["macs"]
        assert row["cycles_1024"] >= row["cycles_4096"] >= row["cycles_16384"]
