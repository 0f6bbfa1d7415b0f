"""Products of matrices have one thread, and what they had afterwards."""

import numpy as np
from threadpoolctl import threadpool_info

from sparnn.sim.threads import one_thread


def threads() -> list[int]:
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_one_thread() -> None:
    assert np.ones((2, 2)).dot(np.ones(2)).sum() == 4
    before = threads()
    assert before
    with one_thread():
        assert set(threads()) == {1}
    assert threads() == before
