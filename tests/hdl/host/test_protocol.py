"""Descriptors and packet headers: nothing overlaps, nothing is cut off."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.host.protocol import (
    ARGUMENT_BITS,
    RUN_RESET,
    RUN_STEPS_BITS,
    Activation,
    Kind,
    Opcode,
    Response,
    Target,
    header,
    identity,
    words_per_entry,
)
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR


def bounds(name: str) -> tuple[int, int]:
    _, _, width, is_signed = DESCRIPTOR.fields[name]
    if is_signed:
        return -(2 ** (width - 1)), 2 ** (width - 1) - 1
    return 0, 2**width - 1


FIELDS = st.fixed_dictionaries(
    {}, optional={name: st.integers(*bounds(name)) for name in DESCRIPTOR.fields}
)


def test_fields_lie_inside_their_words_apart() -> None:
    places = {}
    for name, (word, low, width, _) in DESCRIPTOR.fields.items():
        assert 0 <= word < DESCRIPTOR.words
        assert 0 <= low < low + width <= 32, name
        places[name] = {(word, low + k) for k in range(width)}
    for one, other in combinations(places, 2):
        assert not places[one] & places[other], f"{one} and {other} overlap"
    assert DESCRIPTOR.words & (DESCRIPTOR.words - 1) == 0


@given(FIELDS)
def test_round_trip(fields: dict[str, int]) -> None:
    words = DESCRIPTOR.encode(fields)
    assert len(words) == DESCRIPTOR.words
    assert all(0 <= word < 1 << 32 for word in words)
    assert DESCRIPTOR.decode(words) == dict.fromkeys(DESCRIPTOR.fields, 0) | fields


@given(FIELDS)
def test_hardware_reads_the_same_fields(fields: dict[str, int]) -> None:
    words = DESCRIPTOR.encode(fields)
    value = sum(word << 32 * k for k, word in enumerate(words))
    seen = DESCRIPTOR.whole().from_bits(value)
    for name in DESCRIPTOR.fields:
        assert seen[name] == fields.get(name, 0)


@pytest.mark.parametrize("name", DESCRIPTOR.fields)
def test_extremes_of_a_field(name: str) -> None:
    low, high = bounds(name)
    for value in (low, high):
        fields = DESCRIPTOR.decode(DESCRIPTOR.encode({name: value}))
        assert fields.pop(name) == value
        assert not any(fields.values())
    for value in (low - 1, high + 1):
        with pytest.raises(
            ConfigurationError, match=f"{name} = {value} is outside {low} to {high}"
        ):
            DESCRIPTOR.encode({name: value})


def test_unknown_field() -> None:
    with pytest.raises(ConfigurationError, match="unknown field 'colour'"):
        DESCRIPTOR.encode({"colour": 1})


def test_enumerations_fit_their_fields() -> None:
    assert max(Kind) <= bounds("kind")[1]
    assert max(Activation) <= bounds("activation")[1]
    assert SparseConfig(lanes=1024, max_v=1024).v_log2_max <= bounds("v_log2")[1]
    assert [kind.gates for kind in (Kind.LINEAR, Kind.RNN, Kind.GRU, Kind.LSTM)] == [1, 1, 3, 4]


@pytest.mark.parametrize(
    ("field", "parameter", "largest"),
    [
        ("in_base", "store_depth", 1 << 20),
        ("out_base", "store_depth", 1 << 20),
        ("hidden_base", "store_depth", 1 << 20),
        ("mask_base", "mask_depth", 1 << 20),
        ("weight_base", "weight_depth", 1 << 20),
        ("parameter_base", "parameter_depth", 1 << 20),
        ("state_base", "state_depth", 1 << 16),
    ],
)
def test_addresses_reach_the_largest_memory(field: str, parameter: str, largest: int) -> None:
    assert getattr(SparseConfig(**{parameter: largest}), parameter) == largest
    assert bounds(field) == (0, largest - 1)


def test_headers() -> None:
    values = [*Opcode, *Response]
    assert len({int(value) for value in values}) == len(values)
    for value in values:
        for argument in (0, 1, (1 << ARGUMENT_BITS) - 1):
            word = header(value, argument)
            assert (word >> ARGUMENT_BITS, word & (1 << ARGUMENT_BITS) - 1) == (value, argument)
            assert 0 <= word < 1 << 32
    for argument in (-1, 1 << ARGUMENT_BITS):
        with pytest.raises(ConfigurationError, match=f"argument {argument} does not fit 28 bits"):
            header(Opcode.RUN, argument)


def test_run_argument() -> None:
    """docs/machine.md: reset << 27 | steps."""
    assert RUN_RESET == 1 << 27
    assert RUN_RESET > (1 << RUN_STEPS_BITS) - 1
    assert header(Opcode.RUN, RUN_RESET | 3) == 0x58000003


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # PROGRAM, MASK, WEIGHT, PARAMETER, STATE, STORE, COUNTER
        ({"chunk": 8, "sub_chunk": 4, "activation_bits": 8}, (32, 12, 8, 38, 16, 8, 16)),
        ({"chunk": 32, "weight_bits": 4, "activation_bits": 16}, (32, 36, 4, 38, 16, 16, 16)),
        (
            {"lanes": 16, "post_units": 16, "max_v": 1, "chunk": 128, "activation_bits": 9},
            (32, 132, 8, 38, 16, 144, 16),
        ),
    ],
)
def test_entries(options: dict[str, int], expected: tuple[int, ...]) -> None:
    config = SparseConfig(**options, columns=128)
    missing = (Target.SECTION, Target.REFERENCE, Target.TOTAL)  # no external memory, no deltas
    targets = [one for one in Target if one not in missing]
    assert tuple(config.entry_bits(target) for target in targets) == expected
    assert tuple(words_per_entry(config, target) for target in targets) == tuple(
        (bits + 31) // 32 for bits in expected
    )


def test_identity_tells_machines_apart() -> None:
    """Every parameter counts, and the word is the same in every process."""
    default = SparseConfig()
    others = [
        SparseConfig(lanes=16),
        SparseConfig(max_v=4),
        SparseConfig(sub_chunk=4),
        SparseConfig(weight_bits=7),
        *(
            SparseConfig(**{name: 2 * getattr(default, name)})
            for name in ("columns", "mask_depth", "weight_depth", "rows", "store_depth")
        ),
    ]
    words = {identity(one) for one in [default, *others]}
    assert len(words) == 1 + len(others)
    assert all(0 <= word < 1 << 32 for word in words)
    assert identity(SparseConfig()) == identity(default)
