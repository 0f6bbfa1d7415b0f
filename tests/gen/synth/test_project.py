"""Vendor scripts: evaluated by a Tcl interpreter where there is one, and complete."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.emit import emit
from sparnn.gen.synth.project import write_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("emitted") / "machine"
    emit(output, lanes=2)
    return output


def commands(path: Path) -> list[list[str]]:
    """The commands of a script with their arguments, substituted as Tcl would.

    Without an interpreter only braces, brackets and quotes are balanced and words split at blanks:
    substitutions stay unevaluated.
    """
    text = path.read_text()
    try:
        tcl: Any = importlib.import_module("tkinter").Tcl()
    except ImportError:
        for left, right in ("{}", "[]"):
            assert text.count(left) == text.count(right)
        assert text.count('"') % 2 == 0
        return [line.split() for line in text.splitlines() if line and line[0] != "#"]
    calls: list[list[str]] = []

    def unknown(*words: str) -> str:
        calls.append(list(words))
        return f"<{' '.join(words)}>"

    tcl.createcommand("unknown", unknown)
    tcl.createcommand("package", lambda *words: "")
    tcl.eval("proc cd args {}")
    # The vendors read `[*]` inside braces as it stands; Tcl does too.
    tcl.eval(f"source {{{path}}}")
    return calls


@pytest.mark.parametrize("target", ["xilinx7", "xilinxup", "intel"])
def test_project_names_every_file_and_constrains_the_clock(
    folder: Path, tmp_path: Path, target: str
) -> None:
    output = tmp_path / "project"
    write_project(folder, target, output)
    script = commands(output / "project.tcl")
    written = {path.name for path in output.iterdir()}
    assert written == {"sparnn.v", "project.tcl", "clock.sdc" if target == "intel" else "clock.xdc"}
    words = " ".join(word for call in script for word in call)
    assert all(name in words for name in written - {"project.tcl"})
    constraints = commands(next(p for p in output.iterdir() if p.name.startswith("clock")))
    clock = next(call for call in constraints if call[0] == "create_clock")
    assert clock[1:3] == ["-name", "clk"]
    assert float(clock[4]) > 0
    assert "get_ports" in " ".join(clock[5:])
    assert "clk" in clock[-1]


def test_quartus_ports_are_virtual_pins(folder: Path, tmp_path: Path) -> None:
    write_project(folder, "intel", tmp_path / "p")
    text = (tmp_path / "p" / "project.tcl").read_text()
    for port in ("rst", "rx__valid", "rx__payload[*]", "tx__payload[*]", "tx__ready"):
        assert f"-to {{{port}}}" in text
    assert "-to {clk}" not in text


def test_project_can_be_written_again(folder: Path, tmp_path: Path) -> None:
    write_project(folder, "xilinx7", tmp_path / "p")
    write_project(folder, "xilinx7", tmp_path / "p")


def test_refuses_open_families_and_foreign_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SparnnError, match="open tools"):
        write_project(folder, "ecp5", tmp_path / "p")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(SparnnError, match="did not write"):
        write_project(folder, "xilinx7", tmp_path / "mine")
    with pytest.raises(SparnnError, match="compiled model"):
        write_project(folder, "xilinx7", folder)
