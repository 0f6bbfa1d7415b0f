"""Which machines boards hold."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparnn.gen.boards.check import lane_machine
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.presets import dense_preset
from sparnn.hdl.sparse.config import SparseConfig


def test_what_has_no_top() -> None:
    def check(config: Any, **options: bool) -> Any:
        program: Any = SimpleNamespace(config=config)
        return lane_machine(program, Path("out"), **options)

    streaming = SparseConfig(stream_bits=64)
    with pytest.raises(SparnnError, match="its weights come from external memory, and this board"):
        check(streaming)
    assert check(streaming, with_memory=True) is streaming
    with pytest.raises(SparnnError, match="boards take sparse machines only"):
        check(dense_preset("dense64"))
    assert check(SparseConfig()).lanes == 8
