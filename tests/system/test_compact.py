"""Machines for small FPGAs: random networks bit exact, and what they refuse."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.compiled import MACHINE, compiled
from support.onnx_graphs import SUPPORTED

from sparnn.gen.bench.regress import compact_machine, run_case
from sparnn.gen.cli import main as cli
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.post.serial import sum_limbs

#: Few lanes, which cover the corners below.
MACHINES = (9, 10, 14, 20)
NETWORKS = 8


def test_the_machines_cover_the_corners() -> None:
    machines = [compact_machine(seed) for seed in MACHINES]

    def values(name: str) -> set[int]:
        return {getattr(machine, name) for machine in machines}

    assert values("backwards") == {0, 1}
    assert values("large_memory") == {0, 64}
    assert values("max_v") == {1, 2}
    assert values("threads") == {1, 2}
    assert values("hard_sigmoid") == {0, 1}
    assert values("split_scales") == {0, 1}
    assert 1 in values("lanes")
    assert {sum_limbs(machine) for machine in machines} == {2, 3}


@pytest.mark.parametrize(
    "machine", [*MACHINES[:2], *(pytest.param(one, marks=pytest.mark.deep) for one in MACHINES[2:])]
)
def test_random_networks(machine: int, tmp_path: Path) -> None:
    for network in range(NETWORKS):
        case = run_case(machine, network, tmp_path, compact_machine)
        assert case.mismatch is None, f"{case.description}; {case.mismatch}; {case.name}"


@pytest.mark.parametrize("name", ["bidirectional_lstm", "sum_view", "reverse_last"])
def test_backwards_layers_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SparnnError, match="backwards = 0; set backwards = 1"):
        compiled(SUPPORTED[name](), tmp_path, MACHINE + "backwards = 0\n")


def test_the_command_refuses_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled(SUPPORTED["bidirectional_lstm"](), tmp_path, MACHINE)
    (tmp_path / "m.toml").write_text(MACHINE + "backwards = 0\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(
            [
                "compile",
                str(tmp_path / "model.onnx"),
                "--calibrate",
                str(tmp_path / "x.npz"),
                "--config",
                str(tmp_path / "m.toml"),
                "-o",
                str(tmp_path / "refused"),
            ]
        )
    assert ended.value.code == 2
    assert "layers that run backwards or are added" in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backwards": 0, "threads": 2}, "set backwards = 1, or threads = 1"),
        ({"compact": 1, "post_units": 2, "max_v": 4}, "set compact = 0, or post_units = 1"),
        ({"compact": 1, "reset_first": 1}, "set reset_first = 0, or compact = 0"),
    ],
)
def test_machines_that_cannot_be(changes: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        SparseConfig(**changes)


def test_large_memories_have_no_initial_values() -> None:
    """What cannot have them is not inferred from a memory that has some."""
    config = SparseConfig(lanes=1, max_v=1, weight_depth=1024, mask_depth=256)
    texts = {depth: kept_verilog(replace(config, large_memory=depth)) for depth in (0, 512, 256)}
    huge = {depth: text.count('ram_style = "huge"') for depth, text in texts.items()}
    assert huge == {0: 0, 512: 1, 256: 2}
    loops = {depth: text.count("initial begin : zero_") for depth, text in texts.items()}
    assert loops[0] - loops[512] == 1
    assert loops[0] - loops[256] == 2
