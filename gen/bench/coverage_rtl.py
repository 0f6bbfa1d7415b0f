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
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
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
from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.packets import constant_states, header_words, state_map
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import run_driver, run_sequences
from sparnn.sim.verilator.verilate import build_driver

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
#: Largest layer, and sequences of a network.
_LARGEST, _SEQUENCES = 16, 2

KINDS = ("line", "branch", "toggle")
#: Of a line in Verilator's file: its fields, and how often.
_POINT = re.compile(r"^C '(.*)' (\d+)$")
_EMPTY = re.compile(r"if \(\\\$auto\$verilog_backend.* begin end")
#: (kind, module, where) -> how often.
Counts = dict[tuple[str, str, str], int]

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
    return total


def _add(total: Counts, points: Path, empty: frozenset[int]) -> None:
    for point, count in read_counts(points.read_text(encoding="utf-8"), empty).items():
        total[point] += count


def _run_network(
    rng: np.random.Generator, config: Any, folder: Path, points: Path
) -> MachineProgram:
    """A random network's sequences, from zero and from random states, with idles and stalls."""
    backwards = _BACKWARDS[config.MACHINE]
    network = random_network(rng, config, largest=_LARGEST, directions=backwards)
    last = len(network.layers) - 1
    outputs = [{"layer": last, "what": str(rng.choice(["sequence", "last"]))}]
    placed: Any = backend(config).place(network, config, outputs)
    placed.image.astype("<u4").tofile(folder / "image.bin")
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


def _cover_named(networks: int, seed: int, name: str) -> Counts:
    with tempfile.TemporaryDirectory(prefix="sparnn-coverage-") as folder:
        return dict(cover(MACHINES[name], networks, seed, Path(folder)))


def _rows(machine: str, counts: Counts) -> Iterator[dict[str, Any]]:
    """All of a machine, then each module, those that lack most first."""
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
    for name, counts in zip(MACHINES, covered, strict=True):
        found = list(_rows(name, counts))
        rows += found
        missing += [f"{name} {' '.join(p)}" for p, count in sorted(counts.items()) if not count]
        for row in found[:1]:
            print(name, *(f"{kind} {row[f'{kind}_share']:.1%}" for kind in KINDS))
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
        options.json.write_text(json.dumps({"tables": tables}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
