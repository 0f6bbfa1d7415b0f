"""Dense machines and networks that several test files share, and the run that compares them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_network
from sparnn.gen.machines.dense.place import place
from sparnn.gen.machines.dense.program import DensePlacement, model_layers
from sparnn.gen.machines.dense.tiles import Exploration
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.cycles.dense import network_cycles
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.plan import TilePlan
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.host.streams import stream_packets
from sparnn.sim.network.network import GATES, WITH_STATE, IntegerLayer, IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import run_sequences

SMALL = DenseConfig(
    lanes=8,
    width=8,
    banks=4,
    slices=1,
    columns=32,
    store_depth=8192,
    gate_depth=16,
    hard_sigmoid=1,
    reset_first=1,
    sums=1,
    peepholes=1,
    streams=4,
)


#: Several slices, of one and of two rows, which go gate by gate only, and of
#: four, with the activation's register; the last two with more stages behind the sums.
NARROW = {
    width: DenseConfig(
        lanes=8,
        width=width,
        banks=4,
        slices=2,
        columns=32,
        store_depth=8192,
        gate_depth=64,
        operand_stage=width // 4,
        sums=width // 4,
        peepholes=width // 4,
        post_stages=min(width, 2),
    )
    for width in (1, 2, 4)
}


def tile_folder(tmp_path_factory: pytest.TempPathFactory, config: DenseConfig) -> Path:
    path = tmp_path_factory.mktemp("tile")
    (path / "sparnn.v").write_text(kept_verilog(config))
    return path


MASKED = DenseConfig(
    lanes=8,
    width=4,
    banks=4,
    slices=2,
    columns=32,
    store_depth=8192,
    gate_depth=16,
    mask_depth=512,
    streams=2,
)


def random_tiles(seed: int, kind: str | None = None, *, sums: bool = False) -> IntegerNetwork:
    """A random network, with directions that are added or without."""
    rng = np.random.default_rng(seed)
    while True:
        network = random_network(
            rng,
            replace(SMALL, reset_first=0, hard_sigmoid=0, peepholes=0),
            layers=1 if kind else None,
        )
        if kind is not None and [one.kind for one in network.layers] != [kind]:
            continue
        if sums == any(one.join == "sum" for one in network.layers):
            return network


def run_exact(
    folder: Path,
    network: IntegerNetwork,
    sequences: list[tuple[np.ndarray, Mapping[tuple[str, int], np.ndarray]]],
    config: DenseConfig = SMALL,
    schedule: str = "unfolded",
    plans: list[TilePlan] | None = None,
    what: str = "sequence",
    interleave: bool = True,
    streams: int = 1,
    **link: int,
) -> MachineProgram:
    outputs = [
        {"layer": stage[-1], "what": "state_c"}
        for stage in network.stages
        if all(network.layers[index].kind in WITH_STATE for index in stage)
        or network.layers[stage[-1]].join == "reset"
    ]
    outputs.append({"layer": len(network.layers) - 1, "what": what})
    placed = place(
        network,
        config,
        outputs,
        plans=plans,
        interleave=interleave,
        streams=streams,
        exploration=Exploration(schedule=schedule),
    )
    program = placed.program
    (folder / "image.bin").write_bytes(placed.image.astype("<u4").tobytes())
    results, _ = run_sequences(folder, program, sequences, **link)
    traces = [run_network(network, x, states) for x, states in sequences]
    assert mismatches(program, results, traces) == (0, None)
    if streams > 1:
        check_stream_cycles(placed, sequences, [one.cycles for one in results])
        return program
    if any(one.descriptor["emit"] for one in program.layers[:-1]):
        return program  # the next layer waits for the host, of which the model knows nothing
    for (x, states), result in zip(sequences, results, strict=True):
        cycles = 0
        for first in range(0, len(x), program.max_steps):
            steps = min(program.max_steps, len(x) - first)
            fresh = not states and not first
            cycles += network_cycles(config, model_layers(placed, steps, fresh=fresh))
        assert cycles == result.cycles
    return program


def check_stream_cycles(
    placed: DensePlacement,
    sequences: list[tuple[np.ndarray, Mapping[tuple[str, int], np.ndarray]]],
    cycles: list[int],
) -> None:
    """Of each group of sequences that run together."""
    _, groups = stream_packets(placed.program, sequences)
    for group in groups:
        fresh = not any(sequences[number][1] for number in group.numbers)
        expected = sum(
            network_cycles(
                placed.config,
                model_layers(placed, steps, fresh=fresh and not number),
            )
            for number, steps in enumerate(group.runs)
        )
        assert [cycles[number] for number in group.numbers] == [
            expected,
            *[0] * (len(group.numbers) - 1),
        ]


def extreme_network(units: int, inputs: int, weight: int) -> IntegerNetwork:
    rows = (4, units)
    halves = {
        f"{name}_{half}": np.full(rows, value)
        for half in ("x", "h")
        for name, value in (("mult", 32767), ("shift", 20), ("bias", -32768))
    }
    layer = IntegerLayer(
        name="extreme",
        kind="lstm",
        activation="",
        w_x=np.full((4, units, inputs), weight),
        w_h=np.full((4, units, units), -weight),
        f_x=0,
        f_pre=0,
        f_state=15,
        f_out=7,
        out_bits=8,
        **halves,
    )
    return IntegerNetwork((layer,), 8, 8)


def bidirectional_network(kind: str) -> IntegerNetwork:
    """Two layers of two directions, whose units fill no word."""
    rng = np.random.default_rng(9)
    layers: list[IntegerLayer] = []
    for inputs, units in ((5, 7), (14, 9)):
        for reverse in (False, True):
            rows = (GATES[kind], units)
            halves: dict[str, Any] = {}
            for half, columns in (("x", inputs), ("h", units)):
                halves |= {
                    f"w_{half}": rng.integers(-127, 128, (*rows, columns)),
                    f"mult_{half}": rng.integers(16384, 32768, rows),
                    f"shift_{half}": np.full(rows, 19),
                    f"bias_{half}": rng.integers(-2000, 2000, rows),
                }
            layers.append(
                IntegerLayer(
                    name=f"{len(layers)}",
                    kind=kind,
                    activation="tanh" if kind == "rnn" else "",
                    f_x=7,
                    f_pre=11,
                    f_state=0 if kind == "rnn" else 12,
                    f_out=7,
                    out_bits=8,
                    reverse=reverse,
                    join="concat" if reverse else "",
                    **halves,
                )
            )
    return IntegerNetwork(tuple(layers), 8, 8)
