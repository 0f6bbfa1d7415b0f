"""What the programs of both machines have in common: cells, formats, refusals."""

from collections.abc import Sequence, Set
from dataclasses import fields

from sparnn.gen.errors import SparnnError
from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.network.network import NO_CLIP, IntegerNetwork

from .steps import single_steps

__all__ = [
    "KINDS",
    "cell_options",
    "check_machine",
    "check_single",
    "runs_step_by_step",
]

#: The descriptor's kind by that of the layer.
KINDS = {kind.name.lower(): kind for kind in Kind} | {
    "gru_gates": Kind.GRU,
    "gru_candidate": Kind.RNN,
}

#: parameter of the machine that is 0 or 1 -> what it has the cells for.
_CELL_OPTIONS = {
    "hard_sigmoid": "gates or a layer with HardSigmoid",
    "gate_functions": "an LSTM whose gates go through another function than σ",
    "cell_functions": "a GRU or LSTM with another function than tanh behind its candidate or state",
    "clip": "a recurrent layer with clip",
    "reset_first": "a GRU that resets before the product (linear_before_reset = 0)",
    "peepholes": "an LSTM with peepholes",
    "split_scales": "split scales",
    "delta": "thresholds of differences (delta_x, delta_h)",
    "backwards": "layers that run backwards or are added",
}
#: Options that a machine has without being asked.
_ALWAYS = {"dense": ("backwards",)}
#: Machine -> the one that computes what this one does not, and a preset of it.
_OTHER = {"dense": ("sparse", "masr")}


def cell_options(network: IntegerNetwork, config: MachineConfig) -> dict[str, int]:
    """Whether the network needs the cells that a machine has only where it is asked for them, by
    the parameter of the machine."""
    known = {field.name for field in fields(config)}
    return {name: int(need) for name, need in _needed(network).items() if name in known}


def _needed(network: IntegerNetwork) -> dict[str, bool]:
    return {
        "hard_sigmoid": any(one.activation == "hard_sigmoid" for one in network.layers),
        "gate_functions": any(one.gate != "sigmoid" for one in network.layers),
        "cell_functions": any(
            (one.gate, one.candidate, one.cell) != ("sigmoid", "tanh", "tanh")
            for one in network.layers
        ),
        "clip": any(one.clip != NO_CLIP for one in network.layers),
        "reset_first": any(one.join == "reset" for one in network.layers),
        "peepholes": any(one.w_c is not None for one in network.layers),
        "split_scales": any(one.split for one in network.layers),
        "delta": network.sends_differences,
        "backwards": any(one.reverse or one.join == "sum" for one in network.layers),
    }


def check_machine(network: IntegerNetwork, config: MachineConfig) -> None:
    """Refuse what the machine has not the width or the cells for.

    Raises
    ------
    SparnnError: which of them, and what to set.
    """
    if network.activation_bits != config.activation_bits:
        raise SparnnError(
            f"the network has activations of {network.activation_bits} bits, the machine of "
            f"activation_bits = {config.activation_bits}; compile for the same number"
        )
    if network.weight_bits > config.weight_bits:
        raise SparnnError(
            f"the network has weights of {network.weight_bits} bits, the machine of weight_bits = "
            f"{config.weight_bits}; quantize to fewer bits or raise weight_bits"
        )
    for layer in network.layers:
        if layer.threshold is not None:
            raise SparnnError(
                f"layer {layer.name!r} has output prediction, which no machine does: the hidden "
                "half would have to come first, and the lanes would wait for it; leave the "
                "thresholds out, and run such a network in the golden model alone"
            )
    for layer, single in zip(network.layers, single_steps(network), strict=True):
        if single and (layer.delta_x or layer.delta_h):
            raise SparnnError(
                f"layer {layer.name!r} has thresholds of differences, but takes a single step, "
                "which has nothing to differ from; set its delta_x and delta_h to 0"
            )
    known = {field.name for field in fields(config)}
    this = config.MACHINE
    for name, need in _needed(network).items():
        if name in _ALWAYS.get(this, ()):
            continue
        if need and name not in known:
            other, preset = _OTHER[this]
            raise SparnnError(
                f"the network has {_CELL_OPTIONS[name]}, which the {this} machine does not "
                f"compute; compile for a {other} one, such as --config {preset}"
            )
        if need and not getattr(config, name):
            raise SparnnError(
                f"the network has {_CELL_OPTIONS[name]}, for which the machine lacks the cells: it "
                f"has {name} = 0; set {name} = 1"
            )


def runs_step_by_step(network: IntegerNetwork) -> bool:
    """Whether each step has to be a run of its own: two layers take turns.

    Raises
    ------
    SparnnError: another layer cannot be run so.
    """
    turns = [layer for layer in network.layers if layer.join == "reset"]
    single = single_steps(network)
    for index, layer in enumerate(network.layers):
        if turns and (layer.reverse or (single[index] and layer.has_hidden)):
            raise SparnnError(
                f"layer {turns[0].name!r} resets before the product (linear_before_reset = 0), so "
                f"the machine takes one step at a time, but layer {layer.name!r} needs the whole "
                "sequence first; retrain with linear_before_reset = 1, or split the model between "
                "the two"
            )
    return bool(turns)


def check_single(
    network: IntegerNetwork, single: Sequence[bool], index: int, what: Set[str]
) -> None:
    """Refuse outputs and inputs that a layer of one step cannot give or have."""
    layer = network.layers[index]
    shortened = single[index] and not any(one.last_only for one in network.layers[: index + 1])
    if shortened and "sequence" in what:
        raise SparnnError(
            f"layer {layer.name!r}: its whole sequence is an output, but the layer after it "
            f"reads the last step only; leave that output out of the model"
        )
    if single[index] and not single[index - 1] and not network.layers[index - 1].has_hidden:
        raise SparnnError(
            f"layer {layer.name!r} reads the last step of a sequence that no recurrent layer "
            f"has made; feed that step alone and leave out its selection in the model"
        )
