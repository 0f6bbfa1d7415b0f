"""Gradual magnitude pruning: weights become zero while the rest is trained further.

The density falls from 1 by the cubic schedule of Zhu and Gupta (arXiv 1710.01878): fast at first,
while many weights do nothing, and slowly at the end. Every matrix has it for itself; biases stay,
and so does a small head (`sparnn.gen.network.prune.SMALL_HEAD`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.prune import SMALL_HEAD

from .module import FakeQuantized

__all__ = ["GradualPruning", "Structure", "mask_of"]

_KINDS = ("unstructured", "rows", "balanced")


@dataclass(frozen=True)
class Structure:
    """Which weights become zero together.

    Members
    -------
    kind: ``unstructured``: the smallest of a matrix, one by one. ``rows``: blocks of one column in
        ``width`` rows that a lane of that width multiplies at once, gates of a unit first.
        ``balanced``: the smallest of each row in each of ``lanes`` equal shares of its columns, so
        that lanes that split a row have the same number of weights each (column balance).
    width, lanes: see above.
    """

    kind: str = "unstructured"
    width: int = 4
    lanes: int = 4

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise SparnnError(f"structure {self.kind!r} is none of {', '.join(_KINDS)}")
        for name in ("width", "lanes"):
            if getattr(self, name) < 1:
                raise SparnnError(f"{name} = {getattr(self, name)} of a structure: give 1 or more")


def mask_of(weights: Tensor, density: float, structure: Structure) -> Tensor:
    """1 for the weights that stay, [gates, units, columns] as the weights."""
    size = weights.abs().double()
    if structure.kind == "rows":
        gates, units, columns = size.shape
        rows = size.transpose(0, 1).reshape(gates * units, columns)
        missing = -len(rows) % structure.width
        blocks = torch.cat([rows, rows.new_zeros((missing, columns))])
        score = blocks.reshape(-1, structure.width, columns).sum(1)
        kept = _largest(score.flatten(), density).reshape(score.shape)
        whole = kept.repeat_interleave(structure.width, dim=0)[: len(rows)]
        return whole.reshape(units, gates, columns).transpose(0, 1).contiguous().float()
    if structure.kind == "balanced":
        columns = size.shape[2]
        mask = torch.zeros_like(size)
        for lane in range(min(structure.lanes, columns)):
            mine = slice(lane, columns, structure.lanes)
            mask[..., mine] = _largest(size[..., mine], density)
        return mask.float()
    return _largest(size.flatten(), density).reshape(size.shape).float()


def _largest(size: Tensor, density: float) -> Tensor:
    """1 for the largest share along the last axis, at least one of them."""
    count = max(1, round(density * size.shape[-1]))
    # Stable, so that equal magnitudes give the same mask every time.
    order = size.argsort(dim=-1, descending=True, stable=True)[..., :count]
    return torch.zeros_like(size).scatter_(-1, order, 1.0)


class GradualPruning:
    """Prunes a module step by step while it is trained.

    Parameters
    ----------
    density: the share of weights that stays, above 0 and at most 1.
    share: of all training steps, those in which the density falls; the rest trains what stayed.

    Raises
    ------
    SparnnError: a density or share out of range.
    """

    def __init__(
        self,
        module: FakeQuantized,
        density: float,
        structure: Structure | None = None,
        *,
        share: float = 0.7,
    ):
        for name, value in (("density", density), ("share", share)):
            if not 0 < value <= 1:
                raise SparnnError(f"{name} = {value} is outside 0 to 1 (0 excluded)")
        self.module, self.density, self.share = module, density, share
        self.structure = Structure() if structure is None else structure
        self.start = 1.0
        if module.masks:
            kept = sum(float(mask.sum()) for mask in module.masks.values())
            self.start = kept / sum(mask.numel() for mask in module.masks.values())

    def step(self, done: float) -> None:
        """Set the masks for a share of the training that is done, 0 to 1."""
        left = (1 - min(1.0, done / self.share)) ** 3
        density = self.density + (self.start - self.density) * left
        layers = self.module.network.layers
        total = sum(m.size for one in layers for m in (one.w_x, one.w_h) if m is not None)
        for index, layer in enumerate(layers):
            head = layer.kind == "linear" and index == len(layers) - 1
            if head and layer.w_x.size <= SMALL_HEAD * total:
                continue
            for name in ("w_x", "w_h"):
                if getattr(layer, name) is not None:
                    weights = self.module.layers[index].get_parameter(name).detach()
                    old = self.module.masks.get((index, name))
                    weights = weights if old is None else weights * old
                    self.module.masks[index, name] = mask_of(weights, density, self.structure)
