"""The dense machine's blocks, each to be synthesized and placed alone (gen/blocks.py)."""

from collections.abc import Callable, Mapping

from amaranth.lib import wiring

from sparnn.hdl.control.host_port import HostPort
from sparnn.hdl.tile.adder import VectorAdder, adder_module
from sparnn.hdl.tile.bank import Bank, tree_nodes
from sparnn.hdl.tile.cell import CellUnit
from sparnn.hdl.tile.config import TileConfig
from sparnn.hdl.tile.dispatcher import LayerDispatcher
from sparnn.hdl.tile.emitter import Emitter
from sparnn.hdl.tile.gates import GateBuffer
from sparnn.hdl.tile.gather import OutputGather
from sparnn.hdl.tile.lane import LANE_MODULE, VectorLane
from sparnn.hdl.tile.loader import VectorLoader
from sparnn.hdl.tile.row import RowUnit, row_kind
from sparnn.hdl.tile.sequencer import Sequencer
from sparnn.hdl.tile.sigma import SIGMA_MODULE, Sigma
from sparnn.hdl.tile.tap import Tap

__all__ = ["TILE_BLOCKS", "block_components"]

#: Name -> the block of a dense machine.
TILE_BLOCKS: Mapping[str, Callable[[TileConfig], wiring.Component]] = {
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
    name: str, config: TileConfig, top: str
) -> list[tuple[wiring.Component, str]]:
    """A block as the module ``top``, and what it is made of."""
    parts: list[tuple[wiring.Component, str]] = [(TILE_BLOCKS[name](config), top)]
    if name == "bank":
        nodes = sorted({node for level in tree_nodes(config) for node in level})
        parts.append((VectorLane(config), LANE_MODULE))
        parts += [
            (VectorAdder(config.width, bits, operands), adder_module(bits, operands))
            for bits, operands in nodes
        ]
    if name in ("row", "cell"):
        parts.append((TILE_BLOCKS["sigma"](config), SIGMA_MODULE))
    return parts
