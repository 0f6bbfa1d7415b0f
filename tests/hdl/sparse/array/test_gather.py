"""Gather: each output word wherever it belongs, once, in order, under back-pressure."""

import random
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import pytest

from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.array.gather import Gather
from sparnn.hdl.sparse.config import SparseConfig
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
    paired: int = 0

    @property
    def threads(self) -> int:
        return 1 + self.paired

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
            "paired": layer.paired,
        },
    )
    # The second thread of a pair has places of its own, or is added to the first.
    second_base = layer.out_base if layer.add else layer.out_base + words
    second_hidden = layer.hidden_base + 40
    ctx.set(dut.partner_hidden, second_hidden)
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
        for _ in range(layer.steps * layer.threads)
        for word in range(words)
    ]

    # The specification, word by word.
    width = config.activation_bits
    fresh, results, writes, addends, fetches = [], [], [], [], []
    floor, ceiling = -(1 << width - 1), (1 << width - 1) - 1

    def pack(values):
        return sum((value & (1 << width) - 1) << width * k for k, value in enumerate(values))

    def place(thread, step, word):
        at = layer.steps - 1 - step if layer.reverse or thread else step
        base = second_base if thread else layer.out_base
        return base + at * (words + layer.stride) + word

    for number, values in enumerate(outputs):
        turn, word = divmod(number, words)
        step, thread = divmod(turn, layer.threads)
        # Of a pair, each place is come to twice: all first times before all second times.
        add = layer.add and (not layer.paired or turn >= layer.steps)
        if add and word == 0:
            fetches.append((number, place(thread, step, 0)))
        last_step = step + 1 == layer.steps
        packed = pack(values)
        if layer.recurrent:
            at = {"half": 1, "thread": thread, "last": int(word + 1 == words)}
            fresh.append({"values": packed, **at})
        if layer.store_out:
            stored = packed
            if add:
                others = [rng.choice((floor, ceiling, rng.randint(floor, ceiling))) for _ in values]
                addends.append([other & (1 << width) - 1 for other in others])
                sums = [a + b for a, b in zip(values, others, strict=True)]
                # Python rounds halves to the even neighbour.
                sums = [round(Fraction(a, 1 << layer.sum_shift)) for a in sums]
                stored = pack([max(floor, min(ceiling, a)) for a in sums])
            writes.append((place(thread, step, word), stored))
        if layer.recurrent and last_step:
            writes.append(((second_hidden if thread else layer.hidden_base) + word, packed))
        if layer.emit and (last_step or not layer.emit_last):
            count = tail if tail and word + 1 == words else p
            results.append((values, count, int(word == 0)))

    ctx.set(dut.steps, layer.steps)
    ctx.set(dut.out_first, [place(thread, 0, 0) for thread in range(config.threads)])
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    ctx.set(dut.out_first, [0] * config.threads)
    ctx.set(dut.steps, 0)  # a register holds it
    queues = [[values[element] for values in outputs] for element in range(p)]
    offered = [False] * p
    seen_fresh, seen_results, seen_writes, seen_fetches = [], [], [], []
    taken_words = 0
    held = None
    cycles, adds = 0, len(addends)
    while any(queues):
        for element, port in enumerate(dut.outputs):
            offered[element] = bool(queues[element]) and (offered[element] or rng.random() >= idle)
            ctx.set(port.valid, offered[element])
            ctx.set(port.payload, queues[element][0] if offered[element] else rng.randint(-99, 99))
        ctx.set(dut.results.ready, rng.random() >= idle)
        # An addend is there only when its step has begun.
        begun = len(seen_fetches) * words - (adds - len(addends)) + bool(ctx.get(dut.fetch)) * words
        adding = (
            bool(addends) and begun > 0 and (ctx.get(dut.addends.valid) or rng.random() >= idle)
        )
        ctx.set(dut.addends.valid, adding)
        ctx.set(dut.addends.payload, addends[0] if adding else [0] * p)
        assert not ctx.get(dut.done)
        if ctx.get(dut.fetch):
            seen_fetches.append((taken_words, ctx.get(dut.fetch_first)))
        ready = [ctx.get(port.ready) for port in dut.outputs]
        taken_words += ready[0]
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
    for late in range(4):
        assert ctx.get(dut.done)
        # What is written leaves a cycle after it was taken.
        if not late and ctx.get(dut.store_en):
            seen_writes.append((ctx.get(dut.store_addr), ctx.get(dut.store_data)))
            await ctx.tick()
            continue
        assert not ctx.get(dut.store_en)
        assert not ctx.get(dut.fresh_valid)
        assert not ctx.get(dut.results.valid)
        await ctx.tick()
    assert not addends
    assert seen_fresh == fresh
    assert seen_writes == writes
    assert seen_fetches == fetches
    assert seen_results == results
    return cycles


@pytest.mark.parametrize("idle", [0.0, 0.5])
@pytest.mark.parametrize("post_units", [1, 2, 8])
def test_destinations(post_units: int, idle: float) -> None:
    """Every kind of layer with every set of destinations, tails and lengths at random."""
    config = SparseConfig(lanes=post_units, post_units=post_units, max_v=1, store_depth=1000)
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
def test_pairs(idle: float) -> None:
    """Two directions step by step in turn, side by side or added."""
    config = SparseConfig(lanes=2, post_units=2, max_v=1, store_depth=1000, threads=2)
    dut = Gather(config)
    rng = random.Random(str(idle))

    async def bench(ctx):
        for paired, add, emit in product((0, 1), repeat=3):
            for steps in (1, 2, 3, 6):
                units = rng.randint(1, 9)
                layer = Layer(
                    kind=Kind.RNN,
                    store_out=1,
                    emit=emit,
                    emit_last=1,
                    units=units,
                    steps=steps,
                    out_base=rng.randrange(400),
                    hidden_base=rng.randrange(900, 950),
                    stride=0 if add else -(-units // 2),
                    add=add,
                    sum_shift=rng.randrange(2),
                    paired=paired,
                )
                await check_layer(ctx, dut, config, layer, rng, idle)

    run(dut, bench, cycles=100_000)


@pytest.mark.parametrize("idle", [0.0, 0.5])
@pytest.mark.parametrize("post_units", [1, 2, 8])
def test_directions(post_units: int, idle: float) -> None:
    """Backwards, with words of another direction between the steps, and added to it."""
    config = SparseConfig(lanes=post_units, post_units=post_units, max_v=1, store_depth=1000)
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
    config = SparseConfig(lanes=2, post_units=2, max_v=1, store_depth=12)
    dut = Gather(config)

    async def bench(ctx):
        layer = Layer(Kind.LSTM, 1, 1, 0, units=5, steps=3, out_base=3, hidden_base=0)
        await check_layer(ctx, dut, config, layer, random.Random(1), 0.3)

    run(dut, bench, cycles=1000)
