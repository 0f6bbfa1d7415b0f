"""Dispatcher: descriptors, order of vectors, the room rule, and how long it all takes."""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from sparnn.hdl.common.small_fifo import SmallFifo
from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.control.dispatcher import Dispatcher
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from tests.hdl.stream_helpers import plain, run

#: From ``run``, or from the end of the layer before, to ``start``; with two threads one more, and
#: more for the second descriptor of a pair.
FETCH_CYCLES, PARTNER_CYCLES = DESCRIPTOR.words + 4, DESCRIPTOR.words + 1


@dataclass
class Outside:
    """The rest of the machine: a store and clusters that take input halves at their own pace.

    ``taken``: input halves that each cluster has collected of each thread in this layer.
    """

    config: SparseConfig
    rng: random.Random
    busy: float
    store: list[int]
    taken: list[list[int]] = field(default_factory=list)
    reading: deque[int] = field(default_factory=deque)


def random_layer(rng: random.Random, config: SparseConfig, kind: Kind, **fixed: int):
    """Descriptor fields: those that matter small enough for the store, the others anything."""
    fields = {}
    for name, (_, _, width, is_signed) in DESCRIPTOR.fields.items():
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
        "paired": 0,
        **fixed,
    }


def random_pair(rng: random.Random, config: SparseConfig, kind: Kind, **fixed: int):
    """Two descriptors that run as one: what the hardware takes from the second one differs."""
    first = random_layer(rng, config, kind, paired=1, reverse=0)
    second = random_layer(rng, config, kind, **fixed)
    return [first, second | {name: first[name] for name in ("in_words", "out_words")}]


def expected_vectors(layers: list[dict[str, int]], run_steps: int, reset: bool, store: list[int]):
    """x0, the hidden state before the first step, x1, ...: (words, half, thread, last, number of x
    vector or None). ``layers``: one, or the two of a pair."""
    first = layers[0]
    steps = 1 if first["single_step"] else run_steps
    found: list[Any] = []
    for step in range(steps):
        for thread, layer in enumerate(layers):
            place = run_steps - 1 - step if first["reverse"] or thread else step
            base = layer["in_base"] + place * first["in_words"]
            words = store[base : base + first["in_words"]]
            found += [(word, 0, thread, k + 1 == len(words), step) for k, word in enumerate(words)]
            if step == 0 and first["kind"] != Kind.LINEAR:
                base = layer["hidden_base"]
                words = store[base : base + first["out_words"]]
                if reset:
                    words = [0] * len(words)
                found += [
                    (word, 1, thread, k + 1 == len(words), None) for k, word in enumerate(words)
                ]
    return found


async def load(ctx, dut, layers, rng):
    for number, layer in enumerate(layers):
        for k, word in enumerate(DESCRIPTOR.encode(layer)):
            ctx.set(dut.load_en, 1)
            ctx.set(dut.load_addr, number * DESCRIPTOR.words + k)
            ctx.set(dut.load_data, word)
            await ctx.tick()
            ctx.set(dut.load_en, 0)
            ctx.set(dut.load_data, rng.getrandbits(32))


async def cycle(ctx, dut, outside, ready):
    """One clock cycle; the store answers behind the edge. Returns whether a word was read, and one
    that was taken."""
    ctx.set(dut.vectors.ready, ready)
    for cluster, counts in enumerate(outside.taken):
        ctx.set(dut.x_taken[cluster], sum((count & 3) << 2 * k for k, count in enumerate(counts)))
    free = outside.busy == 1.0 or outside.rng.random() < 0.8
    ctx.set(dut.store_free, free)
    word = None
    if ctx.get(dut.vectors.valid):
        payload = plain(ctx.get(dut.vectors.payload))
        if ready:
            where = payload["half"], payload["thread"], bool(payload["last"])
            word = (payload["values"], *where)
    assert free or not ctx.get(dut.store_en)
    enabled, address = ctx.get(dut.store_en), ctx.get(dut.store_addr)
    await ctx.tick()
    outside.reading.append(outside.store[address] if enabled else outside.rng.getrandbits(4))
    if len(outside.reading) == outside.config.store_latency:
        ctx.set(dut.store_data, outside.reading.popleft())
    return enabled, word


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
    threads = config.threads
    queue = list(layers)
    while queue:
        together = [queue.pop(0) for _ in range(1 + queue[0]["paired"])]
        layer, second = together[0], together[-1]
        waited = 1  # the cycle of ``run``, or in which the end of the layer before was seen
        while not ctx.get(dut.start):
            assert ctx.get(dut.busy)
            assert not ctx.get(dut.vectors.valid)
            await cycle(ctx, dut, outside, rng.random() < busy)
            total += 1
            waited += 1
            assert waited < 100
        backwards = layer["reverse"] or layer["paired"]
        fetched = FETCH_CYCLES + (threads > 1) + layer["paired"] * PARTNER_CYCLES
        assert waited == fetched + (1 + (steps - 1).bit_length() if backwards else 0)
        seen = [name for name in DESCRIPTOR.fields if name not in config.unused]
        shown = {name: ctx.get(dut.descriptor[name]) for name in seen}
        own = {name: second[name] for name in ("add_stored", "sum_shift", "last_layer")}
        wanted = DESCRIPTOR.decode(DESCRIPTOR.encode(layer | own))
        assert shown == {name: wanted[name] for name in seen}
        layer_steps = 1 if layer["single_step"] else steps
        assert ctx.get(dut.layer_steps) == layer_steps
        for thread, one in enumerate(together):
            last = (layer_steps - 1) * layer["out_stride"]
            first = one["out_base"] + (last if layer["reverse"] or thread else 0)
            assert ctx.get(dut.out_first[thread]) == first % (1 << len(dut.out_first[0]))
        if layer["paired"]:
            assert plain(ctx.get(dut.partner)) == {
                name: second[name] for name in ("in_base", "out_base", "hidden_base")
            }
        assert ctx.get(dut.fresh) == reset
        await cycle(ctx, dut, outside, 1)
        total += 1
        assert not ctx.get(dut.start)
        ctx.set(dut.layer_done, 0)

        expected = expected_vectors(together, steps, reset, outside.store)
        x_sent = [0] * threads
        position = span = asked = 0
        outside_start = 2  # the clusters see ``start`` one cycle later
        while position < len(expected):
            outside_start -= 1
            if outside_start == 0:
                outside.taken = [[0] * threads for _ in range(config.post_units)]
            if outside_start < 0:
                for counts in outside.taken:
                    for thread, sent in enumerate(x_sent):
                        if counts[thread] < sent and rng.random() < busy:
                            counts[thread] += 1
            taken = [min(one) for one in zip(*outside.taken, strict=True)]
            if outside_start > 0:
                taken = [0] * threads
            assert not ctx.get(dut.start)
            assert ctx.get(dut.busy)
            # A word is read only if there is room for it.
            asks = expected[asked][2::2] if asked < len(expected) else (0, None)
            read, word = await cycle(ctx, dut, outside, rng.random() < busy)
            total += 1
            span += 1
            if read:
                assert asked < len(expected)
                assert asks[1] is None or taken[asks[0]] >= asks[1] - 1
                asked += 1
            if word is not None:
                assert word == expected[position][:4]
                _, _, thread, last, number_of_x = expected[position]
                if number_of_x is not None:
                    assert taken[thread] >= number_of_x - 1
                    x_sent[thread] += last
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
        taken = [[0] * config.threads for _ in range(config.post_units)]
        outside = Outside(config, rng, busy, store, taken)
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
    config = SparseConfig(
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


@pytest.mark.parametrize("busy", [1.0, 0.5])
def test_pairs(busy: float) -> None:
    """Pairs between other layers; a reverse layer alone on a machine with two threads."""
    config = SparseConfig(
        lanes=2, post_units=2, max_v=1, store_depth=200, program_depth=4, threads=2
    )
    rng = random.Random(str(busy))
    sets = [
        random_pair(rng, config, Kind.LSTM, last_layer=1),
        [
            random_layer(rng, config, Kind.GRU, reverse=1),
            *random_pair(rng, config, Kind.RNN),
            random_layer(rng, config, Kind.LINEAR, last_layer=1),
        ],
    ]
    simulate(config, busy, str(busy), [(1, True), (2, False), (11, False), (6, True)], sets)


def test_one_word_per_cycle_while_there_is_room() -> None:
    """Longer vectors leave without a gap: the store and a queue, then one word per cycle."""
    config = SparseConfig(lanes=2, post_units=2, max_v=1, store_depth=200)
    rng = random.Random(3)
    layer = random_layer(rng, config, Kind.GRU, in_words=9, out_words=7, in_base=5, last_layer=1)
    for span, words in simulate(config, 1.0, 0, [(1, False), (8, True)], [[layer]]):
        assert span == words + config.store_latency + SmallFifo.LATENCY


def test_no_input_ahead_of_the_slowest_cluster() -> None:
    """x2 waits for the last cluster's first input half, x3 for its second, and so on."""
    config = SparseConfig(lanes=4, post_units=4, max_v=1, store_depth=64)
    dut = Dispatcher(config)
    layer = random_layer(random.Random(0), config, Kind.LINEAR, in_words=2, in_base=0, last_layer=1)

    async def bench(ctx):
        outside = Outside(config, random.Random(0), 1.0, list(range(64)), [[0]] * 4)
        await load(ctx, dut, [layer], outside.rng)
        ctx.set(dut.run, 1)
        ctx.set(dut.steps, 10)
        await cycle(ctx, dut, outside, 1)
        ctx.set(dut.run, 0)
        sent = []
        for slowest in range(9):
            outside.taken = [[min(slowest + 2, slowest + cluster)] for cluster in range(4)]
            for _ in range(30):
                _, word = await cycle(ctx, dut, outside, 1)
                sent += [word] if word else []
            assert len(sent) == 2 * min(10, slowest + 2)
        assert [word[0] for word in sent] == list(range(20))

    run(dut, bench, cycles=1000)
