"""A machine of two lanes, of which the first is gates: outputs, and the changes of its nets."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.energy.gates import gates_verilog
from sparnn.sim.verilator.hardware import run_driver
from sparnn.sim.verilator.verilate import build_driver

LIBERTY = Path(__file__).parents[2] / "support" / "five_cells.lib"

# Both lanes add up what comes in, each a byte of a word; after each word their sums go out.
VERILOG = r"""module sparnn_lane(clk, rst, en, data, sum);
  input clk;
  input rst;
  input en;
  input [7:0] data;
  output [7:0] sum;
  reg [7:0] sum = 8'h00;
  always @(posedge clk)
    if (rst) sum <= 8'h00;
    else if (en) sum <= sum + data;
endmodule

module sparnn_cluster(clk, rst, en, data, sums);
  input clk;
  input rst;
  input en;
  input [15:0] data;
  output [15:0] sums;
  sparnn_lane lane0 (.clk(clk), .rst(rst), .en(en), .data(data[7:0]), .sum(sums[7:0]));
  sparnn_lane lane1 (.clk(clk), .rst(rst), .en(en), .data(data[15:8]), .sum(sums[15:8]));
endmodule

module sparnn(rx__valid, tx__ready, clk, rst, rx__ready, tx__payload, tx__valid, rx__payload);
  input clk;
  input rst;
  input rx__valid;
  input tx__ready;
  input [31:0] rx__payload;
  output rx__ready;
  output [31:0] tx__payload;
  output tx__valid;
  reg \core.dispatcher.busy  = 1'h0;
  wire [15:0] sums;
  assign rx__ready = ~\core.dispatcher.busy | tx__ready;
  assign tx__valid = \core.dispatcher.busy ;
  assign tx__payload = { 16'h0000, sums };
  wire en = rx__valid & rx__ready;
  always @(posedge clk)
    if (rst) \core.dispatcher.busy  <= 1'h0;
    else \core.dispatcher.busy  <= en | (\core.dispatcher.busy  & ~tx__ready);
  sparnn_cluster cluster0 (.clk(clk), .rst(rst), .en(en), .data(rx__payload[15:0]), .sums(sums));
endmodule
"""
WORDS = 24
CLOCK_GATE = """
  cell (GATE) { area : 60; clock_gating_integrated_cell : latch_posedge;
    pin (CLK) { direction : input; clock_gate_clock_pin : true; }
    pin (EN) { direction : input; clock_gate_enable_pin : true; }
    pin (GCLK) { direction : output; clock_gate_out_pin : true; } }
}
"""


@pytest.fixture(scope="module", params=[False, True], ids=["free", "gated"])
def gates(request, tmp_path_factory):
    liberty = LIBERTY
    if request.param:
        liberty = tmp_path_factory.mktemp("cells") / "six_cells.lib"
        cells = LIBERTY.read_text(encoding="utf-8").rstrip().removesuffix("}")
        liberty.write_text(cells + CLOCK_GATE, encoding="utf-8")
    return gates_verilog(VERILOG, liberty, begin=1, cycles=1000, clock_gates=request.param)


def test_parts(gates):
    _, modules = gates
    assert [(module.name, module.copies) for module in modules] == [
        ("sparnn_lane", 2),
        ("sparnn_cluster", 1),
        ("sparnn", 1),
    ]
    lane = modules[0]
    assert sum(cell.kind == "DFF" for cell in lane.cells) == 8
    assert not modules[1].cells  # a cluster of wires


def test_changes(gates, tmp_path):
    """Flip-flops change as the sums do that a model has."""
    text, modules = gates
    (tmp_path / "sparnn.v").write_text(text, encoding="utf-8")
    words = np.random.default_rng(5).integers(0, 1 << 16, WORDS).astype(np.uint32)
    answer, run, problem = run_driver(build_driver(tmp_path / "sparnn.v"), words, WORDS, {})
    assert problem is None
    sums = np.cumsum(np.stack([words & 255, words >> 8]), axis=1) & 255
    np.testing.assert_array_equal(answer, sums[0] | sums[1] << 8)
    lane = modules[0]
    # A run is under way from the first word on, and the window begins behind it.
    states = [int(state) for state in sums[0]]
    flips = [(one ^ two).bit_count() for one, two in pairwise(states)]
    outputs = [cell.pins["Q"] for cell in lane.cells if cell.kind == "DFF"]
    counted = sum(run.counts[str(lane.first + net)] for net in outputs)
    assert counted in (sum(flips), sum(flips[:-1]))
    # The gate is open for each word that comes behind the first one.
    for place in range(len(lane.enables)):
        assert WORDS - 2 <= run.counts[str(lane.first + lane.nets + place)] <= WORDS
    assert sum(cell.gate >= 0 for cell in lane.cells) == (9 if lane.enables else 0)
