from dataclasses import replace

import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.presets import (
    PRESETS,
    is_file,
    load_config,
    load_machine,
    structure,
    with_whole_blocks,
)
from sparnn.gen.machines.shared.fit import enlarge
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.sparse.config import SparseConfig


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_legal(name):
    config = load_config(name)
    assert config.lanes == PRESETS[name]["lanes"]
    assert not is_file(name)


@pytest.mark.parametrize(
    ("lanes", "post_units", "max_v"),
    [
        (1, 1, 1),
        (3, 1, 1),
        (8, 1, 8),
        (12, 1, 4),
        (48, 2, 8),
        (64, 4, 16),
        (256, 16, 16),
        (1024, 32, 16),
    ],
)
def test_structure(lanes, post_units, max_v):
    wanted = {"queue_depth": 8, "post_units": post_units, "max_v": max_v}
    assert structure(lanes) == wanted


@pytest.mark.parametrize(
    ("lanes", "width", "post_units", "max_v", "queue_depth"),
    [(1, 8, 1, 1, 16), (8, 8, 2, 4, 16), (16, 8, 4, 4, 16), (16, 4, 2, 8, 8), (4, 16, 2, 2, 32)],
)
def test_structure_of_wide_lanes(lanes, width, post_units, max_v, queue_depth):
    wanted = {"queue_depth": queue_depth, "post_units": post_units, "max_v": max_v}
    assert structure(lanes, width=width) == wanted


def test_structure_of_wide_lanes_that_see_differences(tmp_path):
    assert structure(8, width=8, delta=1)["post_units"] == 4
    assert structure(8, delta=1) == structure(8)
    assert load_config(None, 8, width=8, delta=1).post_units == 4
    (tmp_path / "m.toml").write_text("lanes = 8\nwidth = 8\ndelta = 1\n")
    assert load_config(str(tmp_path / "m.toml")).post_units == 4


def test_blocks_of_rows_are_whole(tmp_path):
    """Half the post units, where that is what it takes and nobody has named them."""
    machine = load_config("masr", 32, width=8, split_scales=0)
    assert machine.post_units == 8
    halved = with_whole_blocks(machine, [(1, 800)] * 2)
    assert (halved.post_units, halved.max_v) == (4, 8)
    assert with_whole_blocks(machine, [(1, 64)]) == machine
    assert with_whole_blocks(machine, [(1, 800), (1, 801)]) == machine
    assert with_whole_blocks(replace(machine, masks=0), [(1, 800)]).post_units == 8
    (tmp_path / "m.toml").write_text("lanes = 32")
    assert with_whole_blocks(machine, [(1, 800)], str(tmp_path / "m.toml")) == machine
    assert with_whole_blocks(load_config(None, 32), [(1, 800)]).post_units == 2
    dense = load_machine("dense64")
    assert with_whole_blocks(dense, [(1, 800)]) == dense


def test_every_number_of_lanes_is_legal():
    for lanes in range(1, 1025):
        assert load_config(None, lanes).lanes == lanes


def test_masr_is_what_its_benchmark_runs_on():
    config = load_config("masr")
    assert (config.weight_bits, config.activation_bits) == (10, 10)
    assert (config.split_scales, config.threads, config.chunk) == (1, 2, 64)
    assert load_config("masr", 256, split_scales=False) == SparseConfig(
        lanes=256,
        post_units=16,
        max_v=16,
        weight_bits=10,
        activation_bits=10,
        chunk=64,
        threads=2,
    )


def test_a_dense_machine_has_no_split_scales(tmp_path):
    with pytest.raises(SparnnError, match="--split-scales: dense64 is a dense machine"):
        load_machine("dense64", split_scales=True)
    assert load_machine("dense64", split_scales=False) == load_machine("dense64")


def test_default_is_a_preset():
    assert load_config(None) == load_config("default")


@pytest.mark.parametrize("lanes", [0, -1, 1025])
def test_lanes_out_of_range(lanes):
    with pytest.raises(ConfigurationError, match=rf"lanes = {lanes}"):
        load_config(None, lanes)


def test_file(tmp_path):
    file = tmp_path / "machine.toml"
    file.write_text("lanes = 32\npost_units = 1\nweight_bits = 6\n")
    config = load_config(str(file))
    assert (config.lanes, config.post_units, config.max_v) == (32, 1, 16)
    assert config.weight_bits == 6
    assert load_config(str(file), 4, weight_bits=5).weight_bits == 5
    assert is_file(str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lane = 3", "unknown key 'lane'; the keys of a sparse machine are lanes"),
        ("lanes = 3.0", "lanes = 3.0 is not an integer"),
        ("lanes = true", "lanes = True is not an integer"),
        ("lanes = '3'", "lanes = '3' is not an integer"),
        ("lanes =", "not a TOML file"),
        ("[machine]\nlanes = 3", "machine = {'lanes': 3} is unknown; use one of sparse, dense"),
    ],
)
def test_bad_file(tmp_path, text, message):
    file = tmp_path / "machine.toml"
    file.write_text(text)
    with pytest.raises(SparnnError, match=message):
        load_config(str(file))


def test_unknown_preset():
    with pytest.raises(SparnnError, match=r"neither a preset \(arty_a7_35, arty_z7_20, default"):
        load_config("huge")


def test_impossible_file(tmp_path):
    file = tmp_path / "machine.toml"
    file.write_text("lanes = 6\npost_units = 4\n")
    with pytest.raises(ConfigurationError, match="not a multiple of post_units"):
        load_config(str(file))


def test_enlarge():
    config = enlarge(SparseConfig(), {"weight_depth": 8193, "mask_depth": 3})
    assert config.weight_depth == 16384
    assert config.mask_depth == SparseConfig().mask_depth
    with pytest.raises(ConfigurationError, match="weight_depth"):
        enlarge(SparseConfig(), {"weight_depth": (1 << 20) + 1})
