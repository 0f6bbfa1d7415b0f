"""Layer descriptors: named fields in 32-bit words."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from amaranth.hdl import Shape
from amaranth.lib import data

from .errors import ConfigurationError

__all__ = ["COMMON_FIELDS", "Descriptor", "Field"]


class Field(NamedTuple):
    """Where a value lies in a descriptor."""

    word: int
    low: int
    width: int
    signed: bool = False

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest value."""
        if self.signed:
            return -(1 << self.width - 1), (1 << self.width - 1) - 1
        return 0, (1 << self.width) - 1


#: What every machine's descriptor holds. ``in_base``, ``out_base`` and ``hidden_base`` are
#: addresses of the sequence store; ``*_words`` count broadcast words of one step.
COMMON_FIELDS: Mapping[str, Field] = {
    "kind": Field(0, 0, 2),
    "activation": Field(0, 2, 2),
    "emit": Field(0, 9, 1),  # send outputs to the host
    "emit_last": Field(0, 10, 1),  # with emit: the last step only
    "single_step": Field(0, 11, 1),  # one step, whatever RUN says
    "unfolded": Field(0, 12, 1),  # the next step's input half may run under this step's tail
    "wide": Field(0, 13, 1),  # outputs saturate at 16 bits instead of activation_bits
    "last_layer": Field(0, 14, 1),
    "units": Field(1, 0, 16),
    "in_words": Field(2, 0, 16),
    "out_words": Field(2, 16, 16),
    "in_base": Field(3, 0, 20),
    "out_base": Field(4, 0, 20),
    "hidden_base": Field(5, 0, 20),  # where the hidden state is kept between runs
    "weight_base": Field(7, 0, 20),
}


class Descriptor:
    """The layout of one machine's layer descriptors.

    Parameters
    ----------
    fields: name -> place, besides :data:`COMMON_FIELDS`.
    words: 32-bit words of one descriptor, a power of two; bits without a field are zero.

    Raises
    ------
    ConfigurationError: a field that lies outside of the words, or on another one.
    """

    def __init__(self, fields: Mapping[str, Field], words: int = 16):
        self.words = words
        self.fields: Mapping[str, Field] = dict(
            sorted((dict(COMMON_FIELDS) | dict(fields)).items(), key=lambda item: item[1])
        )
        taken = [0] * words
        for name, field in self.fields.items():
            bits = (1 << field.width) - 1 << field.low
            if field.word >= words or bits >> 32 or taken[field.word] & bits:
                raise ConfigurationError(f"descriptor: field {name} lies outside or on another one")
            taken[field.word] |= bits

    def encode(self, values: Mapping[str, int]) -> list[int]:
        """The descriptor's 32-bit words; the fields not named are zero.

        Raises
        ------
        ConfigurationError: an unknown field, or a value that does not fit its width.
        """
        words = [0] * self.words
        for name, value in values.items():
            if name not in self.fields:
                raise ConfigurationError(f"descriptor: unknown field {name!r}")
            field = self.fields[name]
            least, most = field.range
            if not least <= value <= most:
                raise ConfigurationError(
                    f"descriptor: {name} = {value} is outside {least} to {most}; the layer is too "
                    f"large for this field"
                )
            words[field.word] |= (value & (1 << field.width) - 1) << field.low
        return words

    def decode(self, words: list[int]) -> dict[str, int]:
        """The inverse of :meth:`encode`, every field present."""
        values = {}
        for name, field in self.fields.items():
            value = words[field.word] >> field.low & (1 << field.width) - 1
            if field.signed and value >> field.width - 1:
                value -= 1 << field.width
            values[name] = value
        return values

    def width(self, name: str) -> int:
        """Bits of a field."""
        return self.fields[name].width

    def whole(self, without: Collection[str] = ()) -> data.FlexibleLayout:
        """A descriptor as the program memory holds it. ``without``: fields that nobody reads."""
        return data.FlexibleLayout(
            self.words * 32,
            {
                name: data.Field(Shape(field.width, field.signed), field.word * 32 + field.low)
                for name, field in self.fields.items()
                if name not in without
            },
        )

    def layout(self, names: Iterable[str]) -> data.StructLayout:
        """Some of the fields side by side: what a component reads while a layer runs."""
        return data.StructLayout(
            {
                name: Shape(field.width, field.signed)
                for name in names
                for field in (self.fields[name],)
            }
        )
