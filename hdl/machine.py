"""What every machine's configuration offers, whatever the machine."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import ClassVar

from .arithmetic.formats import PARAMETER_LAYOUT, PREACTIVATION_BITS
from .common.numbers import clog2, is_power_of_two
from .descriptor import Descriptor
from .errors import ConfigurationError

__all__ = ["MachineConfig", "Target", "clog2", "is_power_of_two", "require"]


class Target(IntEnum):
    """The memories of a machine, by the number that SELECT names."""

    PROGRAM = 0  #: 32-bit descriptor words
    MASK = 1  #: per lane: which columns a row has weights in
    WEIGHT = 2  #: per lane: packed non-zero weights, or words of K weights
    PARAMETER = 3  #: per post unit or row: multiplier, shift, bias of one row and half, LSB first
    STATE = 4  #: per post unit: cell state
    STORE = 5  #: words of ``post_units`` activations
    COUNTER = 6  #: per post unit, to read only, on a machine with counters
    SECTION = 7  #: where each layer's weights lie in external memory, of a machine that reads it
    REFERENCE = 8  #: of a machine with deltas: words of what was last sent of each activation
    TOTAL = 9  #: per post unit, of a machine with deltas: the sum of each row over what was sent


def require(condition: object, message: str) -> None:
    """Refuse a configuration: which value, the limit, the way out."""
    if not condition:
        raise ConfigurationError(f"configuration: {message}")


@dataclass(frozen=True, kw_only=True)
class MachineConfig(ABC):
    """A machine's design-time parameters. Frozen and validated.

    Each machine derives its own; this is all that commands, host port, link and reports know of
    it. What a network needs at run time is in the program.

    Members
    -------
    MACHINE: the machine's name in files: ``sparse`` or ``dense``.
    RANGES: parameter -> the least and the largest value.
    POWERS: parameters that are powers of two. DESCRIPTOR: of its layers.
    """

    MACHINE: ClassVar[str]
    RANGES: ClassVar[Mapping[str, tuple[int, int]]]
    POWERS: ClassVar[tuple[str, ...]]
    DESCRIPTOR: ClassVar[Descriptor]

    lanes: int = 8
    weight_bits: int = 8
    activation_bits: int = 8
    columns: int
    weight_depth: int
    parameter_depth: int
    state_depth: int
    store_depth: int = 4096
    program_depth: int = 16
    hard_sigmoid: int = 0
    reset_first: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in self.RANGES.items():
            value = getattr(self, name)
            require(
                isinstance(value, int) and not isinstance(value, bool) and low <= value <= high,
                f"{name} = {value!r} is not an integer from {low} to {high}",
            )
        for name in self.POWERS:
            value = getattr(self, name)
            require(
                is_power_of_two(value),
                f"{name} = {value} is not a power of two; use {1 << value.bit_length() - 1}",
            )

    @property
    @abstractmethod
    def mac_units(self) -> int:
        """Multipliers."""

    @property
    @abstractmethod
    def post_units(self) -> int:
        """Activations of a broadcast word; unit s mod post_units computes position s of a layer."""

    @property
    @abstractmethod
    def link_words(self) -> int:
        """32-bit words that the host's link carries at once."""

    # Options of one machine alone, as they stand on any other ------------------------------------

    @property
    def counters(self) -> int:
        """1: the machine counts its slots, for the host to read."""
        return 0

    @property
    def packed_store(self) -> int:
        """1: the sequence store keeps masks and non-zero values only."""
        return 0

    @property
    def packed_rows(self) -> int:
        """Rows of non-zero values that the sequences in a packed store may take."""
        return 0

    @property
    def stream_bits(self) -> int:
        """A word of the external memory that weights come from; 0: they are loaded."""
        return 0

    @property
    def parity(self) -> int:
        """1: words of weights, masks and states have parity, and a port tells of damage."""
        return 0

    @property
    def delta(self) -> int:
        """1: lanes see differences from step to step instead of activations."""
        return 0

    @property
    def split_scales(self) -> int:
        """1: positive and negative weights of a row have scales of their own."""
        return 0

    @property
    def peepholes(self) -> int:
        """1: the machine has the cells of LSTMs with peepholes."""
        return 0

    @property
    def cell_functions(self) -> int:
        """1: cells have more functions than tanh, layer by layer."""
        return 0

    @property
    def gate_functions(self) -> int:
        """1: gates of LSTMs may go through other functions than σ, layer by layer."""
        return 0

    @property
    def clip(self) -> int:
        """1: pre-activations are limited, layer by layer."""
        return 0

    # Memories
    # --------------------------------------------------------------------------------------

    @abstractmethod
    def memories(self) -> dict[Target, tuple[int, int]]:
        """How many there are of each kind that the host fills or reads, and the entries of each."""

    @property
    @abstractmethod
    def weight_entry_bits(self) -> int:
        """A word of a lane's weight memory."""

    @property
    @abstractmethod
    def mask_entry_bits(self) -> int:
        """A word of a lane's mask memory."""

    @property
    def store_entry_bits(self) -> int:
        """A word of the sequence store."""
        return self.post_units * self.activation_bits

    @property
    def read_bits(self) -> int:
        """What a post unit answers when the host reads an entry of its."""
        return PREACTIVATION_BITS

    def entry_bits(self, target: Target) -> int:
        """Width of one entry of a memory."""
        return {
            Target.PROGRAM: 32,
            Target.MASK: self.mask_entry_bits,
            Target.WEIGHT: self.weight_entry_bits,
            Target.PARAMETER: PARAMETER_LAYOUT.size,
            Target.STATE: PREACTIVATION_BITS,
            Target.STORE: self.store_entry_bits,
            Target.COUNTER: PREACTIVATION_BITS,
        }[target]

    @property
    def unused(self) -> frozenset[str]:
        """Parameters and descriptor fields that mean nothing on this machine, or nothing to images,
        and are no part of its identity."""
        return frozenset()

    def identity_text(self) -> str:
        """What images depend on: the parameters, and the layouts of descriptor and entries."""
        named = {name: str(value) for name, value in sorted(asdict(self).items())}
        fields = {name: str(tuple(field)) for name, field in self.DESCRIPTOR.fields.items()}
        parts = [f"machine={self.MACHINE}"]
        for values in (named, fields):
            parts += [f"{name}={text}" for name, text in values.items() if name not in self.unused]
        return ";".join(parts)
