"""Workers of a campaign."""

from sparnn.gen.campaign.cluster import Piece, cluster
from sparnn.gen.campaign.store import Store

#: The first worker that comes here dies, the next one finds its mark.
DIES_ONCE = (
    "3 if __import__('os').path.exists({0!r}) "
    "else (open({0!r}, 'x').close(), __import__('os')._exit(1))"
)


def test_what_a_dead_worker_had_is_run_again(tmp_path):
    store = Store(tmp_path / "found", "explore", {})
    mark = tmp_path / "died"
    pieces = [
        Piece("dies", eval, (DIES_ONCE.format(str(mark)),)),
        Piece("lives", eval, ("4",)),
    ]
    with cluster(1, None) as hands:
        assert hands.run("Dying", store, "pieces", pieces) == [3, 4]
    assert mark.exists()
    assert [store.get("pieces", store.key("pieces", one.content)) for one in pieces] == [3, 4]
