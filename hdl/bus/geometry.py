"""The shape of memory accesses: widths, bursts, and what may be under way."""

from dataclasses import dataclass
from typing import Any, ClassVar

from amaranth.hdl import Const, Mux

from sparnn.hdl.machine import clog2, is_power_of_two, require

__all__ = ["WORD_COUNT_BITS", "MemoryGeometry"]

#: Bits of a number of words: a job, or its answer, has at most 2^24 - 1.
WORD_COUNT_BITS = 24

#: A burst of AXI must not cross so many bytes.
BOUNDARY = 4096


@dataclass(frozen=True, kw_only=True)
class MemoryGeometry:
    """How memory is read and written. Frozen and validated.

    Members
    -------
    data_bits: of a beat, 32 to 512. address_bits: of a byte address, 16 to 64.
    burst: beats of a burst at most, a power of two up to 256.
    outstanding: bursts under way at most, a power of two up to 16; the queue of the reader holds
        them all.

    Raises
    ------
    ConfigurationError: on construction, with the value, the limit and the way out.
    """

    #: AxCACHE: normal, non-cacheable, bufferable, which any memory takes.
    CACHE: ClassVar[int] = 0b0011

    data_bits: int = 64
    address_bits: int = 32
    burst: int = 16
    outstanding: int = 4

    def __post_init__(self) -> None:
        require(
            is_power_of_two(self.data_bits) and 32 <= self.data_bits <= 512,
            f"data_bits = {self.data_bits} of the memory is not 32, 64, 128, 256 or 512",
        )
        require(
            16 <= self.address_bits <= 64,
            f"address_bits = {self.address_bits} of the memory is not within 16 to 64",
        )
        require(
            is_power_of_two(self.burst) and self.burst <= 256,
            f"burst = {self.burst} is not a power of two up to 256; use 16",
        )
        require(
            is_power_of_two(self.outstanding) and self.outstanding <= 16,
            f"outstanding = {self.outstanding} is not a power of two up to 16; use 4",
        )

    @property
    def lanes(self) -> int:
        """Words of a beat."""
        return self.data_bits // 32

    @property
    def lane_bits(self) -> int:
        return clog2(self.lanes)

    @property
    def beat_shift(self) -> int:
        """log2 of the bytes of a beat, which is AxSIZE."""
        return 2 + self.lane_bits

    @property
    def page_beats(self) -> int:
        """Beats between two boundaries that no burst crosses."""
        return BOUNDARY >> self.beat_shift

    @property
    def queue_beats(self) -> int:
        """Beats that may be under way or waiting."""
        return max(2, self.burst * self.outstanding)

    def burst_length(self, beat: Any, left: Any) -> Any:
        """Beats of the burst that begins at an address: up to the boundary, or all that is left.

        ``beat`` is an address in beats. Where bursts begin at multiples of their length none but
        the first and the last are shorter, and none crosses the boundary.
        """
        aligned = min(self.burst, self.page_beats)
        to_boundary = Const(aligned, aligned.bit_length())
        if aligned > 1:
            to_boundary = aligned - beat[: clog2(aligned)]
        return Mux(left < to_boundary, left, to_boundary)
