"""How a cluster's rows are dealt, for lanes that have no masks to read it from."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.host.protocol import Kind
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.ports import row_plan_layout

__all__ = ["plan_rows"]


def plan_rows(
    m: Module, config: SparseConfig, program: data.View, cluster: Value
) -> list[data.View]:
    """A plan for each lane, :func:`~sparnn.hdl.sparse.lane.ports.row_plan_layout`.

    Parameters
    ----------
    program: of the collector; the plans are settled two cycles after it.
    cluster: the cluster's number.
    """
    lanes = config.cluster_lanes
    words = Signal(range(config.rows + 1))  # with a neuron of this cluster
    rows = Signal(range(config.rows + 1))
    common = Signal(row_plan_layout(config))
    hole = (program.tail != 0) & (cluster >= program.tail)
    m.d.comb += rows.eq(
        Mux(
            program.kind == Kind.LSTM,
            words << 2,
            words + Mux(program.kind == Kind.GRU, words << 1, 0),
        )
    )
    m.d.sync += [
        words.eq(program.out_words - hole),
        common.blocks.eq((rows + (config.width - 1)) >> clog2(config.width)),
        common.groups.eq(lanes >> program.v_log2),
        common.hidden.eq(program.kind != Kind.LINEAR),
        common.paired.eq(program.paired),
        common.rotate.eq(program.rotate),
    ]
    plans = []
    for lane in range(lanes):
        plan = Signal(row_plan_layout(config), name=f"plan{lane}")
        m.d.comb += [plan.eq(common), plan.first.eq(lane >> program.v_log2)]
        plans.append(plan)
    return plans
