"""The float network: what the importer makes of a model, and what pruning and quantizing read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sparnn.sim.aliases import FloatArray
from sparnn.sim.network.network import CELL_FUNCTIONS, GATE_FUNCTIONS, STRAIGHT, stages

__all__ = ["ACTIVATIONS", "AXES", "GATES", "FloatLayer", "FloatNetwork"]


#: Gate order of docs/numerics.md by kind of layer; the length is the number of rows per unit.
GATES: Mapping[str, tuple[str, ...]] = {
    "lstm": ("i", "f", "g", "o"),
    "gru": ("r", "z", "n"),
    "gru_gates": ("r", "z"),
    "gru_candidate": ("n",),
    "rnn": ("h",),
    "linear": ("h",),
}

#: Activations that the machine applies to the rows of an ``rnn`` or ``linear`` layer.
#: ``hard_sigmoid`` is 1/2 + a / 4, kept within 0 and 1.
ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "hard_sigmoid")

#: Labels of the axes of a model's inputs and outputs. ``direction`` has size 1, as has every axis
#: that a tensor lacks.
AXES = ("batch", "time", "feature", "direction")


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """One layer, weights in float64, gates in the order of docs/numerics.md.

    Parameters
    ----------
    name : the ONNX node's name, unique in the network.
    kind : one of ``GATES``. ``gru`` has linear_before_reset = 1; with 0 it is ``gru_gates`` and,
        joined by ``reset``, ``gru_candidate``.
    activation : one of ``ACTIVATIONS`` for ``rnn`` and ``linear``; of the others, that of the gates
        that a σ has: empty is σ, or ``hard_sigmoid``.
    w_x : [gates, units, inputs], the input half.
    w_h : [gates, units, units], the hidden half; None for ``linear``.
    b_x, b_h : [gates, units], the biases of the two halves (zeros where the model has none).
    last_only : ``linear`` only: the layer sees only what the layers before it computed last.
    initial_h, initial_c : [units], constant initial state; None is zero, or given at run time
        where the network's ``io`` lists an input of that role.
    last_step : with ``last_only``: it sees the last step of the sequence instead, which a reverse
        layer has computed first.
    reverse : the layer goes from the last step to the first.
    join : how it meets the layer before it, one of ``sparnn.sim.network.network.JOINS``.
    w_c : [3, units], peepholes of an LSTM's i, f and o; None: it has none.
    gate : what i, f and o of an LSTM go through, one of
        ``sparnn.sim.network.network.GATE_FUNCTIONS``; ``sigmoid`` is the σ that ``activation``
        says.
    candidate : what g of an LSTM or n of a GRU goes through, one of
        ``sparnn.sim.network.network.CELL_FUNCTIONS``; ``sigmoid`` is the layer's σ.
    cell : what an LSTM's new state goes through on its way to the output, likewise.
    clip : the largest magnitude of what σ and tanh read, but for an LSTM's state, which ONNX
        Runtime does not clip either; None: any.
    """

    name: str
    kind: str
    activation: str
    w_x: FloatArray
    w_h: FloatArray | None
    b_x: FloatArray
    b_h: FloatArray
    last_only: bool = False
    initial_h: FloatArray | None = None
    initial_c: FloatArray | None = None
    last_step: bool = False
    reverse: bool = False
    join: str = ""
    w_c: FloatArray | None = None
    candidate: str = "tanh"
    cell: str = "tanh"
    clip: float | None = None
    gate: str = "sigmoid"

    def __post_init__(self) -> None:
        if self.kind not in GATES:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(GATES)}")
        named = self.kind in ("rnn", "linear")
        if self.activation not in (ACTIVATIONS if named else ("", "hard_sigmoid")):
            raise ValueError(f"activation {self.activation!r} does not fit kind {self.kind!r}")
        for name, kinds, choice, usual in (
            ("gate", ("lstm",), GATE_FUNCTIONS, "sigmoid"),
            ("candidate", ("lstm", "gru", "gru_candidate"), CELL_FUNCTIONS, "tanh"),
            ("cell", ("lstm",), CELL_FUNCTIONS, "tanh"),
        ):
            if getattr(self, name) not in (choice if self.kind in kinds else (usual,)):
                raise ValueError(f"{name} {getattr(self, name)!r} does not fit kind {self.kind!r}")
        straight = {self.activation, self.gate, self.candidate, self.cell} & set(STRAIGHT)
        if self.clip is not None and straight:
            raise ValueError(f"clip {self.clip} does not fit {straight}")
        gates = len(GATES[self.kind])
        if self.w_x.ndim != 3 or self.w_x.shape[0] != gates or 0 in self.w_x.shape:
            raise ValueError(f"w_x has shape {self.w_x.shape}, expected [{gates}, units, inputs]")
        units = self.units
        if (self.w_h is None) != (self.kind == "linear"):
            raise ValueError(f"w_h of kind {self.kind!r}: a linear layer has none, others need one")
        if self.w_h is not None and self.w_h.shape != (gates, units, units):
            raise ValueError(f"w_h has shape {self.w_h.shape}, expected {(gates, units, units)}")
        for name, array, shape in (
            ("b_x", self.b_x, (gates, units)),
            ("b_h", self.b_h, (gates, units)),
            ("initial_h", self.initial_h, (units,)),
            ("initial_c", self.initial_c, (units,)),
            ("w_c", self.w_c, (3, units)),
        ):
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
        if self.w_c is not None and self.kind != "lstm":
            raise ValueError(f"w_c is for an lstm, not for kind {self.kind!r}")
        if self.last_only and self.kind != "linear":
            raise ValueError(f"last_only is for linear layers, not for kind {self.kind!r}")

    @property
    def gates(self) -> int:
        return int(self.w_x.shape[0])

    @property
    def units(self) -> int:
        return int(self.w_x.shape[1])

    @property
    def inputs(self) -> int:
        return int(self.w_x.shape[2])


@dataclass(frozen=True, eq=False)
class FloatNetwork:
    """A chain of layers and how the model's inputs and outputs map onto it.

    Parameters
    ----------
    layers : the chain; layer k reads what layer k-1 gives, layer 0 reads the input of role ``x``.
    io : ``{"inputs": [...], "outputs": [...]}``, the manifest's section without ``f``. An input
        has ``name``, ``role`` (``x``, ``initial_h``, ``initial_c``), ``layer``, ``axes`` (labels
        of ``AXES``) and ``sizes`` (per axis: a size that the model fixes, or None). An output has
        ``name``, ``layer`` (of two joined layers the second), ``layers`` (both), ``directions``
        (the size of the axis ``direction``), ``axes``, and ``what`` (``sequence``: all steps;
        ``step``: the last one; ``last``, ``state_c``: the final h and c). Initial states that lie
        in one input have an entry each with the same ``name``, and ``at`` along ``direction``.
    """

    layers: tuple[FloatLayer, ...]
    io: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("a network has at least one layer")
        for before, stage in zip(self.stages, self.stages[1:], strict=False):
            layers = [self.layers[index] for index in before]
            one = layers[-1].join in ("sum", "reset")
            units = layers[-1].units if one else sum(layer.units for layer in layers)
            for after in (self.layers[index] for index in stage):
                if units != after.inputs:
                    raise ValueError(
                        f"layer {after.name!r} reads {after.inputs} values, "
                        f"but {layers[-1].name!r} gives {units}"
                    )

    @property
    def stages(self) -> list[tuple[int, ...]]:
        """Indices of the layers that read the same input."""
        return stages(self.layers)

    @property
    def input_sizes(self) -> dict[tuple[str, int], int]:
        """Features of everything that can be fed in, by (role, layer)."""
        sizes = {("x", 0): self.layers[0].inputs}
        for index, layer in enumerate(self.layers):
            if layer.w_h is not None and layer.join != "reset":
                sizes["initial_h", index] = layer.units
            if layer.kind == "lstm":
                sizes["initial_c", index] = layer.units
        return sizes
