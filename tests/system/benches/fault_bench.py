"""cocotb bench: many faults; says what became of them in SPARNN_REPORT."""

import json
import os
from pathlib import Path

import cocotb
from bus_bench import IMAGE, NETWORK, PROGRAM
from bus_support import JobHost
from fault_cases import CHECKED, Faults


@cocotb.test()
async def faults(dut):
    count, seed = int(os.environ["SPARNN_FAULTS"]), int(os.environ["SPARNN_SEED"])
    host = JobHost(dut, idle=10, stall=10)
    await host.reset()
    found = await Faults(host, PROGRAM, NETWORK, IMAGE, seed).run(count)
    rows = [
        {"fault": kind, "outcome": outcome, "times": times}
        for (kind, outcome), times in sorted(found.items())
    ]
    report = {"seed": seed, "claimed": list(CHECKED), "rows": rows}
    Path(os.environ["SPARNN_REPORT"]).write_text(json.dumps(report))
