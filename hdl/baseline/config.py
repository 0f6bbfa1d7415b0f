"""Design-time parameters of the baseline arrays, and what follows from them."""

from dataclasses import dataclass

from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["BaselineConfig", "GROUP"]

#: Processing elements that share a leading non-zero detect node (EIE, section IV) and, here, a
#: write-back unit.
GROUP = 4


@dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """An EIE or ESE array. Frozen and validated.

    Parameters
    ----------
    lanes: processing elements; a power of two, 4-1024.
    skip_zeros: only activations that are not zero are broadcast (EIE); False: all of them (ESE).
    overlap: the next step's input may be broadcast before this step's outputs are written (ESE's
        scheduler runs what is not a matrix product beside them; EIE finishes a layer first).
    weight_bits, activation_bits: 4-16 and 8-16.
    index_bits: of a zero run; EIE and ESE have 4.
    queue_depth: activations that may wait in an element; EIE and ESE have 8.
    pipelined_broadcast: a register per group in the broadcast and in the queues' answer. Queues
        then have room for the two activations that are under way. False: one cycle, for measuring
        how much a queue of exactly ``queue_depth`` does.
    entries_per_read: weights in a word of the matrix memory; a power of two. EIE has 8.
    matrix_words: words of the matrix memory of an element.
    columns: of both halves together.
    half_columns: the most in one half.
    rows: most rows of one half in one element.
    activation_depth: activations of one element, all steps, inputs and outputs.
    """

    lanes: int
    skip_zeros: bool
    overlap: bool
    weight_bits: int = 10
    activation_bits: int = 10
    index_bits: int = 4
    queue_depth: int = 8
    pipelined_broadcast: bool = True
    entries_per_read: int = 8
    matrix_words: int
    columns: int
    half_columns: int
    rows: int
    activation_depth: int

    def __post_init__(self) -> None:
        for name, low, high in (
            ("lanes", GROUP, 1024),
            ("weight_bits", 4, 16),
            ("activation_bits", 8, 16),
            ("index_bits", 1, 8),
            ("queue_depth", 1, 256),
            ("entries_per_read", 1, 32),
            ("matrix_words", 1, 1 << 18),
            ("columns", 1, 1 << 15),
            ("half_columns", 1, 1 << 14),
            ("rows", 1, 1 << 12),
            ("activation_depth", 1, 1 << 20),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ConfigurationError(
                    f"baseline: {name} = {value!r} is not an integer from {low} to {high}"
                )
        for name in ("lanes", "entries_per_read"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ConfigurationError(f"baseline: {name} = {value} is not a power of two")

    @property
    def groups(self) -> int:
        return self.lanes // GROUP

    @property
    def entry_bits(self) -> int:
        """A weight and the zeros before it."""
        return self.weight_bits + self.index_bits

    @property
    def word_bits(self) -> int:
        """A word of the matrix memory."""
        return self.entry_bits * self.entries_per_read

    @property
    def cursor_bits(self) -> int:
        """Address of an entry, or of the end of the last column: the width of a pointer."""
        return (self.matrix_words * self.entries_per_read).bit_length()

    @property
    def pointer_words(self) -> int:
        """Words of each of the two pointer banks: ``columns + 1`` pointers in all."""
        return self.columns // 2 + 1

    @property
    def column_bits(self) -> int:
        return max(1, clog2(self.columns))

    @property
    def row_bits(self) -> int:
        """Number of a row in an element."""
        return max(1, clog2(self.rows))

    @property
    def scan_bits(self) -> int:
        """Number of an activation of a vector in an element: columns are dealt like rows."""
        return max(1, clog2(ceil_div(self.half_columns, self.lanes)))

    @property
    def queue_entries(self) -> int:
        """Places of a queue, with those for what is under way."""
        return self.queue_depth + (2 if self.pipelined_broadcast else 0)

    @property
    def post(self) -> SparseConfig:
        """The configuration of a group's requantization blocks, which are sparnn's own."""
        return SparseConfig(
            lanes=1,
            post_units=1,
            max_v=1,
            columns=32 * ceil_div(self.half_columns, 32),
            weight_bits=self.weight_bits,
            activation_bits=self.activation_bits,
            rows=max(2, GROUP * self.rows),
            parameter_depth=max(2, 2 * GROUP * self.rows),
        )

    @property
    def sum_bits(self) -> int:
        """A destination accumulator: cannot overflow."""
        return self.post.sum_bits
