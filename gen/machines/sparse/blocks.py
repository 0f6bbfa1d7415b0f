"""The sparse machine's blocks, each to be synthesized and placed alone (gen/bench/blocks.py)."""

from collections.abc import Callable, Mapping

from amaranth.lib import wiring

from sparnn.hdl.arithmetic.sigma import ActivationUnit
from sparnn.hdl.host.host_port import HostPort
from sparnn.hdl.host.results import ResultWriter
from sparnn.hdl.link.link import SerialLink
from sparnn.hdl.sparse.array.addends import StoredAddends
from sparnn.hdl.sparse.array.broadcast import Broadcaster
from sparnn.hdl.sparse.array.collector import Collector
from sparnn.hdl.sparse.array.gather import Gather
from sparnn.hdl.sparse.array.tree import ReductionTree
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.control.dispatcher import Dispatcher
from sparnn.hdl.sparse.lane.fetch import ChunkFetch
from sparnn.hdl.sparse.lane.lane import Lane
from sparnn.hdl.sparse.lane.pairs import PairStage
from sparnn.hdl.sparse.lane.scan import MaskScan
from sparnn.hdl.sparse.post.cell import CellUpdater
from sparnn.hdl.sparse.post.halves import HalfJoin
from sparnn.hdl.sparse.post.requantize import Requantizer
from sparnn.hdl.sparse.post.unit import PostUnit
from sparnn.hdl.sparse.store.bank import ValueBank
from sparnn.hdl.sparse.store.store import sequence_store

__all__ = ["BLOCKS"]

#: Name -> the block of a sparse machine.
BLOCKS: Mapping[str, Callable[[SparseConfig], wiring.Component]] = {
    "lane": Lane,
    "lane_fetch": ChunkFetch,
    "lane_scan": MaskScan,
    "lane_pairs": PairStage,
    "collector": Collector,
    "tree": ReductionTree,
    "requantizer": Requantizer,
    "halves": HalfJoin,
    "activation": lambda config: ActivationUnit(3),
    "cell": CellUpdater,
    "post": PostUnit,
    "gather": Gather,
    "addends": StoredAddends,
    "store": sequence_store,
    "store_bank": ValueBank,
    "broadcaster": Broadcaster,
    "dispatcher": Dispatcher,
    "host_port": HostPort,
    "results": ResultWriter,
    "link": lambda config: SerialLink(50),
}
