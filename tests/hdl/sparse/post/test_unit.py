"""PostUnit: whole layers from row sums to outputs, against docs/numerics.md."""

import itertools
import random

import pytest

from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.post.serial import SerialPostUnit
from sparnn.hdl.sparse.post.unit import PostUnit
from tests.hdl.sparse.post.model import Cell, rne, sat
from tests.hdl.sparse.post.rows import step_tags
from tests.hdl.sparse.post.test_cell import GATES, Layer, random_layer
from tests.hdl.stream_helpers import collect, run, send


def random_parameter(rng: random.Random) -> tuple[int, int, int]:
    shift = rng.choice([0, 47] + 10 * [rng.randrange(20, 28)])
    return rng.randrange(16384, 32768), shift, rng.randrange(-32768, 32768) >> rng.randrange(16)


def quantized(psum: int, parameter: tuple[int, int, int]) -> int:
    mult, shift, bias = parameter
    return sat(rne(psum * mult, shift) + bias)


def sums_of(
    layer: Layer, parameters: list[tuple[int, int, int]], config: SparseConfig, rng: random.Random
) -> tuple[list[dict], list[int]]:
    gates, hidden = GATES[layer.cell.kind], layer.cell.kind != "linear"
    rows = gates * layer.neurons
    if layer.fresh and layer.cell.kind in ("lstm", "gru"):
        for index in range(layer.neurons):
            layer.cell.states[layer.base + index] = 0
    least, most = -(1 << config.sum_bits - 1), (1 << config.sum_bits - 1) - 1
    items, outputs = [], []
    for _ in range(layer.steps):
        psums = [
            rng.choice([least, most, rng.randrange(least, most) >> rng.randrange(16)])
            for _ in range(rows * (1 + hidden))
        ]
        numbers = iter(psums)
        for tag in step_tags(gates, layer.neurons, layer.holes, hidden):
            psum = rng.randrange(least, most) if tag["hole"] else next(numbers)
            items.append({"psum": psum, "tag": tag})
        added = parameters
        if layer.cell.peepholes:  # the biases of the hidden half are none
            added = parameters[:rows] + [(*one[:2], 0) for one in parameters[rows:]]
        halves = [quantized(s, p) for s, p in zip(psums, added, strict=True)]
        u, v = halves[:rows], halves[rows:] if hidden else [0] * rows
        for index in range(layer.neurons):
            gate = slice(gates * index, gates * (index + 1))
            outputs.append(layer.cell.neuron(layer.base + index, u[gate], v[gate]))
        outputs += [0] * layer.holes
    return items, outputs


def check(
    layers: list[Layer],
    config: SparseConfig,
    idle: float,
    stall: float,
    seed: int,
    pause: int = 0,
    unit: type[PostUnit | SerialPostUnit] = PostUnit,
) -> tuple[list[int], list[int]]:
    """Returns the cycles in which sums and outputs of the last layer were taken; ``pause``, in
    cycles, precedes the last sum."""
    dut = unit(config)
    rng = random.Random(seed)
    states: dict[int, int] = dict.fromkeys(range(64), 0)
    plan, bases, memory = [], [], []
    for layer in layers:
        layer.cell.states = states
        count = GATES[layer.cell.kind] * layer.neurons * (1 + (layer.cell.kind != "linear"))
        parameters = [random_parameter(rng) for _ in range(count)]
        for index in range(layer.neurons) if layer.cell.peepholes else ():
            w_i, w_f, w_o = layer.cell.peepholes[layer.base + index]
            place = 4 * (layer.neurons + index)
            for row, weight in enumerate((w_i, w_f, 0, w_o), place):
                parameters[row] = (*parameters[row][:2], weight)
        bases.append(len(memory))
        memory += parameters
        plan.append(sums_of(layer, parameters, config, rng))
    done = cycle = 0
    sent: list[int] = []
    taken: list[int] = []

    def clock() -> int:
        return cycle

    async def count_cycles(ctx):
        nonlocal cycle
        while True:
            await ctx.tick()
            cycle += 1

    async def source(ctx):
        ctx.set(dut.parameter_load.en, 1)
        ctx.set(dut.state_load.en, 1)
        for address, (mult, shift, bias) in enumerate(memory):
            ctx.set(dut.parameter_load.addr, address)
            ctx.set(dut.parameter_load.data, {"mult": mult, "shift": shift, "bias": bias})
            ctx.set(dut.state_load.addr, address % config.state_depth)
            await ctx.tick()
        ctx.set(dut.parameter_load.en, 0)
        ctx.set(dut.state_load.en, 0)
        for number, (layer, (items, _)) in enumerate(zip(layers, plan, strict=True)):
            while done < number:
                await ctx.tick()
            ctx.set(dut.program, {**layer.program(config), "parameter_base": bases[number]})
            if config.peepholes:
                cell = layer.cell
                of_state = {"peephole": bool(cell.peepholes), "cell_shift": cell.cell_shift}
                ctx.set(dut.peephole_program, of_state)
            ctx.set(dut.start, 1)
            ctx.set(dut.fresh, layer.fresh)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.fresh, 0)
            for _ in range(3):
                await ctx.tick()
            await send(ctx, dut.sums, items[:-1], idle=idle, seed=number, at=sent, clock=clock)
            if pause:
                await ctx.tick().repeat(pause)
            await send(ctx, dut.sums, items[-1:], at=sent, clock=clock)

    async def sink(ctx):
        nonlocal done
        for number, (layer, (_, outputs)) in enumerate(zip(layers, plan, strict=True)):
            result = await collect(
                ctx, dut.out, len(outputs), stall=stall, seed=number, at=taken, clock=clock
            )
            assert result == outputs, layer
            done += 1

    run(dut, source, sink, background=[count_cycles], cycles=400_000)
    return sent, taken


both = pytest.mark.parametrize("unit", [PostUnit, SerialPostUnit])


@both
@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.4, 0.6)])
def test_layers_in_turn(idle: float, stall: float, unit: type[PostUnit | SerialPostUnit]) -> None:
    rng = random.Random(f"{idle} {stall}")
    kinds = [*GATES, *GATES, *reversed(GATES)] if unit is PostUnit else [*GATES]
    layers = [random_layer(rng, kind) for kind in kinds]
    check(layers, SparseConfig(), idle, stall, seed=int(idle * 10), unit=unit)


@both
def test_small_and_wide_machines(unit: type[PostUnit | SerialPostUnit]) -> None:
    rng = random.Random(2)
    for config in (
        SparseConfig(weight_bits=4, columns=32, max_v=1, rows=128, parameter_depth=2048),
        SparseConfig(weight_bits=16, activation_bits=16, columns=1 << 14),
    ):
        layers = [random_layer(rng, kind) for kind in GATES]
        for layer in layers:
            layer.cell.bits = config.activation_bits
        check(layers, config, 0.1, 0.1, seed=3, unit=unit)


@pytest.mark.parametrize(
    ("kind", "activation", "latency"),
    [
        ("lstm", "identity", 35),
        ("gru", "identity", 34),
        ("rnn", "tanh", 21),
        ("linear", "identity", 14),
    ],
)
def test_latency(kind: str, activation: str, latency: int) -> None:
    """From the last sum of a neuron to its output: the figures of docs/post.md."""
    layer = Layer(Cell(kind, activation, out_shift=20), neurons=1, holes=0, steps=1)
    sent, taken = check([layer], SparseConfig(), 0.0, 0.0, seed=1, pause=40)
    assert taken[-1] - sent[-1] == latency


@pytest.mark.parametrize(
    ("kind", "activation", "before", "neuron"),
    [
        ("lstm", "identity", 337, 1255),
        ("gru", "identity", 253, 984),
        ("rnn", "tanh", 80, 319),
        ("rnn", "relu", 80, 183),
        ("linear", "identity", 0, 184),
    ],
)
def test_serial_cycles(kind: str, activation: str, before: int, neuron: int) -> None:
    """From the first row of an input half to its last one, and from the first output of nine to
    the last one: the figures of docs/post.md."""
    cell = Cell(kind, activation, f_pre=10, f_state=12, out_shift=23)
    layer = Layer(cell, neurons=9, holes=0, steps=1)
    config = SparseConfig(compact=1)
    sent, taken = check([layer], config, 0.0, 0.0, seed=1, unit=SerialPostUnit)
    rows = GATES[kind] * 9
    assert before == 0 or sent[rows - 1] - sent[0] == before
    assert taken[-1] - taken[0] == neuron


def test_no_row_takes_longer() -> None:
    """A shift by all bits, of every kind of row: below what the watchdog counts with."""
    for kind in GATES:
        for activation in ("identity", "tanh"):
            cell = Cell(kind, activation, f_pre=15, f_state=0, out_shift=63)
            layer = Layer(cell, neurons=5, holes=1, steps=2)
            config = SparseConfig(compact=1, weight_bits=16, activation_bits=16)
            sent, _ = check([layer], config, 0.0, 0.0, seed=1, unit=SerialPostUnit)
            longest = max(b - a for a, b in itertools.pairwise(sent))
            assert longest < SerialPostUnit.MOST_CYCLES
