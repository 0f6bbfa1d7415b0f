"""docs/numerics.md once more, for single numbers, in Python's unlimited integers."""

import math
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["HARD", "TANH", "Cell", "requantized", "rne", "sat", "sigmoid", "tanh"]

TANH = [min(32767, round(math.tanh(i / 32) * 32768)) for i in range(257)]
HARD = [min(32767, 1024 * i) for i in range(257)]


def rne(a: int, n: int) -> int:
    """``a / 2^n`` to the nearest, ties to even, as Python rounds fractions."""
    return round(Fraction(a, 1 << n))


def sat(a: int, bits: int = 16) -> int:
    """Clamp to signed ``bits`` bits."""
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, a))


def _norm(p: int, n: int) -> int:
    return sat(rne(p, n) if n >= 0 else p << -n)


def _chord(z: int, table: list[int]) -> int:
    m = min(abs(z), 32767)
    i, r = m >> 7, m & 127
    t = table[i] + (((table[i + 1] - table[i]) * r + 64) >> 7)
    return -t if z < 0 else t


def tanh(p: int, f: int) -> int:
    """Q15 of a value in format f."""
    return _chord(_norm(p, f - 12), TANH)


def sigmoid(p: int, f: int, hard: bool = False) -> int:
    """Q15 of a value in format f; the straight line where ``hard``."""
    return (32768 + _chord(_norm(p, f + 1 - 12), HARD if hard else TANH)) >> 1


def requantized(acc: int, mult: int, shift: int, bias: int) -> int:
    """A half of a row."""
    return sat(rne(acc * mult, shift) + bias)


@dataclass(frozen=True)
class Cell:
    """The cells of docs/numerics.md in one set of formats. ``out_bits``: of the output."""

    f_pre: int
    f_state: int
    f_h: int
    out_bits: int
    hard: bool = False

    def sigma(self, p: int) -> int:
        return sigmoid(p, self.f_pre, self.hard)

    def out(self, value: int, n: int) -> int:
        return sat(rne(value, n), self.out_bits)

    def lstm_state(self, i: int, f: int, g: int, c: int) -> int:
        """c' of gate values and c."""
        return sat(rne(f * c + rne(i * g, 15 - self.f_state), 15))

    def lstm_output(self, o: int, state: int) -> int:
        return self.out(o * tanh(state, self.f_state), 30 - self.f_h)

    def gru_candidate(self, r: int, u: int, v: int) -> int:
        """n of the gate r and the two halves of n's row."""
        return tanh(sat(u + rne(r * v, 15)), self.f_pre)

    def gru_state(self, z: int, n: int, s: int) -> int:
        return sat(rne(z * s + rne((32768 - z) * n, 15 - self.f_state), 15))

    def gru_output(self, state: int) -> int:
        return self.out(state * 32768, 15 + self.f_state - self.f_h)

    def reset_output(self, r: int, s: int) -> int:
        """q of the layer of r and z, where the GRU resets first."""
        return self.out(r * s, 15 + self.f_state - self.f_h)

    def plain_output(self, pre: int, activation: str) -> int:
        """Of an RNN or a linear layer."""
        if activation in ("tanh", "sigmoid"):
            value = tanh(pre, self.f_pre) if activation == "tanh" else self.sigma(pre)
            return self.out(value * 32768, 30 - self.f_h)
        if activation == "relu":
            pre = max(pre, 0)
        return self.out(pre * 32768, 15 + self.f_pre - self.f_h)
