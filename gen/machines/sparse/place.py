"""Places an integer network in the sparse machine: layout, packing, store."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparnn.gen.machines.shared.fit import enlarge
from sparnn.gen.machines.shared.layers import cell_options
from sparnn.gen.machines.shared.placement import FITTED_STEPS, Outputs, wanted_outputs
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerNetwork

from .layout import NetworkLayout, lay_out
from .pack import PackedLoop, pack_network
from .packed_store import ValueRows, shortest_vector
from .program import SparsePlacement, memory_needs
from .store import allocate, read_stages

__all__ = ["least_machine", "place", "with_outputs"]


def place(
    network: IntegerNetwork,
    config: SparseConfig,
    outputs: Outputs = (),
    *,
    fit: bool = False,
    steps: int = FITTED_STEPS,
    layout: NetworkLayout | None = None,
    v: Sequence[int] | None = None,
    balance: bool = True,
    activity: Sequence[BoolArray] | None = None,
) -> SparsePlacement:
    """Lay out and pack a network.

    Parameters
    ----------
    outputs: ``layer`` and ``what`` of each wanted output; the last layer's sequence by default.
    fit: give the machine the cells, and enlarge its memories to powers of two, that the network
        needs with so many ``steps`` in a run. Nothing shrinks, but ``vector_words`` of a packed
        store, to the shortest vector.
    layout: instead of a choice, as of v and balance
        (:func:`~sparnn.gen.machines.sparse.layout.lay_out`).
    activity: which activations are not zero in sample steps; it also says how full a packed store
        gets (:class:`~sparnn.gen.machines.sparse.packed_store.ValueRows`).

    Raises
    ------
    SparnnError: V is impossible, or outputs are wanted that cannot be given. What the machine
        lacks is refused where the program is made.
    ConfigurationError: with ``fit``, a need is beyond what any machine may have.
    """
    if fit:
        config = enlarge(config, cell_options(network, config))
    if layout is None:
        layout = lay_out(
            network, config, v=v, balance=balance, activity=activity, limit_columns=not fit
        )
    packed = pack_network(network, layout, config)
    placed = _allocated(network, config, outputs, layout, activity, packed)
    if not fit:
        return placed
    if config.packed_store:
        least = 1 << shortest_vector(network, config, placed.read).bit_length() - 1
        config = replace(config, vector_words=min(config.vector_words, least))
    config = enlarge(config, memory_needs(placed, steps))
    return replace(placed, config=config, store=placed.store.moved(placed.config, config))


def least_machine(network: IntegerNetwork, config: SparseConfig) -> SparseConfig:
    """The machine with the cells that a network needs, and with room for as many weights and masks
    as its lanes have at the least, however it is placed: as if all had the same."""
    config = enlarge(config, cell_options(network, config))
    if config.stream_bits:
        return config
    halves = [half for one in network.layers for half in (one.w_x, one.w_h) if half is not None]
    slots = config.lanes * config.width
    weights = sum(int(np.count_nonzero(half)) for half in halves)
    needs = {"weight_depth": ceil_div(weights, slots)}
    if config.masks:
        needs["mask_depth"] = ceil_div(sum(half.size for half in halves), slots * config.chunk)
    return enlarge(config, needs)


def with_outputs(
    placed: SparsePlacement, outputs: Outputs, activity: Sequence[BoolArray] | None = None
) -> SparsePlacement:
    """The same layout and packing with other outputs."""
    return replace(
        _allocated(placed.network, placed.config, outputs, placed.layout, activity, placed.packed),
        unfolded=placed.unfolded,
    )


def _allocated(
    network: IntegerNetwork,
    config: SparseConfig,
    outputs: Outputs,
    layout: NetworkLayout,
    activity: Sequence[BoolArray] | None,
    packed: tuple[PackedLoop, ...],
) -> SparsePlacement:
    wanted, single = wanted_outputs(network, outputs), tuple(single_steps(network))
    read = read_stages(network, wanted)
    store = allocate(network, config, single, read)
    rows = None
    if config.packed_store:
        rows = ValueRows(network, layout, config, store, read, activity)
    return SparsePlacement(
        network=network,
        config=config,
        wanted=wanted,
        single=single,
        layout=layout,
        packed=packed,
        read=read,
        store=store,
        rows=rows,
    )
