"""Places an integer network in the dense machine: tiles, packing, store."""

from collections.abc import Sequence, Set
from dataclasses import fields, replace

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.fit import enlarge
from sparnn.gen.machines.shared.layers import cell_options, check_machine
from sparnn.gen.machines.shared.placement import FITTED_STEPS, Outputs, wanted_outputs
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.host.plan import TilePlan
from sparnn.sim.network.network import IntegerNetwork

from .pack import PackedLanes, packed_lanes, worked_layer
from .program import DensePlacement, memory_needs
from .store import allocate, input_order, paired_layers
from .streams import check_streams, copy_columns
from .tiles import DEFAULTS, Exploration, explore

__all__ = ["explore_network", "place"]

#: Fields of IntegerLayer that this machine computes with; any other must have its default.
_COMPUTED = {
    *("name", "kind", "activation", "w_x", "w_h", "mult_x", "shift_x", "bias_x"),
    *("mult_h", "shift_h", "bias_h", "f_x", "f_pre", "f_state", "f_out", "out_bits"),
    *("last_only", "last_step", "reverse", "join", "initial_h", "initial_c"),
    *("w_c", "cell_shift", "sum_shift"),
}


def place(
    network: IntegerNetwork,
    config: DenseConfig,
    outputs: Outputs = (),
    *,
    fit: bool = False,
    steps: int = FITTED_STEPS,
    plans: Sequence[TilePlan] | None = None,
    interleave: bool = True,
    streams: int = 1,
    exploration: Exploration = DEFAULTS,
) -> DensePlacement:
    """Choose tiles, pack weights, place sequences.

    Parameters
    ----------
    outputs: ``layer`` and ``what`` of each wanted output; the last layer's sequence by default.
    fit: give the machine the cells, and enlarge its memories, to what the network needs with so
        many ``steps`` in a run.
    plans: of the layers, instead of the explorer's choice.
    interleave: the directions of a layer take turns, where that is possible.
    streams: sequences that take turns.
    exploration: what is asked of the explorer.

    Raises
    ------
    SparnnError: the network does not fit, or the machine cannot compute it.
    """
    if fit:
        added = any(layer.join == "sum" for layer in network.layers)
        options = cell_options(network, config) | {"streams": streams, "sums": int(added)}
        config = replace(
            config, **{name: max(getattr(config, name), need) for name, need in options.items()}
        )
    _check(network, config)
    if fit:
        config = enlarge(config, {"columns": _columns(network, config, streams)})
    check_streams(network, config, streams)
    wanted, single = wanted_outputs(network, outputs), tuple(single_steps(network))
    pairs = paired_layers(network, config, wanted, single) if interleave else set()
    chosen = plans or explore_network(network, config, pairs, exploration, streams=streams)
    placed = DensePlacement(
        network=network,
        config=config,
        wanted=wanted,
        single=single,
        plans=tuple(chosen),
        pairs=pairs,
        lanes=_packed(network, config, chosen),
        streams=streams,
        store=allocate(network, config, wanted, single, streams),
    )
    needs = memory_needs(placed, steps if fit else 1)
    if fit:
        return replace(placed, config=enlarge(config, needs))
    for name, need in needs.items():
        if need > getattr(config, name):
            raise SparnnError(
                f"the network needs {name} = {need}, the machine has {getattr(config, name)}; "
                f"raise {name} to {1 << clog2(need)}"
            )
    return placed


def _columns(network: IntegerNetwork, config: DenseConfig, streams: int) -> int:
    """Columns of one half that a lane has to hold where V is least."""
    widest = max(max(one.units, one.inputs) for one in network.layers)
    stages = range(len(network.stages))
    widest = max(widest, *(len(input_order(network, config, number)) for number in stages))
    return max(ceil_div(widest, config.bank_lanes), copy_columns(network, config, streams))


def _packed(
    network: IntegerNetwork, config: DenseConfig, plans: Sequence[TilePlan]
) -> tuple[PackedLanes, ...]:
    packed: list[PackedLanes] = []
    for number, stage in enumerate(network.stages):
        places = input_order(network, config, number)
        packed += [
            packed_lanes(config, worked_layer(network.layers[index]), plans[index], places)
            for index in stage
        ]
    return tuple(packed)


def explore_network(
    network: IntegerNetwork,
    config: DenseConfig,
    pairs: Set[int] = frozenset(),
    options: Exploration = DEFAULTS,
    *,
    streams: int = 1,
) -> list[TilePlan]:
    """The plan of each layer. Layers that take turns have the same one.

    Parameters
    ----------
    pairs: the first layers of those.
    streams: sequences that take turns.
    """
    plans: list[TilePlan] = []
    for number, stage in enumerate(network.stages):
        inputs = len(input_order(network, config, number))
        for index in stage:
            if index - 1 in pairs:
                plans.append(plans[-1])
                continue
            layer = worked_layer(network.layers[index])
            plans.append(
                explore(
                    config,
                    layer,
                    options,
                    inputs=inputs,
                    paired=index in pairs,
                    streams=streams,
                )
            )
    return plans


def _check(network: IntegerNetwork, config: DenseConfig) -> None:
    check_machine(network, config)
    if any(layer.join == "sum" for layer in network.layers) and not config.sums:
        raise SparnnError(
            "the network adds two directions, for which the machine lacks the second read port of "
            "the store: it has sums = 0; set sums = 1"
        )
    for layer in network.layers:
        for field in fields(layer):
            value = getattr(layer, field.name)
            if field.name not in _COMPUTED and value != field.default:
                raise SparnnError(
                    f"layer {layer.name!r} has {field.name} = {value!r}, which the dense machine "
                    f"does not compute; compile for a sparse machine, such as --config m64"
                )
