"""Cycles of the dense machine, exactly, without simulating it (docs/dense.md).

Nothing in that machine waits but the issue of passes, and that waits for activations alone; so the
model follows the issues of each half, and where the pattern of a step repeats it goes on by
multiplication.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.host.plan import Phase, TilePlan

__all__ = [
    "TileLayer",
    "half_cycles",
    "layer_cycles",
    "network_cycles",
]


@dataclass(frozen=True)
class TileLayer:
    """What the model has to know of a layer.

    Members
    -------
    plan: its tiles.
    inputs: places of the input vector.
    units: its neurons.
    steps: the steps that it runs.
    kind: one of GATES.
    wide: its outputs are wider than an element of the store.
    fresh: it starts from state zero.
    reverse: it begins with the last step.
    paired: it is two layers that take turns.
    lengths: cycles of each pass of a step, in order, where columns are masked.
    peephole: it is an LSTM with peepholes.
    streams: sequences that take turns.
    adds: its outputs are added to those of the layer before.
    """

    plan: TilePlan
    inputs: int
    units: int
    steps: int
    kind: str = "lstm"
    wide: bool = False
    fresh: bool = True
    reverse: bool = False
    paired: bool = False
    lengths: tuple[int, ...] = ()
    peephole: bool = False
    streams: int = 1
    adds: bool = False


def half_cycles(phases: Sequence[Phase]) -> int:
    """Issues of one half, of one gate where the rows come gate by gate."""
    return sum(phase.length * phase.passes for phase in phases)


#: Beside a section's words: cycles from a run's beginning until the first is there, and from where
#: one begins until the next one is.
_FIRST, _NEXT = 6, 3


def network_cycles(
    config: DenseConfig, layers: Sequence[TileLayer], readings: Sequence[int] = ()
) -> int:
    """Cycles from RUN to the last output, as the machine counts them.

    Of the layers before the last none may send its outputs to the host.

    Parameters
    ----------
    readings: of weights from external memory that are swapped in, the cycles that the words of each
        layer take, of the first one with the memory's latency; none where they are all there.
    """
    start = end = 0
    before = 0  # when the layer before began
    for number, layer in enumerate(layers):
        if config.stream_bits:  # whether its weights are there is asked a cycle later
            start += 1
        if readings:
            start = max(start, before + readings[number] + (_NEXT if number else _FIRST))
        before = start
        end, start = layer_cycles(config, layer, start)
    return end + 2


def layer_cycles(config: DenseConfig, layer: TileLayer, start: int = 0) -> tuple[int, int]:
    """The cycle of the last output, and the one in which the next layer could start."""
    return _Run(config, layer, start).run()


class _Run:
    def __init__(self, config: DenseConfig, layer: TileLayer, start: int):
        self.config, self.layer = config, layer
        self.start = start + (layer.reverse or layer.paired)
        self.in_words = ceil_div(layer.inputs, config.word)
        self.out_words = ceil_div(layer.units, config.word)
        # From the go of a pass's last cycle: to the tap, to the announcement's effect, to the bus.
        self.to_tap = config.issue_to_operand
        after = config.post_latency(layer.kind == "gru", layer.peephole) + 1
        self.to_use = self.to_tap + after - config.issue_to_read
        self.to_bus = self.to_tap + after

    def run(self) -> tuple[int, int]:
        layer = self.layer
        recurrent = bool(layer.plan.h)
        late = layer.wide or layer.adds  # what is written last
        go = self.start  # of the last issue
        fetched = self.start  # the loader's last word
        used = [-(1 << 60), -(1 << 60)]
        sent = -(1 << 60)  # when the emitter last began to skip a step
        # Of each layer of a pair: by columns; the last: whole.
        turns = 2 if layer.paired else layer.streams
        ready = [[self.start + 1]] * turns
        end = 0
        steps = layer.steps * turns
        seen: dict[tuple[int, ...], tuple[int, int]] = {}
        step = 0
        skipped = False
        while step < steps:
            turn = step % turns
            first = fetched + 2 if step else self.start + 1
            first = max(first, used[0] + 2)
            fetched = first + self.in_words - 1
            x_ready = self._vector(first, self.in_words)
            if step == 0 and recurrent and not layer.fresh:
                for one in range(turns):
                    first = fetched + 2
                    fetched = first + self.out_words - 1
                    ready[one] = self._vector(first, self.out_words)
            least = go + 1
            if recurrent and not layer.plan.order.unfolded:
                least = max(least, ready[turn][-1])
            own = turn * len(layer.lengths) // 2 if layer.paired else 0
            self.lengths = iter(layer.lengths[own:])
            go, x_go, ends = self._step(least, x_ready, ready[turn] if recurrent else None)
            used = [used[1], x_go]
            words = self._words(layer.plan.h if recurrent else layer.plan.x, ends)
            ready[turn] = self._arrival([tap + self.to_use - self.to_tap for tap in words])
            end = words[-1] + self.to_bus - self.to_tap
            sent = max(end + 1 + late, sent + 3)
            step += 1
            if not skipped and step % turns == 0:
                # All that the next step depends on, relative to now.
                state = (
                    go - fetched,
                    go - used[0],
                    go - used[1],
                    go - max(sent, go - 64),
                    *(go - one for columns in ready for one in columns),
                )
                if state in seen and step < steps:
                    step_before, go_before = seen[state]
                    period, length = step - step_before, go - go_before
                    times = (steps - step) // period
                    move = times * length
                    go, fetched, end, sent = go + move, fetched + move, end + move, sent + move
                    used = [one + move for one in used]
                    ready = [[one + move for one in columns] for columns in ready]
                    step += times * period
                    skipped = True
                seen[state] = (step, go)
        return end + late, sent + 4

    def _vector(self, first: int, words: int) -> list[int]:
        return self._arrival([first + word + 1 for word in range(words)])

    def _arrival(self, times: list[int]) -> list[int]:
        """From when on each number of columns may be used; the last entry: all."""
        each = self.config.words_per_column
        return [*times[each - 1 : -1 : each], times[-1]]

    def _step(
        self, least: int, x_ready: list[int], h_ready: list[int] | None
    ) -> tuple[int, int, list[int]]:
        """The last issue, the last one of the input half, and that of each pass that completes
        neurons."""
        plan = self.layer.plan
        gates = plan.gates(self.layer.kind)
        outer, inner = (gates, 1) if plan.order.gate_outer else (1, gates)
        now = least - 1
        for _ in range(outer):
            now, ends = self._issue(plan.x, now + 1, x_ready, inner)
            x_last = now
            if h_ready is not None:
                now, ends = self._issue(plan.h, now + 1, h_ready, inner)
        return now, x_last, ends

    def _issue(
        self, phases: Sequence[Phase], least: int, ready: list[int], times: int
    ) -> tuple[int, list[int]]:
        """The last issue, and the last issue of each pass, which is made so many times."""
        now = least - 1
        ends = []
        whole = ready[-1]
        for phase in phases:
            joined = self.config.banks // phase.groups
            for _ in range(phase.passes):
                for _ in range(times):
                    if self.layer.lengths:
                        now = max(now + 1, whole) + next(self.lengths) - 1
                        continue
                    if now + 1 >= whole:
                        now += phase.length
                        continue
                    for column in range(phase.length):
                        needed = (column + 1) * joined
                        at = ready[needed - 1] if needed < len(ready) else whole
                        now = max(now + 1, at)
                ends.append(now)
        return now, ends

    def _words(self, phases: Sequence[Phase], ends: list[int]) -> list[int]:
        """When each output word is complete at the tap."""
        slices = self.config.slices
        rows = self.config.cell_rows if self.layer.plan.order.gate_major else 1
        words: dict[int, int] = {}
        segment = index = 0
        for phase in phases:
            for _ in range(phase.passes):
                for turn in range(max(rows, phase.groups // slices)):
                    word = rows * (segment // slices) + turn
                    words[word] = ends[index] + self.to_tap + (turn << self.layer.wide)
                segment += phase.groups
                index += 1
        return [words[word] for word in range(self.out_words)]
