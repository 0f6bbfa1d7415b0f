"""Where the standard cells come from."""

import pytest

from sparnn.gen.errors import SparnnError
from sparnn.gen.synth import liberty


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARNN_CACHE", str(tmp_path))
    monkeypatch.delenv("SPARNN_LIBERTY", raising=False)
    monkeypatch.setattr(liberty, "_INSTALLED", tmp_path / "none" / liberty.LIBERTY)
    return tmp_path


def test_missing_says_how_to_get_it(nowhere):
    with pytest.raises(SparnnError, match="make liberty"):
        liberty.find_liberty()


def test_another_file_is_not_taken_for_it(nowhere):
    (nowhere / "liberty").mkdir()
    (nowhere / "liberty" / liberty.LIBERTY).write_text("library (other) {}")
    with pytest.raises(SparnnError, match="make liberty"):
        liberty.find_liberty()


def test_named(nowhere, monkeypatch):
    mine = nowhere / "mine.lib"
    monkeypatch.setenv("SPARNN_LIBERTY", str(mine))
    with pytest.raises(SparnnError, match=r"mine\.lib"):
        liberty.find_liberty()
    mine.write_text("library (mine) {}")
    assert liberty.find_liberty() == mine


def test_without_apt(nowhere, monkeypatch):
    monkeypatch.setenv("PATH", str(nowhere))
    with pytest.raises(SparnnError, match="apt-get is not on PATH"):
        liberty.fetch_liberty()
