"""A machine with registers and memory, in plain Python: what docs/interface.md says of jobs."""

import zlib

import numpy as np
from support.host_model import HostModel

from sparnn.hdl.bus.faults import Fault
from sparnn.hdl.bus.table import BUS_VERSION, DEFAULT_TIMEOUT, MAGIC, REGISTERS
from sparnn.hdl.host.protocol import ARGUMENT_BITS, IMAGE_VERSION, Opcode, Response, identity

__all__ = ["JobDevice"]

NAMES = {register.offset: register.name for register in REGISTERS}


class JobDevice:
    """Its registers are ``read`` and ``write``. A job is done as soon as it starts.

    Members
    -------
    memory: words, the first of them at ``address``. damage: of the next job, an index into its
        words, one bit of which is flipped. jobs: the words of all so far.
    """

    def __init__(self, config, words=1 << 14, address=0x4_0000_0000):
        self.config = config
        self.machine = HostModel(config)
        self.memory = np.zeros(words, np.uint32)
        self.address = address
        self.damage = None
        self.jobs = []
        self.values = dict.fromkeys(NAMES.values(), 0)
        self.values |= {
            "MAGIC": MAGIC,
            "VERSION": BUS_VERSION | IMAGE_VERSION << 8,
            "IDENTITY": identity(config),
            "CAPABILITIES": 1,
            "STATUS": 2,
            "TIMEOUT": DEFAULT_TIMEOUT,
        }

    def read(self, offset):
        return self.values[NAMES[offset]]

    def write(self, offset, value):
        name = NAMES[offset]
        if name == "IRQ_STATUS":
            self.values[name] &= ~value
        elif name != "CONTROL":
            self.values[name] = value
        elif value & 2:
            self.values |= {"STATUS": 2, "ERROR": 0, "ERROR_WORD": 0}
        elif value & 1:
            assert self.values["STATUS"] & 2, "a job was started that cannot be"
            self._start()

    def _wide(self, name):
        return self.values[f"{name}_LO"] | self.values[f"{name}_HI"] << 32

    def _start(self):
        states = self.values["STATES"]
        state_words = self.values["STATE_WORDS"]
        if states & 1 and self._part("STATE_IN", state_words, None, 0, 1) is None:
            return
        capacity = self.values["CAPACITY"]
        answer = self._part("SOURCE", self.values["SOURCE_WORDS"], "DESTINATION", capacity, 0)
        if answer is None:
            return
        self.values["WRITTEN"] = len(answer)
        if states & 2 and not self._save():
            return
        self.values["STATUS"] += 1 << 16
        self.values["IRQ_STATUS"] |= 1

    def _save(self):
        """The answers to the packets at MAP, as a job that writes what was read."""
        config = self.config
        reads = self._words("MAP", self.values["MAP_WORDS"])
        words = [identity(config)]
        for select, address, read in reads[1:-1].reshape(-1, 3).tolist():
            data = self.machine.feed([select, address, read])[1:]
            words += [select, address, Opcode.WRITE << ARGUMENT_BITS | len(data), *data]
        words = np.array(words, np.int64) & 0xFFFFFFFF
        words = words.astype(np.uint32)
        words = np.append(words, np.uint32(zlib.crc32(words.astype("<u4").tobytes())))
        if len(words) != self.values["STATE_WORDS"]:
            return self._fail(Fault.SIZE, 0, 2)
        to = (self._wide("STATE_OUT") - self.address) // 4
        self.memory[to : to + len(words)] = words
        return True

    def _words(self, name, count):
        first = (self._wide(name) - self.address) // 4
        return self.memory[first : first + count].copy()

    def _part(self, source, count, destination, capacity, part):
        """What the machine answers to a job in memory; None where it fails."""
        job = self._words(source, count)
        if self.damage is not None:
            job[self.damage] ^= 4
            self.damage = None
        self.jobs.append(job)
        if len(job) < 3:
            return self._fail(Fault.SIZE, 0, part)
        if job[0] != self.values["IDENTITY"]:
            return self._fail(Fault.IDENTITY, 0, part)
        if zlib.crc32(job[:-1].astype("<u4").tobytes()) != job[-1]:
            return self._fail(Fault.CHECK, len(job) - 1, part)
        answer = self.machine.feed(job[1:-1])
        if len(answer) > capacity:
            return self._fail(Fault.CAPACITY, capacity, part)
        if destination is not None:
            to = (self._wide(destination) - self.address) // 4
            self.memory[to : to + len(answer)] = np.array(answer, np.int64) & 0xFFFFFFFF
        if answer and answer[0] >> ARGUMENT_BITS == Response.ERROR:
            return self._fail(Fault.REFUSED, 0, part)
        return answer

    def _fail(self, fault, word, part):
        self.values |= {"STATUS": 4, "ERROR": fault | part << 8, "ERROR_WORD": word}
        self.values["IRQ_STATUS"] |= 2
