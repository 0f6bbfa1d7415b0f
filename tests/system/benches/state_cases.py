"""Streams whose states the machine itself reads from memory and writes back."""

import random

import numpy as np
from bus_support import job_words

from sparnn.hdl.host.protocol import identity
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import sequence_packets, state_map, state_packets

__all__ = ["Streams"]

MAP_AT, STATES_AT, STATES_EACH = 0xC000, 0xD000, 0x200
SOURCE, DESTINATION = 0x1000, 0x8000


class Streams:
    """Sequences that take turns; each has two places for its states in memory.

    Members
    -------
    places: for each stream where its states lie, and where the next ones go.
    """

    def __init__(self, host, program, network, count, seed, length=12):
        self.host, self.program, self.network = host, program, network
        self.identity = identity(program.config)
        rng = np.random.default_rng(seed)
        inputs = network.layers[0].inputs
        self.x = rng.integers(-128, 128, (count, length, inputs))
        self.at = [0] * count
        self.golden = [run_network(network, x).layers[-1].outputs for x in self.x]
        first = [STATES_AT + STATES_EACH * 2 * one for one in range(count)]
        self.places = [[one, one + STATES_EACH] for one in first]
        self.rng = random.Random(seed)

    async def begin(self):
        """Put the map and zero states into memory, and say where."""
        host = self.host
        reads = job_words(self.identity, state_map(self.program))
        zero = job_words(self.identity, np.concatenate(state_packets(self.program, {})))
        assert 4 * len(zero) <= STATES_EACH
        host.put(MAP_AT, reads)
        for place, _ in self.places:
            host.put(place, zero)
        self.each, self.reads = len(zero), len(reads)
        await self.point()

    async def point(self):
        """Say where the map is, after a reset."""
        await self.host.write("MAP_LO", MAP_AT)
        await self.host.write("MAP_WORDS", self.reads)
        await self.host.write("STATE_WORDS", self.each)

    def job(self, one, steps):
        """The next steps of a stream: a job, the runs, and the words of its answer."""
        x = self.x[one][self.at[one] : self.at[one] + steps]
        words, runs = sequence_packets(self.program, 0, x, resume=True)
        return job_words(self.identity, words), runs, expected_words(self.program, runs)

    def check(self, one, steps, runs, answer):
        """Compare an answer with the golden model of the whole stream, and go on."""
        (result,) = parse_results(self.program, runs, answer)
        at = self.at[one]
        assert np.array_equal(result.outputs[-1], self.golden[one][at : at + steps])
        self.at[one] += steps
        self.places[one].reverse()

    async def step(self, one, steps=1):
        """Take steps of a stream by a job of its own."""
        job, runs, count = self.job(one, steps)
        await self.host.use_states(*self.places[one])
        answer = await self.host.run(job, SOURCE, DESTINATION, count)
        await self.host.use_states()
        assert len(answer) == count
        self.check(one, steps, runs, answer)
