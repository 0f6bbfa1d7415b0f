"""Counting the ones of a mask."""

from amaranth.hdl import Cat, Const, Module, Signal, Value

__all__ = ["group_counts", "population_count", "prefix_sums"]


def _nibble_counts(bits: Value) -> Value:
    """Ones of each aligned group of four bits, in that group's place.

    Written on the whole word: each bit of a count is one 4-input LUT, and one machine instruction
    of a simulator works on all groups.
    """
    width = len(bits)
    low = Const(sum(1 << k for k in range(0, width, 4)), width)
    a, b, c, d = (bits >> k for k in range(4))
    odd_low, odd_high, both_low, both_high = a ^ b, c ^ d, a & b, c & d
    ones = (odd_low ^ odd_high) & low
    twos = (both_low ^ both_high ^ (odd_low & odd_high)) & low
    fours = both_low & both_high & low
    return (ones | (twos << 1) | (fours << 2))[:width]


def group_counts(m: Module, bits: Value, group: int) -> list[Value]:
    """Ones of each aligned group of ``group`` bits, a multiple of four, lowest group first.

    ``m`` gets the logic. The last group may be short; the bits' number is a multiple of four.
    """
    counts = Signal(len(bits))
    m.d.comb += counts.eq(_nibble_counts(bits))
    groups = []
    for start in range(0, len(bits), group):
        terms: list[Value] = [
            counts[k : k + 3] for k in range(start, min(start + group, len(bits)), 4)
        ]
        while len(terms) > 1:
            terms = [
                terms[k] + terms[k + 1] if k + 1 < len(terms) else terms[k]
                for k in range(0, len(terms), 2)
            ]
        groups.append(terms[0])
    return groups


def population_count(m: Module, bits: Value) -> Value:
    """Ones of a value of at least one bit. ``m`` gets the logic."""
    padded = Cat(bits, Const(0, -len(bits) % 4))
    return group_counts(m, padded, len(padded))[0]


def prefix_sums(terms: list[Value]) -> list[Value]:
    """Sum of the first k + 1 terms for each k, in as many levels of adders as a tree has."""
    if len(terms) == 1:
        return terms
    middle = 1 << ((len(terms) - 1).bit_length() - 1)
    low, high = prefix_sums(terms[:middle]), prefix_sums(terms[middle:])
    return [*low, *(low[-1] + term for term in high)]
