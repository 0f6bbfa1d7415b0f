"""Results that stay."""

import pytest

from sparnn.gen.campaign.store import Store
from sparnn.gen.errors import SparnnError


def test_results_are_of_their_code_and_network(tmp_path):
    one, other = (Store(tmp_path / "r", "explore", {"model": name}) for name in "ab")
    one.put("models", one.key("models", [1]), 5)
    assert one.get("models", one.key("models", [1])) == 5
    assert other.get("models", other.key("models", [1])) is None
    assert one.get("models", one.key("models", [2])) is None
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(SparnnError, match=r"has no explore\.json"):
        Store(tmp_path / "other", "explore", {})
    (tmp_path / "r" / "explore.json").write_text('{"version": 0}')
    with pytest.raises(SparnnError, match="results of another version"):
        Store(tmp_path / "r", "explore", {})


def test_a_shared_folder(tmp_path):
    """Others may read what is there, half a file is none, and nothing is left beside it."""
    store = Store(tmp_path / "r", "explore", {})
    store.put("models", "a", [1])
    file = tmp_path / "r" / "models" / "a.json"
    plain = tmp_path / "plain"
    plain.touch()
    assert file.stat().st_mode == plain.stat().st_mode
    whole = file.read_text()
    for damaged in ("[1", "5", "[]", '{"result": [1]}', whole.replace('"a"', '"b"')):
        file.write_text(damaged)
        assert store.get("models", "a") is None
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".new-1-2").touch()  # of one that begins at the same time
    Store(tmp_path / "other", "explore", {})
    with pytest.raises(TypeError):
        store.put("models", "b", object())
    assert [one.name for one in (tmp_path / "r" / "models").iterdir()] == ["a.json"]
