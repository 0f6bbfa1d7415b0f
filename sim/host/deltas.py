"""What layers with thresholds hold between runs, by columns and rows and as the machine has it.

docs/machine.md, *References and totals*. The names are those of
:data:`sparnn.sim.network.layer.DELTAS`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparnn.hdl.host.protocol import Target
from sparnn.sim.aliases import IntArray

from .program import LayerProgram, MachineProgram

__all__ = ["DeltaPlace", "delta_places", "from_entries", "no_deltas", "to_entries"]


class DeltaPlace(NamedTuple):
    """Entries of one memory, one after the other, of one half of a layer.

    Members
    -------
    role, layer: what they are, as in a state: such as ``references_x`` of that layer.
    target, number, address, entries: the memory and its entries: words of references, or totals.
    """

    role: str
    layer: int
    target: Target
    number: int
    address: int
    entries: int


def delta_places(program: MachineProgram) -> Iterator[DeltaPlace]:
    """Where the machine holds what, layer after layer; nothing where no sequence can come in
    pieces, as layers run backwards."""
    config = program.config
    if Target.TOTAL not in config.memories() or any(one.reverse for one in program.layers):
        return
    for index, layer in enumerate(program.layers):
        fields = layer.descriptor
        at = fields["reference_base"]
        for half in layer.halves:
            words = fields["in_words"] if half == "x" else fields["out_words"]
            yield DeltaPlace(f"references_{half}", index, Target.REFERENCE, 0, at, words)
            at += words
        for unit, neurons in layer.state_entries(config.post_units):
            rows = neurons * layer.kind.gates
            for number, half in enumerate(layer.halves):
                at = fields["parameter_base"] + number * rows
                yield DeltaPlace(f"totals_{half}", index, Target.TOTAL, unit, at, rows)


def no_deltas(program: MachineProgram) -> dict[tuple[str, int], IntArray]:
    """What a sequence begins with: zeros."""
    found = {}
    for place in delta_places(program):
        layer = program.layers[place.layer]
        columns = sum(column >= 0 for column in _order(layer, place))
        size = layer.rows if place.target == Target.TOTAL else columns
        found[place.role, place.layer] = np.zeros(size, np.int64)
    return found


def to_entries(
    program: MachineProgram, place: DeltaPlace, values: npt.NDArray[np.integer]
) -> IntArray:
    """What the machine holds there, of ``values`` by column or by row: [words, elements] of
    references, [entries] of totals."""
    layer, units = program.layers[place.layer], program.config.post_units
    if place.target == Target.TOTAL:
        return _rows_of(layer, place, units, values)
    order = np.array(_order(layer, place))
    padded = np.zeros(place.entries * units, np.int64)
    padded[: len(order)] = np.where(order < 0, 0, values[order])
    return padded.reshape(place.entries, units)


def from_entries(
    program: MachineProgram,
    place: DeltaPlace,
    entries: IntArray,
    found: dict[tuple[str, int], IntArray],
) -> None:
    """The inverse of :func:`to_entries`: put into ``found``, which has :func:`no_deltas`."""
    layer = program.layers[place.layer]
    values = found[place.role, place.layer]
    if place.target == Target.TOTAL:
        rows = np.arange(layer.rows)
        there = _rows_of(layer, place, program.config.post_units, rows + 1) - 1
        values[there[there >= 0]] = entries[there >= 0]
        return
    order = np.array(_order(layer, place))
    values[order[order >= 0]] = entries.reshape(-1)[: len(order)][order >= 0]


def _order(layer: LayerProgram, place: DeltaPlace) -> tuple[int, ...]:
    """Position -> column of a half, -1 where there is none."""
    return layer.columns if place.role.endswith("x") else layer.neurons


def _rows_of(
    layer: LayerProgram, place: DeltaPlace, post_units: int, values: npt.NDArray[np.integer]
) -> IntArray:
    """Of values by row, [gates · units], those of a post unit in its order: gate by gate of each
    neuron. The empty gate of a GRU that resets first has zeros."""
    by_gate = np.asarray(values, np.int64).reshape(-1, len(layer.neurons))
    missing = layer.kind.gates - len(by_gate)
    by_gate = np.vstack([by_gate, np.zeros((missing, by_gate.shape[1]), np.int64)])
    return by_gate[:, list(layer.neurons)].T[place.number :: post_units].reshape(-1)
