"""The tables of `make bench-fpga`."""

import json
from pathlib import Path

from sparnn.gen.bench.fpga import area_row, machine_line, results, short_table
from sparnn.gen.bench.tables import read_tables
from sparnn.gen.targets import TARGETS

PLACED = {
    "target": "ecp5",
    "lanes": 16,
    "date": "2026-11-25",
    "lut": 15007,
    "lut_logic": 8349,
    "lut_in_carry": 2560,
    "lut_in_lut_ram": 4098,
    "ff": 10839,
    "dsp": 20,
    "bram": 53,
    "clock": "82.9 (82.9)",
    "fmax_mhz": {"median": 82.9},
}
LARGE = PLACED | {"lanes": 256, "clock": "too large for LFE5U", "fmax_mhz": {"median": None}}


def test_lines_of_measured_machines() -> None:
    assert machine_line(PLACED) == (
        "| Lattice ECP5, LUT4 | 16 | 15,007 (8,349 + 2,560 + 4,098) | 10,839 | 20 | 53 of 18 kbit "
        "| 82.9 (82.9) | 2026-11-25 |"
    )
    table = short_table([PLACED, LARGE])
    assert table[0].endswith("| 16 lanes | 256 lanes |")
    assert len(table) == 2 + len(TARGETS)
    assert table[2] == (
        "| Lattice ECP5 (LUT4, RAM of 18 kbit) | 15,007 / 10,839 / 20 / 53, **83** | "
        "15,007 / 10,839 / 20 / 53 * |"
    )


def test_what_is_not_measured_is_said_not_guessed() -> None:
    entry = area_row(16, TARGETS["ice40"], 1)
    assert "not synthesized: 16 lanes have more multipliers than the 8" in machine_line(entry)
    cells = next(line for line in short_table([entry]) if "iCE40" in line).split("|")
    assert cells[2].strip() == ""


def test_results_are_the_tables_of_the_pages(tmp_path: Path) -> None:
    latency = {
        "board": "ulx3s",
        "network": "digits LSTM",
        "mhz": 50,
        "date": "2026-11-25",
        "lanes": 8,
        "cycles_per_step": 2059.4,
        "step_latency_us": 41.188,
        "predicted": "fits",
    }
    other = latency | {"board": "icebreaker", "predicted": "does not fit: bram"}
    content = json.dumps(results([PLACED, LARGE, latency, other]))
    (tmp_path / "fpga.json").write_text(content, encoding="utf-8")
    tables = read_tables(tmp_path)
    assert tables["fpga/machines"].rows[0][1] == "16"
    assert tables["fpga/latencies"].rows[1][0] == "icebreaker"
    (row,) = tables["fpga/readme"].rows
    assert row == ("ulx3s", "digits LSTM", "8", "2059.4", "50", "41.2", "2026-11-25")
    assert len(tables["fpga/short"].rows) == len(TARGETS)


def test_what_is_not_measured_again_is_kept() -> None:
    older = results([PLACED, PLACED | {"target": "nexus", "lanes": 8}])
    tables = results([PLACED | {"lut": 15000}, LARGE], older)["tables"]
    assert tables["short"]["columns"][1:] == ["8 lanes", "16 lanes", "256 lanes"]
    families = {row[0].split(" (")[0]: row[1:] for row in tables["short"]["rows"]}
    assert families["Lattice ECP5"][1].startswith("15,000 /")
    assert families["Lattice Nexus"][0].startswith("15,007 /")
    lanes = [(row[0], row[1]) for row in tables["machines"]["rows"]]
    assert lanes == [
        ("Lattice ECP5, LUT4", "16"),
        ("Lattice Nexus, LUT4", "8"),
        ("Lattice ECP5, LUT4", "256"),
    ]
    assert results([], older)["tables"]["machines"] == older["tables"]["machines"]
