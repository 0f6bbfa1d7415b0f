"""Verilog of a machine, each distinct component once."""

from amaranth.back import verilog

from .array.cluster import LANE_MODULE, Cluster
from .config import MachineConfig
from .lane.lane import Lane
from .top import CLUSTER_MODULE, Machine

__all__ = ["TOP_MODULE", "machine_verilog"]

TOP_MODULE = "sparnn"


def machine_verilog(config: MachineConfig) -> str:
    """The whole machine as one Verilog text; the top module is :data:`TOP_MODULE`.

    Lanes and clusters are modules of their own that the level above places as instances, so that
    size and time grow with the number of distinct components, not with the number of lanes.
    Ports: ``clk``, ``rst``, ``rx__*`` and ``tx__*`` (``payload`` 32, ``valid``, ``ready``).
    """
    parts = (
        (Machine(config), TOP_MODULE),
        (Cluster(config), CLUSTER_MODULE),
        (Lane(config), LANE_MODULE),
    )
    return "\n".join(
        verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
        for component, name in parts
    )
