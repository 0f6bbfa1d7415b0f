"""The dense machine's sequence store: what lies where, and which layers take turns."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.order import side_by_side
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.network.network import IntegerNetwork

from .tiles import wide_outputs

__all__ = [
    "TileStore",
    "allocate",
    "input_order",
    "output_order",
    "paired_layers",
]

#: What two layers have in common that take turns: all but weights and parameters.
_SHARED = ("kind", "activation", "units", "f_pre", "f_state", "f_out", "cell_shift")


@dataclass(frozen=True)
class TileStore:
    """Word addresses.

    The hidden states come first, then the regions of sequences: stage k reads region k mod 2 and
    writes the other one, or one of its own where the host reads its outputs after the run.

    Members
    -------
    hidden: of each layer.
    fixed: words of all hidden states.
    per_step: words of a step in each region.
    region, words: of each stage's output, and words of one step of it.
    last_hidden: of each layer, whether its last step goes to its hidden state alone.
    """

    hidden: tuple[int, ...]
    fixed: int
    per_step: tuple[int, ...]
    region: tuple[int, ...]
    words: tuple[int, ...]
    last_hidden: tuple[bool, ...]

    def base(self, region: int, max_steps: int) -> int:
        """Where a region begins."""
        return self.fixed + sum(self.per_step[:region]) * max_steps

    def source(self, number: int) -> int:
        """The region that a stage reads."""
        return self.region[number - 1] if number else 0


def input_order(network: IntegerNetwork, config: DenseConfig, number: int) -> IntArray:
    """Place -> column of what a stage reads; -1: an empty place."""
    if number == 0:
        return np.arange(network.layers[0].inputs)
    return output_order(network, config, number - 1)


def _giving(network: IntegerNetwork, number: int) -> tuple[int, ...]:
    """The layers whose outputs a stage gives: of a GRU that resets first the candidate alone."""
    stage = network.stages[number]
    return stage[-1:] if network.layers[stage[-1]].join == "reset" else stage


def output_order(network: IntegerNetwork, config: DenseConfig, number: int) -> IntArray:
    """Place -> feature of what a stage gives; -1: an empty place."""
    stage = _giving(network, number)
    if network.layers[stage[-1]].join == "sum":
        stage = stage[-1:]
    return side_by_side([np.arange(network.layers[one].units) for one in stage], config.word)


def paired_layers(
    network: IntegerNetwork, config: DenseConfig, wanted: Sequence[Set[str]], single: Sequence[bool]
) -> set[int]:
    """First layers of the stages whose two layers can take turns, one forwards, one backwards.

    ``wanted``: of each stage, what the host wants of it.
    """
    pairs = set()
    for stage, what in zip(network.stages, wanted, strict=True):
        if network.layers[stage[-1]].join != "concat" or single[stage[0]]:
            continue
        first, other = (network.layers[index] for index in stage)
        places = ceil_div(first.units, config.word) * config.word
        if (
            all(getattr(first, name) == getattr(other, name) for name in _SHARED)
            and (first.w_c is None) == (other.w_c is None)
            and (first.reverse, other.reverse) == (False, True)
            and not what & {"last", "state_h"}  # these are sent, in an order of their own
            and ceil_div(places, config.bank_lanes) <= config.columns // 2
        ):
            pairs.add(stage[0])
    return pairs


def allocate(
    network: IntegerNetwork,
    config: DenseConfig,
    wanted: Sequence[Set[str]],
    single: Sequence[bool],
    streams: int = 1,
) -> TileStore:
    """Place sequences and hidden states; of several streams each has its own.

    Raises
    ------
    SparnnError: a sequence and its final states are wanted of a layer that goes backwards or is
        joined with another: only one of the two is kept.
    """
    hidden: list[int] = []
    fixed = 0
    for layer in network.layers:
        if layer.join == "reset":  # both read and write the same place in turn
            hidden.append(hidden[-1])
            continue
        hidden.append(fixed)
        fixed += ceil_div(layer.units, config.word) * streams if layer.has_hidden else 0
    per_step = [ceil_div(network.layers[0].inputs, config.word), 0]
    region, stage_words = [], []
    last_hidden = [False] * len(network.layers)
    for number, stage in enumerate(network.stages):
        giving = _giving(network, number)
        layers = [network.layers[index] for index in giving]
        added = network.layers[stage[-1]].join == "sum"
        words = sum(
            ceil_div(one.units, config.word) << wide_outputs(config, one) for one in layers[added:]
        )
        ordered = len(giving) == 1 and (not layers[0].reverse or single[stage[0]])
        what = wanted[number]
        after = network.stages[number + 1][0] if number + 1 < len(network.stages) else None
        last_read = after is not None and single[after] and not network.layers[after].last_step
        states = bool(what & {"last", "state_h"}) or last_read
        read = not ordered and bool(what & {"sequence", "step"})
        read |= streams > 1 and bool(what - {"state_c"})
        if not ordered and states and (read or (after is not None and not last_read)):
            raise SparnnError(
                f"layer {layers[-1].name!r}: both its sequence and its final states are used, and "
                f"of a layer that goes backwards or is joined with another the dense machine keeps "
                f"one of them; leave out an output, or compile for a sparse machine, such as "
                f"--config m64"
            )
        for index in stage:
            last_hidden[index] = network.layers[index].has_hidden and (ordered or states)
        stage_words.append(words)
        if read:
            region.append(len(per_step))
            per_step.append(words)
        else:
            region.append((number + 1) % 2)
            per_step[region[-1]] = max(per_step[region[-1]], words)
    return TileStore(
        tuple(hidden),
        fixed,
        tuple(streams * one for one in per_step),
        tuple(region),
        tuple(stage_words),
        tuple(last_hidden),
    )
