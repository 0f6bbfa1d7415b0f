"""What travels with a row sum, and what is fixed while a layer runs."""

from amaranth.hdl import signed
from amaranth.lib import data

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR, GATE_FIELDS, PEEPHOLE_FIELDS

__all__ = [
    "PEEPHOLE_PROGRAM",
    "ROW_TAG",
    "post_program",
    "row_sum_layout",
    "row_total_layout",
]

#: half: 0 input, 1 hidden. gate: in the cell's gate order. last_gate: last row of this neuron.
#: hole: an empty position, which makes output 0 in the final half and uses no parameter and no
#: state entry of a neighbour; it arrives once, with last_gate. half_end: last item of this half for
#: this post unit. step_end: last item of the step, of all threads. final: this half completes
#: neurons (the hidden half, or the input half of a layer without hidden half).
ROW_TAG = data.StructLayout(
    {
        "half": 1,
        "gate": 2,
        "last_gate": 1,
        "hole": 1,
        "half_end": 1,
        "step_end": 1,
        "final": 1,
    }
)

_POST_FIELDS = (
    "kind",
    "activation",
    "wide",
    "pre_shift",
    "state_up",
    "state_shift",
    "out_shift",
    "parameter_base",
    "state_base",
    "reset_first",
    "hard_sigmoid",
    "candidate",
    "cell",
    "clip",
)

#: What a post unit reads beside :func:`post_program` on a machine with ``peepholes``.
PEEPHOLE_PROGRAM = DESCRIPTOR.layout(PEEPHOLE_FIELDS)


def post_program(config: SparseConfig) -> data.StructLayout:
    """The descriptor fields that a post unit reads; static while a layer runs."""
    return DESCRIPTOR.layout((*_POST_FIELDS, *(GATE_FIELDS if config.gate_functions else ())))


def row_sum_layout(config: SparseConfig) -> data.StructLayout:
    """One exact row sum (``config.sum_bits`` wide) and its tag."""
    return data.StructLayout({"psum": signed(config.sum_bits), "tag": ROW_TAG})


def row_total_layout(config: SparseConfig) -> data.StructLayout:
    """What is requantized of a row, ``config.total_bits`` wide, and its tag."""
    return data.StructLayout({"psum": signed(config.total_bits), "tag": ROW_TAG})
