"""cocotb bench of the whole machine; tests/system/test_cocotb.py builds and runs it.

SPARNN_BENCH names a folder with network.npz, program.json and image.bin of one network: an LSTM and
a linear head whose outputs of one step fit one word.
"""

import os
import random
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from sparnn.hdl.host.protocol import RUN_RESET, Opcode, Response, Target, header
from sparnn.hdl.sparse.descriptor import DESCRIPTOR
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import sequence_packets, write_packet
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.verilator.hardware import load_program

FOLDER = Path(os.environ["SPARNN_BENCH"])
PROGRAM = load_program(FOLDER)
NETWORK = IntegerNetwork.load(FOLDER / "network.npz")
IMAGE = np.fromfile(FOLDER / "image.bin", "<u4")
X = np.random.default_rng(7).integers(-128, 128, (5, NETWORK.layers[0].inputs))

machine_test = cocotb.test(timeout_time=1, timeout_unit="ms")


class TB:
    """The host: offers words, idle in some cycles, and takes words, stalling in some.

    ``idle`` and ``stall`` are percentages of the cycles; an offer stands until it is taken.
    """

    def __init__(self, dut, idle=0, stall=0):
        self.dut = dut
        self.idle = idle
        self.stall = stall
        self.random = random.Random(100 * idle + stall)
        self.waiting = []
        self.answer = []
        Clock(dut.clk, 10, unit="ns").start()

    async def start(self):
        """Reset, and load the network."""
        self.dut.rst.value = 1
        self.dut.rx__valid.value = 0
        self.dut.tx__ready.value = 0
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        for _ in range(8):
            await RisingEdge(self.dut.clk)
        cocotb.start_soon(self._run())
        self.waiting.extend(int(word) for word in IMAGE)

    async def _run(self):
        offered = False
        while True:
            await FallingEdge(self.dut.clk)
            if not offered:
                offered = bool(self.waiting) and not self._happens(self.idle)
            ready = not self._happens(self.stall)
            self.dut.rx__valid.value = int(offered)
            self.dut.rx__payload.value = self.waiting[0] if offered else 0
            self.dut.tx__ready.value = int(ready)
            await ReadOnly()  # what stands now is what the rising edge sees
            if offered and int(self.dut.rx__ready.value):
                self.waiting.pop(0)
                offered = False
            if ready and int(self.dut.tx__valid.value):
                self.answer.append(int(self.dut.tx__payload.value))

    def _happens(self, percent):
        return self.random.random() * 100 < percent

    async def ask(self, words, count):
        """Send words; the answer to them, so many words and no more."""
        self.answer.clear()
        self.waiting.extend(int(word) for word in words)
        while self.waiting or len(self.answer) < count:
            await RisingEdge(self.dut.clk)
        for _ in range(30):
            await RisingEdge(self.dut.clk)
        assert len(self.answer) == count, [f"{word:#010x}" for word in self.answer]
        return list(self.answer)

    async def sequence(self, x):
        """Run a sequence from zero states and check it against the golden model."""
        words, runs = sequence_packets(PROGRAM, 0, x)
        answer = await self.ask(words, expected_words(PROGRAM, runs))
        (result,) = parse_results(PROGRAM, runs, answer)
        trace = run_network(NETWORK, x)
        assert np.array_equal(result.outputs[-1], trace.layers[-1].outputs)
        assert np.array_equal(result.states[0], trace.layers[0].state)
        return result


def select(target, index=0):
    return header(Opcode.SELECT, target << 20 | index)


def x_packet(x):
    """The packet that stores a sequence, without the RUN that follows it."""
    words, _ = sequence_packets(PROGRAM, 0, x)
    (at,) = np.flatnonzero(words == header(Opcode.RUN, RUN_RESET | len(x)))
    return words[:at]


def signed(words):
    return np.array(words, np.uint32).view(np.int32)


@machine_test
@cocotb.parametrize(idle=[0, 60], stall=[0, 70])
async def results_equal_the_golden_model(dut, idle, stall):
    tb = TB(dut, idle, stall)
    await tb.start()
    for x in (X, X[:1], -X - 1):
        await tb.sequence(x)


@machine_test
@cocotb.parametrize(stall=[0, 70])
async def refused_packets_do_no_harm(dut, stall):
    tb = TB(dut, 0, stall)
    await tb.start()
    config = PROGRAM.config
    run, store = Opcode.RUN, select(Target.STORE)
    beyond = header(Opcode.ADDRESS, config.store_depth)
    last = header(Opcode.ADDRESS, config.store_depth - 1)
    write = header(Opcode.WRITE, 2)
    for words, refused in (
        ([header(0, 5)], 0),
        ([header(Response.DONE, 1)], 0),
        ([select(9)], 0),
        ([select(Target.MASK, config.lanes)], 0),
        ([select(Target.STATE, config.post_units)], 0),
        ([header(run, 0)], 0),
        ([header(run, 1 << 24 | 1)], 0),
        ([store, beyond], 1),
        ([store, last, write, 1, 2], 2),
        ([select(Target.PARAMETER), header(Opcode.WRITE, 1), 3], 1),  # half an entry
        ([select(Target.WEIGHT), header(Opcode.READ, 1)], 1),  # cannot be read
        ([store, header(Opcode.READ, 0)], 1),
        ([store, last, header(Opcode.READ, 2)], 2),
    ):
        argument = int(words[refused]) & (1 << 28) - 1
        assert await tb.ask(words, 1) == [header(Response.ERROR, argument)]
    # The half entry may have reached the first parameter's words, so load that again.
    await tb.ask(IMAGE, 0)
    await tb.sequence(X)


@machine_test
@cocotb.parametrize(stall=[0, 70])
async def store_and_state_can_be_read(dut, stall):
    tb = TB(dut, 0, stall)
    await tb.start()
    config = PROGRAM.config
    entries = [0x8001, 0x7FFF, 0xABCD]
    packet = write_packet(config, Target.STORE, 0, config.store_depth - 3, entries)
    back = [*packet[:2], header(Opcode.READ, 3)]
    assert await tb.ask([*packet, *back], 4) == [header(Response.DATA, 3), *entries]

    layer = PROGRAM.layers[0].descriptor
    base, words = layer["state_base"], layer["out_words"]
    states = [-32768, -1, 32767, 5][:words]
    packet = write_packet(config, Target.STATE, 1, base, np.array(states) & 0xFFFF)
    back = [*packet[:2], header(Opcode.READ, words)]
    answer = await tb.ask([*packet, *back], 1 + words)
    assert answer[0] == header(Response.DATA, words)
    assert list(signed(answer[1:])) == states

    # After a run the hidden state lies in the store.
    await tb.sequence(X)
    back = [
        select(Target.STORE),
        header(Opcode.ADDRESS, layer["hidden_base"]),
        header(Opcode.READ, words),
    ]
    answer = await tb.ask(back, 1 + words)
    bits, units = config.activation_bits, len(PROGRAM.layers[0].neurons)
    assert config.store_entry_bits == 16
    h = np.array(answer[1:], np.uint32).astype("<u2").view(np.int8).astype(int)
    assert bits == 8
    expected = run_network(NETWORK, X).layers[0].h[list(PROGRAM.layers[0].neurons)]
    assert list(h[:units]) == list(expected)
    assert not h[units:].any()


@machine_test
async def states_carry_over_from_run_to_run(dut):
    tb = TB(dut, 30, 30)
    await tb.start()
    values = 1 + len(PROGRAM.layers[-1].neurons)
    parts = []
    for number, x in enumerate((X[:2], X[2:3], X[3:])):
        flag = 0 if number else RUN_RESET
        words = [*x_packet(x), header(Opcode.RUN, flag | len(x))]
        parts += (await tb.ask(words, len(x) * values + 2))[:-2]
    words = [*x_packet(X), header(Opcode.RUN, RUN_RESET | len(X))]
    assert parts == (await tb.ask(words, len(X) * values + 2))[:-2]
    outputs = signed(parts).reshape(len(X), values)[:, 1:]
    golden = run_network(NETWORK, X).layers[-1].outputs
    assert np.array_equal(outputs, golden[:, list(PROGRAM.layers[-1].neurons)])


@machine_test
async def stalls_do_not_count_where_one_word_is_emitted(dut):
    """The cycles of DONE, with the last step alone emitted: the writer holds one word."""
    tb = TB(dut)
    await tb.start()
    last = len(PROGRAM.layers) - 1
    descriptor = DESCRIPTOR.encode({**PROGRAM.layers[last].descriptor, "emit_last": 1})
    change = write_packet(PROGRAM.config, Target.PROGRAM, 0, last * len(descriptor), descriptor)
    await tb.ask(change, 0)
    seen = []
    for stall in (0, 50, 95):
        tb.stall = stall
        words = [*x_packet(X), header(Opcode.RUN, RUN_RESET | len(X))]
        *_, done, cycles = await tb.ask(words, 1 + len(PROGRAM.layers[last].neurons) + 2)
        assert done == header(Response.DONE, 0)
        seen.append(cycles)
    assert len(set(seen)) == 1, seen
