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


def tanh15(argument: int, table: list[int] = TABLE, most: int = 32767) -> int:
    magnitude = min(abs(argument), most)
    i, r = magnitude >> 7, magnitude & 127
    t = table[i] + (((table[i + 1] - table[i]) * r + 64) >> 7)
    return -t if argument < 0 else t


def tanh(value: int, form: int, clip: int = 32767) -> int:
    return tanh15(norm(value, form - 12), TABLE, min(32767, 2 * clip))


def sigmoid(value: int, form: int, clip: int = 32767) -> int:
    return (32768 + tanh15(norm(value, form + 1 - 12), TABLE, clip)) >> 1


def hard_sigmoid(value: int, form: int, clip: int = 32767) -> int:
    return (32768 + tanh15(norm(value, form + 1 - 12), HARD_TABLE, clip)) >> 1


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
    gate: str = "sigmoid"
    candidate: str = "tanh"
    function: str = "tanh"
    clip: int = 32767
    #: Of an LSTM with peepholes: weights of i, f and o for each state, and their shift.
    peepholes: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    cell_shift: int = 0

    def sigma(self, value: int) -> int:
        return self.apply("sigmoid", value, self.f_pre)[0]

    def apply(self, name: str, value: int, form: int, clip: int = 0) -> tuple[int, int]:
        """A function's value, and its format; ``clip``: instead of the layer's."""
        if name in ("relu", "identity"):
            return (max(value, 0) if name == "relu" else value), form
        sigma = hard_sigmoid if self.hard else sigmoid
        return {"tanh": tanh, "sigmoid": sigma}[name](value, form, clip or self.clip), 15

    def neuron(self, index: int, u: list[int], v: list[int]) -> int:
        """The output of the neuron whose state has this index, from its gates' halves."""
        pre = [sat(a + b) for a, b in zip(u, v, strict=True)]
        if self.kind == "lstm":
            w_i, w_f, w_o = self.peepholes.get(index, (0, 0, 0))
            before = self.states.get(index, 0)
            seen = (
                sat(pre[0] + rne(w_i * before, self.cell_shift)),
                sat(pre[1] + rne(w_f * before, self.cell_shift)),
            )
            (i, gate_form), (f, _) = (self.apply(self.gate, value, self.f_pre) for value in seen)
            g, form = self.apply(self.candidate, pre[2], self.f_pre)
            p = rne(i * g, form - self.f_state)
            state = sat(rne(f * before + p, gate_form))
            self.states[index] = state
            o, _ = self.apply(
                self.gate, sat(pre[3] + rne(w_o * state, self.cell_shift)), self.f_pre
            )
            value, _ = self.apply(self.function, state, self.f_state, 32767)
            return out(o * value, self.out_shift, self.bits)
        if self.kind == "gru":
            r, z = self.sigma(pre[0]), self.sigma(pre[1])
            n, form = self.apply(self.candidate, sat(u[2] + rne(r * v[2], 15)), self.f_pre)
            p = rne((32768 - z) * n, form - self.f_state)
            state = sat(rne(z * self.states.get(index, 0) + p, 15))
            self.states[index] = state
            return out(state * 32768, self.out_shift, self.bits)
        if self.kind == "gru_gates":
            r, z = self.sigma(pre[0]), self.sigma(pre[1])
            self.update_gates[index] = z
            return out(r * self.states.get(index, 0), self.out_shift, self.bits)
        if self.kind == "gru_candidate":
            n, form = self.apply(self.candidate, pre[0], self.f_pre)
            z = self.update_gates[index]
            p = rne((32768 - z) * n, form - self.f_state)
            state = sat(rne(z * self.states.get(index, 0) + p, 15))
            self.states[index] = state
            return out(state * 32768, self.out_shift, self.bits)
        value, _ = self.apply(self.activation, pre[0], self.f_pre)
        return out(value * 32768, self.out_shift, self.bits)
