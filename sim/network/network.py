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
from .layer import (
    CELL_FUNCTIONS,
    GATE_FUNCTIONS,
    GATES,
    JOINS,
    MOST_DELTA_BITS,
    NO_CLIP,
    STRAIGHT,
    WITH_STATE,
    IntegerLayer,
)
from .limits import ARRAYS, Int32Array, check_number, check_width
from .stages import Joined, stages

__all__ = [
    "CELL_FUNCTIONS",
    "GATE_FUNCTIONS",
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

_FORMAT_VERSION = 2


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
