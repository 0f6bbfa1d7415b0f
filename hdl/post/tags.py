"""What travels with a row sum, and what is fixed while a layer runs."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from sparnn.hdl.config import MULTIPLIER_BITS, PREACTIVATION_BITS, SHIFT_BITS, MachineConfig
from sparnn.hdl.protocol import DESCRIPTOR_FIELDS

__all__ = ["PARAMETER_LAYOUT", "POST_PROGRAM", "ROW_TAG", "row_sum_layout"]

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

#: One requantization entry, from the least significant bit (docs/machine.md): ``mult`` is
#: normalized, or 0 with the shift ``ZERO_SHIFT``.
PARAMETER_LAYOUT = data.StructLayout(
    {
        "mult": unsigned(MULTIPLIER_BITS),
        "shift": unsigned(SHIFT_BITS),
        "bias": signed(PREACTIVATION_BITS),
    }
)

#: The descriptor fields that a post unit reads; static while a layer runs.
POST_PROGRAM = data.StructLayout(
    {
        name: signed(width) if is_signed else unsigned(width)
        for name in (
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
        )
        for _, _, width, is_signed in (DESCRIPTOR_FIELDS[name],)
    }
)


def row_sum_layout(config: MachineConfig) -> data.StructLayout:
    """One exact row sum (``config.sum_bits`` wide) and its tag."""
    return data.StructLayout({"psum": signed(config.sum_bits), "tag": ROW_TAG})
