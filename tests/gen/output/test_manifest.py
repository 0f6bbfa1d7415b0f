import json

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_config, random_network
from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.backend import backend
from sparnn.gen.output.folder import check_replaceable, written_aside
from sparnn.gen.output.manifest import MANIFEST, file_hashes, manifest_text, network_section, sha256
from sparnn.hdl.sparse.config import SparseConfig


def text_of(**sections):
    return manifest_text(
        command="emit", options={"lanes": 3}, config=SparseConfig(), files={}, sections=sections
    )


def test_network_section():
    rng = np.random.default_rng(1)
    config = random_config(rng)
    network = random_network(rng, config, layers=2)
    compiled = backend(config).place(network, config, fit=True)
    section = network_section(network, compiled.program)
    manifest = json.loads(text_of(**section))
    assert manifest["max_steps"] == compiled.program.max_steps
    for layer, entry in zip(network.layers, manifest["layers"], strict=True):
        assert (entry["kind"], entry["units"]) == (layer.kind, layer.units)
        assert sorted(entry["neurons"]) == list(range(layer.units))
    assert manifest["config"]["lanes"] == 8
    assert text_of(**section) == text_of(**section)


def test_hashes(tmp_path):
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / MANIFEST).write_text("{}")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert file_hashes(tmp_path) == {"b": empty}
    assert sha256(tmp_path / "b") == empty


def write(output, content="1"):
    with written_aside(output) as folder:
        (folder / "file").write_text(content)
        (folder / MANIFEST).write_text(text_of())


def test_written_and_replaced(tmp_path):
    output = tmp_path / "deep" / "out"
    write(output)
    write(output, "2")
    assert (output / "file").read_text() == "2"
    assert [path.name for path in output.parent.iterdir()] == ["out"]


def test_an_empty_folder_is_used(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")


def fail_in(output):
    with written_aside(output) as folder:
        (folder / "file").write_text("half")
        raise KeyboardInterrupt


def test_nothing_is_left_of_a_failure(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fail_in(tmp_path / "out")
    assert not list(tmp_path.iterdir())
    write(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        fail_in(tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_foreign_folders_are_kept(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(SparnnError, match="holds files that sparnn did not write"):
        write(tmp_path)
    assert (tmp_path / MANIFEST).read_text() == content


def test_files_and_links_are_kept(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(SparnnError, match="exists and is not a folder"):
            check_replaceable(tmp_path / name)
