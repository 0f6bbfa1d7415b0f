"""Fifty corrupt, truncated and hostile files; `make fuzz` tries a thousand."""

import gc
import signal
from pathlib import Path

import onnxruntime
import pytest

from sparnn.gen.bench import fuzz
from sparnn.gen.bench.fuzz import content, tried
from sparnn.gen.bench.fuzz_files import mutated, seeds
from sparnn.gen.graph.check import check_model


@pytest.mark.parametrize(
    "first", [0, 25, *(pytest.param(n, marks=pytest.mark.deep) for n in (50, 75))]
)
def test_none_does_harm(first: int) -> None:
    wrong = [one for one in map(tried, range(first, first + 25)) if one.wrong]
    assert not wrong, f"{wrong[0].number} ({wrong[0].what}): {wrong[0].wrong}"


def test_the_table_counts_every_case() -> None:
    found = [tried(number) for number in range(4)]
    *kinds, every = content(found, "")["tables"]["cases"]["rows"]
    assert [row["cases"] for row in kinds] == [2, 1, 1]
    assert every["refused"] + every["taken"] == every["cases"] == 4
    assert every["refused"] == sum(one.refused for one in found)


def test_what_is_broken_was_taken_before(tmp_path: Path) -> None:
    for model in seeds():
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        assert check_model(tmp_path / "m.onnx")[0].startswith("taken")


def test_cases_are_the_same_every_time() -> None:
    assert mutated(7) == mutated(7)
    kinds = {mutated(number)[0] for number in range(60)}
    assert len(kinds) > 15


def test_a_session_that_nobody_refers_to_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it goes it waits for its threads, which a case's process has not."""
    child = fuzz._child

    def collected(folder: Path, pipe: int) -> None:
        signal.alarm(30)
        gc.collect()
        child(folder, pipe)

    monkeypatch.setattr(fuzz, "_child", collected)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    circle = [onnxruntime.InferenceSession(seeds()[0].SerializeToString(), options)]
    circle.append(circle)
    gc.collect()  # older than what the next collection looks at
    del circle
    assert not tried(0).wrong
