"""SparseConfig: every limit, its message, and what follows from the parameters."""

import dataclasses
import math
from itertools import product

import pytest

from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.sparse.config import SparseConfig

#: name -> least and largest value.
LIMITS = {
    "lanes": (1, 1024),
    "width": (1, 16),
    "masks": (0, 1),
    "post_units": (1, 64),
    "max_v": (1, 1024),
    "chunk": (8, 256),
    "sub_chunk": (4, 32),
    "weight_bits": (4, 16),
    "activation_bits": (8, 16),
    "queue_depth": (2, 64),
    "columns": (8, 16384),
    "mask_depth": (2, 1 << 20),
    "weight_depth": (2, 1 << 20),
    "lut_memory": (0, 1024),
    "rows": (2, 1 << 16),
    "parameter_depth": (2, 1 << 20),
    "state_depth": (2, 1 << 16),
    "store_depth": (2, 1 << 20),
    "packed_store": (0, 1),
    "value_rows": (2, 1 << 20),
    "dense_rows": (1, 1 << 16),
    "vector_words": (1, 1 << 16),
    "program_depth": (1, 256),
    "threads": (1, 2),
    "sharing": (0, 1),
    "counters": (0, 1),
    "hard_sigmoid": (0, 1),
    "reset_first": (0, 1),
    "cell_functions": (0, 1),
    "gate_functions": (0, 1),
    "clip": (0, 1),
    "peepholes": (0, 1),
    "delta": (0, 1),
    "reference_depth": (2, 1 << 20),
    "split_scales": (0, 1),
    "backwards": (0, 1),
    "compact": (0, 1),
    "stream_bits": (0, 512),
    "parity": (0, 1),
    "large_memory": (0, 1 << 20),
    "bank_bytes": (0, 1 << 16),
    "sliced_copy": (0, 1),
}

#: What else has to change for a parameter to reach its limit.
COMPANIONS = {
    ("lanes", 1): {"max_v": 1},
    ("width", 16): {"queue_depth": 16},
    ("post_units", 64): {"lanes": 64, "max_v": 1, "chunk": 64},
    ("max_v", 1024): {"lanes": 1024},
    ("chunk", 8): {"sub_chunk": 4},
    ("sub_chunk", 32): {"chunk": 64},
    ("columns", 8): {"chunk": 8, "sub_chunk": 4},
    ("stream_bits", 512): {"chunk": 64},
    ("gate_functions", 1): {"cell_functions": 1},
}


def test_all_parameters_have_limits() -> None:
    assert {field.name for field in dataclasses.fields(SparseConfig)} == set(LIMITS)


def test_default_is_valid_and_frozen() -> None:
    config = SparseConfig()
    for name in LIMITS:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, name, 3)
    assert hash(config) == hash(SparseConfig())


@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_reached(name: str) -> None:
    for value in LIMITS[name]:
        options = COMPANIONS.get((name, value), {}) | {name: value}
        assert getattr(SparseConfig(**options), name) == value


@pytest.mark.parametrize("name", LIMITS)
def test_beyond_the_limits(name: str) -> None:
    low, high = LIMITS[name]
    for value in (low - 1, high + 1, -1, 1 << 40, 8.0, "8", None, True):
        with pytest.raises(ConfigurationError) as caught:
            SparseConfig(**{name: value})
        message = str(caught.value)
        assert message == (
            f"configuration: {name} = {value!r} is not an integer from {low} to {high}"
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lanes": 12, "post_units": 3}, ("post_units = 3", "power of two")),
        ({"lanes": 12, "max_v": 6}, ("max_v = 6", "power of two")),
        ({"chunk": 24}, ("chunk = 24", "power of two")),
        ({"max_v": 1, "sharing": 1}, ("sharing = 1", "max_v to 2")),
        ({"sub_chunk": 12}, ("sub_chunk = 12", "power of two")),
        ({"lanes": 6, "post_units": 4, "max_v": 1}, ("lanes = 6", "post_units = 4")),
        ({"lanes": 1, "post_units": 2, "max_v": 1}, ("lanes = 1", "post_units = 2")),
        ({"lanes": 12, "max_v": 8}, ("max_v = 8", "12 lanes")),
        ({"lanes": 8, "post_units": 2, "max_v": 8}, ("max_v = 8", "4 lanes")),
        ({"chunk": 8, "sub_chunk": 8}, ("chunk = 8", "sub_chunk = 8")),
        ({"chunk": 16, "sub_chunk": 32}, ("chunk = 16", "sub_chunk = 32")),
        ({"lanes": 64, "post_units": 64, "max_v": 1}, ("chunk = 32", "post_units = 64")),
        ({"width": 3}, ("width = 3", "power of two")),
        ({"width": 8, "queue_depth": 4}, ("width = 8", "queue_depth = 4", "to 8 or more")),
        ({"width": 2, "split_scales": 1}, ("split_scales = 1", "width = 2", "width = 1")),
        ({"masks": 0, "split_scales": 1}, ("split_scales = 1", "masks = 0", "masks = 1")),
        ({"width": 4, "sharing": 1}, ("sharing = 1", "width = 4", "set sharing = 0")),
        ({"masks": 0, "sharing": 1}, ("sharing = 1", "masks = 0")),
        ({"bank_bytes": 255}, ("bank_bytes = 255", "use 256 or more")),
        ({"bank_bytes": 1024, "large_memory": 512}, ("bank_bytes", "large_memory")),
        ({"columns": 500}, ("columns = 500", "chunk = 32")),
        ({"columns": 8}, ("columns = 8", "chunk = 32")),
        ({"packed_store": 1, "store_depth": 96}, ("store_depth = 96", "power of two")),
        ({"packed_store": 1, "store_depth": 1 << 20}, ("store_depth = 1048576", "524288")),
        ({"packed_store": 1, "vector_words": 3}, ("vector_words = 3", "power of two")),
        ({"packed_store": 1, "vector_words": 4096}, ("vector_words = 4096", "store_depth / 2")),
        ({"packed_store": 1, "value_rows": 64}, ("dense_rows = 64", "value_rows - 1")),
        ({"packed_store": 1, "store_depth": 32}, ("dense_rows = 64", "store_depth")),
    ],
    ids=str,
)
def test_cross_checks(options: dict[str, int], words: tuple[str, ...]) -> None:
    """The message names the value and what it does not agree with."""
    with pytest.raises(ConfigurationError) as caught:
        SparseConfig(**options)
    assert str(caught.value).startswith("configuration: ")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("columns", [8, 16, 24, 512, 520])
@pytest.mark.parametrize(("weight_bits", "activation_bits"), list(product((4, 16), (8, 16))))
@pytest.mark.parametrize("split", [0, 1])
def test_sums_cannot_overflow(
    weight_bits: int, activation_bits: int, columns: int, split: int
) -> None:
    """The largest sums that docs/numerics.md allows, and not a bit more than its formula."""
    config = SparseConfig(
        chunk=8,
        sub_chunk=4,
        columns=columns,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        split_scales=split,
    )
    # Weights are symmetric, activations are not. A factor is 3 at most.
    weight = ((1 << weight_bits - 1) - 1) * (3 if split else 1)
    activation = 1 << activation_bits - 1
    for bits, count in (
        (config.lane_sum_bits, columns),
        (config.sum_bits, columns * config.max_v),
    ):
        assert bits == weight_bits + 2 * split + activation_bits - 1 + sum(
            math.ceil(math.log2(n)) for n in (columns, count // columns)
        )
        assert -(1 << bits - 1) <= -count * weight * activation
        assert count * weight * activation < 1 << bits - 1


def test_derived_values() -> None:
    config = SparseConfig(
        lanes=48,
        post_units=4,
        max_v=4,
        chunk=64,
        sub_chunk=16,
        columns=192,
        activation_bits=10,
    )
    assert config.cluster_lanes == 12
    assert config.sub_chunks == 4
    assert config.column_chunks == 3
    assert config.local_words == 48
    assert config.mask_entry_bits == 68
    assert dataclasses.replace(config, masks=0).mask_entry_bits == 0
    wide = dataclasses.replace(config, width=4)
    assert (wide.weight_entry_bits, wide.mac_units, wide.queue_blocks) == (32, 192, 2)
    assert dataclasses.replace(config, split_scales=1).mask_entry_bits == 72
    assert config.store_entry_bits == 40
    assert config.v_log2_max == 2
    assert config.queue_places == 8
    assert SparseConfig(queue_depth=5).queue_places == 8
    assert (config.store_words, config.store_address_bits, config.store_latency) == (4096, 12, 3)
    packed = dataclasses.replace(config, packed_store=1, dense_rows=50)
    assert (packed.store_words, packed.store_address_bits, packed.store_latency) == (4146, 13, 5)


@pytest.mark.parametrize("max_v", [1, 2, 8, 1024])
def test_largest_v(max_v: int) -> None:
    assert 1 << SparseConfig(lanes=1024, max_v=max_v).v_log2_max == max_v


def test_delta() -> None:
    plain = SparseConfig(lanes=4, max_v=4, post_units=1)
    delta = dataclasses.replace(plain, delta=1)
    assert delta.lane_activation_bits == 9
    assert delta.lane_entry_bits == 9 * delta.post_units
    assert delta.store_entry_bits == plain.store_entry_bits
    # A sum of differences has a bit more, one over the references has not.
    assert delta.sum_bits == plain.sum_bits + 1
    assert delta.total_bits == plain.total_bits == plain.sum_bits
    assert "delta" not in plain.identity_text()
    assert dataclasses.replace(plain, reference_depth=64).identity_text() == plain.identity_text()
    assert "delta=1" in delta.identity_text()
    with pytest.raises(ConfigurationError, match="activation_bits = 15 or less, or delta = 0"):
        SparseConfig(delta=1, activation_bits=16)
    with pytest.raises(ConfigurationError, match="set delta = 0, or compact = 0"):
        SparseConfig(delta=1, compact=1)
