"""The dense machine: everything between the two host streams."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.instance import place
from sparnn.hdl.common.reset import with_registered_reset
from sparnn.hdl.host.host_port import HostPort

from .array.bank import BANK_MODULE, bank_signature
from .array.sequencer import Sequencer
from .array.tap import Tap, pass_layout
from .config import DenseConfig
from .control.dispatcher import LayerDispatcher
from .control.emitter import Emitter
from .control.gather import OutputGather
from .control.loader import VectorLoader
from .post.slice import SLICE_MODULE, slice_signature

__all__ = ["DenseMachine"]


class DenseMachine(wiring.Component):
    """A whole dense accelerator (docs/dense.md).

    Members
    -------
    rx: stream of 32 * link_words bits from the host.
    tx: stream of 32-bit words to it.
    """

    def __init__(self, config: DenseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "rx": In(stream.Signature(32 * config.link_words)),
                "tx": Out(stream.Signature(32)),
            }
        )

    @property
    def config(self) -> DenseConfig:
        return self._config

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.host = host = HostPort(config)
        m.submodules.dispatcher = dispatcher = LayerDispatcher(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.loader = loader = VectorLoader(config)
        m.submodules.tap = tap = Tap(config)
        m.submodules.gather = gather = OutputGather(config)
        m.submodules.emitter = emitter = Emitter(config)
        m.submodules.store = store = memory.Memory(
            shape=config.store_entry_bits,
            depth=config.store_depth,
            init=[],
            attrs={"no_rw_check": 1},
        )
        wiring.connect(m, wiring.flipped(self.rx), host.rx)
        wiring.connect(m, wiring.flipped(self.tx), host.tx)
        wiring.connect(m, emitter.words, host.results)
        write_en = host.write_en
        layer = dispatcher.layer
        for block in (sequencer, loader, gather, emitter):
            m.d.comb += [
                block.layer.eq(layer),
                block.steps.eq(dispatcher.steps),
                block.start.eq(dispatcher.start),
            ]
        for block in (sequencer, loader):
            m.d.comb += block.fresh.eq(dispatcher.fresh)
        m.d.comb += [
            host.results_idle.eq(emitter.idle),
            host.busy.eq(dispatcher.busy),
            host.cycles.eq(dispatcher.cycles),
            dispatcher.load_en.eq(write_en.program),
            dispatcher.load_addr.eq(host.addr),
            dispatcher.load_data.eq(host.entry),
            dispatcher.run.eq(host.run),
            dispatcher.run_steps.eq(host.steps),
            dispatcher.run_reset.eq(host.reset),
            dispatcher.layer_done.eq(gather.done),
            dispatcher.sent.eq(emitter.idle),
            loader.x_whole.eq(sequencer.x_whole),
            loader.in_ahead.eq(dispatcher.in_ahead),
            gather.out_ahead.eq(dispatcher.out_ahead),
            sequencer.x_word.eq(loader.x_word),
            sequencer.x_end.eq(loader.x_end),
            sequencer.h_word.eq(loader.h_word | gather.h_word),
            sequencer.h_end.eq(Mux(loader.h_word, loader.h_end, gather.h_end)),
            emitter.step.eq(gather.step),
        ]

        # The store: the host's while it loads or reads; of a run's reads the array's go first.
        part = config.store_entry_bits // config.slices
        write, read = store.write_port(granularity=part), store.read_port()
        m.d.comb += [
            write.en.eq(Mux(write_en.store, (1 << config.slices) - 1, gather.store_en)),
            write.addr.eq(Mux(write_en.store, host.addr, gather.store_addr)),
            write.data.eq(Mux(write_en.store, host.entry, gather.store_data)),
            read.en.eq(1),
            read.addr.eq(
                Mux(
                    host.read_en,
                    host.read_addr,
                    Mux(loader.store_en, loader.store_addr, emitter.store_addr),
                )
            ),
            loader.store_data.eq(read.data),
            emitter.store_data.eq(read.data),
            emitter.store_ready.eq(~loader.store_en),
            host.store_data.eq(read.data),
        ]
        if config.sums:
            addend = store.read_port()
            m.d.comb += [addend.addr.eq(gather.target), gather.stored.eq(addend.data)]

        # The broadcast bus of h also brings the state that a run starts from.
        x_bus, h_bus = loader.bus, gather.bus
        x_now, h_now = Signal.like(x_bus), Signal.like(h_bus)
        m.d.comb += [
            x_now.eq(x_bus),
            x_now.valid.eq(Mux(loader.to_hidden, 0, x_bus.valid)),
            h_now.eq(Mux(loader.to_hidden & x_bus.valid.any(), x_bus, h_bus)),
        ]
        masks = write_en.mask if config.mask_depth else 0
        m.d.comb += [
            sequencer.length_en.eq(masks & (host.index == config.lanes)),
            sequencer.length_addr.eq(host.addr),
            sequencer.length_data.eq(host.entry),
        ]
        for number in range(config.banks):
            bank = place(m, f"bank{number}", bank_signature(config), BANK_MODULE)
            m.d.comb += [
                bank.number.eq(number),
                bank.issue.eq(sequencer.issue),
                bank.x.eq(x_now),
                bank.h.eq(h_now),
                bank.load.en.eq(write_en.weight),
                bank.load.mask.eq(masks),
                bank.load.lane.eq(host.index),
                bank.load.addr.eq(host.addr),
                bank.load.data.eq(host.entry),
                tap.sums[number].eq(bank.sums),
            ]

        # A pass's sums are there this many cycles after its last issue.
        finished = sequencer.finished
        for stage in range(config.issue_to_operand - 1):
            later = Signal(pass_layout(config), name=f"finished{stage}")
            m.d.sync += later.eq(finished)
            finished = later
        m.d.comb += [
            tap.finished.eq(finished),
            tap.out_words.eq(layer.out_words),
            tap.gate_major.eq(layer.gate_major),
            tap.wide.eq(layer.wide),
            gather.neurons.eq(tap.neurons),
            gather.complete.eq(tap.complete),
        ]
        states = []
        cells = config.cells
        for number in range(config.slices):
            unit = place(m, f"slice{number}", slice_signature(config), SLICE_MODULE)
            for name in unit.settings.shape().members:
                m.d.comb += unit.settings[name].eq(layer[name])
            m.d.comb += [
                unit.number.eq(number),
                unit.tag.eq(tap.tag),
                unit.tag.valid.eq(tap.valid[number]),
                unit.neurons.eq(tap.neurons),
                unit.neurons.valid.eq(tap.complete[number]),
                unit.sums.eq(tap.segments[number]),
                unit.load.parameter_en.eq(write_en.parameter),
                unit.load.state_en.eq(write_en.state),
                unit.load.index.eq(host.index),
                unit.load.addr.eq(host.addr),
                unit.load.data.eq(host.entry),
                unit.read_en.eq(host.read_en),
                unit.read_addr.eq(host.read_addr),
                unit.read_cell.eq(host.read_index % cells),
                Cat(gather.outputs[number * cells : (number + 1) * cells]).eq(Cat(unit.outputs)),
            ]
            states.append(unit.state)
        m.d.comb += host.state_data.eq(Array(states)[host.read_index // cells])
        return with_registered_reset(m)
