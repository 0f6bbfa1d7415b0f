"""How many steps each layer takes, and how many a run has room for."""

from collections.abc import Sequence

from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork

from .placement import FITTED_STEPS

__all__ = ["longest_run", "single_steps"]


def longest_run(network: IntegerNetwork, sequences: Sequence[InputSequence]) -> int:
    """Steps to make room for: sequences that run backwards have to fit the store whole."""
    if not any(layer.reverse for layer in network.layers):
        return FITTED_STEPS
    return max(FITTED_STEPS, *(len(sequence.x) for sequence in sequences))


def single_steps(network: IntegerNetwork) -> list[bool]:
    """Whether each layer runs one step, whatever the length of the sequence.

    Besides a layer with ``last_only`` and those after it, that is a linear layer before one: steps
    of it that nobody reads are not computed.
    """
    single: list[bool] = []
    for layer in network.layers:
        single.append(layer.last_only or bool(single and single[-1]))
    for index in range(len(single) - 1, 0, -1):
        if single[index] and not network.layers[index - 1].has_hidden:
            single[index - 1] = index > 1
    return single
