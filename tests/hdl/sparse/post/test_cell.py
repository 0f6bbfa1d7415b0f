"""CellUpdater against docs/numerics.md: every kind, format and shape of step."""

import itertools
import random
from dataclasses import dataclass

import pytest

from sparnn.hdl.host.protocol import Activation, CellFunction, Kind
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.post.cell import CellUpdater
from sparnn.hdl.sparse.post.state import StateMemory
from tests.hdl.sparse.post.model import Cell, sat
from tests.hdl.sparse.post.rows import step_tags
from tests.hdl.stream_helpers import collect, run, send

GATES = {"lstm": 4, "gru": 3, "rnn": 1, "linear": 1}
#: Rows of the two layers of a GRU that resets first; the third one is not used.
RESET_FIRST = {"gru_gates": 3, "gru_candidate": 1}
ALL_GATES = GATES | RESET_FIRST
STRAIGHT = ("relu", "identity")
FUNCTIONS = ("tanh", "sigmoid", *STRAIGHT)
GATE_FUNCTIONS = ("sigmoid", "tanh", "relu")
KINDS = {kind: Kind[kind.upper()] for kind in GATES} | {
    "gru_gates": Kind.GRU,
    "gru_candidate": Kind.RNN,
}


@dataclass
class Layer:
    """One layer's rows and what must come out."""

    cell: Cell
    neurons: int
    holes: int
    steps: int
    base: int = 0
    fresh: bool = True

    def program(self, config: SparseConfig) -> dict[str, int]:
        of_gates = {
            "gate": CellFunction[self.cell.gate.upper()],
            "gate_up": 15 - self.cell.f_pre if self.cell.gate in STRAIGHT else 0,
        }
        return (of_gates if config.gate_functions else {}) | {
            "kind": KINDS[self.cell.kind],
            "reset_first": int(self.cell.kind in RESET_FIRST),
            "hard_sigmoid": int(self.cell.hard),
            "activation": Activation[self.cell.activation.upper()],
            "wide": int(self.cell.bits == 16),
            "pre_shift": self.cell.f_pre - 12,
            "state_up": (self.cell.f_pre if self.cell.candidate in STRAIGHT else 15)
            - self.cell.f_state,
            "candidate": CellFunction[self.cell.candidate.upper()],
            "cell": CellFunction[self.cell.function.upper()],
            "clip": self.cell.clip,
            "state_shift": self.cell.f_state - 12,
            "out_shift": self.cell.out_shift,
            "state_base": self.base,
        }

    def rows(self, rng: random.Random) -> tuple[list[dict], list[int]]:
        """Rows as the join delivers them, and outputs."""
        gates, hidden = ALL_GATES[self.cell.kind], self.cell.kind != "linear"
        rows, outputs = [], []
        before = self.cell.states
        if self.fresh and self.cell.kind not in ("rnn", "linear"):
            zero = dict.fromkeys(range(self.base, self.base + self.neurons), 0)
            if self.cell.kind == "gru_gates":  # reads zeros, but writes no state
                self.cell.states = before | zero
            else:
                before.update(zero)
        for _ in range(self.steps):
            spread = rng.choice([16, 16, 14, 10, 5])
            u, v = (
                [
                    rng.choice([-32768, 32767, 0] + 9 * [rng.randrange(-32768, 32768)])
                    >> (16 - spread)
                    for _ in range(gates * self.neurons)
                ]
                for _ in range(2)
            )
            if not hidden:
                v = [0] * len(v)
            for index, tag in enumerate(
                t for t in step_tags(gates, self.neurons, self.holes, hidden) if t["final"]
            ):
                if tag["hole"]:
                    rows.append({"sum": 0, "hidden": 0, "tag": tag})
                    continue
                apart = self.cell.kind == "gru" and tag["gate"] == 2
                total = u[index] if apart else sat(u[index] + v[index])
                rows.append({"sum": total, "hidden": v[index], "tag": tag})
            for index in range(self.neurons):
                gate = slice(gates * index, gates * (index + 1))
                outputs.append(self.cell.neuron(self.base + index, u[gate], v[gate]))
            outputs += [0] * self.holes
        self.cell.states = before
        return rows, outputs


def check(
    layers: list[Layer],
    *,
    idle: float = 0.0,
    stall: float = 0.0,
    config: SparseConfig | None = None,
    seed: int = 0,
) -> list[int]:
    """Run layers one after the other; return the cycle of every output of the last one."""
    config = config or SparseConfig()
    dut = CellUpdater(config)
    rng = random.Random(seed)
    states = {index: rng.randrange(-32768, 32768) for index in range(64)}
    update_gates: dict[int, int] = {}
    expected = []
    for layer in layers:
        layer.cell.states, layer.cell.update_gates = states, update_gates
    initial = dict(states)
    for layer in layers:
        expected.append(layer.rows(rng))
    done = cycle = 0
    at: list[int] = []

    async def count(ctx):
        nonlocal cycle
        while True:
            await ctx.tick()
            cycle += 1

    async def source(ctx):
        ctx.set(dut.load.en, 1)
        for address, value in initial.items():
            ctx.set(dut.load.addr, address)
            ctx.set(dut.load.data, value)
            await ctx.tick()
        ctx.set(dut.load.en, 0)
        for number, (layer, (rows, _)) in enumerate(zip(layers, expected, strict=True)):
            while done < number:
                await ctx.tick()
            ctx.set(dut.program, layer.program(config))
            ctx.set(dut.start, 1)
            ctx.set(dut.fresh, layer.fresh)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.fresh, 0)
            for _ in range(3):
                await ctx.tick()
            await send(ctx, dut.i, rows, idle=idle, seed=number)

    async def sink(ctx):
        nonlocal done
        for number, (layer, (_, outputs)) in enumerate(zip(layers, expected, strict=True)):
            at.clear()
            result = await collect(
                ctx, dut.o, len(outputs), stall=stall, seed=number, at=at, clock=lambda: cycle
            )
            assert result == outputs, layer
            done += 1
        for address in list(initial):  # and all states, neighbours included
            ctx.set(dut.read.en, 1)
            ctx.set(dut.read.addr, address)
            await ctx.tick()
            ctx.set(dut.read.en, 0)
            await ctx.tick().repeat(StateMemory.READ_LATENCY - 1)
            assert ctx.get(dut.read.data) == states[address], address

    run(dut, source, sink, background=[count], cycles=200_000)
    return at


def random_pair(rng: random.Random, **fixed: int) -> list[Layer]:
    """A GRU that resets first. Its layers take turns, so each runs a single step."""
    gates, candidate = random_layer(rng, "gru", **fixed), random_layer(rng, "gru", **fixed)
    gates.cell.kind, candidate.cell.kind = RESET_FIRST
    candidate.cell.activation = "tanh"
    gates.steps = candidate.steps = 1
    candidate.neurons, candidate.holes, candidate.base = gates.neurons, gates.holes, gates.base
    return [gates, candidate]


def random_layer(rng: random.Random, kind: str, **fixed: int) -> Layer:
    f_pre, f_state = rng.randrange(16), rng.randrange(16)
    activation = rng.choice(["identity", "relu", "tanh", "sigmoid"])
    if kind in ("rnn", "linear") and activation in ("identity", "relu"):
        natural = 15 + f_pre - rng.randrange(-16, 16)
    elif kind == "gru":
        natural = 15 + f_state - rng.randrange(-16, 16)
    else:
        natural = 30 - rng.randrange(-16, 16)
    cell = Cell(
        kind,
        activation if kind in ("rnn", "linear") else "identity",
        f_pre=fixed.get("f_pre", f_pre),
        f_state=fixed.get("f_state", f_state),
        out_shift=fixed.get("out_shift", rng.choice([natural, 15, rng.randrange(15, 31)])),
        bits=rng.choice([8, 16]),
    )
    neurons, holes = rng.choice([(1, 0), (0, 1), (1, 1), (3, 0), (5, 1), (12, 0), (20, 1)])
    return Layer(cell, neurons, holes, rng.randrange(1, 4), rng.randrange(20), rng.random() < 0.5)


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.4, 0.6)])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "linear"])
def test_random_layers(kind: str, idle: float, stall: float) -> None:
    rng = random.Random(f"{kind} {idle} {stall}")
    check([random_layer(rng, kind) for _ in range(8)], idle=idle, stall=stall)


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.3, 0.5)])
def test_kinds_in_turn(idle: float, stall: float) -> None:
    rng = random.Random(5)
    layers = [random_layer(rng, rng.choice(list(GATES))) for _ in range(30)]
    check(layers, idle=idle, stall=stall, config=SparseConfig(activation_bits=8))


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.4, 0.6)])
def test_a_gru_that_resets_first(idle: float, stall: float) -> None:
    rng = random.Random(f"reset first {idle} {stall}")
    layers = []
    for form in range(16):
        layers += random_pair(rng, f_state=form)
        layers += [random_layer(rng, rng.choice(list(GATES)))] * (form % 3 == 0)
    check(layers, idle=idle, stall=stall, config=SparseConfig(reset_first=1))


def test_hard_sigmoid() -> None:
    rng = random.Random(11)
    layers = [random_layer(rng, kind) for kind in 4 * list(GATES)] + random_pair(rng)
    for layer in layers[::2]:
        layer.cell.hard = True
    for layer in layers[::3]:
        layer.cell.activation = layer.cell.activation and "sigmoid"
    config = SparseConfig(reset_first=1, hard_sigmoid=1)
    check([one for one in layers if one.cell.kind != "gru_candidate"], idle=0.1, config=config)


@pytest.mark.parametrize("hard", [False, True])
def test_cell_functions(hard: bool) -> None:
    """Every function of candidates and states, beside layers that have tanh alone."""
    rng = random.Random(21)
    layers: list[Layer] = []
    for candidate in FUNCTIONS:
        for function in FUNCTIONS:
            layers.append(random_layer(rng, "lstm"))
            layers[-1].cell.function = function
        layers += [random_layer(rng, "gru"), random_layer(rng, "rnn"), *random_pair(rng)]
        for layer in layers[-8:]:
            if layer.cell.kind in ("lstm", "gru", "gru_candidate"):
                layer.cell.candidate = candidate
    for before, layer in itertools.pairwise(layers):
        cell = layer.cell
        cell.hard = hard
        if cell.candidate in STRAIGHT:
            cell.f_state = rng.randrange(1 + cell.f_pre)
        if cell.kind == "gru_candidate":
            before.cell.f_state = cell.f_state
    check(layers, config=SparseConfig(reset_first=1, hard_sigmoid=1, cell_functions=1))


def gate_layers(rng: random.Random) -> list[Layer]:
    """LSTMs whose gates go through every function, beside layers of other kinds."""
    layers = []
    for gate, candidate in itertools.product(GATE_FUNCTIONS, FUNCTIONS):
        cell = random_layer(rng, "lstm")
        cell.cell.gate, cell.cell.candidate = gate, candidate
        cell.cell.function = rng.choice(FUNCTIONS)
        if candidate in STRAIGHT:
            cell.cell.f_state = rng.randrange(1 + cell.cell.f_pre)
        layers += [cell, random_layer(rng, rng.choice(list(GATES)))]
    return layers


@pytest.mark.parametrize("hard", [False, True])
def test_gate_functions(hard: bool) -> None:
    layers = gate_layers(random.Random(23))
    for layer in layers:
        layer.cell.hard = hard
    options = {"hard_sigmoid": 1, "cell_functions": 1, "gate_functions": 1}
    check(layers, config=SparseConfig(**options), idle=0.1, stall=0.1)


@pytest.mark.parametrize("f_pre", range(16))
def test_every_format_of_gates(f_pre: int) -> None:
    layer = random_layer(random.Random(f_pre), "lstm")
    layer.cell.f_pre, layer.cell.gate, layer.cell.candidate = f_pre, "relu", "identity"
    layer.cell.f_state = random.Random(f_pre).randrange(1 + f_pre)
    check([layer], config=SparseConfig(cell_functions=1, gate_functions=1))


def test_clip() -> None:
    rng = random.Random(22)
    layers = [random_layer(rng, kind) for kind in 6 * list(GATES)] + random_pair(rng)
    for layer in layers:
        if layer.cell.activation not in STRAIGHT or layer.cell.kind not in ("rnn", "linear"):
            layer.cell.clip = rng.choice([1, 127, 128, 1024, 16383, 16384, 20480, 32766, 32767])
    check(layers, config=SparseConfig(reset_first=1, clip=1))


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_all_state_formats(kind: str) -> None:
    rng = random.Random(kind)
    layers = []
    for form in range(16):
        layer = random_layer(rng, kind, f_state=form, f_pre=rng.randrange(16))
        layer.neurons, layer.holes, layer.steps = 4, 0, 6
        layers.append(layer)
    check(layers)


@pytest.mark.parametrize(("kind", "step"), [("lstm", 1), ("gru", 5), ("rnn", 5), ("linear", 1)])
def test_all_output_shifts(kind: str, step: int) -> None:
    rng = random.Random(kind)
    layers = []
    for shift in range(0, 64, step):
        layer = random_layer(rng, kind, out_shift=shift)
        layer.neurons, layer.holes, layer.steps = 3, 0, 2
        layers.append(layer)
    check(layers)


def test_other_widths() -> None:
    rng = random.Random(16)
    for bits in (11, 16):
        layers = [random_layer(rng, kind) for kind in GATES for _ in range(2)]
        for layer in layers:
            layer.cell.bits = bits
        check(layers, config=SparseConfig(activation_bits=bits))


@pytest.mark.parametrize(
    ("kind", "activation", "interval"),
    [
        ("lstm", "identity", 5),
        ("gru", "identity", 5.3),
        ("rnn", "identity", 1),
        ("linear", "relu", 1),
        ("rnn", "tanh", 1.3),
        ("linear", "sigmoid", 1.3),
        ("gru_gates", "identity", 3),
        ("gru_candidate", "tanh", 3),
    ],
)
def test_interval(kind: str, activation: str, interval: float) -> None:
    layer = Layer(Cell(kind, activation, out_shift=20), neurons=60, holes=0, steps=1)
    layers = [layer]
    if kind == "gru_candidate":
        gates = Cell("gru_gates", out_shift=20)
        layers.insert(0, Layer(gates, neurons=60, holes=0, steps=1))
    config = SparseConfig(state_depth=64, reset_first=int(kind in RESET_FIRST))
    at = check(layers, config=config)
    assert (at[-1] - at[9]) / (len(at) - 10) <= interval
