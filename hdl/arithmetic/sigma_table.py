"""The table behind σ and tanh (docs/numerics.md, "σ and tanh")."""

import math
from collections.abc import Mapping
from itertools import pairwise

from amaranth.lib import data
from amaranth.lib.memory import Memory

__all__ = [
    "GUARD_BITS",
    "HARD_TABLE",
    "INDEX_BITS",
    "REST_BITS",
    "SLOPE_BITS",
    "TANH_TABLE",
    "sigma_table",
]

#: T[i] of docs/numerics.md, i = 0 … 256: tanh(i / 32) in Q15.
TANH_TABLE = [min(32767, round(math.tanh(i / 32) * 32768)) for i in range(257)]

#: H[i]: a straight line that ends at 1, in the same units.
HARD_TABLE = [min(32767, 1024 * i) for i in range(257)]

#: An argument's magnitude is at most 32767: 8 bits of index, 7 bits between two entries.
INDEX_BITS, REST_BITS = 8, 7
#: The magnitude is shifted left by up to 16, then right by 4: guard bits that are rounded away.
GUARD_BITS = 4
SLOPE_BITS = max(b - a for a, b in pairwise(TANH_TABLE)).bit_length()


def sigma_table(*, with_hard: bool, attrs: Mapping[str, str] | None = None) -> Memory:
    """T[i] and the slope behind it, as ``base`` and ``slope``; not yet a submodule.

    ``with_hard``: a second half holds the hard σ. ``attrs``: for synthesis.
    """
    return Memory(
        shape=data.StructLayout({"base": 15, "slope": SLOPE_BITS}),
        depth=(1 << INDEX_BITS) << with_hard,
        init=[
            {"base": a, "slope": b - a}
            for half in (TANH_TABLE, HARD_TABLE)[: 1 + with_hard]
            for a, b in pairwise(half)
        ],
        attrs=dict(attrs or {}),
    )
