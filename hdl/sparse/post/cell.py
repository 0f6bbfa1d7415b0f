"""Gate pre-activations become neuron outputs (docs/numerics.md, "Cells")."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from sparnn.hdl.arithmetic.carry import add_with_carry
from sparnn.hdl.arithmetic.formats import PREACTIVATION_BITS
from sparnn.hdl.arithmetic.rounding import RoundingShifter
from sparnn.hdl.arithmetic.saturate import saturate
from sparnn.hdl.arithmetic.sigma import ActivationUnit
from sparnn.hdl.arithmetic.sigma_table import TANH_TABLE
from sparnn.hdl.common.small_fifo import SmallFifo
from sparnn.hdl.host.protocol import Activation, Kind
from sparnn.hdl.sparse.config import SparseConfig

from .halves import joined_row_layout
from .output import VALUE_BITS, OutputRounder
from .state import StateMemory, state_load_signature, state_read_signature
from .tags import POST_PROGRAM

__all__ = ["CellUpdater"]

_STATE_UP_BITS = 4


class CellUpdater(wiring.Component):
    """LSTM, GRU, RNN and linear cells, with one activation unit and one 17 x 16 multiplier.

    A neuron gets a credit when its first gate is taken and returns it when its output is; so
    whatever is inside has room at the end, and nothing before the output queue ever waits.
    Only the activation unit's input is contended: ``tanh(c')`` and the GRU's ``n`` go first.

    Everything follows from the answers of the activation unit, which come in the order of asking:

    - LSTM: ``i`` and ``g`` are kept; ``f`` starts ``f · c``; ``o`` is queued and starts ``i · g``;
      their sum becomes ``c'``, is stored, and goes back for its tanh; that starts ``o · tanh(c')``.
    - GRU: ``r`` and ``z`` are queued; an ``r`` and the row of ``n`` start ``r · v_n``; with ``u_n``
      it goes to the activation unit; ``n`` starts ``z · s`` and then ``(32768 - z) · n``.
    - RNN and linear: the answer, or the row itself, is the output.
    - With ``reset_first``, a GRU that resets before the product, in two layers. Its gates: ``r`` is
      kept; ``z`` is stored and starts ``r · s``, the output; the third row is dropped. Its
      candidate: an answer ``n`` goes on like a GRU's, with the stored ``z``.

    Latency, from the last row taken to its output, and interval: docs/post.md.

    Parameters
    ----------
    config: ``state_depth``, ``activation_bits``, ``reset_first``.

    Members
    -------
    program: In(:data:`POST_PROGRAM`), static from ``start`` until the last output is taken.
    start: In(1), a pulse when nothing is inside, at least 4 cycles before the first row.
    fresh: In(1), with ``start``: the states of the first step are zero.
    load, read: the host's ports to the states (hdl/sparse/post/state.py).
    i: In(stream of :func:`joined_row_layout`). o: Out(stream of signed(16)), one item per neuron or
        hole.
    """

    #: Items between input and output.
    CREDITS = 16
    #: Neurons of recurrent kinds among them.
    NEURONS = 8

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "program": In(POST_PROGRAM),
                "start": In(1),
                "fresh": In(1),
                "load": In(state_load_signature(config)),
                "read": In(state_read_signature(config)),
                "i": In(stream.Signature(joined_row_layout())),
                "o": Out(stream.Signature(signed(PREACTIVATION_BITS))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = PREACTIVATION_BITS
        program = self.program
        recurrent, lstm, gru, tabular = Signal(), Signal(), Signal(), Signal()
        thirds = Signal()  # the third row is not a neuron's last gate, but a candidate
        all_sigma, most_sigma = Signal(), Signal()  # rows become σ: all, or all but the third
        resets, mixes = Signal(), Signal()  # the two layers of a GRU that resets first
        split = program.reset_first & bool(self._config.reset_first)
        m.d.sync += [
            recurrent.eq((program.kind == Kind.LSTM) | (program.kind == Kind.GRU) | split),
            lstm.eq(program.kind == Kind.LSTM),
            gru.eq((program.kind == Kind.GRU) & ~split),
            resets.eq((program.kind == Kind.GRU) & split),
            thirds.eq(program.kind == Kind.GRU),
            all_sigma.eq(~recurrent & (program.activation == Activation.SIGMOID)),
            most_sigma.eq(recurrent & ~mixes),
            mixes.eq((program.kind == Kind.RNN) & split),
            tabular.eq(
                (program.activation == Activation.TANH) | (program.activation == Activation.SIGMOID)
            ),
        ]

        meta = data.StructLayout({"gate": 2, "back": 1})  # back: from the pipeline, not from a row
        m.submodules.activation = activation = ActivationUnit(
            meta.size,
            {"rom_style": "logic"} if self._config.lut_memory >= len(TANH_TABLE) else None,
            with_hard=bool(self._config.hard_sigmoid),
        )
        m.submodules.state = state = StateMemory(self._config)
        m.submodules.rounder = rounder = OutputRounder(self._config)
        m.submodules.queue = queue = SmallFifo(signed(bits), self.CREDITS)
        pair = data.StructLayout({"u": signed(bits), "v": signed(bits)})
        m.submodules.candidates = candidates = SmallFifo(pair, self.NEURONS)
        wiring.connect(m, wiring.flipped(self.load), state.load)
        wiring.connect(m, wiring.flipped(self.read), state.read)
        wiring.connect(m, queue.o, wiring.flipped(self.o))

        # What the end of the pipeline asks for.
        back = Signal()
        new = Signal(signed(bits), reset_less=True)

        # Rows ------------------------------------------------------------------------------------
        row, tag = self.i.payload, self.i.payload.tag
        inside = Signal(range(self.CREDITS + 1))
        # Both one cycle late: `room` therefore asks for one place more. `empty` may stay for one
        # cycle after an entry, in which only a hole behind a hole could make use of it, and may;
        # a candidate's row enters and ends a step at once, so `taken` then stands beside it.
        empty, room = Signal(init=1), Signal()
        limit = Mux(recurrent, self.NEURONS, self.CREDITS)
        m.d.sync += [empty.eq(inside == 0), room.eq(inside + 1 < limit)]
        ending = Signal()  # the step's last row is taken; its states are not all written yet
        candidate = Signal()
        take = Signal()
        taken = Signal(2)  # answers n take the multiplier twice, and a state every third cycle
        any_taken = Signal()
        m.d.sync += [
            taken.eq(Cat(take & mixes, taken)),
            any_taken.eq((take & mixes) | taken[0]),
        ]
        m.d.comb += [
            candidate.eq(thirds & (tag.gate == 2)),
            take.eq(self.i.valid & self.i.ready),
        ]
        with m.If(~recurrent):
            m.d.comb += self.i.ready.eq(room)
        with m.Elif(tag.hole):
            # Neurons ahead of a hole leave in their own time, so it waits for all of them.
            m.d.comb += self.i.ready.eq(empty & ~ending & ~taken[0])
        with m.Else():
            m.d.comb += self.i.ready.eq(
                ((tag.gate != 0) | (room & ~ending & ~any_taken)) & (candidate | ~back)
            )
        enter = take & ((tag.gate == 0) | tag.hole)
        leave = self.o.valid & self.o.ready
        with m.If(enter & ~leave):
            m.d.sync += inside.eq(inside + 1)
        with m.Elif(leave & ~enter):
            m.d.sync += inside.eq(inside - 1)

        fresh = Signal()
        restart = ending & empty & ~taken[0]
        with m.If(self.start):
            m.d.sync += [ending.eq(0), fresh.eq(self.fresh)]
        with m.Elif(restart):
            m.d.sync += [ending.eq(0), fresh.eq(0)]
        with m.Elif(take & recurrent & tag.step_end):
            m.d.sync += ending.eq(1)

        # What `take` comes to for a hole, and below for a candidate, which is always ready.
        skip = self.i.valid & recurrent & tag.hole & empty & ~ending & ~taken[0]
        direct = take & Mux(recurrent, tag.hole, ~tabular)
        m.d.comb += [
            state.base.eq(program.state_base),
            state.restart.eq(self.start | restart),
            state.zero.eq(fresh),
            state.skip.eq(skip),
            candidates.push.eq(self.i.valid & gru & (tag.gate == 2) & ~tag.hole),
            candidates.data.u.eq(row.sum),
            candidates.data.v.eq(row.hidden),
            activation.request.eq(back | (take & ~direct & ~candidate)),
            activation.value.eq(Mux(back, new, row.sum)),
            activation.shift.eq(Mux(back & lstm, program.state_shift, program.pre_shift)),
            activation.sigmoid.eq(~back & (all_sigma | (most_sigma & (tag.gate != 2)))),
            activation.hard.eq(program.hard_sigmoid),
            activation.meta.eq(Mux(back, 0b100, Mux(recurrent, tag.gate, tag.hole))),
        ]

        # Answers ---------------------------------------------------------------------------------
        answer = Signal(meta)
        result = activation.result
        m.d.comb += answer.eq(activation.result_meta)
        # What an answer is, is decided a cycle before it comes.
        coming = Signal(meta)
        m.d.comb += coming.eq(activation.coming_meta)
        row_answer = activation.coming & recurrent & ~coming.back
        back_answer = activation.coming & recurrent & coming.back

        def decided(condition: Value, name: str) -> Signal:
            signal = Signal(name=name)
            m.d.sync += signal.eq(condition)
            return signal

        from_back = decided(back_answer, "from_back")
        is_i = decided(row_answer & lstm & (coming.gate == 0), "is_i")
        is_r = decided(row_answer & gru & (coming.gate == 0), "is_r")
        is_f = decided(row_answer & lstm & (coming.gate == 1), "is_f")
        is_g = decided(row_answer & lstm & (coming.gate == 2), "is_g")
        is_o = decided(row_answer & lstm & (coming.gate == 3), "is_o")
        is_z = decided(row_answer & gru & (coming.gate == 1), "is_z")
        n_comes = (back_answer & gru) | (row_answer & mixes)
        is_n = decided(n_comes, "is_n")
        is_kept = decided(row_answer & resets & (coming.gate == 0), "is_kept")
        is_reset = decided(row_answer & resets & (coming.gate == 1), "is_reset")
        is_c = decided(back_answer & lstm, "is_c")

        # r in the lower half, o and z in the upper one, each a ring of NEURONS entries.
        # The next one to be read stands in the read port; it has been there for a cycle.
        m.submodules.gates = gates = Memory(
            shape=signed(bits), depth=2 * self.NEURONS, init=[], attrs={"no_rw_check": 1}
        )
        write, read = gates.write_port(), gates.read_port()
        r_tail, r_head = Signal(range(2 * self.NEURONS)), Signal(range(2 * self.NEURONS))
        oz_tail, oz_head = Signal(range(self.NEURONS)), Signal(range(self.NEURONS))
        reset_gate, r_waits = Signal(), Signal()  # start r · v_n; there is an r
        r_next, oz_next = Signal.like(r_head), Signal.like(oz_head)
        m.d.comb += [
            r_next.eq(r_head + reset_gate),
            oz_next.eq(oz_head + from_back),
            write.en.eq(is_r | is_o | is_z),
            write.addr.eq(Mux(is_r, r_tail[:-1], Cat(oz_tail, 1))),
            write.data.eq(result),
            read.addr.eq(Mux(back_answer, Cat(oz_next, 1), r_next[:-1])),
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

        # Multiplications: stage 1 operands, stage 2 product --------------------------------------
        i_kept = Signal(signed(bits), reset_less=True)  # or r
        gn_kept = Signal(signed(bits), reset_less=True)  # g or n
        second = Signal()  # (32768 - z) · n follows z · s
        with m.If(is_i | is_kept):
            m.d.sync += i_kept.eq(result)
        with m.If(is_g | is_n):
            m.d.sync += gn_kept.eq(result)
        m.d.sync += second.eq(is_n)

        # accumulate: f · c or z · s. update: i · g or (32768 - z) · n. reset: r · v_n.
        # emit: o · tanh(c') or r · s.
        step = data.StructLayout({"accumulate": 1, "update": 1, "reset": 1, "emit": 1})
        steps = [Signal(step, name=f"step{k}") for k in range(6)]
        # Every third cycle at most, so that answers n keep that distance: they take two. Whether
        # the multiplier is free for it, is known a cycle before.
        may_reset = Signal(init=1)
        m.d.sync += may_reset.eq(~n_comes & ~is_n & ~reset_gate & ~steps[1].reset)
        m.d.comb += [
            reset_gate.eq(r_waits & candidates.o.valid & may_reset),
            candidates.o.ready.eq(reset_gate),
            steps[0].accumulate.eq(is_f | is_n),
            steps[0].update.eq(is_o | second),
            steps[0].reset.eq(reset_gate),
            steps[0].emit.eq(is_c | is_reset),
            state.next.eq(is_f | is_n | is_reset),
        ]
        m.d.sync += [steps[k].eq(steps[k - 1]) for k in range(1, 6)]

        a = Signal(signed(bits + 1), reset_less=True)
        b = Signal(signed(bits), reset_less=True)
        product = Signal(signed(VALUE_BITS), reset_less=True)
        update_gate = Signal(signed(bits))
        z = Mux(mixes, update_gate, read.data)
        rest = Signal(signed(bits + 1), reset_less=True)  # 32768 - z, of the z that stage 1 holds
        m.d.sync += rest.eq((1 << 15) - z)
        with m.If(is_f):
            m.d.sync += a.eq(result)
        with m.Elif(is_reset):
            m.d.sync += a.eq(i_kept)
        with m.Elif(steps[0].update):
            m.d.sync += a.eq(Mux(lstm, i_kept, rest))
        with m.Else():
            m.d.sync += a.eq(z)
        with m.If(steps[0].accumulate | is_reset):
            m.d.sync += b.eq(state.value)
        with m.Elif(steps[0].update):
            m.d.sync += b.eq(gn_kept)
        with m.Elif(from_back):
            m.d.sync += b.eq(result)
        with m.Else():
            m.d.sync += b.eq(candidates.o.payload.v)
        m.d.sync += product.eq(a * b)

        if self._config.reset_first:
            m.submodules.update_gates = update_gates = StateMemory(self._config)
            m.d.comb += [
                update_gates.base.eq(program.state_base),
                update_gates.restart.eq(state.restart),
                update_gates.skip.eq(skip),
                update_gates.write.eq(is_reset),
                update_gates.new.eq(result),
                update_gates.next.eq(is_n),
                update_gate.eq(update_gates.value),
            ]

        # Sums: stage 3 shifts, 4 adds, 5 rounds and saturates ------------------------------------
        first = Signal(signed(VALUE_BITS), reset_less=True)  # f · c or z · s
        with m.If(steps[2].accumulate):
            m.d.sync += first.eq(product)
        m.submodules.shifter = shifter = RoundingShifter(VALUE_BITS, _STATE_UP_BITS, VALUE_BITS)
        m.d.comb += shifter.value.eq(product)
        m.d.sync += shifter.amount.eq(Mux(steps[1].update, program.state_up, 0))
        addend = candidates.o.payload.u
        for k in range(1, 5):
            later = Signal(signed(bits), name=f"u{k}", reset_less=True)
            m.d.sync += later.eq(addend)
            addend = later
        total = Signal(signed(VALUE_BITS + 1), reset_less=True)
        rounded = Signal(signed(bits + 2))
        # rne(total, 15) = floor((total + 2^14 - 1 + bit 15) / 2^15): no sticky bit is waited for.
        row_u = Mux(steps[4].reset, addend, 0)
        beside = Cat(Const((1 << 14) - 1, 15), row_u).as_signed()
        m.d.comb += rounded.eq(add_with_carry(total, beside, total[15]) >> 15)
        m.d.sync += [
            total.eq(add_with_carry(Mux(steps[3].update, first, 0), shifter.floor, shifter.up)),
            new.eq(saturate(rounded, bits)),
            back.eq((steps[4].update & lstm) | steps[4].reset),
        ]
        m.d.comb += [
            state.write.eq(steps[5].update),
            state.new.eq(new),
        ]

        # Outputs ---------------------------------------------------------------------------------
        single = Signal(signed(bits))  # an output in 16 bits
        emit = Signal()
        value = Signal(signed(VALUE_BITS), reset_less=True)
        with m.If(gru | mixes):
            m.d.comb += single.eq(new)
        with m.Elif(tabular):
            m.d.comb += single.eq(Mux(answer.gate[0], 0, result))  # the mark of a hole
        with m.Else():
            relu = program.activation == Activation.RELU
            m.d.comb += single.eq(Mux(relu & row.sum[-1], 0, row.sum))
        with m.If(recurrent & empty):  # a hole; the others bring their zero along
            m.d.sync += value.eq(0)
        with m.Elif(lstm | resets):
            m.d.sync += value.eq(product)
        with m.Else():
            m.d.sync += value.eq(Cat(Const(0, 15), single))
        m.d.sync += emit.eq(
            direct
            | steps[2].emit
            | (steps[5].update & (gru | mixes))
            | (activation.response & ~recurrent)
        )
        m.d.comb += [
            rounder.push.eq(emit),
            rounder.value.eq(value),
            rounder.shift.eq(program.out_shift),
            rounder.wide.eq(program.wide),
            queue.push.eq(rounder.valid),
            queue.data.eq(rounder.result),
        ]
        return m
