"""The dispatcher beside a list of the layers of each run: order, pulses, and counted cycles."""

from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.control.dispatcher import LayerDispatcher
from sparnn.hdl.dense.descriptor import DESCRIPTOR
from tests.hdl.stream_helpers import plain, run

Fields = dict[str, int]


def make_config(program_depth: int, stream_bits: int = 0) -> DenseConfig:
    return DenseConfig(program_depth=program_depth, store_depth=4000, stream_bits=stream_bits)


def random_layer(rng: np.random.Generator, **fixed: int) -> Fields:
    """Every field at random, often at an end, but those that decide what comes next."""
    fields = {}
    for name in DESCRIPTOR.fields:
        least, most = DESCRIPTOR.fields[name].range
        fields[name] = int(rng.choice((least, most, rng.integers(least, most + 1))))
    decisive = ("last_layer", "reverse", "paired", "single_step")
    return fields | dict.fromkeys(decisive, 0) | fixed


async def load(ctx: Any, dut: LayerDispatcher, layers: list[Fields]) -> None:
    """Write the descriptors, in any order of their words."""
    words = [word for layer in layers for word in DESCRIPTOR.encode(layer)]
    for address in np.random.default_rng(0).permutation(len(words)).tolist():
        ctx.set(dut.load_en, 1)
        ctx.set(dut.load_addr, address)
        ctx.set(dut.load_data, words[address])
        await ctx.tick()
    ctx.set(dut.load_en, 0)
    ctx.set(dut.load_data, 0xFFFFFFFF)
    await ctx.tick().repeat(2)


class Clock:
    """Ticks, and keeps what is said in every cycle in mind."""

    def __init__(self, ctx: Any, dut: LayerDispatcher) -> None:
        self.ctx, self.dut = ctx, dut
        self.now = 0

    async def tick(self) -> None:
        await self.ctx.tick()
        self.now += 1

    async def until_start(self, cycles: int) -> None:
        """No start before so many cycles, and then one."""
        for _ in range(cycles):
            assert not self.ctx.get(self.dut.start), self.now
            await self.tick()
        assert self.ctx.get(self.dut.start), self.now


def executed(layers: list[Fields]) -> list[Fields]:
    """The second layer of a pair has no turn of its own."""
    found, number = [], 0
    while True:
        found.append(layers[number])
        if layers[number]["last_layer"]:
            return found
        number += 1 + layers[number]["paired"]


async def check_weights(clock: Clock, layer: Fields, rng: np.random.Generator) -> None:
    """The layer waits for its weights, and says in the cycle in which it begins whether they may
    be replaced next."""
    ctx, dut = clock.ctx, clock.dut
    ctx.set(dut.weights_there, 0)
    for _ in range(int(rng.integers(4))):
        assert not ctx.get(dut.weights_next)
        assert not ctx.get(dut.start)
        await clock.tick()
    ctx.set(dut.weights_there, 1)
    assert ctx.get(dut.weights_next) == layer["swapped"]
    await clock.tick()


async def check_run(
    clock: Clock, layers: list[Fields], steps: int, reset: int, rng: np.random.Generator
) -> None:
    """One run, whose layers take random times in the array and at the host."""
    ctx, dut = clock.ctx, clock.dut
    config_bits = len(dut.in_ahead)
    ctx.set(dut.run, 1)
    ctx.set(dut.run_steps, steps)
    ctx.set(dut.run_reset, reset)
    begun = clock.now
    for number, layer in enumerate(executed(layers)):
        backwards = layer["reverse"] or layer["paired"]
        if number:
            assert not ctx.get(dut.start)
            await clock.tick()
        else:
            await clock.tick()
            ctx.set(dut.run, 0)
            ctx.set(dut.run_steps, int(rng.integers(1 << 24)))
            ctx.set(dut.run_reset, 1 - reset)
        if "weights_next" in dut.signature.members:
            await check_weights(clock, layer, rng)
        # The layer is there in the next cycle; going backwards takes another one.
        await clock.until_start(backwards)
        own = 1 if layer["single_step"] else steps
        there = dut.layer.shape().members
        layer = {name: value for name, value in layer.items() if name in there}
        assert plain(ctx.get(dut.layer)) == layer
        assert ctx.get(dut.steps) == own
        assert ctx.get(dut.fresh) == reset
        if backwards:
            for got, words in (
                (dut.in_ahead, layer["in_words"] * (steps - 1)),
                (dut.out_ahead, layer["out_stride"] * (own - 1)),
            ):
                assert ctx.get(got) == words % (1 << config_bits)
        # ``layer_done`` is still that of the layer before while ``start`` is out.
        ctx.set(dut.layer_done, int(rng.integers(2)))
        await clock.tick()
        ctx.set(dut.layer_done, 0)
        for _ in range(int(rng.integers(1, 12))):
            ctx.set(dut.sent, int(rng.integers(2)))
            assert not ctx.get(dut.start)
            assert ctx.get(dut.busy)
            assert plain(ctx.get(dut.layer)) == layer
            await clock.tick()
        ctx.set(dut.layer_done, 1)
        sent_late = int(rng.integers(3))
        done = clock.now
        for _ in range(sent_late):
            ctx.set(dut.sent, 0)
            assert not ctx.get(dut.start)
            assert ctx.get(dut.busy)
            await clock.tick()
        ctx.set(dut.sent, 1)
    # The last layer.
    for _ in range(2):
        await clock.tick()
    assert not ctx.get(dut.busy)
    for _ in range(4):
        assert ctx.get(dut.cycles) == done - begun
        assert not ctx.get(dut.busy)
        assert not ctx.get(dut.start)
        await clock.tick()


@pytest.mark.parametrize("stream_bits", [0, 64])
@pytest.mark.parametrize("seed", range(3))
def test_runs(seed: int, stream_bits: int) -> None:
    """Programs of one layer and of as many as there is room for, pairs and reverse ones."""
    config = make_config(program_depth=(1, 4, 7)[seed], stream_bits=stream_bits)
    dut = LayerDispatcher(config)
    rng = np.random.default_rng(seed)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.layer_done, 1)
        ctx.set(dut.sent, 1)
        clock = Clock(ctx, dut)
        for _ in range(4):
            count = int(rng.integers(1, config.program_depth + 1))
            layers: list[Fields] = []
            while len(layers) < count:
                paired = int(count - len(layers) >= 2 and rng.integers(3) == 0)
                last = int(len(layers) + 1 + paired == count)
                layer = random_layer(
                    rng,
                    paired=paired,
                    last_layer=last,
                    reverse=int(rng.integers(2)) if not paired else 0,
                    single_step=int(rng.integers(3) == 0),
                )
                layers += [layer] + [random_layer(rng)] * paired
            await load(ctx, dut, layers)
            clock.now = 0
            for steps in (1, int(rng.integers(2, 30))):
                await check_run(clock, layers, steps, int(rng.integers(2)), rng)

    run(dut, bench, cycles=5000)
