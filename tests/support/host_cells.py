"""Numbers and cells of docs/numerics.md in plain Python, for the model of the host's view."""

import math
from itertools import pairwise

from sparnn.hdl.host.protocol import Activation, CellFunction, Kind

__all__ = ["HostCells", "rne", "sat", "signed"]

TABLE = [min(32767, round(math.tanh(i / 32) * 32768)) for i in range(257)]
assert all(a <= b for a, b in pairwise(TABLE))


def rne(a, n):
    if n == 0:
        return a
    floor, rest, half = a >> n, a & (1 << n) - 1, 1 << n - 1
    return floor + (rest > half or (rest == half and floor & 1))


def sat(a, bits=16):
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, a))


def signed(value, bits):
    return value - (1 << bits) if value >> bits - 1 & 1 else value


def tanh15(z, most=32767):
    m = min(abs(z), most)
    i, r = m >> 7, m & 127
    t = TABLE[i] + (((TABLE[i + 1] - TABLE[i]) * r + 64) >> 7)
    return -t if z < 0 else t


def norm(p, n):
    return sat(rne(p, n) if n >= 0 else p << -n)


class HostCells:
    """From a neuron's sums of both halves to its output and state.

    Who inherits it has ``config``, and ``update_gates``: state address -> z, from a GRU's gates to
    its candidate.
    """

    def out(self, layer, value):
        bits = 16 if layer["wide"] else self.config.activation_bits
        return sat(rne(value, layer["out_shift"]), bits)

    def activated(self, layer, pre):
        shift = layer["pre_shift"]
        function = layer["activation"]
        if function == Activation.TANH:
            return self.out(layer, self.curve(layer, False, pre, shift) * 32768)
        if function == Activation.SIGMOID:
            return self.out(layer, self.sigmoid(layer, pre) * 32768)
        if function == Activation.RELU:
            pre = max(pre, 0)
        return self.out(layer, pre * 32768)

    def sigmoid(self, layer, pre):
        return self.curve(layer, True, pre, layer["pre_shift"])

    def curve(self, layer, sigma, value, shift, clip=0):
        """σ or tanh."""
        clip = clip or layer["clip"]
        if not sigma:
            return tanh15(norm(value, shift), min(2 * clip, 32767))
        argument = norm(value, shift + 1)
        if layer["hard_sigmoid"]:  # its table is a straight line up to 1
            steps, rest = divmod(min(abs(argument), clip), 128)
            ends = [min(32767, 1024 * (steps + k)) for k in (0, 1)]
            height = ends[0] + ((ends[1] - ends[0]) * rest + 64 >> 7)
            return (32768 + (height if argument > 0 else -height)) >> 1
        return (32768 + tanh15(argument, clip)) >> 1

    def candidate(self, layer, pre):
        return self.function(layer, layer["candidate"], pre, layer["pre_shift"])

    def function(self, layer, which, value, shift, clip=0):
        if which == CellFunction.RELU:
            return max(value, 0)
        if which == CellFunction.IDENTITY:
            return value
        return self.curve(layer, which == CellFunction.SIGMOID, value, shift, clip)

    def cell(self, layer, s, u, v, state):
        """The new output and state of the neuron at position s."""
        up = layer["state_up"]
        place = layer["state_base"], s
        if layer["reset_first"] and layer["kind"] == Kind.GRU:
            r, self.update_gates[place] = (self.sigmoid(layer, sat(u[k] + v[k])) for k in (0, 1))
            return self.out(layer, r * state), state
        if layer["reset_first"]:
            z, n = self.update_gates[place], self.candidate(layer, sat(u[0] + v[0]))
            new = sat(rne(z * state + rne((32768 - z) * n, up), 15))
            return self.out(layer, new * 32768), new
        if layer["kind"] == Kind.RNN:
            return self.activated(layer, sat(u[0] + v[0])), 0
        if layer["kind"] == Kind.LSTM:
            pre = [sat(a + b) for a, b in zip(u, v, strict=True)]
            gate, gate_up, shift = CellFunction.SIGMOID, 0, layer["pre_shift"]
            if getattr(self.config, "gate_functions", 0):
                gate, gate_up = layer["gate"], layer["gate_up"]
            i, f, o = (self.function(layer, gate, pre[k], shift) for k in (0, 1, 3))
            g = self.candidate(layer, pre[2])
            new = sat(rne(f * state + rne(i * g, up), 15 - gate_up))
            value = self.function(layer, layer["cell"], new, layer["state_shift"], 32767)
            return self.out(layer, o * value), new
        r, z = (self.sigmoid(layer, sat(u[k] + v[k])) for k in (0, 1))
        n = self.candidate(layer, sat(u[2] + rne(r * v[2], 15)))
        new = sat(rne(z * state + rne((32768 - z) * n, up), 15))
        return self.out(layer, new * 32768), new
