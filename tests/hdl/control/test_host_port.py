"""HostPort: every packet, every refusal, beside memories kept in dictionaries."""

import random
from collections import deque
from collections.abc import Iterable

import pytest

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.control.host_port import HostPort
from sparnn.hdl.post.state import StateMemory
from sparnn.hdl.protocol import (
    COUNTER_WORDS,
    DESCRIPTOR_WORDS,
    RUN_RESET,
    RUN_STEPS_BITS,
    Counter,
    Opcode,
    Response,
    Target,
    entry_bits,
    header,
    identity,
    words_per_entry,
)
from tests.hdl.stream_helpers import collect, run, send

WORD = 0xFFFFFFFF

#: post_units 1: every entry but a parameter is one word. 16: mask 2 words, store 4 or 5 words.
SHAPES = {
    "narrow": {"lanes": 3, "post_units": 1, "max_v": 1, "chunk": 8, "sub_chunk": 4},
    "wide": {
        "lanes": 32,
        "post_units": 16,
        "max_v": 2,
        "chunk": 64,
        "activation_bits": 9,
        "counters": 1,
    },
    "store": {"lanes": 16, "post_units": 16, "max_v": 1, "chunk": 128, "activation_bits": 8},
}


def make_config(shape: str) -> MachineConfig:
    return MachineConfig(
        **SHAPES[shape],
        columns=128,
        mask_depth=19,
        weight_depth=33,
        parameter_depth=17,
        state_depth=11,
        store_depth=21,
        program_depth=2,
    )


#: What the store says about a run, which DONE passes on.
OVERFLOW = 0x1234


class Machine:
    """The specification: packets in, answers out. ``busy`` cycles and results of runs are given."""

    def __init__(self, config: MachineConfig, runs: Iterable[tuple[list[int], int]] = ()):
        self.config = config
        self.runs = deque(runs)
        self.memories: dict[tuple[Target, int], dict[int, int]] = {}
        self.started: list[tuple[int, bool]] = []
        self.begun: list[tuple[Target, int]] = []  # where WRITEs began
        self.target: Target | None = None
        self.index = self.address = 0

    def depth(self, target: Target) -> int:
        c = self.config
        return {
            Target.PROGRAM: c.program_depth * DESCRIPTOR_WORDS,
            Target.MASK: c.mask_depth,
            Target.WEIGHT: c.weight_depth,
            Target.PARAMETER: c.parameter_depth,
            Target.STATE: c.state_depth,
            Target.STORE: c.store_depth,
            Target.COUNTER: len(Counter) * COUNTER_WORDS,
        }[target]

    def copies(self, target: Target) -> int:
        if target in (Target.MASK, Target.WEIGHT):
            return self.config.lanes
        if target == Target.COUNTER and not self.config.counters:
            return 0
        if target in (Target.PARAMETER, Target.STATE, Target.COUNTER):
            return self.config.post_units
        return 1

    def packet(self, head: int, payload: list[int]) -> list[int]:
        opcode, argument = head >> 28, head & (1 << 28) - 1
        refusal = [header(Response.ERROR, argument)]
        if opcode == Opcode.SELECT:
            target, index = argument >> 20, argument & 0xFFFFF
            if target > max(Target) or index >= self.copies(Target(target)):
                return refusal
            self.target, self.index, self.address = Target(target), index, 0
            return []
        if opcode == Opcode.RUN:
            steps = argument & (1 << 27) - 1
            if not 0 < steps < 1 << RUN_STEPS_BITS:
                return refusal
            self.started.append((steps, bool(argument & RUN_RESET)))
            results, cycles = self.runs.popleft()
            return [*results, header(Response.DONE, OVERFLOW), cycles]
        if opcode == Opcode.IDENTIFY:
            return refusal if argument else [header(Response.DATA, 1), identity(self.config)]
        if self.target is None:
            return refusal
        size = words_per_entry(self.config, self.target)
        bits = entry_bits(self.config, self.target)
        depth = self.depth(self.target)
        memory = self.memories.setdefault((self.target, self.index), {})
        if opcode == Opcode.ADDRESS and argument < depth:
            self.address = argument
            return []
        if opcode == Opcode.WRITE:
            for start in range(0, len(payload) - size + 1, size):
                if self.address == depth:
                    return refusal
                if start == 0 and self.target != Target.COUNTER:
                    self.begun.append((self.target, self.address))
                entry = sum(word << 32 * k for k, word in enumerate(payload[start : start + size]))
                if self.target != Target.COUNTER:
                    memory[self.address] = entry & (1 << bits) - 1
                self.address += 1
            return refusal if len(payload) % size or self.target == Target.COUNTER else []
        readable = self.target in (Target.STORE, Target.STATE, Target.COUNTER)
        if opcode == Opcode.READ and readable and 0 < argument <= depth - self.address:
            answer = [header(Response.DATA, argument * size)]
            for _ in range(argument):
                entry = memory.get(self.address, 0)
                if self.target != Target.STORE and entry >> bits - 1:
                    entry |= WORD - (1 << bits) + 1  # sign-extended
                answer += [entry >> 32 * k & WORD for k in range(size)]
                self.address += 1
            return answer
        return refusal


class Bench:
    """The port between a host and the memories and the dispatcher of a machine."""

    #: Cycles from an address to a state; the store's data follow after one.
    STATE_LATENCY = HostPort.READ_LATENCY

    def __init__(self, shape: str, packets, runs=()):
        self.config = make_config(shape)
        self.runs = deque(runs)
        self.model = Machine(self.config, runs)
        self.words, self.expected = [], []
        for head, payload in packets:
            self.words += [head, *payload]
            self.expected += self.model.packet(head, payload)
        self.memories: dict[tuple[Target, int], dict[int, int]] = {}
        self.started: list[tuple[int, bool]] = []
        self.begun: list[tuple[Target, int]] = []
        self.memory_kinds = [kind for kind in Target if kind != Target.COUNTER]
        self.dut = HostPort(self.config)

    def record(self, ctx) -> None:
        """At most one write per cycle; what it wrote."""
        dut = self.dut
        on = [kind for kind in self.memory_kinds if ctx.get(dut.write_en[kind.name.lower()])]
        assert len(on) <= 1
        for target in on:
            data = ctx.get(dut.entry) & (1 << entry_bits(self.config, target)) - 1
            place = self.memories.setdefault((target, ctx.get(dut.index)), {})
            place[ctx.get(dut.addr)] = data
            if ctx.get(dut.begins):
                self.begun.append((target, ctx.get(dut.addr)))

    async def environment(self, ctx) -> None:
        """Memories, and a dispatcher that is busy as long as the run's cycles say."""
        dut = self.dut
        ctx.set(dut.overflow, OVERFLOW)
        states = deque([0] * (self.STATE_LATENCY - 1))
        results: deque[int] = deque()
        busy = cycles = store_data = 0
        while True:
            self.record(ctx)
            if ctx.get(dut.run):
                assert not busy
                self.started.append((ctx.get(dut.steps), bool(ctx.get(dut.reset))))
                found, cycles = self.runs.popleft()
                results.extend(found)
                busy_next = cycles
            else:
                busy_next = max(busy - 1, 0)
            if busy or results:
                assert not ctx.get(dut.rx.ready), "a word taken during a run"
            if ctx.get(dut.results.valid) and ctx.get(dut.results.ready):
                results.popleft()
            state = 0x5A5A  # nothing is promised without ``read_en``
            if ctx.get(dut.read_en):
                address = ctx.get(dut.read_addr)
                store_data = self.memories.get((Target.STORE, 0), {}).get(address, 0)
                kind = Target.COUNTER if ctx.get(dut.read_counters) else Target.STATE
                where = (kind, ctx.get(dut.read_index))
                state = self.memories.get(where, {}).get(address, 0)
            states.append(state)
            await ctx.tick()
            busy = busy_next
            ctx.set(dut.busy, busy > 0)
            ctx.set(dut.cycles, cycles - busy)
            ctx.set(dut.results.valid, bool(results))
            ctx.set(dut.results.payload, results[0] if results else 0x5A5A5A5A)
            ctx.set(dut.results_idle, not results)
            ctx.set(dut.store_data, store_data)
            ctx.set(dut.state_data, states.popleft())

    def check(self, idle: float = 0.0, stall: float = 0.0) -> None:
        dut = self.dut
        answer: list[int] = []

        async def source(ctx):
            await send(ctx, dut.rx, self.words, idle=idle, seed=1)

        async def sink(ctx):
            answer.extend(await collect(ctx, dut.tx, len(self.expected), stall=stall, seed=2))
            for _ in range(10):
                assert not ctx.get(dut.tx.valid)
                await ctx.tick()

        run(dut, source, sink, background=[self.environment], cycles=50_000)
        assert answer == self.expected
        assert self.memories == {key: held for key, held in self.model.memories.items() if held}
        assert self.started == self.model.started
        assert self.begun == self.model.begun


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


def usable(config: MachineConfig, rng: random.Random):
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


PACE = pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.7), (0.4, 0.4)])


@PACE
@pytest.mark.parametrize("shape", SHAPES)
def test_fill_and_read_everything(shape: str, idle: float, stall: float) -> None:
    """Every memory written to its last entry, first and last index; what can be read, read."""
    config = make_config(shape)
    rng = random.Random(shape)
    packets = []
    model = Machine(config)
    for target in Target:
        if target == Target.COUNTER:
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
    Bench(shape, packets).check(idle, stall)


@PACE
@pytest.mark.parametrize("shape", ["narrow", "wide"])
def test_random_packets(shape: str, idle: float, stall: float) -> None:
    """Random packets, about half of them refused."""
    config = make_config(shape)
    rng = random.Random(str((shape, idle, stall)))
    packets, runs = [], []
    for _ in range(100):
        choice = rng.randrange(8)
        if choice == 0:
            packets.append(select(rng.choice([*Target, 7, 255]), rng.choice((0, 0, 1, 15, 31, 40))))
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
@pytest.mark.parametrize("target", Target)
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
