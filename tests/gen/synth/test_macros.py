"""A machine with its memories as modules of their own."""

import json
import re
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from support.compiled import DENSE as DENSE_FILE
from support.compiled import MACHINE as MACHINE_FILE
from support.compiled import compiled
from support.onnx_builder import single
from support.small_network import CONFIG

from sparnn.driver.device import Device
from sparnn.driver.simulated import simulated_device
from sparnn.gen.bench.regress import compact_machine, random_machine, run_case, streaming_machine
from sparnn.gen.cli.main import main
from sparnn.gen.machines.dense.presets import dense_preset
from sparnn.gen.synth.macros import (
    LEAST_BITS,
    MACHINE,
    MODELS,
    WRAPPER,
    harsh,
    harsh_verilog,
    macro_machine,
)
from sparnn.gen.synth.memories import memories
from sparnn.gen.synth.yosys import run_yosys
from sparnn.hdl.emit import TOP_MODULE, machine_verilog
from sparnn.hdl.macros import MemoryMacro
from sparnn.sim.golden.run import run_golden
from sparnn.sim.verilator.toolchain import find_toolchain

DENSE = dense_preset("dense64")


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, stream_bits=32), DENSE])
def test_no_bit_is_lost(config):
    """Memories apart and arrays that are left are those of the machine as it always is."""
    found = macro_machine(config, 1)
    apart = [(one["words"], one["bits"], one["copies"]) for one in found.placed]
    together = memories(found.texts[MACHINE], TOP_MODULE) + apart

    def bits(held):
        return sum(words * bits * copies for words, bits, copies in held)

    assert bits(together) == bits(memories(machine_verilog(config), TOP_MODULE))
    assert bits(apart) == found.bits > 0
    for name in {one["module"] for one in found.placed}:
        assert found.models.count(f"module {name}(") == 1


def test_limit_and_what_is_left():
    found = macro_machine(DENSE)
    assert all(one["words"] * one["bits"] >= LEAST_BITS for one in (*found.placed, *found.left))
    # Read in the same cycle, and constant.
    assert {one["name"] for one in found.left} == {"x", "h", "table"}
    most = max(one["words"] * one["bits"] for one in found.placed)
    assert macro_machine(DENSE, most + 1).placed == ()


def test_weights_share_a_port_unless_they_come_from_memory():
    def collisions(config):
        placed = macro_machine(config, 1).placed
        return {one["name"]: one["collision"] for one in placed}

    assert collisions(CONFIG)["weights"] == collisions(CONFIG)["weight_masks"] == "alone"
    assert "alone" not in collisions(replace(CONFIG, stream_bits=32)).values()
    assert collisions(CONFIG)["activations"] == "any"


def test_yosys_takes_both_texts(tmp_path):
    """Every port of every instance is one of its module, as wide as it is there."""
    found = macro_machine(CONFIG)
    (tmp_path / "sparnn.v").write_text(found.texts[MACHINE], encoding="utf-8")
    (tmp_path / "models.v").write_text(found.models, encoding="utf-8")
    steps = ["read_verilog sparnn.v models.v", f"hierarchy -check -top {TOP_MODULE}"]
    log = run_yosys([*steps, "proc", "check -assert"], tmp_path, "Reading")
    assert "Resizing cell port" not in (log or "")


#: What is read of the word ``old`` where some word is written, where it is this word.
READS = {
    "alone": "~old",
    "any": "same ? ~old : old",
    "old": "old",
    "new": "same ? {en[1] ? data[15:8] : old[15:8], en[0] ? data[7:0] : old[7:0]} : old",
}

BENCH = """
module NAME;
  reg clk = 0, read;
  reg [1:0] en;
  reg [2:0] address, place;
  reg [15:0] data, low [0:4], high [0:4], expected;
  wire [15:0] found;
  wire [15:0] old = {high[place][7:0], low[place][7:0]};
  wire same = en != 0 && address == place;
  integer i, seed = 1;
  MODEL dut(.clk(clk), .w0_en(en), .w0_addr(address), .w0_data(data),
            .r0_en(read), .r0_addr(place), .r0_data(found));
  initial begin
    for (i = 0; i < 3000; i = i + 1) begin
      read = i < 5 ? 0 : $random(seed);
      en = i < 5 ? 3 : $random(seed) & $random(seed);
      address = i < 5 ? i : $unsigned($random(seed)) % 5;
      place = i < 5 ? 0 : $unsigned($random(seed)) % 5;
      data = $random(seed);
      #1 if (read) expected = en != 0 ? READ : old;
      if (en[0]) low[address] = data[7:0];
      if (en[1]) high[address] = data[15:8];
      clk = 1;
      #1 clk = 0;
      if (i > 50 && found !== expected) $fatal(1, "step %0d: %h, not %h", i, found, expected);
    end
    $display("NAME is right");
  end
endmodule
"""


def test_models(tmp_path):
    """Against bytes that are kept apart: parts of words are written, and words read meanwhile."""
    text = ""
    for collision, read in READS.items():
        macro = MemoryMacro(5, 16, 8, 1, 1, collision)
        bench = BENCH.replace("MODEL", macro.name).replace("READ", read)
        text += bench.replace("NAME", f"bench_{collision}") + macro.verilog()
    placed = "".join(f"  bench_{name} of_{name}();\n" for name in READS)
    text += f"module bench;\n{placed}  initial #7000 $finish;\nendmodule\n"
    (tmp_path / "bench.v").write_text(text, encoding="utf-8")
    tools = find_toolchain()
    options = ["--binary", "--timing", "-Wno-lint", "-Wno-style", "--top-module", "bench"]
    command = [tools.verilator, *options, "-CFLAGS", "-std=gnu++20 -O0", "-j", "2", "bench.v"]
    subprocess.run(command, cwd=tmp_path, env=tools.environment(), check=True, capture_output=True)
    done = subprocess.run(
        [tmp_path / "obj_dir" / "Vbench"], capture_output=True, text=True, check=False
    )
    for name in READS:
        assert f"bench_{name} is right" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("make", "seed"),
    [
        (random_machine, 2),
        pytest.param(random_machine, 5, marks=pytest.mark.deep),
        pytest.param(streaming_machine, 0, marks=pytest.mark.deep),
        pytest.param(compact_machine, 0, marks=pytest.mark.deep),
    ],
)
def test_random_networks(make, seed, tmp_path):
    """Bit exact from registers and memories that start with what means nothing."""
    (tmp_path / "sparnn.v").write_text(harsh_verilog(make(seed)), encoding="utf-8")
    for network in range(3):
        case = run_case(seed, network, tmp_path, make)
        assert case.mismatch is None, f"{case.name}: {case.description}; {case.mismatch}"


def test_harsh_text_is_harsh(tmp_path):
    """Registers start at the complement: one that holds its start shows it."""
    text = harsh_verilog(CONFIG)
    starts = re.findall(r"^  reg (?:\[\d+:0\] )?\S+ += (~?)\d+'h", text, re.MULTILINE)
    assert len(starts) > 100
    assert set(starts) == {"~"}


def status(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return ended.value.code


@pytest.mark.parametrize(
    "machine", [MACHINE_FILE, pytest.param(DENSE_FILE, marks=pytest.mark.deep)]
)
def test_command(machine, tmp_path, capsys):
    """It writes a folder, whose machine is simulated bit exact, and refuses what it cannot do."""
    folder, inputs = compiled(single(), tmp_path, machine)
    assert status("macros", folder, "-o", tmp_path / "chip") == 0
    listed = json.loads((tmp_path / "chip" / "memories.json").read_text())
    text = (tmp_path / "chip" / "sparnn_memories.v").read_text()
    assert {one["module"] for one in listed["memories"]} == set(re.findall(r"module (\w+)", text))
    assert "left           sparnn_" in capsys.readouterr().out
    assert status("simulate", folder, "--input", inputs, "--macros") == 0
    assert "bit exact      yes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "more", ["", pytest.param("stream_bits = 64\nmask_depth = 256\n", marks=pytest.mark.deep)]
)
def test_on_a_bus(more, tmp_path):
    """The wrapper's queues are apart as well; jobs give what the golden model gives."""
    model = single("LSTM")
    folder, inputs = compiled(model, tmp_path, MACHINE_FILE + more, bus="axi", bus_bits=64)
    assert status("macros", folder, "-o", tmp_path / "chip") == 0
    chip = {name: (tmp_path / "chip" / name).read_text() for name in (MACHINE, WRAPPER, MODELS)}
    manifest = json.loads((tmp_path / "chip" / "manifest.json").read_text())
    assert manifest["options"] == {"least_bits": 512, "bus": "axi", "bus_bits": 64}
    listed = json.loads((tmp_path / "chip" / "memories.json").read_text())["memories"]
    assert "queue" in {one["name"] for one in listed if one["in"].startswith("sparnn_bus")}
    (folder / MACHINE).write_text(harsh(chip[MACHINE]))
    (folder / WRAPPER).write_text(harsh(chip[WRAPPER]) + chip[MODELS])
    run_golden(folder, inputs, tmp_path / "y.npz")
    with simulated_device(folder) as transport, np.load(tmp_path / "y.npz") as outputs:
        device = Device(transport)
        device.load(folder)
        with np.load(inputs) as x:
            found = device.run(dict(x))
        for name in outputs.files:
            assert np.array_equal(found[name], outputs[name]), name


def test_command_refuses(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text('{"sparnn_version": "0.1"}')

    def said(*arguments):
        assert status(*arguments) == 2
        return capsys.readouterr().err

    assert "name another one" in said("macros", tmp_path, "-o", tmp_path)
    assert "says no machine" in said("macros", tmp_path, "-o", tmp_path / "chip")
    assert "cannot be read" in said("macros", tmp_path.parent, "-o", tmp_path / "chip")
    both = ("--macros", "--netlist", "ecp5")
    assert "two designs" in said("simulate", tmp_path, "--input", __file__, *both)
