"""All layers of an integer network in PyTorch (docs/numerics.md, *Two directions*)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparnn.sim.network.network import IntegerNetwork

from .cells import LayerRun, Weights, run_layer, run_reset_first
from .straight import rounded

__all__ = ["NetworkRun", "run_integers"]


@dataclass(frozen=True, eq=False)
class NetworkRun:
    """What all layers gave. joined: of the second of two joined layers, what both give together."""

    layers: Sequence[LayerRun]
    joined: Mapping[int, Tensor]

    def output(self, index: int, what: str) -> Tensor:
        """A tensor by its name in the manifest, as of `sparnn.sim.golden.trace.NetworkTrace`."""
        if what in ("sequence", "step"):
            values = self.joined.get(index, self.layers[index].outputs)
            return values if what == "sequence" else values[:, -1]
        both = self.layers[index - 1 : index + 1] if index in self.joined else [self.layers[index]]
        states = [run.state for run in both if run.state is not None]
        return torch.cat(states if what == "state_c" else [run.h for run in both], -1)


def run_integers(
    integers: IntegerNetwork,
    weights: Sequence[Weights],
    values: Tensor,
    initial: Mapping[tuple[str, int], Tensor],
) -> NetworkRun:
    """Run sequences of the same length.

    Parameters
    ----------
    weights: of each layer the real numbers that gradients go to.
    values: integers, [batch, steps, inputs]. initial: integers, [batch, units], by role and layer.
    """
    runs: list[LayerRun] = []
    joined: dict[int, Tensor] = {}
    finals = values[:, -1]
    for stage in integers.stages:
        last = integers.layers[stage[-1]]
        if last.join == "reset":
            pair, own = (integers.layers[stage[0]], last), (weights[stage[0]], weights[stage[1]])
            run = run_reset_first(*pair, own, values, initial.get(("initial_h", stage[0])))
            runs += [run, run]
            values, finals = run.outputs, run.h
            continue
        for index in stage:
            layer, source = integers.layers[index], values
            if layer.last_only:
                source = values[:, -1:] if layer.last_step else finals[:, None]
            h0, c0 = (initial.get((role, index)) for role in ("initial_h", "initial_c"))
            runs.append(run_layer(layer, weights[index], source, h0, c0))
        here = runs[stage[0] :]
        values, finals = here[-1].outputs, torch.cat([run.h for run in here], -1)
        if last.join == "concat":
            joined[stage[-1]] = values = torch.cat([run.outputs for run in here], -1)
        elif last.join == "sum":
            total = here[0].outputs + here[1].outputs
            joined[stage[-1]] = values = rounded(total, last.sum_shift, last.out_bits)
    return NetworkRun(runs, joined)
