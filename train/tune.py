"""Training a fake-quantized module further: the loop, as short as it can be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparnn.gen.errors import SparnnError
from sparnn.sim.progress import progress

from .module import FakeQuantized
from .pruning import GradualPruning

__all__ = ["Example", "batches", "fine_tune"]

Loss = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Example:
    """One sequence and its answer. x: [steps, inputs]. target: whatever the loss compares with, of
    the same shape for all sequences of a length."""

    x: Any
    target: Any


def batches(
    examples: Sequence[Example], size: int, random: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Sequences of equal length together, in an order that is drawn anew."""
    by_length: dict[int, list[Example]] = {}
    for example in examples:
        by_length.setdefault(len(example.x), []).append(example)
    found = []
    for group in by_length.values():
        order = random.permutation(len(group))
        for first in range(0, len(order), size):
            found.append([group[k] for k in order[first : first + size]])
    for place in random.permutation(len(found)):
        x, target = (
            torch.from_numpy(np.stack([np.asarray(getattr(one, name)) for one in found[place]]))
            for name in ("x", "target")
        )
        yield x, target


def fine_tune(
    module: FakeQuantized,
    examples: Sequence[Example],
    loss: Loss,
    *,
    epochs: int,
    rate: float = 1e-3,
    batch: int = 32,
    pruning: GradualPruning | None = None,
    seed: int = 0,
) -> list[float]:
    """Train with Adam and a cosine schedule; formats are chosen anew after every epoch.

    Parameters
    ----------
    loss: of the module's output and the targets of a batch.
    pruning: zeros that come on the way.

    Returns
    -------
    The mean loss of each epoch.

    Raises
    ------
    SparnnError: no examples, or a loss that is not finite.
    """
    if not examples:
        raise SparnnError("fine_tune needs at least one example: give some")
    random = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs))
    steps = len(list(batches(examples, batch, np.random.default_rng(seed))))
    means: list[float] = []
    with progress("Fine-tuning", total=epochs * steps) as advance:
        for epoch in range(epochs):
            losses = []
            for number, (x, target) in enumerate(batches(examples, batch, random)):
                if pruning is not None:
                    pruning.step((epoch * steps + number + 1) / (epochs * steps))
                optimizer.zero_grad()
                value = loss(module(x), target)
                if not torch.isfinite(value):
                    raise SparnnError(
                        f"the loss is {float(value.detach())} in epoch {epoch}: give a smaller "
                        f"rate, it is {rate:g}"
                    )
                value.backward()
                nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimizer.step()
                losses.append(float(value.detach()))
                advance(1)
            schedule.step()
            module.calibrate()
            means.append(float(np.mean(losses)))
    return means
