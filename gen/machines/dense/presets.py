"""Named dense machines: a small one, SHARP's four sizes, and two of BrainWave's size."""

from collections.abc import Mapping
from typing import Any

from sparnn.hdl.dense.config import DenseConfig

__all__ = ["SHARP_SIZES", "DENSE_PRESETS", "dense_preset"]

#: Preset -> parameters. K = 32 but for the small one. Banks: the least V is N / banks. Slices: row
#: segments that the array can finish per cycle where it is balanced, so that they never limit it.
DENSE_PRESETS: Mapping[str, Mapping[str, Any]] = {
    # For an FPGA.
    "dense64": {
        "lanes": 8,
        "width": 8,
        "banks": 2,
        "slices": 1,
        "link_words": 1,
        "columns": 64,
        "weight_depth": 2048,
        "parameter_depth": 128,
        "state_depth": 64,
        "gate_depth": 16,
        "store_depth": 2048,
        "operand_stage": 1,
        "post_stages": 2,
    },
    "sharp1k": {
        "lanes": 32,
        "banks": 4,
        "slices": 1,
        "columns": 128,
        "weight_depth": 8192,
        "parameter_depth": 256,
        "state_depth": 128,
        "gate_depth": 64,
        "store_depth": 8192,
    },
    "sharp4k": {
        "lanes": 128,
        "banks": 8,
        "slices": 2,
        "columns": 64,
        "weight_depth": 4096,
        "parameter_depth": 256,
        "state_depth": 128,
        "gate_depth": 32,
        "store_depth": 8192,
    },
    "sharp16k": {
        "lanes": 512,
        "banks": 8,
        "slices": 8,
        "columns": 16,
        "weight_depth": 512,
        "parameter_depth": 64,
        "state_depth": 32,
        "gate_depth": 8,
        "store_depth": 2048,
    },
    "sharp64k": {
        "lanes": 2048,
        "banks": 8,
        "slices": 8,
        "columns": 4,
        "weight_depth": 256,
        "parameter_depth": 64,
        "state_depth": 32,
        "gate_depth": 8,
        "store_depth": 2048,
    },
    "bw96k": {
        "lanes": 3072,
        "banks": 8,
        "slices": 8,
        "columns": 4,
        "weight_depth": 256,
        "parameter_depth": 64,
        "state_depth": 32,
        "gate_depth": 8,
        "store_depth": 4096,
        "tree_radix": 8,
    },
    # For the sequential schedule with one tile. Its depth is that of BrainWave's latency per step
    # at 256 units (docs/dense.md): no stage counts are published.
    "brainwave": {
        "lanes": 3072,
        "banks": 8,
        "slices": 8,
        "columns": 4,
        "weight_depth": 256,
        "parameter_depth": 64,
        "state_depth": 32,
        "gate_depth": 8,
        "store_depth": 4096,
        "tree_radix": 8,
        "extra_stages": 679,
    },
}
_COMMON = {"width": 32, "link_words": 8}

#: MAC units -> preset.
SHARP_SIZES = {1024: "sharp1k", 4096: "sharp4k", 16384: "sharp16k", 65536: "sharp64k"}


def dense_preset(name: str, **overrides: int) -> DenseConfig:
    """The machine of a preset."""
    return DenseConfig(**{**_COMMON, **DENSE_PRESETS[name], **overrides})
