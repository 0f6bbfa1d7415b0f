"""The campaign of faults: a file for each case, and the command that repeats one that failed."""

import importlib.util
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from sparnn.gen.campaign.commands import command_result

FAULTS = Path(__file__).parents[2] / "system" / "benches" / "faults.py"
#: In place of a simulation: case 1:1 fails. Each run leaves a line.
SCRIPT = """
import json, pathlib, sys
name = sys.argv[2]
with open({log!r}, "a") as log:
    log.write(name + "\\n")
if name == "1:1":
    sys.exit("hangs at cycle 7")
rows = [{{"fault": "reset", "outcome": "reset", "times": 2}}]
print("noise")
print(json.dumps({{"claimed": [], "rows": rows}}))
"""


@pytest.fixture
def faults(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("faults", FAULTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cases_are_run_once(faults, tmp_path, capsys):
    log, script, results = tmp_path / "log", tmp_path / "script.py", tmp_path / "results"
    script.write_text(SCRIPT.format(log=str(log)))
    names = ["1:0", "1:1", "1:2"]
    found = faults.run_all(names[:2], 1, None, results, script)
    again = faults.run_all(names, 1, None, results, script)
    assert sorted(log.read_text().split()) == names
    assert again["1:1"] == found["1:1"] == {"failure": "hangs at cycle 7"}
    assert len(list((results / "cases").glob("*.json"))) == 3
    report = tmp_path / "report.json"
    given = Namespace(junit=tmp_path / "faults.xml", report=report, cases=3, seed=1)
    assert faults.finish(again, given) == 1
    said = capsys.readouterr().out
    assert "1:1 FAILED: hangs at cycle 7" in said
    assert f"{FAULTS} --case 1:1" in said
    assert not report.exists()
    assert given.junit.read_text().count("<failure>") == 1
    del again["1:1"]
    assert faults.finish(again, given) == 0
    assert '"times": 4' in report.read_text()


def test_a_command_that_says_nothing():
    assert command_result([sys.executable, "-c", "raise SystemExit(3)"]) == {
        "failure": "it said nothing"
    }
