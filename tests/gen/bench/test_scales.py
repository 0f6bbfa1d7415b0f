"""`sparnn bench scales`: what is measured, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.bench.scales import SCHEMES, classification, load_network, scale_points, skewed
from sparnn.gen.bench.workload import masr_workload
from sparnn.gen.cli.main import main
from sparnn.gen.errors import SparnnError

DIGITS = Path(__file__).parents[3] / "examples" / "digits"


def test_finer_scales_are_better() -> None:
    drawn = masr_workload(hidden=60, weight_density=1, steps=1).network
    for skew in (1.0, 0.3):
        network = skewed(drawn, skew, 0.33)
        weights = network.layers[0].w_x
        assert np.count_nonzero(weights) == round(0.33 * weights.size)
        points = scale_points(network, [6, 10])
        assert [(p.scheme, p.weight_bits) for p in points] == [
            (scheme, bits) for bits in (6, 10) for scheme in SCHEMES
        ]
        db = {p.scheme: p.weights_db for p in points if p.weight_bits == 10}
        assert db["matrix"] <= db["matrix split"] < db["row"] < db["row split"]
        assert db["row split"] < db["row split freely"] + 0.5
        assert all(p.output_db is None and p.right is None for p in points)


def test_a_classifier(tmp_path: Path) -> None:
    network = load_network(DIGITS / "rnn_relu.onnx")
    with np.load(DIGITS / "test.npz") as arrays:
        np.savez(tmp_path / "few.npz", x=arrays["x"][:40], labels=arrays["labels"][:40])
    task = classification(network, DIGITS / "calibrate.npz", tmp_path / "few.npz")
    points = scale_points(network, [8], task)
    measured = {p.scheme: p for p in points if p.output_db is not None}
    assert set(measured) == {"row", "row split"}
    for point in measured.values():
        assert point.right is not None
        assert point.output_db is not None
        assert point.right >= 0.9
        assert point.output_db > 20


def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = load_network(DIGITS / "rnn_relu.onnx")
    with pytest.raises(SparnnError, match=r"must hold x, .* and as many labels; it holds x"):
        classification(network, DIGITS / "calibrate.npz", DIGITS / "calibrate.npz")
    for arguments, message in (
        ([str(DIGITS / "rnn_relu.onnx")], "needs --calibrate and --test"),
        (["--weight-bits", "3"], "3 is outside 4 to 16"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["bench", "scales", *arguments])
        assert exit_.value.code == 2
        assert message in capsys.readouterr().err
