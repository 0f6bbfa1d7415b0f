"""docs/numerics.md in plain integers: the slow, obvious model of the post unit."""

import math
from dataclasses import dataclass, field

__all__ = [
    "TABLE",
    "Cell",
    "hard_sigmoid",
    "norm",
    "out",
    "rne",
    "sat",
    "sigmoid",
    "tanh",
    "tanh15",
]


def rne(value: int, amount: int) -> int:
    whole, rest = divmod(value, 1 << amount)
    if 2 * rest > 1 << amount or (2 * rest == 1 << amount and whole % 2):
        whole += 1
    return whole


def sat(value: int, bits: int = 16) -> int:
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, value))


TABLE = [min(32767, round(math.tanh(i / 32) * 32768)) for i in range(257)]


def norm(value: int, amount: int) -> int:
    return sat(rne(value, amount) if amount >= 0 else value << -amount)


HARD_TABLE = [min(32767, 1024 * i) for i in range(257)]


def tanh15(argument: int, table: list[int] = TABLE) -> int:
    magnitude = min(abs(argument), 32767)
    i, r = magnitude >> 7, magnitude & 127
    t = table[i] + (((table[i + 1] - table[i]) * r + 64) >> 7)
    return -t if argument < 0 else t


def tanh(value: int, form: int) -> int:
    return tanh15(norm(value, form - 12))


def sigmoid(value: int, form: int) -> int:
    return (32768 + tanh15(norm(value, form + 1 - 12))) >> 1


def hard_sigmoid(value: int, form: int) -> int:
    return (32768 + tanh15(norm(value, form + 1 - 12), HARD_TABLE)) >> 1


def out(value: int, amount: int, bits: int) -> int:
    return sat(rne(value, amount), bits)


@dataclass
class Cell:
    """One post unit's cells in one layer. Kinds and activations are those of the descriptors."""

    kind: str
    activation: str = "identity"
    f_pre: int = 12
    f_state: int = 12
    out_shift: int = 15
    bits: int = 8
    states: dict[int, int] = field(default_factory=dict)
    update_gates: dict[int, int] = field(default_factory=dict)
    hard: bool = False

    def neuron(self, index: int, u: list[int], v: list[int]) -> int:
        """The output of the neuron whose state has this index, from its gates' halves."""
        pre = [sat(a + b) for a, b in zip(u, v, strict=True)]
        sigma = hard_sigmoid if self.hard else sigmoid
        if self.kind == "lstm":
            i, f, o = (sigma(pre[gate], self.f_pre) for gate in (0, 1, 3))
            g = tanh(pre[2], self.f_pre)
            p = rne(i * g, 15 - self.f_state)
            state = sat(rne(f * self.states.get(index, 0) + p, 15))
            self.states[index] = state
            return out(o * tanh(state, self.f_state), self.out_shift, self.bits)
        if self.kind == "gru":
            r, z = sigma(pre[0], self.f_pre), sigma(pre[1], self.f_pre)
            n = tanh(sat(u[2] + rne(r * v[2], 15)), self.f_pre)
            p = rne((32768 - z) * n, 15 - self.f_state)
            state = sat(rne(z * self.states.get(index, 0) + p, 15))
            self.states[index] = state
            return out(state * 32768, self.out_shift, self.bits)
        if self.kind == "gru_gates":
            r, z = sigma(pre[0], self.f_pre), sigma(pre[1], self.f_pre)
            self.update_gates[index] = z
            return out(r * self.states.get(index, 0), self.out_shift, self.bits)
        if self.kind == "gru_candidate":
            n, z = tanh(pre[0], self.f_pre), self.update_gates[index]
            p = rne((32768 - z) * n, 15 - self.f_state)
            state = sat(rne(z * self.states.get(index, 0) + p, 15))
            self.states[index] = state
            return out(state * 32768, self.out_shift, self.bits)
        value = {
            "identity": pre[0],
            "relu": max(pre[0], 0),
            "tanh": tanh(pre[0], self.f_pre),
            "sigmoid": sigma(pre[0], self.f_pre),
        }[self.activation]
        return out(value * 32768, self.out_shift, self.bits)
