"""Layer descriptors of the sparse machine, and the bits of its mask words."""

from enum import IntEnum

from sparnn.hdl.descriptor import Descriptor, Field

__all__ = [
    "BASE_FIELDS",
    "DELTA_FIELDS",
    "DESCRIPTOR",
    "GATE_FIELDS",
    "MASK_ALIGNMENT",
    "PEEPHOLE_FIELDS",
    "RING_FIELDS",
    "WEIGHT_ALIGNMENT",
    "MaskFlag",
]


class MaskFlag(IntEnum):
    """Bits of a mask word above its ``chunk`` mask bits."""

    ROW_END = 0  #: the last chunk of its row: a partial sum is due
    HALF_END = 1  #: the last word of an input or hidden half
    LOOP_END = 2  #: of the last half of a step: the weights start again
    JUMP = 3  #: the third last word of the run: two more follow, then the first one


#: What a layer's ``mask_base`` and ``weight_base`` are multiples of: a lane's address is loaded by
#: clearing its low bits, which takes no logic.
MASK_ALIGNMENT, WEIGHT_ALIGNMENT = 32, 128


#: Fields that only a machine with ``delta`` reads.
DELTA_FIELDS = ("delta_x", "delta_h", "reference_base")

#: Fields that only a machine with ``peepholes`` reads.
PEEPHOLE_FIELDS = ("peephole", "cell_shift")

#: Fields that only a machine with ``gate_functions`` reads.
GATE_FIELDS = ("gate", "gate_up")

#: Fields that lanes read whose weights come from external memory, and those that the others read
#: in their place.
RING_FIELDS = ("x_chunks", "h_chunks", "last_half", "held", "rewind")
BASE_FIELDS = ("mask_base", "weight_base")

#: ``*_last`` hold a count minus one; bases count entries of their memories.
DESCRIPTOR = Descriptor(
    {
        "v_log2": Field(0, 4, 4),
        "store_out": Field(0, 8, 1),  # write the output sequence to the store
        "reverse": Field(0, 15, 1),  # from the last step to the first; one step: the last one
        "add_stored": Field(0, 16, 1),  # add what lies at the output's place in the store
        "sum_shift": Field(0, 17, 1),  # halve that sum
        "rotate": Field(
            0, 18, 1
        ),  # halves deal rows and columns on from where the last one stopped
        "paired": Field(0, 19, 1),  # the next descriptor is the other thread of this loop
        "store_side": Field(0, 20, 1),  # of a packed store, the log that outputs are appended to
        "store_anew": Field(0, 21, 1),  # it begins anew
        "tail": Field(1, 16, 16),  # units mod post_units
        "mask_base": Field(6, 0, 20),
        # Of a machine with delta: thresholds of the two halves, and where their references lie.
        "delta_x": Field(8, 0, 16),
        "delta_h": Field(8, 16, 16),
        "reference_base": Field(9, 0, 20),
        # Of a machine whose weights come from external memory.
        "x_chunks": Field(10, 0, 11),  # the last chunk of a row of the input half
        "h_chunks": Field(10, 11, 11),  # of the hidden half
        "last_half": Field(10, 22, 2),  # of the loop, as {thread, half}
        "held": Field(10, 24, 1),  # the rings keep the layer until it is done
        "rewind": Field(10, 25, 1),  # it lies at the beginning of the rings
        "parameter_base": Field(11, 0, 20),
        "state_base": Field(12, 0, 16),  # first cell state in each post unit
        "pre_shift": Field(13, 0, 6, signed=True),  # f_pre - 12
        "state_up": Field(13, 6, 4),  # 15 - f_state
        "state_shift": Field(13, 10, 6, signed=True),  # f_state - 12
        "out_shift": Field(13, 16, 6),  # n of out() in docs/numerics.md
        "reset_first": Field(
            13, 22, 1
        ),  # a GRU that resets before the product: its gates (kind GRU,
        # whose third row is not used), then its candidate (kind RNN), which share state_base
        "hard_sigmoid": Field(13, 23, 1),  # σ is the hard one
        "candidate": Field(13, 24, 2),  # what g or n goes through, a CellFunction
        "cell": Field(13, 26, 2),  # what an LSTM's new state goes through
        # Of a machine with gate_functions: what i, f and o of an LSTM go through, a CellFunction,
        # and 15 - the format of what comes of it.
        "gate": Field(13, 28, 2),
        "gate_up": Field(15, 21, 4),
        "clip": Field(15, 0, 15),  # the largest argument of σ and tanh, in 2^-11
        "peephole": Field(15, 15, 1),  # an LSTM with peepholes
        "cell_shift": Field(15, 16, 5),  # n of their weights in docs/numerics.md
        "out_stride": Field(14, 0, 16),  # store words from one step's outputs to the next one's
    }
)
