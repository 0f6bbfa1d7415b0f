"""Streams that take turns on the dense machine: what they ask of a network and of the machine."""

from sparnn.gen.errors import SparnnError
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.network.network import IntegerNetwork

__all__ = ["check_streams", "copy_columns"]


def copy_columns(network: IntegerNetwork, config: DenseConfig, streams: int) -> int:
    """Columns per lane that the copies of x, and those of h of every stream, need."""
    parts = 1 if streams == 1 else 2 if streams == 2 else 4
    hidden = max((one.units for one in network.layers if one.has_hidden), default=0)
    read = max(one.inputs for one in network.layers)
    return max(ceil_div(read, config.bank_lanes), parts * ceil_div(hidden, config.bank_lanes))


def check_streams(network: IntegerNetwork, config: DenseConfig, streams: int) -> None:
    """Refuse streams that cannot take turns.

    Raises
    ------
    SparnnError: too many, a network that does not run forwards alone, or too few columns.
    """
    if streams == 1:
        return
    if not 1 <= streams <= config.streams:
        raise SparnnError(
            f"streams = {streams}: the machine lets up to {config.streams} take turns; raise its "
            f"streams (at most 4)"
        )
    for stage in network.stages:
        layer = network.layers[stage[-1]]
        if len(stage) > 1 or layer.reverse:
            raise SparnnError(
                f"layer {layer.name!r} is one of two that read the same input, or runs backwards, "
                f"and streams take turns in layers that run forwards alone; use streams = 1"
            )
    need = copy_columns(network, config, streams)
    if need > config.columns:
        raise SparnnError(
            f"{streams} streams need columns = {need} for their hidden states, the machine has "
            f"{config.columns}; raise columns to {1 << clog2(need)}"
        )
