"""The `sparnn bench` group: several values behind one option, refusals, and what is written."""

import json
import sys
import types
from dataclasses import dataclass

import pytest

from sparnn.gen.cli import main as cli
from sparnn.gen.errors import SparnnError


@dataclass(frozen=True)
class _Point:
    lanes: int
    seed: int
    bit_exact: bool


@pytest.fixture
def calls(monkeypatch):
    """What `sparnn bench masr` asks for; 13 lanes are not bit exact."""
    asked = []

    def masr_points(lanes, options, **workload):
        asked.append((lanes, options, workload))
        return [_Point(count, workload["seed"], count != 13) for count in lanes]

    module = types.ModuleType("sparnn.gen.bench.masr")
    vars(module).update(masr_points=masr_points, MasrOptions=types.SimpleNamespace)
    monkeypatch.setitem(sys.modules, "sparnn.gen.bench.masr", module)
    return asked


def status(*arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["bench", *arguments])
    return exit_.value.code


@pytest.mark.parametrize(
    "lanes", ["--lanes 8 16 24", "--lanes 8 --lanes 16 24", "--lanes 8 --lanes 16 --lanes 24"]
)
def test_lists(lanes, calls):
    assert status("masr", *lanes.split(), "--seed", "5") == 0
    ((asked, options, workload),) = calls
    assert asked == [8, 16, 24]
    assert (workload["seed"], workload["hidden"], workload["directions"]) == (5, 800, 2)
    assert (options.balance, options.rotate, options.interleave, options.unfolded) == (True,) * 4


def test_json_file(calls, tmp_path, capsys):
    file = tmp_path / "points.json"
    assert status("masr", "--lanes", "8", "16", "--balance", "none", "--json", str(file)) == 0
    points = json.loads(file.read_text())
    assert [point["lanes"] for point in points] == [8, 16]
    assert {point["balance"] for point in points} == {"none"}
    assert calls[0][1].balance is False
    assert "MASR" in capsys.readouterr().out


def test_points_are_written_as_they_come(calls, tmp_path, monkeypatch, capsys):
    """What stops a long run leaves the points before it, in the file and on standard error."""
    file = tmp_path / "points.json"
    seen = []

    def masr_points(lanes, options, **workload):
        yield _Point(lanes[0], 0, True)
        seen.extend(json.loads(file.read_text()))
        raise SparnnError("the tool is gone")

    monkeypatch.setattr(sys.modules["sparnn.gen.bench.masr"], "masr_points", masr_points)
    assert status("masr", "--lanes", "8", "16", "--json", str(file)) == 2
    assert [point["lanes"] for point in seen] == [8]
    assert json.loads(file.read_text()) == seen
    assert [path.name for path in tmp_path.iterdir()] == ["points.json"]
    assert capsys.readouterr().err.startswith("lanes 8, seed 0, bit_exact True\n")


def test_json_on_standard_output(calls, capsys):
    assert status("masr", "--lanes", "8", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)[0]["lanes"] == 8


def test_not_bit_exact_is_status_1(calls, tmp_path):
    file = tmp_path / "points.json"
    assert status("masr", "--lanes", "8", "13", "--json", str(file)) == 1
    assert json.loads(file.read_text())[1]["bit_exact"] is False


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("frobnicate", "frobnicate"),
        ("masr --lanes 8 0", "0 is outside 1 to 1024"),
        ("masr --lanes 8 many", "--lanes"),
        ("masr --lanes", "--lanes"),
        ("masr --weight-density 1.5", "outside 0 to 1"),
        ("masr --hidden-density nan", "outside 0 to 1"),
        ("masr --steps 0", "0 is outside"),
        ("masr --schedule backwards", "backwards"),
        ("masr --json missing/points.json", "missing"),
        ("masr --json .", "folder"),
        ("eie --lanes 96", "--lanes 96"),
        ("eie --lanes 2", "--lanes 2"),
        ("eie-fifo --depths 0", "0 is outside 1 to 256"),
        ("eie-fifo --lanes 48", "--lanes 48"),
    ],
)
def test_refusals(line, named, calls, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status(*line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sparnn: error: ")
    assert err.count("\n") == 1
    assert named in err
    assert calls == []
