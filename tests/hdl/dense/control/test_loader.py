"""The loader beside the list of vectors that a layer reads; the store answers a cycle later."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.control.loader import VectorLoader, WordPlace
from sparnn.hdl.host.protocol import Kind
from tests.hdl.stream_helpers import plain, run


@dataclass
class Vector:
    """One vector on its way: where it lies, how long it is, and where its copy begins."""

    address: int
    words: int
    hidden: int
    begin: int


@dataclass
class Layer:
    kind: Kind
    steps: int
    in_words: int
    out_words: int
    fresh: int = 0
    reverse: int = 0
    paired: int = 0
    streams: int = 1
    last_apart: int = 0
    in_base: int = 20
    in_last_base: int = 300
    hidden_base: int = 400
    steps_before: int = 0  # of the run, where the layer reads its last step only

    @property
    def in_ahead(self) -> int:
        return self.in_words * (self.steps + self.steps_before - 1)

    def descriptor(self) -> dict[str, int]:
        names = ("kind", "in_words", "out_words", "reverse", "paired", "last_apart")
        names += ("in_base", "in_last_base", "hidden_base")
        return {name: getattr(self, name) for name in names} | {"streams_last": self.streams - 1}

    def inputs(self) -> list[int]:
        """Addresses of the vectors of x, in order."""

        def place(step: int, stream: int = 0) -> int:
            last = step + 1 == self.steps
            if last and self.last_apart:
                return self.in_last_base + stream * self.in_words
            shift = self.steps_before if self.reverse else 0
            return self.in_base + ((step + shift) * self.streams + stream) * self.in_words

        steps = range(self.steps)
        if self.paired:
            return [place(s) for step in steps for s in (step, self.steps - 1 - step)]
        if self.reverse:
            return [place(step) for step in reversed(steps)]
        return [place(step, stream) for step in steps for stream in range(self.streams)]

    def vectors(self, config: DenseConfig) -> list[Vector]:
        """x_0, the hidden states, x_1, x_2, …"""
        turns = 2 if self.paired else self.streams
        x = [
            Vector(address, self.in_words, 0, config.columns * (number % 2))
            for number, address in enumerate(self.inputs())
        ]
        h = []
        if not self.fresh and self.kind != Kind.LINEAR:
            parts = 2 if turns <= 2 else 4
            h = [
                Vector(
                    self.hidden_base + turn * self.out_words,
                    self.out_words,
                    1,
                    config.columns + config.columns // parts * turn,
                )
                for turn in range(turns)
            ]
        return [x[0], *h, *x[1:]]


def make_config(**changes: int) -> DenseConfig:
    parameters = {"lanes": 16, "banks": 2, "width": 8, "slices": 2, "store_depth": 512}
    return DenseConfig(**(parameters | changes))


async def check_layer(
    ctx: Any, dut: VectorLoader, config: DenseConfig, layer: Layer, seed: int
) -> None:
    """One layer, whose input vectors are used up at random times."""
    rng = np.random.default_rng(seed)
    each = config.words_per_column
    store = [int(rng.integers(1 << min(62, config.store_entry_bits))) for _ in range(512)]
    ctx.set(dut.layer, layer.descriptor())
    ctx.set(dut.steps, layer.steps)
    ctx.set(dut.fresh, layer.fresh)
    ctx.set(dut.in_ahead, layer.in_ahead)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    vectors = layer.vectors(config)
    word = whole = pause = 0
    # Two cycles later a word is on the bus: (hidden, place, address, store's word).
    under_way: list[tuple[int, int, int, int] | None] = [None, None]
    bits = config.activation_bits
    for _ in range(1500):
        ctx.set(dut.x_whole, whole)
        used = whole > 0 and rng.random() < 0.15
        asked = None
        if ctx.get(dut.store_en):
            now = vectors[0]
            if word == 0 and not now.hidden:
                assert whole < 2, "no buffer is free"
            asked = ctx.get(dut.store_addr)
            assert asked == now.address + word
            assert ctx.get(dut.x_word) == 1 - now.hidden
            assert ctx.get(dut.h_word) == now.hidden
            last = word + 1 == now.words
            assert ctx.get(dut.h_end if now.hidden else dut.x_end) == last
            coming = now.hidden, word % each, now.begin + word // each, store[asked]
            word = 0 if last else word + 1
            if last:
                vectors.pop(0)
            pause = 0
            arrived = last and not now.hidden
        else:
            assert word == 0, "one word per cycle"
            assert not ctx.get(dut.x_word)
            assert not ctx.get(dut.h_word)
            coming, arrived = None, False
            # One cycle passes between two vectors.
            waits = bool(vectors) and (vectors[0].hidden or whole < 2)
            pause = pause + 1 if waits else 0
            assert pause <= 1
        on_bus = under_way.pop(0)
        under_way.append(coming)
        bus = plain(ctx.get(dut.bus.valid))
        assert bus == ((1 << config.slices) - 1 if on_bus else 0)
        if on_bus:
            hidden, place, address, value = on_bus
            assert ctx.get(dut.to_hidden) == hidden
            assert ctx.get(dut.bus.place) == place
            assert ctx.get(dut.bus.addr) == address
            for part in range(config.word):
                raw = value >> bits * part & (1 << bits) - 1
                assert ctx.get(dut.bus.data[part]) == raw - (raw >> bits - 1 << bits)
        whole += arrived - used
        if not vectors and not any(under_way):
            break
        await ctx.tick()
        ctx.set(dut.store_data, store[asked] if asked is not None else int(rng.integers(1 << 8)))
    else:
        raise AssertionError(f"{len(vectors)} vectors are missing")
    await ctx.tick()
    ctx.set(dut.x_whole, 0)
    for _ in range(6):
        assert not ctx.get(dut.store_en)
        assert not ctx.get(dut.bus.valid)
        await ctx.tick()


def simulate(config: DenseConfig, layers: list[Layer]) -> None:
    dut = VectorLoader(config)

    async def bench(ctx: Any) -> None:
        for number, layer in enumerate(layers):
            await check_layer(ctx, dut, config, layer, number)

    run(dut, bench, cycles=5000)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lanes": 1, "banks": 1, "slices": 1, "width": 1, "gate_depth": 2, "columns": 6},
        {"lanes": 12, "slices": 1, "width": 4, "activation_bits": 13, "columns": 9},
    ],
)
@pytest.mark.parametrize("last_apart", [0, 1])
def test_one_direction(changes: dict[str, int], last_apart: int) -> None:
    """Forwards and backwards, from zero and from a state, one step and many."""
    config = make_config(**changes)
    most = config.columns // 2 * config.words_per_column
    layers = []
    for kind, steps, fresh, reverse in (
        (Kind.LSTM, 1, 0, 0),
        (Kind.LSTM, 4, 0, 0),
        (Kind.GRU, 3, 1, 0),
        (Kind.LINEAR, 5, 0, 0),
        (Kind.RNN, 1, 0, 1),
        (Kind.LSTM, 4, 0, 1),
        (Kind.LINEAR, 3, 1, 1),
    ):
        layers.append(
            Layer(
                kind,
                steps,
                in_words=(1, 3, most)[steps % 3],
                out_words=(most, 1, 2)[steps % 3],
                fresh=fresh,
                reverse=reverse,
                last_apart=last_apart,
            )
        )
    simulate(config, layers)


def test_last_step_of_a_run() -> None:
    """A single step backwards reads where the run's last step lies."""
    layer = Layer(Kind.LSTM, 1, 3, 2, reverse=1, steps_before=4)
    simulate(make_config(), [layer, Layer(Kind.LINEAR, 1, 2, 1, reverse=1, steps_before=2)])


@pytest.mark.parametrize("streams", [1, 4])
@pytest.mark.parametrize("last_apart", [0, 1])
def test_pairs(last_apart: int, streams: int) -> None:
    """One vector forwards, one backwards; both hidden states after the first."""
    config = make_config(streams=streams)
    layers = [
        Layer(Kind.LSTM, 1, 3, 5, paired=1, last_apart=last_apart),
        Layer(Kind.GRU, 4, 5, 2, paired=1, last_apart=last_apart),
        Layer(Kind.RNN, 3, 1, 1, paired=1, last_apart=last_apart, fresh=1),
    ]
    simulate(config, layers)


@pytest.mark.parametrize("last_apart", [0, 1])
def test_streams(last_apart: int) -> None:
    """The vectors of a step lie one after the other, and so do the states."""
    config = make_config(streams=4)
    layers = [
        Layer(Kind.LSTM, steps, 3, 2, streams=streams, last_apart=last_apart, fresh=streams == 3)
        for streams, steps in ((2, 3), (3, 1), (4, 3), (4, 1))
    ]
    layers.append(Layer(Kind.LINEAR, 3, 2, 1, streams=3, last_apart=last_apart))
    simulate(config, layers)


@pytest.mark.parametrize("lanes", [2, 6, 8])
def test_word_place(lanes: int) -> None:
    """Words fill a column of all lanes, then the next; the last one of a vector ends it."""
    config = make_config(lanes=lanes, width=4, slices=1)
    dut = WordPlace(config)
    rng = np.random.default_rng(lanes)
    each = lanes // 2

    async def bench(ctx: Any) -> None:
        word = 0
        for _ in range(150):
            assert ctx.get(dut.place) == word % each
            assert ctx.get(dut.column) == word // each
            there, end, clear = rng.random() < 0.7, rng.random() < 0.1, rng.random() < 0.03
            ctx.set(dut.word, bool(there))
            ctx.set(dut.end, bool(end))
            ctx.set(dut.clear, bool(clear))
            word += int(there)
            if clear or (there and end):
                word = 0
            await ctx.tick()

    run(dut, bench, cycles=300)
