"""Coverage of the Verilog: what counts, and what nobody could reach."""

from sparnn.gen.bench.coverage_rtl import empty_branches, read_counts, share

VERILOG = r"""
module m(a);
  always @* begin
    if (\$auto$verilog_backend.cc:2355:dump_module$7 ) begin end
    if (a) begin
      b = 1;
    end
  end
endmodule
"""


def point(page: str, line: int, comment: str, count: int, hierarchy: str = "top.m") -> str:
    fields = {"page": page, "l": line, "n": 4, "o": comment, "h": hierarchy}
    body = "".join(f"\x01{name}\x02{value}" for name, value in fields.items())
    return f"C '{body}' {count}"


COUNTS = "\n".join(
    [
        "# SystemC::Coverage-3",
        point("v_line/m", 2, "block", 9),
        point("v_branch/m", 4, "if", 0),
        point("v_branch/m", 4, "else", 9),
        point("v_branch/m", 5, "if", 0, "top.m0"),
        point("v_branch/m", 5, "if", 3, "top.m1"),
        point("v_branch/m", 5, "else", 0),
        point("v_toggle/m", 2, "a[0]:0->1", 0),
    ]
)


def test_branches_without_a_statement_are_left_out() -> None:
    empty = empty_branches(VERILOG)
    assert empty == {4}
    assert share(read_counts(COUNTS), "branch") == (2, 4)
    counts = read_counts(COUNTS, empty)
    assert share(counts, "branch") == (1, 2)  # equal modules are one
    assert share(counts, "line") == (1, 1)
    assert share(counts, "toggle") == (0, 1)
    assert share(counts, None, "m") == (2, 4)
