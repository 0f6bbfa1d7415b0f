"""Broadcaster: every word at its place, with its mask, after three cycles; tokens with the last."""

import random
from dataclasses import dataclass

import pytest

from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.array.broadcast import Broadcaster
from sparnn.hdl.sparse.config import SparseConfig
from tests.hdl.stream_helpers import plain, run

LATENCY = 3


@dataclass(frozen=True)
class Word:
    """One word on its way, with all that follows from its number in the vector."""

    thread: int
    half: int
    vector: int
    number: int
    last: bool
    values: tuple[int, ...]


def make_vectors(
    rng: random.Random, config: SparseConfig, thread: int, half: int, count: int, length: int
) -> list[Word]:
    """``count`` vectors of one half, as words in the order of sending."""
    top = 1 << config.activation_bits - 1
    density = rng.choice((0.2, 0.6, 1.0))
    return [
        Word(
            thread,
            half,
            vector,
            number,
            number + 1 == length,
            tuple(
                rng.choice((-top, top - 1, -1, 1)) if rng.random() < density else 0
                for _ in range(config.post_units)
            ),
        )
        for vector in range(count)
        for number in range(length)
    ]


def pack(config: SparseConfig, values: tuple[int, ...]) -> int:
    """Element b in the b-th field from the least significant bit."""
    width = config.activation_bits
    return sum((value & (1 << width) - 1) << width * k for k, value in enumerate(values))


def expected_masks(config: SparseConfig, words: list[Word], v: int) -> dict[Word, int]:
    """The chunk of each word, with the bits of the words of its vector sent so far."""
    masks = {}
    chunks: dict[tuple[int, ...], int] = {}
    for word in words:
        local = word.number // v
        for b, value in enumerate(word.values):
            column = local * config.post_units + b
            key = (
                word.thread,
                word.half,
                word.vector,
                word.number % v,
                column // config.chunk,
            )
            chunks[key] = chunks.get(key, 0) | (value != 0) << column % config.chunk
        masks[word] = chunks[key]
    return masks


async def check_layer(ctx, dut, config, v_log2, rng, idle, full=False):
    """Stored vectors and fresh hidden states, interleaved at random; then what came out."""
    v = 1 << v_log2
    most = v * min(config.local_words, 9)
    lengths = [v * config.local_words if full else rng.randint(1, most) for _ in range(2)]
    rotate = rng.randrange(2)
    program = {"kind": Kind.RNN, "v_log2": v_log2, "unfolded": 1, "rotate": rotate}
    ctx.set(dut.program, program | {"in_words": lengths[0], "out_words": lengths[1]})
    for _ in range(2 * config.threads - 2):
        await ctx.tick()
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)

    counts = [3 if full else rng.randint(1, 6) for _ in range(2)]
    stored, fresh, masks = [], [], {}
    for thread in range(config.threads):
        inputs, hidden = (
            make_vectors(rng, config, thread, half, counts[half], lengths[half])
            for half in range(2)
        )
        # As in a run: the state before the first step is stored too, behind the first input.
        stored.append([inputs[: lengths[0]] + hidden[: lengths[1]], inputs[lengths[0] :]])
        fresh.append(hidden[lengths[1] :])
        masks |= expected_masks(config, inputs, v) | expected_masks(config, hidden, v)
    # The threads' vectors take turns.
    fresh_left = [
        word
        for vector in range(1, counts[1])
        for words in fresh
        for word in words
        if word.vector == vector
    ]
    stored_left = [word for first, _ in stored for word in first] + [
        word
        for vector in range(1, counts[0])
        for _, words in stored
        for word in words
        if word.vector == vector
    ]

    sent: list[Word | None] = []
    ended = [[0] * config.threads for _ in range(2)]
    late: Word | None = None  # a fresh word, registered
    tail = LATENCY + 5
    while tail:
        # A fresh hidden state may come at any time behind the stored ones.
        initial_out = all(word.half == 0 for word in stored_left)
        offer_fresh = bool(fresh_left) and initial_out and rng.random() >= idle
        offer_stored = bool(stored_left) and rng.random() >= idle / 2
        for offer, queue, port, valid in (
            (offer_fresh, fresh_left, dut.fresh, dut.fresh_valid),
            (offer_stored, stored_left, dut.stored.payload, dut.stored.valid),
        ):
            ctx.set(valid, offer)
            word = queue[0] if offer else None
            value = (
                {
                    "values": pack(config, word.values),
                    "half": word.half,
                    "thread": word.thread,
                    "last": word.last,
                }
                if word
                else {"values": rng.getrandbits(config.store_entry_bits), "half": 1, "last": 1}
            )
            ctx.set(port, value)
        assert ctx.get(dut.stored.ready) == (late is None)
        sent.append(late or (stored_left.pop(0) if offer_stored else None))
        late = fresh_left.pop(0) if offer_fresh else None

        # A token follows the vector's last word.
        before = sent[-2 - LATENCY] if len(sent) > LATENCY + 1 else None
        if before is not None and before.last:
            ended[before.half][before.thread] += 1
        tokens = [{"x": x & 3, "h": h & 3} for x, h in zip(*ended, strict=True)]
        assert [plain(one) for one in ctx.get(dut.tokens)] == tokens
        word = sent[-1 - LATENCY] if len(sent) > LATENCY else None
        enable = ctx.get(dut.broadcast_en)
        if word is None:
            assert enable == 0
        else:
            vector = 2 * word.thread + word.half
            offset = sum(lengths[k % 2] for k in range(vector)) if rotate else 0
            slice_of = (word.number + offset) % v
            assert enable == sum(1 << lane for lane in range(config.max_v) if lane % v == slice_of)
            assert plain(ctx.get(dut.broadcast)) == {
                "half": word.half,
                "thread": word.thread,
                "parity": word.vector & 1,
                "word": word.number // v,
                "values": pack(config, word.values),
                "mask": masks[word],
            }
        await ctx.tick()
        tail -= not stored_left and not fresh_left
    assert ended == [[count] * config.threads for count in counts]


@pytest.mark.parametrize("idle", [0.0, 0.6])
@pytest.mark.parametrize(
    ("post_units", "max_v", "chunk", "columns", "threads"),
    [
        (1, 1, 8, 32, 1),
        (1, 8, 32, 512, 1),
        (2, 2, 8, 24, 2),
        (4, 4, 16, 64, 1),
        (8, 1, 8, 8, 2),
        (8, 2, 8, 24, 1),
        (16, 4, 32, 96, 2),
    ],
)
def test_words_masks_tokens(
    post_units: int, max_v: int, chunk: int, columns: int, threads: int, idle: float
) -> None:
    config = SparseConfig(
        lanes=post_units * max_v,
        post_units=post_units,
        max_v=max_v,
        chunk=chunk,
        sub_chunk=4,
        columns=columns,
        activation_bits=8 + post_units % 3,
        threads=threads,
    )
    dut = Broadcaster(config)
    rng = random.Random(str((post_units, max_v, idle)))

    async def bench(ctx):
        for _ in range(4):
            for v_log2 in range(max_v.bit_length()):
                await check_layer(ctx, dut, config, v_log2, rng, idle)

    run(dut, bench, cycles=50_000)


def test_full_local_copies() -> None:
    """Vectors that fill every local word of every slice."""
    config = SparseConfig(lanes=8, post_units=2, max_v=4, chunk=8, sub_chunk=4, columns=40)
    dut = Broadcaster(config)

    async def bench(ctx):
        for v_log2 in range(3):
            await check_layer(ctx, dut, config, v_log2, random.Random(v_log2), 0.3, full=True)

    run(dut, bench, cycles=50_000)


def test_input_tokens_of_a_folded_layer() -> None:
    """They follow the hidden state's, whichever vector comes first."""
    dut = Broadcaster(SparseConfig(lanes=1, max_v=1))

    async def bench(ctx):
        ctx.set(dut.program, {"kind": Kind.RNN, "in_words": 1, "out_words": 1})
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        sent, seen = [0, 0], []
        for half in (0, 0, 1, 1, 1, 0, 0, 1, 1):
            ctx.set(dut.stored.payload, {"values": 0, "half": half, "last": 1})
            ctx.set(dut.stored.valid, 1)
            await ctx.tick()
            ctx.set(dut.stored.valid, 0)
            await ctx.tick().repeat(LATENCY + 3)
            sent[half] += 1
            tokens = plain(ctx.get(dut.tokens)[0])
            assert tokens == {"x": min(sent) & 3, "h": sent[1] & 3}
            seen.append(tokens["x"])
        assert seen == [0, 0, 1, 2, 2, 3, 3, 0, 0]

    run(dut, bench, cycles=200)
