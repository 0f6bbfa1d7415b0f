"""The tables of `make bench-fpga`, and the pages that they are written into."""

from pathlib import Path

import pytest

from sparnn.gen.bench.fpga import area_row, machine_line, short_table
from sparnn.gen.bench.marked_text import replace_marked
from sparnn.gen.errors import SparnnError
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


def test_marked_part_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- t -->\nold\n<!-- t ends -->\nb\n", encoding="utf-8")
    for _ in range(2):
        replace_marked(page, "t", ["x", "y"])
        assert page.read_text() == "a\n<!-- t -->\nx\ny\n<!-- t ends -->\nb\n"


@pytest.mark.parametrize("text", ["", "<!-- t -->\n", "<!-- t ends --><!-- t -->\n"])
def test_page_without_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(SparnnError, match=r"must have the lines <!-- t --> and <!-- t ends -->"):
        replace_marked(page, "t", ["x"])
    assert page.read_text() == text
    with pytest.raises(SparnnError, match="cannot be rewritten"):
        replace_marked(tmp_path / "none.md", "t", [])


@pytest.mark.parametrize("page", ["README.md", "docs/fpga.md"])
def test_pages_have_their_marks(page: str) -> None:
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    names = ["bench-fpga"]
    if page != "README.md":
        names = ["bench-fpga machines", "bench-fpga latencies"]
    for name in names:
        assert text.count(f"<!-- {name} -->\n") == text.count(f"<!-- {name} ends -->") == 1
