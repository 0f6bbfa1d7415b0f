"""SerialLink from pin to pin: a host that obeys credits, one that does not, and a slow machine."""

import random
from collections import deque

import pytest

from sparnn.hdl.link.link import SerialLink
from sparnn.hdl.link.protocol import CREDITS_PER_DEPTH, GROUPS, VERSION, Fault, Kind
from sparnn.sim.host.link_words import LinkDecoder, LinkEncoder, LinkWord
from tests.hdl.stream_helpers import run

DIVISOR = 4
DEPTH = 8


class Host:
    """Drives ``line_in``, reads ``line_out``, and keeps to its credit unless told otherwise."""

    def __init__(self, dut: SerialLink, *, obeys: bool = True) -> None:
        self.dut = dut
        self.obeys = obeys
        self.encoder = LinkEncoder()
        self.decoder = LinkDecoder()
        self.credit = 0
        self.answers: list[int] = []
        self.resets: list[int] = []
        self.faults: list[int] = []
        self.bytes_out: deque[int] = deque()

    def hear(self, word: LinkWord) -> None:
        if word.kind == Kind.RESET:
            self.resets.append(word.word)
            self.credit = 1 << (word.word >> 8 & 0xFF)
        elif word.kind == Kind.CREDIT:
            self.credit += word.word
        elif word.kind == Kind.FAULT:
            self.faults.append(word.word)
        else:
            self.answers.append(word.word)

    async def listen(self, ctx) -> None:
        """Samples ``line_out`` in the middle of its bits."""
        wait, bits = 0, []
        while True:
            *_, level = await ctx.tick().sample(self.dut.line_out)
            if wait:
                wait -= 1
            elif bits or not level:
                bits.append(level)
                # The start bit was seen in its first cycle; from there to the middle of the next.
                wait = DIVISOR - 1 + (DIVISOR // 2 if len(bits) == 1 else 0)
            if len(bits) == 10:
                assert bits[9], "no stop bit"
                wait = 0
                for word in self.decoder.feed(bytes([sum(bits[k + 1] << k for k in range(8))])):
                    self.hear(word)
                bits = []

    async def byte(self, ctx, byte: int) -> None:
        for level in (0, *(byte >> k & 1 for k in range(8)), 1):
            ctx.set(self.dut.line_in, level)
            await ctx.tick().repeat(DIVISOR)

    async def say(self, ctx, kind: Kind, words: list[int]) -> None:
        for word in words:
            while kind == Kind.DATA and self.obeys and not self.credit:
                await ctx.tick()
            self.credit -= kind == Kind.DATA
            for byte in self.encoder.encode(kind, [word]):
                await self.byte(ctx, byte)

    async def reset(self, ctx, nonce: int) -> None:
        before = len(self.resets)
        await self.say(ctx, Kind.RESET, [nonce])
        while len(self.resets) == before or self.resets[-1] & 0xFF != nonce:
            await ctx.tick()


class Echo:
    """A machine that answers every word, in bursts: it takes nothing for a while, then all."""

    def __init__(self, dut: SerialLink, *, sleep: int, seed: int = 0) -> None:
        self.dut = dut
        self.sleep = sleep
        self.seed = seed
        self.seen: list[int] = []
        self.resets = 0

    async def work(self, ctx) -> None:
        dut = self.dut
        rng = random.Random(self.seed)
        held: deque[int] = deque()
        pause = self.sleep
        while True:
            ctx.set(dut.words.ready, not pause)
            ctx.set(dut.answers.valid, bool(held) and not pause)
            ctx.set(dut.answers.payload, held[0] if held else 0)
            _, _, valid, word, ready, reset = await ctx.tick().sample(
                dut.words.valid, dut.words.payload, dut.answers.ready, dut.machine_reset
            )
            if held and not pause and ready:
                held.popleft()
            if valid and not pause:
                self.seen.append(word)
                held.append(word ^ 0xFFFFFFFF)
            pause = pause - 1 if pause else self.sleep * (rng.random() < 0.2)
            if reset:
                self.resets += 1
                held.clear()


def drive(dut, host, machine, bench, *, cycles: int = 60_000) -> None:
    run(dut, bench, background=[host.listen, machine.work], cycles=cycles)


@pytest.mark.parametrize(("sleep", "words"), [(0, 4 * DEPTH), (40, 4 * DEPTH), (6000, DEPTH + 6)])
def test_words_there_and_back(sleep: int, words: int) -> None:
    """However long the machine takes nothing: no word is lost, none comes twice.

    6000 cycles are longer than the line takes for a full queue.
    """
    dut = SerialLink(DIVISOR, receive_depth=DEPTH, transmit_depth=4)
    host, machine = Host(dut), Echo(dut, sleep=sleep)
    rng = random.Random(sleep)
    data = [0, 0xFFFFFFFF, *(rng.getrandbits(32) for _ in range(words - 2))]

    async def bench(ctx):
        assert not ctx.get(dut.open)
        await host.reset(ctx, 0x5A)
        assert host.resets[-1] == 0x5A | 3 << 8 | VERSION << 16
        assert ctx.get(dut.open)
        assert host.credit == DEPTH
        await host.say(ctx, Kind.DATA, data)
        while len(host.answers) < len(data):
            await ctx.tick()
        await ctx.tick().repeat(GROUPS * 11 * DIVISOR * 3)
        assert host.credit > DEPTH * (CREDITS_PER_DEPTH - 1) // CREDITS_PER_DEPTH
        assert not ctx.get(dut.faulty)

    drive(dut, host, machine, bench, cycles=200_000)
    assert machine.seen == data
    assert host.answers == [word ^ 0xFFFFFFFF for word in data]
    assert not host.faults


def test_a_host_without_manners() -> None:
    """More than the credit: what fits arrives, the rest is dropped, and the host hears of it."""
    dut = SerialLink(DIVISOR, receive_depth=DEPTH, transmit_depth=4)
    host, machine = Host(dut, obeys=False), Echo(dut, sleep=1 << 20)
    data = list(range(100, 100 + DEPTH + 4))

    async def bench(ctx):
        await host.reset(ctx, 1)
        await host.say(ctx, Kind.DATA, data)
        while not host.faults:
            await ctx.tick()
        assert ctx.get(dut.faulty)
        assert not ctx.get(dut.open)

    drive(dut, host, machine, bench)
    assert host.faults == [Fault.OVERRUN]


def test_reset_in_the_middle_of_everything() -> None:
    """A host that gave up inside a word, and another that starts over: nothing of before is left.

    RESET comes at every place of a link word, while the machine holds words and answers are on
    their way.
    """
    dut = SerialLink(DIVISOR, receive_depth=DEPTH, transmit_depth=4)
    host, machine = Host(dut), Echo(dut, sleep=300)

    async def bench(ctx):
        for nonce in range(1, GROUPS + 2):
            await host.reset(ctx, nonce)
            first = len(machine.seen)
            host.answers.clear()
            data = [nonce << 8 | k for k in range(4)]
            await host.say(ctx, Kind.DATA, data)
            while len(host.answers) < 4:
                await ctx.tick()
            assert machine.seen[first:] == data
            assert host.answers == [word ^ 0xFFFFFFFF for word in data]
            await host.say(ctx, Kind.DATA, [1, 2, 3])
            for byte in host.encoder.encode(Kind.DATA, [4])[: nonce - 1]:
                await host.byte(ctx, byte)
            host.decoder = LinkDecoder()
            await ctx.tick().repeat(nonce * 13)
        assert machine.resets >= (GROUPS + 1) * SerialLink.RESET_CYCLES

    drive(dut, host, machine, bench, cycles=200_000)
