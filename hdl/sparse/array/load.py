"""The bus over which the host fills the memories of the clusters."""

from amaranth.lib import data

from sparnn.hdl.host.protocol import Target
from sparnn.hdl.sparse.config import SparseConfig

__all__ = ["load_layout"]


def load_layout(config: SparseConfig) -> data.StructLayout:
    """One entry for one memory. ``index`` is a lane (masks, weights) or a post unit (others)."""
    targets = [Target.PARAMETER, Target.STATE]
    if not config.stream_bits:
        targets += [Target.MASK, Target.WEIGHT]
    if config.delta:
        targets.append(Target.TOTAL)
    width = max(config.entry_bits(target) for target in targets)
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
        | ({"total_en": 1} if config.delta else {})
    )
