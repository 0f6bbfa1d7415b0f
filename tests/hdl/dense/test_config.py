"""Parameters of the dense machine: what is refused, and what follows from them."""

import pytest

from sparnn.gen.machines.dense.presets import DENSE_PRESETS, SHARP_SIZES, dense_preset
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.descriptor import DESCRIPTOR
from sparnn.hdl.errors import ConfigurationError


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"width": 6}, "multiple of 4"),
        ({"width": 3}, "neither 1, 2 nor a multiple of 4"),
        ({"width": 2}, "set gate_depth to"),
        ({"mask_depth": 1}, "mask_depth = 1"),
        ({"mask_depth": 8, "operand_stage": 1}, "use operand_stage = 0"),
        ({"lanes": 4096, "mask_depth": 8}, "at most 4095"),
        ({"width": 68}, "width = 68"),
        ({"banks": 3}, "power of two"),
        ({"lanes": 9}, "multiple of banks"),
        ({"slices": 4}, "exceeds banks"),
        ({"lanes": 2}, "broadcast word"),
        ({"link_words": 2}, "use 1 or 4"),
        ({"activation_bits": 7}, "activation_bits = 7"),
        ({"lanes": True}, "lanes = True"),
        ({"hard_sigmoid": 2}, "hard_sigmoid = 2"),
        ({"reset_first": 2}, "reset_first = 2"),
        ({"sums": 2}, "sums = 2"),
        ({"peepholes": 2}, "peepholes = 2"),
        ({"peepholes": 1, "width": 2, "gate_depth": 8}, "use a width of 4 or more"),
        ({"post_stages": 3}, "post_stages = 3"),
        ({"streams": 5}, "streams = 5"),
        ({"streams": 3, "columns": 6}, "columns = 6 is not a multiple of 4"),
        ({"parity": 2}, "parity = 2"),
        ({"stream_bits": 32}, "stream_bits = 32 is not 0, 64, 128, 256 or 512: .*; use 64"),
        ({"stream_bits": 96}, "stream_bits = 96 .*; use 64"),
        ({"stream_bits": 1024}, "stream_bits = 1024"),
        ({"stream_bits": 64, "mask_depth": 8}, "set mask_depth = 0, or stream_bits = 0"),
    ],
)
def test_refused(wrong: dict[str, int], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        DenseConfig(**wrong)


def test_presets_have_their_size() -> None:
    for macs, name in SHARP_SIZES.items():
        assert dense_preset(name).mac_units == macs
    assert dense_preset("bw96k").mac_units == 96 * 1024
    assert {dense_preset(name).width for name in DENSE_PRESETS} == {8, 32}
    assert dense_preset("dense64").mac_units == 64


@pytest.mark.parametrize(
    ("name", "tail"), [("sharp1k", 19), ("sharp4k", 19), ("sharp16k", 20), ("sharp64k", 21)]
)
def test_declared_tail(name: str, tail: int) -> None:
    config = dense_preset(name)
    assert config.tail() == tail
    assert config.tail(gru=True) == tail + 1
    deep = dense_preset(name, post_stages=2, peepholes=1)
    assert deep.tail() == tail + 16
    assert deep.tail(peephole=True) == tail + 20


def test_descriptor_fields_do_not_overlap() -> None:
    bits = [
        (word, bit)
        for word, low, width, _ in DESCRIPTOR.fields.values()
        for bit in range(low, low + width)
    ]
    assert len(bits) == len(set(bits))
    assert max(bit for _, bit in bits) < 32


def test_descriptor_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigurationError, match="units = 65536"):
        DESCRIPTOR.encode({"units": 65536})
    with pytest.raises(ConfigurationError, match="unknown field"):
        DESCRIPTOR.encode({"nonsense": 1})
