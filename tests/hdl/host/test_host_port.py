"""HostPort: every packet, every refusal, beside memories kept in dictionaries."""

import random

import pytest

from sparnn.hdl.host.host_port import HostPort
from sparnn.hdl.host.protocol import (
    RUN_RESET,
    RUN_STEPS_BITS,
    Opcode,
    Response,
    Target,
    header,
    identity,
    words_per_entry,
)
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.post.state import StateMemory
from tests.hdl.host.host_port_bench import SHAPES, UNWRITTEN, WORD, Bench, Machine, make_config
from tests.hdl.stream_helpers import run, send

# Packets -----------------------------------------------------------------------------------------


def select(target: int, index: int = 0):
    return header(Opcode.SELECT, target << 20 | index), []


def address(value: int):
    return header(Opcode.ADDRESS, value), []


def write(words: list[int]):
    return header(Opcode.WRITE, len(words)), words


def read(count: int):
    return header(Opcode.READ, count), []


def start(argument: int):
    return header(Opcode.RUN, argument), []


def noise(rng: random.Random, count: int) -> list[int]:
    return [rng.choice((0, WORD, rng.getrandbits(32))) for _ in range(count)]


def usable(config: SparseConfig, rng: random.Random):
    """Packets that show that the machine still does what it should."""
    size = words_per_entry(config, Target.STORE)
    return [
        select(Target.STORE),
        address(2),
        write(noise(rng, 3 * size)),
        address(3),
        read(2),
        select(Target.STATE, config.post_units - 1),
        write(noise(rng, 2)),
        address(0),
        read(2),
    ]


PACE = pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.4, 0.6)])


@PACE
@pytest.mark.parametrize("shape", SHAPES)
def test_fill_and_read_everything(shape: str, idle: float, stall: float) -> None:
    """Every memory written to its last entry, first and last index; what can be read, read."""
    config = make_config(shape)
    rng = random.Random(shape)
    packets = []
    model = Machine(config)
    for target in Target:
        if target in UNWRITTEN or not model.copies(target):
            continue
        size = words_per_entry(config, target)
        for index in {0, model.copies(target) - 1}:
            depth = model.depth(target)
            packets += [select(target, index), write(noise(rng, size * depth))]
    packets += [select(Target.STORE), read(config.store_depth)]
    packets += [address(config.store_depth - 1), read(1), address(4), read(2), read(3)]
    for index in (0, config.post_units - 1):
        packets += [select(Target.STATE, index), read(config.state_depth), address(1), read(1)]
        packets += [select(Target.COUNTER, index), address(3), read(9), write([1]), read(1)]
        packets += [select(Target.TOTAL, index), read(config.parameter_depth), address(3), read(2)]
    packets += [select(Target.REFERENCE), read(config.reference_depth), address(12), read(1)]
    Bench(shape, packets).check(idle, stall)


@PACE
@pytest.mark.parametrize("shape", ["narrow", "wide", "deltas"])
def test_random_packets(shape: str, idle: float, stall: float) -> None:
    """Random packets, about half of them refused."""
    config = make_config(shape)
    rng = random.Random(str((shape, idle, stall)))
    packets, runs = [], []
    for _ in range(100):
        choice = rng.randrange(8)
        if choice == 0:
            packets.append(select(rng.choice([*Target, 255]), rng.choice((0, 0, 1, 15, 31, 40))))
        elif choice == 1:
            packets.append(address(rng.choice((0, 1, 10, 11, 17, 18, 20, 21, 33, 1 << 20))))
        elif choice in (2, 3):
            packets.append(write(noise(rng, rng.choice((1, 2, 3, 6, 10, 15)))))
        elif choice == 4:
            packets.append(read(rng.choice((0, 1, 2, 5, 1 << 27))))
        elif choice == 5:
            packets.append(start(rng.randint(1, 9) | rng.choice((0, RUN_RESET))))
            runs.append((noise(rng, rng.choice((0, 1, 7))), rng.randint(1, 20)))
        elif choice == 6:
            packets.append((header(Opcode.IDENTIFY, rng.choice((0, 0, 1))), []))
        else:
            packets.append((rng.choice((0, 7, 8, 9, 15)) << 28 | rng.getrandbits(28), []))
    packets += usable(config, rng)
    Bench(shape, packets, runs).check(idle, stall)


@pytest.mark.parametrize(
    "bad",
    [
        *[(opcode << 28 | 0x1234567, []) for opcode in (0, 6, 7, 8, 9, 10, 15)],
        select(7),
        select(255),
        select(Target.PROGRAM, 1),
        select(Target.STORE, 1),
        select(Target.MASK, 32),
        select(Target.WEIGHT, 32),
        select(Target.PARAMETER, 16),
        select(Target.STATE, 16),
        select(Target.STATE, (1 << 20) - 1),
        address(21),
        address(1 << 20),
        address((1 << 28) - 1),
        read(0),
        read(22),
        read((1 << 28) - 1),
        start(0),
        start(RUN_RESET),
        start(1 << RUN_STEPS_BITS),
        start(1 << RUN_STEPS_BITS | 5),
        start(RUN_RESET | 7 << RUN_STEPS_BITS | 1),
        write([1]),
        write([1, 2, 3, 4]),
        write([1, 2, 3, 4, 5, 6]),
        write(list(range(22 * 5))),
        write(list(range(24 * 5))),
        write(list(range(23 * 5 + 1))),
    ],
    ids=lambda packet: f"{packet[0]:08x}",
)
def test_refused_and_still_usable(bad: tuple[int, list[int]]) -> None:
    """The store (5 words an entry) is selected; one ERROR, and everything after it works."""
    rng = random.Random(0)
    config = make_config("wide")
    bench = Bench("wide", [select(Target.STORE), bad, *usable(config, rng)])
    assert bench.expected[0] == header(Response.ERROR, bad[0] & (1 << 28) - 1)
    bench.check()


@pytest.mark.parametrize("target", [Target.PROGRAM, Target.MASK, Target.WEIGHT, Target.PARAMETER])
def test_memories_that_cannot_be_read(target: Target) -> None:
    config = make_config("wide")
    Bench("wide", [select(target), read(1), *usable(config, random.Random(0))]).check()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("target", [one for one in Target if one != Target.SECTION])
def test_write_beyond_the_end(target: Target, shape: str) -> None:
    """What fits is written, the rest is dropped up to the payload's end, one ERROR."""
    config = make_config(shape)
    rng = random.Random(target)
    size = words_per_entry(config, target)
    last = Machine(config).depth(target) - 1
    packets = [
        select(target),
        address(last - 1),
        write(noise(rng, 5 * size)),
        write(noise(rng, size)),
        *usable(config, rng),
    ]
    bench = Bench(shape, packets)
    assert [word >> 28 for word in bench.expected[:2]] == [Response.ERROR] * 2
    bench.check(stall=0.3)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_nothing_selected(count: int) -> None:
    """WRITE, READ and ADDRESS before the first SELECT."""
    rng = random.Random(count)
    packets = [write(noise(rng, count)), read(1), address(0), select(9), write(noise(rng, count))]
    bench = Bench("wide", packets + usable(make_config("wide"), rng))
    assert [word >> 28 for word in bench.expected[:5]] == [Response.ERROR] * 5
    bench.check()


@PACE
def test_runs(idle: float, stall: float) -> None:
    """Results pass through in order, then DONE and the cycles; the next packet waits."""
    rng = random.Random(5)
    packets, runs = [], []
    for steps in (1, (1 << RUN_STEPS_BITS) - 1, 77):
        for reset in (0, RUN_RESET):
            for results in (0, 1, 20):
                packets += [start(steps | reset), *usable(make_config("narrow"), rng)[:5]]
                runs.append((noise(rng, results), rng.randint(1, 40)))
    Bench("narrow", packets, runs).check(idle, stall)


@PACE
@pytest.mark.parametrize("shape", SHAPES)
def test_identify(shape: str, idle: float, stall: float) -> None:
    """Before any SELECT too, and again and again."""
    ask = (header(Opcode.IDENTIFY, 0), [])
    bench = Bench(shape, [ask, ask, *usable(make_config(shape), random.Random(4)), ask])
    word = identity(make_config(shape))
    assert bench.expected[:4] == [header(Response.DATA, 1), word] * 2
    bench.check(idle, stall)


def test_states_are_there_in_time() -> None:
    assert StateMemory.READ_LATENCY <= HostPort.READ_LATENCY


def test_one_word_per_cycle_in() -> None:
    """A WRITE's payload is taken without a gap; a header takes three cycles."""
    config = make_config("wide")
    dut = HostPort(config)
    cycle = 0
    taken: list[int] = []

    async def count(ctx):
        nonlocal cycle
        while True:
            await ctx.tick()
            cycle += 1

    async def source(ctx):
        words = [select(Target.MASK)[0], header(Opcode.WRITE, 3 * 19), *range(3 * 19)]
        await send(ctx, dut.rx, words, at=taken, clock=lambda: cycle)

    run(dut, source, background=[count], cycles=1000)
    assert [taken[1] - taken[0], taken[2] - taken[1]] == [3, 3]
    assert taken[-1] - taken[2] == 3 * 19 - 1
