"""A machine with a packed store: models in both directions, and sequences that it cannot hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.compiled import MACHINE, compiled, simulated
from support.onnx_builder import feeds_for
from support.onnx_graphs import SUPPORTED

from sparnn.gen.cli import main as cli
from sparnn.gen.quantize.activity import BoolArray, measure_activity
from sparnn.sim.errors import SimulationError
from sparnn.sim.runner import simulate
from sparnn.sim.verilator.hardware import load_program

#: One machine for all models, so that it is built once.
PACKED = (
    MACHINE
    + """\
threads = 2
packed_store = 1
value_rows = 112
dense_rows = 32
vector_words = 1
"""
)
#: Directions side by side, added in turn, added one after the other, in one direction; two layers.
MODELS = ["bidirectional_lstm", "bidirectional_outputs", "sum_view", "masr", "reverse_last"]

pytestmark = pytest.mark.xdist_group("packed_machine")


@pytest.mark.parametrize("name", MODELS)
def test_from_onnx_to_verilog(name: str, tmp_path: Path) -> None:
    folder, inputs = compiled(SUPPORTED[name](), tmp_path, PACKED)
    simulated(folder, inputs, idle=20, stall=20)


def test_what_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled as for sparser sequences, it takes longer runs, and says what filled the store."""
    folder, _ = compiled(SUPPORTED["bidirectional_lstm"](), tmp_path, PACKED)
    exact = load_program(folder).max_steps

    def sparser(*arguments: Any) -> list[BoolArray]:
        rng = np.random.default_rng(0)
        return [one & (rng.random(one.shape) < 0.3) for one in measure_activity(*arguments)]

    monkeypatch.setattr("sparnn.gen.compile.place.measure_activity", sparser)
    folder, _ = compiled(SUPPORTED["bidirectional_lstm"](), tmp_path, PACKED)
    longer = load_program(folder).max_steps
    assert longer >= 1.5 * exact
    inputs = tmp_path / "y.npz"
    for steps in (exact, longer):
        np.savez(inputs, **feeds_for(SUPPORTED["bidirectional_lstm"](), steps=steps, batch=1))
        if steps == exact:
            report = simulate(folder, inputs)
            assert report.bit_exact, report.first_mismatch
    with pytest.raises(SimulationError, match="sequence 0: the packed store is full, the outputs"):
        simulate(folder, inputs)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(["simulate", str(folder), "--input", str(inputs)])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("sparnn: error: sequence 0: the packed store is full")
    assert "larger value_rows" in said[-1]
