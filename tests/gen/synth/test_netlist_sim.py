"""What Yosys makes of a design computes the same: cells, their models, and absorbed registers."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from support.onnx_builder import Graph

import sparnn
from sparnn.gen.cli.main import main
from sparnn.gen.compile import compile_model
from sparnn.gen.synth.mapping import synthesize
from sparnn.gen.synth.netlist_sim import netlist_verilog
from sparnn.gen.targets import TARGETS
from sparnn.hdl.emit import TOP_MODULE
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.lane_memory import lane_memory
from sparnn.hdl.verilog import modules_verilog
from sparnn.sim.verilator.hardware import run_driver
from sparnn.sim.verilator.verilate import build_driver

pytestmark = pytest.mark.xdist_group("netlist")

#: Words, bits: every width of a block RAM, two of them side by side, and LUT RAM where there is it.
MEMORIES = {
    "ecp5": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (256, 50), (16, 7)),
    "ice40": ((256, 16), (512, 8), (1024, 4), (2048, 2), (256, 20), (16, 7)),
}


class Mixer(wiring.Component):
    """Each word in writes all memories, reads them elsewhere, and gives a word that depends on all
    that was read and multiplied so far."""

    rx: In(stream.Signature(32))
    tx: Out(stream.Signature(32))

    def __init__(self, family: str) -> None:
        self._memories = MEMORIES[family]
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, moved = self.rx.payload, Signal()
        total = Signal(32)
        valid = Signal()
        m.d.comb += [
            moved.eq(self.rx.valid & self.rx.ready),
            self.rx.ready.eq(~valid | self.tx.ready),
            self.tx.valid.eq(valid),
            self.tx.payload.eq(total),
        ]
        with m.If(self.rx.ready):
            m.d.sync += valid.eq(self.rx.valid)
        mixed = Cat(total[-1], total[:-1])
        for index, (words, bits) in enumerate(self._memories):
            memory = Memory(shape=bits, depth=words, init=[], attrs={"no_rw_check": 1})
            m.submodules[f"memory{index}"] = memory
            write, read = memory.write_port(), memory.read_port()
            size = len(write.addr)
            kept = Signal(bits, reset_less=True)
            m.d.comb += [
                write.en.eq(moved & word[31]),
                write.addr.eq(word[:size]),
                write.data.eq(Cat(word, ~word)),
                read.en.eq(moved),
                read.addr.eq(Cat(~word[0], word[13 : 13 + size - 1])),
            ]
            with m.If(moved):
                m.d.sync += kept.eq(read.data)
            mixed ^= Cat(kept[:32], kept[32:]) if bits <= 32 else kept[:32] ^ kept[32:]
        a, b = (Signal(signed(12), name=name, reset_less=True) for name in "ab")
        product = Signal(signed(24), reset_less=True)
        with m.If(moved):
            m.d.sync += [a.eq(word), b.eq(word[12:]), product.eq(a * b), total.eq(mixed + product)]
        return m


class Filler(wiring.Component):
    """Words with bit 31 fill a large memory of bytes; others read it, and change what is sent."""

    rx: In(stream.Signature(32))
    tx: Out(stream.Signature(32))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, moved, reads = self.rx.payload, Signal(), Signal()
        load, read = lane_memory(
            m, "bytes", SparseConfig(large_memory=1024), shape=signed(8), depth=1024
        )
        total, valid = Signal(32), Signal()
        m.d.comb += [
            moved.eq(self.rx.valid & self.rx.ready),
            self.rx.ready.eq(~valid | self.tx.ready),
            self.tx.valid.eq(valid),
            self.tx.payload.eq(total ^ Mux(reads, read.data, 0)),
            load.en.eq(moved & word[31]),
            load.addr.eq(word),
            load.data.eq(word[10:]),
            read.en.eq(moved & ~word[31]),
            read.addr.eq(word),
        ]
        with m.If(self.rx.ready):
            m.d.sync += valid.eq(self.rx.valid)
        with m.If(moved):
            m.d.sync += [reads.eq(~word[31]), total.eq(Cat(self.tx.payload[-1], self.tx.payload))]
        return m


def test_large_memories_are_spram(tmp_path: Path) -> None:
    design = modules_verilog([(Filler(), TOP_MODULE)])
    for name in ("rtl", "netlist"):
        (tmp_path / name).mkdir()
    netlist = netlist_verilog(design, TOP_MODULE, TARGETS["ice40"])
    assert "SB_SPRAM256KA" in netlist
    expected = answers(design, tmp_path / "rtl")
    assert len(set(expected[-100:])) > 90
    np.testing.assert_array_equal(answers(netlist, tmp_path / "netlist"), expected)


def mixer(family: str) -> str:
    return modules_verilog([(Mixer(family), TOP_MODULE)])


def answers(verilog: str, folder: Path) -> np.ndarray:
    (folder / "design.v").write_text(verilog)
    words = np.random.default_rng(1).integers(0, 1 << 32, 4000, dtype=np.uint32)
    words[::7] %= 64  # meet again what was written
    words[3::7] = words[3::7] % 64 | 1 << 31
    binary = build_driver(folder / "design.v")
    answer, _, problem = run_driver(
        binary, words, len(words), {"--watchdog": 1000, "--idle": 20, "--stall": 20}
    )
    assert problem is None
    return answer


@pytest.mark.parametrize("family", ["ecp5", pytest.param("ice40", marks=pytest.mark.deep)])
def test_cells_compute_what_the_design_does(family: str, tmp_path: Path) -> None:
    for name in ("rtl", "netlist"):
        (tmp_path / name).mkdir()
    design = mixer(family)
    expected = answers(design, tmp_path / "rtl")
    assert len(set(expected[-100:])) > 90
    netlist = netlist_verilog(design, TOP_MODULE, TARGETS[family])
    np.testing.assert_array_equal(answers(netlist, tmp_path / "netlist"), expected)


def test_registers_move_into_block_rams_and_multipliers() -> None:
    result = synthesize(mixer("ecp5"), TOP_MODULE, TARGETS["ecp5"], netlist=False)
    text = result.verilog.read_text()
    # 36 and 18 bits take one each, 9 and 4 one each, 50 two; in wide ones both halves.
    assert result.cells["DP16KD"] == 6
    assert text.count('.REGMODE_B("OUTREG")') == 6
    assert '.REG_INPUTA_CLK("CLK0")' in text
    assert '.REG_INPUTB_CLK("CLK1")' in text
    assert '.REG_OUTPUT_CLK("CLK2")' in text
    # Left: the sum, valid, and the 7 bits behind LUT RAM.
    assert result.cells["TRELLIS_FF"] <= 32 + 1 + 2 * 7


@pytest.mark.deep
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A small machine's netlist runs a network, bit exact; a family without models is refused."""
    g = Graph(5)
    x = g.input("x", ["time", "batch", 4])
    y, _ = g.recurrent("RNN", x, 4, 5, bias=True)
    g.output(g.squeeze(y, 1), "y")
    onnx.save(g.model(), tmp_path / "model.onnx")
    rng = np.random.default_rng(7)
    np.savez(tmp_path / "x.npz", x=rng.normal(size=(4, 2, 4)).astype(np.float32))
    least = {"columns": 16, "mask_depth": 32, "weight_depth": 64, "rows": 16, "state_depth": 8}
    small = {"lanes": 1, "chunk": 8, "sub_chunk": 4, "parameter_depth": 16, "store_depth": 32}
    machine = {"post_units": 1, "max_v": 1, "program_depth": 2, **least, **small}
    machine |= {"compact": 1, "backwards": 0}
    (tmp_path / "m.toml").write_text("".join(f"{k} = {v}\n" for k, v in machine.items()))
    samples, machine_file, out = tmp_path / "x.npz", tmp_path / "m.toml", tmp_path / "out"
    compile_model(tmp_path / "model.onnx", samples, out, config=str(machine_file))
    run = ("simulate", str(out), "--input", str(samples), "--json", "-", "--netlist")
    for family, status in (("ice40", 0), ("asic", 2)):
        with pytest.raises(SystemExit) as stopped:
            main([*run, family])
        said = capsys.readouterr()
        assert stopped.value.code == status, said.err
        if status == 0:
            report = json.loads(said.out)
            assert report["bit_exact"]
            assert report["steps"] == 8
    assert "sparnn: error: --target asic: unknown" in said.err
    with np.load(samples) as arrays:
        feeds = dict(arrays)
    (expected,), (found,) = (
        sparnn.InferenceSession(out, backend, target="ice40").run(None, feeds)
        for backend in ("golden", "netlist")
    )
    np.testing.assert_array_equal(found, expected)
