"""The dense machine's blocks, each to be synthesized and placed alone (gen/bench/blocks.py)."""

from collections.abc import Callable, Mapping

from amaranth.lib import wiring

from sparnn.hdl.dense.array.adder import VectorAdder, adder_module
from sparnn.hdl.dense.array.bank import Bank, tree_nodes
from sparnn.hdl.dense.array.lane import LANE_MODULE, VectorLane
from sparnn.hdl.dense.array.sequencer import Sequencer
from sparnn.hdl.dense.array.tap import Tap
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.control.dispatcher import LayerDispatcher
from sparnn.hdl.dense.control.emitter import Emitter
from sparnn.hdl.dense.control.gather import OutputGather
from sparnn.hdl.dense.control.loader import VectorLoader
from sparnn.hdl.dense.post.cell import CellUnit
from sparnn.hdl.dense.post.gates import GateBuffer
from sparnn.hdl.dense.post.row import RowUnit, row_kind
from sparnn.hdl.dense.post.sigma import SIGMA_MODULE, Sigma
from sparnn.hdl.host.host_port import HostPort

__all__ = ["BLOCKS", "block_components"]

#: Name -> the block of a dense machine.
BLOCKS: Mapping[str, Callable[[DenseConfig], wiring.Component]] = {
    "lane": VectorLane,
    "bank": Bank,
    "tap": Tap,
    "row": lambda config: RowUnit(config, row_kind(config, 0)),
    "gates": GateBuffer,
    "cell": CellUnit,
    "sigma": lambda config: Sigma(config.post_stages, with_hard=bool(config.hard_sigmoid)),
    "sequencer": Sequencer,
    "loader": VectorLoader,
    "gather": OutputGather,
    "dispatcher": LayerDispatcher,
    "emitter": Emitter,
    "host_port": HostPort,
}


def block_components(
    name: str, config: DenseConfig, top: str
) -> list[tuple[wiring.Component, str]]:
    """A block as the module ``top``, and what it is made of."""
    parts: list[tuple[wiring.Component, str]] = [(BLOCKS[name](config), top)]
    if name == "bank":
        nodes = sorted({node for level in tree_nodes(config) for node in level})
        parts.append((VectorLane(config), LANE_MODULE))
        parts += [
            (VectorAdder(config.width, bits, operands), adder_module(bits, operands))
            for bits, operands in nodes
        ]
    if name in ("row", "cell"):
        parts.append((BLOCKS["sigma"](config), SIGMA_MODULE))
    return parts
