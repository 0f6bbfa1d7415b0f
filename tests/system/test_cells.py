"""Cells beyond the defaults from the ONNX file to the Verilog: bit exact, near ONNX Runtime."""

from pathlib import Path

import pytest
from support.compiled import FULL, MACHINE, compiled, simulated
from support.onnx_cells import CELLS

from sparnn.gen.errors import SparnnError

#: The dense machine has peepholes too.
DENSE = """
machine = "dense"
lanes = 8
width = 4
banks = 4
slices = 2
weight_bits = 12
activation_bits = 14
columns = 32
store_depth = 256
hard_sigmoid = 1
peepholes = 1
streams = 2
"""
#: Cells that differ in the hardware.
MODELS = [
    name
    for name in CELLS
    if name.startswith(("hard", "reset", "function", "clip_", "peep", "gates"))
]


@pytest.mark.xdist_group("full")
@pytest.mark.parametrize("name", MODELS)
def test_from_onnx_to_verilog(name: str, tmp_path: Path) -> None:
    simulated(*compiled(CELLS[name](), tmp_path, FULL))


@pytest.mark.deep
@pytest.mark.xdist_group("peepholes")
@pytest.mark.parametrize("name", [name for name in CELLS if name.startswith("peepholes")])
def test_dense_peepholes_from_onnx_to_verilog(name: str, tmp_path: Path) -> None:
    simulated(*compiled(CELLS[name](), tmp_path, DENSE))


@pytest.mark.xdist_group("peepholes")
def test_streams_from_onnx_to_verilog(tmp_path: Path) -> None:
    """Three sequences, two of which take turns; the whole sequence and the last step are read."""
    one = simulated(*compiled(CELLS["peepholes"](), tmp_path, DENSE))
    report = simulated(*compiled(CELLS["peepholes"](), tmp_path, DENSE, streams=2))
    assert report.sqnr_db == one.sqnr_db
    assert report.cycles < one.cycles
    with pytest.raises(SparnnError, match="only the dense machine lets sequences take turns"):
        compiled(CELLS["affine_rnn"](), tmp_path, MACHINE, streams=2)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("reset_first", "reset_first"),
        ("hard_lstm", "hard_sigmoid"),
        ("function_relu_lstm", "cell_functions"),
        ("gates_relu_lstm", "gate_functions"),
        ("clip_lstm", "clip"),
        ("peepholes", "peepholes"),
    ],
)
def test_the_machine_lacks_the_cells(name: str, option: str, tmp_path: Path) -> None:
    with pytest.raises(SparnnError, match=rf"lacks the cells: .* {option} = 0; set {option} = 1"):
        compiled(CELLS[name](), tmp_path, MACHINE)
