"""The wrapper that lets any design be placed: shift registers behind five pins and a clock."""

import re
from collections.abc import Iterator

from sparnn.gen.errors import SparnnError

__all__ = ["PINS", "with_pins"]

#: Name of the wrapper's module.
PINS = "sparnn_pins"


def _ports(verilog: str, top: str) -> Iterator[tuple[str, int, str]]:
    """Direction, width and name of a module's ports, as Amaranth writes them."""
    match = re.search(
        rf"^module {re.escape(top)}\b.*?^endmodule", verilog, re.MULTILINE | re.DOTALL
    )
    if match is None:
        raise SparnnError(f"the Verilog has no module {top}: name the top module")
    for found in re.finditer(
        r"^  (input|output) (?:\[(\d+):0\] )?(\w+) ?;", match[0], re.MULTILINE
    ):
        yield found[1], int(found[2] or 0) + 1, found[3]


def with_pins(verilog: str, top: str) -> str:
    """The design with a new top :data:`PINS`: shift registers around ``top``.

    The top must have ports ``clk`` and ``rst``.

    Raises
    ------
    SparnnError: there is no such module.
    """
    ports = list(_ports(verilog, top))
    ins = [(w, name) for way, w, name in ports if way == "input" and name not in ("clk", "rst")]
    outs = [(w, name) for way, w, name in ports if way == "output"]

    def connections(sides: list[tuple[int, str]], bus: str) -> list[str]:
        low, made = 0, []
        for width, name in sides:
            made.append(f".{name}({bus}[{low + width - 1}:{low}])")
            low += width
        return made

    wide_in, wide_out = sum(w for w, _ in ins), sum(w for w, _ in outs)
    connected = ", ".join(
        [".clk(clk)", ".rst(reset)", *connections(ins, "drive"), *connections(outs, "result")]
    )
    return f"""{verilog}
module {PINS}(input clk, input rst, input shift_in, input load, output shift_out);
  reg reset;
  reg [{wide_in - 1}:0] drive;
  reg [{wide_out - 1}:0] sampled;
  wire [{wide_out - 1}:0] result;
  always @(posedge clk) begin
    reset <= rst;
    drive <= {{drive, shift_in}};
    sampled <= load ? result : {{sampled, 1'b0}};
  end
  assign shift_out = sampled[{wide_out - 1}];
  {top} dut({connected});
endmodule
"""
