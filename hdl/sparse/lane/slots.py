"""What a lane does with each cycle."""

from enum import IntEnum

__all__ = ["Slot"]


class Slot(IntEnum):
    """Use of one lane's multiplier in one cycle."""

    PAIR = 0  #: a non-zero weight meets a non-zero activation
    STALL = 1  #: a row's last pair waits for room in the partial-sum queue
    EMPTY = 2  #: masks without a pair, or the scan has not found the next one yet
    IDLE = 3  #: waits for activations, or has finished
