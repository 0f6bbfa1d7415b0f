"""Ceilings of the dense machine's blocks on ECP5, and their refusals."""

import pytest

from sparnn.gen.bench.blocks import block_verilog, measure_block
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.blocks import BLOCKS
from sparnn.gen.machines.dense.presets import dense_preset

CONFIG = dense_preset("dense64")


@pytest.mark.parametrize(
    ("name", "lut", "ff", "dsp"),
    [("lane", 400, 200, 8), ("row", 860, 600, 3), ("gates", 1270, 210, 0), ("sigma", 330, 110, 1)],
)
def test_ceilings(name: str, lut: int, ff: int, dsp: int) -> None:
    total = measure_block(name, CONFIG).total
    assert total["lut"] <= lut
    assert total["ff"] <= ff
    assert total["dsp"] <= dsp


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_stands_alone(name: str) -> None:
    assert "module sparnn_block(" in block_verilog(name, CONFIG)


def test_unknown_block() -> None:
    with pytest.raises(SparnnError, match="no block tree; the blocks are lane"):
        block_verilog("tree", CONFIG)
