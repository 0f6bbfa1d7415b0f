"""The machine: everything between the two host streams."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.instance import place
from sparnn.hdl.common.memory_port import memory_members
from sparnn.hdl.common.reset import with_registered_reset
from sparnn.hdl.common.stream_buffer import StreamBuffer
from sparnn.hdl.host.host_port import HostPort
from sparnn.hdl.host.protocol import Target
from sparnn.hdl.host.results import ResultWriter

from .array.addends import StoredAddends
from .array.broadcast import BROADCAST_PROGRAM, Broadcaster
from .array.cluster import cluster_signature
from .array.differences import DIFFERENCES_PROGRAM
from .array.gather import GATHER_PROGRAM, Gather
from .array.load import load_layout
from .config import SparseConfig
from .control.dispatcher import Dispatcher
from .refill.dealer import WordDealer
from .refill.sections import SectionReader
from .store.ports import STORE_PROGRAM
from .store.store import sequence_store

__all__ = ["SparseMachine", "CLUSTER_MODULE"]

CLUSTER_MODULE = "sparnn_cluster"


class SparseMachine(wiring.Component):
    """A whole accelerator (docs/machine.md).

    Members
    -------
    rx, tx: streams of 32-bit words from and to the host; the packets are those of
        :mod:`sparnn.hdl.host.protocol`.
    requests, words, damaged: of a machine whose weights come from external memory; see
        :class:`~sparnn.hdl.sparse.refill.sections.SectionReader` and
        :class:`~sparnn.hdl.sparse.refill.dealer.WordDealer`.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "rx": In(stream.Signature(32)),
                "tx": Out(stream.Signature(32)),
            }
            | memory_members(config.stream_bits)
        )

    @property
    def config(self) -> SparseConfig:
        return self._config

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.host = host = HostPort(config)
        m.submodules.dispatcher = dispatcher = Dispatcher(config)
        m.submodules.broadcaster = broadcaster = Broadcaster(config)
        m.submodules.gather = gather = Gather(config)
        m.submodules.addends = addends = StoredAddends(config)
        m.submodules.results = results = ResultWriter(config)
        m.submodules.store = store = sequence_store(config)
        layer = dispatcher.descriptor

        wiring.connect(m, wiring.flipped(self.rx), host.rx)
        wiring.connect(m, wiring.flipped(self.tx), host.tx)
        wiring.connect(m, results.words, host.results)
        wiring.connect(m, gather.results, results.results)
        wiring.connect(m, dispatcher.vectors, broadcaster.stored)
        wiring.connect(m, addends.o, gather.addends)
        m.d.comb += [
            host.results_idle.eq(results.idle),
            host.busy.eq(dispatcher.busy | store.busy),
            host.overflow.eq(store.overflow),
            host.cycles.eq(dispatcher.cycles),
            dispatcher.run.eq(host.run),
            dispatcher.steps.eq(host.steps),
            dispatcher.reset.eq(host.reset),
            dispatcher.load_en.eq(host.write_en.program),
            dispatcher.load_addr.eq(host.addr),
            dispatcher.load_data.eq(host.entry),
            dispatcher.layer_done.eq(gather.done),
            broadcaster.start.eq(dispatcher.start),
            broadcaster.fresh.eq(gather.fresh),
            broadcaster.fresh_valid.eq(gather.fresh_valid),
            gather.start.eq(dispatcher.start),
            gather.steps.eq(dispatcher.layer_steps),
            gather.out_first.eq(dispatcher.out_first),
            gather.partner_hidden.eq(dispatcher.partner.hidden_base),
            addends.start.eq(gather.fetch),
            addends.first.eq(gather.fetch_first),
            addends.words.eq(layer.out_words),
            results.units.eq(layer.units),
        ]
        for name in GATHER_PROGRAM.members:
            m.d.comb += gather.program[name].eq(layer[name])
        if config.delta:
            m.d.comb += [
                dispatcher.run_anew.eq(host.anew),
                broadcaster.anew.eq(dispatcher.anew),
            ]
            for name in DIFFERENCES_PROGRAM.members:
                m.d.comb += broadcaster.differences[name].eq(layer[name])
        for name in BROADCAST_PROGRAM.members:
            m.d.comb += broadcaster.program[name].eq(layer[name])

        # The store: the host's while it loads or reads, the run's otherwise. Addends come first: an
        # output waits for them, and the lanes for it, while a vector is a step ahead.
        host_reads, host_read_before = Signal(), Signal()
        m.d.sync += host_read_before.eq(host.read_en)
        m.d.comb += [
            host_reads.eq(host.read_en & ~host_read_before),  # it asks for as long as it waits
            dispatcher.store_free.eq(~addends.read_en),
            addends.read_data.eq(store.read_data),
            store.start.eq(dispatcher.start),
            store.loop.eq(dispatcher.loop),
            gather.load_en.eq(host.write_en.store),
            gather.load_addr.eq(host.addr),
            gather.load_data.eq(host.entry),
            gather.load_begins.eq(host.begins),
            store.write_en.eq(gather.store_en),
            store.write_host.eq(gather.store_host),
            store.write_addr.eq(gather.store_addr),
            store.write_data.eq(gather.store_data),
            store.write_begins.eq(gather.store_begins),
            store.read_en.eq(dispatcher.store_en | host_reads | addends.read_en),
            store.read_context.eq(addends.read_en),
            store.read_addr.eq(
                Mux(
                    host_reads,
                    host.read_addr,
                    Mux(addends.read_en, addends.read_addr, dispatcher.store_addr),
                )
            ),
            dispatcher.store_data.eq(store.read_data),
            host.store_data.eq(store.read_data),
        ]
        for name in STORE_PROGRAM.members:
            m.d.comb += store.program[name].eq(layer[name])

        load = Signal(load_layout(config))
        m.d.comb += [load.index.eq(host.index), load.addr.eq(host.addr), load.data.eq(host.entry)]
        loaded = [kind.name.lower() for kind in (Target.MASK, Target.WEIGHT, Target.PARAMETER,
                  Target.STATE) if kind in config.memories()]  # fmt: skip
        for kind in loaded:
            m.d.comb += load[f"{kind}_en"].eq(host.write_en[kind])
        dealer = self._refill(m, host) if config.stream_bits else None
        state_data, counter_data = [], []
        for number in range(config.post_units):
            cluster = place(m, f"cluster{number}", cluster_signature(config), CLUSTER_MODULE)
            m.d.comb += [
                cluster.number.eq(number),
                cluster.first_lane.eq(number * config.cluster_lanes),
                cluster.start.eq(dispatcher.start),
                cluster.fresh.eq(dispatcher.fresh),
                cluster.tokens.eq(broadcaster.tokens),
                cluster.broadcast.eq(broadcaster.broadcast),
                cluster.broadcast_en.eq(broadcaster.broadcast_en),
                cluster.load.eq(load),
                cluster.state_read.en.eq(host.read_en),
                cluster.state_read.addr.eq(host.read_addr),
                dispatcher.x_taken[number].eq(cluster.x_taken),
            ]
            # Gather takes the outputs of all clusters at once, if all are there: from registers
            # beside it, so that no path goes from a cluster to another.
            _connect(m, config, f"output{number}", cluster.out, gather.outputs[number])
            for program in (
                cluster.lane_program,
                cluster.collector_program,
                cluster.post_program,
            ):
                for name in program.shape().members:
                    m.d.comb += program[name].eq(layer[name])
            if config.delta:
                m.d.comb += cluster.anew.eq(dispatcher.anew)
            if dealer is not None:
                m.d.comb += [
                    cluster.dealt.eq(dealer.dealt),
                    dealer.rooms.word_select(number, 2 * config.cluster_lanes).eq(cluster.rooms),
                ]
            state_data.append(cluster.state_read.data)
            if config.counters:
                m.d.comb += [
                    cluster.busy.eq(dispatcher.busy),
                    cluster.counters.addr.eq(host.read_addr),
                ]
                counter_data.append(cluster.counters.data)
        m.d.comb += host.state_data.eq(Array(state_data)[host.read_index])
        if config.counters:
            with m.If(host.read_counters):
                m.d.comb += host.state_data.eq(Array(counter_data)[host.read_index])
        return with_registered_reset(m)

    def _refill(self, m: Module, host: HostPort) -> WordDealer:
        """Weights from external memory."""
        m.submodules.sections = sections = SectionReader(self._config)
        m.submodules.dealer = dealer = WordDealer(self._config)
        wiring.connect(m, sections.requests, wiring.flipped(self.requests))
        wiring.connect(m, wiring.flipped(self.words), dealer.words)
        m.d.comb += [
            sections.load_en.eq(host.write_en.section),
            sections.load_addr.eq(host.addr),
            sections.load_data.eq(host.entry),
            sections.run.eq(host.run),
            sections.steps.eq(host.steps),
            dealer.clear.eq(host.write_en.section),
            self.damaged.eq(dealer.damaged),
        ]
        return dealer


def _connect(m: Module, config: SparseConfig, name: str, source: Any, sink: Any) -> None:
    """One stream to another, through registers where the machine is not compact."""
    if config.compact:
        wiring.connect(m, source, sink)
        return
    m.submodules[name] = buffer = StreamBuffer(source.payload.shape())
    wiring.connect(m, source, buffer.i)
    wiring.connect(m, buffer.o, sink)
