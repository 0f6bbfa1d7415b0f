"""The ports of a post unit, of either kind."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PARAMETER_LAYOUT, PREACTIVATION_BITS
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

from .state import state_load_signature, state_read_signature
from .tags import PEEPHOLE_PROGRAM, POST_PROGRAM, row_sum_layout

__all__ = ["post_signature"]


def post_signature(config: SparseConfig) -> wiring.Signature:
    """Explained in :class:`~sparnn.hdl.sparse.post.unit.PostUnit`."""
    parameter_load = wiring.Signature(
        {
            "en": Out(1),
            "addr": Out(unsigned(clog2(config.parameter_depth))),
            "data": Out(PARAMETER_LAYOUT),
        }
    )
    return wiring.Signature(
        {
            "program": In(POST_PROGRAM),
            "start": In(1),
            "fresh": In(1),
            "sums": In(stream.Signature(row_sum_layout(config))),
            "out": Out(stream.Signature(signed(PREACTIVATION_BITS))),
            "parameter_load": In(parameter_load),
            "state_load": In(state_load_signature(config)),
            "state_read": In(state_read_signature(config)),
        }
        | ({"anew": In(1)} if config.delta else {})
        | ({"wrong": Out(1)} if config.parity else {})
        | ({"peephole_program": In(PEEPHOLE_PROGRAM)} if config.peepholes else {})
    )
