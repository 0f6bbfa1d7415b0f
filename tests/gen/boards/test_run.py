"""`sparnn run` against the Verilated board top: every bit of its pins, every byte, every value."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.onnx_builder import Graph

import sparnn
from sparnn.driver.device import Device
from sparnn.driver.serial import SerialTransport
from sparnn.gen.boards import SERIAL_BOARDS
from sparnn.gen.boards.run import run_on_board
from sparnn.gen.cli.main import main
from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.synth.bitstream import bitstream
from sparnn.hdl.board.clock import ClockPlan
from sparnn.hdl.board.top import BOARD_MODULE, BoardTop, board_verilog
from sparnn.hdl.verilog import modules_verilog
from sparnn.sim.golden.run import run_golden
from sparnn.sim.host.serial_port import SerialPort
from sparnn.sim.verilator.board import DIVISOR, simulated_board
from sparnn.sim.verilator.hardware import load_program

pytestmark = pytest.mark.xdist_group("board")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small LSTM with a linear layer, compiled for 2 lanes, and its inputs."""
    folder = tmp_path_factory.mktemp("board")
    g = Graph(5)
    x = g.input("x", ["time", "batch", 4])
    y, _ = g.recurrent("LSTM", x, 4, 6, bias=True)
    y = g.add("Add", [g.add("MatMul", [g.squeeze(y, 1), g.weights(6, 3)]), g.weights(3)])
    g.output(y, "y")
    onnx.save(g.model(), folder / "model.onnx")
    rng = np.random.default_rng(7)
    np.savez(folder / "x.npz", x=rng.normal(size=(9, 3, 4)).astype(np.float32))
    compile_model(
        folder / "model.onnx", folder / "x.npz", folder / "out", config="ulx3s", lanes=2, width=1
    )
    return folder / "out", folder / "x.npz"


def test_a_session_on_a_board(network) -> None:
    """The same outputs as the golden model's, state carried from call to call."""
    folder, inputs = network
    x = np.load(inputs)["x"][:, :1]
    golden, board = (
        sparnn.InferenceSession(folder, backend, carry_state=True)
        for backend in ("golden", "serial")
    )
    for part in (x[:2], x[2:3]):
        (expected,) = golden.run(None, {"x": part})
        (found,) = board.run(None, {"x": part})
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(SparnnError, match="the boards are ulx3s"):
        sparnn.InferenceSession(folder, "serial", board="none")
    with pytest.raises(SparnnError, match="beside a processor"):
        sparnn.InferenceSession(folder, "serial", board="pynq_z2")


def test_byte_for_byte(network, tmp_path, monkeypatch) -> None:
    """The host's bytes are those of the pins, both ways, and the outputs the golden model's."""
    sent, got = bytearray(), bytearray()
    write, read = SerialPort.write, SerialPort.read

    def writing(self: SerialPort, data: bytes) -> None:
        sent.extend(data)
        write(self, data)

    def reading(self: SerialPort, seconds: float) -> bytes:
        data = read(self, seconds)
        got.extend(data)
        return data

    monkeypatch.setattr(SerialPort, "write", writing)
    monkeypatch.setattr(SerialPort, "read", reading)
    folder, inputs = network
    log = tmp_path / "pins"
    report = run_on_board(
        folder, "ulx3s", "sim", inputs, output=tmp_path / "y.npz", log=log, patience=60
    )
    assert report.bit_exact
    assert (report.sequences, report.steps) == (3, 27)
    assert report.cycles > 0
    seen = log.read_bytes()
    pairs = list(zip(seen[::2], seen[1::2], strict=True))
    assert bytes(byte for way, byte in pairs if way == ord("i")) == bytes(sent)
    # The board may have said RESET before the port was opened.
    out = bytes(byte for way, byte in pairs if way == ord("o"))
    assert out.endswith(bytes(got))
    assert len(out) - len(got) in (0, 6)
    assert len(sent) >= 6 * report.words_sent
    with np.load(tmp_path / "y.npz") as outputs:
        assert outputs["y"].shape == (9, 3, 3)


def test_python_driver(network, tmp_path) -> None:
    """`sparnn.driver` over the same line; a sequence in pieces is the sequence."""
    folder, inputs = network
    run_golden(folder, inputs, tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as outputs, np.load(inputs) as given:
        expected, x = outputs["y"], given["x"]
    verilog = tmp_path / "board.v"
    top = BoardTop(ClockPlan("", Fraction(1), Fraction(1)), DIVISOR)
    verilog.write_text(board_verilog(load_program(folder).config, top), encoding="utf-8")
    with (
        simulated_board(verilog, BOARD_MODULE) as port,
        SerialTransport(port, 115200, mhz=0.01, patience=60) as transport,
    ):
        device = Device(transport)
        device.load(folder)
        first = device.run(x[:5, :1])["y"]
        state = device.state()
        device.reset()
        second = device.run(x[5:, :1], state=state)["y"]
        assert np.array_equal(np.concatenate([first, second]), expected[:, :1])


def refusal(capsys, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("sparnn: error: ")
    assert said.count("\n") == 1
    return said


def test_refusals(network, capsys, tmp_path) -> None:
    folder, inputs = network
    out = tmp_path / "out"
    run = ("run", folder, "--input", inputs)
    assert "there is no such port" in refusal(
        capsys, *run, "--board", "ulx3s", "--port", "/dev/ttyNONE"
    )
    assert "this is no serial port" in refusal(capsys, *run, "--board", "ulx3s", "--port", inputs)
    assert "the boards are ulx3s, " in refusal(capsys, *run, "--board", "x", "--port", "sim")
    make = ("bitstream", folder, "-o", out, "--board")
    assert "unknown; the boards are" in refusal(capsys, *make, "x")
    assert "was not compiled with --bus axi" in refusal(capsys, *make, "pynq_z2")
    assert "beside a processor" in refusal(capsys, *run, "--board", "pynq_z2", "--port", "sim")
    assert "cannot make 51.234 MHz" in refusal(capsys, *make, "ulx3s", "--mhz", "51.234")
    assert "baud" in refusal(capsys, *make, "ulx3s", "--baud", "12000000", "--mhz", "25")
    assert not out.exists()


def test_projects_for_vivado(network, capsys, tmp_path) -> None:
    """Everything that Vivado needs, and the commands that go on from there."""
    with pytest.raises(SystemExit) as stopped:
        main(["bitstream", str(network[0]), "--board", "arty_a7_35", "-o", str(tmp_path / "a")])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert f"vivado -mode batch -source {tmp_path / 'a' / 'project.tcl'}" in said
    assert "openFPGALoader -b arty_a7_35t" in said
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert files == {"sparnn_board.v", "sparnn.xdc", "project.tcl", "manifest.json"}
    axi = tmp_path / "axi"
    compile_model(network[0] / "model.onnx", network[1], axi, config="pynq_z2", lanes=2)
    report = bitstream(axi, "zybo_z7_20", tmp_path / "z")
    assert any("-tclargs zybo_z7_20" in line for line in report.lines())
    files = {path.name for path in (tmp_path / "z").iterdir()}
    assert files == {"sparnn.v", "sparnn_bus.v", "vivado_zynq.tcl", "manifest.json"}


def test_a_network_that_a_board_cannot_hold(network, tmp_path) -> None:
    """It is refused before any Verilog is written."""
    g = Graph(6)
    x = g.input("x", ["time", "batch", 4])
    g.output(g.squeeze(g.recurrent("LSTM", x, 4, 200)[0], 1), "y")
    onnx.save(g.model(), tmp_path / "large.onnx")
    with pytest.raises(SparnnError, match=r"does not fit GW1NR-.*: bram takes about .*; take"):
        compile_model(tmp_path / "large.onnx", network[1], tmp_path / "o", config="tang_nano_9k")
    assert not (tmp_path / "o").exists()


def test_another_machine(network, capsys, tmp_path, monkeypatch) -> None:
    """A board whose bitstream was made for another folder is refused before anything is loaded."""
    folder, inputs = network
    monkeypatch.setattr("sparnn.sim.host.board_link.identity", lambda config: 1)
    arguments = ("run", folder, "--input", inputs, "--board", "ulx3s", "--port", "sim")
    assert "holds another machine" in refusal(capsys, *arguments)


def test_missing_tool(network, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as without:
        without.setattr("sparnn.gen.synth.tools.shutil.which", lambda name: None)
        without.setattr("sparnn.gen.synth.tools.sys.executable", str(tmp_path / "python"))
        with pytest.raises(SparnnError, match="ecppack is not installed: pip install"):
            bitstream(network[0], "ulx3s", tmp_path / "out")
    monkeypatch.setattr("sparnn.gen.synth.yosys.importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SparnnError, match="pyosys is not installed: pip install"):
        bitstream(network[0], "ulx3s", tmp_path / "out")


@pytest.mark.parametrize("board", SERIAL_BOARDS.values(), ids=list(SERIAL_BOARDS))
def test_every_board_is_legal(board) -> None:
    top = board.top()
    assert float(top.plan.output_mhz) == board.machine_mhz
    assert top.divisor == board.machine_mhz * 1e6 / board.baud
    text = modules_verilog([(top, BOARD_MODULE)])
    assert set(top.signature.members) == set(board.ports())
    assert all(name in text for name in board.ports())


def test_presets_of_boards(checkout: Path) -> None:
    """A folder of constraints for every board, and none for another."""
    folders = {path.name for path in (checkout / "constraints").iterdir() if path.is_dir()}
    assert folders == set(SERIAL_BOARDS)
