"""Where sequences and hidden states lie in the store."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from sparnn.gen.machines.shared.order import side_by_side
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerNetwork

from .layout import NetworkLayout

__all__ = ["Store", "allocate", "read_stages", "source", "stage_order", "stored"]


@dataclass(frozen=True)
class Store:
    """Where sequences and hidden states lie: word addresses, and words per step of the sequences.

    The hidden states come first, then the outputs of layers that run a single step, then the
    regions of sequences: two that hold the stages' input sequences in turn (stage k reads region
    k mod 2), and one more for each sequence that the host reads after the run. In a packed store
    what comes first lies in the rows that hold words whole, and the regions begin at address 0.

    Members
    -------
    hidden, single: by layer.
    region: of each stage's output; -1 where it is a single step, which lies at ``single``.
    fixed: words before the regions, or in whole rows.
    first: address of the first region.
    words: broadcast words of one step of each stage's output.
    """

    hidden: tuple[int, ...]
    single: tuple[int, ...]
    fixed: int
    first: int
    per_step: tuple[int, ...]
    region: tuple[int, ...]
    words: tuple[int, ...]

    def moved(self, before: SparseConfig, after: SparseConfig) -> "Store":
        """The same where the machine's store has been enlarged: whole rows lie behind its words."""
        words = (after.store_depth - before.store_depth) * after.packed_store
        return replace(
            self,
            hidden=tuple(base + words for base in self.hidden),
            single=tuple(base + words for base in self.single),
        )

    def sequence_base(self, region: int, max_steps: int) -> int:
        return self.first + sum(self.per_step[:region]) * max_steps

    def output_base(self, stage: tuple[int, ...], number: int, max_steps: int) -> int:
        """Where the first step of what a stage gives begins."""
        if self.region[number] < 0:
            return self.single[stage[0]]
        return self.sequence_base(self.region[number], max_steps)


def stored(network: IntegerNetwork, single: Sequence[bool], number: int) -> bool:
    """Whether the next stage reads this stage's outputs from the store; else it is the last one,
    or the next one reads the hidden states."""
    stages = network.stages
    if number + 1 == len(stages):
        return False
    after = stages[number + 1][0]
    recurrent = network.layers[stages[number][-1]].has_hidden and not single[stages[number][-1]]
    return not (single[after] and recurrent) or _reads_step(network, number + 1, after)


def allocate(
    network: IntegerNetwork, config: SparseConfig, single: Sequence[bool], read: Set[int]
) -> Store:
    """Place hidden states and sequences. ``read``: see :func:`read_stages`."""
    stages = network.stages
    whole = config.store_depth if config.packed_store else 0
    base = whole
    hidden: list[int] = []
    one_step = []
    out_words = [ceil_div(layer.units, config.post_units) for layer in network.layers]
    for layer, words in zip(network.layers, out_words, strict=True):
        if layer.join == "reset":  # both read and write the same place in turn
            hidden.append(hidden[-1])
            continue
        hidden.append(base)
        base += words if layer.has_hidden else 0
    stage_of = {index: number for number, stage in enumerate(stages) for index in stage}
    for index, words in enumerate(out_words):
        one_step.append(base)
        kept = stored(network, single, stage_of[index]) or stage_of[index] in read
        base += words if single[index] and kept else 0
    per_step = [0, 0]
    per_step[0] = 0 if single[0] else ceil_div(network.layers[0].inputs, config.post_units)
    region, stage_words = [], []
    for number, stage in enumerate(stages):
        words = sum(out_words[index] for index in stage)
        if network.layers[stage[-1]].join in ("sum", "reset"):
            words = out_words[stage[-1]]
        stage_words.append(words)
        region.append((number + 1) % 2)
        if single[stage[-1]]:
            region[-1] = -1
        elif number in read:
            region[-1] = len(per_step)
            per_step.append(words)
        elif stored(network, single, number):
            per_step[region[-1]] = max(per_step[region[-1]], words)
    return Store(
        hidden=tuple(hidden),
        single=tuple(one_step),
        fixed=base - whole,
        first=0 if config.packed_store else base,
        per_step=tuple(per_step),
        region=tuple(region),
        words=tuple(stage_words),
    )


def source(
    network: IntegerNetwork,
    store: Store,
    single: Sequence[bool],
    number: int,
    index: int,
    max_steps: int,
) -> dict[str, int]:
    """The descriptor fields that say what a layer reads."""
    region = 0 if number == 0 else store.region[number - 1]
    sequence = store.sequence_base(region, max_steps)
    if not single[index]:
        return {"in_base": sequence}
    before = network.stages[number - 1]
    if single[before[-1]]:
        return {"in_base": store.single[before[0]]}
    if _reads_step(network, number, index):
        return {"in_base": sequence, "reverse": 1}
    return {"in_base": store.hidden[before[0]]}


def _reads_step(network: IntegerNetwork, number: int, index: int) -> bool:
    """Whether a layer of one step reads the last one of a sequence, and not final states.

    After a forward layer the two are the same, and the final state lies at a fixed address.
    """
    before, layer = network.stages[number - 1], network.layers[index]
    backwards = any(network.layers[one].reverse for one in before)
    added = network.layers[before[-1]].join == "sum"
    return (backwards or added) and (layer.last_step or not layer.last_only)


def read_stages(network: IntegerNetwork, wanted: Sequence[Set[str]]) -> frozenset[int]:
    """Stages whose sequence the host reads from the store, because it is not computed in order.

    ``wanted``: of each stage, what the host wants of it.
    """
    read = set()
    for number, (stage, what) in enumerate(zip(network.stages, wanted, strict=True)):
        last = network.layers[stage[-1]]
        if (last.reverse or last.join in ("concat", "sum")) and what & {"sequence", "step"}:
            read.add(number)
    return frozenset(read)


def stage_order(
    network: IntegerNetwork, layout: NetworkLayout, config: SparseConfig, stage: tuple[int, ...]
) -> tuple[int, ...]:
    """Position -> feature of what a stage gives; -1 where there is none."""
    orders = [layout.layers[index].neurons for index in stage]
    if network.layers[stage[-1]].join == "sum":
        orders = orders[:1]
    return tuple(int(n) for n in side_by_side(orders, config.post_units))
