"""Memories of a machine enlarged to what a network needs."""

from collections.abc import Mapping
from dataclasses import asdict

from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["enlarge"]


def enlarge(config: SparseConfig, needs: Mapping[str, int]) -> SparseConfig:
    """The machine with each named memory parameter enlarged to a power of two that holds the need.

    Parameters
    ----------
    needs: parameter of SparseConfig (a depth, ``rows`` or ``columns``) -> entries needed. None
        shrinks.

    Raises
    ------
    ConfigurationError: a need is beyond what any machine may have.
    """
    values = asdict(config)
    for name, need in needs.items():
        if need > values[name]:
            values[name] = 1 << (need - 1).bit_length()
    return SparseConfig(**values)
