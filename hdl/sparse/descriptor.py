"""Layer descriptors of the sparse machine, and the bits of its mask words."""

from enum import IntEnum

from sparnn.hdl.descriptor import Descriptor, Field

__all__ = ["DELTA_FIELDS", "DESCRIPTOR", "MASK_ALIGNMENT", "WEIGHT_ALIGNMENT", "MaskFlag"]


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
        "clip": Field(15, 0, 15),  # the largest argument of σ and tanh, in 2^-11
        "out_stride": Field(14, 0, 16),  # store words from one step's outputs to the next one's
    }
)
