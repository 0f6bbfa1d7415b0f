"""Files that the importer refuses: absent, truncated, damaged, without their external data."""

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.onnx_builder import single
from support.onnx_graphs import SUPPORTED

from sparnn.gen.errors import SparnnError
from sparnn.gen.onnx.reader import import_onnx


def test_refusal_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gru.onnx"
    onnx.save(single("GRU", linear_before_reset=0, direction="reverse"), path)
    with pytest.raises(SparnnError, match=r"gru\.onnx: node 'gru0' \(GRU\): linear_before_reset"):
        import_onnx(path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 100, b"\xff" * 1000])
def test_not_a_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(SparnnError, match=r"bad\.onnx: (cannot be read|not a valid ONNX model)"):
        import_onnx(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SparnnError, match=r"none\.onnx: cannot be read"):
        import_onnx(tmp_path / "none.onnx")
    with pytest.raises(SparnnError, match="cannot be read"):
        import_onnx(tmp_path)


def test_truncated(tmp_path: Path) -> None:
    content = single(units=2, inputs=2).SerializeToString()
    path = tmp_path / "short.onnx"
    for size in range(0, len(content) - 1, 5):
        path.write_bytes(content[:size])
        with pytest.raises(SparnnError):
            import_onnx(path)


def test_corrupted(tmp_path: Path) -> None:
    """A flipped byte gives a network or a sentence, never another exception."""
    content = SUPPORTED["computed_weights"]().SerializeToString()
    random = np.random.default_rng(0)
    path = tmp_path / "flipped.onnx"
    for _ in range(300):
        damaged = bytearray(content)
        for position in random.integers(0, len(content), 3):
            damaged[position] ^= 1 << int(random.integers(8))
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(SparnnError):
            import_onnx(path)


def test_external_data_missing(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(single(), path, save_as_external_data=True, location="weights", size_threshold=0)
    assert import_onnx(path).layers[0].units == 7
    (tmp_path / "weights").unlink()
    with pytest.raises(SparnnError, match="external data"):
        import_onnx(path)
