"""Collector: the fixed order of items, cycle by cycle, beside queues kept in plain lists."""

import random
from dataclasses import dataclass
from itertools import product

import pytest

from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.array.collector import Collector, rows_in_flight
from sparnn.hdl.sparse.array.tree import tree_latency
from sparnn.hdl.sparse.config import SparseConfig
from tests.hdl.stream_helpers import plain, run


@dataclass(frozen=True)
class Layer:
    kind: Kind
    v_log2: int
    out_words: int
    tail: int
    steps: int
    rotate: int = 1
    paired: int = 0

    @property
    def threads(self) -> int:
        return 1 + self.paired

    @property
    def halves(self) -> int:
        return 1 if self.kind == Kind.LINEAR else 2

    def exists(self, cluster: int, word: int) -> bool:
        return word + 1 < self.out_words or self.tail == 0 or cluster < self.tail


def items(layer: Layer, cluster: int, thread: int, half: int) -> list[dict[str, int]]:
    """The tags of one half of one step, in order, each with its word."""
    final = half + 1 == layer.halves
    found = []
    for word in range(layer.out_words):
        if layer.exists(cluster, word):
            for gate in range(layer.kind.gates):
                last = gate + 1 == layer.kind.gates
                found.append({"word": word, "gate": gate, "last_gate": int(last), "hole": 0})
        else:
            found.append({"word": word, "gate": 0, "last_gate": 1, "hole": 1})
    for number, item in enumerate(found):
        end = number + 1 == len(found)
        item |= {"half": half, "final": int(final), "half_end": int(end)}
        item["step_end"] = int(end and final and thread + 1 == layer.threads)
    return found


def group_of(
    layer: Layer, config: SparseConfig, cluster: int, thread: int, half: int, word: int, gate: int
) -> int:
    """The group of the cluster that has a row, by docs/machine.md."""
    turn, turns = word, layer.out_words
    if config.width > 1 or not config.masks:
        turn = (word * layer.kind.gates + gate) // config.width
        words = sum(layer.exists(cluster, one) for one in range(layer.out_words))
        turns = -(-words * layer.kind.gates // config.width)
    before = (thread * layer.halves + half) * turns if layer.rotate else 0
    return (turn + before) % (config.cluster_lanes >> layer.v_log2)


def lane_blocks(
    layer: Layer, config: SparseConfig, lane: int, cluster: int
) -> list[list[tuple[int, ...]]]:
    """What one lane's queue delivers: blocks of (step, thread, half, word, gate)."""
    found = []
    for step, thread, half in product(
        range(layer.steps), range(layer.threads), range(layer.halves)
    ):
        mine = [
            (step, thread, half, word, gate)
            for word in range(layer.out_words)
            if layer.exists(cluster, word)
            for gate in range(layer.kind.gates)
            if group_of(layer, config, cluster, thread, half, word, gate) == lane >> layer.v_log2
        ]
        found += [mine[k : k + config.width] for k in range(0, len(mine), config.width)]
    return found


async def check_layer(ctx, dut, layer, config, cluster, rng, busy):
    """One layer from ``start`` on. ``busy``: how often lanes, post unit and tokens are ready."""
    lanes = config.cluster_lanes
    program = {"kind": layer.kind, "v_log2": layer.v_log2, "out_words": layer.out_words}
    program |= {"tail": layer.tail, "rotate": layer.rotate, "paired": layer.paired}
    ctx.set(dut.program, program)
    ctx.set(dut.cluster, cluster)
    ctx.set(dut.arrived, 0)
    ctx.set(dut.taken, 0)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)

    work = [
        (step, thread, half, items(layer, cluster, thread, half))
        for step in range(layer.steps)
        for thread in range(layer.threads)
        for half in range(layer.halves)
    ]
    queues = [lane_blocks(layer, config, lane, cluster) for lane in range(lanes)]
    ready, left = [0] * lanes, [len(queue) for queue in queues]
    free, room, said = rows_in_flight(config), True, None  # said: (item, group) of the cycle before
    in_flight = 0  # ``free`` hears of a row a cycle later
    sent = [[0, 0] for _ in range(layer.threads)]
    x_taken = [0] * layer.threads
    position = cycles = 0
    waits, late = 3, 0  # for the first item; for a token that has just come
    while work:
        step, thread, half, wanted = work[0]
        # What the outside does before this cycle.
        for one, (x_sent, h_sent) in enumerate(sent):
            if x_sent < min(layer.steps, x_taken[one] + 2) and rng.random() < busy:
                sent[one][0] += 1
            if h_sent <= step and rng.random() < busy:
                sent[one][1] += 1
        valid = sum(1 << lane for lane in range(lanes) if ready[lane])
        arrived = taken = 0
        for lane in range(lanes):
            if left[lane] and ready[lane] < config.queue_blocks and rng.random() < busy:
                left[lane] -= 1
                ready[lane] += 1
                arrived |= 1 << lane
        if in_flight and rng.random() < busy:
            taken = 1
        tokens = [{"x": x & 3, "h": h & 3} for x, h in sent]
        ctx.set(dut.tokens, (tokens * 2)[: len(dut.tokens)])
        ctx.set(dut.arrived, arrived)
        ctx.set(dut.taken, taken)

        # What the collector must do in it.
        item, group = wanted[position], 0
        if not item["hole"]:
            where = thread, half, item["word"], item["gate"]
            number = group_of(layer, config, cluster, *where)
            group = ((1 << (1 << layer.v_log2)) - 1) << (number << layer.v_log2)
        opened = waits <= 0 and late
        fire = opened and room and group & ~valid == 0
        late = late or (waits <= 1 and sent[thread][half] > step)
        waits -= 1
        assert ctx.get(dut.tag_valid) == (said is not None)
        assert ctx.get(dut.pop) == (said[1] if said else 0)
        if said:
            assert plain(ctx.get(dut.tag)) == said[0]
            if said[1]:
                assert ctx.get(dut.move) == said[2]
        room = free > 2
        free += taken - (said is not None)
        said = None
        in_flight += fire - taken
        assert in_flight <= rows_in_flight(config)
        assert ctx.get(dut.x_taken) == sum((n & 3) << 2 * k for k, n in enumerate(x_taken))
        if fire:
            moves = False
            for lane in range(lanes):
                if group >> lane & 1:
                    row = queues[lane][0].pop(0)
                    assert row == (step, thread, half, item["word"], item["gate"])
                    moves = not queues[lane][0]
                    if moves:
                        ready[lane] -= 1
                        queues[lane].pop(0)
            said = {name: value for name, value in item.items() if name != "word"}, group, moves
            position += 1
            if position == len(wanted):
                work.pop(0)
                position, waits, late = 0, 1, 0
                x_taken[thread] += half == 0
        await ctx.tick()
        cycles += 1
        assert cycles < 8000
    assert not any(queues)
    # Nothing follows the last item, and its place becomes free.
    ctx.set(dut.arrived, 0)
    assert plain(ctx.get(dut.tag)) == said[0]
    for _ in range(in_flight):
        ctx.set(dut.taken, 1)
        await ctx.tick()
    ctx.set(dut.taken, 0)
    for _ in range(4):
        assert not ctx.get(dut.tag_valid)
        assert not ctx.get(dut.pop)
        await ctx.tick()


@pytest.mark.parametrize("busy", [1.0, 0.6])
@pytest.mark.parametrize(
    ("lanes", "post_units", "max_v", "threads"),
    [(1, 1, 1, 1), (1, 2, 1, 2), (3, 4, 1, 2), (4, 4, 4, 1), (12, 2, 4, 2), (16, 1, 8, 1)],
)
def test_order_of_items(lanes: int, post_units: int, max_v: int, threads: int, busy: float) -> None:
    """Random layers and pairs of them one after the other, on every cluster."""
    config = SparseConfig(
        lanes=lanes * post_units, post_units=post_units, max_v=max_v, threads=threads
    )
    dut = Collector(config)
    rng = random.Random(str((lanes, post_units, busy)))

    async def bench(ctx):
        for number in range(16):
            layer = Layer(
                kind=Kind(number % 4),
                v_log2=rng.randrange(max_v.bit_length()),
                out_words=rng.choice((1, 1, 2, rng.randint(3, 9), 2 * lanes)),
                tail=rng.randrange(post_units),
                steps=rng.choice((1, 2, 6)),
                rotate=rng.randrange(2),
                paired=rng.randrange(threads) if number % 4 else 0,
            )
            cluster = (number // 4 + number) % post_units
            await check_layer(ctx, dut, layer, config, cluster, rng, busy)

    run(dut, bench, cycles=100_000)


@pytest.mark.parametrize(
    ("lanes", "post_units", "max_v", "threads", "width", "masks"),
    [
        (1, 1, 1, 1, 8, 1),
        (3, 4, 1, 2, 2, 1),
        (4, 4, 4, 1, 4, 0),
        (6, 2, 2, 2, 16, 1),
        (4, 2, 2, 1, 1, 0),
    ],
)
def test_order_of_blocks(
    lanes: int, post_units: int, max_v: int, threads: int, width: int, masks: int
) -> None:
    """The same where groups have blocks of rows in turn."""
    config = SparseConfig(
        lanes=lanes * post_units,
        post_units=post_units,
        max_v=max_v,
        threads=threads,
        width=width,
        masks=masks,
        queue_depth=2 * max(2, width),
    )
    dut = Collector(config)
    rng = random.Random(str((lanes, width)))

    async def bench(ctx):
        for number in range(12):
            layer = Layer(
                kind=Kind(number % 4),
                v_log2=rng.randrange(max_v.bit_length()),
                out_words=rng.choice((1, 2, rng.randint(3, 9), 2 * lanes)),
                tail=rng.randrange(post_units),
                steps=rng.choice((1, 2, 4)),
                rotate=rng.randrange(2),
                paired=rng.randrange(threads) if number % 4 else 0,
            )
            cluster = (number // 4 + number) % post_units
            await check_layer(ctx, dut, layer, config, cluster, rng, 1.0 if number % 2 else 0.6)

    run(dut, bench, cycles=100_000)


@pytest.mark.parametrize("kind", Kind)
def test_cluster_without_a_neuron(kind: Kind) -> None:
    """units < post_units: one word, and clusters from ``tail`` on only make holes."""
    config = SparseConfig(lanes=8, post_units=4, max_v=2)

    async def bench(ctx):
        rng = random.Random(kind)
        for tail in (1, 3):
            for cluster in range(4):
                layer = Layer(kind=kind, v_log2=1, out_words=1, tail=tail, steps=9)
                await check_layer(ctx, dut, layer, config, cluster, rng, 0.7)

    dut = Collector(config)
    run(dut, bench, cycles=100_000)


def test_one_item_per_cycle() -> None:
    """With full queues an LSTM's rows leave without a gap, but for one where a half begins.

    Beside them places become free as they do in a cluster, in the time that ``rows_in_flight``
    stands for.
    """
    config = SparseConfig(lanes=4, post_units=1, max_v=2)
    dut = Collector(config)

    async def bench(ctx):
        ctx.set(dut.program, {"kind": Kind.LSTM, "v_log2": 0, "out_words": 6, "tail": 0})
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.tokens, [{"x": 1, "h": 1}])
        # A sum of every lane per cycle, up to what its queue holds; a pop makes room.
        held = [0] * 4
        # From ``tag_valid`` on: the lane's register, the tree, two cycles in the queue, and one
        # from there to ``taken``.
        way = [False] * (1 + tree_latency(config) + 2 + 1)
        said = []
        while len(said) < 2 * 6 * 4 + 16:
            said.append(ctx.get(dut.tag_valid))
            pop = ctx.get(dut.pop)
            held = [held[k] - (pop >> k & 1) for k in range(4)]
            arrived = sum(1 << k for k in range(4) if held[k] < config.queue_places)
            held = [held[k] + (arrived >> k & 1) for k in range(4)]
            ctx.set(dut.arrived, arrived)
            way.append(said[-1])
            ctx.set(dut.taken, way.pop(0))
            await ctx.tick()
        first = said.index(1)
        assert said[first:] == [1] * 24 + [0] + [1] * 24 + [0] * (len(said) - first - 49)

    run(dut, bench, cycles=200)


@pytest.mark.parametrize(("lanes", "max_v", "rows"), [(1, 1, 8), (16, 16, 16), (1024, 1024, 32)])
def test_rows_in_flight(lanes: int, max_v: int, rows: int) -> None:
    config = SparseConfig(lanes=lanes, max_v=max_v)
    assert rows_in_flight(config) == rows >= tree_latency(config) + 8
