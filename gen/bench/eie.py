"""`sparnn bench eie`: sparnn, EIE and ESE on the same integers in one go (docs/baselines.md)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.sparse.program import SparsePlacement, memory_needs
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize as quantize_network
from sparnn.gen.synth.areas import MACRO_UM2_PER_BIT, Macro, synthesize
from sparnn.gen.synth.liberty import find_liberty
from sparnn.hdl.baseline.array import baseline_verilog
from sparnn.hdl.baseline.config import BaselineConfig
from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import IntArray
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.trace import NetworkTrace
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.arrays import quantize
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork

from .baseline import BaselineRun, baseline_config, run_baseline
from .csc import encode_csc
from .masr import (
    MASR_BITS,
    LayerRun,
    MasrOptions,
    every_output,
    masr_config,
    masr_layout,
    run_layer,
)
from .workload import Workload

__all__ = [
    "EIE_OPTIONS",
    "Comparison",
    "DesignPoint",
    "FifoPoint",
    "baseline_runs",
    "compare",
    "exact",
    "fifo_points",
    "our_run",
    "prepare",
]


#: What a memory holds, by its name: sparnn's and the baselines' memories. The rest (parameters,
#: programs, states, partial sums) is "other".
_CATEGORIES = (
    ("matrix", re.compile(r"matrix")),
    ("pointers", re.compile(r"pointer")),
    ("activations", re.compile(r"activation(?!\.table)|store|broadcast|copy")),
    ("masks_or_indices", re.compile(r"mask")),
    ("weights", re.compile(r"weight")),
)


@dataclass(frozen=True)
class DesignPoint:
    """One design of one size.

    Members
    -------
    cycles: from the run's start to its last output; loading excluded.
    utilization: useful MACs of the golden model / (lanes × cycles).
    stored_multiplications, padding: entries of CSC, and those of them that only continue a run.
    memory_bits: of all memories that become macros.
    lut, ff, dsp, bram: ECP5.
    logic_area: standard cells, µm².
    area: with the macros.
    speedup_over_eie, area_over_eie: on ours and on ESE; None on EIE itself.
    """

    design: str
    lanes: int
    seed: int
    steps: int
    stored_steps: int
    bit_exact: bool
    cycles: int
    useful_macs: int
    utilization: float
    memory_bits: Mapping[str, int]
    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram: int | None = None
    logic_area: float | None = None
    memory_area: float | None = None
    area: float | None = None
    v: int | None = None
    stored_multiplications: int | None = None
    padding: int | None = None
    speedup_over_eie: float | None = None
    area_over_eie: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Without what does not apply to this design."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, eq=False)
class Comparison:
    """The integers that every design runs. x: [steps, inputs].

    stored_steps: what the memories for activations are sized for.
    """

    network: IntegerNetwork
    x: IntArray
    sample: InputSequence
    trace: NetworkTrace
    seed: int
    stored_steps: int

    def alone(self) -> Iterator[tuple[IntegerLayer, IntArray, IntArray]]:
        """Each direction by itself: the layer, its input and its outputs, in its own order."""
        for layer in self.network.layers:
            x = self.x[::-1] if layer.reverse else self.x
            layer = replace(layer, reverse=False, join="", sum_shift=0)
            outputs = run_network(replace(self.network, layers=(layer,)), x).layers[0].outputs
            yield layer, x, outputs


def prepare(workload: Workload, seed: int, stored_steps: int = 0) -> Comparison:
    """Quantize a workload to MASR's widths and run the golden model.

    Parameters
    ----------
    stored_steps: steps that the memories hold, if that is more than the workload has.
    """
    sample = InputSequence(workload.sample, {})
    network = quantize_network(
        workload.network, calibrate(workload.network, [sample]), MASR_BITS, MASR_BITS
    ).network
    x, _ = quantize(workload.x, network.layers[0].f_x, MASR_BITS)
    trace = run_network(network, x)
    return Comparison(network, x, sample, trace, seed, max(stored_steps, len(x)))


#: Ours beside the others: the store as compact as theirs would be, one scale for each row.
EIE_OPTIONS = MasrOptions(packed_store=True, split_scales=False, sharing=False)


def compare(
    comparison: Comparison,
    lanes: Sequence[int],
    options: MasrOptions = EIE_OPTIONS,
    *,
    areas: bool = True,
) -> Iterator[DesignPoint]:
    """EIE, ours and ESE, in this order, for each number of lanes.

    Parameters
    ----------
    options: of ours.
    areas: synthesize as well.

    Raises
    ------
    SparnnError: a tool or the standard cells are missing.
    """
    liberty = find_liberty() if areas else None
    for count in lanes:
        eie: DesignPoint | None = None
        for design in ("eie", "sparnn", "ese"):
            point, verilog = (
                _ours(comparison, count, options)
                if design == "sparnn"
                else _baseline(comparison, count, design)
            )
            if liberty is not None:
                point = _with_area(point, verilog, liberty)
            if eie is None:
                eie = point
            else:
                point = replace(
                    point,
                    speedup_over_eie=eie.cycles / point.cycles,
                    area_over_eie=None
                    if point.area is None or eie.area is None
                    else point.area / eie.area,
                )
            yield point


def baseline_runs(
    comparison: Comparison,
    lanes: int,
    design: str,
    verilog: Callable[[BaselineConfig], str] = baseline_verilog,
) -> list[BaselineRun]:
    """Each direction on one array that holds the matrices of all.

    Parameters
    ----------
    verilog: of an array; gen/energy has others that count.

    Raises
    ------
    SimulationError: the array does not answer as it should.
    """
    directions = list(comparison.alone())
    configs = [
        baseline_config(
            layer,
            comparison.stored_steps,
            lanes,
            design=design,
            weight_bits=MASR_BITS,
            activation_bits=MASR_BITS,
        )
        for layer, _, _ in directions
    ]
    # Outputs are added where they lie.
    matrix_words = sum(one.matrix_words for one in configs)
    columns = sum(one.columns for one in configs)
    config = replace(configs[0], matrix_words=matrix_words, columns=columns)
    return [run_baseline(config, layer, x, verilog) for layer, x, _ in directions]


def exact(comparison: Comparison, runs: Sequence[BaselineRun]) -> bool:
    """Whether runs of all directions gave what the golden model gives."""
    return all(
        np.array_equal(run.outputs, outputs)
        for run, (_, _, outputs) in zip(runs, comparison.alone(), strict=True)
    )


def _baseline(comparison: Comparison, lanes: int, design: str) -> tuple[DesignPoint, str]:
    runs = baseline_runs(comparison, lanes, design)
    cycles = sum(run.cycles for run in runs)
    point = _point(comparison, design, lanes, cycles, exact(comparison, runs))
    return replace(
        point,
        stored_multiplications=sum(run.entries for run in runs),
        padding=sum(run.padding for run in runs),
    ), runs[0].verilog


def our_run(
    comparison: Comparison,
    lanes: int,
    options: MasrOptions,
    verilog: Callable[[SparseConfig], str] = kept_verilog,
) -> tuple[SparsePlacement, LayerRun]:
    """Ours, with memories of exactly the size needed.

    Parameters
    ----------
    verilog: of a machine; gen/energy has others that count.
    """
    network, trace = comparison.network, comparison.trace
    config = masr_config(lanes, len(network.layers), options)
    activity = measure_activity(network, [comparison.sample])
    layout = masr_layout(network, config, options, activity)
    placed = place(
        network,
        config,
        [every_output(network)],
        fit=True,
        layout=layout,
        activity=activity,
    )
    config = _exact(comparison, placed)
    placed = place(network, config, [every_output(network)], layout=layout, activity=activity)
    return placed, run_layer(placed, comparison.x, trace, activity=activity, verilog=verilog)


def _ours(comparison: Comparison, lanes: int, options: MasrOptions) -> tuple[DesignPoint, str]:
    placed, run = our_run(comparison, lanes, options)
    point = _point(comparison, "sparnn", lanes, run.cycles, run.bit_exact)
    return replace(point, v=1 << placed.layout.layers[0].v_log2), kept_verilog(placed.config)


def _exact(comparison: Comparison, placed: SparsePlacement) -> SparseConfig:
    """The machine with memories of the size needed, as the baselines have."""
    fitted = placed.config
    few_rows = replace(placed, config=replace(fitted, dense_rows=2))
    needs = memory_needs(few_rows, comparison.stored_steps)
    columns = fitted.chunk * ceil_div(needs.pop("columns"), fitted.chunk)
    least = {name: max(2, need) for name, need in needs.items()}
    # A packed store has a power of two of masks.
    least["store_depth"] = 1 << clog2(least["store_depth"])
    return replace(fitted, columns=columns, **least)


def _point(
    comparison: Comparison, design: str, lanes: int, cycles: int, exact: bool
) -> DesignPoint:
    useful = comparison.trace.useful_macs
    return DesignPoint(
        design=design,
        lanes=lanes,
        seed=comparison.seed,
        steps=len(comparison.x),
        stored_steps=comparison.stored_steps,
        bit_exact=bool(exact),
        cycles=cycles,
        useful_macs=useful,
        utilization=useful / (lanes * cycles),
        memory_bits={},
    )


def _with_area(point: DesignPoint, verilog: str, liberty: Path) -> DesignPoint:
    area = synthesize(verilog, liberty)
    bits = memory_bits(area.macros)
    memory_area = bits["total"] * MACRO_UM2_PER_BIT
    return replace(
        point,
        memory_bits=bits,
        lut=area.lut,
        ff=area.ff,
        dsp=area.dsp,
        bram=area.bram,
        logic_area=area.logic_area,
        memory_area=memory_area,
        area=area.logic_area + memory_area,
    )


def memory_bits(macros: Sequence[Macro], index_bits: int = 4) -> dict[str, int]:
    """Bits by what they hold; ``total`` of all.

    CSC keeps a weight and its index in one word: they are counted apart.
    """
    names = ("weights", "masks_or_indices", "pointers", "activations", "other")
    bits = dict.fromkeys(names, 0)
    for macro in macros:
        name = next((name for name, held in _CATEGORIES if held.search(macro.name)), "other")
        if name == "matrix":
            indices = macro.bits * index_bits // (MASR_BITS + index_bits)
            bits["masks_or_indices"] += indices
            bits["weights"] += macro.bits - indices
        else:
            bits[name] += macro.bits
    return {**bits, "total": sum(bits.values())}


@dataclass(frozen=True)
class FifoPoint:
    """EIE on a fully connected layer with one depth of queue.

    balance_efficiency: entries walked per element and cycle. EIE's figure 8 leaves the write-back
        out; here it counts.
    """

    queue_depth: int
    lanes: int
    seed: int
    bit_exact: bool
    cycles: int
    walked: int
    balance_efficiency: float


def fifo_points(
    depths: Sequence[int],
    *,
    lanes: int,
    hidden: int,
    inputs: int,
    weight_density: float,
    input_density: float,
    seed: int,
) -> Iterator[FifoPoint]:
    """One vector of ``inputs`` through a fully connected ReLU layer of ``hidden`` units.

    AlexNet's layer 7, on which EIE was measured, has 4,096 of both, 9 % of the weights and 35.3 %
    of the activations; here both are drawn independently.
    """
    rng = np.random.default_rng(seed)
    shape = (1, hidden, inputs)
    weights = rng.integers(1, 512, shape) * rng.choice([-1, 1], shape)
    w_x = np.where(rng.random(shape) < weight_density, weights, 0).astype(np.int32)
    x = np.where(rng.random((1, inputs)) < input_density, rng.integers(1, 512, (1, inputs)), 0)
    rows = (1, hidden)
    layer = IntegerLayer(
        name="fc",
        kind="linear",
        activation="relu",
        w_x=w_x,
        w_h=None,
        mult_x=np.full(rows, 20000, np.int32),
        shift_x=np.full(rows, 27, np.int32),
        bias_x=np.zeros(rows, np.int32),
        mult_h=None,
        shift_h=None,
        bias_h=None,
        f_x=0,
        f_pre=4,
        f_state=0,
        f_out=0,
        out_bits=MASR_BITS,
    )
    # A final linear layer would be 16 bits wide: the golden model runs a recurrence of zeros.
    zeros = np.zeros(rows, np.int32)
    forgetful = replace(
        layer,
        kind="rnn",
        w_h=np.zeros((1, hidden, hidden), np.int32),
        mult_h=zeros,
        shift_h=zeros,
        bias_h=zeros,
    )
    network = IntegerNetwork((forgetful,), MASR_BITS, MASR_BITS)
    expected = run_network(network, x).layers[0].outputs
    columns = encode_csc([w_x[0].astype(np.int64)], lanes, 4).pointers
    walked = int(np.diff(columns)[:, x[0] != 0].sum())
    for depth in depths:
        config = baseline_config(
            layer,
            1,
            lanes,
            design="eie",
            weight_bits=MASR_BITS,
            activation_bits=MASR_BITS,
            queue_depth=depth,
            pipelined_broadcast=False,
        )
        run = run_baseline(config, layer, x)
        yield FifoPoint(
            queue_depth=depth,
            lanes=lanes,
            seed=seed,
            bit_exact=bool(np.array_equal(run.outputs, expected)),
            cycles=run.cycles,
            walked=walked,
            balance_efficiency=walked / (lanes * run.cycles),
        )
