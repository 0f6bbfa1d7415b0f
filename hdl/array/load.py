"""The bus over which the host fills the memories of the clusters."""

from amaranth.lib import data

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.protocol import Target, entry_bits

__all__ = ["load_layout"]


def load_layout(config: MachineConfig) -> data.StructLayout:
    """One entry for one memory. ``index`` is a lane (masks, weights) or a post unit (others)."""
    width = max(
        entry_bits(config, target)
        for target in (Target.MASK, Target.WEIGHT, Target.PARAMETER, Target.STATE)
    )
    return data.StructLayout(
        {
            "index": 10,
            "addr": 20,
            "data": width,
            "mask_en": 1,
            "weight_en": 1,
            "parameter_en": 1,
            "state_en": 1,
        }
    )
