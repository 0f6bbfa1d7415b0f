"""Descriptors of any layout: what is refused, and that nothing is lost on the way."""

import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.descriptor import COMMON_FIELDS, Descriptor, Field
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.config import SparseConfig

#: Besides the fields that every machine has: a bit, a signed field, a whole word.
DESCRIPTOR = Descriptor(
    {"bit": Field(8, 31, 1), "deep": Field(8, 0, 6, True), "all": Field(9, 0, 32)}
)

DESCRIPTORS = {"small": DESCRIPTOR} | {
    one.MACHINE: one.DESCRIPTOR for one in (SparseConfig, DenseConfig)
}

every_descriptor = pytest.mark.parametrize("descriptor", DESCRIPTORS.values(), ids=DESCRIPTORS)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (Field(1, 0, 1), "the first bit of `units`"),
        (Field(1, 15, 1), "its last bit"),
        (Field(1, 8, 16), "its upper half"),
        (Field(8, 31, 2), "beyond the word"),
        (Field(8, 32, 1), "above the word"),
        (Field(16, 0, 1), "in no word"),
    ],
)
def test_overlapping_fields_are_refused(field: Field, why: str) -> None:
    with pytest.raises(ConfigurationError, match=r"field .* lies outside or on another one"):
        Descriptor({"new": field})
    Descriptor({"new": Field(8, 0, 1)})


def test_fields_beside_each_other() -> None:
    """Field 1 has units in its lower half."""
    assert Descriptor({"new": Field(1, 16, 16)}).width("new") == 16


def test_common_fields_may_not_move_onto_others() -> None:
    with pytest.raises(ConfigurationError, match="lies outside or on another one"):
        Descriptor({"kind": COMMON_FIELDS["units"]})


def test_ranges() -> None:
    assert Field(0, 0, 4).range == (0, 15)
    assert Field(0, 0, 1).range == (0, 1)
    assert Field(0, 0, 6, signed=True).range == (-32, 31)
    assert Field(0, 0, 1, signed=True).range == (-1, 0)


@every_descriptor
@pytest.mark.parametrize("end", [0, 1], ids=["least", "most"])
def test_extremes(descriptor: Descriptor, end: int) -> None:
    """Each alone, so that a neighbour would show it, and all at once."""
    extremes = {name: field.range[end] for name, field in descriptor.fields.items()}
    zero = dict.fromkeys(descriptor.fields, 0)
    for name, value in extremes.items():
        words = descriptor.encode({name: value})
        field = descriptor.fields[name]
        assert [index for index, word in enumerate(words) if word] in ([], [field.word])
        assert words[field.word] == (value & (1 << field.width) - 1) << field.low
        assert descriptor.decode(words) == zero | {name: value}
    words = descriptor.encode(extremes)
    assert len(words) == descriptor.words
    assert all(0 <= word < 1 << 32 for word in words)
    assert descriptor.decode(words) == extremes


@every_descriptor
def test_beyond_the_extremes(descriptor: Descriptor) -> None:
    for name, field in descriptor.fields.items():
        least, most = field.range
        for value in (least - 1, most + 1):
            with pytest.raises(ConfigurationError) as refused:
                descriptor.encode({name: value})
            assert str(refused.value).startswith(
                f"descriptor: {name} = {value} is outside {least} to {most}"
            )


def test_unknown_field() -> None:
    with pytest.raises(ConfigurationError, match="unknown field 'depth'"):
        DESCRIPTOR.encode({"depth": 0})


def test_nothing_is_zero() -> None:
    assert DESCRIPTOR.encode({}) == [0] * 16
    assert Descriptor({}, words=8).encode({}) == [0] * 8


@every_descriptor
def test_hardware_has_the_fields_where_they_are_encoded(descriptor: Descriptor) -> None:
    whole = descriptor.whole()
    assert whole.size == 32 * descriptor.words
    for name, field in descriptor.fields.items():
        place = whole[name]
        assert place.offset == 32 * field.word + field.low
        assert (place.width, place.shape.signed) == (field.width, field.signed)


@every_descriptor
def test_some_fields_side_by_side(descriptor: Descriptor) -> None:
    layout = descriptor.layout(("units", "kind"))
    assert list(layout.members) == ["units", "kind"]
    assert layout.size == descriptor.width("units") + descriptor.width("kind")


@pytest.mark.parametrize("machine", [SparseConfig, DenseConfig])
def test_every_machine_has_the_common_fields(machine: type[MachineConfig]) -> None:
    assert {**machine.DESCRIPTOR.fields, **COMMON_FIELDS} == machine.DESCRIPTOR.fields


@every_descriptor
def test_fields_come_in_the_order_of_their_places(descriptor: Descriptor) -> None:
    """Identity, macros and documents depend on it."""
    places = [(field.word, field.low) for field in descriptor.fields.values()]
    assert places == sorted(places)
