"""The example of docs/training.md runs as it stands. Needs sparnn[train]."""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install 'sparnn[train]'")


def test_example(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (checkout / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "examples").symlink_to(checkout / "examples")
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)  # the page's own code
    assert (tmp_path / "build" / "gru_tuned.onnx").is_file()
    for layer in names["model"].module.integers.layers[:1]:
        assert (layer.w_x != 0).mean() < 0.52
