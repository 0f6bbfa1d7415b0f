"""What the machine and its host say to each other: packets, memories and layer descriptors.

Pure constants and integer packing, so that the compiler, the simulation driver, the C header and
the hardware all take them from here. The prose is in docs/machine.md.
"""

import zlib
from collections.abc import Mapping
from dataclasses import asdict
from enum import IntEnum

from .config import MULTIPLIER_BITS, PREACTIVATION_BITS, SHIFT_BITS, MachineConfig
from .errors import ConfigurationError
from .tile.config import TileConfig
from .tile.descriptor import TILE_FIELDS

__all__ = [
    "ARGUMENT_BITS",
    "COUNTER_WORDS",
    "DESCRIPTOR_FIELDS",
    "DESCRIPTOR_WORDS",
    "Activation",
    "Counter",
    "Kind",
    "MASK_ALIGNMENT",
    "MaskFlag",
    "Opcode",
    "Response",
    "RUN_RESET",
    "RUN_STEPS_BITS",
    "Target",
    "WEIGHT_ALIGNMENT",
    "decode_descriptor",
    "encode_descriptor",
    "entry_bits",
    "header",
    "identity",
    "words_per_entry",
]

#: A packet's first word: opcode in the top four bits, argument below.
ARGUMENT_BITS = 28


class Opcode(IntEnum):
    """Host to machine. The argument's meaning stands behind each."""

    SELECT = 1  #: target << 20 | index (lane, or post unit; 0 otherwise); address becomes 0
    ADDRESS = 2  #: entry address in the selected memory
    WRITE = 3  #: number of payload words that follow; addresses count up
    READ = 4  #: number of entries to read back (store and state only)
    RUN = 5  #: RUN_RESET flag | number of steps
    IDENTIFY = 6  #: 0; answered by DATA with one word, :func:`identity`


#: RUN: start from zero state instead of the states held in the machine.
RUN_RESET = 1 << 27
RUN_STEPS_BITS = 24


class Response(IntEnum):
    """Machine to host, same header layout."""

    RESULT = 8  #: number of values that follow, one 32-bit word each, sign-extended
    DONE = 9  #: end of a run; one word follows: cycles from RUN to the last output. The argument is
    #: 0, or says what a packed store has lost values of: 1 the input, 2 + n descriptor n's outputs
    DATA = 10  #: number of payload words that follow (answer to READ and IDENTIFY)
    ERROR = 15  #: the header that was refused, its low 28 bits


class Target(IntEnum):
    """Memories that SELECT names."""

    PROGRAM = 0  #: 32-bit descriptor words
    MASK = 1  #: per lane: chunk bits, then those of MaskFlag, then the row's factors, if any
    WEIGHT = 2  #: per lane: packed non-zero weights
    PARAMETER = 3  #: per post unit: multiplier, shift, bias of one row and half, LSB first
    STATE = 4  #: per post unit: cell state
    STORE = 5  #: words of post_units activations
    COUNTER = 6  #: per post unit, to read only, on a machine with counters: see Counter


class MaskFlag(IntEnum):
    """Bits of a mask word above its ``chunk`` mask bits."""

    ROW_END = 0  #: the last chunk of its row: a partial sum is due
    HALF_END = 1  #: the last word of an input or hidden half
    LOOP_END = 2  #: of the last half of a step: the weights start again
    JUMP = 3  #: the third last word of the run: two more follow, then the first one


#: What a layer's ``mask_base`` and ``weight_base`` are multiples of: a lane's address is loaded by
#: clearing its low bits, which takes no logic.
MASK_ALIGNMENT, WEIGHT_ALIGNMENT = 32, 128


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


#: Words per descriptor, a power of two; unused words are zero.
DESCRIPTOR_WORDS = 16

#: name -> (word, low bit, width, signed). ``*_last`` hold a count minus one.
DESCRIPTOR_FIELDS: Mapping[str, tuple[int, int, int, bool]] = {
    "kind": (0, 0, 2, False),
    "activation": (0, 2, 2, False),
    "v_log2": (0, 4, 4, False),
    "store_out": (0, 8, 1, False),  # write the output sequence to the store
    "emit": (0, 9, 1, False),  # send outputs to the host
    "emit_last": (0, 10, 1, False),  # with emit: the last step only
    "single_step": (0, 11, 1, False),  # one step, whatever RUN says
    "unfolded": (0, 12, 1, False),  # the next step's input half may run under this step's tail
    "wide": (0, 13, 1, False),  # outputs saturate at 16 bits instead of activation_bits
    "last_layer": (0, 14, 1, False),
    "reverse": (0, 15, 1, False),  # from the last step to the first; one step: the last one
    "add_stored": (0, 16, 1, False),  # add what lies at the output's place in the store
    "sum_shift": (0, 17, 1, False),  # halve that sum
    "rotate": (0, 18, 1, False),  # halves deal rows and columns on from where the last one stopped
    "paired": (0, 19, 1, False),  # the next descriptor is the other thread of this loop
    "store_side": (0, 20, 1, False),  # of a packed store, the log that outputs are appended to
    "store_anew": (0, 21, 1, False),  # it begins anew
    "units": (1, 0, 16, False),
    "tail": (1, 16, 16, False),  # units mod post_units
    "in_words": (2, 0, 16, False),  # broadcast words of one input step
    "out_words": (2, 16, 16, False),
    "in_base": (3, 0, 20, False),
    "out_base": (4, 0, 20, False),
    "hidden_base": (5, 0, 20, False),  # store address of the hidden state kept between runs
    "mask_base": (6, 0, 20, False),
    "weight_base": (7, 0, 20, False),
    "parameter_base": (11, 0, 20, False),
    "state_base": (12, 0, 16, False),  # first cell state in each post unit
    "pre_shift": (13, 0, 6, True),  # f_pre - 12
    "state_up": (13, 6, 4, False),  # 15 - f_state
    "state_shift": (13, 10, 6, True),  # f_state - 12
    "out_shift": (13, 16, 6, False),  # n of out() in docs/numerics.md
    "reset_first": (13, 22, 1, False),  # a GRU that resets before the product: its gates (kind GRU,
    # whose third row is not used), then its candidate (kind RNN), which share state_base
    "hard_sigmoid": (13, 23, 1, False),  # σ is the hard one
    "out_stride": (14, 0, 16, False),  # store words from one step's outputs to the next one's
}


def encode_descriptor(fields: Mapping[str, int]) -> list[int]:
    """The descriptor's 32-bit words. Fields not named are zero.

    Raises ConfigurationError for an unknown field or a value that does not fit its width.
    """
    words = [0] * DESCRIPTOR_WORDS
    for name, value in fields.items():
        if name not in DESCRIPTOR_FIELDS:
            raise ConfigurationError(f"descriptor: unknown field {name!r}")
        word, low, width, signed = DESCRIPTOR_FIELDS[name]
        least, most = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
        if not least <= value <= most:
            raise ConfigurationError(
                f"descriptor: {name} = {value} is outside {least} to {most}; the layer is too "
                f"large for this field"
            )
        words[word] |= (value & (1 << width) - 1) << low
    return words


def decode_descriptor(words: list[int]) -> dict[str, int]:
    """The inverse of :func:`encode_descriptor`, every field present."""
    fields = {}
    for name, (word, low, width, signed) in DESCRIPTOR_FIELDS.items():
        value = words[word] >> low & (1 << width) - 1
        if signed and value >> width - 1:
            value -= 1 << width
        fields[name] = value
    return fields


def header(opcode: Opcode | Response, argument: int) -> int:
    """A packet's first word."""
    if not 0 <= argument < 1 << ARGUMENT_BITS:
        raise ConfigurationError(f"packet: argument {argument} does not fit {ARGUMENT_BITS} bits")
    return opcode << ARGUMENT_BITS | argument


def entry_bits(config: MachineConfig | TileConfig, target: Target) -> int:
    """Width of one entry of a memory."""
    return {
        Target.PROGRAM: 32,
        Target.MASK: config.mask_entry_bits,
        Target.WEIGHT: config.weight_entry_bits,
        Target.PARAMETER: MULTIPLIER_BITS + SHIFT_BITS + PREACTIVATION_BITS,
        Target.STATE: PREACTIVATION_BITS,
        Target.STORE: config.store_entry_bits,
        Target.COUNTER: PREACTIVATION_BITS,
    }[target]


def words_per_entry(config: MachineConfig | TileConfig, target: Target) -> int:
    """32-bit host words that carry one entry, least significant word first: whole link beats."""
    words = -(-entry_bits(config, target) // 32)
    return -(-words // config.link_words) * config.link_words


def identity(config: MachineConfig | TileConfig) -> int:
    """What IDENTIFY answers: 32 bits that differ where images for one machine do not fit another.

    The CRC-32 (ISO-HDLC) of the parameters and of the layouts of descriptor and entries, as text.
    """
    parts = [f"{name}={value}" for name, value in sorted(asdict(config).items())]
    layout = TILE_FIELDS if isinstance(config, TileConfig) else DESCRIPTOR_FIELDS
    parts += [f"{name}={field}" for name, field in layout.items()]
    if isinstance(config, MachineConfig):
        parts.append("multipliers=normalized")  # in entries of parameters; once they were not
    return zlib.crc32(";".join(parts).encode())
