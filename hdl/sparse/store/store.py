"""The sequence store that a machine has."""

from sparnn.hdl.sparse.config import SparseConfig

from .dense import DenseStore
from .packed import PackedStore

__all__ = ["sequence_store"]


def sequence_store(config: SparseConfig) -> DenseStore | PackedStore:
    """Packed, or of whole words; the ports are the same."""
    return PackedStore(config) if config.packed_store else DenseStore(config)
