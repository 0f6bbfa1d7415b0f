"""Directions from the ONNX file to the Verilog: bit exact, and near ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.onnx_graphs import SUPPORTED, feeds_for, single

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.sim.errors import SimulationError
from sparnn.sim.runner import simulate

#: One machine for all models, so that it is built once.
MACHINE = """
lanes = 8
post_units = 4
max_v = 2
weight_bits = 12
activation_bits = 14
columns = 64
store_depth = 256
threads = 2
"""
MODELS = [
    "bidirectional_lstm",
    "bidirectional_gru",
    "bidirectional_outputs",
    "bidirectional_states",
    "sum_reduce",
    "sum_view",
    "masr",
    "affine",
    "reverse_last",
    "cell_state",
]
#: Models whose two directions run in turn, as one loop.
IN_TURN = set(MODELS) - {"reverse_last", "cell_state"}


def compiled(name: str, folder: Path, **options: float) -> tuple[Path, Path]:
    import onnx

    model = SUPPORTED[name]()
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "x.npz", **feeds_for(model, steps=9, batch=3))
    (folder / "machine.toml").write_text(MACHINE)
    compile_model(
        folder / "model.onnx",
        folder / "x.npz",
        folder / "out",
        config=str(folder / "machine.toml"),
        **options,
    )
    return folder / "out", folder / "x.npz"


@pytest.mark.xdist_group("directions")
@pytest.mark.parametrize("name", MODELS)
def test_from_onnx_to_verilog(name: str, tmp_path: Path) -> None:
    folder, inputs = compiled(name, tmp_path)
    program = json.loads((folder / "program.json").read_text())
    assert any(one["descriptor"]["paired"] for one in program["layers"]) == (name in IN_TURN)
    report = simulate(folder, inputs, output=tmp_path / "y.npz")
    assert report.bit_exact, report.first_mismatch
    assert report.sqnr_db is not None
    assert report.sqnr_db > 48


@pytest.mark.xdist_group("directions")
@pytest.mark.parametrize("name", ["bidirectional_states", "bidirectional_outputs", "sum_reduce"])
def test_pruned(name: str, tmp_path: Path) -> None:
    """The float reference of a pruned network has its directions, too."""
    report = simulate(*compiled(name, tmp_path, prune=0.5))
    assert report.bit_exact, report.first_mismatch
    assert report.sqnr_db is not None
    assert report.sqnr_db > 48


@pytest.mark.xdist_group("directions")
def test_too_long_to_be_read_backwards(tmp_path: Path) -> None:
    folder, _ = compiled("sum_view", tmp_path)
    np.savez(tmp_path / "long.npz", x=np.zeros((400, 1, 4)))
    with pytest.raises(SimulationError, match="begins at the last step, so the sequence cannot be"):
        simulate(folder, tmp_path / "long.npz")


def test_one_of_two_directions_is_no_output() -> None:
    from sparnn.gen.layout import lay_out
    from sparnn.gen.pack import pack_network
    from sparnn.gen.program import build_program
    from sparnn.gen.random_networks import random_config, random_network

    for seed in range(99):
        rng = np.random.default_rng(seed)
        config = random_config(rng)
        network = random_network(rng, config)
        if len(network.stages[0]) > 1:
            break
    layout = lay_out(network, config)
    packed = pack_network(network, layout, config)
    with pytest.raises(SparnnError, match="is joined with the layer after it"):
        build_program(network, layout, packed, config, [{"layer": 0, "what": "sequence"}])


#: A dense machine, whose link carries several words at once.
DENSE = """
lanes = 8
width = 8
banks = 4
columns = 32
weight_bits = 12
activation_bits = 14
gate_depth = 16
link_words = 4
"""


@pytest.mark.xdist_group("tile_directions")
@pytest.mark.parametrize(
    "name", ["bidirectional_lstm", "bidirectional_gru", "bidirectional_states"]
)
def test_on_a_dense_machine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "MACHINE", DENSE)
    folder, inputs = compiled(name, tmp_path)
    program = json.loads((folder / "program.json").read_text())
    assert any(one["descriptor"]["paired"] for one in program["layers"]) == (name in IN_TURN)
    report = simulate(folder, inputs, output=tmp_path / "y.npz")
    assert report.bit_exact, report.first_mismatch
    assert report.sqnr_db is not None
    assert report.sqnr_db > 48


def test_what_a_dense_machine_does_not_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "MACHINE", DENSE)
    with pytest.raises(SparnnError, match="both its sequence and its final states are used"):
        compiled("bidirectional_outputs", tmp_path)


def test_a_gru_that_resets_first_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "MACHINE", DENSE)
    monkeypatch.setitem(SUPPORTED, "resets_first", lambda: single("GRU", linear_before_reset=0))
    with pytest.raises(SparnnError, match="resets before the product"):
        compiled("resets_first", tmp_path)
