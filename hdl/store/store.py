"""The sequence store that a machine has."""

from sparnn.hdl.config import MachineConfig

from .dense import DenseStore
from .packed import PackedStore

__all__ = ["sequence_store"]


def sequence_store(config: MachineConfig) -> DenseStore | PackedStore:
    """Packed, or of whole words; the ports are the same."""
    return PackedStore(config) if config.packed_store else DenseStore(config)
