"""The cell's pipeline: from the answers of the activation unit to products and states.

Each function is one part of :class:`~sparnn.hdl.sparse.post.cell.CellUpdater`, which calls them in
this order, and adds its logic to the module that it is given.
"""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory

from sparnn.hdl.arithmetic.carry import add_with_carry
from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.rounding import RoundingShifter
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.arithmetic.sigma import ActivationUnit
from sparnn.hdl.common.small_fifo import SmallFifo
from sparnn.hdl.sparse.config import SparseConfig

from .output import VALUE_BITS, OutputRounder
from .state import StateMemory

__all__ = [
    "NEW",
    "PRODUCT",
    "Answers",
    "End",
    "Layer",
    "Products",
    "Units",
    "add_products",
    "keep_gates",
    "meta_layout",
    "multiply",
    "sort_answers",
]

_STATE_UP_BITS = 4

#: Cycles after the start of a multiplication in which these registers hold what came of it: the
#: operands, the product, the shifted product, its sum with the other addend, the rounded sum.
OPERANDS, PRODUCT, SHIFTED, TOTAL, NEW = range(1, 6)


def meta_layout(config: SparseConfig) -> data.StructLayout:
    """What travels with a request to the activation unit: the row's gate (of a layer that is not
    recurrent, whether it is a hole), and whether the end of the pipeline asked, not a row. With
    ``cell_functions`` also whether ``value`` is the answer: that of ReLU or identity."""
    other = {"straight": 1, "value": signed(PREACTIVATION_BITS)} if config.cell_functions else {}
    return data.StructLayout({"gate": 2, "back": 1} | other)


class Layer(NamedTuple):
    """What the layer is, decoded from the program a cycle late."""

    recurrent: Signal  #: any of the next four
    lstm: Signal
    gru: Signal  #: a GRU that resets after the product
    resets: Signal  #: the gates of a GRU that resets first
    mixes: Signal  #: its candidate
    thirds: Signal  #: the third row is not a neuron's last gate, but a candidate
    tabular: Signal  #: the activation is σ or tanh
    all_sigma: Signal  #: all rows become σ
    most_sigma: Signal  #: all but the third do


class Units(NamedTuple):
    """The submodules that more than one part of the cell uses."""

    activation: ActivationUnit
    state: StateMemory
    rounder: OutputRounder
    queue: SmallFifo  #: outputs
    candidates: SmallFifo  #: the rows of ``n``


class End(NamedTuple):
    """What the end of the pipeline asks the activation unit for."""

    back: Signal
    new: Signal


class Answers(NamedTuple):
    """What an answer of the activation unit is; each is decided a cycle before the answer comes."""

    result: Value
    hole: Value  #: the mark of a hole, of a layer that is not recurrent
    back_comes: Value  #: the next answer was asked for by the end of the pipeline
    from_back: Signal  #: this one was
    is_i: Signal
    is_r: Signal
    is_f: Signal
    is_g: Signal
    is_o: Signal
    is_z: Signal
    n_comes: Value
    is_n: Signal
    is_kept: Signal  #: r of a GRU that resets first
    is_reset: Signal  #: its z
    is_c: Signal  #: tanh(c')


class Gates(NamedTuple):
    """Gates that wait for a later answer."""

    first: Value  #: the one that is read
    reset: Signal  #: starts r · v_n
    r_waits: Signal  #: there is an r


class Products(NamedTuple):
    """The multiplier's output, and what was started how many cycles ago."""

    product: Signal
    steps: list[data.View]


def sort_answers(m: Module, config: SparseConfig, layer: Layer, units: Units) -> Answers:
    """Tells a cycle ahead what the activation unit's answer will be."""
    meta = meta_layout(config)
    activation, lstm, gru, resets = units.activation, layer.lstm, layer.gru, layer.resets
    answer = Signal(meta)
    m.d.comb += answer.eq(activation.result_meta)
    coming = Signal(meta)
    m.d.comb += coming.eq(activation.coming_meta)
    row_answer = activation.coming & layer.recurrent & ~coming.back
    back_answer = activation.coming & layer.recurrent & coming.back

    def decided(condition: Value, name: str) -> Signal:
        signal = Signal(name=name)
        m.d.sync += signal.eq(condition)
        return signal

    n_comes = (back_answer & gru) | (row_answer & layer.mixes)
    result: Value = activation.result
    if config.cell_functions:
        result = Mux(answer.straight, answer.value, result)
    return Answers(
        result=result,
        hole=answer.gate[0],
        back_comes=back_answer,
        from_back=decided(back_answer, "from_back"),
        is_i=decided(row_answer & lstm & (coming.gate == 0), "is_i"),
        is_r=decided(row_answer & gru & (coming.gate == 0), "is_r"),
        is_f=decided(row_answer & lstm & (coming.gate == 1), "is_f"),
        is_g=decided(row_answer & lstm & (coming.gate == 2), "is_g"),
        is_o=decided(row_answer & lstm & (coming.gate == 3), "is_o"),
        is_z=decided(row_answer & gru & (coming.gate == 1), "is_z"),
        n_comes=n_comes,
        is_n=decided(n_comes, "is_n"),
        is_kept=decided(row_answer & resets & (coming.gate == 0), "is_kept"),
        is_reset=decided(row_answer & resets & (coming.gate == 1), "is_reset"),
        is_c=decided(back_answer & lstm, "is_c"),
    )


def keep_gates(m: Module, answers: Answers, neurons: int) -> Gates:
    """Keeps r in the lower half of a memory, o and z in the upper one, each a ring of so many
    neurons. The next gate to be read stands in the read port and has been there for a cycle."""
    is_r, is_o, is_z = answers.is_r, answers.is_o, answers.is_z
    m.submodules.gates = gates = Memory(
        shape=signed(PREACTIVATION_BITS),
        depth=2 * neurons,
        init=[],
        attrs={"no_rw_check": 1},
    )
    write, read = gates.write_port(), gates.read_port()
    r_tail, r_head = Signal(range(2 * neurons)), Signal(range(2 * neurons))
    oz_tail, oz_head = Signal(range(neurons)), Signal(range(neurons))
    reset_gate, r_waits = Signal(), Signal()
    r_next, oz_next = Signal.like(r_head), Signal.like(oz_head)
    m.d.comb += [
        r_next.eq(r_head + reset_gate),
        oz_next.eq(oz_head + answers.from_back),
        write.en.eq(is_r | is_o | is_z),
        write.addr.eq(Mux(is_r, r_tail[:-1], Cat(oz_tail, 1))),
        write.data.eq(answers.result),
        read.addr.eq(Mux(answers.back_comes, Cat(oz_next, 1), r_next[:-1])),
    ]
    one_less = (r_head + 1)[: len(r_head)] != r_tail
    m.d.sync += [
        r_head.eq(r_next),
        oz_head.eq(oz_next),
        r_waits.eq(Mux(reset_gate, one_less, r_head != r_tail)),
    ]
    with m.If(is_r):
        m.d.sync += r_tail.eq(r_tail + 1)
    with m.If(is_o | is_z):
        m.d.sync += oz_tail.eq(oz_tail + 1)
    return Gates(read.data, reset_gate, r_waits)


def multiply(
    m: Module,
    config: SparseConfig,
    state_base: Value,
    layer: Layer,
    units: Units,
    answers: Answers,
    gates: Gates,
    skip: Value,
    peephole: Value | None,
) -> Products:
    """Answers start multiplications; one may start in each cycle.

    peephole: whether o of this LSTM waits for the new state; None on a machine without such.
    """
    bits = PREACTIVATION_BITS
    state, candidates, result = units.state, units.candidates, answers.result
    is_f, is_n, is_reset = answers.is_f, answers.is_n, answers.is_reset
    i_kept = Signal(signed(bits), reset_less=True)  # or r
    gn_kept = Signal(signed(bits), reset_less=True)  # g or n
    second = Signal()  # (32768 - z) · n follows z · s
    with m.If(answers.is_i | answers.is_kept):
        m.d.sync += i_kept.eq(result)
    with m.If(answers.is_g | is_n):
        m.d.sync += gn_kept.eq(result)
    m.d.sync += second.eq(is_n)
    update: Value = answers.is_o
    output: Value = answers.is_c
    if peephole is not None:
        late_g = Signal()  # g is kept by then
        c_kept = Signal(signed(bits), reset_less=True)  # tanh(c'), until o is there
        m.d.sync += late_g.eq(answers.is_g)
        with m.If(answers.is_c):
            m.d.sync += c_kept.eq(result)
        update = Mux(peephole, late_g, update)
        output = Mux(peephole, answers.is_o, output)

    # Cycle 0: the start. accumulate: f · c or z · s. update: i · g or (32768 - z) · n.
    # reset: r · v_n. emit: o · tanh(c') or r · s.
    step = data.StructLayout({"accumulate": 1, "update": 1, "reset": 1, "emit": 1})
    steps = [Signal(step, name=f"step{k}") for k in range(NEW + 1)]
    # A reset starts every third cycle at most, so that answers n, which take two cycles, keep
    # that distance. Whether the multiplier is free for it is known a cycle before.
    may_reset = Signal(init=1)
    m.d.sync += may_reset.eq(~answers.n_comes & ~is_n & ~gates.reset & ~steps[OPERANDS].reset)
    m.d.comb += [
        gates.reset.eq(gates.r_waits & candidates.o.valid & may_reset),
        candidates.o.ready.eq(gates.reset),
        steps[0].accumulate.eq(is_f | is_n),
        steps[0].update.eq(update | second),
        steps[0].reset.eq(gates.reset),
        steps[0].emit.eq(output | is_reset),
        state.next.eq(is_f | is_n | is_reset),
    ]
    m.d.sync += [steps[k].eq(steps[k - 1]) for k in range(1, NEW + 1)]

    # Cycle 1: the operands. Cycle 2: the product.
    a = Signal(signed(bits + 1), reset_less=True)
    b = Signal(signed(bits), reset_less=True)
    product = Signal(signed(VALUE_BITS), reset_less=True)
    update_gate = Signal(signed(bits))
    z = Mux(layer.mixes, update_gate, gates.first)
    rest = Signal(signed(bits + 1), reset_less=True)  # 32768 - z, of the z that `a` holds
    m.d.sync += rest.eq((1 << 15) - z)
    with m.If(is_f):
        m.d.sync += a.eq(result)
    with m.Elif(is_reset):
        m.d.sync += a.eq(i_kept)
    with m.Elif(steps[0].update):
        m.d.sync += a.eq(Mux(layer.lstm, i_kept, rest))
    with m.Else():
        m.d.sync += a.eq(z if peephole is None else Mux(peephole, result, z))
    with m.If(steps[0].accumulate | is_reset):
        m.d.sync += b.eq(state.value)
    with m.Elif(steps[0].update):
        m.d.sync += b.eq(gn_kept)
    if peephole is not None:
        with m.Elif(peephole):
            m.d.sync += b.eq(c_kept)
    with m.Elif(answers.from_back):
        m.d.sync += b.eq(result)
    with m.Else():
        m.d.sync += b.eq(candidates.o.payload.v)
    m.d.sync += product.eq(a * b)

    if config.reset_first:
        m.submodules.update_gates = update_gates = StateMemory(config)
        m.d.comb += [
            update_gates.base.eq(state_base),
            update_gates.restart.eq(state.restart),
            update_gates.skip.eq(skip),
            update_gates.write.eq(is_reset),
            update_gates.new.eq(result),
            update_gates.next.eq(is_n),
            update_gate.eq(update_gates.value),
        ]
    return Products(product, steps)


def add_products(
    m: Module,
    layer: Layer,
    units: Units,
    state_up: Value,
    gate_up: Value | None,
    end: End,
    products: Products,
) -> None:
    """Products become states and pre-activations of n, which go back for their tanh.

    gate_up: by how much sums of products with gates lack of Q15; None on a machine whose gates are
    all in Q15.
    """
    bits = PREACTIVATION_BITS
    product, steps = products
    # Cycle 3: the shifted product; the first product waits in `first` for the second.
    upmost = 0 if gate_up is None else (1 << len(gate_up)) - 1
    first = Signal(signed(VALUE_BITS + upmost), reset_less=True)  # f · c or z · s
    with m.If(steps[PRODUCT].accumulate):
        m.d.sync += first.eq(product if gate_up is None else product << gate_up)
    m.submodules.shifter = shifter = RoundingShifter(VALUE_BITS, _STATE_UP_BITS, VALUE_BITS)
    m.d.comb += shifter.value.eq(product)
    m.d.sync += shifter.amount.eq(Mux(steps[OPERANDS].update, state_up, 0))
    addend = units.candidates.o.payload.u
    for k in range(1, TOTAL + 1):
        later = Signal(signed(bits), name=f"u{k}", reset_less=True)
        m.d.sync += later.eq(addend)
        addend = later
    # Cycle 4: the total. Cycle 5: it is rounded and saturated.
    total = Signal(signed(VALUE_BITS + 1 + upmost), reset_less=True)
    rounded = Signal(signed(bits + 2 + upmost))
    # rne(total, 15) = floor((total + 2^14 - 1 + bit 15) / 2^15): no sticky bit is waited for.
    row_u = Mux(steps[TOTAL].reset, addend, 0)
    beside = Cat(Const((1 << 14) - 1, 15), row_u).as_signed()
    m.d.comb += rounded.eq(add_with_carry(total, beside, total[15]) >> 15)
    other = Mux(steps[SHIFTED].update, first, 0)
    second: Value = shifter.floor
    if gate_up is not None:  # (floor + up) 2^k = floor 2^k + up (2^k - 1) + up
        ones = Cat(shifter.up.replicate(upmost), shifter.floor).as_signed()
        second = Signal(signed(VALUE_BITS + upmost))
        m.d.comb += second.eq((ones << gate_up) >> upmost)
    m.d.sync += [
        total.eq(add_with_carry(other, second, shifter.up)),
        end.new.eq(saturate(rounded, bits)),
        end.back.eq((steps[TOTAL].update & layer.lstm) | steps[TOTAL].reset),
    ]
    m.d.comb += [
        units.state.write.eq(steps[NEW].update),
        units.state.new.eq(end.new),
    ]
