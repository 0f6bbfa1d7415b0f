"""The machine: everything between the two host streams."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from sparnn.hdl.common.instance import place
from sparnn.hdl.common.memory_port import memory_members
from sparnn.hdl.common.reset import with_registered_reset
from sparnn.hdl.common.stream_buffer import StreamBuffer
from sparnn.hdl.host.host_port import HostPort
from sparnn.hdl.host.protocol import Target
from sparnn.hdl.host.results import ResultWriter
from sparnn.hdl.refill.sections import SectionReader

from .array.addends import StoredAddends
from .array.broadcast import BROADCAST_PROGRAM, Broadcaster
from .array.cluster import cluster_signature
from .array.differences import DIFFERENCES_PROGRAM
from .array.gather import GATHER_PROGRAM, Gather
from .array.load import load_layout
from .config import SparseConfig
from .control.dispatcher import Dispatcher
from .refill.dealer import WordDealer
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
        :class:`~sparnn.hdl.refill.sections.SectionReader` and
        :class:`~sparnn.hdl.sparse.refill.dealer.WordDealer`.
    wrong: only of a machine with ``parity``: a word of weights, masks or states that was read does
        not match it; once for each cycle in which any was read, seven cycles later at most.
    """

    def __init__(self, config: SparseConfig) -> None:
        self._config = config
        super().__init__(
            {
                "rx": In(stream.Signature(32)),
                "tx": Out(stream.Signature(32)),
            }
            | memory_members(config.stream_bits)
            | ({"wrong": Out(1)} if config.parity else {})
        )

    @property
    def config(self) -> SparseConfig:
        return self._config

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = _Parts(m, self._config)
        wiring.connect(m, wiring.flipped(self.rx), parts.host.rx)
        wiring.connect(m, wiring.flipped(self.tx), parts.host.tx)
        self._wire(m, parts)
        self._store(m, parts)
        self._clusters(m, parts)
        return with_registered_reset(m)

    def _wire(self, m: Module, parts: "_Parts") -> None:
        """Connect host, dispatcher, broadcaster and gather."""
        config = self._config
        wiring.connect(m, parts.results.words, parts.host.results)
        wiring.connect(m, parts.gather.results, parts.results.results)
        wiring.connect(m, parts.dispatcher.vectors, parts.broadcaster.stored)
        wiring.connect(m, parts.addends.o, parts.gather.addends)
        m.d.comb += [
            parts.host.results_idle.eq(parts.results.idle),
            parts.host.busy.eq(parts.dispatcher.busy | parts.store.busy),
            parts.host.overflow.eq(parts.store.overflow),
            parts.host.cycles.eq(parts.dispatcher.cycles),
            parts.dispatcher.run.eq(parts.host.run),
            parts.dispatcher.steps.eq(parts.host.steps),
            parts.dispatcher.reset.eq(parts.host.reset),
            parts.dispatcher.load_en.eq(parts.host.write_en.program),
            parts.dispatcher.load_addr.eq(parts.host.addr),
            parts.dispatcher.load_data.eq(parts.host.entry),
            parts.dispatcher.layer_done.eq(parts.gather.done),
            parts.broadcaster.start.eq(parts.dispatcher.start),
            parts.broadcaster.fresh.eq(parts.gather.fresh),
            parts.broadcaster.fresh_valid.eq(parts.gather.fresh_valid),
            parts.gather.start.eq(parts.dispatcher.start),
            parts.gather.steps.eq(parts.dispatcher.layer_steps),
            parts.gather.out_first.eq(parts.dispatcher.out_first),
            parts.gather.partner_hidden.eq(parts.dispatcher.partner.hidden_base),
            parts.addends.start.eq(parts.gather.fetch),
            parts.addends.first.eq(parts.gather.fetch_first),
            parts.addends.words.eq(parts.layer.out_words),
            parts.results.units.eq(parts.layer.units),
        ]
        for name in GATHER_PROGRAM.members:
            m.d.comb += parts.gather.program[name].eq(parts.layer[name])
        if config.delta:
            m.d.comb += [
                parts.dispatcher.run_anew.eq(parts.host.anew),
                parts.broadcaster.anew.eq(parts.dispatcher.anew),
                parts.broadcaster.references.load_en.eq(parts.host.write_en.reference),
                parts.broadcaster.references.load_addr.eq(parts.host.addr),
                parts.broadcaster.references.load_data.eq(parts.host.entry),
                parts.broadcaster.references.read_en.eq(
                    parts.host.read_en & parts.host.read_references
                ),
                parts.broadcaster.references.read_addr.eq(parts.host.read_addr),
            ]
            for name in DIFFERENCES_PROGRAM.members:
                m.d.comb += parts.broadcaster.differences[name].eq(parts.layer[name])
        for name in BROADCAST_PROGRAM.members:
            m.d.comb += parts.broadcaster.program[name].eq(parts.layer[name])

    def _store(self, m: Module, parts: "_Parts") -> None:
        """Share the store: the host's while it loads or reads, the run's otherwise.

        Addends come first: an output waits for them, and the lanes for it, while a vector is a step
        ahead.
        """
        host_reads, host_read_before = Signal(), Signal()
        m.d.sync += host_read_before.eq(parts.host.read_en)
        m.d.comb += [
            host_reads.eq(
                parts.host.read_en & ~host_read_before
            ),  # it asks for as long as it waits
            parts.dispatcher.store_free.eq(~parts.addends.read_en),
            parts.addends.read_data.eq(parts.store.read_data),
            parts.store.start.eq(parts.dispatcher.start),
            parts.store.loop.eq(parts.dispatcher.loop),
            parts.gather.load_en.eq(parts.host.write_en.store),
            parts.gather.load_addr.eq(parts.host.addr),
            parts.gather.load_data.eq(parts.host.entry),
            parts.gather.load_begins.eq(parts.host.begins),
            parts.store.write_en.eq(parts.gather.store_en),
            parts.store.write_host.eq(parts.gather.store_host),
            parts.store.write_addr.eq(parts.gather.store_addr),
            parts.store.write_data.eq(parts.gather.store_data),
            parts.store.write_begins.eq(parts.gather.store_begins),
            parts.store.read_en.eq(parts.dispatcher.store_en | host_reads | parts.addends.read_en),
            parts.store.read_context.eq(parts.addends.read_en),
            parts.store.read_addr.eq(
                Mux(
                    host_reads,
                    parts.host.read_addr,
                    Mux(
                        parts.addends.read_en, parts.addends.read_addr, parts.dispatcher.store_addr
                    ),
                )
            ),
            parts.dispatcher.store_data.eq(parts.store.read_data),
            parts.host.store_data.eq(parts.store.read_data),
        ]
        if self._config.delta:
            with m.If(parts.host.read_references):
                m.d.comb += parts.host.store_data.eq(parts.broadcaster.references.read_data)
        for name in STORE_PROGRAM.members:
            m.d.comb += parts.store.program[name].eq(parts.layer[name])

    def _clusters(self, m: Module, parts: "_Parts") -> None:
        """Place the clusters and read their states."""
        config = self._config
        load = Signal(load_layout(config))
        m.d.comb += [
            load.index.eq(parts.host.index),
            load.addr.eq(parts.host.addr),
            load.data.eq(parts.host.entry),
        ]
        loaded = [kind.name.lower() for kind in (Target.MASK, Target.WEIGHT, Target.PARAMETER,
                  Target.STATE, Target.TOTAL) if kind in config.memories()]  # fmt: skip
        for kind in loaded:
            m.d.comb += load[f"{kind}_en"].eq(parts.host.write_en[kind])
        dealer = self._refill(m, parts.host) if config.stream_bits else None
        state_data, counter_data, wrong = [], [], []
        for number in range(config.post_units):
            cluster = place(m, f"cluster{number}", cluster_signature(config), CLUSTER_MODULE)
            m.d.comb += [
                cluster.number.eq(number),
                cluster.first_lane.eq(number * config.cluster_lanes),
                cluster.start.eq(parts.dispatcher.start),
                cluster.fresh.eq(parts.dispatcher.fresh),
                cluster.tokens.eq(parts.broadcaster.tokens),
                cluster.broadcast.eq(parts.broadcaster.broadcast),
                cluster.broadcast_en.eq(parts.broadcaster.broadcast_en),
                cluster.load.eq(load),
                cluster.state_read.en.eq(parts.host.read_en),
                cluster.state_read.addr.eq(parts.host.read_addr),
                parts.dispatcher.x_taken[number].eq(cluster.x_taken),
            ]
            # Gather takes the outputs of all clusters at once, if all are there: from registers
            # beside it, so that no path goes from a cluster to another.
            _connect(m, config, f"output{number}", cluster.out, parts.gather.outputs[number])
            for program in (
                cluster.lane_program,
                cluster.collector_program,
                cluster.post_program,
                *([cluster.peephole_program] if config.peepholes else []),
            ):
                for name in program.shape().members:
                    m.d.comb += program[name].eq(parts.layer[name])
            if config.delta:
                m.d.comb += [
                    cluster.anew.eq(parts.dispatcher.anew),
                    cluster.state_read.total.eq(parts.host.read_totals),
                ]
            if dealer is not None:
                m.d.comb += [
                    cluster.dealt.eq(dealer.dealt),
                    dealer.rooms.word_select(number, 2 * config.cluster_lanes).eq(cluster.rooms),
                ]
            if config.parity:
                wrong.append(cluster.wrong)
            state_data.append(cluster.state_read.data)
            if config.counters:
                m.d.comb += [
                    cluster.busy.eq(parts.dispatcher.busy),
                    cluster.counters.addr.eq(parts.host.read_addr),
                ]
                counter_data.append(cluster.counters.data)
        if wrong:
            m.d.sync += self.wrong.eq(Cat(wrong).any())
        m.d.comb += parts.host.state_data.eq(Array(state_data)[parts.host.read_index])
        if config.counters:
            with m.If(parts.host.read_counters):
                m.d.comb += parts.host.state_data.eq(Array(counter_data)[parts.host.read_index])

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


class _Parts:
    """What stands once in the machine. ``layer``: the descriptor of the loop that runs."""

    def __init__(self, m: Module, config: SparseConfig) -> None:
        m.submodules.host = self.host = HostPort(config)
        m.submodules.dispatcher = self.dispatcher = Dispatcher(config)
        m.submodules.broadcaster = self.broadcaster = Broadcaster(config)
        m.submodules.gather = self.gather = Gather(config)
        m.submodules.addends = self.addends = StoredAddends(config)
        m.submodules.results = self.results = ResultWriter(config)
        m.submodules.store = self.store = sequence_store(config)
        self.layer = self.dispatcher.descriptor


def _connect(m: Module, config: SparseConfig, name: str, source: Any, sink: Any) -> None:
    """One stream to another, through registers where the machine is not compact."""
    if config.compact:
        wiring.connect(m, source, sink)
        return
    m.submodules[name] = buffer = StreamBuffer(source.payload.shape())
    wiring.connect(m, source, buffer.i)
    wiring.connect(m, buffer.o, sink)
