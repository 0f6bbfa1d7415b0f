"""The memories that the host fills and reads."""

from sparnn.hdl.config import MachineConfig
from sparnn.hdl.protocol import COUNTER_WORDS, DESCRIPTOR_WORDS, Counter, Target
from sparnn.hdl.tile.config import TileConfig
from sparnn.hdl.tile.descriptor import TILE_DESCRIPTOR_WORDS

__all__ = ["memories"]


def memories(config: MachineConfig | TileConfig) -> dict[Target, tuple[int, int]]:
    """How many there are of each kind, and the entries of each one."""
    if isinstance(config, TileConfig):
        found = {
            Target.PROGRAM: (1, config.program_depth * TILE_DESCRIPTOR_WORDS),
            Target.WEIGHT: (config.lanes, config.weight_depth),
            Target.PARAMETER: (config.slices * config.width, config.parameter_depth),
            Target.STATE: (config.word, config.state_depth),
            Target.STORE: (1, config.store_depth),
        }
        if config.mask_depth:  # the masks of each lane, then the lengths of the passes
            found[Target.MASK] = (config.lanes + 1, config.mask_depth)
    else:
        found = {
            Target.PROGRAM: (1, config.program_depth * DESCRIPTOR_WORDS),
            Target.MASK: (config.lanes, config.mask_depth),
            Target.WEIGHT: (config.lanes, config.weight_depth),
            Target.PARAMETER: (config.post_units, config.parameter_depth),
            Target.STATE: (config.post_units, config.state_depth),
            Target.STORE: (1, config.store_words),
        }
        if config.counters:
            found[Target.COUNTER] = (config.post_units, len(Counter) * COUNTER_WORDS)
    return found
