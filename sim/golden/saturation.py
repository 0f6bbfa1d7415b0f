"""What saturated in a run of the golden model, and so in the hardware: the two are bit exact."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sparnn.sim.aliases import IntArray
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork

from .arithmetic import saturate

if TYPE_CHECKING:
    from .trace import NetworkTrace

__all__ = ["Clamp", "Clamped", "TensorSaturation", "saturation", "together"]


@dataclass(frozen=True)
class Clamped:
    """The values of one tensor.

    Members
    -------
    values: how many there were. saturated: how many of them were clamped.
    largest: the largest magnitude over the range's end, 1 or less where nothing was clamped.
    """

    values: int = 0
    saturated: int = 0
    largest: float = 0.0

    def __add__(self, other: "Clamped") -> "Clamped":
        return Clamped(
            self.values + other.values,
            self.saturated + other.saturated,
            max(self.largest, other.largest),
        )


class Clamp:
    """Saturates, and notes what saturated by tensor."""

    def __init__(self, tensors: Iterable[str]) -> None:
        self.found = {name: Clamped() for name in tensors}

    def __call__(self, tensor: str, value: IntArray, bits: int) -> IntArray:
        clamped = saturate(value, bits)
        count = int(np.count_nonzero(clamped != value))
        largest = float(np.abs(value).max()) / (1 << (bits - 1)) if count else 0.0
        self.found[tensor] += Clamped(value.size, count, largest)
        return clamped


@dataclass(frozen=True)
class TensorSaturation:
    """A tensor of a layer that saturated in a run.

    Members
    -------
    layer, tensor: where; tensors by their names in docs/numerics.md, ``x`` is the network's input.
    values, saturated, largest: as of :class:`Clamped`.
    """

    layer: str
    tensor: str
    values: int
    saturated: int
    largest: float

    def line(self) -> str:
        """For people."""
        share = 100 * self.saturated / self.values
        return (
            f"{self.layer}: {self.tensor} in {self.saturated:,} of {self.values:,} values "
            f"({share:.2g} %), up to {self.largest:.3g} times the range"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"share": self.saturated / self.values}


def saturation(
    network: IntegerNetwork,
    sequences: Sequence[InputSequence],
    traces: Sequence["NetworkTrace"],
) -> list[TensorSaturation]:
    """The tensors that saturated in some runs; the input among them."""
    found: dict[tuple[str, str], Clamped] = {}

    def add(layer: str, clamped: Mapping[str, Clamped]) -> None:
        for tensor, one in clamped.items():
            found[layer, tensor] = found.get((layer, tensor), Clamped()) + one

    first = network.layers[0]
    limit = 2.0 ** (network.activation_bits - 1)
    for sequence in sequences:
        scaled = np.rint(np.ldexp(np.asarray(sequence.x, np.float64), first.f_x))
        count = int(np.count_nonzero((scaled < -limit) | (scaled > limit - 1)))
        largest = float(np.abs(scaled).max(initial=0)) / limit
        add(first.name, {"x": Clamped(scaled.size, count, largest if count else 0.0)})
    for trace in traces:
        for layer, one in zip(network.layers, trace.layers, strict=True):
            add(layer.name, one.clamped)
    return [
        TensorSaturation(layer, tensor, one.values, one.saturated, one.largest)
        for (layer, tensor), one in found.items()
        if one.saturated
    ]


def together(found: Iterable[TensorSaturation]) -> list[TensorSaturation]:
    """Those of several runs, one for each tensor."""
    kept: dict[tuple[str, str], Clamped] = {}
    for one in found:
        clamped = Clamped(one.values, one.saturated, one.largest)
        key = one.layer, one.tensor
        kept[key] = kept.get(key, Clamped()) + clamped
    return [
        TensorSaturation(layer, tensor, one.values, one.saturated, one.largest)
        for (layer, tensor), one in kept.items()
    ]
