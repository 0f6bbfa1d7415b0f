"""MASR's layer on the RTL: cycles, utilization, and where the other slots go (docs/measures.md)."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.machines.presets import PRESETS, load_config, structure, with_whole_blocks
from sparnn.gen.machines.sparse.balance import Balance, HalfWork
from sparnn.gen.machines.sparse.layout import NetworkLayout, lay_out
from sparnn.gen.machines.sparse.packed_store import store_bits, store_memories
from sparnn.gen.machines.sparse.place import place, with_outputs
from sparnn.gen.machines.sparse.program import SparsePlacement
from sparnn.gen.machines.sparse.stage import at_once
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.quantize.activity import BoolArray, measure_activity
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize as quantize_network
from sparnn.hdl.host.protocol import Counter
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.trace import NetworkTrace
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.arrays import quantize
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import DriverRun, run_sequences
from sparnn.sim.verilator.kept_runs import kept_run
from sparnn.sim.verilator.verilate import build_driver

from .workload import Workload, masr_workload

__all__ = [
    "MASR_BITS",
    "LayerRun",
    "MasrOptions",
    "MasrPoint",
    "PlacedLayer",
    "every_output",
    "masr_config",
    "masr_layout",
    "masr_point",
    "masr_points",
    "measure_layer",
    "place_layer",
    "run_layer",
]


#: Bits of weights and activations in MASR's machine.
MASR_BITS = PRESETS["masr"]["weight_bits"]
#: Sub-masks of a chunk whose size is given.
_SUB_MASKS = 8
#: From so many lanes on work is shared: measured in docs/notes/sparse-array.md, "1,024 lanes".
_SHARING_LANES = 256
#: Of a packed store; fewer where the layer's vectors are shorter.
_VECTOR_WORDS = 64


@dataclass(frozen=True, kw_only=True)
class MasrOptions:
    """What of the machine and the compiler is on, so that the gain of each can be measured.

    v, balance, rotate, interleave: see :func:`~sparnn.gen.machines.sparse.layout.lay_out`.
        unfolded: see
    :func:`~sparnn.gen.machines.sparse.program.build_program`. chunk: of the machine, in at most
    eight sub-masks.
    queue: partial sums that a lane may hold. split_scales: as the preset ``masr`` has them where
        nothing is said, but for lanes that have none.
    width, masks: of the lanes. bank_bytes, sliced_copy: of their memories.
    packed_store: masks and non-zero values in the store.
    sharing: lanes that have no work take a neighbour's; where nothing is said, on machines of so
        many lanes that it gains a point. post_units: of the machine; what follows from its lanes
        where nothing is said.
    """

    v: int | None = None
    balance: bool = True
    rotate: bool = True
    interleave: bool = True
    unfolded: bool = True
    chunk: int | None = None
    queue: int | None = None
    split_scales: bool | None = None
    packed_store: bool = False
    sharing: bool | None = None
    post_units: int | None = None
    width: int = 1
    masks: bool = True
    bank_bytes: int = 0
    sliced_copy: bool = False

    @property
    def has_split_scales(self) -> bool:
        """Of the machine and of the network."""
        if self.split_scales is not None:
            return self.split_scales
        return self.width == 1 and self.masks

    def shares(self, lanes: int) -> bool:
        """Whether lanes take a neighbour's work, on a machine of so many."""
        if self.sharing is not None:
            return self.sharing
        several = structure(lanes, post_units=self.post_units)["max_v"] > 1
        return lanes >= _SHARING_LANES and several and self.width == 1 and self.masks


@dataclass(frozen=True)
class MasrPoint:
    """MASR's layer on one machine.

    cycles: from the run's start to its last output; outputs stay in the store or, of one direction,
        the host is sent the last step only.
    utilization: useful MACs of all MAC slots. balance_limit: what it would be if every lane only
        waited at the end, for the one with the most pairs.
    lost: what became of the other slots, counted in the hardware: *stall*, no room for a partial
        sum; *empty*, no pair found in time; *idle*, a lane waited while others of its cluster
        worked; *tail*, the whole cluster waited; *zero*, where lanes are wide or without masks, a
        weight that is zero was multiplied.
    speedup_over_dense: against one dense pass, every weight once, one per lane and cycle.
    densities: shares that are not zero, as they came out.
    sharing, packed_store: of the machine.
    store_bits: per activation of the input and of the stored output, what the run's sequences take
        in either form of the store; see :func:`store_bits`.
    store_memory_bits: of the machine's store as it is built.
    """

    lanes: int
    width: int
    masks: int
    macs: int
    directions: int
    post_units: int
    v: int
    chunk: int
    queue: int
    seed: int
    steps: int
    bit_exact: bool
    cycles: int
    cycles_per_step: float
    mac_units: int
    useful_macs: int
    utilization: float
    lost: Mapping[str, float]
    balance_limit: float
    speedup_over_dense: float
    weight_density: float
    hidden_density: float
    input_density: float
    sharing: int
    packed_store: int
    store_bits: Mapping[str, float]
    store_memory_bits: int
    load_cycles: int
    simulated_cycles_per_second: float


def masr_config(
    lanes: int, directions: int, options: MasrOptions, **given: int | None
) -> SparseConfig:
    """MASR's machine, with as many threads as directions that take turns.

    Parameters
    ----------
    given: others of its parameters.
    """
    chunk = options.chunk
    return load_config(
        "masr",
        lanes,
        threads=directions if options.interleave else 1,
        chunk=chunk,
        sub_chunk=None if chunk is None else max(8, chunk // _SUB_MASKS),
        vector_words=_VECTOR_WORDS,
        queue_depth=options.queue,
        width=options.width,
        masks=int(options.masks),
        packed_store=int(options.packed_store),
        split_scales=int(options.has_split_scales),
        sharing=int(options.shares(lanes)),
        post_units=options.post_units,
        bank_bytes=options.bank_bytes,
        sliced_copy=int(options.sliced_copy),
        **given,
    )


def masr_layout(
    network: IntegerNetwork,
    config: SparseConfig,
    options: MasrOptions,
    activity: Sequence[BoolArray],
) -> NetworkLayout:
    """Where rows and columns go, by the options."""
    return lay_out(
        network,
        config,
        v=None if options.v is None else [options.v] * len(network.layers),
        balance=options.balance,
        rotate=options.rotate,
        interleave=options.interleave,
        activity=activity,
        limit_columns=False,
    )


def masr_points(
    lanes: list[int],
    options: MasrOptions | None = None,
    **workload: Any,
) -> Iterator[MasrPoint]:
    """The same layer and sequence on machines of several sizes, each when it is asked for.

    Parameters
    ----------
    workload: see :func:`~sparnn.gen.bench.workload.masr_workload`.
    """
    drawn = masr_workload(**workload)
    for size in lanes:
        yield masr_point(drawn, size, options, seed=workload.get("seed", 0))


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """MASR's layer in the memories of a machine, and what it is to do.

    placed: for the machine as small as it may be. x: the quantized sequence, [step, input]. trace:
        of the golden model. activity: of the sample by which lanes were evened.
    """

    layout: NetworkLayout
    placed: SparsePlacement
    x: IntArray
    trace: NetworkTrace
    activity: Sequence[BoolArray]


def place_layer(workload: Workload, lanes: int, options: MasrOptions) -> PlacedLayer:
    """Quantize a workload and place it on a machine of so many lanes that counts its slots."""
    config = masr_config(lanes, len(workload.network.layers), options, counters=1)
    if options.post_units is None:
        sizes = (layer.w_x.shape[:2] for layer in workload.network.layers)
        config = with_whole_blocks(config, sizes)
    sample = InputSequence(workload.sample, {})
    network = quantize_network(
        workload.network,
        calibrate(workload.network, [sample]),
        config.weight_bits,
        config.activation_bits,
        split_scales=options.has_split_scales,
    ).network
    x, _ = quantize(workload.x, network.layers[0].f_x, config.activation_bits)
    activity = measure_activity(network, [sample])
    layout = masr_layout(network, config, options, activity)
    placed = place(
        network,
        config,
        [every_output(network)],
        fit=True,
        steps=len(x),
        layout=layout,
        activity=activity,
    )
    placed = replace(placed, unfolded=options.unfolded)
    return PlacedLayer(layout, placed, x, run_network(network, x), activity)


def masr_point(
    workload: Workload, lanes: int, options: MasrOptions | None = None, *, seed: int = 0
) -> MasrPoint:
    """Run a workload on one machine, all steps in one RUN, and compare with the golden model."""
    return measure_layer(place_layer(workload, lanes, options or MasrOptions()), seed=seed)


def measure_layer(layer: PlacedLayer, *, seed: int = 0) -> MasrPoint:
    """Run a placed layer, all steps in one RUN, and compare with the golden model."""
    layout, placed, x, trace = layer.layout, layer.placed, layer.x, layer.trace
    network, config, lanes = placed.network, placed.config, placed.config.lanes
    run = run_layer(placed, x, trace, activity=layer.activity)
    cycles, slots = run.cycles, run.slots
    assert sum(slots.values()) == lanes * cycles
    zeros = config.width * slots[Counter.PAIR] - trace.useful_macs
    assert zeros == 0 or (zeros > 0 and not config.by_word)
    lost = {
        one.name.lower(): slots[one] / (lanes * cycles) for one in Counter if one != Counter.PAIR
    }
    if not config.by_word:
        lost["zero"] = zeros / (config.mac_units * cycles)
    weights = [w for layer in network.layers for w in (layer.w_x, layer.w_h) if w is not None]
    dense = sum(w.size for w in weights)
    return MasrPoint(
        lanes=lanes,
        width=config.width,
        masks=config.masks,
        macs=config.mac_units,
        directions=len(network.layers),
        post_units=config.post_units,
        v=1 << layout.layers[0].v_log2,
        chunk=config.chunk,
        queue=config.queue_depth,
        seed=seed,
        steps=len(x),
        bit_exact=run.bit_exact,
        cycles=cycles,
        cycles_per_step=cycles / len(x),
        mac_units=config.mac_units,
        useful_macs=trace.useful_macs,
        utilization=trace.useful_macs / (config.mac_units * cycles),
        lost=lost,
        balance_limit=_balance_limit(network, layout, config, x, trace),
        speedup_over_dense=dense * len(x) / config.mac_units / cycles,
        weight_density=sum(np.count_nonzero(w) for w in weights) / dense,
        hidden_density=float(np.mean([np.mean(one.outputs != 0) for one in trace.layers])),
        input_density=float(np.mean(x != 0)),
        sharing=config.sharing,
        packed_store=config.packed_store,
        store_bits=store_bits(
            config,
            x[:, layout.inputs],
            [
                one.outputs[:, place.neurons]
                for one, place in zip(trace.layers, layout.layers, strict=True)
            ],
            trace.layers[-1].sequence[:, layout.layers[0].neurons],
            layout.loops,
        ),
        store_memory_bits=sum(words * bits for words, bits in store_memories(config)),
        load_cycles=run.driver.load_cycles,
        simulated_cycles_per_second=run.driver.cycles / max(run.driver.seconds, 1e-6),
    )


@dataclass(frozen=True, eq=False)
class LayerRun:
    """cycles: from RUN to the last output. slots: by kind, if the machine has counters."""

    bit_exact: bool
    cycles: int
    slots: Mapping[Counter, int]
    driver: DriverRun


def every_output(network: IntegerNetwork) -> Mapping[str, Any]:
    """The request for all steps of the last layer."""
    return {"layer": len(network.layers) - 1, "what": "sequence"}


def run_layer(
    placed: SparsePlacement,
    x: IntArray,
    trace: NetworkTrace,
    *,
    activity: Sequence[BoolArray],
    verilog: Callable[[SparseConfig], str] = kept_verilog,
) -> LayerRun:
    """Run one or two directions of a layer over all steps and compare them with the golden model.

    Outputs of two directions stay in the store, and the host reads them after the run. Those of one
    are all sent while it runs, to compare them, and in a second run, which is timed, the last
    alone, as in a network whose activations stay in the machine: the host takes one value per
    cycle.

    Parameters
    ----------
    verilog: of a machine; gen/energy has others that count.
    """
    network, config = placed.network, placed.config
    requests = [every_output(network)]
    if len(network.layers) == 1:
        requests.append({"layer": 0, "what": "last"})
    different = 0
    with tempfile.TemporaryDirectory(prefix="sparnn-bench-") as name:
        folder = Path(name)
        (folder / "sparnn.v").write_text(verilog(config))
        build_driver(folder / "sparnn.v")
        for request in requests:
            asked = with_outputs(placed, [request], activity)
            program = asked.program
            (folder / "image.bin").write_bytes(asked.image.astype("<u4").tobytes())
            results, driver = run_sequences(folder, program, [(x, {})], run=kept_run)
            different += mismatches(program, results, [trace])[0]
    return LayerRun(different == 0, results[0].cycles, results[0].slots, driver)


def _balance_limit(
    network: IntegerNetwork,
    layout: NetworkLayout,
    config: SparseConfig,
    x: IntArray,
    trace: NetworkTrace,
) -> float:
    """A lane's mean pairs over those of the lane with the most, in the run that was made."""
    halves = []
    orders: list[IntArray] = []
    lanes: list[tuple[int, int]] = []
    for number, loop in enumerate(layout.loops):
        for index in loop:
            layer, place = network.layers[index], layout.layers[index]
            outputs = trace.layers[index].outputs
            # In the order in which they are computed; the state before the first step is zero.
            ordered = outputs[::-1] if layer.reverse else outputs
            before = np.vstack([np.zeros_like(ordered[:1]), ordered[:-1]])
            first = len(orders)
            orders += [place.columns, place.neurons]
            pairs: Sequence[tuple[npt.NDArray[np.int32] | None, IntArray]] = (
                (layer.w_x, x),
                (layer.w_h, before),
            )
            for half, (weights, values) in enumerate(pairs):
                if weights is not None:
                    columns = first + half
                    words, group = at_once(config, layer, place, half, weights)
                    orders.append(np.arange(len(words)))
                    halves.append(
                        HalfWork(
                            words * (values != 0).mean(axis=0),
                            len(orders) - 1,
                            columns,
                            group,
                            place.slices(config, half),
                            number,
                        )
                    )
        v_log2 = layout.layers[loop[0]].v_log2
        lanes.append((config.lanes >> v_log2, 1 << v_log2))
    loads = Balance(halves, lanes, orders).loads
    return float(sum(load.mean() for load in loads) / sum(load.max() for load in loads))
