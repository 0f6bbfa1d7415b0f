"""The post unit of small machines: one multiplier and one accumulator, a row at a time."""

from collections.abc import Mapping
from enum import IntEnum

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory

from sparnn.hdl.arithmetic.formats import MULTIPLIER_BITS, PREACTIVATION_BITS, SHIFT_BITS
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.arithmetic.sigma_table import HARD_TABLE, TANH_TABLE
from sparnn.hdl.host.protocol import Activation, Kind
from sparnn.hdl.sparse.config import SparseConfig

from . import microcode
from .microcode import DISPATCH, A, Acc, B, Count, Go, Instruction, Place
from .ports import post_signature

__all__ = ["SerialPostUnit", "sum_limbs"]

#: A part of a sum that is an operand beside its sign.
_LIMB_BITS = PREACTIVATION_BITS - 1
#: Of the table: an entry's base and its slope, and bits between two entries.
_INDEX_BITS, _REST_BITS = 8, 7
#: log2 of the bits that the accumulator shifts by at once at most.
_STEP_LOG2 = 3


def sum_limbs(config: SparseConfig) -> int:
    """Parts in which a row's sum is multiplied."""
    return 1 + -(-max(0, config.sum_bits - PREACTIVATION_BITS) // _LIMB_BITS)


class SerialPostUnit(wiring.Component):
    """What :class:`~sparnn.hdl.sparse.post.unit.PostUnit` does, with the same ports, bit for bit
    the same
    outputs, a quarter of its area, and 11 to 120 cycles for a row instead of one: docs/post.md,
    "Serial".

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
        config, program, bits = self._config, self.program, PREACTIVATION_BITS
        row, tag = self.sums.payload, self.sums.payload.tag
        limb_count = sum_limbs(config)
        code, labels = microcode.program(limb_count)
        layout = _instruction_layout(limb_count, len(code))

        # The instruction at hand stands in the program memory's output.
        m.submodules.code = store = Memory(
            shape=layout,
            depth=len(code),
            init=[_encoded(one, labels) for one in code],
        )
        fetch = store.read_port()
        now = fetch.data
        running = Signal()  # not in the first cycle, in which nothing has been fetched
        here = Signal(range(len(code)))
        following = Signal.like(here)
        m.d.sync += [running.eq(1), here.eq(following)]
        m.d.comb += fetch.addr.eq(following)

        # Layer and row.
        recurrent, gru, sigma = Signal(), Signal(), Signal()
        m.d.comb += [
            gru.eq(program.kind == Kind.GRU),
            recurrent.eq(gru | (program.kind == Kind.LSTM)),
            sigma.eq(Mux(recurrent, tag.gate != 2, program.activation == Activation.SIGMOID)),
        ]
        curved = recurrent | program.activation.matches(Activation.TANH, Activation.SIGMOID)
        back, negative, fresh = Signal(), Signal(), Signal()
        finish = self.sums.ready

        # Parameters, in order: those of the row stand in the memory's output.
        m.submodules.parameters = parameters = Memory(
            shape=data.StructLayout(
                {"mult": MULTIPLIER_BITS - 1, "shift": SHIFT_BITS, "bias": signed(bits)}
            ),
            depth=config.parameter_depth,
            init=[],
            attrs={"no_rw_check": 1},
        )
        load, read = parameters.write_port(), parameters.read_port()
        parameter = read.data
        m.d.comb += [load.en.eq(self.parameter_load.en), load.addr.eq(self.parameter_load.addr)]
        for name in ("mult", "shift", "bias"):
            m.d.comb += load.data[name].eq(self.parameter_load.data[name])

        # Indices of what is read and written in order.
        regions = _Regions(config)
        u_index = Signal(range(config.rows))
        state_index = Signal.like(self.state_load.addr)
        with m.If(running & (now.b == B.BIAS)):
            m.d.sync += read.addr.eq(read.addr + 1)
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
                state_index.eq(program.state_base),
            ]
        with m.If(self.start):
            m.d.sync += u_index.eq(0)
        # A cycle before the row leaves, as reading takes one.
        used = (now.b == B.BIAS) | ((now.go == Go.ROW) & tag.hole & self.sums.valid)
        with m.If(self.start | (running & used & tag.step_end)):
            m.d.sync += read.addr.eq(program.parameter_base)

        # The memory of words, with one address.
        value = Signal(signed(bits))
        width = max(config.sum_bits + MULTIPLIER_BITS - 1, 2 * bits + 1) + 1
        acc = Signal(signed(width), reset_less=True)
        m.submodules.words = words = Memory(
            shape=bits, depth=regions.depth, init=regions.content(), attrs={"no_rw_check": 1}
        )
        word_write, word_read = words.write_port(), words.read_port()
        word = word_read.data
        address = Signal.like(word_read.addr)
        clamped = saturate(acc, bits)
        table = clamped[_REST_BITS:-1]
        if regions.tables > 1:
            table = Cat(table, program.hard_sigmoid & sigma)
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
        with m.If(self.state_load.en | self.state_read.en):
            m.d.comb += address.eq(
                regions.state | Mux(self.state_load.en, self.state_load.addr, self.state_read.addr)
            )
        m.d.comb += [
            word_read.addr.eq(address),
            word_write.addr.eq(address),
            word_write.en.eq((running & now.write) | self.state_load.en),
            word_write.data.eq(Mux(self.state_load.en, self.state_load.data, value)),
            self.state_read.data.eq(word),
        ]

        # Operands.
        a, b = (Signal(signed(bits), name=name, reset_less=True) for name in "ab")
        limbs = [row.psum[k * _LIMB_BITS : (k + 1) * _LIMB_BITS] for k in range(limb_count - 1)]
        limbs.append(row.psum >> (limb_count - 1) * _LIMB_BITS)
        magnitude = Mux(sigma, 1 << 11, 1 << 12)
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
        rectified = (program.activation == Activation.RELU) & value[-1] & ~recurrent
        with m.If(now.b != B.HOLD):
            m.d.sync += b.eq(
                _chosen(
                    now.b,
                    bits,
                    {
                        B.MULT: parameter.mult,
                        B.BIAS: parameter.bias,
                        B.VALUE: value,
                        B.REST: value[:_REST_BITS],
                        B.MEMORY: word,
                        B.STATE: word & ~fresh.replicate(bits),
                        B.RECTIFIED: value & ~rectified.replicate(bits),
                    },
                )
            )
        with m.If(now.a == A.SCALE):
            m.d.sync += negative.eq(value[-1])

        # Accumulator: a sum's product, of two operands with another of them, and of a shift what is
        # dropped: the last bit, and whether there were others.
        product = Signal(signed(2 * bits))
        last, rest = Signal(reset_less=True), Signal(reset_less=True)
        count = Signal(SHIFT_BITS)
        # By eight as long as that is not too much, then by four, two and one at most once each.
        steps = [count[_STEP_LOG2:].any(), *reversed(count[:_STEP_LOG2])]
        up = last & Mux(now.acc == Acc.ADD_EVEN, rest | acc[0], now.acc == Acc.ADD_UP)
        addend = Signal(signed(width))
        m.d.comb += [product.eq(a * b), addend.eq(product)]
        for limb in range(1, limb_count):
            with m.If(now.acc == Acc.ADD + limb):
                m.d.comb += addend.eq(product << limb * _LIMB_BITS)
        total = Signal(signed(width))
        m.d.comb += total.eq(
            ((Cat(Const(1, 1), acc).as_signed() + Cat(up, addend).as_signed()) >> 1)[:width]
        )
        shifts = (now.acc == Acc.SHIFT) & (count != 0)
        low, high = count[:_STEP_LOG2], count[_STEP_LOG2:]
        complete = Mux(high == 0, (low & (low - 1)[:_STEP_LOG2]) == 0, (high == 1) & (low == 0))
        with m.If((now.acc >= Acc.ADD_EVEN) | shifts):
            with m.If(now.acc != Acc.SHIFT):
                m.d.sync += [acc.eq(total), last.eq(0), rest.eq(0)]
            for number, chosen in enumerate(steps):
                step = 1 << _STEP_LOG2 - number
                with m.Elif(chosen):
                    m.d.sync += [
                        acc.eq(acc >> step),
                        last.eq(acc[step - 1]),
                        rest.eq(rest | last | acc[: step - 1].any()),
                    ]
        with m.If(now.acc == Acc.CLEAR):
            m.d.sync += [acc.eq(0), last.eq(0), rest.eq(0)]
        with m.If(shifts):
            with m.If(steps[0]):
                m.d.sync += count[_STEP_LOG2:].eq(count[_STEP_LOG2:] - 1)
            for number, chosen in enumerate(steps[1:]):
                with m.Elif(chosen):
                    m.d.sync += count[_STEP_LOG2 - 1 - number].eq(0)
        form = Mux(back, program.state_shift, program.pre_shift)  # f - 12
        for source, amount in (
            (Count.PARAMETER, parameter.shift),
            (Count.FORMAT, Cat(form[:2], (form[2:4] - 1)[:2])),
            (Count.UP, program.state_up),
            (Count.OUT, program.out_shift),
            (Count.SEVEN, _REST_BITS),
            (Count.FIFTEEN, bits - 1),
        ):
            with m.If(now.count == source):
                m.d.sync += count.eq(amount)

        # Value.
        with m.If(now.value != microcode.Value.HOLD):
            m.d.sync += value.eq(clamped)
            with m.If((now.value == microcode.Value.CURVE) & sigma):
                m.d.sync += value.eq(Cat(acc[1:15], ~acc[15], Const(0, 1)))

        # Where to go.
        with m.If(running & now.back):
            m.d.sync += back.eq(1)
        with m.Elif(self.sums.ready):
            m.d.sync += back.eq(0)
        go_on, jump, dispatch = Signal(), Signal(), Signal(4)
        m.d.comb += [
            dispatch.eq(Cat(Mux(recurrent, tag.gate, 3), gru | ~recurrent, back)),
            go_on.eq(1),
            self.sums.ready.eq(
                running & ((now.go == Go.TAKE) | ((now.go == Go.TAKEN) & self.out.ready))
            ),
            self.out.valid.eq(running & (now.go == Go.TAKEN)),
            self.out.payload.eq(Mux(program.wide, value, saturate(value, config.activation_bits))),
        ]
        with m.Switch(now.go):
            with m.Case(Go.TO, Go.TAKE, Go.DISPATCH):
                m.d.comb += jump.eq(1)
            with m.Case(Go.SHIFTED):
                m.d.comb += go_on.eq(complete)
            with m.Case(Go.ROW):
                m.d.comb += [go_on.eq(self.sums.valid), jump.eq(self.sums.valid & tag.hole)]
            with m.Case(Go.TAKEN):
                m.d.comb += [go_on.eq(self.out.ready), jump.eq(self.out.ready)]
            with m.Case(Go.FINAL):
                m.d.comb += jump.eq(tag.final)
            with m.Case(Go.APART):
                m.d.comb += jump.eq(gru & (tag.gate == 2))
            with m.Case(Go.CURVED):
                m.d.comb += jump.eq(curved)
        target = Mux(now.go == Go.DISPATCH, DISPATCH | dispatch, now.to)
        with m.If(running):
            m.d.comb += following.eq(Mux(jump, target, here + go_on))
        return m


class _Regions:
    """Where things lie in the memory of words: powers of two, the largest first, each at a multiple
    of its size."""

    def __init__(self, config: SparseConfig) -> None:
        self.tables = 1 + config.hard_sigmoid
        sizes = {
            "table": (2 << _INDEX_BITS) * self.tables,
            "u": 1 << (config.rows - 1).bit_length(),
            "state": 1 << (config.state_depth - 1).bit_length(),
            "kept": 4,
        }
        places: dict[str, int] = {}
        end = 0
        for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
            places[name] = end
            end += size
        self.table, self.u = places["table"], places["u"]
        self.state, self.kept = places["state"], places["kept"]
        self.depth = end

    def content(self) -> list[int]:
        """Base and slope of each entry of the tables."""
        words = [0] * self.depth
        for number, table in enumerate((TANH_TABLE, HARD_TABLE)[: self.tables]):
            for index in range(1 << _INDEX_BITS):
                place = self.table + 2 * ((number << _INDEX_BITS) + index)
                words[place : place + 2] = table[index], table[index + 1] - table[index]
        return words


def _instruction_layout(limbs: int, length: int) -> data.StructLayout:
    """An instruction as the program memory holds it."""

    def codes(enum: type[IntEnum], more: int = 0) -> int:
        return (max(enum) + more).bit_length()

    return data.StructLayout(
        {
            "a": codes(A, limbs - 1),
            "b": codes(B),
            "acc": codes(Acc, limbs - 1),
            "count": codes(Count),
            "value": codes(microcode.Value),
            "place": codes(Place),
            "write": 1,
            "finish": 1,
            "back": 1,
            "go": codes(Go),
            "to": (length - 1).bit_length(),
        }
    )


def _encoded(one: Instruction, labels: Mapping[str, int]) -> dict[str, int]:
    fields = {name: int(getattr(one, name)) for name in Instruction.__annotations__ if name != "to"}
    return fields | {"to": labels[one.to] if one.to else 0}


def _chosen(select: Value, bits: int, choices: dict[int, Value]) -> Value:
    """The choice that is selected, zero if none is: an OR of what is gated, for few LUTs."""
    result: Value = Const(0, bits)
    for code, choice in choices.items():
        sign = choice[-1] if choice.shape().signed else Const(0, 1)
        extended = Cat(choice, sign.replicate(max(0, bits - len(choice))))
        result = result | (extended[:bits] & (select == code).replicate(bits))
    return result
