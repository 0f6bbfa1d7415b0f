"""The distinct components of a sparse machine, each of which becomes one Verilog module."""

from amaranth.lib import wiring

from .array.cluster import LANE_MODULE, Cluster
from .config import SparseConfig
from .lane.lane import Lane
from .top import CLUSTER_MODULE, SparseMachine

__all__ = ["sparse_parts"]


def sparse_parts(config: SparseConfig, top: str) -> list[tuple[wiring.Component, str]]:
    """The components of a machine, and the names of their Verilog modules, the top first."""
    return [
        (SparseMachine(config), top),
        (Cluster(config), CLUSTER_MODULE),
        (Lane(config), LANE_MODULE),
    ]
