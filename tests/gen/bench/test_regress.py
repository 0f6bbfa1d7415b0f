"""`sparnn regress`: cases follow from their seeds, one can be replayed, results stay."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from sparnn.gen.bench import regress
from sparnn.gen.bench.random_networks import random_config, random_initial, random_network, random_x
from sparnn.gen.bench.regress_run import regress_cases
from sparnn.gen.cli import main as command
from sparnn.gen.errors import SparnnError

OK = regress.Case("0:0", "a machine", 5, None)


def main(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as done:
        command.main(arguments)
    return done.value.code or 0


@pytest.fixture
def run(monkeypatch):
    """The command, with a function in place of the simulation."""

    def run(run_case, *arguments):
        monkeypatch.setattr(regress, "run_case", run_case)
        return main(["regress", *arguments])

    return run


@pytest.mark.xdist_group("regress")
def test_one_case_is_replayed(capsys):
    assert main(["regress", "--case", "11:1"]) == 0
    first = capsys.readouterr().out
    assert first.startswith("11:1: 3 lanes x 4 without masks, 1 post units, V <= 1, C = 32/8")
    assert first.endswith("1 passed, 0 failed\n")
    assert main(["regress", "--case", "11:1"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("case", ["3", "3:", "a:b", "1:2:3"])
def test_a_bad_case_is_refused(case, run, capsys):
    assert run(lambda *_: OK, "--case", case, "--minutes", "0") == 2
    assert f"--case {case!r} is not MACHINE:NETWORK" in capsys.readouterr().err


def test_a_failing_case_prints_its_replay(run, capsys):
    wrong = regress.Case("4:2", "a machine", 5, "7 values differ: here")
    assert run(lambda *_: wrong, "--case", "4:2", "--machines", "compact") == 1
    out = capsys.readouterr().out
    assert "FAILED 7 values differ: here" in out
    assert "sparnn regress --machines compact --case 4:2" in out
    assert "0 passed, 1 failed" in out


@pytest.mark.parametrize("error", [SparnnError("no"), ValueError("no"), RuntimeError("no")])
def test_an_error_is_a_failed_case(error, run, capsys):
    def run_case(*_):
        raise error

    assert run(run_case, "--case", "4:2") == 1
    assert "FAILED no" in capsys.readouterr().out


def test_all_networks_of_a_machine_until_time_is_up(run, capsys):
    seen = []

    def run_case(machine, network, folder, _make):
        seen.append((machine, network))
        assert folder.is_dir()
        return OK

    assert run(run_case, "--minutes", "0.005", "--seed", "7", "--networks", "3") == 0
    assert seen[:4] == [(7, 0), (7, 1), (7, 2), (8, 0)]
    assert f"{len(seen)} passed, 0 failed" in capsys.readouterr().out


def test_results_stay(monkeypatch, tmp_path: Path):
    """A case that has a result is not run again; one of other machines is."""
    seen = []

    def run_case(machine, network, _folder, _make):
        seen.append((machine, network))
        return regress.Case(f"{machine}:{network}", "a machine", 5, None)

    monkeypatch.setattr(regress, "run_case", run_case)

    def run(kind: str, networks: int) -> list[str]:
        found = regress_cases(kind, iter((3, 4)), range(networks), 1, results=tmp_path / "kept")
        return [one.name for one in found]

    assert run("any", 1) == ["3:0", "4:0"]
    assert run("any", 2) == ["3:1", "4:1"]
    assert run("any", 2) == []
    assert run("compact", 1) == ["3:0", "4:0"]
    assert len(seen) == 6
    assert len(list((tmp_path / "kept" / "cases").glob("*.json"))) == 6


def test_a_failed_case_is_told_again(run, tmp_path: Path, capsys):
    def run_case(machine, network, _folder, _make):
        wrong = "7 values differ: here" if (machine, network) == (0, 1) else None
        return regress.Case(f"{machine}:{network}", "a machine", 5, wrong)

    given = ["--networks", "2", "--minutes", "0", "--results", str(tmp_path / "kept")]
    assert run(run_case, *given) == 0  # one case, without time for a second one
    assert run(run_case, *given) == 1
    assert run(run_case, *given) == 1
    out = capsys.readouterr().out
    assert out.count("sparnn regress --machines any --case 0:1") == 2
    assert out.endswith("1 passed, 1 failed\n")


@pytest.mark.deep
def test_several_workers():
    """Workers say the same; none starts a machine that there is no time for."""
    alone = list(regress_cases("any", iter([11]), range(2), 5))
    assert list(regress_cases("any", iter([11]), range(2), 5, workers=2)) == alone
    assert not list(regress_cases("any", itertools.count(), range(1), 0, workers=2))


def test_random_machines_and_networks_are_legal_and_repeatable():
    kinds = set()
    for seed in range(100):
        config = regress.random_machine(seed)
        assert config == regress.random_machine(seed)
        networks = [random_network(np.random.default_rng(seed), config) for _ in range(2)]
        for one, two in zip(*(network.layers for network in networks), strict=True):
            assert np.array_equal(one.w_x, two.w_x)
            kinds.add((one.kind, one.activation))
        rng = np.random.default_rng(seed)
        x = random_x(rng, networks[0], 3)
        limit = 1 << config.activation_bits - 1
        assert x.shape == (3, networks[0].layers[0].inputs)
        assert -limit <= x.min() <= x.max() < limit
        for (role, index), state in random_initial(rng, networks[0]).items():
            assert role in ("initial_h", "initial_c")
            assert len(state) == networks[0].layers[index].units
    assert len(kinds) == 17
    assert random_config(np.random.default_rng(1), lanes=64, post_units=1, max_v=1).lanes == 64
