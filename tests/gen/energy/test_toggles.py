"""Energy of logic: a Liberty file, a netlist of three cells, and a sum by hand."""

import pytest

from sparnn.gen.energy.gates import GateCell, GateModule
from sparnn.gen.energy.liberty import read_liberty
from sparnn.gen.energy.toggles import SLEW_NS, WIRES, logic_energy
from sparnn.gen.errors import SparnnError

LIBERTY = f"""
library(three) {{
  /* loads first, then slews */
  capacitive_load_unit (1,pf);
  nom_voltage : 2.0;
  wire_load("{WIRES}") {{ capacitance : 0.001; fanout_length(1, 2); fanout_length(3, 5); }}
  power_lut_template(both) {{
    variable_1 : total_output_net_capacitance;
    variable_2 : input_transition_time;
    index_1 ("0.0, 0.1");
    index_2 ("0.0, {2 * SLEW_NS}");
  }}
  cell(INV) {{
    area : 2; cell_leakage_power : 5;
    pin(A) {{ direction : input; capacitance : 0.002; }}
    pin(Y) {{
      direction : output; function : "A'";
      internal_power() {{
        related_pin : "A";
        rise_power(both) {{ values ("0.001, 0.003", "0.011, 0.013"); }}
        fall_power(both) {{ values ("0.002, 0.004", \\
                                    "0.012, 0.014"); }}
      }}
    }}
  }}
  cell(AND) {{
    pin(A) {{ direction : input; capacitance : 0.002; }}
    pin(B) {{ direction : input; capacitance : 0.002; }}
    pin(Y) {{ direction : output; function : "(A !B)+(A*B)"; }}
  }}
  cell(FF) {{
    cell_leakage_power : 7;
    ff (Q, QN) {{ next_state : "D"; clocked_on : "CK"; }}
    pin(D) {{ direction : input; capacitance : 0.003; }}
    pin(CK) {{
      direction : input; capacitance : 0.001;
      internal_power() {{ power(scalar) {{ values ("0.004"); }} }}
    }}
    pin(Y) {{ direction : output; function : "Q"; }}
  }}
}}
"""


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "three.lib"
    path.write_text(LIBERTY.replace("A'", "!A"), encoding="utf-8")
    return read_liberty(path, wires=WIRES)


def test_cells(library):
    """Units are fF and fJ; functions are Verilog, in which a product has a sign."""
    inverter, flip_flop = library.cells["INV"], library.cells["FF"]
    assert inverter.pins["A"].capacitance == pytest.approx(2)
    assert inverter.pins["Y"].function == "~A"
    assert library.cells["AND"].pins["Y"].function == "(A & ~B) | (A & B)"
    assert (flip_flop.clock, flip_flop.data, flip_flop.state) == ("CK", "D", ("Q", "QN"))
    # Between slews 0 and twice SLEW_NS, and between loads 0 and 100 fF; mean of rise and fall.
    assert inverter.pins["Y"].transition(SLEW_NS, 0) == pytest.approx((2 + 3) / 2)
    assert inverter.pins["Y"].transition(SLEW_NS, 50) == pytest.approx((7 + 8) / 2)
    assert [library.wire_load(fanout) for fanout in (0, 1, 2, 3, 6)] == pytest.approx(
        [0, 2, 5, 5, 10]
    )


def test_sum(library):
    """A flip-flop drives an inverter, which drives it."""
    cells = (
        GateCell("FF", {"D": 1, "CK": -1, "Y": 0}),
        GateCell("INV", {"A": 0, "Y": 1}),
    )
    module = GateModule("part", 1, 100, 2, cells)
    found = logic_energy(module, {"100": 6, "101": 6}, library, cycles=10)
    edge = 2 * 4 + 1 * 4  # fJ: inside, and the pin's 1 fF at 2 V
    assert found.clock == pytest.approx(10 * edge / 1000)
    assert found.needed == pytest.approx(6 * edge / 1000)
    load = [2 + 2, 3 + 2]  # fF of the pin that reads a net, and of its wires
    assert found.wires == pytest.approx(6 * sum(load) * 4 / 2 / 1000)
    inside = library.cells["INV"].pins["Y"].transition(SLEW_NS, load[1])
    assert found.internal == pytest.approx(6 * inside / 1000)
    assert found.total == pytest.approx(found.clock + found.wires + found.internal)
    assert found.leakage_mw == pytest.approx(12e-6)
    assert found.flip_flops == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing at all",
        "library (l) { capacitive_load_unit (1, mF); }",
        "library (l) { cell (A) { area : wide; } }",
    ],
)
def test_no_liberty(tmp_path, text):
    path = tmp_path / "no.lib"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SparnnError, match="cannot be read as a Liberty file"):
        read_liberty(path)


def test_function_not_understood(tmp_path):
    path = tmp_path / "three.lib"
    path.write_text(LIBERTY, encoding="utf-8")
    with pytest.raises(SparnnError, match="is not understood"):
        read_liberty(path)
