"""The serial post unit's memory of 16-bit words."""

from sparnn.hdl.arithmetic.sigma_table import HARD_TABLE, TANH_TABLE
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["REST_BITS", "Regions"]

#: Bits of an entry's number in a table, and bits between two entries.
INDEX_BITS, REST_BITS = 8, 7


class Regions:
    """Where things lie in the memory of words.

    Regions are powers of two long and each lies at a multiple of its size, the largest first.

    Members
    -------
    tables: number of tables, of 256 entries each: of tanh and σ, and with ``hard_sigmoid`` of the
        hard σ.
    table: where the tables begin; an entry is a base and, behind it, a slope.
    u: where the input half of a step begins.
    state: where the states begin.
    kept: where the words that a neuron's gates leave to the later ones begin.
    depth: words.
    """

    def __init__(self, config: SparseConfig) -> None:
        self.tables = 1 + config.hard_sigmoid
        sizes = {
            "table": (2 << INDEX_BITS) * self.tables,
            "u": 1 << clog2(config.rows),
            "state": 1 << clog2(config.state_depth),
            "kept": 4,
        }
        places: dict[str, int] = {}
        end = 0
        for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
            places[name] = end
            end += size
        self.table, self.u = places["table"], places["u"]
        self.state, self.kept = places["state"], places["kept"]
        self.depth = end

    def content(self) -> list[int]:
        """Base and slope of each entry of the tables."""
        words = [0] * self.depth
        for number, table in enumerate((TANH_TABLE, HARD_TABLE)[: self.tables]):
            for index in range(1 << INDEX_BITS):
                place = self.table + 2 * ((number << INDEX_BITS) + index)
                words[place : place + 2] = table[index], table[index + 1] - table[index]
        return words
