"""A whole post slice, its rows, buffers and cells inside, against docs/numerics.md.

It gets the sums of layers of several steps as the taps deal them, and says what the cells make.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.post.slice import PostSlice
from sparnn.hdl.host.protocol import Activation, Kind
from tests.hdl.dense.model import Cell, requantized, rne, sat, tanh
from tests.hdl.stream_helpers import run

Placed = Callable[[DenseConfig], None]
Unit = tuple[int, int]  # word of the slice's outputs, cell unit


@dataclass
class Layer:
    """One layer of a slice. ``words``: output words, of which each has a neuron of every cell."""

    kind: Kind
    words: int
    steps: int = 2
    activation: Activation = Activation.TANH
    gate_major: bool = False
    wide: bool = False
    hard: bool = False
    reset_first: bool = False
    peephole: bool = False
    turns: int = 1
    f_pre: int = 12
    f_state: int = 12
    f_h: int = 7
    cell_shift: int = 15
    base: dict[str, int] = field(
        default_factory=lambda: {
            "parameter_base_x": 1,
            "parameter_base_h": 11,
            "state_base": 2,
            "pair_parameters": 5,
        }
    )

    @property
    def split(self) -> bool:
        """A layer of a GRU that resets first."""
        return self.reset_first

    @property
    def out_shift(self) -> int:
        if self.kind == Kind.LSTM:
            return 30 - self.f_h
        if self.kind == Kind.GRU or self.split:
            return 15 + self.f_state - self.f_h
        if self.activation in (Activation.TANH, Activation.SIGMOID):
            return 30 - self.f_h
        return 15 + self.f_pre - self.f_h


class Machine:
    """One slice of a machine: what it holds, and what it is to be driven with."""

    def __init__(self, placed: Placed, config: DenseConfig, seed: int, number: int = 0) -> None:
        placed(config)
        self.config, self.number = config, number
        self.dut = PostSlice(config)
        self.rng = np.random.default_rng(seed)
        self.parameters = [
            [self._entry() for _ in range(config.parameter_depth)] for _ in range(config.width)
        ]
        self.states = self.rng.integers(
            -32768, 32768, (config.cells, config.state_depth), dtype=np.int64
        ).tolist()
        self.update: dict[Any, int] = {}  # z of GRUs that reset first

    def _entry(self) -> dict[str, int]:
        mult = int(self.rng.integers(16384, 32768)) * int(self.rng.random() < 0.95)
        shift = int(self.rng.integers(10, 22))
        return {"mult": mult, "shift": shift, "bias": int(self.rng.integers(-9000, 9000))}

    async def load(self, ctx: Any) -> None:
        """Parameters and states of this slice, among those of its neighbours."""
        config = self.config
        for row, entries in enumerate(self.parameters):
            for address, entry in enumerate(entries):
                value = entry["mult"] | entry["shift"] << 16 | (entry["bias"] & 0xFFFF) << 22
                index = self.number * config.width + row
                await self._put(ctx, "parameter_en", index, address, value)
                if address % 8 == row % 8:
                    await self._put(ctx, "parameter_en", index ^ config.width, address, ~value)
        for cell, values in enumerate(self.states):
            for address, value in enumerate(values):
                index = self.number * config.cells + cell
                await self._put(ctx, "state_en", index, address, value & 0xFFFF)
                await self._put(ctx, "state_en", index ^ config.cells, address, ~value & 0xFFFF)
        ctx.set(self.dut.load, {})

    async def _put(self, ctx: Any, name: str, index: int, address: int, value: int) -> None:
        value &= (1 << 38) - 1
        ctx.set(self.dut.load, {name: 1, "index": index, "addr": address, "data": value})
        await ctx.tick()

    def entry(self, layer: Layer, row: int, word: int, hidden: bool, turn: int) -> dict[str, int]:
        first = layer.base["parameter_base_h" if hidden else "parameter_base_x"]
        moved = layer.base["pair_parameters"] if turn else 0
        return self.parameters[row][first + moved + word]

    def segments(self, layer: Layer, final: bool) -> Iterator[tuple[int, int, list[Unit]]]:
        """Sums of one half, in an order the sequencer makes: place, gate, neuron of each row.

        Gate by gate the place is 4 q + gate and the gate counts; else a row's gate is its number
        modulo 4, and the place is that of the word.
        """
        config = self.config
        if not layer.gate_major:
            for word in range(layer.words):
                yield word, 0, [(word, row // 4) for row in range(config.width)]
            return
        rows = min(config.width, 4)
        for q in range(-(-layer.words // rows)):
            units = [(rows * q + row % rows, row // rows) for row in range(config.width)]
            for gate in range(layer.kind.gates):
                yield 4 * q + gate, gate, units

    def play(self, layer: Layer, fresh: bool) -> tuple[dict[int, Any], dict[int, Any], list[Any]]:
        """Per cycle: the segment that comes and the neurons it completes; what must come out."""
        config, rng = self.config, self.rng
        rows = min(config.width, 4)
        halves = 1 if layer.kind == Kind.LINEAR else 2
        latency = config.post_latency(layer.kind == Kind.GRU, layer.peephole)
        segments: dict[int, Any] = {}
        neurons: dict[int, Any] = {}
        wanted: list[Any] = []
        at, neurons_free = 0, 0
        there = [0] * layer.turns  # when the outputs of the step before are in the copies of h
        for step in range(layer.steps):
            for turn in range(layer.turns):
                made: dict[tuple[Unit, int], list[int]] = defaultdict(list)
                bias: dict[tuple[Unit, int], int] = {}
                for half in range(halves):
                    final = half + 1 == halves
                    at = max(at, there[turn] if half else 0)
                    for place, gate, units in self.segments(layer, final):
                        last = final and (not layer.gate_major or gate + 1 == layer.kind.gates)
                        if last and layer.gate_major:
                            at = max(at, neurons_free)
                        sums = [self._sum() for _ in units]
                        for row, (unit, psum) in enumerate(zip(units, sums, strict=True)):
                            own = gate if layer.gate_major else row % 4
                            entry = self.entry(layer, row, place, bool(half), turn)
                            bias[unit, own] = entry["bias"]
                            if layer.peephole and half:
                                entry = entry | {"bias": 0}
                            made[unit, own].append(requantized(psum, **entry))
                        segments[at] = {
                            "tag": {
                                "valid": 1,
                                "word": place,
                                "gate": gate,
                                "turn": turn,
                                "hidden": half,
                                "final": last,
                            },
                            "sums": sums,
                        }
                        if last:
                            words = sorted({unit[0] for unit in units})
                            pace = 2 if layer.wide and layer.gate_major else 1
                            neurons_free = at + pace * rows
                            for k, word in enumerate(words):
                                if word >= layer.words:
                                    continue
                                neurons[at + pace * k] = {
                                    "valid": 1,
                                    "word": word,
                                    "turn": turn,
                                    "fresh": fresh and step == 0,
                                    "step_end": word + 1 == layer.words,
                                }
                                values = [
                                    self._cell(
                                        layer, (word, cell), turn, fresh and not step, made, bias
                                    )
                                    for cell in range(config.cells)
                                ]
                                # The neurons come in cycle -1.
                                wanted.append((at + pace * k + 1 + latency, values))
                        at += 1 + int(rng.integers(5) == 0)
                there[turn] = wanted[-1][0] + 1
        return segments, neurons, wanted

    def _sum(self) -> int:
        bits = self.config.sum_bits
        choice = int(self.rng.integers(12))
        if choice < 2:
            return (-(1 << bits - 1), (1 << bits - 1) - 1)[choice]
        return int(self.rng.integers(-4000, 4000))

    def _cell(
        self,
        layer: Layer,
        unit: Unit,
        turn: int,
        fresh: bool,
        made: dict[tuple[Unit, int], list[int]],
        bias: dict[tuple[Unit, int], int],
    ) -> int:
        """One neuron of one step; its state changes."""
        config = self.config
        word, number = unit
        bits = 16 if layer.wide else config.activation_bits
        cell = Cell(layer.f_pre, layer.f_state, layer.f_h, bits, layer.hard)
        states = self.states[number]
        address = layer.base["state_base"] + turn * layer.words + word
        old = 0 if fresh else states[address]

        def pre(gate: int) -> int:
            return sat(sum(made[unit, gate]))

        def seen(gate: int, state: int) -> int:
            return rne(bias[unit, gate] * state, layer.cell_shift) if layer.peephole else 0

        if layer.split and layer.kind == Kind.GRU:
            self.update[number, address] = cell.sigma(pre(1))
            return cell.reset_output(cell.sigma(pre(0)), old)
        if layer.split:
            n = tanh(pre(0), layer.f_pre)
            states[address] = cell.gru_state(self.update[number, address], n, old)
            return cell.gru_output(states[address])
        if layer.kind == Kind.LSTM:
            i, f = (cell.sigma(sat(pre(gate) + seen(gate, old))) for gate in (0, 1))
            new = cell.lstm_state(i, f, tanh(pre(2), layer.f_pre), old)
            states[address] = new
            return cell.lstm_output(cell.sigma(sat(pre(3) + seen(3, new))), new)
        if layer.kind == Kind.GRU:
            r, z = cell.sigma(pre(0)), cell.sigma(pre(1))
            states[address] = cell.gru_state(z, cell.gru_candidate(r, *made[unit, 2]), old)
            return cell.gru_output(states[address])
        return cell.plain_output(pre(0), layer.activation.name.lower())

    async def run_layer(self, ctx: Any, layer: Layer, fresh: bool) -> None:
        """Set the layer up, play it, and compare every output in its cycle."""
        dut, config = self.dut, self.config
        ctx.set(
            dut.settings,
            layer.base
            | {
                "kind": layer.kind,
                "activation": layer.activation,
                "wide": layer.wide,
                "hard_sigmoid": layer.hard,
                "reset_first": layer.reset_first,
                "gate_major": layer.gate_major,
                "pre_up": 15 - layer.f_pre,
                "state_up": 15 - layer.f_state,
                "out_shift": layer.out_shift,
                "out_words": layer.words,
                "peephole": layer.peephole,
                "cell_shift": layer.cell_shift,
            },
        )
        await ctx.tick().repeat(3)
        segments, neurons, wanted = self.play(layer, fresh)
        outputs = dict(wanted)
        assert len(outputs) == len(wanted)
        for cycle in range(max(outputs) + 1):
            segment = segments.get(cycle)
            noise = {"word": int(self.rng.integers(16)), "hidden": int(self.rng.integers(2))}
            ctx.set(dut.tag, segment["tag"] if segment else noise)
            if segment:
                mask = (1 << config.sum_bits) - 1
                word = sum((s & mask) << config.sum_bits * k for k, s in enumerate(segment["sums"]))
                ctx.set(dut.sums, word)
            ctx.set(dut.neurons, neurons.get(cycle, {"word": noise["word"]}))
            if cycle in outputs:
                assert [ctx.get(port) for port in dut.outputs] == outputs[cycle], cycle
            await ctx.tick()
        ctx.set(dut.tag, {})
        ctx.set(dut.neurons, {})

    async def check_states(self, ctx: Any) -> None:
        """As the host reads them."""
        for cell, values in enumerate(self.states):
            for address, value in enumerate(values):
                ctx.set(self.dut.read_en, 1)
                ctx.set(self.dut.read_addr, address)
                ctx.set(self.dut.read_cell, cell)
                await ctx.tick().repeat(2)
                assert ctx.get(self.dut.state) == value, (cell, address)
        ctx.set(self.dut.read_en, 0)

    def simulate(self, layers: list[tuple[Layer, bool]]) -> None:
        async def bench(ctx: Any) -> None:
            ctx.set(self.dut.number, self.number)
            await self.load(ctx)
            for layer, fresh in layers:
                await self.run_layer(ctx, layer, fresh)
            await self.check_states(ctx)

        run(self.dut, bench, cycles=5000)


def make_config(**changes: int) -> DenseConfig:
    parameters = {
        "lanes": 16,
        "width": 4,
        "banks": 2,
        "slices": 2,
        "columns": 4,
        "parameter_depth": 21,
        "state_depth": 11,
    }
    return DenseConfig(**(parameters | changes))


@pytest.mark.parametrize("stages", [1, 2])
def test_kinds(placed: Placed, stages: int) -> None:
    """Every kind of cell after the other, from zero and from what the one before has left."""
    machine = Machine(placed, make_config(post_stages=stages), stages, number=1)
    layers = [
        (Layer(Kind.LSTM, 4, steps=3), False),
        (Layer(Kind.LSTM, 1, steps=1, f_pre=15, f_state=15, f_h=15, wide=True), True),
        (Layer(Kind.GRU, 5, steps=3, f_state=14), False),
        (Layer(Kind.GRU, 1, f_pre=10, f_h=5), True),
        (Layer(Kind.RNN, 3, activation=Activation.TANH), False),
        (Layer(Kind.RNN, 3, activation=Activation.SIGMOID), False),
        (Layer(Kind.RNN, 2, activation=Activation.RELU, f_h=10), True),
        (Layer(Kind.LINEAR, 4, activation=Activation.IDENTITY, f_h=12, wide=True), False),
        (Layer(Kind.LINEAR, 1, activation=Activation.SIGMOID), False),
    ]
    machine.simulate(layers if stages == 1 else layers[::2])


def test_two_cells(placed: Placed) -> None:
    """Eight rows have two cell units; pairs have parameters and states of their own."""
    config = make_config(width=8, activation_bits=9)
    machine = Machine(placed, config, 0)
    layers = [
        (Layer(Kind.LSTM, 3, turns=2), True),
        (Layer(Kind.GRU, 2, turns=2), False),
    ]
    machine.simulate(layers)


def test_four_streams(placed: Placed) -> None:
    """Streams have states of their own and share the parameters."""
    machine = Machine(placed, make_config(streams=4, state_depth=8), 2)
    base = {"parameter_base_x": 3, "parameter_base_h": 14, "state_base": 0, "pair_parameters": 0}
    layers = [(Layer(Kind.LSTM, 2, turns=4, base=base), False)]
    layers += [(Layer(Kind.GRU, 2, turns=3, base=base), True)]
    machine.simulate(layers)


def test_hard_sigmoid_and_reset_first(placed: Placed) -> None:
    """The two layers of a GRU that resets first share states; they run step by step."""
    config = make_config(post_stages=2, hard_sigmoid=1, reset_first=1)
    machine = Machine(placed, config, 10)
    layers = [(Layer(Kind.LSTM, 2, hard=True), False), (Layer(Kind.GRU, 2, hard=True), False)]
    for step in range(3):
        gates = Layer(Kind.GRU, 5, steps=1, reset_first=True, hard=step == 1)
        layers.append((gates, step == 0))
        layers.append((Layer(Kind.RNN, 5, steps=1, reset_first=True), step == 0))
    machine.simulate(layers)


@pytest.mark.parametrize("stages", [1, 2])
def test_peepholes(placed: Placed, stages: int) -> None:
    """i and f see the old state, o the new one; other layers of the machine have no peepholes."""
    config = make_config(post_stages=stages, peepholes=1, hard_sigmoid=1)
    machine = Machine(placed, config, 20 + stages)
    layers = [
        (Layer(Kind.LSTM, 3, peephole=True, cell_shift=15), False),
        (Layer(Kind.LSTM, 1, peephole=True, cell_shift=31, f_state=3, hard=True), True),
        (Layer(Kind.LSTM, 2, peephole=True, cell_shift=0, turns=2), True),
        (Layer(Kind.LSTM, 2), False),
        (Layer(Kind.GRU, 2, steps=1), False),
        (Layer(Kind.RNN, 2, steps=1), False),
    ]
    machine.simulate(layers)


@pytest.mark.parametrize(
    ("width", "stages", "streams"), [(1, 1, 1), (2, 2, 1), (4, 1, 3), (8, 1, 1)]
)
def test_gate_by_gate(placed: Placed, width: int, stages: int, streams: int) -> None:
    """A segment holds one gate of several neurons, the last of which have no row to spare."""
    words = {1: 2, 2: 3, 4: 5, 8: 3}[width]
    entries = 4 * -(-words // min(width, 4))  # of a half, of each row
    config = make_config(
        width=width,
        post_stages=stages,
        streams=streams,
        gate_depth=3,
        state_depth=1 + streams * words,
        parameter_depth=1 + 2 * entries,
    )
    machine = Machine(placed, config, 30 + width, number=1)
    base = {
        "parameter_base_x": 1,
        "parameter_base_h": 1 + entries,
        "state_base": 1,
        "pair_parameters": 0,
    }
    layers = [
        (Layer(Kind.LSTM, words, gate_major=True, base=base), False),
        (Layer(Kind.GRU, words, gate_major=True, turns=streams, base=base), streams == 1),
        (Layer(Kind.GRU, words, gate_major=True, base=base, wide=True), True),
        (
            Layer(
                Kind.RNN,
                words,
                gate_major=True,
                activation=Activation.RELU,
                f_h=9,
                base=base,
            ),
            True,
        ),
        (
            Layer(
                Kind.LINEAR,
                words,
                gate_major=True,
                activation=Activation.IDENTITY,
                wide=True,
                f_h=12,
                base=base,
            ),
            False,
        ),
    ]
    if width >= 4:
        layers += [(Layer(Kind.LSTM, words, base=base), False)]
        layers += [(Layer(Kind.GRU, words, base=base), False)]
    if width == 8:
        layers = layers[:2] + layers[-1:]  # two cell units, and what they cost
    machine.simulate(layers)
