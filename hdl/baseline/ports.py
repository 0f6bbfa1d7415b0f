"""Records and host words of the baseline arrays."""

from enum import IntEnum

from amaranth.hdl import signed
from amaranth.lib import data

from sparnn.hdl.common.numbers import ceil_div, clog2

from .config import GROUP, BaselineConfig

__all__ = [
    "Opcode",
    "PROGRAM",
    "PROGRAM_FIELDS",
    "Target",
    "beat_bits",
    "broadcast_layout",
    "element_load_layout",
    "load_layout",
    "nonzero_layout",
    "scan_layout",
]


class Opcode(IntEnum):
    """Host to array: bits 28-31 of a header; the argument (bits 0-27) stands behind each.

    A header, an entry and a field of the program are a beat of the link each.
    """

    SELECT = 1  #: target << 20 | group; address becomes 0
    WRITE = 2  #: number of entries that follow
    SETUP = 3  #: none; :data:`PROGRAM_FIELDS` follow
    RUN = 4  #: steps; answered by one word, the cycles from here to the last output
    READ = 5  #: first address of a vector; answered by column << 16 | value, in any order


class Target(IntEnum):
    """Memories that SELECT names. An entry of the first three has a share for each element of the
    group, the first lowest, so that loading takes a quarter of the cycles."""

    MATRIX = 0  #: words of entries: weight, then run, lowest first
    POINTER = 1  #: pointers 2a and 2a + 1
    ACTIVATION = 2  #: activations
    PARAMETER = 3  #: of the group: multiplier 16, shift 6, bias 16, as in docs/machine.md


#: What the layer is; static during a run. rows_*: activations (x) or rows and activations (h) that
#: every element has; tail_*: elements that have one more; stride_*: places of a vector. x lies from
#: 0, step after step, h from h_base: first the state before step 0, then an output per step.
#: recurrent: there is a hidden half. inputs: columns of the input half.
PROGRAM_FIELDS = {
    "inputs": 16,
    "rows_x": 12,
    "tail_x": 11,
    "stride_x": 12,
    "rows_h": 12,
    "tail_h": 11,
    "stride_h": 12,
    "h_base": 20,
    "out_shift": 6,
    "recurrent": 1,
}

PROGRAM = data.StructLayout(dict(PROGRAM_FIELDS))


def broadcast_layout(config: BaselineConfig) -> data.StructLayout:
    """An activation for every element. column: over both halves. half: 0 input, 1 hidden.

    token: no activation but the end of its half.
    """
    return data.StructLayout(
        {
            "value": signed(config.activation_bits),
            "column": config.column_bits,
            "half": 1,
            "token": 1,
        }
    )


def scan_layout(config: BaselineConfig) -> data.StructLayout:
    """Where a vector lies in every element, and how long it is. dense: zeros are sent as well."""
    return data.StructLayout({"base": 20, "rows": 12, "tail": 11, "dense": 1})


def nonzero_layout(config: BaselineConfig, number_bits: int) -> data.StructLayout:
    """An activation on its way to the centre: number ``row * lanes + element`` of its vector.

    ``element`` grows by the node's child number at each level. end: this part of the vector is
    through.
    """
    return data.StructLayout(
        {
            "value": signed(config.activation_bits),
            "element": number_bits,
            "row": config.scan_bits,
            "end": 1,
        }
    )


def beat_bits(config: BaselineConfig) -> int:
    """Of the host's link, whole words: the widest entry."""
    share = max(config.word_bits, 2 * config.cursor_bits, config.activation_bits)
    return 32 * ceil_div(max(GROUP * share, 38), 32)


def load_layout(config: BaselineConfig) -> data.StructLayout:
    """The host's load bus."""
    return data.StructLayout(
        {
            "target": 2,
            "en": 1,
            "index": max(1, clog2(config.groups)),
            "addr": 20,
            "data": beat_bits(config),
        }
    )


def element_load_layout(config: BaselineConfig) -> data.StructLayout:
    """An element's share of it: what is written into which of its memories."""
    return data.StructLayout(
        {
            "matrix_en": 1,
            "pointer_en": 1,
            "activation_en": 1,
            "addr": 20,
            "word": config.word_bits,
            "pair": 2 * config.cursor_bits,
            "value": signed(config.activation_bits),
        }
    )


assert GROUP == 4  # the leaves of the tree number their elements with two bits
