"""The integer network: what the compiler writes and the golden model runs (docs/numerics.md)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.errors import SimulationError

from .arrays import read_npz, write_npz
from .limits import ARRAYS, Int32Array, check_number, check_width, checked_array
from .stages import Joined, stages

__all__ = [
    "CELL_FUNCTIONS",
    "GATES",
    "JOINS",
    "MOST_DELTA_BITS",
    "NO_CLIP",
    "STRAIGHT",
    "WITH_STATE",
    "Int32Array",
    "IntegerLayer",
    "IntegerNetwork",
    "Joined",
    "stages",
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
"""What a cell's candidate (g of an LSTM, n of a GRU) and an LSTM's new state may go through."""

STRAIGHT = ("relu", "identity")
"""Functions whose value keeps the format of their argument; that of the others is Q15."""

NO_CLIP = 32767
"""The `clip` that changes nothing."""

MOST_DELTA_BITS = 15
"""Activation bits whose differences, one bit wider, a machine multiplies."""

_ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "hard_sigmoid")
_MAX_COLUMNS = 1 << 16
_FORMAT_VERSION = 2


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
        for name, kinds in (("candidate", ("lstm", "gru", "gru_candidate")), ("cell", ("lstm",))):
            functions = CELL_FUNCTIONS if self.kind in kinds else ("tanh",)
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
        straight = (self.candidate in STRAIGHT, self.cell in STRAIGHT, self.activation in STRAIGHT)
        if self.clip != NO_CLIP and any(straight):
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


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """A chain of layers; each reads the outputs of the one before it.

    Raises
    ------
    SimulationError
        A weight exceeds `weight_bits`, or the sizes, formats or widths of neighbours differ.
    """

    layers: tuple[IntegerLayer, ...]
    weight_bits: int
    activation_bits: int

    def __post_init__(self) -> None:
        check_number("network", "weight_bits", self.weight_bits)
        check_number("network", "activation_bits", self.activation_bits)
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise SimulationError("the network has no layers: it must have at least one")
        if self.layers[0].last_only:
            raise SimulationError(
                f"layer {self.layers[0].name!r} has last_only, but no layer comes before it"
            )
        self._check_deltas()
        for index, layer in enumerate(self.layers):
            where = f"layer {layer.name!r}"
            for name in ("w_x", "w_h"):
                if getattr(layer, name) is not None:
                    check_width(where, name, getattr(layer, name), self.weight_bits)
            final = index == len(self.layers) - 1 and layer.kind == "linear"
            if layer.out_bits != (16 if final else self.activation_bits):
                raise SimulationError(
                    f"{where} has {layer.out_bits} output bits: a final linear layer has 16, any "
                    f"other the activation bits, {self.activation_bits}"
                )
            if final and layer.f_out != layer.f_pre:
                raise SimulationError(
                    f"{where} has f_out = {layer.f_out} and f_pre = {layer.f_pre}: "
                    "they must be equal in a final linear layer"
                )
        for stage in stages(self.layers):
            self._check_stage(stage)
        for before, stage in zip(self.stages, self.stages[1:], strict=False):
            units, f = self.stage_units(before), self.stage_format(before)
            for layer in (self.layers[index] for index in stage):
                if (layer.inputs, layer.f_x) != (units, f):
                    raise SimulationError(
                        f"layer {layer.name!r} reads {layer.inputs} values of format {layer.f_x}, "
                        f"but {self.layers[before[-1]].name!r} gives {units} of format {f}"
                    )
            if (
                layer.last_only
                and not layer.last_step
                and len(before) > 1
                and self.layers[before[-1]].join == "sum"
            ):
                raise SimulationError(
                    f"layer {layer.name!r} reads the final states of the directions that "
                    f"{self.layers[before[-1]].name!r} adds: only sequences are added, use "
                    "last_step"
                )

    def _check_deltas(self) -> None:
        if len({layer.sends_differences for layer in self.layers}) > 1:
            raise SimulationError(
                "some layers have thresholds of differences and some have not: give delta_x to all "
                "of them, 0 where nothing is to be held back, or to none"
            )
        if not self.sends_differences:
            return
        if self.activation_bits > MOST_DELTA_BITS:
            raise SimulationError(
                f"differences of activations of {self.activation_bits} bits do not fit "
                f"{MOST_DELTA_BITS + 1}: use activation_bits = {MOST_DELTA_BITS} or fewer, or no "
                "delta_x"
            )
        most = (1 << self.activation_bits - 1) - 1
        for layer in self.layers:
            for name in ("delta_x", "delta_h"):
                if (getattr(layer, name) or 0) > most:
                    raise SimulationError(
                        f"layer {layer.name!r} has {name} = {getattr(layer, name)}: the largest "
                        f"number of {self.activation_bits} bits is {most}, use at most that"
                    )

    @property
    def sends_differences(self) -> bool:
        """The lanes see differences instead of elements."""
        return self.layers[0].sends_differences

    def _check_stage(self, stage: tuple[int, ...]) -> None:
        first, last = self.layers[stage[0]], self.layers[stage[-1]]
        kinds = tuple(self.layers[index].kind for index in stage)
        pair = ("gru_gates", "gru_candidate")
        if (set(kinds) & {*pair} or last.join == "reset") and (
            kinds != pair or last.join != "reset"
        ):
            raise SimulationError(
                f"layer {last.name!r} ({last.kind}) has join = {last.join!r}: a gru_candidate "
                "follows its gru_gates and joins it by 'reset'"
            )
        if first.join or len(stage) > 2:
            raise SimulationError(
                f"layer {last.name!r} has join = {last.join!r}: it joins exactly one layer, which "
                "stands before it"
            )
        if len(stage) == 1:
            return
        where = f"layers {first.name!r} and {last.name!r}"
        same: tuple[str, ...] = ("inputs", "f_x", "f_out", "out_bits")
        if last.join in ("sum", "reset"):
            same += ("units",)
        if last.join == "reset":
            same += ("f_state",)
        for name in same:
            if getattr(first, name) != getattr(last, name):
                raise SimulationError(
                    f"{where} have {name} = {getattr(first, name)} and {getattr(last, name)}: "
                    "layers that are joined must agree"
                )
        if not first.has_hidden or first.last_only or last.last_only:
            raise SimulationError(f"{where}: only recurrent layers that read sequences are joined")

    @property
    def stages(self) -> list[tuple[int, ...]]:
        """Indices of the layers that read the same input, in the order of the stages."""
        return stages(self.layers)

    def stage_units(self, stage: tuple[int, ...]) -> int:
        """The size of what a stage gives."""
        layers = [self.layers[index] for index in stage]
        single = layers[-1].join in ("sum", "reset")
        return layers[-1].units if single else sum(one.units for one in layers)

    def stage_format(self, stage: tuple[int, ...]) -> int:
        """The format of what a stage gives."""
        last = self.layers[stage[-1]]
        return last.f_out - last.sum_shift

    @property
    def input_sizes(self) -> dict[tuple[str, int], int]:
        """Features of everything that can be fed in, by (role, layer)."""
        sizes = {("x", 0): self.layers[0].inputs}
        for index, layer in enumerate(self.layers):
            if layer.has_hidden and layer.join != "reset":
                sizes["initial_h", index] = layer.units
            if layer.kind == "lstm":
                sizes["initial_c", index] = layer.units
        return sizes

    def save(self, path: Path) -> None:
        """Write the network as one npz file; equal networks give equal bytes.

        Raises
        ------
        SimulationError
            The file cannot be written.
        """
        arrays: dict[str, npt.NDArray[Any]] = {}
        scalars = []
        for index, layer in enumerate(self.layers):
            named = {field.name: getattr(layer, field.name) for field in fields(layer)}
            scalars.append({name: v for name, v in named.items() if name not in ARRAYS})
            arrays.update(
                {f"{index}.{n}": _narrow(named[n]) for n in ARRAYS if named[n] is not None}
            )
        header = {
            "version": _FORMAT_VERSION,
            "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits,
            "layers": scalars,
        }
        # Weights are nearly noise: more effort than the least only takes time.
        write_npz(path, {"header": np.array(json.dumps(header)), **arrays}, level=1)

    @classmethod
    def load(cls, path: Path) -> "IntegerNetwork":
        """Read what `save` wrote.

        Raises
        ------
        SimulationError
            The file is missing, damaged, of another version, or holds an invalid network.
        """
        arrays = read_npz(path)
        try:
            header = json.loads(str(arrays.pop("header")))
            version = header["version"]
            if version == _FORMAT_VERSION:
                return cls(
                    tuple(_layer(index, v, arrays) for index, v in enumerate(header["layers"])),
                    header["weight_bits"],
                    header["activation_bits"],
                )
        except SimulationError as error:
            raise SimulationError(f"{path} holds an invalid network: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SimulationError(
                f"{path} is not an integer network ({type(error).__name__}: {error}): "
                "compile the model again"
            ) from error
        raise SimulationError(
            f"{path} has the version {version}, this sparnn reads {_FORMAT_VERSION}: "
            "compile the model again"
        )


def _narrow(array: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """The same integers in the narrowest type that holds them."""
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    kinds = (np.int8, np.int16, np.int32)
    return array.astype(
        next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    )


def _layer(
    index: int, scalars: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> IntegerLayer:
    named = {name: arrays.get(f"{index}.{name}") for name in ARRAYS}
    for name in ("w_x", "mult_x", "shift_x", "bias_x"):
        if named[name] is None:
            raise SimulationError(f"layer {scalars['name']!r} lacks {name}")
    return IntegerLayer(**{**scalars, **named})
