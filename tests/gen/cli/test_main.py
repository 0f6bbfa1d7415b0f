"""The command line: exit status, where things are printed, and what each command calls."""

import errno
import importlib.metadata
import json
import os
import subprocess
import sys
import types

import pytest

from sparnn.gen.cli import main as cli
from sparnn.gen.errors import SparnnError
from sparnn.hdl.errors import ConfigurationError
from sparnn.sim.errors import SimulationError


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a model, inputs, and a compiled folder; it becomes the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"model")
    (tmp_path / "x.npz").write_bytes(b"inputs")
    (tmp_path / "done").mkdir()
    return tmp_path


@pytest.fixture
def replace(monkeypatch):
    """Put a function in place of one that a command calls: replace("gen.compile", f=function)."""

    def put(name, **members):
        module = types.ModuleType(f"sparnn.{name}")
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, f"sparnn.{name}", module)

    return put


def status(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return caught.value.code


class Report:
    bit_exact = True

    def lines(self):
        return ["one", "two"]

    def as_dict(self):
        return {"bit_exact": True, "cycles": 7}


def test_version(sparnn):
    done = sparnn("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"sparnn {importlib.metadata.version('sparnn')}\n"


def test_console_script_is_main():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="sparnn")
    assert entry.load() is cli.main


@pytest.mark.parametrize(
    "command", ["", "compile", "simulate", "golden", "emit", "doctor", "bench", "bench masr"]
)
def test_help(command, capsys):
    assert status(*command.split(), "--help") == 0
    assert capsys.readouterr().out.startswith(f"Usage: sparnn {command}".rstrip())


def test_start_is_light():
    """Nothing heavy is imported before a command needs it."""
    code = "import sys, sparnn.gen.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "onnx", "onnxruntime", "amaranth"} & set(done.stdout.split())


MISUSES = [
    ("frobnicate", "frobnicate"),
    ("--frobnicate", "--frobnicate"),
    ("compile", "MODEL.onnx"),
    ("compile m.onnx", "--calibrate"),
    ("compile m.onnx --calibrate x.npz", "--output"),
    ("compile missing.onnx --calibrate x.npz -o out", "missing.onnx"),
    ("compile done --calibrate x.npz -o out", "done"),
    ("compile m.onnx --calibrate missing.npz -o out", "missing.npz"),
    ("compile m.onnx --calibrate x.npz -o x.npz", "x.npz"),
    ("compile m.onnx --calibrate x.npz -o out --lanes 0", "0 is outside 1 to 1024"),
    ("compile m.onnx --calibrate x.npz -o out --lanes 1025", "1025 is outside 1 to 1024"),
    ("compile m.onnx --calibrate x.npz -o out --lanes many", "--lanes"),
    ("compile m.onnx --calibrate x.npz -o out --prune -0.1", "outside 0 to 1"),
    ("compile m.onnx --calibrate x.npz -o out --prune 60", "outside 0 to 1"),
    ("compile m.onnx --calibrate x.npz -o out --prune nan", "outside 0 to 1"),
    ("compile m.onnx --calibrate x.npz -o out --weight-bits 3", "3 is outside 4 to 16"),
    ("compile m.onnx --calibrate x.npz -o out --weight-bits 17", "17 is outside 4 to 16"),
    ("compile m.onnx --calibrate x.npz -o out --activation-bits 7", "7 is outside 8 to 16"),
    ("simulate", "DIR"),
    ("simulate done", "--input"),
    ("simulate missing --input x.npz", "missing"),
    ("simulate x.npz --input x.npz", "x.npz"),
    ("simulate done --input missing.npz", "missing.npz"),
    ("simulate done --input x.npz --output done", "done"),
    ("golden done --input x.npz", "--output"),
    ("golden done --output y.npz", "--input"),
    ("emit", "--output"),
    ("emit --lanes 0 -o out", "0 is outside 1 to 1024"),
    ("emit -o x.npz", "x.npz"),
    ("doctor now", "now"),
]


@pytest.mark.parametrize(("line", "named"), MISUSES, ids=[line for line, _ in MISUSES])
def test_misuse_is_one_sentence(line, named, files, capsys):
    assert status(*line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sparnn: error: ")
    assert err.count("\n") == 1
    assert named in err
    assert not (files / "out").exists()


def test_misuse_of_the_process(sparnn):
    done = sparnn("compile", "missing.onnx", "--calibrate", "missing.npz", "-o", "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sparnn: error: ")
    assert "Traceback" not in done.stderr


def test_no_arguments_prints_help(capsys):
    assert status() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: sparnn")


@pytest.mark.parametrize("kind", [SparnnError, ConfigurationError, SimulationError])
def test_user_errors_are_one_line(kind, replace, files, capsys):
    def emit(output, **options):
        raise kind("lanes is 3:\n  must be a power of two")

    replace("gen.machines.emit", emit=emit)
    assert status("emit", "-o", "out") == 2
    assert capsys.readouterr() == ("", "sparnn: error: lanes is 3: must be a power of two\n")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_what_the_file_system_refuses_is_a_user_error(number, replace, files, capsys):
    def emit(output, **options):
        raise OSError(number, os.strerror(number), "out/top.v")

    replace("gen.machines.emit", emit=emit)
    assert status("emit", "-o", "out") == 2
    assert capsys.readouterr().err == f"sparnn: error: out/top.v: {os.strerror(number)}\n"


@pytest.mark.parametrize("kind", [ZeroDivisionError, FileNotFoundError, ValueError, RuntimeError])
def test_defects_keep_their_traceback(kind, replace, files):
    def emit(output, **options):
        raise kind("a defect")

    replace("gen.machines.emit", emit=emit)
    with pytest.raises(kind, match="a defect"):
        cli.main(["emit", "-o", "out"])


def test_interrupt(replace, files, capsys):
    def emit(output, **options):
        raise KeyboardInterrupt

    replace("gen.machines.emit", emit=emit)
    assert status("emit", "-o", "out") == 130
    assert capsys.readouterr() == ("", "")


def test_reader_that_leaves():
    """`sparnn --help | true` says nothing."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "sparnn.gen.cli", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert done.stderr == ""


def test_compile(replace, files, capsys):
    called = []

    def compile_model(*arguments, **options):
        called.append((arguments, options))
        return Report()

    replace("gen.compile", compile_model=compile_model)
    line = "compile m.onnx --calibrate x.npz --lanes 64 --prune 0.6 --prune-rows 8 --weight-bits 6"
    line += " --no-split-scales --width 8 --no-masks --steps 200 --streams 3 -o out"
    assert status(*line.split()) == 0
    (arguments, options) = called[0]
    assert [str(argument) for argument in arguments] == ["m.onnx", "x.npz", "out"]
    assert options == {
        "config": None,
        "lanes": 64,
        "prune": 0.6,
        "prune_rows": 8,
        "weight_bits": 6,
        "activation_bits": None,
        "split_scales": False,
        "width": 8,
        "masks": False,
        "sqnr": None,
        "calibration": None,
        "steps": 200,
        "streams": 3,
        "delta": None,
        "delta_sqnr": None,
        "bus": None,
        "bus_bits": None,
    }
    assert capsys.readouterr().out == "one\ntwo\n"


def test_golden(replace, files):
    called = []
    replace("sim.session.golden", run_golden=lambda *arguments: called.append(arguments) or [])
    assert status("golden", "done", "--input", "x.npz", "--output", "y.npz") == 0
    assert [str(argument) for argument in called[0]] == ["done", "x.npz", "y.npz"]


def test_emit(replace, files, capsys):
    replace("gen.machines.emit", emit=lambda output, **options: [f"{output} {options}"])
    widths = ["--weight-bits", "5", "--activation-bits", "9", "--split-scales"]
    widths += ["--bus", "axi", "--bus-bits", "128"]
    assert status("emit", "--lanes", "4", "--config", "small", *widths, "-o", "out") == 0
    options = {"config": "small", "lanes": 4, "weight_bits": 5, "activation_bits": 9}
    options |= {"split_scales": True, "width": None, "masks": None, "bus": "axi", "bus_bits": 128}
    assert capsys.readouterr().out == f"out {options}\n"


@pytest.fixture
def noisy(replace):
    """A simulation that prints, from Python and from a program that it starts."""

    def simulate(folder, inputs, *, output, waves, verilog):
        print("from python")
        subprocess.run(["echo", "from a program"], check=True)
        return Report()

    replace("sim.runner", simulate=simulate)


def test_simulate_prints_its_report(noisy, files, capfd):
    assert status("simulate", "done", "--input", "x.npz", "--waves") == 0
    assert capfd.readouterr().out.splitlines()[-2:] == ["one", "two"]


def test_simulate_that_is_not_bit_exact_fails(noisy, files, monkeypatch):
    monkeypatch.setattr(Report, "bit_exact", False)
    assert status("simulate", "done", "--input", "x.npz", "--json", "r.json") == 1
    assert (files / "r.json").is_file()


def test_simulate_json_to_a_file(noisy, files):
    assert status("simulate", "done", "--input", "x.npz", "--json", "r.json") == 0
    assert json.loads((files / "r.json").read_text()) == Report().as_dict()


def test_simulate_json_alone_on_stdout(noisy, files, capfd):
    assert status("simulate", "done", "--input", "x.npz", "--json", "-") == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == Report().as_dict()
    assert set(err.splitlines()) == {"from python", "from a program", "one", "two"}


@pytest.mark.parametrize("target", ["done", "missing/r.json"])
def test_simulate_json_that_cannot_be_written(target, replace, files, capsys):
    replace("sim.runner", simulate=lambda *arguments, **options: pytest.fail("ran"))
    assert status("simulate", "done", "--input", "x.npz", "--json", target) == 2
    assert target.split("/")[0] in capsys.readouterr().err
