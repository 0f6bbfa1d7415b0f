"""Synthesis reports: counts, hierarchy, cache, refusals; one real run on a small design."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.emit import emit
from sparnn.gen.synth.mapping import plain_names, synthesize
from sparnn.gen.synth.place_route import block_of, utilization
from sparnn.gen.synth.report import exceeded, synth, synth_verilog
from sparnn.gen.synth.tools import find_nextpnr
from sparnn.gen.targets import TARGETS, find_device, find_target

#: A top with a block that is placed twice, in the style and with the names that Amaranth writes.
DESIGN = """
module sparnn_lane(clk, a, b, q);
  input clk;
  input [7:0] a;
  input [7:0] b;
  output [15:0] q;
  reg signed [15:0] q;
  always @(posedge clk) q <= $signed(a) * $signed(b);
endmodule
module top(clk, rst, a, b, q);
  input clk;
  input rst;
  input [7:0] a;
  input [7:0] b;
  output [31:0] q;
  wire [31:0] p;
  reg [31:0] q;
  always @(posedge clk) q <= rst ? 0 : q + p;
  sparnn_lane lane0(.clk(clk), .a(a), .b(b), .q(p[15:0]));
  sparnn_lane lane1(.clk(clk), .a(b), .b(b), .q(p[31:16]));
endmodule
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", TARGETS)
def test_every_family_maps_multipliers_and_registers(name: str) -> None:
    target = TARGETS[name]
    # Sixteen bits: a size that every family's multiplier inference takes.
    design = DESIGN.replace("[7:0]", "[15:0]").replace("[15:0] q;", "[31:0] q;")
    design = design.replace("reg signed [15:0] q", "reg signed [31:0] q")
    design = design.replace("[31:0] p", "[63:0] p").replace("p[15:0]", "p[31:0]")
    design = design.replace("p[31:16]", "p[63:32]").replace("+ p", "+ p[31:0] + p[63:32]")
    total = target.count(synthesize(design, "top", target).cells)
    assert total["dsp"] >= 2
    assert total["ff"] >= 32 or total["dsp"]  # product registers may be inside the multiplier
    assert total["lut"] + total["carry_cells"] > 0


def test_hierarchy_adds_up_and_copies_count() -> None:
    target = TARGETS["ecp5"]
    report = synth_verilog(DESIGN, "top", target, target.default_device, pnr=False)
    rows = {row["module"]: row for row in report.blocks}
    assert rows["sparnn_lane"]["copies"] == 2
    assert rows["sparnn_lane"]["dsp"] == 2
    for resource in ("lut", "ff", "dsp", "bram", "carry_cells", "lut_ram_cells"):
        assert sum(row[resource] for row in report.blocks) == report.total[resource]
    assert report.fmax_mhz is None
    assert report.latency_us is None


def test_carry_cells_count_as_two() -> None:
    target = TARGETS["ecp5"]
    total = target.count({"LUT4": 10, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "PFUMX": 5})
    assert total["lut"] == 10 + 2 * 3 + 6 * 2
    assert TARGETS["ice40"].count({"SB_LUT4": 4, "SB_CARRY": 3})["lut"] == 10


def test_same_work_is_done_once(cache: Path) -> None:
    first = synthesize(DESIGN, "top", TARGETS["ecp5"])
    stamp = first.json.stat().st_mtime_ns
    assert synthesize(DESIGN, "top", TARGETS["ecp5"]).json.stat().st_mtime_ns == stamp
    assert synthesize(DESIGN + "\n", "top", TARGETS["ecp5"]).json != first.json
    assert synthesize(DESIGN, "top", TARGETS["ecp5"], flat=True).json != first.json


def test_place_and_route_gives_clock_and_path_by_block() -> None:
    target = TARGETS["ecp5"]
    device = find_device(target, "25k")
    report = synth_verilog(DESIGN, "top", target, device, seeds=1, cycles_per_step=1000.0)
    content = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert 20 < content["fmax_mhz"]["median"] < 1000
    assert content["fmax_mhz"]["list"] == [content["fmax_mhz"]["median"]]
    path = content["critical_path"]
    assert path["logic_ns"] + path["routing_ns"] == pytest.approx(
        1000 / content["fmax_mhz"]["median"], rel=0.01
    )
    assert content["step_latency_us"] == pytest.approx(1000 / content["fmax_mhz"]["median"])
    assert content["placed"]["MULT18X18D"]["used"] == 2
    # The shift registers that stand for pins are in nextpnr's counts alone.
    assert content["dsp"] == 2
    assert any("slowest path" in line for line in report.lines())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.deep] if name == "nexus" else [])
        for name, target in TARGETS.items()
        if target.pnr
    ],
)
def test_every_family_with_open_tools_is_placed_and_routed(name: str) -> None:
    """Blocks kept apart, carry chains and multipliers among them; pads around the whole alone."""
    target = TARGETS[name]
    report = synth_verilog(DESIGN, "top", target, target.default_device, seeds=1)
    assert report.fmax_mhz is not None
    assert 20 < report.fmax_mhz < 1000
    assert report.total["dsp"] >= 1  # Gowin has two of nine bits in one


def test_a_pin_without_driver_has_no_wire() -> None:
    """nextpnr would take each for an enable of its own: one flip-flop in a slice for two."""
    design = DESIGN.replace("q <= rst ? 0 : q + p", "if (rst) q <= q + p")
    netlist = json.loads(synthesize(design, "top", TARGETS["ecp5"], pins=True).json.read_text())
    (top,) = (m for m in netlist["modules"].values() if int(m["attributes"].get("top", "0"), 2))
    registers = [cell for cell in top["cells"].values() if cell["type"] == "TRELLIS_FF"]
    driven = {
        bit
        for cell in top["cells"].values()
        for pin, way in cell["port_directions"].items()
        if way == "output"
        for bit in cell["connections"].get(pin, ())
    }
    wired = [cell for cell in registers if "CE" in cell["connections"]]
    assert 32 <= len(wired) < len(registers)
    assert {cell["connections"]["CE"][0] for cell in wired} <= driven
    assert not any("M" in cell["connections"] for cell in registers)


def test_block_of_a_cell() -> None:
    assert block_of("dut.core.cluster0.core.lane3.scan.x_LUT4_D") == "cluster0.lane3.scan"
    assert block_of("drive_TRELLIS_FF_Q") == "top"


def test_too_large_says_by_how_much() -> None:
    device = TARGETS["ice40"].default_device
    total = TARGETS["ice40"].count({"SB_LUT4": 6000, "SB_RAM40_4K": 31})
    assert exceeded(total, device) == [
        "6000 lut of 5280 (720 too many)",
        "31 bram of 30 (1 too many)",
    ]
    with pytest.raises(SparnnError, match="no module"):
        synthesize(DESIGN, "absent", TARGETS["ecp5"], pins=True)


def test_utilization() -> None:
    log = """
Info: Device utilisation:
Info:             TRELLIS_IO:      8/    365     2%
Info:                   DCCA:      0/     56     0%
Info:                 DP16KD:    300/    208   144%
Info: \t         ICESTORM_LC:  5500/  5280   104%
"""
    assert utilization(log) == {
        "TRELLIS_IO": (8, 365),
        "DP16KD": (300, 208),
        "ICESTORM_LC": (5500, 5280),
    }


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SparnnError, match="the targets are"):
        find_target("asic")
    with pytest.raises(SparnnError, match="no device of ecp5; it has 85k"):
        find_device(TARGETS["ecp5"], "up5k")
    emit(tmp_path / "m", lanes=1)
    with pytest.raises(SparnnError, match="--no-pnr"):
        synth(tmp_path / "m", "xilinx7")
    with pytest.raises(SparnnError, match=r"\.svg or \.png"):
        synth(tmp_path / "m", "ecp5", plot=tmp_path / "a.pdf")
    report = tmp_path / "report.json"
    report.write_text('{"cycles": 1}')
    with pytest.raises(SparnnError, match="simulate again"):
        synth(tmp_path / "m", "ecp5", pnr=False, report=report)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SparnnError, match="pip install yowasp-nextpnr-none"):
        find_nextpnr("nextpnr-none")
    with pytest.raises(SparnnError, match=r"synthesis fails: .*ERROR"):
        synthesize("module top(clk); input clk; nothing here endmodule", "top", TARGETS["ecp5"])


def test_command_line(sparnn: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert sparnn("emit", "--lanes", "1", "-o", "m").returncode == 0
    refused = sparnn("synth", "m", "--target", "asic")
    assert refused.returncode == 2
    assert refused.stderr.startswith("sparnn: error: --target asic")
    assert sparnn("synth", "m", "--target", "ecp5", "--json", "no/where.json").returncode == 2


def test_names_of_array_elements() -> None:
    """Brackets of names change, those of bits and ranges do not."""
    text = "wire [3:0] \\a.b[0][1] ;\nassign \\a.b[0][1] [2] = x[1];\n"
    assert plain_names(text) == "wire [3:0] \\a.b<0><1> ;\nassign \\a.b<0><1> [2] = x[1];\n"
