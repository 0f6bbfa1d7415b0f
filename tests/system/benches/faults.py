"""Faults on the machine behind AXI, in cases from a seed: `make faults`.

Every fault of a kind for which a check is claimed has its code; after every one the streams go on
as the golden model does. A case, SEED:NUMBER, meets every kind once, and is a command of its own:

    python tests/system/benches/faults.py --case 1:7
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

sys.path.append(str(Path(__file__).parents[2]))  # support: also where a worker runs this file

from support.benches import BENCHES, build_bench, run_bench
from support.small_network import CONFIG, write_bench

from sparnn.gen.campaign.cluster import Piece, cluster
from sparnn.gen.campaign.commands import command_result
from sparnn.gen.campaign.store import Store, code_digest
from sparnn.gen.errors import SparnnError
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog
from sparnn.sim.verilator.cache import kept, key_of

#: Faults of a case: one of each kind.
EACH = 20
_SOURCES = ("sparnn.v", "sparnn_bus.v")
_CASES = "cases"


def run_case(name):
    """What became of a case's faults, as fault_bench.py says it."""
    seed, number = (int(part) for part in name.split(":"))
    top = BusMachine(CONFIG, Bus.AXI, MemoryGeometry(data_bits=64))
    verilog = bus_verilog(top)

    def build(folder):
        write_bench(folder)
        (folder / "sparnn_bus.v").write_text(verilog)
        build_bench(folder, BUS_MODULE, _SOURCES)

    built = kept("fault-bench", key_of(code_digest(), verilog, version("cocotb")), build)
    with tempfile.TemporaryDirectory(prefix="sparnn-faults-") as folder:
        report, parameters = Path(folder) / "faults.json", {"SPARNN_FAULTS": str(EACH)}
        write_bench(Path(folder))
        parameters |= {"SPARNN_SEED": str(1000 * seed + number), "SPARNN_REPORT": str(report)}
        run_bench(
            Path(folder),
            "fault_bench",
            BUS_MODULE,
            _SOURCES,
            tests="faults",
            parameters=parameters,
            built=built,
        )
        found = json.loads(report.read_text())
    assert len({row["fault"] for row in found["rows"]}) == EACH, "a kind was not met"
    return found


def replay(name, script=__file__):
    """The command that runs one case."""
    return [sys.executable, str(Path(script).resolve()), "--case", name]


def run_all(names, workers, scheduler, results, script=__file__):
    """The result of each case; those that the folder ``results`` holds are not run again."""
    benches = hashlib.sha256(b"".join(one.read_bytes() for one in sorted(BENCHES.glob("*.py"))))
    what = {"code": code_digest(), "benches": benches.hexdigest()}
    pieces = [Piece(name, command_result, (replay(name, script),)) for name in names]
    with tempfile.TemporaryDirectory(prefix="sparnn-faults-") as folder:
        store = Store(results or Path(folder) / "results", "faults", what)
        with cluster(workers, scheduler) as hands:
            return dict(zip(names, hands.run("Faults", store, _CASES, pieces), strict=True))


def table(found, command):
    """For the page of results."""
    columns = {
        "fault": "{fault}",
        "check claimed": "{claimed}",
        "outcome": "{outcome}",
        "times": "{times:,}",
    }
    claimed = {kind for one in found.values() for kind in one["claimed"]}
    rows = [
        {
            "fault": fault,
            "outcome": outcome,
            "times": times,
            "claimed": "yes" if fault in claimed else "no",
        }
        for (fault, outcome), times in sorted(_times(found).items())
    ]
    return {
        "provenance": {
            "command": command,
            "date": datetime.now(UTC).date().isoformat(),
            "versions": f"sparnn {version('sparnn')}, verilator {version('verilator')}",
        },
        "columns": [{"title": title, "text": text} for title, text in columns.items()],
        "rows": rows,
    }


def _times(found):
    times = Counter()
    for one in found.values():
        for row in one.get("rows", ()):
            times[row["fault"], row["outcome"]] += row["times"]
    return times


def write_junit(found, path):
    """A test for each case."""
    suite = ElementTree.Element("testsuite", name="faults")
    for name, one in found.items():
        case = ElementTree.SubElement(suite, "testcase", name=name)
        if "failure" in one:
            ElementTree.SubElement(case, "failure").text = one["failure"]
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", metavar="SEED:NUMBER", help="this one alone; its JSON is printed")
    parser.add_argument("--cases", type=int, default=30, help=f"so many, of {EACH} faults each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of Dask, in place of processes")
    parser.add_argument("--results", type=Path, help="a folder with one file for each case")
    parser.add_argument("--report", type=Path, help="write the table there, as JSON")
    parser.add_argument("--junit", type=Path, help="write JUnit XML there")
    given = parser.parse_args(arguments)
    if given.case:
        print(json.dumps(run_case(given.case)))
        return 0
    names = [f"{given.seed}:{number}" for number in range(given.cases)]
    try:
        found = run_all(names, given.workers, given.scheduler, given.results)
    except SparnnError as error:
        print(f"faults: error: {error}", file=sys.stderr)
        return 2
    for (fault, outcome), times in sorted(_times(found).items()):
        print(f"{times:5d}  {fault}: {outcome}")
    return finish(found, given)


def finish(found, given) -> int:
    """Write what is asked for, and say which cases failed, with the command that repeats each."""
    failed = [name for name, one in found.items() if "failure" in one]
    if given.junit:
        write_junit(found, given.junit)
    for name in failed:
        print(f"{name} FAILED: {found[name]['failure']}\n  {' '.join(replay(name))}")
    print(f"{len(found) - len(failed)} cases passed, {len(failed)} failed")
    if given.report and not failed:
        command = f'make faults ARGS="--cases {given.cases} --seed {given.seed}"'
        content = {"tables": {"faults": table(found, command)}}
        given.report.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
