"""What runs reach of the emitted Verilog: `python -m sparnn.gen.bench.coverage_rtl`.

One machine of each kind runs random networks, every value of which is compared with the golden
model, and is told what it has to refuse. Verilator counts how often each line and each branch was
reached, and each bit rose and fell. Modules of the same name are one: what one lane reaches, lanes
reach. With ``--json`` the figures go into docs/results.
"""

import argparse
import datetime
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.host.protocol import Opcode, Response, Target, header
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.aliases import Words
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.packets import constant_states, header_words, sequence_packets, state_map
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import run_driver, run_sequences
from sparnn.sim.verilator.verilate import build_driver

from .coverage_left_out import Point, left_out
from .coverage_stimuli import (
    LONG,
    STEPS,
    check_equal,
    constant_network,
    large_layers,
    other_steps,
    with_other_bits,
)
from .random_networks import random_initial, random_network, random_x

__all__ = ["MACHINES", "cover", "main", "read_counts", "share"]

#: The machines: of either kind one with all cells, small enough that its memories fill.
MACHINES: Mapping[str, MachineConfig] = {
    "sparse": SparseConfig(
        lanes=8,
        post_units=2,
        max_v=4,
        chunk=16,
        sub_chunk=4,
        columns=64,
        mask_depth=512,
        weight_depth=1024,
        rows=64,
        parameter_depth=256,
        state_depth=32,
        store_depth=256,
        program_depth=8,
        threads=2,
        counters=1,
        hard_sigmoid=1,
        reset_first=1,
        cell_functions=1,
        clip=1,
    ),
    "dense": DenseConfig(
        lanes=8,
        width=8,
        banks=4,
        columns=64,
        weight_depth=512,
        parameter_depth=64,
        state_depth=64,
        store_depth=256,
        gate_depth=32,
        program_depth=8,
        hard_sigmoid=1,
        reset_first=1,
    ),
}
#: Whether its random networks have layers that run backwards.
_BACKWARDS = {"sparse": True, "dense": False}
#: Largest layers, and sequences of a network.
_LARGEST, _SEQUENCES = (16, 48), 2

KINDS = ("line", "branch", "toggle")
#: Of a line in Verilator's file: its fields, and how often.
_POINT = re.compile(r"^C '(.*)' (\d+)$")
_EMPTY = re.compile(r"if \(\\\$auto\$verilog_backend.* begin end")
#: (kind, module, where) -> how often.
Counts = dict[Point, int]

_COLUMNS = [
    {"title": "machine", "text": "{machine}"},
    {"title": "module", "text": "{module}"},
    *(
        {"title": title, "text": f"{{{kind}}}"}
        for kind, title in zip(KINDS, ("lines", "branches", "bits, up and down"), strict=True)
    ),
    {"title": "reached", "text": "{share:.1%}"},
    {"title": "not reached", "text": "{missing:,}"},
]


_WHOLE_COLUMNS = [*_COLUMNS, {"title": "bits with those left out", "text": "{all_bits:.1%}"}]
_APART_COLUMNS = [
    {"title": "machine", "text": "{machine}"},
    {"title": "left out because", "text": "{reason}"},
    {"title": "bits, up and down", "text": "{bits:,}"},
]


def empty_branches(verilog: str) -> frozenset[int]:
    """Lines of the branches without a statement that Yosys writes into each process, so that
    simulators look at it once. Nobody chooses between them, so they are left out."""
    lines = enumerate(verilog.splitlines(), 1)
    return frozenset(number for number, line in lines if _EMPTY.search(line))


def read_counts(text: str, empty: frozenset[int] = frozenset()) -> Counts:
    """Verilator's counts, those of equal modules added, without branches in lines of ``empty``."""
    found: Counts = defaultdict(int)
    for line in text.splitlines():
        if match := _POINT.match(line):
            fields = dict(
                field.split("\x02", 1) for field in match[1].split("\x01") if "\x02" in field
            )
            kind, module = fields["page"].removeprefix("v_").split("/", 1)
            if kind == "branch" and int(fields["l"]) in empty:
                continue
            where = " ".join(fields.get(name, "") for name in ("l", "n", "o", "S"))
            found[kind, module, where] += int(match[2])
    return found


def share(counts: Counts, kind: str | None = None, module: str | None = None) -> tuple[int, int]:
    """Points that were reached, and all of them: of one kind, of one module."""
    taken = [
        count > 0
        for (one, of, _), count in counts.items()
        if kind in (None, one) and module in (None, of)
    ]
    return sum(taken), len(taken)


def cover(config: MachineConfig, networks: int, seed: int, folder: Path) -> Counts:
    """Counts of runs of so many random networks.

    Raises
    ------
    SparnnError: the hardware differs from the golden model.
    """
    verilog = kept_verilog(config)
    (folder / "sparnn.v").write_text(verilog, encoding="utf-8")
    empty = empty_branches(verilog)
    total: Counts = defaultdict(int)
    points = folder / "coverage.dat"
    program = None
    rng = np.random.default_rng(seed)
    drawn = 0
    while drawn < networks:
        try:
            program = _run_network(rng, config, folder, points)
        except SparnnError as error:
            if "differ" in str(error):
                raise
            continue  # one that the machine has no room for, or no cells
        drawn += 1
        _add(total, points, empty)
    assert program is not None
    _refuse(program, folder, points)
    _add(total, points, empty)
    for run in (_run_steps, _run_long, *_BEYOND[config.MACHINE]):
        run(rng, config, folder, points)
        _add(total, points, empty)
    return total


def _add(total: Counts, points: Path, empty: frozenset[int]) -> None:
    for point, count in read_counts(points.read_text(encoding="utf-8"), empty).items():
        total[point] += count


def _run_network(
    rng: np.random.Generator, config: Any, folder: Path, points: Path
) -> MachineProgram:
    """A random network's sequences, from zero and from random states, with idles and stalls."""
    backwards = _BACKWARDS[config.MACHINE]
    largest = int(rng.choice(_LARGEST))
    network = random_network(rng, config, largest=largest, directions=backwards)
    last = len(network.layers) - 1
    outputs = [{"layer": last, "what": str(rng.choice(["sequence", "last"]))}]
    placed: Any = backend(config).place(network, config, outputs)
    image = placed.image
    if rng.integers(0, 2):  # the same network, told with other bits where nobody looks
        image = np.concatenate([image, with_other_bits(placed.program, rng)])
    image.astype("<u4").tofile(folder / "image.bin")
    sequences = []
    for number in range(_SEQUENCES):
        states = constant_states(network) | (random_initial(rng, network) if number else {})
        sequences.append((random_x(rng, network, int(rng.integers(1, 9))), states))
    idle, stall = (int(rng.integers(0, 30)) for _ in range(2))
    try:
        results, _ = run_sequences(
            folder, placed.program, sequences, idle=idle, stall=stall, seed=1, coverage=points
        )
    except SimulationError as error:
        raise SparnnError(str(error)) from None
    traces = [run_network(network, x, states) for x, states in sequences]
    count, first = mismatches(placed.program, results, traces)
    if count:
        raise SparnnError(f"{count} values differ: {first}")
    return placed.program


def _run_steps(rng: np.random.Generator, config: Any, folder: Path, points: Path) -> None:
    """A layer that runs one step, whatever RUN says, is told numbers of steps beyond any store."""
    network = _linear(rng, config)
    placed: Any = backend(config).place(network, config)
    (layer,) = placed.program.layers
    single = replace(layer, descriptor={**layer.descriptor, "single_step": 1})
    program = replace(placed.program, layers=(single,))
    x = random_x(rng, network, 1)
    packets, runs = sequence_packets(program, 0, x)
    parts = [placed.image, with_other_bits(program, rng)]
    parts += [other_steps(packets, steps) for steps in STEPS]
    each = expected_words(program, runs)
    answer = _exchanged(folder, points, parts, each * len(STEPS))
    trace = run_network(network, x)
    for number, steps in enumerate(STEPS):
        results = parse_results(program, runs, answer[number * each : (number + 1) * each])
        if mismatches(program, results, [trace])[0]:
            raise SparnnError(f"one step, told to be {steps}: values differ")


def _run_long(rng: np.random.Generator, config: Any, folder: Path, points: Path) -> None:
    """A layer whose outputs are all the same runs through the store again and again."""
    network = constant_network(_linear(rng, config), 2)
    placed: Any = backend(config).place(network, config)
    (value,) = set(run_network(network, random_x(rng, network, 1)).layers[0].outputs.flat)
    packets, runs = sequence_packets(placed.program, 0, random_x(rng, network, 1))
    parts = [placed.image, *(other_steps(packets, steps) for steps in LONG)]
    each = expected_words(placed.program, runs)
    answer = _exchanged(folder, points, parts, sum(each + 3 * (n - 1) for n in LONG))
    if not check_equal(answer, [2] * sum(LONG), int(value)):
        raise SparnnError("a long run of a layer without weights: values differ")


def _run_large(rng: np.random.Generator, config: Any, folder: Path, points: Path) -> None:
    """The same layer with sizes beyond the memories, all of whose parameters are the same."""
    units = config.parameter_depth * config.word
    network = constant_network(_linear(rng, config), units)
    placed: Any = backend(config).place(network, config)
    (value,) = set(run_network(network, random_x(rng, network, 1)).layers[0].outputs.flat)
    runs = large_layers(placed.program, rng)
    parts, counts = [placed.image, *(packets for packets, _ in runs)], [n for _, n in runs]
    answer = _exchanged(folder, points, parts, sum(counts) + 3 * len(counts))
    if not check_equal(answer, counts, int(value)):
        raise SparnnError("a layer beyond the memories: values differ")


def _linear(rng: np.random.Generator, config: Any) -> IntegerNetwork:
    while True:
        network = random_network(rng, config, layers=1, largest=8)
        if network.layers[0].kind == "linear" and not network.layers[0].reverse:
            return network


def _exchanged(folder: Path, points: Path, parts: Sequence[Words], expected: int) -> Words:
    """What the machine answers to packets."""
    answer, _, problem = run_driver(
        build_driver(folder / "sparnn.v", coverage=True),
        np.concatenate(parts),
        expected,
        {"--coverage": points.resolve(), "--watchdog": 1 << 20, "--seed": 1},
    )
    if problem:
        raise SparnnError(problem)
    return answer


#: Machine's name -> runs of its own.
_BEYOND: Mapping[str, tuple[Callable[[np.random.Generator, Any, Path, Path], None], ...]] = {
    "sparse": (),
    "dense": (_run_large,),
}


def _refuse(program: MachineProgram, folder: Path, points: Path) -> None:
    """What is no packet of the protocol, each answered by ERROR; identity and all states."""
    config = program.config
    depth = config.memories()[Target.STORE][1]
    store = header(Opcode.SELECT, Target.STORE << 20)
    weights = header(Opcode.SELECT, Target.WEIGHT << 20)
    each = config.link_words
    refused = [
        [5],  # an opcode that there is not
        [header(Response.DONE, 1)],
        [header(Opcode.SELECT, 99 << 20)],
        [header(Opcode.SELECT, Target.STATE << 20 | config.post_units)],
        [header(Opcode.RUN, 0)],
        [header(Opcode.RUN, 1 << 24 | 1)],
        [store, header(Opcode.ADDRESS, depth)],
        [store, header(Opcode.READ, 0)],
        [store, header(Opcode.ADDRESS, depth - 1), header(Opcode.READ, 2)],
        [weights, header(Opcode.READ, 1)],
    ]
    words = [header_words(config, *one) for one in refused]
    beyond = header_words(
        config, store, header(Opcode.ADDRESS, depth - 1), header(Opcode.WRITE, 4096 * each)
    )
    reads = state_map(program)
    words += [beyond, np.zeros(4096 * each, np.uint32)]
    words += [header_words(config, header(Opcode.IDENTIFY, 0)), reads]
    expected = len(refused) + 1 + 2
    run_driver(
        build_driver(folder / "sparnn.v", coverage=True),
        np.concatenate(words),
        expected,
        {"--coverage": points.resolve(), "--watchdog": 20000, "--seed": 1},
    )


def _cover_named(networks: int, seed: int, name: str) -> tuple[Counts, Mapping[Point, str]]:
    """Counts, and the points that are left out of them with the reason."""
    with tempfile.TemporaryDirectory(prefix="sparnn-coverage-") as folder:
        counts = dict(cover(MACHINES[name], networks, seed, Path(folder)))
    return counts, left_out(kept_verilog(MACHINES[name]), MACHINES[name], counts)


def _rows(
    machine: str, everything: Counts, without: Mapping[Point, str]
) -> Iterator[dict[str, Any]]:
    """All of a machine, then each module, those that lack most first."""
    counts = {point: count for point, count in everything.items() if point not in without}
    had, all_bits = share(everything, "toggle")
    modules = sorted({module for _, module, _ in counts})

    def row(module: str | None) -> dict[str, Any]:
        parts = {kind: share(counts, kind, module) for kind in KINDS}
        reached, total = share(counts, None, module)
        return {
            "machine": machine,
            "module": module or "all",
            **{kind: f"{had:,} of {all_:,}" for kind, (had, all_) in parts.items()},
            **{f"{kind}_share": had / all_ if all_ else 1.0 for kind, (had, all_) in parts.items()},
            "share": reached / total,
            "all_bits": had / all_bits,
            "missing": total - reached,
        }

    yield row(None)
    yield from sorted(map(row, modules), key=lambda one: -one["missing"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=8, help="Random networks of each machine.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="Write the tables there.")
    parser.add_argument("--points", type=Path, help="Write all points that were not reached there.")
    options = parser.parse_args(arguments)
    rows, missing = [], []
    with ProcessPoolExecutor(len(MACHINES)) as workers:
        one = partial(_cover_named, options.networks, options.seed)
        covered = list(workers.map(one, MACHINES))
    apart = []
    for name, (counts, without) in zip(MACHINES, covered, strict=True):
        found = list(_rows(name, counts, without))
        rows += found
        missing += [
            f"{name} {' '.join(point)}"
            for point, count in sorted(counts.items())
            if not count and point not in without
        ]
        reasons = Counter(without.values())
        apart += [{"machine": name, "reason": why, "bits": n} for why, n in reasons.items()]
        print(
            name,
            *(f"{kind} {found[0][f'{kind}_share']:.1%}" for kind in KINDS),
            f"with what is left out {found[0]['all_bits']:.1%}",
        )
    if options.points is not None:
        options.points.write_text("\n".join(missing) + "\n", encoding="utf-8")
    if options.json is not None:
        command = (
            f"python -m sparnn.gen.bench.coverage_rtl --networks {options.networks} "
            f"--seed {options.seed} --json docs/results/coverage_rtl.json"
        )
        provenance = {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "versions": f"sparnn {version('sparnn')}, verilator {version('verilator')}",
        }
        whole = [row for row in rows if row["module"] == "all"]
        modules = [row for row in rows if row["module"] != "all" and row["missing"]]
        tables = {
            name: {"provenance": provenance, "columns": _COLUMNS, "rows": part}
            for name, part in (("machines", whole), ("modules", modules))
        }
        tables["machines"]["columns"] = _WHOLE_COLUMNS
        tables["left_out"] = {"provenance": provenance, "columns": _APART_COLUMNS, "rows": apart}
        options.json.write_text(json.dumps({"tables": tables}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
