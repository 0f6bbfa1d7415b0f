"""Files as people export them: what counts as right, as refused and as wrong."""

from pathlib import Path

import numpy as np
import onnx
from support.onnx_builder import feeds_for, single

from sparnn.gen.bench.cases import Outcome, content, tried
from sparnn.sim.host_model import HostModel


def test_cases_are_judged(tmp_path: Path) -> None:
    folder = tmp_path / "T_gru"
    folder.mkdir()
    model = single("GRU")
    onnx.save(model, folder / "model.onnx")
    feeds = feeds_for(model)
    names = [value.name for value in model.graph.output]
    outputs = HostModel(folder / "model.onnx", "the model").run(feeds, names)
    for name in ("calibrate", "input"):
        np.savez(folder / f"{name}.npz", **feeds)
    np.savez(folder / "expected.npz", **outputs)
    found = tried(folder, {"expect": "right"}, simulate=False)
    assert (found.verdict, found.why) == ("right", "")
    assert found.decibels is not None
    assert found.decibels > 15
    (folder / "model.onnx").write_bytes(b"no model")
    assert tried(folder, {"expect": "either"}, simulate=False).verdict == "refused"


def test_the_table_counts_by_where_files_come_from() -> None:
    outcomes = [Outcome("T1", "right", decibels=30.0, simulated=True), Outcome("A1", "wrong")]
    rows = content(outcomes, "command")["tables"]["kinds"]["rows"]
    assert [row["files"] for row in rows] == [1, 1, 2]
    assert [row["wrong"] for row in rows] == ["A1", "none", "A1"]
