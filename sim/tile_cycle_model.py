"""Cycles of the dense machine, exactly, without simulating it (docs/adaptive-tiles.md).

Nothing in that machine waits but the issue of passes, and that waits for activations alone; so the
model follows the issues of each half, and where the pattern of a step repeats it goes on by
multiplication.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sparnn.hdl.tile.config import TileConfig

__all__ = ["Phase", "TileLayer", "TilePlan", "half_cycles", "layer_cycles", "network_cycles"]


@dataclass(frozen=True)
class Phase:
    """Equal passes: ``groups`` row segments side by side, ``length`` cycles, ``passes`` of them."""

    groups: int
    length: int
    passes: int


@dataclass(frozen=True)
class TilePlan:
    """The tiles of one layer. h is empty without a hidden half. unfolded: the schedule."""

    x: tuple[Phase, ...]
    h: tuple[Phase, ...]
    unfolded: bool = True


@dataclass(frozen=True)
class TileLayer:
    """What the model has to know of a layer. steps: that it runs. fresh: from state zero."""

    plan: TilePlan
    inputs: int
    units: int
    steps: int
    gru: bool = False
    wide: bool = False
    fresh: bool = True


def half_cycles(phases: Sequence[Phase]) -> int:
    """Issues of one half."""
    return sum(phase.length * phase.passes for phase in phases)


def network_cycles(config: TileConfig, layers: Sequence[TileLayer]) -> int:
    """Cycles from RUN to the last output, as the machine counts them.

    Of the layers before the last none may send its outputs to the host.
    """
    start = 0
    end = 0
    for layer in layers:
        end, start = layer_cycles(config, layer, start)
    return end + 2


def layer_cycles(config: TileConfig, layer: TileLayer, start: int = 0) -> tuple[int, int]:
    """The cycle of the last output, and the one in which the next layer could start."""
    return _Run(config, layer, start).run()


class _Run:
    def __init__(self, config: TileConfig, layer: TileLayer, start: int):
        self.config, self.layer, self.start = config, layer, start
        self.in_words = -(-layer.inputs // config.word)
        self.out_words = -(-layer.units // config.word)
        # From the go of a pass's last cycle: to the tap, to the announcement's effect, to the bus.
        self.to_tap = config.issue_to_operand
        after = config.post_latency(layer.gru) + 1
        self.to_use = self.to_tap + after - 4 + 1
        self.to_bus = self.to_tap + after

    def run(self) -> tuple[int, int]:
        layer = self.layer
        recurrent = bool(layer.plan.h)
        go = self.start  # of the last issue
        fetched = self.start  # the loader's last word
        used = [-(1 << 60), -(1 << 60)]
        sent = -(1 << 60)  # when the emitter last began to skip a step
        ready: list[int] | None = None  # by columns; the last: whole
        end = 0
        if recurrent and layer.fresh:
            ready = [self.start + 1]
        seen: dict[tuple[int, ...], tuple[int, int]] = {}
        step = 0
        skipped = False
        while step < layer.steps:
            first = fetched + 2 if step else self.start + 1
            first = max(first, used[0] + 2)
            fetched = first + self.in_words - 1
            x_ready = self._vector(first, self.in_words)
            if step == 0 and recurrent and not layer.fresh:
                first = fetched + 2
                fetched = first + self.out_words - 1
                ready = self._vector(first, self.out_words)
            least = go + 1
            if recurrent and not layer.plan.unfolded:
                assert ready is not None
                least = max(least, ready[-1])
            go, x_ends = self._issue(layer.plan.x, least, x_ready)
            used = [used[1], go]
            ends = x_ends
            if recurrent:
                assert ready is not None
                go, ends = self._issue(layer.plan.h, go + 1, ready)
            words = self._words(layer.plan.h if recurrent else layer.plan.x, ends)
            ready = self._arrival([tap + self.to_use - self.to_tap for tap in words])
            end = words[-1] + self.to_bus - self.to_tap
            sent = max(end + 1 + layer.wide, sent + 3)
            step += 1
            if not skipped:
                # All that the next step depends on, relative to now.
                state = (
                    go - fetched,
                    go - used[0],
                    go - used[1],
                    go - max(sent, go - 64),
                    *(go - one for one in ready),
                )
                if state in seen and step < layer.steps:
                    step_before, go_before = seen[state]
                    period, length = step - step_before, go - go_before
                    times = (layer.steps - step) // period
                    move = times * length
                    go, fetched, end, sent = go + move, fetched + move, end + move, sent + move
                    used = [one + move for one in used]
                    ready = [one + move for one in ready]
                    step += times * period
                    skipped = True
                seen[state] = (step, go)
        return end + layer.wide, sent + 4

    def _vector(self, first: int, words: int) -> list[int]:
        return self._arrival([first + word + 1 for word in range(words)])

    def _arrival(self, times: list[int]) -> list[int]:
        """From when on each number of columns may be used; the last entry: all."""
        each = self.config.words_per_column
        return [*times[each - 1 : -1 : each], times[-1]]

    def _issue(
        self, phases: Sequence[Phase], least: int, ready: list[int]
    ) -> tuple[int, list[int]]:
        """The last issue, and the last issue of each pass."""
        now = least - 1
        ends = []
        whole = ready[-1]
        for phase in phases:
            joined = self.config.banks // phase.groups
            for _ in range(phase.passes):
                if now + 1 >= whole:
                    now += phase.length
                else:
                    for column in range(phase.length):
                        needed = (column + 1) * joined
                        at = ready[needed - 1] if needed < len(ready) else whole
                        now = max(now + 1, at)
                ends.append(now)
        return now, ends

    def _words(self, phases: Sequence[Phase], ends: list[int]) -> list[int]:
        """When each output word is complete at the tap."""
        slices = self.config.slices
        words: dict[int, int] = {}
        segment = index = 0
        for phase in phases:
            for _ in range(phase.passes):
                for turn in range(max(1, phase.groups // slices)):
                    words[segment // slices + turn] = ends[index] + self.to_tap + turn
                segment += phase.groups
                index += 1
        return [words[word] for word in range(self.out_words)]
