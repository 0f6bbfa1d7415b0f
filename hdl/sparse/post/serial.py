"""The post unit of small machines: one multiplier and one accumulator, a row at a time."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory, ReadPort

from sparnn.hdl.arithmetic.formats import MULTIPLIER_BITS, PREACTIVATION_BITS, SHIFT_BITS
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.host.protocol import Activation, Kind
from sparnn.hdl.sparse.config import SparseConfig

from . import microcode
from .microcode import DISPATCH, A, Acc, B, Count, Go, Place, encoded, instruction_layout
from .ports import post_signature
from .regions import REST_BITS, Regions

__all__ = ["SerialPostUnit", "sum_limbs"]

#: A part of a sum that is an operand beside its sign.
_LIMB_BITS = PREACTIVATION_BITS - 1
#: log2 of the bits that the accumulator shifts by at once at most.
_STEP_LOG2 = 3


def sum_limbs(config: SparseConfig) -> int:
    """Parts in which a row's sum is multiplied."""
    return 1 + ceil_div(max(0, config.sum_bits - PREACTIVATION_BITS), _LIMB_BITS)


class _Instruction(NamedTuple):
    """The instruction at hand, which stands in the program memory's output."""

    now: data.View
    running: Signal  #: low in the first cycle, in which nothing has been fetched
    here: Signal  #: its address
    following: Signal  #: that of the next one


class _Layer(NamedTuple):
    """What the layer and the row are."""

    recurrent: Signal
    gru: Signal
    sigma: Signal  #: the row's curve is σ
    curved: Value  #: the row has a curve


class _Registers(NamedTuple):
    """What instructions compute with."""

    value: Signal
    acc: Signal
    clamped: Value  #: the accumulator in 16 bits
    back: Signal  #: the curve that follows is that of a new state
    negative: Signal  #: the sign that the value had
    fresh: Signal  #: the states are zero


class SerialPostUnit(wiring.Component):
    """A slower and smaller :class:`~sparnn.hdl.sparse.post.unit.PostUnit`.

    Its ports and, bit for bit, its outputs are the same; it takes a quarter of the area, and 11 to
    120 cycles for a row instead of one: docs/post.md, "Serial".

    A program (hdl/sparse/post/microcode.py) drives one multiplier of 16 x 16 bits, an accumulator
    that adds its product or shifts to the right, and a memory of 16-bit words that holds the
    states, the input half of the step, the tables, and what a neuron's gates leave to the later
    ones. ``sums.ready`` is high in a row's last cycle. ``state_read.data`` is there as long as
    ``state_read.en`` stays high, from the second cycle on. GRUs that reset before the product
    (``reset_first``) are not in the program.
    """

    #: More than any row takes, from its arrival to its end, if its output is taken at once.
    MOST_CYCLES = 128

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(post_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step = self._fetch(m)
        layer = self._layer(m)
        registers = self._registers()
        parameters = self._parameters(m)
        indices = self._count_rows(m, step, parameters, registers.fresh)
        word = self._words(m, step, layer, registers, indices)
        a, b = self._load_operands(m, step, layer, registers, parameters.data, word)
        count = Signal(SHIFT_BITS)
        self._accumulate(m, step, registers, a, b, count)
        self._load_count(m, step, registers, parameters.data, count)
        self._load_value(m, step, layer, registers)
        self._go(m, step, layer, registers, count)
        return m

    @property
    def _limb_count(self) -> int:
        return sum_limbs(self._config)

    def _fetch(self, m: Module) -> _Instruction:
        code, labels = microcode.program(self._limb_count)
        m.submodules.code = store = Memory(
            shape=instruction_layout(self._limb_count, len(code)),
            depth=len(code),
            init=[encoded(one, labels) for one in code],
        )
        fetch = store.read_port()
        running = Signal()
        here = Signal(range(len(code)))
        following = Signal.like(here)
        m.d.sync += [running.eq(1), here.eq(following)]
        m.d.comb += fetch.addr.eq(following)
        return _Instruction(fetch.data, running, here, following)

    def _layer(self, m: Module) -> _Layer:
        program, tag = self.program, self.sums.payload.tag
        recurrent, gru, sigma = Signal(), Signal(), Signal()
        m.d.comb += [
            gru.eq(program.kind == Kind.GRU),
            recurrent.eq(gru | (program.kind == Kind.LSTM)),
            sigma.eq(Mux(recurrent, tag.gate != 2, program.activation == Activation.SIGMOID)),
        ]
        curved = recurrent | program.activation.matches(Activation.TANH, Activation.SIGMOID)
        return _Layer(recurrent, gru, sigma, curved)

    def _registers(self) -> _Registers:
        bits = PREACTIVATION_BITS
        back, negative, fresh = Signal(), Signal(), Signal()
        value = Signal(signed(bits))
        width = max(self._config.sum_bits + MULTIPLIER_BITS - 1, 2 * bits + 1) + 1
        acc = Signal(signed(width), reset_less=True)
        return _Registers(value, acc, saturate(acc, bits), back, negative, fresh)

    def _parameters(self, m: Module) -> ReadPort:
        """Parameters, in order: those of the row stand in the memory's output."""
        m.submodules.parameters = parameters = Memory(
            shape=data.StructLayout(
                {
                    "mult": MULTIPLIER_BITS - 1,
                    "shift": SHIFT_BITS,
                    "bias": signed(PREACTIVATION_BITS),
                }
            ),
            depth=self._config.parameter_depth,
            init=[],
            attrs={"no_rw_check": 1},
        )
        load, read = parameters.write_port(), parameters.read_port()
        m.d.comb += [load.en.eq(self.parameter_load.en), load.addr.eq(self.parameter_load.addr)]
        for name in ("mult", "shift", "bias"):
            m.d.comb += load.data[name].eq(self.parameter_load.data[name])
        return read

    def _count_rows(
        self, m: Module, step: _Instruction, parameters: ReadPort, fresh: Signal
    ) -> tuple[Signal, Signal]:
        """Indices of what is read and written in order: of input halves, and of states."""
        now, running, tag = step.now, step.running, self.sums.payload.tag
        finish = self.sums.ready
        u_index = Signal(range(self._config.rows))
        state_index = Signal.like(self.state_load.addr)
        with m.If(running & (now.b == B.BIAS)):
            m.d.sync += parameters.addr.eq(parameters.addr + 1)
        with m.If(finish):
            with m.If(~tag.hole):
                m.d.sync += u_index.eq(u_index + 1)
            with m.If(tag.half_end):
                m.d.sync += u_index.eq(0)
            with m.If(tag.final & tag.last_gate):
                m.d.sync += state_index.eq(state_index + 1)
        with m.If(self.start | (finish & tag.step_end)):
            m.d.sync += [
                fresh.eq(self.start & self.fresh),
                state_index.eq(self.program.state_base),
            ]
        with m.If(self.start):
            m.d.sync += u_index.eq(0)
        # A cycle before the row leaves, as reading takes one.
        used = (now.b == B.BIAS) | ((now.go == Go.ROW) & tag.hole & self.sums.valid)
        with m.If(self.start | (running & used & tag.step_end)):
            m.d.sync += parameters.addr.eq(self.program.parameter_base)
        return u_index, state_index

    def _words(
        self,
        m: Module,
        step: _Instruction,
        layer: _Layer,
        registers: _Registers,
        indices: tuple[Signal, Signal],
    ) -> Value:
        """The memory of words, with one address; returns what was read."""
        now, regions = step.now, Regions(self._config)
        u_index, state_index = indices
        m.submodules.words = words = Memory(
            shape=PREACTIVATION_BITS,
            depth=regions.depth,
            init=regions.content(),
            attrs={"no_rw_check": 1},
        )
        word_write, word_read = words.write_port(), words.read_port()
        address = Signal.like(word_read.addr)
        table = registers.clamped[REST_BITS:-1]
        if regions.tables > 1:
            table = Cat(table, self.program.hard_sigmoid & layer.sigma)
        with m.Switch(now.place):
            with m.Case(Place.INPUT):
                m.d.comb += address.eq(regions.u | u_index)
            with m.Case(Place.STATE):
                m.d.comb += address.eq(regions.state | state_index)
            with m.Case(Place.SLOPE):
                m.d.comb += address.eq(regions.table | Cat(Const(1, 1), table))
            with m.Case(Place.BASE):
                m.d.comb += address.eq(regions.table | Cat(Const(0, 1), table))
            with m.Default():
                m.d.comb += address.eq(regions.kept | (now.place[:2]))
        load, read = self.state_load, self.state_read
        with m.If(load.en | read.en):
            m.d.comb += address.eq(regions.state | Mux(load.en, load.addr, read.addr))
        m.d.comb += [
            word_read.addr.eq(address),
            word_write.addr.eq(address),
            word_write.en.eq((step.running & now.write) | load.en),
            word_write.data.eq(Mux(load.en, load.data, registers.value)),
            read.data.eq(word_read.data),
        ]
        return word_read.data

    def _load_operands(
        self,
        m: Module,
        step: _Instruction,
        layer: _Layer,
        registers: _Registers,
        parameter: data.View,
        word: Value,
    ) -> tuple[Signal, Signal]:
        bits, now, limb_count = PREACTIVATION_BITS, step.now, self._limb_count
        value, negative, program = registers.value, registers.negative, self.program
        row, tag = self.sums.payload, self.sums.payload.tag
        a, b = (Signal(signed(bits), name=name, reset_less=True) for name in "ab")
        limbs = [row.psum[k * _LIMB_BITS : (k + 1) * _LIMB_BITS] for k in range(limb_count - 1)]
        limbs.append(row.psum >> (limb_count - 1) * _LIMB_BITS)
        magnitude = Mux(layer.sigma, 1 << 11, 1 << 12)
        one = Const(1, signed(bits))
        with m.If(now.a != A.HOLD):
            m.d.sync += a.eq(
                _chosen(
                    now.a,
                    bits,
                    {
                        A.MEMORY: word,
                        A.ONE: one,
                        A.HIDDEN: tag.half,
                        A.SCALE: Mux(value[-1], -magnitude, magnitude),
                        A.SIGN: Mux(negative, -1, one),
                        A.HALF: Const(1 << 14, bits),
                        A.MINUS: Const(-1, signed(bits)),
                    }
                    | {A.LIMB + k: limb for k, limb in enumerate(limbs)},
                )
            )
        rectified = (program.activation == Activation.RELU) & value[-1] & ~layer.recurrent
        with m.If(now.b != B.HOLD):
            m.d.sync += b.eq(
                _chosen(
                    now.b,
                    bits,
                    {
                        B.MULT: parameter.mult,
                        B.BIAS: parameter.bias,
                        B.VALUE: value,
                        B.REST: value[:REST_BITS],
                        B.MEMORY: word,
                        B.STATE: word & ~registers.fresh.replicate(bits),
                        B.RECTIFIED: value & ~rectified.replicate(bits),
                    },
                )
            )
        with m.If(now.a == A.SCALE):
            m.d.sync += negative.eq(value[-1])
        return a, b

    def _accumulate(
        self,
        m: Module,
        step: _Instruction,
        registers: _Registers,
        a: Signal,
        b: Signal,
        count: Signal,
    ) -> None:
        """The accumulator adds a product, or shifts by at most eight bits.

        A product is that of the operands, of a sum's limb times the limb's weight. A shift keeps
        of what it drops the last bit, and whether there were other ones.
        """
        now, acc = step.now, registers.acc
        product = Signal(signed(2 * PREACTIVATION_BITS))
        last, rest = Signal(reset_less=True), Signal(reset_less=True)
        # By eight as long as that is not too much, then by four, two and one at most once each.
        shifts_by = [count[_STEP_LOG2:].any(), *reversed(count[:_STEP_LOG2])]
        up = last & Mux(now.acc == Acc.ADD_EVEN, rest | acc[0], now.acc == Acc.ADD_UP)
        addend = Signal(signed(len(acc)))
        m.d.comb += [product.eq(a * b), addend.eq(product)]
        for limb in range(1, self._limb_count):
            with m.If(now.acc == Acc.ADD + limb):
                m.d.comb += addend.eq(product << limb * _LIMB_BITS)
        total = Signal(signed(len(acc)))
        m.d.comb += total.eq(
            ((Cat(Const(1, 1), acc).as_signed() + Cat(up, addend).as_signed()) >> 1)[: len(acc)]
        )
        shifts = (now.acc == Acc.SHIFT) & (count != 0)
        with m.If((now.acc >= Acc.ADD_EVEN) | shifts):
            with m.If(now.acc != Acc.SHIFT):
                m.d.sync += [acc.eq(total), last.eq(0), rest.eq(0)]
            for number, chosen in enumerate(shifts_by):
                bits = 1 << _STEP_LOG2 - number
                with m.Elif(chosen):
                    m.d.sync += [
                        acc.eq(acc >> bits),
                        last.eq(acc[bits - 1]),
                        rest.eq(rest | last | acc[: bits - 1].any()),
                    ]
        with m.If(now.acc == Acc.CLEAR):
            m.d.sync += [acc.eq(0), last.eq(0), rest.eq(0)]
        with m.If(shifts):
            with m.If(shifts_by[0]):
                m.d.sync += count[_STEP_LOG2:].eq(count[_STEP_LOG2:] - 1)
            for number, chosen in enumerate(shifts_by[1:]):
                with m.Elif(chosen):
                    m.d.sync += count[_STEP_LOG2 - 1 - number].eq(0)

    def _load_count(
        self,
        m: Module,
        step: _Instruction,
        registers: _Registers,
        parameter: data.View,
        count: Signal,
    ) -> None:
        program = self.program
        form = Mux(registers.back, program.state_shift, program.pre_shift)  # f - 12
        for source, amount in (
            (Count.PARAMETER, parameter.shift),
            (Count.FORMAT, Cat(form[:2], (form[2:4] - 1)[:2])),
            (Count.UP, program.state_up),
            (Count.OUT, program.out_shift),
            (Count.SEVEN, REST_BITS),
            (Count.FIFTEEN, PREACTIVATION_BITS - 1),
        ):
            with m.If(step.now.count == source):
                m.d.sync += count.eq(amount)

    def _load_value(
        self, m: Module, step: _Instruction, layer: _Layer, registers: _Registers
    ) -> None:
        now, acc, value = step.now, registers.acc, registers.value
        with m.If(now.value != microcode.Value.HOLD):
            m.d.sync += value.eq(registers.clamped)
            with m.If((now.value == microcode.Value.CURVE) & layer.sigma):
                m.d.sync += value.eq(Cat(acc[1:15], ~acc[15], Const(0, 1)))

    def _go(
        self,
        m: Module,
        step: _Instruction,
        layer: _Layer,
        registers: _Registers,
        count: Signal,
    ) -> None:
        """Chooses the next instruction, and takes the row and gives the output where it says so."""
        now, running, tag, value = step.now, step.running, self.sums.payload.tag, registers.value
        back, gru, recurrent = registers.back, layer.gru, layer.recurrent
        with m.If(running & now.back):
            m.d.sync += back.eq(1)
        with m.Elif(self.sums.ready):
            m.d.sync += back.eq(0)
        go_on, jump, dispatch = Signal(), Signal(), Signal(4)
        output = Mux(self.program.wide, value, saturate(value, self._config.activation_bits))
        m.d.comb += [
            dispatch.eq(Cat(Mux(recurrent, tag.gate, 3), gru | ~recurrent, back)),
            go_on.eq(1),
            self.sums.ready.eq(
                running & ((now.go == Go.TAKE) | ((now.go == Go.TAKEN) & self.out.ready))
            ),
            self.out.valid.eq(running & (now.go == Go.TAKEN)),
            self.out.payload.eq(output),
        ]
        with m.Switch(now.go):
            with m.Case(Go.TO, Go.TAKE, Go.DISPATCH):
                m.d.comb += jump.eq(1)
            with m.Case(Go.SHIFTED):
                m.d.comb += go_on.eq(_last_shift(count))
            with m.Case(Go.ROW):
                m.d.comb += [go_on.eq(self.sums.valid), jump.eq(self.sums.valid & tag.hole)]
            with m.Case(Go.TAKEN):
                m.d.comb += [go_on.eq(self.out.ready), jump.eq(self.out.ready)]
            with m.Case(Go.FINAL):
                m.d.comb += jump.eq(tag.final)
            with m.Case(Go.APART):
                m.d.comb += jump.eq(gru & (tag.gate == 2))
            with m.Case(Go.CURVED):
                m.d.comb += jump.eq(layer.curved)
        target = Mux(now.go == Go.DISPATCH, DISPATCH | dispatch, now.to)
        with m.If(running):
            m.d.comb += step.following.eq(Mux(jump, target, step.here + go_on))


def _last_shift(count: Signal) -> Value:
    """The shift of this cycle is the last one: eight bits alone, or one step of fewer."""
    low, high = count[:_STEP_LOG2], count[_STEP_LOG2:]
    return Mux(high == 0, (low & (low - 1)[:_STEP_LOG2]) == 0, (high == 1) & (low == 0))


def _chosen(select: Value, bits: int, choices: dict[int, Value]) -> Value:
    """The choice that is selected, zero if none is: an OR of what is gated, for few LUTs."""
    result: Value = Const(0, bits)
    for code, choice in choices.items():
        sign = choice[-1] if choice.shape().signed else Const(0, 1)
        extended = Cat(choice, sign.replicate(max(0, bits - len(choice))))
        result = result | (extended[:bits] & (select == code).replicate(bits))
    return result
