import json

import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines import emit as module
from sparnn.gen.machines.emit import emit


def test_writes_the_hardware(tmp_path):
    lines = emit(tmp_path / "out", lanes=1)
    text = (tmp_path / "out" / "sparnn.v").read_text()
    assert "module sparnn(" in text
    assert "#define SPARNN_LANES 1\n" in (tmp_path / "out" / "sparnn.h").read_text()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["options"] == {
        "config": None,
        "lanes": 1,
        "weight_bits": None,
        "activation_bits": None,
        "split_scales": None,
    }
    assert set(manifest["files"]) == {"sparnn.v", "sparnn.h"}
    assert lines[0].startswith("machine        1 lanes")


def test_options_hold_no_path(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "kept_verilog", lambda config: "module sparnn; endmodule\n")
    (tmp_path / "mine.toml").write_text("lanes = 4\nmax_v = 2\n")
    emit(tmp_path / "out", config=str(tmp_path / "mine.toml"))
    text = (tmp_path / "out" / "manifest.json").read_text()
    assert json.loads(text)["options"]["config"] == "mine.toml"
    assert str(tmp_path) not in text
    assert json.loads(text)["config"]["max_v"] == 2


def test_widths(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "kept_verilog", lambda config: "module sparnn; endmodule\n")
    emit(tmp_path / "out", lanes=4, weight_bits=5, activation_bits=11)
    config = json.loads((tmp_path / "out" / "manifest.json").read_text())["config"]
    assert (config["weight_bits"], config["activation_bits"]) == (5, 11)


def test_refuses_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "kept_verilog", None)  # a call would fail
    (tmp_path / "precious").write_text("x")
    with pytest.raises(SparnnError, match="did not write"):
        emit(tmp_path, lanes=1)
