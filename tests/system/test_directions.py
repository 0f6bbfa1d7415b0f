"""Directions from the ONNX file to the Verilog: bit exact, and near ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.compiled import DENSE, FULL, compiled, simulated
from support.onnx_builder import single
from support.onnx_graphs import SUPPORTED

from sparnn.gen.errors import SparnnError
from sparnn.sim.errors import SimulationError
from sparnn.sim.runner import simulate

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


@pytest.mark.xdist_group("full")
@pytest.mark.parametrize("name", MODELS)
def test_from_onnx_to_verilog(name: str, tmp_path: Path) -> None:
    folder, inputs = compiled(SUPPORTED[name](), tmp_path, FULL)
    program = json.loads((folder / "program.json").read_text())
    assert any(one["descriptor"]["paired"] for one in program["layers"]) == (name in IN_TURN)
    simulated(folder, inputs, output=tmp_path / "y.npz")


@pytest.mark.xdist_group("full")
@pytest.mark.parametrize("name", ["bidirectional_states", "bidirectional_outputs", "sum_reduce"])
def test_pruned(name: str, tmp_path: Path) -> None:
    """The float reference of a pruned network has its directions, too."""
    simulated(*compiled(SUPPORTED[name](), tmp_path, FULL, prune=0.5))


@pytest.mark.xdist_group("full")
def test_too_long_to_be_read_backwards(tmp_path: Path) -> None:
    folder, _ = compiled(SUPPORTED["sum_view"](), tmp_path, FULL)
    np.savez(tmp_path / "long.npz", x=np.zeros((400, 1, 4)))
    with pytest.raises(SimulationError, match="begins at the last step, so the sequence cannot be"):
        simulate(folder, tmp_path / "long.npz")


def test_one_of_two_directions_is_no_output() -> None:
    from sparnn.gen.bench.random_networks import random_config, random_network
    from sparnn.gen.machines.sparse.place import place

    for seed in range(99):
        rng = np.random.default_rng(seed)
        config = random_config(rng)
        network = random_network(rng, config)
        if len(network.stages[0]) > 1:
            break
    with pytest.raises(SparnnError, match="is joined with the layer after it"):
        place(network, config, [{"layer": 0, "what": "sequence"}])


@pytest.mark.xdist_group("dense")
@pytest.mark.parametrize(
    "name", ["bidirectional_lstm", "bidirectional_gru", "bidirectional_states"]
)
def test_on_a_dense_machine(name: str, tmp_path: Path) -> None:
    folder, inputs = compiled(SUPPORTED[name](), tmp_path, DENSE)
    program = json.loads((folder / "program.json").read_text())
    assert any(one["descriptor"]["paired"] for one in program["layers"]) == (name in IN_TURN)
    simulated(folder, inputs, output=tmp_path / "y.npz")


def test_what_a_dense_machine_does_not_keep(tmp_path: Path) -> None:
    with pytest.raises(SparnnError, match="both its sequence and its final states are used"):
        compiled(SUPPORTED["bidirectional_outputs"](), tmp_path, DENSE)


def test_a_gru_that_resets_first_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SparnnError, match="resets before the product"):
        compiled(single("GRU", linear_before_reset=0), tmp_path, DENSE)
