"""How many steps each layer takes."""

from sparnn.sim.network.network import IntegerNetwork

__all__ = ["single_steps"]


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
