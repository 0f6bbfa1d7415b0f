"""cocotb bench: bits that flip in the memories of a machine with parity, behind AXI.

tests/system/benches/bus_crossings.py builds and runs it.
"""

import random

import cocotb
import numpy as np
from bus_bench import IDENTITY, IMAGE, NETWORK, PROGRAM, X, sequence, started
from bus_support import job_words
from cocotb.triggers import ClockCycles
from state_cases import Streams

from sparnn.hdl.bus.faults import Fault
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import sequence_packets


def memories(dut):
    """Kind -> the memories of all lanes or post units, by their instances in the Verilog."""
    machine, config = dut.machine.machine.core, PROGRAM.config
    if config.MACHINE == "dense":
        banks = [getattr(machine, f"bank{k}") for k in range(config.banks)]
        lanes = [getattr(b, f"lane{k}") for b in banks for k in range(config.bank_lanes)]
        slices = [getattr(machine, f"slice{k}") for k in range(config.slices)]
        cells = [getattr(s, f"cell{k}") for s in slices for k in range(config.cells)]
        return {
            "weight": [lane.weights for lane in lanes],
            "state": [cell.states for cell in cells],
        }
    clusters = [getattr(machine, f"cluster{k}").core for k in range(config.post_units)]
    lanes = [getattr(c, f"lane{k}") for c in clusters for k in range(config.cluster_lanes)]
    return {
        "weight": [lane.pairs.weights for lane in lanes],
        "mask": [lane.fetch.weight_masks for lane in lanes],
        "state": [cluster.post.cell.state.memory for cluster in clusters],
    }


def flip(rng, memory, used):
    """A bit of a word that is in use."""
    word = memory[rng.randrange(used)]
    word.value = int(word.value) ^ 1 << rng.randrange(len(word.value))


@cocotb.test(timeout_time=9, timeout_unit="ms")
async def flipped_bits_are_found(dut):
    host = await started(dut)
    assert await host.read("CAPABILITIES") & 2
    await sequence(host, X, 0x1000, 0x8000)
    assert await host.read("PARITY") == 0
    places = memories(dut)
    used = {"weight": 24, "mask": 12, "state": 3}
    if PROGRAM.config.MACHINE == "dense":
        used = {"weight": min(24, PROGRAM.layers[-1].descriptor["weight_base"]), "state": 3}
    rng = random.Random(11)
    words, runs = sequence_packets(PROGRAM, 0, X)
    job, count = job_words(IDENTITY, words), expected_words(PROGRAM, runs)
    golden = run_network(NETWORK, X).layers[-1].outputs
    found = dict.fromkeys(places, 0)
    for number in range(30):
        kind = list(places)[number % len(places)]
        await host.prepare(job, 0x1000, 0x8000, count)
        before = await host.read("PARITY")
        if kind != "state":  # a state is read soon after it was written
            flip(rng, rng.choice(places[kind]), used[kind])
        await host.write("CONTROL", 1)
        if kind == "state":
            await ClockCycles(dut.aclk, rng.randrange(100, 400))
            flip(rng, rng.choice(places[kind]), used[kind])
        while await host.read("STATUS") & 5 == 1:
            pass
        fault = Fault(await host.read("ERROR"))
        if fault:
            found[kind] += 1
            assert fault == Fault.PARITY
            assert await host.read("PARITY") > before
            await host.soft_reset()
        else:  # nobody has read that word
            answer = host.words(0x8000, await host.read("WRITTEN"))
            (result,) = parse_results(PROGRAM, runs, answer)
            assert np.array_equal(result.outputs[-1], golden)
        await host.run(job_words(IDENTITY, IMAGE), 0x100, 0x8000, 0)
        await sequence(host, X, 0x1000, 0x8000)
    assert min(found.values()) > 4, found


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def a_stream_goes_on_from_memory(dut):
    """A damaged state within the machine costs the job that met it, and no stream."""
    host = await started(dut)
    streams = Streams(host, PROGRAM, NETWORK, 2, 7)
    await streams.begin()
    await streams.step(0, 2)
    await streams.step(1, 2)
    (memory, *_) = memories(dut)["state"]
    job, _, count = streams.job(0, 3)
    await host.use_states(*streams.places[0])
    await host.prepare(job, 0x1000, 0x8000, count)
    await host.write("CONTROL", 1)
    while not await host.read("WRITTEN"):
        pass
    memory[0].value = int(memory[0].value) ^ 1
    while await host.read("STATUS") & 5 == 1:
        pass
    assert await host.read("ERROR") & 15 == Fault.PARITY
    await host.soft_reset()
    for one in (0, 1):
        await streams.step(one, 3)
