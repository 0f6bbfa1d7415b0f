"""Verilog of a dense machine, each distinct component once."""

from amaranth.lib import wiring

from .array.adder import VectorAdder, adder_module
from .array.bank import BANK_MODULE, Bank, tree_nodes
from .array.lane import LANE_MODULE, VectorLane
from .config import DenseConfig
from .post.cell import CELL_MODULE, CellUnit
from .post.gates import GATES_MODULE, GateBuffer
from .post.row import RowUnit, row_kinds
from .post.sigma import SIGMA_MODULE, Sigma
from .post.slice import SLICE_MODULE, PostSlice
from .top import DenseMachine

__all__ = ["dense_parts"]


def dense_parts(config: DenseConfig, top: str) -> list[tuple[wiring.Component, str]]:
    """The components of a machine, and the names of their Verilog modules, the top first."""
    nodes = sorted({node for level in tree_nodes(config) for node in level})
    return [
        (DenseMachine(config), top),
        (Bank(config), BANK_MODULE),
        (VectorLane(config), LANE_MODULE),
        *(
            (VectorAdder(config.width, bits, operands), adder_module(bits, operands))
            for bits, operands in nodes
        ),
        (PostSlice(config), SLICE_MODULE),
        *((RowUnit(config, kind), kind.module) for kind in row_kinds(config)),
        *([(GateBuffer(config), GATES_MODULE)] if config.gate_depth else []),
        (CellUnit(config), CELL_MODULE),
        (Sigma(config.post_stages, with_hard=bool(config.hard_sigmoid)), SIGMA_MODULE),
    ]
