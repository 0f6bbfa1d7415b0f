"""A network for the machine as a PyTorch module that computes what the machine computes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.shared.steps import single_steps
from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.quantize.deltas import DeltaChoice, with_thresholds
from sparnn.gen.quantize.features import Fitted, quantize_best, unscaled_features
from sparnn.gen.quantize.quantize import in_formats_of
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.network.network import IntegerNetwork

from .cells import Weights
from .chain import NetworkRun, run_integers
from .straight import on_grid

__all__ = ["FakeQuantized"]

_MATRICES = ("w_x", "w_h")
_TRAINED = (*_MATRICES, "b_x", "b_h", "w_c")


class FakeQuantized(nn.Module):
    """A network whose forward pass is the golden model's, bit for bit, and can be trained.

    Parameters are the real weights; in every forward pass they become the integers that the
    compiler would make of them, in formats that :meth:`calibrate` has chosen. Gradients are
    straight-through.

    Parameters
    ----------
    network: real numbers, as the importer gives them; rounded to float32, which ONNX files hold.
    sequences: sample inputs, for the formats.
    weight_bits, activation_bits, split_scales: as of the compiler.
    delta: thresholds of differences, real, for all tensors; or a choice. None: no deltas.

    Members
    -------
    integers: what the machine would get now; what the last forward pass has computed with.
    masks: by layer and matrix, 1 where a weight may differ from zero.
    """

    def __init__(
        self,
        network: FloatNetwork,
        sequences: Sequence[InputSequence],
        *,
        weight_bits: int = 8,
        activation_bits: int = 8,
        split_scales: bool = False,
        delta: float | DeltaChoice | None = None,
    ):
        super().__init__()
        self.sequences = list(sequences)
        self.bits = weight_bits, activation_bits
        self.split_scales = split_scales
        self.delta = (
            delta if delta is None or isinstance(delta, DeltaChoice) else DeltaChoice(delta)
        )
        self.masks: dict[tuple[int, str], Tensor] = {}
        self.layers = nn.ModuleList()
        for layer in network.layers:
            own = nn.Module()
            for name in _TRAINED:
                array = getattr(layer, name)
                if array is not None:
                    single = torch.from_numpy(np.asarray(array, np.float32))
                    own.register_parameter(name, nn.Parameter(single))
            self.layers.append(own)
        self._network = network
        self.calibrate()

    # Real numbers and integers ----------------------------------------------------------------

    @property
    def network(self) -> FloatNetwork:
        """The real numbers as they are now, pruned weights zero, inputs as the model has them."""
        return unscaled_features(self._scaled())

    def _scaled(self) -> FloatNetwork:
        """The same with the inputs as they are quantized."""
        layers = []
        for index, layer in enumerate(self._network.layers):
            arrays = {
                name: value.detach().numpy().astype(np.float64)
                for name, value in self._real(index).items()
            }
            layers.append(replace(layer, **arrays))
        return replace(self._network, layers=tuple(layers))

    def _real(self, index: int) -> dict[str, Tensor]:
        """The parameters of a layer, masked, float32."""
        found = {}
        for name, value in self.layers[index].named_parameters():
            mask = self.masks.get((index, name))
            found[name] = value if mask is None else value * mask
        return found

    def calibrate(self) -> None:
        """Choose formats and thresholds for the weights as they are now, as the compiler does."""
        fitted = quantize_best(
            self.network, self.sequences, *self.bits, split_scales=self.split_scales
        )
        self._take(fitted)

    def _take(self, fitted: Fitted) -> None:
        if self.delta is not None:
            single = single_steps(fitted.quantized.network)
            fitted = with_thresholds(fitted, self.delta, single)
        with torch.no_grad():
            for own, layer in zip(self.layers, fitted.network.layers, strict=True):
                # A scale of the inputs, powers of two, is in the weights that read them.
                own.get_parameter("w_x").copy_(torch.from_numpy(layer.w_x))
        self._network, self._formats = fitted.network, fitted.quantized.network
        scale = next(
            (e.get("scale") for e in fitted.network.io["inputs"] if e["role"] == "x"), None
        )
        self._scale = None if scale is None else torch.tensor(scale, dtype=torch.float64)

    @property
    def integers(self) -> IntegerNetwork:
        return in_formats_of(self._scaled(), self._formats)

    # Forward ----------------------------------------------------------------------------------

    def forward(self, x: Tensor, initial: Mapping[tuple[str, int], Tensor] | None = None) -> Any:
        """Run sequences of the same length.

        Parameters
        ----------
        x: [batch, steps, inputs], real numbers.
        initial: given initial states, [batch, units], by role and layer, for networks whose ``io``
            lists them.

        Returns
        -------
        The first output of the network's ``io``: [batch, steps, units], or [batch, units] of what
        is one step's. A network of several outputs gives a tuple of all.
        """
        integers = self.integers
        first = integers.layers[0]
        x = x.double() if self._scale is None else x.double() * self._scale
        given = {key: self._state(integers, *key, value) for key, value in (initial or {}).items()}
        values = on_grid(x, first.f_x, integers.activation_bits)
        weights = [self._weights(integers, index) for index in range(len(integers.layers))]
        run = run_integers(integers, weights, values, given)
        found = tuple(_output(integers, run, e) for e in self._network.io["outputs"])
        return found[0] if len(found) == 1 else found

    def _weights(self, integers: IntegerNetwork, index: int) -> Weights:
        """The real numbers of a layer, the biases as the machine adds them, peepholes on their
        grid."""
        real = {name: value.double() for name, value in self._real(index).items()}
        layer = integers.layers[index]
        whole, zero = real["b_x"] + real["b_h"], torch.zeros_like(real["b_h"])
        if layer.kind == "gru":
            candidate = torch.zeros_like(zero)
            candidate[2] = 1
            real["b_x"], real["b_h"] = whole - real["b_h"] * candidate, real["b_h"] * candidate
        else:
            real["b_x"], real["b_h"] = whole, zero
        if "w_c" in real:
            f = layer.cell_shift + layer.f_pre - layer.f_state
            real["w_c"] = on_grid(real["w_c"], f, 16)
        return real

    @staticmethod
    def _state(integers: IntegerNetwork, role: str, index: int, value: Tensor) -> Tensor:
        layer = integers.layers[index]
        if role == "initial_h":
            return on_grid(value.double(), layer.f_out, layer.out_bits)
        if role == "initial_c" and layer.kind == "lstm":
            return on_grid(value.double(), layer.f_state, 16)
        raise SparnnError(f"layer {layer.name!r} ({layer.kind}) takes no {role}: leave it out")


def _output(integers: IntegerNetwork, run: NetworkRun, entry: Mapping[str, Any]) -> Tensor:
    """An output that the ``io`` names, in real numbers."""
    index, what = entry["layer"], entry["what"]
    layer = integers.layers[index]
    f = layer.f_out
    if what == "state_c":
        f = layer.f_state
    elif what in ("sequence", "step"):
        f -= layer.sum_shift
    return run.output(index, what) * 2.0**-f
