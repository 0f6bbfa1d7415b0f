"""The ports of a post unit, of either kind."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.formats import PARAMETER_LAYOUT, PREACTIVATION_BITS
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

from .state import state_load_signature, state_read_signature
from .tags import PEEPHOLE_PROGRAM, post_program, row_sum_layout
from .totals import total_load_signature

__all__ = ["post_read_signature", "post_signature"]


def post_read_signature(config: SparseConfig) -> wiring.Signature:
    """The host reads one state, or with ``total`` a row's total: ``data`` three cycles after ``en``
    rose, for as long as it stays. Only while no layer runs."""
    if not config.delta:
        return state_read_signature(config)
    address = max(clog2(config.state_depth), clog2(config.parameter_depth))
    return wiring.Signature(
        {
            "en": Out(1),
            "total": Out(1),
            "addr": Out(unsigned(address)),
            "data": In(signed(config.read_bits)),
        }
    )


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
            "program": In(post_program(config)),
            "start": In(1),
            "fresh": In(1),
            "sums": In(stream.Signature(row_sum_layout(config))),
            "out": Out(stream.Signature(signed(PREACTIVATION_BITS))),
            "parameter_load": In(parameter_load),
            "state_load": In(state_load_signature(config)),
            "state_read": In(post_read_signature(config)),
        }
        | ({"anew": In(1), "total_load": In(total_load_signature(config))} if config.delta else {})
        | ({"wrong": Out(1)} if config.parity else {})
        | ({"peephole_program": In(PEEPHOLE_PROGRAM)} if config.peepholes else {})
    )
