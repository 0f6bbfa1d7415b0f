"""Counting the ones of a mask, and finding the lowest."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from sparnn.hdl.common.numbers import clog2

__all__ = [
    "added",
    "group_counts",
    "lower_ones",
    "lowest_index",
    "population_count",
    "prefix_sums",
    "several",
    "split",
]


def _byte_counts(bits: Value) -> Value:
    """Ones of each aligned group of eight bits, in that group's place.

    Written on the whole word: eleven 4-input LUTs a group, and one machine instruction of a
    simulator works on all groups. First the ones of four bits, as bits of weight 1, 2 and 4 (4 only
    where the others are zero), then the sum of two such counts.
    """
    width = len(bits)
    place = Const(sum(1 << k for k in range(0, width, 8)), width)
    a, b, c, d = (bits >> k for k in range(4))
    odd_low, odd_high, both_low, both_high = a ^ b, c ^ d, a & b, c & d
    ones = odd_low ^ odd_high
    twos = both_low ^ both_high ^ (odd_low & odd_high)
    fours = both_low & both_high
    ones_2, twos_2, fours_2 = ones >> 4, twos >> 4, fours >> 4
    carry = ones & ones_2
    carry_2 = (twos & twos_2) | (carry & (twos ^ twos_2))
    sum_1 = (ones ^ ones_2) & place
    sum_2 = (twos ^ twos_2 ^ carry) & place
    sum_4 = (fours ^ fours_2 | carry_2) & place
    sum_8 = fours & fours_2 & place
    return (sum_1 | sum_2 << 1 | sum_4 << 2 | sum_8 << 3)[:width]


def added(m: Module, a: Value, b: Value, most: int) -> Value:
    """The sum, of at most ``most``; ``m`` gets the logic."""
    total = Signal(range(most + 1))
    m.d.comb += total.eq(a + b)
    return total


def group_counts(m: Module, bits: Value, group: int) -> list[Value]:
    """Ones of each aligned group of ``group`` bits, a power of two from 4, lowest group first.

    ``m`` gets the logic. The number of bits is a multiple of the group.
    """
    if group == 4:
        return group_counts(m, Cat(Cat(part, Const(0, 4)) for part in split(bits, 4)), 8)
    counts = Signal(len(bits))
    m.d.comb += counts.eq(_byte_counts(bits))
    groups = []
    for place in split(counts, group):
        terms: list[Value] = [byte[:4] for byte in split(place, 8)]
        while len(terms) > 1:
            most = 2 * group // len(terms)
            terms = [added(m, a, b, most) for a, b in zip(terms[::2], terms[1::2], strict=True)]
        groups.append(terms[0])
    return groups


def population_count(m: Module, bits: Value) -> Value:
    """Ones of a value of at least one bit. ``m`` gets the logic."""
    width = 1 << max(3, clog2(len(bits)))
    return group_counts(m, Cat(bits, Const(0, width - len(bits))), width)[0]


def prefix_sums(m: Module, counts: list[Value], most: int) -> list[Value]:
    """Sum of the first k + 1 counts for each k, of at most ``most`` each; ``m`` gets the logic.

    Four counts take three adders in a row, more of them as many levels of adders as a tree has.
    """
    if len(counts) == 1:
        return counts
    middle = 1 << (clog2(len(counts)) - 1)
    if len(counts) <= 4:
        middle = len(counts) - 1
    low, high = prefix_sums(m, counts[:middle], most), prefix_sums(m, counts[middle:], most)
    sums = [added(m, low[-1], one, (middle + k) * most) for k, one in enumerate(high, 1)]
    return [*low, *sums]


def split(bits: Value, width: int) -> list[Value]:
    """Parts of so many bits, lowest first."""
    return [bits[k : k + width] for k in range(0, len(bits), width)]


def lower_ones(bits: Value) -> Value:
    """For each place, whether there is a one below it. Without a carry chain, which costs more."""
    smear, width = bits, 1
    while width < len(bits):
        smear = (smear | (smear << width))[: len(bits)]
        width *= 2
    return (smear << 1)[: len(bits)]


def several(bits: Value) -> Value:
    """Whether there are two ones or more. Two levels of 4-input LUTs for eight bits."""
    if len(bits) == 1:
        return Const(0, 1)
    low, high = bits[: len(bits) // 2], bits[len(bits) // 2 :]
    return several(low) | several(high) | (low.any() & high.any())


def lowest_index(bits: Value) -> Value:
    """Place of the lowest one; of no meaning if there is none. The width is a power of two."""
    if len(bits) == 2:
        return ~bits[0]
    half = len(bits) // 2
    low, high = bits[:half], bits[half:]
    upper = ~low.any()
    return Cat(Mux(upper, lowest_index(high), lowest_index(low)), upper)
