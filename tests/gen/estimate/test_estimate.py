"""Estimates: what they say, and how near they are to simulated cycles."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.onnx_builder import Graph

from sparnn.gen.bench.estimate import CASES, cycle_row
from sparnn.gen.bench.random_networks import random_network
from sparnn.gen.cli.main import main
from sparnn.gen.estimate.boards import board_estimates, too_small
from sparnn.gen.estimate.cycles import loop_cycles, run_cycles
from sparnn.gen.estimate.estimate import estimate
from sparnn.gen.fit.kinds import kind_of
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.dense.place import place
from sparnn.gen.machines.dense.presets import dense_preset
from sparnn.gen.machines.dense.program import model_layers
from sparnn.gen.machines.presets import load_config
from sparnn.gen.machines.sparse.place import place as sparse_place
from sparnn.gen.machines.sparse.program import memory_needs
from sparnn.gen.synth.memories import memories
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.emit import machine_verilog
from sparnn.sim.cycles.dense import network_cycles

DIGITS = Path(__file__).parents[3] / "examples" / "digits"


def test_cycles_are_near_simulation() -> None:
    """One network; docs/results/estimate.json has many, on both machines."""
    row = cycle_row(0)
    assert abs(row["error"]) < 5, row


def test_cycles_of_the_dense_machine_are_those_of_its_model() -> None:
    network = random_network(np.random.default_rng(3), load_config("tiny"), layers=2)
    placed = place(network, dense_preset("dense64"), fit=True)
    for steps in (40, 60):
        exact = network_cycles(placed.config, model_layers(placed, steps))
        assert run_cycles(loop_cycles(placed), steps) == pytest.approx(exact, abs=3)


def test_cycles_wait_for_the_memory() -> None:
    """A streamed layer takes what is slower, a swapped one what the layer before does not hide."""
    network = random_network(np.random.default_rng(3), load_config("tiny"), layers=2)
    placed = sparse_place(network, replace(load_config("tiny"), stream_bits=32), fit=True)
    fast, slow = (loop_cycles(placed, bytes_per_cycle=rate) for rate in (1e6, 0.01))
    for mode in ("resident", "swapped", "streamed"):
        quick, late = ([replace(one, mode=mode) for one in loops] for loops in (fast, slow))
        steps, plain = 5, run_cycles([replace(one, mode="") for one in fast], 5)
        assert run_cycles(quick, steps) == pytest.approx(plain, rel=1e-2)
        reading = sum(one.reading for one in late)
        assert reading == pytest.approx(100 * 4 * sum(w.section.size for w in placed.loop_words))
        found = run_cycles(late, steps)
        if mode == "resident":
            assert found == pytest.approx(plain)
        elif mode == "swapped":
            assert plain < found < plain + reading
        else:
            assert found == pytest.approx(steps * reading, rel=0.2)
            assert all(one.waits for one in late)


def test_results_keep_the_promise(checkout: Path) -> None:
    """Within 5 % of simulated cycles, and within 10 % of synthesized LUTs."""
    tables = json.loads((checkout / "docs" / "results" / "estimate.json").read_text())["tables"]
    assert len(tables["cycles"]["rows"]) == len(CASES)
    *rows, crowded = tables["cycles"]["rows"]
    assert all(abs(row["error"]) < 5 for row in rows)
    assert abs(crowded["error"]) < 9  # its queue holds one block: docs/fpga.md
    assert all(row["lut"] < 10 for row in tables["areas"]["rows"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lanes": 4, "hard_sigmoid": 1, "reset_first": 1, "peepholes": 1},
        {"lanes": 4, "width": 4, "delta": 1, "activation_bits": 10},
        {"lanes": 8, "width": 2, "masks": 0, "counters": 1, "post_units": 2, "max_v": 2},
    ],
)
def test_memories_are_those_of_the_verilog(options: dict[str, int]) -> None:
    config = replace(load_config("tiny"), columns=64, store_depth=256, **options)
    posts = {"post_units": 1, "max_v": config.lanes}
    config = load_config(None, **{**vars(config), **posts, **options})
    found = sorted(kind_of(config.MACHINE).memories(config))
    verilog = sorted(memories(machine_verilog(config), "sparnn"))

    def counted(all_of_them: list[tuple[int, int, int]]) -> dict[tuple[int, int], int]:
        total: dict[tuple[int, int], int] = {}
        for words, bits, copies in all_of_them:
            total[words, bits] = total.get((words, bits), 0) + copies
        return total

    assert counted(found) == counted(verilog)


def test_nothing_is_said_of_what_nobody_measured() -> None:
    config = load_config("small", packed_store=1)
    for one in board_estimates(config, ["ulx3s", "icebreaker"]):
        assert not one.needs
        assert not one.fits
        assert "was measured on" in one.text(100)
    (large,) = board_estimates(load_config(None, 256), ["ulx3s"])
    assert "no machine of more than 64 lanes was measured" in large.unknown


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--board", "ulx3s", "--lanes", "2", "--width", "1", "--frame-ms", "0.05"]
    arguments += ["--calibrate", str(DIGITS / "calibrate.npz")]
    with pytest.raises(SystemExit) as stopped:
        main(["estimate", str(DIGITS / "gru.onnx"), *arguments])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "cycles a step" in said
    assert "us a step at 80 MHz" in said
    assert "times real time: too slow" in said
    with pytest.raises(SystemExit) as stopped:
        main(["estimate", str(DIGITS / "gru.onnx"), *arguments, "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    assert report["chosen"]["lanes"] == 2
    assert report["chosen"]["steps"] == 8
    assert report["chosen"]["activity_measured"]
    (board,) = report["chosen"]["boards"]
    assert board["fits"]
    assert board["microseconds_per_step"] == report["chosen"]["cycles_per_step"] / 80


def test_without_sample_inputs_a_graph_is_cut_on_drawn_ones(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.input("x", ["time", 1, 6])
    inner = graph.add("Softmax", [x], axis=2)
    y = graph.add(
        "GRU", [inner, graph.weights(1, 24, 6), graph.weights(1, 24, 8)], 2, hidden_size=8,
        linear_before_reset=1,
    )[0]  # fmt: skip
    graph.output(graph.add("Softmax", [y], axis=3), "p")
    onnx.save(graph.model(), tmp_path / "m.onnx")
    found = estimate(tmp_path / "m.onnx", board="ulx3s", lanes=1, width=1)
    assert not found.chosen.measured
    assert found.chosen.step > 300


@pytest.mark.parametrize("seed", range(6))
def test_the_least_machine_is_never_larger(seed: int) -> None:
    """What is refused before it is placed would be refused afterwards."""
    rng = np.random.default_rng(seed)
    config = load_config("tiny", 4)
    config = replace(
        config, **[{}, {"width": 4, "queue_depth": 8}, {"width": 2, "masks": 0}][seed % 3]
    )
    network = random_network(rng, config, layers=1 + seed % 3)
    base = replace(config, weight_depth=4, mask_depth=4)
    least = backend(base).least(network, base)
    placed = sparse_place(network, base, fit=True, balance=False)
    needs = memory_needs(placed)
    assert least.weight_depth <= max(4, 1 << clog2(needs["weight_depth"]))
    assert least.mask_depth <= max(4, 1 << clog2(needs["mask_depth"]))
    assert replace(least, **{k: getattr(placed.config, k) for k in needs}) == placed.config


def test_every_board_with_every_size(tmp_path: Path) -> None:
    """Nothing is asked for: also boards whose machine has no lanes of several rows. What block RAM
    rules out is not placed."""
    graph = Graph()
    x = graph.input("x", ["time", 1, 6])
    y, _ = graph.recurrent("GRU", x, 6, 8)
    graph.output(y, "y")
    onnx.save(graph.model(), tmp_path / "m.onnx")
    found = estimate(tmp_path / "m.onnx")
    assert all(fitting for fitting, _ in found.boards.values())
    for fitting, _ in found.boards.values():  # each machine once
        assert len({one.config for one in fitting}) == len(fitting)
    large = load_config("ulx3s", 8, weight_depth=1 << 20)
    assert too_small(large, "ulx3s").startswith("at the least, bram takes about")
    assert too_small(load_config("ulx3s", 8), "ulx3s") == ""


def test_refuses_an_unknown_board() -> None:
    with pytest.raises(Exception, match="the boards are ulx3s"):
        estimate(DIGITS / "gru.onnx", board="none")
