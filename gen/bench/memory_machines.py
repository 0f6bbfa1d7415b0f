"""The machines of `bench memory`: memories that make a network resident, swapped or streamed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.dense.place import place as place_dense
from sparnn.gen.machines.dense.presets import SHARP_SIZES, dense_preset
from sparnn.gen.machines.dense.sections import rows_needed
from sparnn.gen.machines.presets import structure
from sparnn.gen.machines.shared.placement import Placement
from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.place import place as place_sparse
from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerNetwork

from .masr import every_output

__all__ = ["MACHINES", "MODES", "WantedMachine"]

MODES = ("resident", "swapped", "streamed")
#: Entries of the rings of a streamed network, where a row needs no more.
_RINGS = {"mask_depth": 2048, "weight_depth": 8192}
#: MAC units of a dense machine -> its preset.
_DENSE = {64: "dense64", **SHARP_SIZES}


@dataclass(frozen=True, kw_only=True)
class WantedMachine:
    """What the machine shall be.

    Members
    -------
    width, masks: of the sparse machine's lanes. balance: whether these are balanced.
    rate: bytes a cycle of the memory, whose words are as wide. mode: one of :data:`MODES`.
    steps: of a run.
    ring: times by which the sparse machine's rings are larger than a network needs that is not
        streamed, a power of two.
    """

    macs: int
    width: int = 1
    masks: bool = True
    balance: bool = True
    rate: int
    mode: str
    steps: int
    ring: int = 1


def _sparse(network: IntegerNetwork, wanted: WantedMachine) -> Placement:
    width, masks = wanted.width, wanted.masks
    if wanted.macs % width:
        raise SparnnError(
            f"--macs {wanted.macs} is no multiple of --width {width}: a lane has {width} "
            "multipliers"
        )
    lanes = wanted.macs // width
    entry = 1 << clog2(width * network.weight_bits)
    machine = SparseConfig(
        **structure(lanes, width=width),
        **_RINGS,
        lanes=lanes,
        width=width,
        masks=int(masks),
        stream_bits=max(32, entry, 8 * wanted.rate),
        chunk=max(SparseConfig.chunk, wanted.rate),
    )
    layout = None if wanted.balance else lay_out(network, machine, balance=False)
    outputs = [every_output(network)]
    placed = place_sparse(network, machine, outputs, fit=True, steps=wanted.steps, layout=layout)
    if wanted.mode == "streamed":
        if "streamed" not in placed.modes:
            raise SparnnError("the network fits the rings, so that nothing is streamed: take more "
                              "units, or fewer MACs")  # fmt: skip
        return placed
    most = [loop.most for loop in placed.loop_words]
    needs = np.max(most, axis=0) if wanted.mode == "swapped" else np.sum(most, axis=0)
    config = placed.config
    slots = (config.mask_slots if masks else 1, config.weight_slots)
    depths = [
        wanted.ring << clog2((int(need) + 80) * each)
        for need, each in zip(needs, slots, strict=True)
    ]
    rings = {"mask_depth": depths[0]} if masks else {}
    return replace(placed, config=replace(config, weight_depth=depths[1], **rings))


def _dense(network: IntegerNetwork, wanted: WantedMachine) -> Placement:
    if wanted.macs not in _DENSE:
        raise SparnnError(
            f"--macs {wanted.macs}: no dense machine of that size has a preset; use one of "
            f"{', '.join(map(str, _DENSE))}"
        )
    if wanted.mode == "streamed":
        raise SparnnError(
            "--mode streamed: the dense machine's layers have to fit its memories; use swapped or "
            "resident, or --machine sparse"
        )
    machine = dense_preset(_DENSE[wanted.macs], stream_bits=max(64, 8 * wanted.rate))
    outputs = [every_output(network)]
    placed = place_dense(network, machine, outputs, fit=True, steps=wanted.steps)
    depth = sum(one.weights.shape[1] for one in placed.lanes)
    if wanted.mode == "swapped":
        depth = rows_needed(placed.lanes, placed.pairs)
    return replace(placed, config=replace(placed.config, weight_depth=depth))


def _sparse_bits(config: Any) -> int:
    words = config.weight_words * config.stream_bits
    return int(config.lanes * (words + config.mask_depth * config.chunk * config.masks))


def _dense_bits(config: Any) -> int:
    return int(config.lanes * config.weight_depth * config.weight_entry_bits)


class _Machine(NamedTuple):
    """A machine's part: the network placed on it, and the bits of its memories of weights."""

    place: Callable[[IntegerNetwork, WantedMachine], Placement]
    bits: Callable[[Any], int]


#: Machine's name -> its part.
MACHINES: Mapping[str, _Machine] = {
    "sparse": _Machine(_sparse, _sparse_bits),
    "dense": _Machine(_dense, _dense_bits),
}
