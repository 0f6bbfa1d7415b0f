"""One layer of an integer network (docs/numerics.md)."""

from dataclasses import dataclass

from sparnn.sim.errors import SimulationError

from .limits import ARRAYS, Int32Array, check_number, check_width, checked_array

__all__ = [
    "CELL_FUNCTIONS",
    "GATE_FUNCTIONS",
    "DELTAS",
    "GATES",
    "JOINS",
    "MOST_DELTA_BITS",
    "NO_CLIP",
    "STRAIGHT",
    "WITH_STATE",
    "IntegerLayer",
]

GATES = {"lstm": 4, "gru": 3, "gru_gates": 2, "gru_candidate": 1, "rnn": 1, "linear": 1}
"""Gates per unit of each kind of layer, in the order i, f, g, o; r, z, n."""

JOINS = ("", "concat", "sum", "reset")
"""How a layer meets the one before it: it reads its output; or both read the same input, and their
outputs are put side by side or added (the two directions of a bidirectional layer), or the layer's
hidden half reads what the one before gives in the same step (`gru_candidate` after `gru_gates`: a
GRU that resets before the product)."""

WITH_STATE = ("lstm", "gru", "gru_gates")
"""Kinds that keep a state beside their output; a `gru_candidate` shares that of its gates."""

CELL_FUNCTIONS = ("tanh", "sigmoid", "relu", "identity")

#: What the gates of an LSTM may go through; `sigmoid` is the layer's σ.
GATE_FUNCTIONS = ("sigmoid", "tanh", "relu")
"""What a cell's candidate (g of an LSTM, n of a GRU) and an LSTM's new state may go through."""

STRAIGHT = ("relu", "identity")
"""Functions whose value keeps the format of their argument; that of the others is Q15."""

NO_CLIP = 32767
"""The `clip` that changes nothing."""

DELTAS = ("references_x", "totals_x", "references_h", "totals_h")
"""What a layer with thresholds holds between steps: of each half its references, [columns], and its
row sums, [gates · units]."""

MOST_DELTA_BITS = 15
"""Activation bits whose differences, one bit wider, a machine multiplies."""

_ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "hard_sigmoid")
_MAX_COLUMNS = 1 << 16


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """One layer in integers. Arrays become read-only int32 copies.

    The ranges of the formats imply that every rounding shift of docs/numerics.md is at least 0.

    Parameters
    ----------
    name
        What messages call the layer.
    kind
        One of `GATES`. `gru` has linear_before_reset = 1; with 0 it is `gru_gates` and, joined by
        `reset`, `gru_candidate`.
    activation
        Of `rnn` and `linear`: `identity`, `relu`, `tanh`, `sigmoid` or `hard_sigmoid`. Of the
        others what the gates go through: empty is σ, or `hard_sigmoid`.
    w_x, w_h
        Weights, [gates, units, inputs] and [gates, units, units]; `w_h` is None for `linear`.
    mult_x, shift_x, bias_x
        Requantization of the input half, [gates, units].
    mult_h, shift_h, bias_h
        The same for the hidden half; None for `linear`.
    f_x, f_pre, f_state, f_out
        Formats of the input, the pre-activations, the state (0 where there is none) and the output.
    out_bits
        Width of the output: the activation bits, or 16 for a final linear layer.
    last_only
        The layer reads what the layers before it computed last: their final states.
    initial_h, initial_c
        Constant initial states, [units], in `f_out` and `f_state` (LSTM only); None is zero.
    last_step
        With `last_only`: the layer reads the last step of the sequence before it instead, which a
        reverse layer has computed first.
    reverse
        The layer goes from the last step to the first; its outputs lie at the steps they belong to.
    join
        One of `JOINS`.
    sum_shift
        Of the join `sum`: the sum has the format `f_out - sum_shift`.
    w_c, cell_shift
        Peepholes of an LSTM, [3, units] of i, f, o, and the shift of their products with the state;
        `bias_h` is zero with them. None: there are none.
    factors_x, factors_h
        What the positive and the negative weights of each row are multiplied by (split scales), [2,
        gates, units]; None is 1.
    gate
        What i, f and o of an LSTM go through, one of `GATE_FUNCTIONS`; `sigmoid` is σ.
    candidate
        What g of an LSTM or n of a GRU goes through, one of `CELL_FUNCTIONS`.
    cell
        What the new state of an LSTM goes through on its way to the output, one of them.
    clip
        The largest argument of σ and tanh, in 2^-11, but for an LSTM's state; 32767: none.
    delta_x, delta_h
        Thresholds of the differences that are sent of the input, in `f_x`, and of what the hidden
        half reads, in `f_out`; `delta_h` is None for `linear`. None: elements are sent, not
        differences.
    threshold
        Of an `rnn` with `relu` with output prediction: how far below zero a unit's hidden half and
        bias have to be for its input half to be left out, [units], `f_pre`. None: never.

    Raises
    ------
    SimulationError
        A value is out of range, or shapes do not fit together; the message names it.
    """

    name: str
    kind: str
    activation: str
    w_x: Int32Array
    w_h: Int32Array | None
    mult_x: Int32Array
    shift_x: Int32Array
    bias_x: Int32Array
    mult_h: Int32Array | None
    shift_h: Int32Array | None
    bias_h: Int32Array | None
    f_x: int
    f_pre: int
    f_state: int
    f_out: int
    out_bits: int
    last_only: bool = False
    initial_h: Int32Array | None = None
    initial_c: Int32Array | None = None
    last_step: bool = False
    reverse: bool = False
    join: str = ""
    sum_shift: int = 0
    w_c: Int32Array | None = None
    cell_shift: int = 0
    factors_x: Int32Array | None = None
    factors_h: Int32Array | None = None
    threshold: Int32Array | None = None
    candidate: str = "tanh"
    cell: str = "tanh"
    clip: int = NO_CLIP
    delta_x: int | None = None
    delta_h: int | None = None
    gate: str = "sigmoid"

    def __post_init__(self) -> None:
        where = f"layer {self.name!r}"
        if self.kind not in GATES:
            raise SimulationError(f"{where} is of kind {self.kind!r}: use one of {list(GATES)}")
        activations: tuple[str, ...] = ("", "hard_sigmoid")
        if self.kind in ("rnn", "linear"):
            activations = _ACTIVATIONS
        if self.activation not in activations:
            raise SimulationError(
                f"{where} ({self.kind}) has the activation {self.activation!r}: "
                f"use one of {list(activations)}"
            )
        self._check_functions(where)
        names = ("f_x", "f_pre", "f_state", "f_out", "out_bits", "sum_shift", "cell_shift", "clip")
        for name in names:
            check_number(where, name, getattr(self, name))
        if self.kind not in (*WITH_STATE, "gru_candidate") and self.f_state != 0:
            raise SimulationError(
                f"{where} ({self.kind}) has f_state = {self.f_state}: it has no state, use 0"
            )
        if self.join not in JOINS or (self.join != "sum" and self.sum_shift):
            raise SimulationError(
                f"{where} has join = {self.join!r} and sum_shift = {self.sum_shift}: use one of "
                f"{list(JOINS)}, and a shift with 'sum' only"
            )
        if (self.reverse or self.join) and not self.has_hidden:
            raise SimulationError(
                f"{where} (linear) has reverse = {self.reverse} and join = {self.join!r}: it has "
                "no direction, leave both out"
            )
        if self.reverse and self.kind in ("gru_gates", "gru_candidate"):
            raise SimulationError(
                f"{where} ({self.kind}) is reverse: a GRU that resets before the product runs "
                "forward only"
            )
        if self.last_step and not self.last_only:
            raise SimulationError(f"{where} has last_step without last_only: set both")
        self._check_deltas(where)
        for name in ARRAYS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked_array(where, name, value))
        self._check_shapes(where)

    def _check_functions(self, where: str) -> None:
        for name, kinds, choice, usual in (
            ("gate", ("lstm",), GATE_FUNCTIONS, "sigmoid"),
            ("candidate", ("lstm", "gru", "gru_candidate"), CELL_FUNCTIONS, "tanh"),
            ("cell", ("lstm",), CELL_FUNCTIONS, "tanh"),
        ):
            functions = choice if self.kind in kinds else (usual,)
            if getattr(self, name) not in functions:
                raise SimulationError(
                    f"{where} ({self.kind}) has {name} = {getattr(self, name)!r}: use one of "
                    f"{list(functions)}"
                )
        if self.candidate in STRAIGHT and self.f_state > self.f_pre:
            raise SimulationError(
                f"{where} has f_state = {self.f_state} and f_pre = {self.f_pre}: with candidate = "
                f"{self.candidate!r} the state may not be finer than the pre-activations"
            )
        f_cell = self.f_state if self.cell in STRAIGHT else 15
        if self.gate in STRAIGHT and self.f_out > self.f_pre + f_cell:
            raise SimulationError(
                f"{where} has f_out = {self.f_out}: with gate = {self.gate!r}, f_pre = "
                f"{self.f_pre} and a cell in format {f_cell} it is at most {self.f_pre + f_cell}"
            )
        straight = {self.gate, self.candidate, self.cell, self.activation} & {*STRAIGHT}
        if self.clip != NO_CLIP and straight:
            raise SimulationError(
                f"{where} has clip = {self.clip} and {' and '.join(STRAIGHT)} functions: only σ "
                f"and tanh are clipped, use {NO_CLIP}"
            )

    def _check_deltas(self, where: str) -> None:
        for name in ("delta_x", "delta_h"):
            if getattr(self, name) is not None:
                check_number(where, name, getattr(self, name))
        both = self.sends_differences and self.has_hidden
        if (self.delta_h is not None) != both:
            raise SimulationError(
                f"{where} ({self.kind}) has delta_x = {self.delta_x} and delta_h = {self.delta_h}: "
                "each half of a layer has a threshold, or none has"
            )
        if self.sends_differences and self.threshold is not None:
            raise SimulationError(
                f"{where} has delta_x and output prediction: what it leaves out would be missing "
                "in the sums, leave out one of them"
            )
        if self.last_only and self.delta_x:
            raise SimulationError(
                f"{where} has delta_x = {self.delta_x} and last_only: a layer of one step has "
                "nothing to differ from, use 0"
            )

    def _check_shapes(self, where: str) -> None:
        if self.w_x.ndim != 3 or 0 in self.w_x.shape:
            raise SimulationError(
                f"{where}: w_x has the shape {self.w_x.shape}, it must be [gates, units, inputs], "
                "each at least 1"
            )
        rows = (GATES[self.kind], self.units)
        hidden: tuple[int, ...] | None = rows if self.has_hidden else None
        shapes: dict[str, tuple[int, ...] | None] = {
            "w_x": (*rows, self.inputs),
            "w_h": (*rows, self.units) if self.has_hidden else None,
            "mult_x": rows,
            "shift_x": rows,
            "bias_x": rows,
            "mult_h": hidden,
            "shift_h": hidden,
            "bias_h": hidden,
        }
        if self.w_c is not None:
            shapes["w_c"] = (3, self.units) if self.kind == "lstm" else None
        if self.factors_x is not None:
            shapes["factors_x"] = (2, *rows)
        if self.factors_h is not None:
            shapes["factors_h"] = (2, *rows) if self.has_hidden else None
        if self.threshold is not None:
            predicted = (self.kind, self.activation) == ("rnn", "relu")
            shapes["threshold"] = (self.units,) if predicted else None
        if self.initial_h is not None:
            takes = self.has_hidden and self.join != "reset"
            shapes["initial_h"] = (self.units,) if takes else None
        if self.initial_c is not None:
            shapes["initial_c"] = (self.units,) if self.kind == "lstm" else None
        for name, shape in shapes.items():
            value = getattr(self, name)
            actual = None if value is None else value.shape
            if actual != shape:
                raise SimulationError(
                    f"{where} ({self.kind}): {name} has the shape {actual}, it must be {shape}"
                )
        if (self.w_c is None and self.cell_shift) or (
            self.w_c is not None and self.bias_h is not None and self.bias_h.any()
        ):
            raise SimulationError(
                f"{where} has cell_shift = {self.cell_shift} and a bias_h: a shift belongs to "
                "peepholes, and with them bias_h is zero"
            )
        if max(self.inputs, self.units) > _MAX_COLUMNS:
            raise SimulationError(
                f"{where} has {self.inputs} inputs and {self.units} units: "
                f"at most {_MAX_COLUMNS} of each keep every sum within 62 bits"
            )
        if self.initial_h is not None:
            check_width(where, "initial_h", self.initial_h, self.out_bits, symmetric=False)

    @property
    def gates(self) -> int:
        """Gate rows per unit."""
        return self.w_x.shape[0]

    @property
    def units(self) -> int:
        """Units, the size of the output."""
        return self.w_x.shape[1]

    @property
    def inputs(self) -> int:
        """The size of the input."""
        return self.w_x.shape[2]

    @property
    def has_hidden(self) -> bool:
        """The output is fed back."""
        return self.kind != "linear"

    @property
    def sends_differences(self) -> bool:
        """The lanes see differences instead of elements."""
        return self.delta_x is not None

    @property
    def split(self) -> bool:
        """Some weights have factors."""
        return self.factors_x is not None or self.factors_h is not None
