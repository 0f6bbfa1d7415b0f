"""The gather beside lists of what each cycle must bring on the bus and into the store."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.control.gather import OutputGather
from sparnn.hdl.host.protocol import Kind
from tests.hdl.dense.model import rne, sat
from tests.hdl.stream_helpers import plain, run


@dataclass
class Layer:
    """A layer and where its outputs go. ``slices_at_once``: of a tile's words."""

    kind: Kind
    steps: int
    out_words: int
    slices_at_once: int = 0  # 0: all
    wide: int = 0
    reverse: int = 0
    paired: int = 0
    streams: int = 1
    last_hidden: int = 0
    peephole: int = 0
    add_stored: int = 0
    sum_shift: int = 0
    out_base: int = 10
    hidden_base: int = 700

    @property
    def turns(self) -> int:
        return 2 if self.paired else self.streams

    @property
    def out_stride(self) -> int:
        return self.out_words * (1 + self.wide) * (2 if self.paired else 1)

    @property
    def out_ahead(self) -> int:
        return self.out_stride * (self.steps - 1)

    def descriptor(self) -> dict[str, int]:
        names = ("kind", "out_words", "wide", "reverse", "paired", "last_hidden", "peephole")
        names += ("add_stored", "sum_shift", "out_base", "hidden_base", "out_stride")
        return {name: getattr(self, name) for name in names} | {"streams_last": self.streams - 1}

    def place(self, step: int, turn: int) -> int:
        """Where the vector of one turn of one step begins, in the order of computing."""
        if self.last_hidden and step + 1 == self.steps:
            return self.hidden_base + turn * self.out_words
        if self.paired:  # the second layer's words lie behind the first one's, and it goes back
            shown = self.steps - 1 - step if turn else step
            return self.out_base + shown * self.out_stride + turn * self.out_words
        shown = self.steps - 1 - step if self.reverse else step
        return self.out_base + (shown * self.streams + turn) * self.out_stride


def make_config(**changes: int) -> DenseConfig:
    parameters = {"lanes": 16, "banks": 2, "width": 8, "slices": 2, "store_depth": 1024}
    return DenseConfig(**(parameters | changes))


Cycles = dict[int, dict[str, Any]]


class Plan:
    """Inputs by cycle, and by cycle what must come: on the bus, for the sequencer, in the store."""

    def __init__(
        self, config: DenseConfig, layer: Layer, rng: np.random.Generator, store: dict[int, int]
    ) -> None:
        self.neurons: Cycles = {}
        self.outputs: Cycles = {}
        self.bus: Cycles = {}
        self.told: Cycles = {}
        self.writes: dict[int, list[tuple[int, int, list[int]]]] = defaultdict(list)
        self.stepped: set[int] = set()
        slices, bits = config.slices, config.activation_bits
        each = config.words_per_column
        parts = 4 if config.streams > 2 and layer.turns > 2 else 2
        latency = config.post_latency(layer.kind == Kind.GRU, bool(layer.peephole))
        at_once = layer.slices_at_once or slices
        low, high = (-32768, 32767) if layer.wide else (-(1 << bits - 1), (1 << bits - 1) - 1)
        at = 0
        self.end = 0
        for step in range(layer.steps):
            for turn in range(layer.turns):
                base = layer.place(step, turn)
                apart = layer.last_hidden and step + 1 == layer.steps
                adds = layer.add_stored and not apart
                for word in range(layer.out_words):
                    groups = range(0, slices, at_once)
                    for first in groups:
                        last_part = first + at_once == slices
                        end = word + 1 == layer.out_words and last_part
                        # A last word may leave the last slices empty.
                        if word + 1 == layer.out_words and not last_part and rng.integers(2):
                            end = True
                        mask = ((1 << at_once) - 1) << first
                        self.neurons[at - 1] = {
                            "valid": 1,
                            "word": word,
                            "turn": turn,
                            "step_end": end,
                            "complete": mask,
                        }
                        values = rng.integers(low, high, config.word, endpoint=True)
                        ends = rng.choice((low, high), config.word)
                        values = np.where(rng.random(config.word) < 0.3, ends, values).tolist()
                        # The cells' outputs come before the stages that only make them late.
                        self.outputs[at + latency - config.extra_stages] = {"values": values}
                        now = at + latency
                        self.bus[now] = {
                            "valid": mask,
                            "place": word % each,
                            "addr": config.columns * (step % 2)
                            + config.columns // parts * turn
                            + word // each,
                            "data": values,
                        }
                        if end or last_part:
                            self.told[now - config.issue_to_read - 1] = {"end": end}
                        address = base + word
                        if adds:
                            found = []
                            for part, value in enumerate(values):
                                raw = store.get(address, 0) >> bits * part & (1 << bits) - 1
                                other = raw - (raw >> bits - 1 << bits)
                                total = sat(rne(value + other, layer.sum_shift), bits)
                                found.append(total & (1 << bits) - 1)
                            self.writes[now + 1].append((mask, address, found))
                        else:
                            found = [value & (1 << bits) - 1 for value in values]
                            self.writes[now].append((mask, address, found))
                        if layer.wide:
                            above = [value >> bits & (1 << bits) - 1 for value in values]
                            self.writes[now + 1].append((mask, address + layer.out_words, above))
                        self.end = now + (1 if adds or layer.wide else 0)
                        if end:
                            self.stepped.add(self.end)
                        pace = 2 if layer.wide else 1
                        at += pace + int(rng.choice((0, 0, 0, 1, 4)))
                        if end:
                            break
            if layer.add_stored:  # no turns: the next step waits for this one's outputs
                at += latency


async def check_layer(
    ctx: Any, dut: OutputGather, config: DenseConfig, layer: Layer, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bits = config.activation_bits
    store = {k: int(rng.integers(1 << min(62, bits * config.word))) for k in range(1024)}
    plan = Plan(config, layer, rng, store)
    ctx.set(dut.layer, layer.descriptor())
    ctx.set(dut.steps, layer.steps)
    ctx.set(dut.out_ahead, layer.out_ahead)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    await ctx.tick().repeat(2)
    recurrent = layer.kind != Kind.LINEAR
    mask = (1 << bits) - 1
    for now in range(-1, plan.end + 6):
        neurons = plan.neurons.get(now, {"word": 5, "step_end": 1, "complete": 0})
        complete = neurons["complete"]
        ctx.set(dut.neurons, {k: v for k, v in neurons.items() if k != "complete"})
        ctx.set(dut.complete, complete)
        if now in plan.outputs:
            for port, value in zip(dut.outputs, plan.outputs[now]["values"], strict=True):
                ctx.set(port, value)
        # For the sequencer.
        told = plan.told.get(now) if recurrent else None
        assert ctx.get(dut.h_word) == (told is not None), now
        if told:
            assert ctx.get(dut.h_end) == told["end"]
        # On the bus.
        bus = plan.bus.get(now) if recurrent else None
        assert ctx.get(dut.bus.valid) == (bus["valid"] if bus else 0), now
        if bus:
            assert ctx.get(dut.bus.place) == bus["place"]
            assert ctx.get(dut.bus.addr) == bus["addr"]
            if not layer.wide:
                assert [plain(ctx.get(one)) for one in dut.bus.data] == bus["data"]
        # Into the store, one word in a cycle.
        wanted = plan.writes.get(now, [(0, None, [])])
        assert len(wanted) == 1
        enable, address, values = wanted[0]
        assert ctx.get(dut.store_en) == enable, now
        if enable:
            assert ctx.get(dut.store_addr) == address, now
            word = ctx.get(dut.store_data)
            for part, value in enumerate(values):
                if enable >> part // config.cells & 1:
                    assert word >> bits * part & mask == value, (now, part)
        assert ctx.get(dut.step) == (now in plan.stepped), now
        assert ctx.get(dut.done) == (now > plan.end), now
        asked = ctx.get(dut.target)
        await ctx.tick()
        if config.sums:
            ctx.set(dut.stored, store.get(asked, 0))


def simulate(config: DenseConfig, layers: list[Layer]) -> None:
    dut = OutputGather(config)

    async def bench(ctx: Any) -> None:
        for number, layer in enumerate(layers):
            await check_layer(ctx, dut, config, layer, number)

    run(dut, bench, cycles=6000)


@pytest.mark.parametrize(
    "changes",
    [
        {"banks": 1, "lanes": 1, "slices": 1, "width": 1, "gate_depth": 2, "columns": 8},
        {"post_stages": 2, "peepholes": 1},
        {"banks": 4, "lanes": 96, "slices": 4, "activation_bits": 13, "operand_stage": 1},
        {"extra_stages": 7},
        {"extra_stages": 1, "slices": 1, "activation_bits": 16},
    ],
)
def test_one_direction(changes: dict[str, int]) -> None:
    """All kinds, forwards and backwards, and the last step in a place of its own."""
    config = make_config(**changes)
    halves = config.slices // 2
    layers = [
        Layer(Kind.LSTM, 3, 4),
        Layer(Kind.LSTM, 2, 3, slices_at_once=halves, reverse=1),
        Layer(Kind.GRU, 4, 1, last_hidden=1),
        Layer(Kind.RNN, 1, 2, slices_at_once=min(1, halves), last_hidden=1),
        Layer(Kind.LINEAR, 3, 3, wide=1),
        Layer(Kind.LINEAR, 2, 2, wide=1, slices_at_once=halves, reverse=1),
        Layer(Kind.RNN, 2, 1, wide=1),
        Layer(Kind.GRU, 3, 4, reverse=1, last_hidden=1),
    ]
    if config.peepholes:
        layers.append(Layer(Kind.LSTM, 3, 3, peephole=1))
    simulate(config, layers)


@pytest.mark.parametrize("streams", [1, 4])
def test_turns(streams: int) -> None:
    """Two directions side by side, or streams one after the other, each in its share of a copy."""
    config = make_config(streams=streams)
    layers = [
        Layer(Kind.LSTM, 3, 4, paired=1),
        Layer(Kind.GRU, 2, 1, paired=1, last_hidden=1, slices_at_once=1),
        Layer(Kind.RNN, 1, 3, paired=1),
    ]
    if streams > 1:
        layers += [
            Layer(Kind.LSTM, 3, 2, streams=2),
            Layer(Kind.GRU, 2, 3, streams=3, last_hidden=1),
            Layer(Kind.RNN, 3, 1, streams=4),
        ]
    simulate(config, layers)


@pytest.mark.parametrize("bits", [8, 16])
def test_sums(bits: int) -> None:
    """What lies at an output's place is added, halved or not; a last state is not."""
    config = make_config(sums=1, activation_bits=bits, slices=1 if bits == 16 else 2)
    layers = [
        Layer(Kind.LSTM, 3, 4, add_stored=1, reverse=1),
        Layer(Kind.GRU, 3, 2, add_stored=1, sum_shift=1, reverse=1),
        Layer(Kind.RNN, 2, 1, add_stored=1, sum_shift=1, slices_at_once=1),
        Layer(Kind.LSTM, 3, 3, add_stored=1, last_hidden=1, reverse=1),
        Layer(Kind.LSTM, 2, 3),
    ]
    layers.append(Layer(Kind.LINEAR, 2, 3, wide=1))
    simulate(config, layers)
