"""`make bench`: measured figures, each from the RTL in Verilator.

What is measured, and how, is in docs/measures.md.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from sparnn.hdl.emit import machine_verilog
from sparnn.hdl.protocol import Counter
from sparnn.sim.arrays import Sequence, quantize
from sparnn.sim.golden import run_network
from sparnn.sim.hardware import run_sequences
from sparnn.sim.machine_program import MachineProgram
from sparnn.sim.network import IntegerLayer
from sparnn.sim.runner import mismatches
from sparnn.sim.verilate import build_driver

from .activity import measure_activity
from .calibrate import calibrate
from .errors import SparnnError
from .layout import lay_out
from .pack import pack_network
from .presets import load_config
from .program import build_program, fit_config, image_words
from .quantize import quantize as quantize_network
from .workload import Workload, masr_workload

__all__ = ["MasrPoint", "SimulatorPoint", "main", "masr_point", "masr_points", "simulator_point"]

IntArray = npt.NDArray[np.int64]

#: Bits of weights and activations in MASR's machine.
MASR_BITS = 10
#: Steps on which the formats of the workload are calibrated.
_CALIBRATION_STEPS = 64


@dataclass(frozen=True)
class MasrPoint:
    """MASR's layer on one machine.

    cycles: from the run's start to its last output; the host is sent the last step only.
    utilization: useful MACs of all MAC slots. balance_limit: what it would be if lanes lost nothing
        but waiting, once a step, for the one with the most pairs.
    lost: what became of the other slots, counted in the hardware: *stall*, no room for a partial
        sum; *empty*, no pair found in time; *idle*, a lane waited while others of its cluster
        worked; *tail*, the whole cluster waited.
    speedup_over_dense: against one dense pass, every weight once, one per lane and cycle.
    densities: shares that are not zero, as they came out.
    """

    lanes: int
    v: int
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
    load_cycles: int
    simulated_cycles_per_second: float


@dataclass(frozen=True)
class SimulatorPoint:
    """How large a machine's Verilog is and how fast it is made and simulated."""

    lanes: int
    verilog_seconds: float
    verilog_megabytes: float
    build_seconds: float


def simulator_point(lanes: int) -> SimulatorPoint:
    """Emit and build a machine, both afresh (the build cache is not used)."""
    start = time.monotonic()
    text = machine_verilog(load_config(None, lanes))
    emitted = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sparnn-bench-") as folder:
        path = Path(folder) / "sparnn.v"
        # A text of its own is a build of its own.
        path.write_text(f"// {time.time_ns()}\n{text}")
        begun = time.monotonic()
        build_driver(path)
        built = time.monotonic()
    return SimulatorPoint(lanes, emitted - start, len(text) / 1e6, built - begun)


def masr_points(
    lanes: list[int],
    *,
    hidden: int,
    weight_density: float,
    hidden_density: float,
    input_density: float,
    steps: int,
    seed: int,
    v: int | None = None,
    balance: bool = True,
    unfolded: bool = True,
) -> list[MasrPoint]:
    """The same layer and sequence on machines of several sizes."""
    workload = masr_workload(
        hidden=hidden,
        weight_density=weight_density,
        hidden_density=hidden_density,
        input_density=input_density,
        steps=steps,
        seed=seed,
    )
    return [
        masr_point(workload, size, seed=seed, v=v, balance=balance, unfolded=unfolded)
        for size in lanes
    ]


def masr_point(
    workload: Workload,
    lanes: int,
    *,
    seed: int = 0,
    v: int | None = None,
    balance: bool = True,
    unfolded: bool = True,
) -> MasrPoint:
    """Run a workload on one machine, all steps in one RUN, and compare with the golden model.

    Parameters
    ----------
    v, balance: see :func:`~sparnn.gen.layout.lay_out`.
    unfolded: see :func:`~sparnn.gen.program.build_program`.
    """
    config = load_config(None, lanes, weight_bits=MASR_BITS, activation_bits=MASR_BITS)
    sample = Sequence(workload.x[:_CALIBRATION_STEPS], {})
    quantized = quantize_network(
        workload.network, calibrate(workload.network, [sample]), MASR_BITS, MASR_BITS
    )
    network = quantized.network
    layer = network.layers[0]
    words = -(-max(layer.inputs, layer.units) // config.post_units)
    need = words * (len(workload.x) + 2)
    config = replace(config, store_depth=1 << (need - 1).bit_length(), counters=1)
    activity = measure_activity(network, [sample])
    x, _ = quantize(workload.x, layer.f_x, MASR_BITS)
    trace = run_network(network, x)
    layout = lay_out(
        network,
        config,
        v=None if v is None else [v],
        balance=balance,
        activity=activity,
        limit_columns=False,
    )
    sequence: list[Mapping[str, Any]] = [{"layer": 0, "what": "sequence"}]
    config = fit_config(config, network, layout, sequence, len(x))
    packed = pack_network(network, layout, config)
    different = 0
    # Once with every step sent to the host, to compare them all, and once with the last alone, as
    # in a network whose activations stay in the machine: the host takes one value per cycle.
    for outputs in (sequence, [{"layer": 0, "what": "last"}]):
        program = build_program(network, layout, packed, config, outputs, unfolded=unfolded)
        with tempfile.TemporaryDirectory(prefix="sparnn-bench-") as name:
            folder = Path(name)
            (folder / "sparnn.v").write_text(machine_verilog(config))
            (folder / "image.bin").write_bytes(image_words(program, packed).astype("<u4").tobytes())
            results, driver = run_sequences(folder, program, [(x, {})])
        different += mismatches(program, results, [trace])[0]
    cycles, slots = results[0].cycles, results[0].slots
    assert sum(slots.values()) == lanes * cycles
    assert slots[Counter.PAIR] == trace.useful_macs
    lost = {
        one.name.lower(): slots[one] / (lanes * cycles) for one in Counter if one != Counter.PAIR
    }
    halves = [half for half in (layer.w_x, layer.w_h) if half is not None]
    weights = sum(half.size for half in halves)
    nonzero = sum(np.count_nonzero(half) for half in halves)
    return MasrPoint(
        lanes=lanes,
        v=1 << program.layers[0].descriptor["v_log2"],
        seed=seed,
        steps=len(x),
        bit_exact=different == 0,
        cycles=cycles,
        cycles_per_step=cycles / len(x),
        mac_units=lanes,
        useful_macs=trace.useful_macs,
        utilization=trace.useful_macs / (lanes * cycles),
        lost=lost,
        balance_limit=_balance_limit(layer, program, x, trace.layers[0].outputs),
        speedup_over_dense=weights * len(x) / lanes / cycles,
        weight_density=float(nonzero / weights),
        hidden_density=float(np.mean(trace.layers[0].outputs != 0)),
        input_density=float(np.mean(x != 0)),
        load_cycles=driver.load_cycles,
        simulated_cycles_per_second=driver.cycles / max(driver.seconds, 1e-6),
    )


def _balance_limit(
    layer: IntegerLayer, program: MachineProgram, x: IntArray, outputs: IntArray
) -> float:
    """A lane's mean pairs over the most pairs of a lane in a step: hidden half, next input half.

    x: [steps, inputs], outputs: [steps, units], in the network's order.
    """
    assert layer.w_h is not None
    order, columns = np.array(program.layers[0].neurons), np.array(program.inputs)
    v = 1 << program.layers[0].descriptor["v_log2"]
    groups, words = program.config.lanes // v, program.config.post_units
    hidden = np.vstack([np.zeros_like(outputs[:1]), outputs[:-1]])
    loads = []
    for weights, values in (
        (layer.w_x[0][order][:, columns], x[:, columns]),
        (layer.w_h[0][order][:, order], hidden[:, order]),
    ):
        load = np.zeros((len(x), groups, v))
        slices = np.arange(weights.shape[1]) // words % v
        for number in range(v):
            chosen = slices == number
            rows = (values[:, chosen] != 0) @ (weights[:, chosen] != 0).T.astype(float)
            for group in range(groups):
                load[:, group, number] = rows[:, group::groups].sum(axis=1)
        loads.append(load)
    most = (loads[1][:-1] + loads[0][1:]).max(axis=(1, 2))
    return float((loads[0] + loads[1]).mean() / most.mean())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sparnn.gen.bench", description=__doc__)
    parser.add_argument("--lanes", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--steps", type=int, default=40, help="of MASR's layer; the paper has 333")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    console = Console()
    try:
        simulators = [simulator_point(lanes) for lanes in arguments.lanes]
        points = masr_points(
            arguments.lanes,
            hidden=800,
            weight_density=0.33,
            hidden_density=0.2,
            input_density=0.4,
            steps=arguments.steps,
            seed=arguments.seed,
        )
    except (SparnnError, ValueError, RuntimeError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    for title, rows in (("Simulation", simulators), ("MASR's layer", points)):
        table = Table(title=title, show_header=False)
        dicts = [asdict(row) for row in rows]
        for name in dicts[0]:
            table.add_row(name.replace("_", " "), *(_text(one[name]) for one in dicts))
        console.print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "simulator": [asdict(one) for one in simulators],
        "masr": [asdict(one) for one in points],
    }
    arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {arguments.json}")
    return 0 if all(point.bit_exact for point in points) else 1


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
