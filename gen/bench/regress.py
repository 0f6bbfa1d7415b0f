"""A random network on a random machine, RTL against the golden model: a case of `sparnn regress`.

A case is named MACHINE:NETWORK, two seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.sparse.program import SparsePlacement
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import LEAST_BANK_BYTES, MOST_DELTA_BITS, SparseConfig
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.packets import constant_states
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.network.network import WITH_STATE, IntegerLayer, IntegerNetwork
from sparnn.sim.runner import run_sequences
from sparnn.sim.session.compare import mismatches
from sparnn.sim.session.session import states_after
from sparnn.sim.verilator.hardware import ExternalMemory

from .random_networks import (
    random_config,
    random_held,
    random_initial,
    random_network,
    random_thresholds,
    random_v,
    random_x,
)

__all__ = [
    "Case",
    "compact_machine",
    "random_machine",
    "run_case",
    "streaming_machine",
]

#: Largest layer of a random network.
LARGEST = 24
#: Sequences per case; the first starts from zero, the others from random states.
SEQUENCES = 3
#: The stream of draws of banks and slices: one of which the few machines of the tests have all.
_DIVIDED = 162


@dataclass(frozen=True)
class Case:
    """The outcome of one case. ``mismatch`` is None when the hardware was bit exact."""

    name: str
    description: str
    cycles: int
    mismatch: str | None


def random_machine(seed: int) -> SparseConfig:
    """The machine of a seed: small memories, but enough for any network of :func:`run_case`."""
    return _divided(seed, _machine(seed))


def _divided(seed: int, machine: SparseConfig) -> SparseConfig:
    """Perhaps in banks and slices; drawn apart, so that a seed's other values are those that they
    were."""
    rng = np.random.default_rng([seed, _DIVIDED])
    banks, sliced = int(rng.choice([0, 0, 1, 2, 8])), int(rng.integers(0, 2))
    if machine.large_memory:
        banks = 0
    bank = machine.weight_depth * machine.weight_entry_bits // 8 // max(1, banks)
    most = machine.RANGES["bank_bytes"][1]
    return replace(
        machine,
        bank_bytes=min(most, max(LEAST_BANK_BYTES, bank)) if banks else 0,
        sliced_copy=sliced,
    )


def _machine(seed: int) -> SparseConfig:
    rng = np.random.default_rng(seed)
    config = random_config(
        rng,
        mask_depth=2048,
        weight_depth=1 << 14,
        rows=128,
        parameter_depth=1024,
        state_depth=128,
        store_depth=1024,
        program_depth=8,
    )
    packed = {"packed_store": int(rng.integers(0, 2)), "dense_rows": 256, "vector_words": 1}
    delta = int(rng.random() < 0.3 and config.activation_bits <= MOST_DELTA_BITS)
    # Drawn apart, so that a seed's other values are those that they were.
    peepholes = int(np.random.default_rng([seed, 3]).random() < 0.3)
    gates = int(config.cell_functions and np.random.default_rng([seed, 4]).random() < 0.7)
    options = {"delta": delta, "peepholes": peepholes, "gate_functions": gates}
    return replace(config, reference_depth=256, **options, **packed)


def compact_machine(seed: int) -> SparseConfig:
    """A machine of few lanes with what small FPGAs ask for, and without what they leave out."""
    rng = np.random.default_rng([seed, 1])
    lanes, v_log2 = int(rng.integers(1, 4)), int(rng.integers(0, 2))
    backwards = int(rng.integers(0, 2))
    machine = _machine(seed)
    machine = replace(
        machine,
        post_units=1,
        lanes=lanes << v_log2,
        max_v=1 << v_log2,
        threads=machine.threads if backwards else 1,
        sharing=0,
        delta=0,
        packed_store=0,
        reset_first=0,
        cell_functions=0,
        gate_functions=0,
        clip=0,
        peepholes=0,
        compact=1,
        backwards=backwards,
        large_memory=int(rng.choice([0, 64])),
    )
    return _divided(seed, machine)


def streaming_machine(seed: int) -> SparseConfig:
    """A machine whose weights come from external memory, with rings that few networks fit."""
    rng = np.random.default_rng([seed, 2])
    machine = replace(_machine(seed), sharing=0, split_scales=0)
    least = max(32, machine.chunk * machine.masks, 1 << clog2(machine.weight_entry_bits))
    most = min(512, 8 * machine.chunk if machine.masks else 512)
    if least > most:  # a chunk too short for such entries
        machine = replace(machine, masks=0)
        most = 512
    widths = [bits for bits in (32, 64, 128, 256, 512) if least <= bits <= most]
    machine = replace(machine, stream_bits=int(rng.choice(widths)))
    words = int(rng.choice([64, 128]))
    machine = replace(
        machine,
        mask_depth=words * (machine.stream_bits // machine.chunk or 1),
        weight_depth=words * machine.weight_slots,
    )
    return _divided(seed, machine)


def run_case(
    machine: int, network: int, folder: Path, make: Callable[[int], SparseConfig] = random_machine
) -> Case:
    """Run one case in a folder that holds the machine's ``sparnn.v`` (made if it is not there).

    Sizes, cells, formats, densities, V, steps, states, what is read back, the schedule, the split
    into runs, and the host's idles and stalls all follow from the two seeds. ``make``: the machine
    of its seed.
    """
    config = make(machine)
    verilog = folder / "sparnn.v"
    if not verilog.is_file():
        verilog.write_text(kept_verilog(config))
    rng = np.random.default_rng([machine, network])
    integers = random_network(rng, config, largest=LARGEST, directions=bool(config.backwards))
    deltas = np.random.default_rng([machine, network, 1])  # so that all else is as it was
    if config.delta and deltas.random() < 0.9:
        integers = random_thresholds(deltas, integers)
    v = None
    if rng.random() < 0.7:
        v = random_v(rng, config, integers)
    layout = lay_out(integers, config, v=v, balance=bool(rng.random() < 0.7))
    placed = place(integers, config, _outputs(rng, integers), layout=layout)
    placed = _other_schedule(rng, placed)
    program = _shorter_runs(rng, placed.program)
    placed.image.astype("<u4").tofile(folder / "image.bin")
    sequences = []
    for number in range(SEQUENCES):
        x = random_x(rng, integers, int(rng.integers(1, 9)))
        if integers.sends_differences:
            x = random_held(deltas, x)
        states = constant_states(integers)
        if number:
            states |= random_initial(rng, integers)
        sequences.append((x, states))
    if integers.sends_differences and not any(layer.reverse for layer in integers.layers):
        # One that was put aside, with what had been sent of it, and goes on.
        after = states_after(integers, run_network(integers, *sequences[0]))
        sequences.append((random_held(deltas, random_x(deltas, integers, 3)), after))
    memory = None
    if config.stream_bits:
        placed.external.astype("<u4").tofile(folder / "weights.bin")
        memory = ExternalMemory(
            bytes_per_cycle=int(rng.integers(1, 65)),
            latency=int(rng.integers(1, 201)),
            under_way=int(rng.choice([16, 64, 256])),
        )
    idle, stall = (int(rng.integers(0, 80)) if rng.random() < 0.5 else 0 for _ in range(2))
    results, driver = run_sequences(
        folder, program, sequences, idle=idle, stall=stall, seed=network, memory=memory
    )
    traces = [run_network(integers, x, states) for x, states in sequences]
    count, first = mismatches(program, results, traces)
    layers = ", ".join(map(_described, integers.layers))
    return Case(
        f"{machine}:{network}",
        f"{config.lanes} lanes x {config.width}{'' if config.masks else ' without masks'}, "
        f"{config.post_units} post units, V <= {config.max_v}, "
        f"C = {config.chunk}/{config.sub_chunk}, {config.weight_bits}/"
        f"{config.activation_bits} bits; {layers}; idle {idle} %, stall {stall} %",
        driver.cycles,
        f"{count} values differ: {first}" if count else None,
    )


def _described(layer: IntegerLayer) -> str:
    marks = [layer.join, "reverse" if layer.reverse else "", "step" if layer.last_step else ""]
    return " ".join(filter(None, (*marks, f"{layer.kind} {layer.inputs}>{layer.units}")))


def _outputs(rng: np.random.Generator, network: IntegerNetwork) -> list[dict[str, Any]]:
    """What the host takes: the last stage's sequence or last step, others, some final states."""
    outputs = [
        {"layer": stage[-1], "what": "state_c"}
        for stage in network.stages
        if all(
            network.layers[index].kind in WITH_STATE or network.layers[index].join == "reset"
            for index in stage
        )
        and rng.random() < 0.5
    ]
    for stage in network.stages[:-1]:
        # Of a sequence that something else reads the last step of, the host may take that alone.
        if network.layers[stage[-1]].has_hidden and rng.random() < 0.3:
            what = "sequence" if rng.random() < 0.5 else "last"
            outputs.append({"layer": stage[-1], "what": what})
    what = str(rng.choice(["sequence", "sequence", "last"]))
    return [*outputs, {"layer": len(network.layers) - 1, "what": what}]


def _other_schedule(rng: np.random.Generator, placed: SparsePlacement) -> SparsePlacement:
    """Perhaps the plain schedule instead of the unfolded one."""
    return replace(placed, unfolded=not rng.random() < 0.3)


def _shorter_runs(rng: np.random.Generator, program: MachineProgram) -> MachineProgram:
    """Perhaps runs of few steps."""
    stuck = any(
        one.descriptor["reverse"] or (one.descriptor["single_step"] and one.has_hidden)
        for one in program.layers
    )
    if stuck or not rng.random() < 0.3:
        return program
    return replace(program, max_steps=min(program.max_steps, int(rng.integers(1, 5))))
