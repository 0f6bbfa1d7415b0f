"""One thread for numpy's products of matrices."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

__all__ = ["one_thread"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Leave BLAS one thread for a while.

    Its products are of one step's vectors, over before threads have met: on two cores more than
    half of the processor's time went into waiting. Besides, sums are then added up in the same
    order on any number of cores.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield
