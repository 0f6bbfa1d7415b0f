"""Workers of a campaign."""

import itertools
import math
import threading
import time

import pytest
from distributed import LocalCluster

from sparnn.gen.campaign.cluster import Piece, cluster
from sparnn.gen.campaign.store import Store
from sparnn.gen.errors import SparnnError

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


#: Leaves a mark, and fails.
FAILS = "open({0!r}, 'a').write('x') and 1 / 0"


def test_what_others_did_is_kept(tmp_path):
    """Where a piece fails, which it does once, or always ends its worker."""
    store, mark = Store(tmp_path / "found", "explore", {}), tmp_path / "tried"
    good = [Piece(number, eval, (str(number),)) for number in (1, 2)]
    fails = Piece("fails", eval, (FAILS.format(str(mark)),))
    ends = Piece("ends", eval, ("__import__('os')._exit(1)",))
    with cluster(1, None) as hands:
        with pytest.raises(ZeroDivisionError):
            hands.run("Failing", store, "pieces", [fails, *good])
        assert mark.read_text() == "x"
        assert [store.get("pieces", store.key("pieces", number)) for number in (1, 2)] == [1, 2]
        with pytest.raises(SparnnError, match="workers died one after the other"):
            hands.run("Dying", store, "others", [good[0], ends, good[1]])
        assert [store.get("others", store.key("others", number)) for number in (1, 2)] == [1, 2]
        found = hands.follow(itertools.chain([good[0], fails], itertools.repeat(good[1])), math.inf)
        with pytest.raises(ZeroDivisionError):
            assert {value for _, value in found} <= {1, 2}


def test_a_scheduler_that_goes_away(tmp_path):
    """What was done is kept; a sentence says what to do."""
    store = Store(tmp_path / "found", "explore", {})
    pieces = [Piece("done", eval, ("1",)), Piece("waits", eval, ("__import__('time').sleep(4)",))]

    def close() -> None:
        key = store.key("pieces", "done")
        while store.get("pieces", key) is None:
            time.sleep(0.05)
        here.close()

    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as here:
        closing = threading.Thread(target=close)
        closing.start()
        with (
            pytest.raises(SparnnError, match="the Dask scheduler went away; what is done is kept"),
            cluster(1, here.scheduler_address) as hands,
        ):
            hands.run("Waiting", store, "pieces", pieces)
        closing.join()
