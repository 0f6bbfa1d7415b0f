"""Dispatcher: descriptors, order of vectors, the room rule, and how long it all takes."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.control.dispatcher import Dispatcher
from sparnn.hdl.protocol import (
    DESCRIPTOR_FIELDS,
    DESCRIPTOR_WORDS,
    Kind,
    decode_descriptor,
    encode_descriptor,
)
from tests.hdl.stream_helpers import plain, run

#: From ``run``, or from the end of the layer before, to ``start``.
FETCH_CYCLES = DESCRIPTOR_WORDS + 2


@dataclass
class Outside:
    """The rest of the machine: a store and clusters that take input halves at their own pace.

    ``taken``: input halves that each cluster has collected in this layer.
    """

    config: MachineConfig
    rng: random.Random
    busy: float
    store: list[int]
    taken: list[int] = field(default_factory=list)
    store_data: int = 0


def random_layer(rng: random.Random, config: MachineConfig, kind: Kind, **fixed: int):
    """Descriptor fields: those that matter small enough for the store, the others anything."""
    fields = {}
    for name, (_, _, width, is_signed) in DESCRIPTOR_FIELDS.items():
        low = -(1 << width - 1) if is_signed else 0
        fields[name] = low + rng.getrandbits(width)
    return fields | {
        "kind": kind,
        "in_words": rng.choice((1, 2, 5)),
        "out_words": rng.choice((1, 2, 5)),
        "in_base": rng.randrange(config.store_depth // 2),
        "hidden_base": rng.randrange(config.store_depth - 5),
        "single_step": 0,
        "last_layer": 0,
        **fixed,
    }


def expected_vectors(layer: dict[str, int], run_steps: int, reset: bool, store: list[int]):
    """x0, the hidden state before the first step, x1, ...: (words, number of x vector or None)."""
    steps = 1 if layer["single_step"] else run_steps
    found: list[Any] = []
    hidden = [store[layer["hidden_base"] + k] for k in range(layer["out_words"])]
    for step in range(steps):
        place = run_steps - 1 - step if layer["reverse"] else step
        base = layer["in_base"] + place * layer["in_words"]
        words = store[base : base + layer["in_words"]]
        found += [(word, 0, k + 1 == len(words), step) for k, word in enumerate(words)]
        if step == 0 and layer["kind"] != Kind.LINEAR:
            words = [0] * len(hidden) if reset else hidden
            found += [(word, 1, k + 1 == len(words), None) for k, word in enumerate(words)]
    return found


async def load(ctx, dut, layers, rng):
    for number, layer in enumerate(layers):
        for k, word in enumerate(encode_descriptor(layer)):
            ctx.set(dut.load_en, 1)
            ctx.set(dut.load_addr, number * DESCRIPTOR_WORDS + k)
            ctx.set(dut.load_data, word)
            await ctx.tick()
            ctx.set(dut.load_en, 0)
            ctx.set(dut.load_data, rng.getrandbits(32))


async def cycle(ctx, dut, outside, ready):
    """One clock cycle; the store answers behind the edge. Returns a word that was taken."""
    ctx.set(dut.vectors.ready, ready)
    for cluster, count in enumerate(outside.taken):
        ctx.set(dut.x_taken[cluster], count & 3)
    word = None
    if ctx.get(dut.vectors.valid):
        payload = plain(ctx.get(dut.vectors.payload))
        if ready:
            word = (payload["values"], payload["half"], bool(payload["last"]))
    enabled, address = ctx.get(dut.store_en), ctx.get(dut.store_addr)
    await ctx.tick()
    if enabled:
        outside.store_data = outside.store[address]
    ctx.set(dut.store_data, outside.store_data)
    return word


async def check_run(ctx, dut, outside, layers, steps, reset):
    """One run over all layers. Returns the cycles that it was busy and the layers' send times."""
    rng, busy = outside.rng, outside.busy
    config = outside.config
    assert not ctx.get(dut.busy)
    ctx.set(dut.run, 1)
    ctx.set(dut.steps, steps)
    ctx.set(dut.reset, reset)
    await cycle(ctx, dut, outside, 0)
    ctx.set(dut.run, 0)
    ctx.set(dut.steps, rng.getrandbits(24))
    ctx.set(dut.reset, rng.getrandbits(1))
    total = 0
    spans = []
    for layer in layers:
        waited = 1  # the cycle of ``run``, or in which the end of the layer before was seen
        while not ctx.get(dut.start):
            assert ctx.get(dut.busy)
            assert not ctx.get(dut.vectors.valid)
            await cycle(ctx, dut, outside, rng.random() < busy)
            total += 1
            waited += 1
            assert waited < 100
        backwards = layer["reverse"]
        assert waited == FETCH_CYCLES + (1 + (steps - 1).bit_length() if backwards else 0)
        shown = {name: ctx.get(dut.descriptor[name]) for name in DESCRIPTOR_FIELDS}
        assert shown == decode_descriptor(encode_descriptor(layer))
        layer_steps = 1 if layer["single_step"] else steps
        assert ctx.get(dut.layer_steps) == layer_steps
        first = layer["out_base"] + backwards * (layer_steps - 1) * layer["out_stride"]
        assert ctx.get(dut.out_first) == first % (1 << len(dut.out_first))
        assert ctx.get(dut.fresh) == reset
        await cycle(ctx, dut, outside, 1)
        total += 1
        assert not ctx.get(dut.start)
        ctx.set(dut.layer_done, 0)

        expected = expected_vectors(layer, steps, reset, outside.store)
        x_sent = position = span = 0
        outside_start = 2  # the clusters see ``start`` one cycle later
        while position < len(expected):
            outside_start -= 1
            if outside_start == 0:
                outside.taken = [0] * config.post_units
            if outside_start < 0:
                for cluster, count in enumerate(outside.taken):
                    if count < x_sent and rng.random() < busy:
                        outside.taken[cluster] += 1
            taken = list(outside.taken) if outside_start <= 0 else [0] * config.post_units
            assert not ctx.get(dut.start)
            assert ctx.get(dut.busy)
            if ctx.get(dut.store_en) and expected[position][3] is not None:
                # A word is read only if there is room for it: at most one more is under way.
                under_way = expected[min(position + ctx.get(dut.vectors.valid), len(expected) - 1)]
                if under_way[3] is not None:
                    assert min(taken) >= under_way[3] - 1
            word = await cycle(ctx, dut, outside, rng.random() < busy)
            total += 1
            span += 1
            if word is not None:
                assert word == expected[position][:3]
                number_of_x = expected[position][3]
                if number_of_x is not None:
                    assert min(taken) >= number_of_x - 1
                    x_sent += expected[position][2]
                position += 1
            assert span < 3000
        spans.append((span, len(expected)))
        for _ in range(rng.randrange(4)):
            assert not ctx.get(dut.vectors.valid)
            await cycle(ctx, dut, outside, 1)
            total += 1
        ctx.set(dut.layer_done, 1)
        assert ctx.get(dut.busy)
        await cycle(ctx, dut, outside, 1)
        total += 1
    for _ in range(25):
        assert not ctx.get(dut.busy)
        assert not ctx.get(dut.start)
        assert not ctx.get(dut.vectors.valid)
        assert ctx.get(dut.cycles) == total
        await cycle(ctx, dut, outside, 1)
    return total, spans


def simulate(config, busy, seed, runs, layer_sets):
    """Load each set of layers and run it; returns the spans of all layers."""
    rng = random.Random(seed)
    dut = Dispatcher(config)
    store = [rng.getrandbits(config.store_entry_bits) for _ in range(config.store_depth)]
    spans = []

    async def bench(ctx):
        outside = Outside(config, rng, busy, store, [0] * config.post_units)
        ctx.set(dut.layer_done, 1)
        for layers in layer_sets:
            await load(ctx, dut, layers, rng)
            for steps, reset in runs:
                _, found = await check_run(ctx, dut, outside, layers, steps, reset)
                spans.extend(found)

    run(dut, bench, cycles=100_000)
    return spans


@pytest.mark.parametrize("busy", [1.0, 0.7, 0.3])
@pytest.mark.parametrize("post_units", [1, 4])
def test_programs(post_units: int, busy: float) -> None:
    """One to three layers of all kinds; runs of one step and of more than the counters' modulus."""
    config = MachineConfig(
        lanes=post_units, post_units=post_units, max_v=1, store_depth=200, program_depth=3
    )
    rng = random.Random(str((post_units, busy)))
    sets = []
    for count, kinds in (
        (1, [Kind.LSTM]),
        (1, [Kind.LINEAR]),
        (3, [Kind.GRU, Kind.RNN, Kind.LINEAR]),
        (3, [Kind.LINEAR, Kind.LINEAR, Kind.LSTM]),
    ):
        sets.append(
            [
                random_layer(
                    rng,
                    config,
                    kinds[k],
                    last_layer=int(k + 1 == count),
                    single_step=int(k + 1 == count and count == 3),
                )
                for k in range(count)
            ]
        )
    runs = [(1, True), (2, False), (11, False), (6, True)]
    simulate(config, busy, str((post_units, busy)), runs, sets)


def test_one_word_per_cycle_while_there_is_room() -> None:
    """Longer vectors leave without a gap: one cycle to read the first word, then one per word."""
    config = MachineConfig(lanes=2, post_units=2, max_v=1, store_depth=200)
    rng = random.Random(3)
    layer = random_layer(rng, config, Kind.GRU, in_words=9, out_words=7, in_base=5, last_layer=1)
    for span, words in simulate(config, 1.0, 0, [(1, False), (8, True)], [[layer]]):
        assert span == words + 1


def test_no_input_ahead_of_the_slowest_cluster() -> None:
    """x2 waits for the last cluster's first input half, x3 for its second, and so on."""
    config = MachineConfig(lanes=4, post_units=4, max_v=1, store_depth=64)
    dut = Dispatcher(config)
    layer = random_layer(random.Random(0), config, Kind.LINEAR, in_words=2, in_base=0, last_layer=1)

    async def bench(ctx):
        outside = Outside(config, random.Random(0), 1.0, list(range(64)), [0] * 4)
        await load(ctx, dut, [layer], outside.rng)
        ctx.set(dut.run, 1)
        ctx.set(dut.steps, 10)
        await cycle(ctx, dut, outside, 1)
        ctx.set(dut.run, 0)
        sent = []
        for slowest in range(9):
            outside.taken = [min(slowest + 2, slowest + cluster) for cluster in range(4)]
            for _ in range(30):
                word = await cycle(ctx, dut, outside, 1)
                sent += [word] if word else []
            assert len(sent) == 2 * min(10, slowest + 2)
        assert [word[0] for word in sent] == list(range(20))

    run(dut, bench, cycles=1000)
