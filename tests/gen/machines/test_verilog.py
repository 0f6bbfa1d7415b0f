"""The Verilog of a machine is made once."""

from dataclasses import replace
from pathlib import Path

import pytest

from sparnn.gen.machines import verilog as module
from sparnn.gen.machines.presets import load_config
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.machine import MachineConfig


def test_once_for_each_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = []

    def make(config: MachineConfig) -> str:
        made.append(config)
        return f"// {config}\n"

    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "machine_verilog", make)
    tiny = load_config("tiny")
    other = replace(tiny, weight_depth=2 * tiny.weight_depth)
    for config in (tiny, other, tiny, other):
        assert kept_verilog(config) == f"// {config}\n"
    assert made == [tiny, other]


def test_another_source_is_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path))
    for said in ("before", "after"):
        monkeypatch.setattr(module, "sources", lambda room, said=said: said)
        monkeypatch.setattr(module, "machine_verilog", lambda config, said=said: said)
        assert kept_verilog(load_config("tiny")) == said


def test_without_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(module, "machine_verilog", lambda config: "made")
    assert kept_verilog(load_config("tiny")) == "made"
