"""The ports of a machine that reads weights from external memory."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["REQUEST", "memory_members"]

#: So many words from an address on, counted in words as wide as the memory.
REQUEST = data.StructLayout({"address": 32, "words": 24})


def memory_members(stream_bits: int) -> dict[str, wiring.Member]:
    """Ports to external memory, with words of so many bits; none with 0."""
    if not stream_bits:
        return {}
    return {
        "requests": Out(stream.Signature(REQUEST)),
        "words": In(stream.Signature(stream_bits)),
        "damaged": Out(1),
    }
