"""`make regress`: cases follow from their seeds, and one can be replayed."""

import numpy as np
import pytest

from sparnn.gen.bench import regress
from sparnn.gen.bench.random_networks import random_config, random_initial, random_network, random_x
from sparnn.gen.errors import SparnnError

OK = regress.Case("0:0", "a machine", 5, None)


@pytest.fixture
def main(monkeypatch):
    """Run the command, with a function in place of the simulation."""

    def run(run_case, *arguments):
        monkeypatch.setattr(regress, "run_case", run_case)
        monkeypatch.setattr("sys.argv", ["regress", *arguments])
        return regress.main()

    return run


@pytest.mark.xdist_group("regress")
def test_one_case_is_replayed(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["regress", "--case", "11:1"])
    assert regress.main() == 0
    first = capsys.readouterr().out
    assert first.startswith("11:1: 3 lanes x 4 without masks, 1 post units, V <= 1, C = 32/8")
    assert first.endswith("1 passed, 0 failed\n")
    assert regress.main() == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("case", ["3", "3:", "a:b", "1:2:3"])
def test_a_bad_case_is_refused(case, main, capsys):
    status = main(lambda *_: OK, "--case", case, "--minutes", "0")
    assert status == 2
    assert f"--case {case!r} is not MACHINE:NETWORK" in capsys.readouterr().err


def test_a_failing_case_prints_its_replay(main, capsys):
    wrong = regress.Case("4:2", "a machine", 5, "7 values differ: here")
    assert main(lambda *_: wrong, "--case", "4:2") == 1
    out = capsys.readouterr().out
    assert "FAILED 7 values differ: here" in out
    assert "python -m sparnn.gen.bench.regress --case 4:2" in out
    assert "0 passed, 1 failed" in out


@pytest.mark.parametrize("error", [SparnnError("no"), ValueError("no"), RuntimeError("no")])
def test_an_error_is_a_failed_case(error, main, capsys):
    def run_case(*_):
        raise error

    assert main(run_case, "--case", "4:2") == 1
    assert "FAILED no" in capsys.readouterr().out


def test_all_networks_of_a_machine_until_time_is_up(main, capsys):
    seen = []

    def run_case(machine, network, folder, _make):
        seen.append((machine, network))
        assert folder.is_dir()
        return OK

    assert main(run_case, "--minutes", "0.005", "--seed", "7", "--networks", "3") == 0
    assert seen[:4] == [(7, 0), (7, 1), (7, 2), (8, 0)]
    assert f"{len(seen)} passed, 0 failed" in capsys.readouterr().out


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
