"""A machine with registers and memory, in plain Python: what docs/interface.md says of jobs."""

import zlib

import numpy as np
from support.host_model import HostModel

from sparnn.hdl.bus.faults import Fault
from sparnn.hdl.bus.table import BUS_VERSION, DEFAULT_TIMEOUT, MAGIC, REGISTERS
from sparnn.hdl.host.protocol import ARGUMENT_BITS, IMAGE_VERSION, Response, identity

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
        first = (self._wide("SOURCE") - self.address) // 4
        job = self.memory[first : first + self.values["SOURCE_WORDS"]].copy()
        if self.damage is not None:
            job[self.damage] ^= 4
            self.damage = None
        self.jobs.append(job)
        if len(job) < 3:
            return self._fail(Fault.SIZE, 0)
        if job[0] != self.values["IDENTITY"]:
            return self._fail(Fault.IDENTITY, 0)
        if zlib.crc32(job[:-1].astype("<u4").tobytes()) != job[-1]:
            return self._fail(Fault.CHECK, len(job) - 1)
        answer = self.machine.feed(job[1:-1])
        if len(answer) > self.values["CAPACITY"]:
            return self._fail(Fault.CAPACITY, self.values["CAPACITY"])
        to = (self._wide("DESTINATION") - self.address) // 4
        self.memory[to : to + len(answer)] = np.array(answer, np.int64) & 0xFFFFFFFF
        if answer and answer[0] >> ARGUMENT_BITS == Response.ERROR:
            return self._fail(Fault.REFUSED, 0)
        self.values["WRITTEN"] = len(answer)
        self.values["STATUS"] += 1 << 16
        self.values["IRQ_STATUS"] |= 1
        return None

    def _fail(self, fault, word):
        self.values |= {"STATUS": 4, "ERROR": fault, "ERROR_WORD": word}
        self.values["IRQ_STATUS"] |= 2
