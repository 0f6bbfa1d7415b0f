"""The host port's specification in dictionaries, and a bench that holds the port against it."""

from collections import deque
from collections.abc import Iterable

from sparnn.hdl.host.host_port import HostPort
from sparnn.hdl.host.protocol import (
    COUNTER_WORDS,
    RUN_RESET,
    RUN_STEPS_BITS,
    Counter,
    Opcode,
    Response,
    Target,
    header,
    identity,
    words_per_entry,
)
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from tests.hdl.stream_helpers import collect, run, send

__all__ = ["OVERFLOW", "SHAPES", "UNWRITTEN", "WORD", "Bench", "Machine", "make_config"]

WORD = 0xFFFFFFFF

#: What the host does not write: counters, and what these machines, without external memory, lack.
UNWRITTEN = (Target.COUNTER, Target.SECTION)

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
    "deltas": {
        "lanes": 4,
        "post_units": 4,
        "max_v": 1,
        "chunk": 16,
        "weight_bits": 14,
        "activation_bits": 15,
        "delta": 1,
        "reference_depth": 13,
    },
    "store": {"lanes": 16, "post_units": 16, "max_v": 1, "chunk": 128, "activation_bits": 8},
}


def make_config(shape: str) -> SparseConfig:
    return SparseConfig(
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

    def __init__(self, config: SparseConfig, runs: Iterable[tuple[list[int], int]] = ()):
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
            Target.PROGRAM: c.program_depth * DESCRIPTOR.words,
            Target.MASK: c.mask_depth,
            Target.WEIGHT: c.weight_depth,
            Target.PARAMETER: c.parameter_depth,
            Target.STATE: c.state_depth,
            Target.STORE: c.store_depth,
            Target.COUNTER: len(Counter) * COUNTER_WORDS,
            Target.REFERENCE: c.reference_depth,
            Target.TOTAL: c.parameter_depth,
        }[target]

    def copies(self, target: Target) -> int:
        if target == Target.SECTION:  # no weights come from memory here
            return 0
        if target in (Target.MASK, Target.WEIGHT):
            return self.config.lanes
        if target == Target.COUNTER and not self.config.counters:
            return 0
        if target in (Target.REFERENCE, Target.TOTAL) and not self.config.delta:
            return 0
        if target in (Target.PARAMETER, Target.STATE, Target.COUNTER, Target.TOTAL):
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
        bits = self.config.entry_bits(self.target)
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
        readable = self.target not in (Target.PROGRAM, Target.MASK, Target.WEIGHT, Target.PARAMETER)
        if opcode == Opcode.READ and readable and 0 < argument <= depth - self.address:
            answer = [header(Response.DATA, argument * size)]
            for _ in range(argument):
                entry = memory.get(self.address, 0)
                of_store = self.target in (Target.STORE, Target.REFERENCE)
                if not of_store and entry >> bits - 1:
                    entry |= -1 << bits  # sign-extended
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
        self.memory_kinds = [
            kind for kind in Target if kind not in UNWRITTEN and self.model.copies(kind)
        ]
        self.dut = HostPort(self.config)

    def record(self, ctx) -> None:
        """At most one write per cycle; what it wrote."""
        dut = self.dut
        on = [kind for kind in self.memory_kinds if ctx.get(dut.write_en[kind.name.lower()])]
        assert len(on) <= 1
        for target in on:
            data = ctx.get(dut.entry) & (1 << self.config.entry_bits(target)) - 1
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
                kind = Target.COUNTER if ctx.get(dut.read_counters) else Target.STATE
                of_store = Target.STORE
                if self.config.delta:
                    kind = Target.TOTAL if ctx.get(dut.read_totals) else kind
                    of_store = Target.REFERENCE if ctx.get(dut.read_references) else of_store
                store_data = self.memories.get((of_store, 0), {}).get(address, 0)
                where = (kind, ctx.get(dut.read_index))
                state = self.memories.get(where, {}).get(address, 0)
                bits = self.config.entry_bits(kind)
                state |= -(state >> bits - 1) << bits & (1 << self.config.read_bits) - 1
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
