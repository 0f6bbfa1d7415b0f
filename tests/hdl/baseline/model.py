"""What an EIE array holds of a layer, and what it makes of it, in plain lists."""

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.hdl.baseline.config import BaselineConfig
from sparnn.hdl.baseline.ports import Target

__all__ = [
    "Element",
    "Network",
    "Matrix",
    "make_config",
    "output",
    "random_matrix",
    "random_parameters",
    "requantized",
]

Matrix = npt.NDArray[np.int64]


def make_config(**changes: int) -> BaselineConfig:
    """A small array."""
    parameters: dict[str, Any] = {
        "lanes": 8,
        "skip_zeros": True,
        "overlap": False,
        "matrix_words": 32,
        "columns": 21,
        "half_columns": 16,
        "rows": 5,
        "activation_depth": 64,
        **changes,
    }
    return BaselineConfig(**parameters)


def random_matrix(rng: np.random.Generator, rows: int, columns: int, density: float) -> Matrix:
    """Of 10-bit weights, some of them at an end."""
    values = rng.choice((-511, 511, *rng.integers(-511, 512, 6)), (rows, columns))
    return np.where(rng.random((rows, columns)) < density, values, 0)


class Element:
    """The memories of one element: pointers, and entries of a weight and the zeros before it.

    A run of zeros that does not fit its bits ends in an entry of weight zero.
    """

    def __init__(self, config: BaselineConfig, columns: list[list[int]]) -> None:
        most = (1 << config.index_bits) - 1
        self.entries: list[int] = []
        self.pointers = [0]
        for column in columns:
            zeros = 0
            for weight in column:
                if weight == 0 and zeros < most:
                    zeros += 1
                    continue
                code = weight & (1 << config.weight_bits) - 1
                self.entries.append(code | zeros << config.weight_bits)
                zeros = 0
            self.pointers.append(len(self.entries))
        self._config = config

    def words(self) -> list[int]:
        """Of the matrix memory."""
        each, bits = self._config.entries_per_read, self._config.entry_bits
        padded = self.entries + [0] * (-len(self.entries) % each)
        assert len(padded) <= each * self._config.matrix_words
        return [
            sum(entry << bits * k for k, entry in enumerate(padded[first : first + each]))
            for first in range(0, len(padded), each)
        ]

    def pairs(self) -> list[int]:
        """Of the pointer memories: pointers 2a and 2a + 1."""
        padded = [*self.pointers, self.pointers[-1]]
        return [
            padded[k] | padded[k + 1] << self._config.cursor_bits
            for k in range(0, len(self.pointers), 2)
        ]


def _rne(a: int, n: int) -> int:
    return round(Fraction(a, 1 << n))


def _sat(a: int, bits: int) -> int:
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, a))


def random_parameters(rng: np.random.Generator, count: int) -> list[dict[str, int]]:
    """Requantization entries; a multiplier is normalized, or zero with its shift."""
    found = []
    for _ in range(count):
        mult, shift = int(rng.integers(16384, 32768)), int(rng.integers(14, 26))
        if rng.random() < 0.1:
            mult, shift = 0, 63
        found.append({"mult": mult, "shift": shift, "bias": int(rng.integers(-9000, 9000))})
    return found


def requantized(acc: int, mult: int, shift: int, bias: int) -> int:
    """A half of a row."""
    return _sat(_rne(acc * mult, shift) + bias, 16)


def output(config: BaselineConfig, halves: list[int], shift: int) -> int:
    """Of an RNN with ReLU: the halves' saturated sum, its positive part, rounded."""
    pre = max(0, _sat(sum(halves), 16))
    return _sat(_rne(pre * 32768, shift), config.activation_bits)


class Network:
    """One layer on an array: what the host sends, and what the array must answer."""

    def __init__(
        self,
        config: BaselineConfig,
        rng: np.random.Generator,
        inputs: int,
        units: int,
        steps: int,
        recurrent: bool,
    ) -> None:
        self.config, self.inputs, self.units, self.steps = config, inputs, units, steps
        counts = [inputs, units] if recurrent else [inputs]
        self.weights = [random_matrix(rng, units, count, 0.4) for count in counts]
        self.entries = [random_parameters(rng, units) for _ in counts]
        half = 1 << config.activation_bits - 1
        self.x = np.where(
            rng.random((steps, inputs)) < 0.4, 0, rng.integers(-half, half, (steps, inputs))
        )
        self.first = rng.integers(-half, half, units)  # the state before step 0
        self.shift = 20
        lanes = config.lanes
        self.program = {
            "inputs": inputs,
            "rows_x": inputs // lanes,
            "tail_x": inputs % lanes,
            "stride_x": -(-inputs // lanes),
            "rows_h": units // lanes,
            "tail_h": units % lanes,
            "stride_h": -(-units // lanes),
            "h_base": steps * -(-inputs // lanes),
            "out_shift": self.shift,
            "recurrent": recurrent,
        }

    def outputs(self) -> list[list[int]]:
        """Of every step."""
        h, found = self.first, []
        for x in self.x:
            sums = [w @ v for w, v in zip(self.weights, (x, h), strict=False)]
            values = []
            for unit in range(self.units):
                halves = [
                    requantized(int(one[unit]), **entries[unit])
                    for one, entries in zip(sums, self.entries, strict=True)
                ]
                values.append(output(self.config, halves, self.shift))
            found.append(values)
            h = np.array(values)
        return found

    def memories(self, group: int) -> dict[Target, list[int]]:
        """Entries for the four kinds of memories of a group, from address 0 on."""
        config, lanes = self.config, self.config.lanes
        first = 4 * group
        own = []
        for k in range(first, first + 4):
            columns = [column for one in self.weights for column in one[k::lanes].T.tolist()]
            own.append(Element(config, columns))
        mask = (1 << config.activation_bits) - 1
        values = [
            [value & mask for value in self._dealt(self.x, k) + self._dealt(self.first[None], k)]
            for k in range(first, first + 4)
        ]
        return {
            Target.MATRIX: _shares([one.words() for one in own], config.word_bits),
            Target.POINTER: _shares([one.pairs() for one in own], 2 * config.cursor_bits),
            Target.ACTIVATION: _shares(values, config.activation_bits),
            Target.PARAMETER: [
                entry["mult"] | entry["shift"] << 16 | (entry["bias"] & 0xFFFF) << 22
                for entries in self.entries
                for unit, entry in enumerate(entries)
                if first <= unit % lanes < first + 4
            ],
        }

    def _dealt(self, vectors: Matrix, element: int) -> list[int]:
        """The share of an element, every vector padded to the same number of places."""
        lanes = self.config.lanes
        places = -(-vectors.shape[1] // lanes)
        padded = np.zeros((len(vectors), places * lanes), np.int64)
        padded[:, : vectors.shape[1]] = vectors
        return padded[:, element::lanes].ravel().tolist()


def _shares(each: list[list[int]], bits: int) -> list[int]:
    """Entries with a share for each element of a group, the first one lowest."""
    count = max(map(len, each))
    return [
        sum((own[k] if k < len(own) else 0) << bits * n for n, own in enumerate(each))
        for k in range(count)
    ]
