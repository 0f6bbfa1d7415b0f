"""Gather: each output word wherever it belongs, once, in order, under back-pressure."""

import random
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import pytest

from sparnn.hdl.array.gather import Gather
from sparnn.hdl.config import MachineConfig
from sparnn.hdl.protocol import Kind
from tests.hdl.stream_helpers import plain, run


@dataclass(frozen=True)
class Layer:
    kind: Kind
    store_out: int
    emit: int
    emit_last: int
    units: int
    steps: int
    out_base: int
    hidden_base: int
    stride: int = 0  # beyond the words of a step
    reverse: int = 0
    add: int = 0
    sum_shift: int = 0

    @property
    def recurrent(self) -> bool:
        return self.kind != Kind.LINEAR


async def check_layer(ctx, dut, config, layer, rng, idle):
    """One layer; returns the cycles from ``start`` to ``done``."""
    p = config.post_units
    words = -(-layer.units // p)
    tail = layer.units % p
    ctx.set(
        dut.program,
        {
            "kind": layer.kind,
            "store_out": layer.store_out,
            "emit": layer.emit,
            "emit_last": layer.emit_last,
            "units": layer.units,
            "tail": tail,
            "out_words": words,
            "out_stride": words + layer.stride,
            "reverse": layer.reverse,
            "add_stored": layer.add,
            "sum_shift": layer.sum_shift,
            "hidden_base": layer.hidden_base,
        },
    )
    wide = layer.kind == Kind.LINEAR
    bits = 16 if wide else config.activation_bits
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    outputs = [
        [
            rng.choice((low, high, rng.randint(low, high)))
            if word < words - 1 or tail == 0 or element < tail
            else 0
            for element in range(p)
        ]
        for _ in range(layer.steps)
        for word in range(words)
    ]

    # The specification, word by word.
    width = config.activation_bits
    fresh, results, writes, addends = [], [], [], []
    floor, ceiling = -(1 << width - 1), (1 << width - 1) - 1

    def pack(values):
        return sum((value & (1 << width) - 1) << width * k for k, value in enumerate(values))

    def place(step, word):
        at = layer.steps - 1 - step if layer.reverse else step
        return layer.out_base + at * (words + layer.stride) + word

    for number, values in enumerate(outputs):
        step, word = divmod(number, words)
        last_step = step + 1 == layer.steps
        packed = pack(values)
        if layer.recurrent:
            fresh.append({"values": packed, "half": 1, "last": int(word + 1 == words)})
        if layer.store_out:
            stored = packed
            if layer.add:
                others = [rng.choice((floor, ceiling, rng.randint(floor, ceiling))) for _ in values]
                addends.append([other & (1 << width) - 1 for other in others])
                sums = [a + b for a, b in zip(values, others, strict=True)]
                # Python rounds halves to the even neighbour.
                sums = [round(Fraction(a, 1 << layer.sum_shift)) for a in sums]
                stored = pack([max(floor, min(ceiling, a)) for a in sums])
            writes.append((place(step, word), stored))
        if layer.recurrent and last_step:
            writes.append((layer.hidden_base + word, packed))
        if layer.emit and (last_step or not layer.emit_last):
            count = tail if tail and word + 1 == words else p
            results.append((values, count, int(word == 0)))

    ctx.set(dut.steps, layer.steps)
    ctx.set(dut.out_first, place(0, 0))
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    ctx.set(dut.out_first, 0)
    ctx.set(dut.steps, 0)  # a register holds it
    queues = [[values[element] for values in outputs] for element in range(p)]
    offered = [False] * p
    seen_fresh, seen_results, seen_writes = [], [], []
    held = None
    cycles = 0
    while any(queues):
        for element, port in enumerate(dut.outputs):
            offered[element] = bool(queues[element]) and (offered[element] or rng.random() >= idle)
            ctx.set(port.valid, offered[element])
            ctx.set(port.payload, queues[element][0] if offered[element] else rng.randint(-99, 99))
        ctx.set(dut.results.ready, rng.random() >= idle)
        adding = bool(addends) and (ctx.get(dut.addends.valid) or rng.random() >= idle)
        ctx.set(dut.addends.valid, adding)
        ctx.set(dut.addends.payload, addends[0] if adding else [0] * p)
        assert not ctx.get(dut.done)
        ready = [ctx.get(port.ready) for port in dut.outputs]
        for element in range(p):
            if ready[element] and offered[element]:
                queues[element].pop(0)
                offered[element] = False
        assert len({len(queue) for queue in queues}) == 1, "the clusters left step"
        if ctx.get(dut.fresh_valid):
            seen_fresh.append(plain(ctx.get(dut.fresh)))
        if ctx.get(dut.store_en):
            seen_writes.append((ctx.get(dut.store_addr), ctx.get(dut.store_data)))
        result = None
        if ctx.get(dut.results.valid):
            payload = ctx.get(dut.results.payload)
            result = (list(payload["values"]), payload["count"], payload["first"])
        if held is not None:
            assert result == held, "a result changed while it waited"
        held = None
        if result is not None:
            if ctx.get(dut.results.ready):
                seen_results.append(result)
            else:
                held = result
        taken = adding and ctx.get(dut.addends.ready)
        await ctx.tick()
        if taken:
            addends.pop(0)
            ctx.set(dut.addends.valid, 0)
        cycles += 1
        assert cycles < 5000
    for port in dut.outputs:
        ctx.set(port.valid, 0)
    for _ in range(3):
        assert ctx.get(dut.done)
        assert not ctx.get(dut.store_en)
        assert not ctx.get(dut.fresh_valid)
        assert not ctx.get(dut.results.valid)
        await ctx.tick()
    assert not addends
    assert seen_fresh == fresh
    assert seen_writes == writes
    assert seen_results == results
    return cycles


@pytest.mark.parametrize("idle", [0.0, 0.5])
@pytest.mark.parametrize("post_units", [1, 2, 8])
def test_destinations(post_units: int, idle: float) -> None:
    """Every kind of layer with every set of destinations, tails and lengths at random."""
    config = MachineConfig(lanes=post_units, post_units=post_units, max_v=1, store_depth=1000)
    dut = Gather(config)
    rng = random.Random(str((post_units, idle)))

    async def bench(ctx):
        for kind, store, emit, last in product((Kind.LINEAR, Kind.GRU), (0, 1), (0, 1), (0, 1)):
            for steps in (1, rng.randint(2, 4)):
                layer = Layer(
                    kind=kind,
                    store_out=store,
                    emit=emit,
                    emit_last=last,
                    units=rng.choice((1, post_units, rng.randint(1, 4 * post_units + 1))),
                    steps=steps,
                    out_base=rng.randrange(500),
                    hidden_base=rng.randrange(600, 900),
                )
                cycles = await check_layer(ctx, dut, config, layer, rng, idle)
                if idle == 0.0:
                    # Only the hidden state of the last step costs a second cycle.
                    words = -(-layer.units // post_units)
                    twice = words if store and layer.recurrent else 0
                    assert cycles == steps * words + twice

    run(dut, bench, cycles=100_000)


@pytest.mark.parametrize("idle", [0.0, 0.5])
@pytest.mark.parametrize("post_units", [1, 2, 8])
def test_directions(post_units: int, idle: float) -> None:
    """Backwards, with words of another direction between the steps, and added to it."""
    config = MachineConfig(lanes=post_units, post_units=post_units, max_v=1, store_depth=1000)
    dut = Gather(config)
    rng = random.Random(str((post_units, idle)))

    async def bench(ctx):
        for reverse, add, shift, emit in product((0, 1), repeat=4):
            layer = Layer(
                kind=Kind.RNN,
                store_out=1,
                emit=emit,
                emit_last=1,
                units=rng.choice((1, post_units, rng.randint(1, 4 * post_units + 1))),
                steps=rng.randint(1, 5),
                out_base=rng.randrange(400),
                hidden_base=rng.randrange(900, 950),
                stride=rng.randrange(5),
                reverse=reverse,
                add=add,
                sum_shift=shift,
            )
            await check_layer(ctx, dut, config, layer, rng, idle)

    run(dut, bench, cycles=100_000)


def test_last_store_address() -> None:
    """Outputs may end at the end of the store."""
    config = MachineConfig(lanes=2, post_units=2, max_v=1, store_depth=12)
    dut = Gather(config)

    async def bench(ctx):
        layer = Layer(Kind.LSTM, 1, 1, 0, units=5, steps=3, out_base=3, hidden_base=0)
        await check_layer(ctx, dut, config, layer, random.Random(1), 0.3)

    run(dut, bench, cycles=1000)
