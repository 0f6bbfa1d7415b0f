"""Bits that no input can move, and what is left out of the Verilog's coverage for it."""

from sparnn.gen.bench.constant_bits import constant_bits
from sparnn.gen.bench.coverage_left_out import CONSTANT, left_out
from sparnn.hdl.sparse.config import SparseConfig

VERILOG = r"""
module m(clk, a, b, y, z);
  input clk;
  input [3:0] a, b;
  output [7:0] y;
  output reg [7:0] z;
  wire [7:0] \$1 ;
  wire [7:0] sum;
  reg [3:0] stuck = 4'h0;
  assign \$1  = { 2'h0, a[3], 2'h0, a[2:0] };
  assign sum = a + b;
  assign y = \$1  ^ { 7'h00, stuck[3] };
  always @(posedge clk) stuck <= stuck & b;
  always @(posedge clk) z <= sum;
endmodule
"""


def bits(found: frozenset[tuple[str, str, int]], name: str) -> set[int]:
    return {bit for module, wire, bit in found if (module, wire) == ("m", name)}


def test_constants_are_found_behind_logic_and_registers() -> None:
    found = constant_bits(VERILOG)
    assert bits(found, "$1") == {3, 4, 6, 7}
    assert bits(found, "sum") == {5, 6, 7}  # four bits and four make five
    assert bits(found, "z") == {5, 6, 7}
    assert not bits(found, "a")


def point(module: str, comment: str) -> tuple[str, str, str]:
    return "toggle", module, f"7 15 {comment} "


def test_each_point_that_is_left_out_has_a_reason() -> None:
    constant = point("m", "__0241[6]:0->1")
    free = point("m", "__0241[2]:0->1")
    counter = point("top.counters", "total[24]:1->0")
    low = point("top.counters", "total[23]:1->0")
    cycles = point("top", "cycles__02441[22]:0->1")
    tail = point("top.gather", "cluster1___05Fprogram__02etail[2]:0->1")
    remainder = point("top.gather", "program.tail[1]:0->1")
    line = ("line", "m", "6 2 block ")
    config = SparseConfig(lanes=8, post_units=4, max_v=2)
    points = [constant, free, counter, low, cycles, tail, remainder, line]
    found = left_out(VERILOG, config, points)
    assert set(found) == {constant, counter, cycles, tail}
    assert found[constant] == CONSTANT
    assert "2^24 slots" in found[counter]
    assert "2^22 cycles" in found[cycles]
