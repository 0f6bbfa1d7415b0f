"""Why a job stopped: the numbers of the register ERROR."""

from enum import IntEnum

__all__ = ["Fault", "Part"]


class Fault(IntEnum):
    """The first thing that went wrong. ERROR_ADDRESS and ERROR_WORD say where.

    Words count from the job's first; those of REFUSED and CAPACITY from the first answered one.
    """

    NONE = 0  #: nothing did
    SIZE = 1  #: SOURCE_WORDS is not 3 to 2^24 - 1, or CAPACITY is more than that
    ALIGNMENT = 2  #: an address is no multiple of 4, or the job goes beyond the addresses there are
    READ = 3  #: the memory answered a read with an error: the address of the beat
    WRITE = 4  #: the memory answered a write with an error: the address of the burst
    IDENTITY = 5  #: the first word is not this machine's identity: the image is of another one
    CHECK = 6  #: the last word is not the CRC-32 of those before it
    REFUSED = 7  #: the machine answered ERROR: the place of that word in the answer
    CAPACITY = 8  #: more words of answer than CAPACITY: the first address behind it
    TRUNCATED = 9  #: the words end inside a packet
    TIMEOUT = 10  #: no word moved for TIMEOUT cycles
    WEIGHTS = 11  #: weights that the machine read do not match their check
    PARITY = 12  #: a word of weights, masks or states in the machine does not match its parity

    @property
    def text(self) -> str:
        """A sentence for people: what happened, and what to do."""
        return _TEXTS[self]


class Part(IntEnum):
    """What was at work: the parts of a job, in the order LOAD, JOB, SAVE."""

    JOB = 0  #: the job's own packets
    LOAD = 1  #: the states from STATE_IN
    SAVE = 2  #: the states to STATE_OUT, asked for by the packets at MAP

    @property
    def text(self) -> str:
        """For people, behind what happened."""
        return ("", "while the states were read", "while the states were written")[self]


_TEXTS = {
    Fault.NONE: "no error",
    Fault.SIZE: "the number of words is not one that a job can have: give the words of the whole "
    "job, identity and check included, and split what is longer",
    Fault.ALIGNMENT: "an address is not a multiple of 4, or the job leaves the address space",
    Fault.READ: "the memory answered a read with an error: check the source address",
    Fault.WRITE: "the memory answered a write with an error: check the destination address",
    Fault.IDENTITY: "the job is for another machine: compile the model for this one",
    Fault.CHECK: "the check of the job does not match: its words were damaged on the way",
    Fault.REFUSED: "the machine refused a packet",
    Fault.CAPACITY: "the answer is longer than the room for it: give a larger capacity",
    Fault.TRUNCATED: "the words of the job end inside a packet",
    Fault.TIMEOUT: "nothing moved for as long as TIMEOUT says: the memory does not answer, or "
    "TIMEOUT is shorter than a run",
    Fault.WEIGHTS: "the weights in memory do not match their check: write weights.bin there again, "
    "and its address to WEIGHTS",
    Fault.PARITY: "a word of weights, masks or states in the machine was damaged: load the network "
    "again, and begin with states from memory or zero",
}
