"""What the machine and its host say to each other: packets, and what their numbers mean.

Pure constants and integer packing, so that the compiler, the simulation driver, the C header and
the hardware all take them from here. The prose is in docs/machine.md.
"""

import zlib
from enum import IntEnum

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.machine import MachineConfig, Target

__all__ = [
    "ARGUMENT_BITS",
    "COUNTER_WORDS",
    "IMAGE_VERSION",
    "OVERFLOW_BITS",
    "RUN_ANEW",
    "RUN_RESET",
    "RUN_STEPS_BITS",
    "Activation",
    "CellFunction",
    "Counter",
    "Kind",
    "Opcode",
    "Response",
    "Target",
    "header",
    "identity",
    "words_per_entry",
]

#: Of the image and of program.json: what changes either raises it (CHANGELOG.md).
IMAGE_VERSION = 2

#: A packet's first word: opcode in the top four bits, argument below.
ARGUMENT_BITS = 28

#: Width of the number of what did not fit.
OVERFLOW_BITS = ARGUMENT_BITS // 2


class Opcode(IntEnum):
    """Host to machine. The argument's meaning stands behind each."""

    SELECT = 1  #: target << 20 | index (lane, or post unit; 0 otherwise); address becomes 0
    ADDRESS = 2  #: entry address in the selected memory
    WRITE = 3  #: number of payload words that follow; addresses count up
    READ = 4  #: number of entries to read back (store and state only)
    RUN = 5  #: RUN_RESET or RUN_ANEW flag | number of steps
    IDENTIFY = 6  #: 0; answered by DATA with one word, :func:`identity`


#: RUN: start from zero state instead of the states held in the machine.
RUN_RESET = 1 << 27
#: RUN, on a machine with delta: start from the states held in the machine, but with references and
#: sums of zero, as a sequence with initial states does. RUN_RESET implies it.
RUN_ANEW = 1 << 26
RUN_STEPS_BITS = 24


class Response(IntEnum):
    """Machine to host, same header layout."""

    RESULT = 8  #: number of values that follow, one 32-bit word each, sign-extended
    DONE = 9  #: end of a run; one word follows: cycles from RUN to the last output. The argument is
    #: 0, or says what a packed store has lost values of: 1 the input, 2 + n descriptor n's outputs
    DATA = 10  #: number of payload words that follow (answer to READ and IDENTIFY)
    ERROR = 15  #: the header that was refused, its low 28 bits


class Counter(IntEnum):
    """Slots (lanes times cycles) of a cluster in the last run, by what became of them."""

    PAIR = 0  #: a non-zero weight met a non-zero activation
    STALL = 1  #: no room for a partial sum
    EMPTY = 2  #: masks without a pair, or the scan had not found the next one yet
    IDLE = 3  #: a lane waited while another one of its cluster worked
    TAIL = 4  #: all of the cluster's lanes waited


#: 16-bit entries per counter, least significant first.
COUNTER_WORDS = 4


class Kind(IntEnum):
    LINEAR = 0
    RNN = 1
    GRU = 2
    LSTM = 3

    @property
    def gates(self) -> int:
        return (1, 1, 3, 4)[self]


class Activation(IntEnum):
    IDENTITY = 0
    RELU = 1
    TANH = 2
    SIGMOID = 3


class CellFunction(IntEnum):
    """What candidates and new states go through."""

    TANH = 0
    SIGMOID = 1  #: the layer's σ
    RELU = 2
    IDENTITY = 3


def header(opcode: Opcode | Response, argument: int) -> int:
    """A packet's first word."""
    if not 0 <= argument < 1 << ARGUMENT_BITS:
        raise ConfigurationError(f"packet: argument {argument} does not fit {ARGUMENT_BITS} bits")
    return opcode << ARGUMENT_BITS | argument


def words_per_entry(config: MachineConfig, target: Target) -> int:
    """32-bit host words that carry one entry, least significant word first: whole link beats."""
    words = ceil_div(config.entry_bits(target), 32)
    return ceil_div(words, config.link_words) * config.link_words


def identity(config: MachineConfig) -> int:
    """What IDENTIFY answers: 32 bits that differ where images for one machine do not fit another.

    The CRC-32 (ISO-HDLC) of :meth:`~sparnn.hdl.machine.MachineConfig.identity_text`.
    """
    return zlib.crc32(config.identity_text().encode())
