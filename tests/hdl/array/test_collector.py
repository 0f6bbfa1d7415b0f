"""Collector: the fixed order of items, cycle by cycle, beside queues kept in plain lists."""

import random
from dataclasses import dataclass

import pytest

from sparnn.hdl.array.collector import Collector
from sparnn.hdl.config import MachineConfig
from sparnn.hdl.protocol import Kind
from tests.hdl.stream_helpers import plain, run


@dataclass(frozen=True)
class Layer:
    kind: Kind
    v_log2: int
    out_words: int
    tail: int
    steps: int

    @property
    def halves(self) -> int:
        return 1 if self.kind == Kind.LINEAR else 2

    def exists(self, cluster: int, word: int) -> bool:
        return word + 1 < self.out_words or self.tail == 0 or cluster < self.tail


def items(layer: Layer, cluster: int, half: int) -> list[dict[str, int]]:
    """The tags of one half of one step, in order, each with its word."""
    final = half + 1 == layer.halves
    found = []
    for word in range(layer.out_words):
        here = layer.exists(cluster, word)
        if here:
            for gate in range(layer.kind.gates):
                last = gate + 1 == layer.kind.gates
                found.append({"word": word, "gate": gate, "last_gate": int(last), "hole": 0})
        elif final:
            found.append({"word": word, "gate": 0, "last_gate": 1, "hole": 1})
    for number, item in enumerate(found):
        end = number + 1 == len(found)
        item |= {"half": half, "final": int(final)}
        item |= {"half_end": int(end), "step_end": int(end and final)}
    return found


def lane_rows(layer: Layer, lanes: int, lane: int, cluster: int) -> list[tuple[int, ...]]:
    """What one lane's queue delivers: (step, half, word, gate), by docs/machine.md."""
    groups = lanes >> layer.v_log2
    return [
        (step, half, word, gate)
        for step in range(layer.steps)
        for half in range(layer.halves)
        for word in range(lane >> layer.v_log2, layer.out_words, groups)
        if layer.exists(cluster, word)
        for gate in range(layer.kind.gates)
    ]


async def check_layer(ctx, dut, layer, lanes, cluster, rng, busy):
    """One layer from ``start`` on. ``busy``: how often lanes, tree and tokens are ready."""
    ctx.set(
        dut.program,
        {
            "kind": layer.kind,
            "v_log2": layer.v_log2,
            "out_words": layer.out_words,
            "tail": layer.tail,
        },
    )
    ctx.set(dut.cluster, cluster)
    ctx.set(dut.lane_valid, 0)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)

    work = [
        (step, half, items(layer, cluster, half))
        for step in range(layer.steps)
        for half in range(layer.halves)
    ]
    queues = [lane_rows(layer, lanes, lane, cluster) for lane in range(lanes)]
    ready = [0] * lanes
    x_sent = h_sent = x_taken = idle = 0
    position = 0
    while work:
        step, half, wanted = work[0]
        # What the outside does before this cycle.
        if x_sent < min(layer.steps, x_taken + 2) and rng.random() < busy:
            x_sent += 1
        if h_sent <= step and rng.random() < busy:
            h_sent += 1
        for lane in range(lanes):
            if ready[lane] < len(queues[lane]) and rng.random() < busy:
                ready[lane] += 1
        advance = rng.random() < busy
        valid = sum(1 << lane for lane in range(lanes) if ready[lane])
        ctx.set(dut.tokens, {"x": x_sent & 3, "h": h_sent & 3})
        ctx.set(dut.lane_valid, valid)
        ctx.set(dut.advance, advance)

        # What the collector must do in it.
        token = (h_sent if half else x_sent) > step
        group, fire = 0, False
        if wanted:
            item = wanted[position]
            if not item["hole"]:
                groups = lanes >> layer.v_log2
                group = ((1 << (1 << layer.v_log2)) - 1) << (
                    (item["word"] % groups) << layer.v_log2
                )
            fire = token and advance and group & ~valid == 0
        pops = ctx.get(dut.pop)
        assert ctx.get(dut.tag_valid) == fire
        assert pops == (group if fire else 0)
        assert pops & ~valid == 0
        assert ctx.get(dut.x_taken) == x_taken & 3
        if fire:
            expected = {name: value for name, value in item.items() if name != "word"}
            assert plain(ctx.get(dut.tag)) == expected
            for lane in range(lanes):
                if group >> lane & 1:
                    row = queues[lane].pop(0)
                    ready[lane] -= 1
                    assert row == (step, half, item["word"], item["gate"])
            position += 1
        if (fire and position == len(wanted)) or (not wanted and token):
            work.pop(0)
            position = 0
            x_taken += half == 0
        await ctx.tick()
        idle += 1
        assert idle < 5000
    assert not any(queues)
    # Nothing follows the last item.
    ctx.set(dut.lane_valid, (1 << lanes) - 1)
    ctx.set(dut.advance, 1)
    for _ in range(4):
        assert not ctx.get(dut.tag_valid)
        assert not ctx.get(dut.pop)
        assert ctx.get(dut.x_taken) == x_taken & 3
        await ctx.tick()


@pytest.mark.parametrize("busy", [1.0, 0.6])
@pytest.mark.parametrize(
    ("lanes", "post_units", "max_v"),
    [(1, 1, 1), (1, 2, 1), (3, 4, 1), (4, 4, 4), (12, 2, 4), (16, 1, 8)],
)
def test_order_of_items(lanes: int, post_units: int, max_v: int, busy: float) -> None:
    """Random layers one after the other, on every cluster."""
    config = MachineConfig(lanes=lanes * post_units, post_units=post_units, max_v=max_v)
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
            )
            cluster = (number // 4 + number) % post_units
            await check_layer(ctx, dut, layer, lanes, cluster, rng, busy)

    run(dut, bench, cycles=100_000)


@pytest.mark.parametrize("kind", Kind)
def test_cluster_without_a_neuron(kind: Kind) -> None:
    """units < post_units: one word, and clusters from ``tail`` on only make holes."""
    config = MachineConfig(lanes=8, post_units=4, max_v=2)

    async def bench(ctx):
        rng = random.Random(kind)
        for tail in (1, 3):
            for cluster in range(4):
                layer = Layer(kind=kind, v_log2=1, out_words=1, tail=tail, steps=9)
                await check_layer(ctx, dut, layer, 2, cluster, rng, 0.7)

    dut = Collector(config)
    run(dut, bench, cycles=100_000)


def test_one_item_per_cycle() -> None:
    """With full queues and all tokens an LSTM's rows leave without a gap."""
    config = MachineConfig(lanes=4, post_units=1, max_v=2)
    dut = Collector(config)

    async def bench(ctx):
        ctx.set(dut.program, {"kind": Kind.LSTM, "v_log2": 0, "out_words": 6, "tail": 0})
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.lane_valid, 15)
        ctx.set(dut.advance, 1)
        ctx.set(dut.tokens, {"x": 1, "h": 1})
        for _ in range(2 * 6 * 4):
            assert ctx.get(dut.tag_valid)
            await ctx.tick()
        assert not ctx.get(dut.tag_valid)

    run(dut, bench, cycles=200)
