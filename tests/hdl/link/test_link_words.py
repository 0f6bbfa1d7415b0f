"""Link words, hardware against the host's own coder, and every single fault."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from sparnn.hdl.link.protocol import GROUPS, Fault, Kind
from sparnn.hdl.link.receiver import LinkReceiver
from sparnn.hdl.link.transmitter import LinkTransmitter
from sparnn.sim.host.link_words import BadByteError, LinkDecoder, LinkEncoder, LinkWord
from tests.hdl.stream_helpers import collect, run, send

NONCE = 0xA7


def words(count: int, seed: int = 0) -> list[int]:
    rng = random.Random(seed)
    return [0, 0xFFFFFFFF, 1, 1 << 31, *(rng.getrandbits(32) for _ in range(count - 4))]


def stream_of(data: Sequence[int]) -> bytes:
    """RESET and DATA."""
    encoder = LinkEncoder()
    return encoder.encode(Kind.RESET, [NONCE]) + encoder.encode(Kind.DATA, data)


class Receiver:
    """What a LinkReceiver makes of bytes; None is a broken byte."""

    def __init__(self, data: Sequence[int | None], *, gap: int = 1, room: int = 1 << 30) -> None:
        self.words: list[int] = []
        self.resets = 0
        self.faults: list[int] = []
        dut = LinkReceiver()

        async def bench(ctx):
            await ctx.tick()
            for byte in [*data]:
                ctx.set(dut.byte, byte or 0)
                ctx.set(dut.valid, byte is not None)
                ctx.set(dut.broken, byte is None)
                for cycle in range(LinkReceiver.LATENCY + gap):
                    ctx.set(dut.room, len(self.words) < room)
                    _, _, word, valid, reset, fault = await ctx.tick().sample(
                        dut.word, dut.word_valid, dut.reset, dut.fault
                    )
                    assert not (valid and reset)
                    if valid:
                        assert cycle == LinkReceiver.LATENCY
                        self.words.append(word)
                    self.resets += reset
                    if fault != (self.faults[-1] if self.faults else 0):
                        self.faults.append(fault)
                    ctx.set(dut.valid, 0)
                    ctx.set(dut.broken, 0)
            self.nonce = ctx.get(dut.nonce)
            self.fault = ctx.get(dut.fault)

        run(dut, bench, cycles=100_000)


def test_known_bytes() -> None:
    """The example of docs/link.md, and the check by the textbook's register."""
    assert stream_of([0x12345678]).hex(" ") == "9f 05 00 00 40 7e e0 33 45 46 04 09"

    def textbook(register: int, kind: int, word: int) -> int:
        for bit in [kind >> k & 1 for k in range(2)] + [word >> k & 1 for k in range(32)]:
            top = register >> 7 ^ bit
            register = register << 1 & 0xFF ^ (0x31 if top else 0)
        return register

    first = textbook(0xFF, Kind.RESET, NONCE)
    second = textbook(first, Kind.DATA, 0x12345678)
    assert [f"{check:08b}"[::-1] for check in (first, second)] == [f"{0xFD:08b}", f"{0x12:08b}"]


def test_host_coder_round_trip() -> None:
    encoder, decoder = LinkEncoder(), LinkDecoder()
    data = words(200)
    whole = encoder.encode(Kind.RESET, [NONCE])
    for part in (data[:1], data[1:50], data[50:]):
        whole += encoder.encode(Kind.DATA, np.array(part, np.uint32))
    whole += encoder.encode(Kind.CREDIT, [128]) + encoder.encode(Kind.FAULT, [3])
    found = [word for byte in whole for word in decoder.feed(bytes([byte]))]
    assert found == [
        LinkWord(Kind.RESET, NONCE),
        *(LinkWord(Kind.DATA, word) for word in data),
        LinkWord(Kind.CREDIT, 128),
        LinkWord(Kind.FAULT, 3),
    ]


def test_host_decoder_passes_over_and_refuses() -> None:
    decoder = LinkDecoder()
    garbage = bytes(random.Random(1).randbytes(100)) + stream_of([1, 2])[6:] + b"\x80\x01"
    assert decoder.feed(garbage) == []
    assert decoder.feed(stream_of([5])) == [LinkWord(Kind.RESET, NONCE), LinkWord(Kind.DATA, 5)]
    assert decoder.passed == len(garbage)
    with pytest.raises(BadByteError, match="starts no word"):
        decoder.feed(b"\x01")


@pytest.mark.parametrize("gap", [1, 2, 30])
def test_receives(gap: int) -> None:
    data = words(30)
    found = Receiver(list(stream_of(data)), gap=gap)
    assert (found.words, found.resets, found.nonce, found.fault) == (data, 1, NONCE, 0)


def test_nothing_before_reset() -> None:
    """At power-up what is no RESET is dropped without a word."""
    encoder = LinkEncoder()
    noise = [*random.Random(3).randbytes(20), None, *encoder.encode(Kind.DATA, [1, 2]), 0x80]
    found = Receiver([*noise, *stream_of([9])])
    assert (found.words, found.resets, found.faults) == ([9], 1, [])


@pytest.mark.parametrize("position", range(GROUPS))
@pytest.mark.parametrize("damage", ["lost", "twice", "broken", "flipped"])
def test_one_damaged_byte(damage: str, position: int) -> None:
    """Nothing after it is taken; RESET mends it."""
    data = words(8)
    good = list(stream_of(data))
    at = GROUPS * 4 + position  # in the fourth DATA
    cases = {
        "lost": [(good[:at] + good[at + 1 :], (Fault.FRAME,))],
        "twice": [(good[: at + 1] + good[at:], (Fault.CHECK, Fault.FRAME))],
        "broken": [([*good[:at], None, *good[at + 1 :]], (Fault.LINE,))],
        "flipped": [
            ([*good[:at], good[at] ^ 1 << bit, *good[at + 1 :]], (Fault.CHECK, Fault.FRAME))
            for bit in range(8)
        ],
    }[damage]
    for bad, expected in cases:
        found = Receiver([*bad, *stream_of([77])])
        # What is too much comes after a whole word.
        whole = 4 if (damage, position) == ("twice", GROUPS - 1) else 3
        assert found.words == [*data[:whole], 77]
        assert len(found.faults) == 2
        assert found.faults[0] in expected
        assert found.fault == 0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_lost_words_are_noticed(count: int) -> None:
    """Whole words may vanish in a buffer somewhere; the check runs on."""
    data = words(20, seed=count)
    good = list(stream_of(data))
    found = Receiver(good[: GROUPS * 6] + good[GROUPS * (6 + count) :])
    assert found.words == data[:5]
    assert found.faults == [Fault.CHECK]


def test_a_word_without_room() -> None:
    data = words(12)
    found = Receiver([*stream_of(data)], room=9)
    assert (found.words, found.faults) == (data[:9], [Fault.OVERRUN])


@pytest.mark.parametrize("kind", [Kind.CREDIT, Kind.FAULT])
def test_kinds_that_hosts_do_not_send(kind: Kind) -> None:
    encoder = LinkEncoder()
    data = encoder.encode(Kind.RESET, [1]) + encoder.encode(Kind.DATA, [4])
    found = Receiver([*data, *encoder.encode(kind, [5]), *encoder.encode(Kind.DATA, [6])])
    assert (found.words, found.faults) == ([4], [Fault.FRAME])


@pytest.mark.parametrize("stall", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("idle", [0.0, 0.9])
def test_transmits(idle: float, stall: float) -> None:
    """Byte for byte what the host's coder would make."""
    encoder = LinkEncoder()
    rng = random.Random(7)
    sent = [(Kind.RESET, NONCE)]
    sent += [(rng.choice(list(Kind)), word) for word in words(20)]
    expected = b"".join(encoder.encode(kind, [word]) for kind, word in sent)
    dut = LinkTransmitter()

    async def source(ctx):
        payloads = [{"kind": kind, "word": word} for kind, word in sent]
        await send(ctx, dut.words, payloads, idle=idle)

    async def sink(ctx):
        assert bytes(await collect(ctx, dut.bytes, len(expected), stall=stall)) == expected
        await ctx.tick().repeat(10)
        assert not ctx.get(dut.bytes.valid)

    run(dut, source, sink, cycles=20_000)
