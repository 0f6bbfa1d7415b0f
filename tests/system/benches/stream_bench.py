"""cocotb bench of the machine behind AXI-Stream; tests/system/test_bus.py builds and runs it."""

import os
import random
from pathlib import Path

import cocotb
import numpy as np
from bus_support import Host, pauses
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from sparnn.hdl.bus.axi_stream import CUT
from sparnn.hdl.bus.faults import Fault
from sparnn.hdl.host.protocol import RUN_RESET, Opcode, Response, Target, header, identity
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import parse_results
from sparnn.sim.host.packets import sequence_packets
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.verilator.hardware import load_program

FOLDER = Path(os.environ["SPARNN_BENCH"])
PROGRAM = load_program(FOLDER)
NETWORK = IntegerNetwork.load(FOLDER / "network.npz")
IMAGE = np.fromfile(FOLDER / "image.bin", "<u4")
X = np.random.default_rng(7).integers(-128, 128, (5, NETWORK.layers[0].inputs))

stream_test = cocotb.test(timeout_time=2, timeout_unit="ms")


class StreamHost(Host):
    """A DMA engine on either side."""

    def __init__(self, dut, *, idle=0, stall=0):
        super().__init__(dut, idle)
        options = {"reset_active_level": False, "byte_lanes": 4}
        source, sink = (AxiStreamBus.from_prefix(dut, name) for name in ("s_axis", "m_axis"))
        self.source = AxiStreamSource(source, dut.aclk, dut.aresetn, **options)
        self.sink = AxiStreamSink(sink, dut.aclk, dut.aresetn, **options)
        if idle:
            self.source.set_pause_generator(pauses(idle, 1))
        if stall:
            self.sink.set_pause_generator(pauses(stall, 2))

    async def send(self, words):
        """As one packet."""
        data = np.asarray(words, np.uint32).astype("<u4").tobytes()
        await self.source.send(AxiStreamFrame(data))

    async def receive(self):
        """The words of one packet."""
        frame = await with_timeout(self.sink.recv(), 1, "ms")
        return np.frombuffer(bytes(frame.tdata), "<u4").tolist()

    async def started(self):
        await self.reset()
        await self.send(IMAGE)

    async def sequence(self, x):
        """Run a sequence and compare it with the golden model."""
        words, runs = sequence_packets(PROGRAM, 0, x)
        await self.send(words)
        answer = await self.receive()
        assert answer[-2] == header(Response.DONE, 0)  # results and DONE are one packet
        for _ in PROGRAM.layers[0].state_entries(PROGRAM.config.post_units):
            part = await self.receive()
            assert part[0] == header(Response.DATA, len(part) - 1)
            answer += part
        (result,) = parse_results(PROGRAM, runs, answer)
        trace = run_network(NETWORK, x)
        assert np.array_equal(result.outputs[-1], trace.layers[-1].outputs)
        assert np.array_equal(result.states[0], trace.layers[0].state)


@stream_test
@cocotb.parametrize(shape=[(0, 0), (60, 70)])
async def results_equal_the_golden_model(dut, shape):
    host = StreamHost(dut, idle=shape[0], stall=shape[1])
    await host.started()
    for x in (X, X[:1], -X - 1):
        await host.sequence(x)


@stream_test
async def registers_are_those_of_streams(dut):
    host = StreamHost(dut)
    await host.reset()
    assert await host.read("IDENTITY") == identity(PROGRAM.config)
    assert not await host.read("CAPABILITIES") & 1
    await host.write("CONTROL", 1, refused=True)
    await host.write("SOURCE_LO", 4, refused=True)


@stream_test
async def every_answer_ends_with_tlast(dut):
    host = StreamHost(dut, stall=50)
    await host.started()
    await host.send([header(Opcode.IDENTIFY, 0)] * 2)
    for _ in range(2):
        assert await host.receive() == [header(Response.DATA, 1), identity(PROGRAM.config)]
    await host.send([header(Opcode.RUN, 0)])
    assert await host.receive() == [header(Response.ERROR, 0)]
    await host.sequence(X)


@stream_test
async def interrupt_tells_of_answers(dut):
    host = StreamHost(dut)
    await host.started()
    await host.write("IRQ_ENABLE", 1)
    assert dut.irq.value == 0
    await host.send([header(Opcode.IDENTIFY, 0)])
    await with_timeout(RisingEdge(dut.irq), 10, "us")
    await host.write("IRQ_STATUS", 1)
    await ClockCycles(dut.aclk, 2)
    assert dut.irq.value == 0
    assert await host.read("STATUS") >> 16 == 1


@stream_test
async def what_goes_wrong_is_told(dut):
    host = StreamHost(dut)
    await host.started()
    await host.send([header(7, 0)])
    await host.receive()
    assert await host.read("ERROR") == Fault.REFUSED
    assert await host.read("IRQ_STATUS") == 3
    await host.soft_reset()
    assert await host.read("ERROR") == 0
    await host.sequence(X)  # the memories keep what they hold

    await host.soft_reset()
    await host.send([header(Opcode.SELECT, Target.STORE << 20), header(Opcode.WRITE, 9), 1])
    while not await host.read("STATUS") & 4:
        pass
    assert await host.read("ERROR") == Fault.TRUNCATED
    assert await host.read("ERROR_WORD") == 3
    await host.soft_reset()
    await host.sequence(X)


@stream_test
async def soft_reset_ends_an_answer_that_it_cuts(dut):
    host = StreamHost(dut)
    await host.started()
    words, _ = sequence_packets(PROGRAM, 0, X)
    (run,) = np.flatnonzero(words == header(Opcode.RUN, RUN_RESET | len(X)))
    rng = random.Random(5)
    cut = 0
    for number in range(8):
        host.sink.pause = number % 2 == 0
        await host.send(words[: run + 1])
        await host.source.wait()
        await ClockCycles(dut.aclk, rng.randint(200, 900))
        await host.write("CONTROL", 2)
        await ClockCycles(dut.aclk, rng.randint(0, 40))
        host.sink.pause = False
        await host.wait_reset()
        await ClockCycles(dut.aclk, 4)
        while not host.sink.empty():
            cut += (await host.receive())[-1] == CUT
        await host.sequence(X[:2])
    assert cut
