"""How many values a packed store has to hold, and which logs they go to."""

from collections.abc import Sequence, Set

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.network.network import IntegerNetwork

from .layout import NetworkLayout
from .store import Store, stored

__all__ = [
    "MARGIN",
    "ValueRows",
    "check_vectors",
    "log_fields",
    "packed_needs",
    "shortest_vector",
    "store_bits",
    "store_memories",
]


#: Room for values over those of the calibration sequences.
MARGIN = 1.25


def log_fields(store: Store, read: Set[int], number: int, first: bool) -> dict[str, int]:
    """The descriptor fields of a layer of a stage whose outputs are stored.

    The two logs take turns, as the regions do: a stage reads one and writes the other, which holds
    nothing any more unless the host reads it after the run. ``first``: of the stage to be stored.
    """
    kept = any((number - one) % 2 == 0 for one in read if one < number)
    anew = first and not kept and store.region[number] >= 0
    return {"store_side": (number + 1) % 2, "store_anew": int(anew)}


def shortest_vector(network: IntegerNetwork, config: SparseConfig, read: Set[int]) -> int:
    """Words of the shortest vector in the packed part of the store."""
    single = single_steps(network)
    words = [ceil_div(network.layers[0].inputs, config.post_units)]
    for number, stage in enumerate(network.stages):
        if not single[stage[-1]] and (number in read or stored(network, single, number)):
            words += [ceil_div(network.layers[k].units, config.post_units) for k in stage]
    return min(words)


def check_vectors(network: IntegerNetwork, config: SparseConfig, read: Set[int]) -> None:
    """Refuse vectors that are shorter than the store's table can tell apart.

    Raises
    ------
    SparnnError: there is one.
    """
    least = shortest_vector(network, config, read)
    if least < config.vector_words:
        raise SparnnError(
            f"the network has vectors of {least} words of {config.post_units} activations, the "
            f"packed store of the machine keeps places of vectors of at least vector_words = "
            f"{config.vector_words}; lower vector_words to {1 << least.bit_length() - 1}"
        )


class ValueRows:
    """Rows of values that the logs of a run need.

    Parameters
    ----------
    activity: of calibration sequences, see :func:`~sparnn.gen.quantize.activity.measure_activity`:
        the need is that of their fullest stretch of so many steps, and :data:`MARGIN`. None: all
        values count, so that the store cannot overflow.
    """

    def __init__(
        self,
        network: IntegerNetwork,
        layout: NetworkLayout,
        config: SparseConfig,
        store: Store,
        read: Set[int],
        activity: Sequence[BoolArray] | None = None,
    ) -> None:
        self._margin = 1.0 if activity is None else MARGIN
        self._banks = config.post_units
        shapes = [network.layers[0].inputs, *(layer.units for layer in network.layers)]
        active = (
            [np.ones((1, size), bool) for size in shapes] if activity is None else list(activity)
        )
        orders = [layout.inputs, *(place.neurons for place in layout.layers)]
        placed = [one[:, np.asarray(order)] for one, order in zip(active, orders, strict=True)]
        #: For each stage, the values of each step and bank of what lies in the store while it runs.
        self._stages: list[list[IntArray]] = []
        logs: list[list[IntArray]] = [[self._values(placed[0])], []]
        for number, stage in enumerate(network.stages):
            if number in read or stored(network, single_steps(network), number):
                fields = log_fields(store, read, number, True)
                log = logs[fields["store_side"]]
                if fields["store_anew"]:
                    log.clear()
                outputs = [placed[1 + index] for index in stage]
                join = network.layers[stage[-1]].join
                if join == "sum":  # one of the two is there when the other comes, then their sum
                    log += [
                        np.maximum(*(self._values(one) for one in outputs)),
                        self._values(outputs[0] | outputs[1]),
                    ]
                elif store.region[number] >= 0:
                    written = outputs[-1:] if join == "reset" else outputs
                    log += [self._values(one) for one in written]
            self._stages.append([*logs[0], *logs[1]])

    def need(self, steps: int) -> int:
        """Rows for a run of so many steps."""
        return max(
            int(np.sum([self._fullest(values, steps) for values in stage], axis=0).max())
            for stage in self._stages
        )

    def steps(self, rows: int, most: int) -> int:
        """Steps of one run, at most ``most``, for which so many rows are enough."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.need(middle) <= rows else (low, middle - 1)
        return low

    def _values(self, active: BoolArray) -> IntArray:
        """[steps + 1, banks]; the last row is what a step has at most."""
        steps, size = active.shape
        padded = np.zeros((steps + 1, ceil_div(size, self._banks) * self._banks), np.int64)
        padded[:steps, :size] = active
        padded[steps, :size] = 1
        return padded.reshape(steps + 1, -1, self._banks).sum(axis=1)

    def _fullest(self, values: IntArray, steps: int) -> IntArray:
        """Rows of each bank for the fullest stretch of so many steps, and the margin."""
        sums = np.vstack([np.zeros_like(values[:1]), values[:-1].cumsum(axis=0)])
        window = min(steps, len(sums) - 1)
        most = (sums[window:] - sums[:-window]).max(axis=0)
        expected = np.ceil(most * (self._margin * steps / window)).astype(np.int64)
        return np.minimum(expected, steps * values[-1])


def packed_needs(rows: ValueRows, store: Store, config: SparseConfig, steps: int) -> dict[str, int]:
    """Entries that a run of so many steps needs, by the parameter of SparseConfig."""
    dense = max(config.dense_rows, store.fixed)
    return {"dense_rows": store.fixed, "value_rows": dense + rows.need(steps)}


def store_memories(config: SparseConfig) -> list[tuple[int, int]]:
    """Words and bits of each memory of the store."""
    if not config.packed_store:
        return [(config.store_depth, config.store_entry_bits)]
    return [
        (config.store_depth, config.post_units + 1),
        (config.store_depth // config.vector_words, _table_bits(config)),
        *[(config.value_rows, config.activation_bits)] * config.post_units,
    ]


def store_bits(
    config: SparseConfig,
    x: IntArray,
    outputs: Sequence[IntArray],
    stored: IntArray,
    loops: Sequence[tuple[int, ...]],
) -> dict[str, float]:
    """Bits in the store per activation of one stage's sequences, input and output, of one run.

    Parameters
    ----------
    x: [steps, inputs], by position.
    outputs: of one layer, or of two that are added, [steps, units] each, by position.
    stored: what is in the store in the end, outputs of one layer or sums.

    Returns
    -------
    ``dense``: of whole words. ``packed``: masks, the table's share, and every value in the logs, of
    which those of an output that was there before the sum are dead; ``packed_input`` and
    ``packed_output``: of each sequence alone. ``fullest_bank``: its values over the banks' mean.
    """
    bits, steps, banks = config.activation_bits, len(x), config.post_units
    words = [ceil_div(one.shape[1], banks) for one in (x, outputs[0])]
    masks = banks + 1 + _table_bits(config) / config.vector_words
    written = [x, stored]
    if len(outputs) == 2:
        # In turn, the second direction comes first to the steps of the sequence's second half.
        before = np.arange(steps) <= (steps - 1) / 2 if len(loops) == 1 else np.ones(steps, bool)
        written.append(np.where(before[:, np.newaxis], *outputs))
    values = [int(np.count_nonzero(one)) for one in written]
    each = [
        sum(int(np.count_nonzero(one[:, bank::banks])) for one in written) for bank in range(banks)
    ]
    packed_input = steps * masks * words[0] + bits * values[0]
    packed_output = steps * masks * words[1] + bits * sum(values[1:])
    both = x.size + stored.size
    return {
        "dense": steps * sum(words) * config.store_entry_bits / both,
        "packed": (packed_input + packed_output) / both,
        "packed_input": packed_input / x.size,
        "packed_output": packed_output / stored.size,
        "fullest_bank": max(each) * banks / max(1, sum(values)),
    }


def _table_bits(config: SparseConfig) -> int:
    return config.post_units * clog2(config.value_rows) + 1
