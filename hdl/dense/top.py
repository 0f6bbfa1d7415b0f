"""The dense machine: everything between the two host streams."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.instance import place
from sparnn.hdl.common.memory_port import memory_members
from sparnn.hdl.common.reset import with_registered_reset
from sparnn.hdl.host.host_port import HostPort
from sparnn.hdl.refill.sections import SECTION, SectionReader

from .array.bank import BANK_MODULE, bank_signature
from .array.sequencer import Sequencer
from .array.tap import Tap, pass_layout
from .config import DenseConfig
from .control.dispatcher import LayerDispatcher
from .control.emitter import Emitter
from .control.gather import OutputGather
from .control.loader import VectorLoader
from .control.weights import WeightLoader
from .post.slice import SLICE_MODULE, slice_signature

__all__ = ["DenseMachine"]


class DenseMachine(wiring.Component):
    """A whole dense accelerator (docs/dense.md).

    Members
    -------
    rx: stream of 32 * link_words bits from the host.
    tx: stream of 32-bit words to it.
    requests, words, damaged: of a machine whose weights come from external memory; see
        :class:`~sparnn.hdl.refill.sections.SectionReader` and
        :class:`~sparnn.hdl.dense.control.weights.WeightLoader`.
    wrong: only of a machine with ``parity``: a word of weights, masks or states that was read does
        not match it; once for each cycle in which any was read, five cycles later at most.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "rx": In(stream.Signature(32 * config.link_words)),
                "tx": Out(stream.Signature(32)),
            }
            | memory_members(config.stream_bits)
            | ({"wrong": Out(1)} if config.parity else {})
        )

    @property
    def config(self) -> DenseConfig:
        return self._config

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = _Parts(m, self._config)
        wiring.connect(m, wiring.flipped(self.rx), parts.host.rx)
        wiring.connect(m, wiring.flipped(self.tx), parts.host.tx)
        self._wire(m, parts)
        self._store(m, parts)
        wrong = self._banks(m, parts)
        wrong += self._slices(m, parts)
        if wrong:
            m.d.sync += self.wrong.eq(Cat(wrong).any())
        return with_registered_reset(m)

    def _wire(self, m: Module, parts: "_Parts") -> None:
        """Connect the host and the control."""
        wiring.connect(m, parts.emitter.words, parts.host.results)
        for block in (parts.sequencer, parts.loader, parts.gather, parts.emitter):
            m.d.comb += [
                block.layer.eq(parts.layer),
                block.steps.eq(parts.dispatcher.steps),
                block.start.eq(parts.dispatcher.start),
            ]
        for block in (parts.sequencer, parts.loader):
            m.d.comb += block.fresh.eq(parts.dispatcher.fresh)
        m.d.comb += [
            parts.host.results_idle.eq(parts.emitter.idle),
            parts.host.busy.eq(parts.dispatcher.busy),
            parts.host.cycles.eq(parts.dispatcher.cycles),
            parts.dispatcher.load_en.eq(parts.host.write_en.program),
            parts.dispatcher.load_addr.eq(parts.host.addr),
            parts.dispatcher.load_data.eq(parts.host.entry),
            parts.dispatcher.run.eq(parts.host.run),
            parts.dispatcher.run_steps.eq(parts.host.steps),
            parts.dispatcher.run_reset.eq(parts.host.reset),
            parts.dispatcher.layer_done.eq(parts.gather.done),
            parts.dispatcher.sent.eq(parts.emitter.idle),
            parts.loader.x_whole.eq(parts.sequencer.x_whole),
            parts.loader.in_ahead.eq(parts.dispatcher.in_ahead),
            parts.gather.out_ahead.eq(parts.dispatcher.out_ahead),
            parts.sequencer.x_word.eq(parts.loader.x_word),
            parts.sequencer.x_end.eq(parts.loader.x_end),
            parts.sequencer.h_word.eq(parts.loader.h_word | parts.gather.h_word),
            parts.sequencer.h_end.eq(
                Mux(parts.loader.h_word, parts.loader.h_end, parts.gather.h_end)
            ),
            parts.emitter.step.eq(parts.gather.step),
        ]

    def _store(self, m: Module, parts: "_Parts") -> None:
        """Place the store: the host's while it loads or reads; the array's reads go first."""
        config = self._config
        m.submodules.store = store = memory.Memory(
            shape=config.store_entry_bits,
            depth=config.store_depth,
            init=[],
            attrs={"no_rw_check": 1},
        )
        part = config.store_entry_bits // config.slices
        write, read = store.write_port(granularity=part), store.read_port()
        m.d.comb += [
            write.en.eq(
                Mux(parts.host.write_en.store, (1 << config.slices) - 1, parts.gather.store_en)
            ),
            write.addr.eq(Mux(parts.host.write_en.store, parts.host.addr, parts.gather.store_addr)),
            write.data.eq(
                Mux(parts.host.write_en.store, parts.host.entry, parts.gather.store_data)
            ),
            read.en.eq(1),
            read.addr.eq(
                Mux(
                    parts.host.read_en,
                    parts.host.read_addr,
                    Mux(parts.loader.store_en, parts.loader.store_addr, parts.emitter.store_addr),
                )
            ),
            parts.loader.store_data.eq(read.data),
            parts.emitter.store_data.eq(read.data),
            parts.emitter.store_ready.eq(~parts.loader.store_en),
            parts.host.store_data.eq(read.data),
        ]
        if config.sums:
            addend = store.read_port()
            m.d.comb += [addend.addr.eq(parts.gather.target), parts.gather.stored.eq(addend.data)]

    def _banks(self, m: Module, parts: "_Parts") -> list[Signal]:
        """Place the banks; the broadcast bus of h also brings the state that a run starts from.

        Returns what tells of damaged words, with parity."""
        config = self._config
        weights = self._weights(m, parts) if config.stream_bits else None
        x_bus, h_bus = parts.loader.bus, parts.gather.bus
        x_now, h_now = Signal.like(x_bus), Signal.like(h_bus)
        m.d.comb += [
            x_now.eq(x_bus),
            x_now.valid.eq(Mux(parts.loader.to_hidden, 0, x_bus.valid)),
            h_now.eq(Mux(parts.loader.to_hidden & x_bus.valid.any(), x_bus, h_bus)),
        ]
        masks = parts.host.write_en.mask if config.mask_depth else 0
        m.d.comb += [
            parts.sequencer.length_en.eq(masks & (parts.host.index == config.lanes)),
            parts.sequencer.length_addr.eq(parts.host.addr),
            parts.sequencer.length_data.eq(parts.host.entry),
        ]
        wrong: list[Signal] = []
        for number in range(config.banks):
            bank = place(m, f"bank{number}", bank_signature(config), BANK_MODULE)
            m.d.comb += [
                bank.number.eq(number),
                bank.issue.eq(parts.sequencer.issue),
                bank.x.eq(x_now),
                bank.h.eq(h_now),
            ]
            if weights is None:
                m.d.comb += [
                    bank.load.en.eq(parts.host.write_en.weight),
                    bank.load.mask.eq(masks),
                    bank.load.lane.eq(parts.host.index),
                    bank.load.addr.eq(parts.host.addr),
                    bank.load.data.eq(parts.host.entry),
                ]
            else:
                m.d.comb += bank.load.eq(weights.load)
            m.d.comb += parts.tap.sums[number].eq(bank.sums)
            if config.parity:
                wrong.append(bank.wrong)
        return wrong

    def _weights(self, m: Module, parts: "_Parts") -> WeightLoader:
        """Weights from external memory."""
        host = parts.host
        m.submodules.sections = sections = SectionReader(self._config)
        m.submodules.weights = weights = WeightLoader(self._config)
        wiring.connect(m, sections.requests, wiring.flipped(self.requests))
        wiring.connect(m, wiring.flipped(self.words), weights.words)
        m.d.comb += [
            sections.load_en.eq(host.write_en.section),
            sections.load_addr.eq(host.addr),
            sections.load_data.eq(host.entry[: SECTION.size]),
            sections.run.eq(host.run),
            sections.steps.eq(host.steps),
            weights.clear.eq(host.write_en.section),
            weights.next.eq(parts.dispatcher.weights_next),
            parts.dispatcher.weights_there.eq(weights.there),
            self.damaged.eq(weights.damaged),
        ]
        return weights

    def _slices(self, m: Module, parts: "_Parts") -> list[Signal]:
        """Place the slices, to which a pass's sums come so many cycles after its last issue.

        Returns what tells of damaged words, with parity."""
        config = self._config
        finished = parts.sequencer.finished
        for stage in range(config.issue_to_operand - 1):
            later = Signal(pass_layout(config), name=f"finished{stage}")
            m.d.sync += later.eq(finished)
            finished = later
        m.d.comb += [
            parts.tap.finished.eq(finished),
            parts.tap.out_words.eq(parts.layer.out_words),
            parts.tap.gate_major.eq(parts.layer.gate_major),
            parts.tap.wide.eq(parts.layer.wide),
            parts.gather.neurons.eq(parts.tap.neurons),
            parts.gather.complete.eq(parts.tap.complete),
        ]
        states, wrong = [], []
        cells = config.cells
        for number in range(config.slices):
            unit = place(m, f"slice{number}", slice_signature(config), SLICE_MODULE)
            for name in unit.settings.shape().members:
                m.d.comb += unit.settings[name].eq(parts.layer[name])
            m.d.comb += [
                unit.number.eq(number),
                unit.tag.eq(parts.tap.tag),
                unit.tag.valid.eq(parts.tap.valid[number]),
                unit.neurons.eq(parts.tap.neurons),
                unit.neurons.valid.eq(parts.tap.complete[number]),
                unit.sums.eq(parts.tap.segments[number]),
                unit.load.parameter_en.eq(parts.host.write_en.parameter),
                unit.load.state_en.eq(parts.host.write_en.state),
                unit.load.index.eq(parts.host.index),
                unit.load.addr.eq(parts.host.addr),
                unit.load.data.eq(parts.host.entry),
                unit.read_en.eq(parts.host.read_en),
                unit.read_addr.eq(parts.host.read_addr),
                unit.read_cell.eq(parts.host.read_index % cells),
                Cat(parts.gather.outputs[number * cells : (number + 1) * cells]).eq(
                    Cat(unit.outputs)
                ),
            ]
            states.append(unit.state)
            if config.parity:
                wrong.append(unit.wrong)
        m.d.comb += parts.host.state_data.eq(Array(states)[parts.host.read_index // cells])
        return wrong


class _Parts:
    """What stands once in the machine. ``layer``: the descriptor of the layer that runs."""

    def __init__(self, m: Module, config: DenseConfig) -> None:
        m.submodules.host = self.host = HostPort(config)
        m.submodules.dispatcher = self.dispatcher = LayerDispatcher(config)
        m.submodules.sequencer = self.sequencer = Sequencer(config)
        m.submodules.loader = self.loader = VectorLoader(config)
        m.submodules.tap = self.tap = Tap(config)
        m.submodules.gather = self.gather = OutputGather(config)
        m.submodules.emitter = self.emitter = Emitter(config)
        self.layer = self.dispatcher.layer
