"""What the golden model did with a sequence."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sparnn.sim.aliases import IntArray
from sparnn.sim.errors import SimulationError

from .saturation import Clamped

__all__ = ["TENSORS", "LayerTrace", "NetworkTrace"]

TENSORS = ("u", "v", "pre", "state", "h", "sum")
"""The tensors whose saturations are counted."""


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer did with one sequence.

    Members
    -------
    outputs
        [steps, units], format `f_out`, at the steps they belong to.
    h
        The output that was computed last, [units], format `f_out`.
    state
        The final cell state (LSTM) or unrounded hidden state (GRU), [units], `f_state`; else None.
    useful_macs
        Pairs of a non-zero weight and a non-zero activation, or difference, both halves.
    clamped
        How many values there were and how many of them were clamped, by the names in `TENSORS`.
    joined
        Of a layer with a join: what both layers give together, [steps, units of both or of one].
    left_out
        Of a layer with output prediction: whose input half was left out, [steps, units], at the
        steps they belong to.
    deltas
        Of a layer with thresholds, what it holds after the last step, by the names in `DELTAS`.
    """

    outputs: IntArray
    h: IntArray
    state: IntArray | None
    useful_macs: int
    clamped: Mapping[str, Clamped]
    joined: IntArray | None = None
    left_out: npt.NDArray[np.bool_] | None = None
    deltas: Mapping[str, IntArray] = field(default_factory=dict)

    @property
    def saturated(self) -> dict[str, int]:
        """How many values were clamped, by tensor."""
        return {name: one.saturated for name, one in self.clamped.items()}

    @property
    def sequence(self) -> IntArray:
        """What the next layer reads."""
        return self.outputs if self.joined is None else self.joined


@dataclass(frozen=True, eq=False)
class NetworkTrace:
    """What all layers did with one sequence."""

    layers: tuple[LayerTrace, ...]

    @property
    def useful_macs(self) -> int:
        """The sum over all layers."""
        return sum(layer.useful_macs for layer in self.layers)

    def output(self, layer: int, what: str) -> IntArray:
        """A tensor by its name in the manifest.

        Parameters
        ----------
        layer
            Index of the layer; of joined layers the second one, which stands for both.
        what
            `sequence`: [steps, units]; `last`: what was computed last, or `step`: the last step,
            `state_h` or `state_c`: [units]. Final states of joined layers lie side by side.

        Raises
        ------
        SimulationError
            There is no such tensor.
        """
        trace = self.layers[layer]
        both = self.layers[layer - 1 : layer + 1] if trace.joined is not None else (trace,)
        h = np.concatenate([one.h for one in both])
        states = [one.state for one in both if one.state is not None]
        tensors = {
            "sequence": trace.sequence,
            "step": trace.sequence[-1],
            "last": h,
            "state_h": h,
            "state_c": np.concatenate(states) if len(states) == len(both) else None,
        }
        tensor = tensors.get(what)
        if tensor is None:
            raise SimulationError(f"layer {layer} has no {what!r}: compile the model again")
        return tensor
