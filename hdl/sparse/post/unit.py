"""The post unit: one per cluster."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring

from sparnn.hdl.common.stream_buffer import StreamBuffer
from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.config import SparseConfig

from .cell import CellUpdater
from .halves import HalfJoin, joined_row_layout
from .peephole import Peephole
from .ports import post_signature
from .requantize import Requantizer
from .totals import RowTotals

__all__ = ["PostUnit"]


class PostUnit(wiring.Component):
    """Row sums of one cluster in, neuron outputs out: docs/post.md.

    Requantizer, join of the halves, cell; with ``delta`` the totals of the rows before them, with
    ``peepholes`` what adds the states' shares before the cell. One row per cycle;
    ``sums.ready`` is two gates behind a register.

    Parameters
    ----------
    config: the machine.

    Members
    -------
    program: In(:func:`post_program`), the layer's descriptor fields, static from ``start`` until
        the layer's last output is taken.
    start: In(1), a pulse while nothing is inside, at least 4 cycles before the first sum.
    fresh: In(1), with ``start``: all states are zero in the first step.
    peephole_program: In(:data:`PEEPHOLE_PROGRAM`), likewise, on a machine with ``peepholes``.
    anew: In(1), with ``start``, on a machine with ``delta``: so are all totals of rows.
    sums: In(stream of :func:`row_sum_layout`), in the order of docs/machine.md.
    out: Out(stream of signed(16)), one item per word of every step, 0 for a hole.
    parameter_load: In ``en``, ``addr``, ``data`` (:data:`PARAMETER_LAYOUT`).
    state_load: In ``en``, ``addr``, ``data``.
    state_read: :func:`~.ports.post_read_signature`. All three only while no layer runs.
    total_load: as ``state_load``, on a machine with ``delta``.
    wrong: Out(1), on a machine with ``parity``: a state that was read is damaged.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(post_signature(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.requantizer = requantizer = Requantizer(self._config)
        m.submodules.join = join = HalfJoin(self._config)
        m.submodules.buffer = buffer = StreamBuffer(joined_row_layout())
        m.submodules.cell = cell = CellUpdater(self._config)

        if self._config.delta:
            m.submodules.totals = totals = RowTotals(self._config)
            wiring.connect(m, wiring.flipped(self.sums), totals.i)
            wiring.connect(m, totals.o, requantizer.i)
            m.d.comb += [
                totals.start.eq(self.start),
                totals.anew.eq(self.anew),
                totals.base.eq(self.program.parameter_base),
            ]
            wiring.connect(m, wiring.flipped(self.total_load), totals.load)
        else:
            wiring.connect(m, wiring.flipped(self.sums), requantizer.i)
        wiring.connect(m, requantizer.o, join.i)
        if self._config.peepholes:
            m.submodules.peephole = peephole = Peephole(self._config)
            wiring.connect(m, join.o, peephole.i)
            wiring.connect(m, peephole.o, buffer.i)
            m.d.comb += [
                requantizer.peephole.eq(self.peephole_program.peephole),
                peephole.program.eq(self.peephole_program),
                peephole.base.eq(self.program.state_base),
                peephole.start.eq(self.start),
                peephole.fresh.eq(self.fresh),
                peephole.load.en.eq(self.state_load.en),
                peephole.load.addr.eq(self.state_load.addr),
                peephole.load.data.eq(self.state_load.data),
                peephole.written.eq(cell.written),
                peephole.new.eq(cell.new),
                cell.peephole.eq(self.peephole_program.peephole),
            ]
        else:
            wiring.connect(m, join.o, buffer.i)
        wiring.connect(m, buffer.o, cell.i)
        wiring.connect(m, cell.o, wiring.flipped(self.out))
        wiring.connect(m, wiring.flipped(self.parameter_load), requantizer.load)
        wiring.connect(m, wiring.flipped(self.state_load), cell.load)
        if self._config.delta:
            m.d.comb += [
                totals.read.en.eq(self.state_read.en & self.state_read.total),
                totals.read.addr.eq(self.state_read.addr),
                cell.read.en.eq(self.state_read.en & ~self.state_read.total),
                cell.read.addr.eq(self.state_read.addr),
                self.state_read.data.eq(
                    Mux(self.state_read.total, totals.read.data, cell.read.data)
                ),
            ]
        else:
            wiring.connect(m, wiring.flipped(self.state_read), cell.read)
        m.d.comb += [
            requantizer.start.eq(self.start),
            requantizer.base.eq(self.program.parameter_base),
            join.start.eq(self.start),
            cell.program.eq(self.program),
            cell.start.eq(self.start),
            cell.fresh.eq(self.fresh),
        ]
        if self._config.parity:
            of_peepholes = peephole.wrong if self._config.peepholes else 0
            m.d.comb += self.wrong.eq(cell.wrong | of_peepholes)
        # The program is there cycles before the first row: a register less far away than its word.
        m.d.sync += join.apart.eq(self.program.kind == Kind.GRU)
        return m
