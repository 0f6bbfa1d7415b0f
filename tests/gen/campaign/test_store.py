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
