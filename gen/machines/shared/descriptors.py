"""The descriptor fields that mean the same on every machine, and the steps of a layer walk."""

from collections.abc import Set

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.host.protocol import Activation, Kind
from sparnn.sim.network.network import STRAIGHT, WITH_STATE, IntegerLayer

from .layers import KINDS, check_single
from .placement import Placement

__all__ = ["common_fields", "is_seen", "reads_state"]


def common_fields(placement: Placement, number: int, index: int, read: Set[int]) -> dict[str, int]:
    """The fields of layer ``index`` of stage ``number`` that follow from the network alone.

    Parameters
    ----------
    read: stages whose outputs the host reads from the store after the run.

    Raises
    ------
    SparnnError: an output is wanted, or an input read, that a layer of one step does not have.
    """
    network, single = placement.network, placement.single
    layer = network.layers[index]
    what = placement.wanted[number]  # outputs are named by the last layer of their stage
    check_single(network, single, index, what)
    emitted = what & {"last", "state_h"} if number in read else what - {"state_c"}
    if not is_seen(layer):
        emitted = frozenset()
    return _formats(layer) | {
        "emit": int(bool(emitted)),
        "emit_last": int(bool(emitted) and "sequence" not in emitted),
        "single_step": int(single[index]),
        "last_layer": int(index == len(network.layers) - 1),
        "reverse": int(layer.reverse and not single[index]),
        "add_stored": int(layer.join == "sum"),
        "sum_shift": layer.sum_shift,
        "units": layer.units,
        "out_words": ceil_div(layer.units, placement.config.post_units),
    }


def is_seen(layer: IntegerLayer) -> bool:
    """Whether anybody sees the layer's output: that of gates is seen by their candidate alone."""
    return layer.kind != "gru_gates"


def reads_state(placement: Placement, number: int, index: int) -> bool:
    """Whether the host reads a layer's cell state after the run."""
    layer = placement.network.layers[index]
    return (
        "state_c" in placement.wanted[number] and layer.kind in WITH_STATE and layer.join != "reset"
    )


def _formats(layer: IntegerLayer) -> dict[str, int]:
    """The fields that follow from a layer's kind and formats (docs/numerics.md)."""
    kind = KINDS[layer.kind]
    reset_first = layer.kind in ("gru_gates", "gru_candidate")
    hard = layer.activation == "hard_sigmoid"
    activation = Activation.IDENTITY
    if layer.kind in ("rnn", "linear"):
        activation = Activation.SIGMOID if hard else Activation[layer.activation.upper()]
    if layer.kind == "gru_candidate":
        activation = Activation.TANH
    f_gate = layer.f_pre if layer.gate in STRAIGHT else 15
    f_candidate = layer.f_pre if layer.candidate in STRAIGHT else 15
    if kind == Kind.LSTM:
        out_shift = f_gate + (layer.f_state if layer.cell in STRAIGHT else 15) - layer.f_out
    elif kind == Kind.GRU or reset_first:
        out_shift = 15 + layer.f_state - layer.f_out
    elif activation in (Activation.TANH, Activation.SIGMOID):
        out_shift = 30 - layer.f_out
    else:
        out_shift = 15 + layer.f_pre - layer.f_out
    return {
        "kind": kind,
        "activation": activation,
        "state_up": f_candidate - layer.f_state,
        "out_shift": out_shift,
        "wide": int(layer.kind == "linear" and layer.out_bits == 16),
        "reset_first": int(reset_first),
        "hard_sigmoid": int(hard),
    }
