"""Design-time parameters of the sparse machine, and their limits."""

from dataclasses import dataclass
from typing import ClassVar

from sparnn.hdl.machine import MachineConfig

from .descriptor import DESCRIPTOR

__all__ = ["SparseParameters"]


@dataclass(frozen=True, kw_only=True)
class SparseParameters(MachineConfig):
    """What a sparse machine is made from.

    Parameters
    ----------
    lanes: lanes N, 1-1024, each with a front end of its own; a multiple of ``post_units``.
    width: rows K that a lane works on at once, a block: as many multipliers behind one front end,
        and one mask for all of them, 1-16, a power of two, at most ``queue_depth``.
    masks: 1 has a mask for the weights of each block of rows; 0 has none, and every column of a row
        is a weight, which takes no memory of masks.
    post_units: clusters P, each with N / P lanes and one post unit; a power of two. Also the number
        of activations that one broadcast word carries.
    max_v: largest number of lanes that may split the columns of a row; a power of two that divides
        the lanes of a cluster.
    chunk: mask bits C that a lane reads at once; a power of two, 8-256, a multiple of ``sub_chunk``
        and of ``post_units``.
    sub_chunk: mask bits that the per-pair logic sees; a power of two, 4-32.
    weight_bits, activation_bits: 4-16 and 8-16.
    queue_depth: partial sums that a lane may hold, 2-64, rounded up to a power of two. With a
        ``width`` above 1 whole blocks of rows claim their places.
    columns: largest number of columns of one half that one lane holds, a multiple of ``chunk``.
    mask_depth: mask words per lane; of no meaning without ``masks``.
    weight_depth: words of ``width`` weights per lane: those of the columns in a block's mask.
    lut_memory: memories of a post unit, and activation masks of a lane, of at most so many words
        are asked to be LUTs instead of block RAM, 0-1024; above 0 the table of tanh is too. Only
        where LUTs can be memory (not iCE40).
    rows: largest number of rows (gate rows of one half of one layer) per post unit.
    parameter_depth: requantization entries per post unit, over all layers and both halves.
    state_depth: cell states per post unit, over all layers.
    store_depth: words of ``post_units`` activations in the sequence store.
    packed_store: 1 keeps of the store's sequences masks and non-zero values only; ``store_depth``
        is then a power of two.
    value_rows: rows of ``post_units`` values that a packed store has room for; ``dense_rows``: the
        first of them, which hold words whole: the states between runs, outputs of a single step.
    vector_words: words that a vector in a packed store has at least, a power of two; what it may
        cost to find a vector's values grows as it shrinks.
    program_depth: layer descriptors.
    threads: layers that the lanes may work on in turn, step by step, 1-2.
    delta: 1 sends the lanes differences from what was sent last and keeps the sums of rows
        (docs/numerics.md, "Deltas"); 0 sends activations as they are. Needs ``activation_bits`` of
        15 at most and ``compact`` of 0.
    reference_depth: with ``delta``, words of ``post_units`` references: of the inputs and, unless
        it is linear, the hidden state of each layer.
    sharing: 1 lets a lane without work take a neighbour's of the same row, for which each holds the
        other's weights and activations as well; needs ``max_v`` of 2 or more. 0 does not.
    counters: 1 counts what the lanes do with each cycle, for the host to read; 0 does not.
    hard_sigmoid: 1 has the hard σ beside σ and tanh; 0 refuses it.
    reset_first: 1 has the cells of GRUs that reset before the product; 0 refuses them.
    cell_functions: 1 has σ, ReLU and identity beside tanh behind the candidates of GRUs and LSTMs
        and the states of LSTMs; 0 refuses them.
    gate_functions: 1 has tanh and ReLU beside σ behind an LSTM's i, f and o, for which it
        needs ``cell_functions``; 0 refuses them.
    clip: 1 clips what σ and tanh read, where a layer says so; 0 refuses it.
    peepholes: 1 has what LSTMs with peepholes need; 0 refuses them.
    backwards: 1 has what layers that run from the last step to the first need, and sums of two
        layers; 0 refuses them. ``threads`` of 2 need it.
    compact: 1 has a post unit that works on a row at a time (docs/post.md, "Serial"), and no
        registers that only shorten the wires of large arrays: for few lanes in small FPGAs at low
        clocks. Needs ``post_units`` of 1, and ``reset_first``, ``cell_functions``, ``clip`` and
        ``peepholes`` of 0.
    split_scales: 1 scales positive and negative weights of a row apart (MASR), by factors of 1 to 3
        beside its masks; 0 has one scale for both.
    stream_bits: bits of a word of external memory, 32-512, from which the machine reads masks and
        weights by itself: the lanes' memories are rings that are refilled while it runs, and
        ``mask_depth`` and ``weight_depth`` their sizes, powers of two. 0: the host loads them.
    parity: 1 gives each word of the memories of weights, masks and cell states a bit of parity, and
        the machine a port that tells of words that do not match theirs; 0 does not. Free where
        words fill nine-bit bytes of block RAM (weights of 8 bits, states; masks of ``chunk`` + 4
        bits are one bit too wide for that at a ``chunk`` of 32). Not with ``large_memory`` and
        ``compact``.
    large_memory: a lane's memories of weights and of masks that have so many entries or more are of
        one port and without initial values, as large memories are (SPRAM of iCE40 UP); 0: none.
    bank_bytes: a lane's memories of weights and of masks are banks of at most so many bytes, 256 or
        more, a power of two of them, of which one is read at a time, which saves energy in a chip;
        0: they are whole. Not with ``large_memory``.
    sliced_copy: 1 has in a lane a memory for each of the ``post_units`` activations of a word of
        its copy, of which a pair reads one; 0 has one memory, of which a pair reads a word.
    """

    MACHINE: ClassVar = "sparse"
    DESCRIPTOR: ClassVar = DESCRIPTOR
    POWERS: ClassVar = ("width", "post_units", "max_v", "chunk", "sub_chunk")
    RANGES: ClassVar = {
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
        "columns": (8, 1 << 14),
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
        "delta": (0, 1),
        "reference_depth": (2, 1 << 20),
        "sharing": (0, 1),
        "counters": (0, 1),
        "hard_sigmoid": (0, 1),
        "reset_first": (0, 1),
        "cell_functions": (0, 1),
        "gate_functions": (0, 1),
        "clip": (0, 1),
        "peepholes": (0, 1),
        "split_scales": (0, 1),
        "backwards": (0, 1),
        "compact": (0, 1),
        "stream_bits": (0, 512),
        "parity": (0, 1),
        "large_memory": (0, 1 << 20),
        "bank_bytes": (0, 1 << 16),
        "sliced_copy": (0, 1),
    }

    lanes: int = 8
    width: int = 1
    masks: int = 1
    post_units: int = 1
    max_v: int = 8
    chunk: int = 32
    sub_chunk: int = 8
    weight_bits: int = 8
    activation_bits: int = 8
    queue_depth: int = 8
    columns: int = 512
    mask_depth: int = 1024
    weight_depth: int = 8192
    lut_memory: int = 0
    rows: int = 1024
    parameter_depth: int = 4096
    state_depth: int = 512
    store_depth: int = 4096
    packed_store: int = 0
    value_rows: int = 2048
    dense_rows: int = 64
    vector_words: int = 8
    program_depth: int = 16
    threads: int = 1
    delta: int = 0
    reference_depth: int = 512
    sharing: int = 0
    counters: int = 0
    hard_sigmoid: int = 0
    reset_first: int = 0
    cell_functions: int = 0
    gate_functions: int = 0
    clip: int = 0
    peepholes: int = 0
    split_scales: int = 0
    backwards: int = 1
    compact: int = 0
    stream_bits: int = 0
    parity: int = 0
    large_memory: int = 0
    bank_bytes: int = 0
    sliced_copy: int = 0
